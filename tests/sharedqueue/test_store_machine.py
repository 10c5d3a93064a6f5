"""Anything that may be asked of the store, in any order, by real scripts against the model.

The scripts run in a real server; only their clock is the test's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scalab.sharedqueue.calls import answer_of, call_of, letter_of, micro, milli
from scalab.sharedqueue.keys import prefix_of
from scalab.sharedqueue.operations import (
    Answer,
    Beat,
    Cancel,
    Cancelled,
    Check,
    Done,
    Enqueue,
    Enqueued,
    Leave,
    Operation,
    Pull,
    Pulled,
    Refresh,
    Release,
)
from scalab.sharedqueue.scripts import load_scripts
from tests.sharedqueue.model import GAP_US, QUEUE, Model
from tests.sharedqueue.servers import PROGRAMS, RedisServer, Talk, redis_server

# So long that nothing times out in the server, whose own clock is not the test's.
LEASE_S = 1000.0
KEEP_S = 5000.0
START_US = 1_700_000_000_000_000
"""As large as real times are, so that digits would be lost here, too."""

CLOCK = "local function now() return tonumber(redis.call('GET', 'clock')) end\n"
PREFIX = prefix_of(QUEUE)

ids = st.sampled_from("abcd")
sessions = st.integers(0, 2)
frontends = st.sampled_from(["F", "G", "H"])
some_ids = st.lists(st.tuples(ids, sessions), min_size=1, max_size=4)


class Driver:
    """The real store, asked over a blocking connection."""

    scripts = load_scripts(CLOCK)

    def __init__(self, talk: Talk) -> None:
        self.talk = talk

    def execute(self, me: str, operation: Operation) -> Answer:
        name, args = call_of(operation)
        return answer_of(operation, self.run(me, name, *args))

    def run(self, me: str, name: str, *args: str | bytes | int) -> Any:
        common = (me, milli(KEEP_S), micro(KEEP_S))
        return self.talk("EVAL", self.scripts[name].source, 1, PREFIX, *common, *args)

    def members(self, name: str) -> list[str]:
        return [m.decode() for m in self.talk("ZRANGE", PREFIX + name, 0, -1)]


class Shared(RuleBasedStateMachine):
    """One queue's life; ``server`` is set by the test."""

    server: RedisServer
    most_attempts = 2

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(self.server.talk())
        self.model = Model(micro(KEEP_S))
        self.pulls: list[str] = []
        self.leases: list[tuple[str, str]] = [("a", "0")]
        self.read: dict[str, list[bytes]] = {}
        self.driver.talk("FLUSHALL")
        self.driver.talk("HELLO", "3")
        self.driver.talk("SET", "clock", 0)
        channels = [f"{PREFIX}{name}" for name in ("wake", "mail:F", "mail:G", "mail:H")]
        self.listener = self.server.talk()
        self.listener("HELLO", "3")
        self.listener._socket.sendall(b"SUBSCRIBE " + " ".join(channels).encode() + b"\r\n")
        self.tick(START_US)

    def teardown(self) -> None:
        self.driver.talk.close()
        self.listener.close()

    def tick(self, us: int) -> None:
        self.model.now += us
        self.driver.talk("SET", "clock", self.model.now)

    def do(self, me: str, operation: Operation) -> Answer:
        expected = self.model.execute(me, operation)
        assert self.driver.execute(me, operation) == expected
        return expected

    # --- what may happen ---------------------------------------------------------------------

    @rule(me=frontends, id_=ids, session=sessions, limit=st.sampled_from([0, 0, 1, 2]),
          again=st.booleans())  # fmt: skip
    def enqueue(self, me: str, id_: str, session: int, limit: int, again: bool) -> None:
        operation = Enqueue(id_, f"body of {id_}".encode(), session, limit, again)
        answer = self.do(me, operation)
        repeated = self.do(me, operation)
        assert isinstance(answer, Enqueued)
        assert isinstance(repeated, Enqueued)
        assert (answer.state, answer.ending) == (repeated.state, repeated.ending)

    @rule(me=frontends, items=some_ids)
    def check(self, me: str, items: list[tuple[str, int]]) -> None:
        self.do(me, Check(tuple(items)))

    @rule(me=frontends, id_=ids, session=sessions, gone=st.booleans(),
          kill=st.sampled_from([True, True, False]))  # fmt: skip
    def cancel(self, me: str, id_: str, session: int, gone: bool, kill: bool) -> None:
        operation = Cancel(id_, session, gone, kill)
        answer = self.do(me, operation)
        repeated = self.do(me, operation)
        assert isinstance(answer, Cancelled)
        assert isinstance(repeated, Cancelled)
        if answer.state == "cancelled":
            assert repeated.state == "ended"
            assert repeated.ending == answer.ending
        else:
            assert repeated == answer

    @rule(me=frontends, count=st.integers(1, 3), again=st.booleans())
    def pull(self, me: str, count: int, again: bool) -> None:
        self.pulls.append(f"p{len(self.pulls)}")
        operation = Pull(self.pulls[-1], count, LEASE_S, self.most_attempts)
        answer = self.do(me, operation)
        assert isinstance(answer, Pulled)
        self.leases += [(leased.id, leased.token) for leased in answer.items]
        if again and answer.items:
            repeated = self.do(me, operation)
            assert repeated == answer

    @precondition(lambda machine: machine.pulls)
    @rule(me=frontends, index=st.integers(0, 100))
    def repeat_a_pull(self, me: str, index: int) -> None:
        name = self.pulls[index % len(self.pulls)]
        if name in self.model.pulls:
            self.do(me, Pull(name, 3, LEASE_S, self.most_attempts))

    @rule(me=frontends, indexes=st.lists(st.integers(0, 100), min_size=1, max_size=4))
    def beat(self, me: str, indexes: list[int]) -> None:
        self.do(me, Beat(tuple(self.lease(index) for index in indexes), LEASE_S))

    @rule(me=frontends, index=st.integers(0, 100), cancelled=st.booleans())
    def done(self, me: str, index: int, cancelled: bool) -> None:
        id_, token = self.lease(index)
        operation = Done(id_, token, f"reply {token}".encode(), KEEP_S, cancelled)
        answer = self.do(me, operation)
        if id_ in self.model.items:  # it may have been dropped, as nobody was left to tell
            assert self.do(me, operation) == answer

    @rule(me=frontends, index=st.integers(0, 100), counted=st.booleans())
    def release(self, me: str, index: int, counted: bool) -> None:
        id_, token = self.lease(index)
        operation = Release(id_, token, counted, self.most_attempts, "a test")
        answer = self.do(me, operation)
        if id_ in self.model.items:
            assert self.do(me, operation) == answer

    @rule(me=frontends)
    def refresh(self, me: str) -> None:
        operation = Refresh(LEASE_S, self.most_attempts)
        assert self.do(me, operation) == self.do(me, operation)

    @rule(me=frontends)
    def leave(self, me: str) -> None:
        self.do(me, Leave())
        self.read.pop(me, None)

    @rule(me=frontends, most=st.integers(1, 3))
    def read_mail(self, me: str, most: int) -> None:
        known = self.read.pop(me, [])
        letters = self.driver.run(me, "mailbox", most, *known)
        box = self.model.mail.get(me, [])
        del box[: len(known)]
        assert [letter_of(QUEUE, letter) for _, letter in letters] == box[:most]
        assert self.driver.run(me, "mailbox", most, *known) == letters  # the answer was lost
        self.read[me] = [name for name, _ in letters]

    @rule(
        seconds=st.sampled_from([1, 3, 5, 6, 1000, 1001, 7000]),
        served=st.sampled_from([True, True, False]),
        me=frontends,
    )
    def time_passes(self, seconds: int, served: bool, me: str) -> None:
        """The store may have been away meanwhile; else all have had time to come back."""
        self.tick(seconds * 1_000_000)
        if served:
            self.refresh(me)
            self.tick(GAP_US)
            self.refresh(me)

    # --- what the server does by itself --------------------------------------------------------

    @rule(id_=ids)
    def an_ending_is_forgotten(self, id_: str) -> None:
        item = self.model.items.get(id_)
        if item is not None and item.state == "ended":
            del self.model.items[id_]
            self.driver.talk("DEL", f"{PREFIX}it:{id_}")

    @precondition(lambda machine: machine.model.pulls)
    @rule(index=st.integers(0, 100))
    def a_pull_is_forgotten(self, index: int) -> None:
        name = sorted(self.model.pulls)[index % len(self.model.pulls)]
        del self.model.pulls[name]
        self.driver.talk("DEL", f"{PREFIX}pl:{name}")

    @precondition(lambda machine: len(machine.leases) > 6)
    @rule()
    def all_is_lost(self) -> None:
        self.driver.talk("FLUSHALL")
        self.model.lose_all()
        self.read.clear()
        self.tick(1_000_000)

    # --- what must always hold -----------------------------------------------------------------

    def lease(self, index: int) -> tuple[str, str]:
        return self.leases[-1 - index % len(self.leases)]

    @invariant()
    def the_books_agree(self) -> None:
        driver, model = self.driver, self.model
        assert driver.members("w") == [item.id for item in model.line()]
        assert driver.members("i") == [item.id for item in model.running()]
        for frontend in "FGH":
            owned = {m.decode() for m in driver.talk("SMEMBERS", f"{PREFIX}own:{frontend}")}
            waiting = {item.id for item in model.line() if item.origin == frontend}
            assert waiting <= owned <= model.owned(frontend)
        assert driver.talk("XLEN", f"{PREFIX}dead") == len(model.dead)

    @invariant()
    def hints_were_given(self) -> None:
        self.listener("PING")
        prefix = PREFIX.encode()
        channels = [push[1] for push in self.listener.pushes if push[0] == b"message"]
        assert [c.removeprefix(prefix).decode() for c in channels] == self.model.said
        self.listener.pushes.clear()
        self.model.said.clear()

    @invariant()
    def nothing_is_kept_for_ever(self) -> None:
        keys = [key for key in self.driver.talk("KEYS", "*") if key != b"clock"]
        lives = self.driver.talk.all([("PTTL", key) for key in keys])
        assert all(life > 0 for life in lives), dict(zip(keys, lives, strict=True))
        assert all(key.startswith(PREFIX.encode()) for key in keys)


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(program=request.param) as running:
        yield running


@pytest.mark.timeout(900)  # a failure takes minutes to be made small, and is worth it
def test_the_scripts_do_what_the_model_says(server: RedisServer) -> None:
    Shared.server = server
    most = max(120, settings().max_examples)
    run_state_machine_as_test(Shared, settings=settings(max_examples=most))
