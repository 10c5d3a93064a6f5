"""The open loop against a model that remembers every arrival, and in known situations."""

from __future__ import annotations

from math import inf

import attrs
import pytest
from hypothesis import assume, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from scalab.load import arrivals
from scalab.load.arrivals import Arrivals, Constant, Poisson
from scalab.load.curve import Curve, Stage
from scalab.load.pacing import LATE_S, Due, OpenLoop, Pacer

from .test_pacing import intended


def test_requests_are_sent_when_they_arrive() -> None:
    pacer = OpenLoop(Constant(Curve([Stage(4, 4, 1)], 10.0)), 100, 5.0)
    sent: list[Due] = []
    now: float | None = 10.0
    while now is not None:
        sent += pacer.take(now)
        assert not pacer.take(now)
        now = pacer.next_due(now)
    assert sent == [(10.0, False), (10.25, False), (10.5, False), (10.75, False)]
    assert pacer.in_flight == 4
    assert not pacer.exhausted, "the rate may be raised again"
    assert pacer.set_level(2.0, 20.0) == pacer.level(20.0) == pacer.target == 2.0
    assert pacer.next_due(20.0) == 20.0
    assert intended(pacer.take(21.0)) == [20.0, 20.5, 21.0]


def frozen_server(catch_up_s: float) -> tuple[list[tuple[float, Due]], OpenLoop]:
    """Send 8 a second for 4 s, 3 in flight at most, to a server that takes 1/16 s, and is frozen
    from 1 s to 3 s. Return when each request was sent."""
    pacer = OpenLoop(Constant(Curve([Stage(8, 8, 4)], 0.0)), 3, catch_up_s)
    sent: list[tuple[float, Due]] = []
    replies: list[float] = []
    now = 0.0
    while now < inf:
        done = sum(reply <= now for reply in replies)
        replies = replies[done:]
        pacer.finished(now, done)
        for due in pacer.take(now):
            sent.append((now, due))
            replies.append(3.0 if 1 <= now < 3 else now + 1 / 16)
        assert pacer.in_flight == len(replies) <= 3
        due_at = pacer.next_due(now)
        now = min([*replies, inf if due_at is None else due_at])
    pacer.settle(99.0)
    return sent, pacer


def test_a_frozen_server_and_what_is_caught_up() -> None:
    sent, pacer = frozen_server(catch_up_s=1.0)
    on_time = [(i / 8, (i / 8, False)) for i in range(11)]  # the last three until it is thawed
    batches = [(3.0, 16), (3.0625, 19), (3.125, 22)]
    late = [(at, ((i + j) / 8, True)) for at, i in batches for j in range(3)]
    late.append((3.1875, (25 / 8, True)))
    assert sent == on_time + late + [(i / 8, (i / 8, False)) for i in range(26, 32)]
    assert pacer.dropped == 5, "those of 1.375 to 1.875 s"
    assert pacer.held == 10
    assert max(at - due.intended_s for at, due in sent) == 1.0


def test_a_frozen_server_and_nothing_caught_up() -> None:
    sent, pacer = frozen_server(catch_up_s=0.0)
    assert sent == [(i / 8, (i / 8, False)) for i in [*range(11), *range(24, 32)]]
    assert (pacer.dropped, pacer.held) == (13, 0)


def test_late_ones_for_which_there_was_room_are_not_held() -> None:
    pacer = OpenLoop(Constant(Curve.hold(8, 0.0)), 3, 9.0)
    assert len(pacer.take(0.25)) == 3
    pacer.finished(0.5)  # there is room from here on
    pacer.finished(0.75, 2)
    assert pacer.take(0.75) == [(0.375, True), (0.5, False), (0.625, False)]


def test_a_late_client_makes_up_for_a_second_at_least() -> None:
    pacer = OpenLoop(Constant(Curve.hold(8, 0.0)), 100, 0.0)
    assert len(pacer.take(0.9)) == 8
    assert (pacer.held, pacer.dropped) == (0, 0)
    assert intended(pacer.take(5.0)) == [4 + i / 8 for i in range(9)]
    assert (pacer.held, pacer.dropped) == (0, 24)
    patient = OpenLoop(Constant(Curve.hold(8, 0.0)), 100, 3.0)
    assert len(patient.take(5.0)) == 25
    assert patient.dropped == 16


def test_what_nobody_takes_is_counted_when_asked_for() -> None:
    pacer = OpenLoop(Constant(Curve.hold(10, 0.0)), 1, 2.0)
    assert len(pacer.take(0.0)) == 1
    pacer.settle(2.0)
    assert pacer.dropped == 0
    pacer.settle(3.0)
    assert pacer.dropped == 10, "those of 0.1 to 1.0 s"
    assert pacer.next_due(3.0) is None, "until one ends"
    pacer.finished(3.0)
    assert pacer.take(3.0) == [Due(1.1, held=True)]


def test_dropped_ones_count_against_the_number_of_requests() -> None:
    pacer = OpenLoop(Constant(Curve.hold(10, 0.0)), 1, 0.0, requests=5)
    assert len(pacer.take(0.0)) == 1
    pacer.settle(0.25)
    assert (pacer.dropped, pacer.exhausted) == (2, False)
    pacer.settle(9.0)
    assert (pacer.dropped, pacer.exhausted) == (4, True)
    pacer.finished(9.0)
    assert pacer.next_due(9.0) is None
    assert not pacer.take(9.0)
    assert repr(pacer) == "<OpenLoop 0 in flight, 4 dropped, 0 left>"


def test_work_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pacer = OpenLoop(Constant(Curve.hold(1000, 0.0)), 10**6, 1e6)
    assert len(pacer.take(1000.0)) == 10_000
    assert pacer.next_due(1000.0) == 1000.0
    assert len(pacer.take(1000.0, most=7)) == 7
    monkeypatch.setattr(arrivals, "MOST_SKIPPED", 100)
    pacer = OpenLoop(Poisson(Curve.hold(100, 0.0), 1), 10**6, 0.0)
    takes = 1
    while not (due := pacer.take(10.0)):
        assert pacer.dropped == 100 * takes
        assert pacer.next_due(10.0) == 10.0
        takes += 1
    assert takes > 5
    assert due[0].intended_s >= 10 - LATE_S
    pacer.settle(100.0)
    assert pacer.dropped + len(due) > 9000


def test_rates_are_clamped() -> None:
    pacer = OpenLoop(Constant(Curve.hold(10, 0.0)), 1, 0.0)
    assert [pacer.set_level(r, 1.0) for r in (inf, 1e9, -1.0, 1e-9)] == [1e6, 1e6, 0.0, 0.0]
    assert pacer.curve.end_s == inf


@pytest.mark.parametrize(
    "numbers", [{"max_in_flight": 0}, {"catch_up_s": -0.1}, {"requests": -1}], ids=str
)
def test_loops_that_make_no_sense_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        OpenLoop(Constant(Curve.hold(1, 0.0)), **{"max_in_flight": 1, "catch_up_s": 0, **numbers})


@attrs.define
class Waiting:
    """One of the naive model's arrivals."""

    at: float
    blocked: bool = False
    """Whether there was a time at which it could have been sent but for the limit."""


class OpenLoopMachine(RuleBasedStateMachine):
    """The model remembers each arrival, and whether it met a limit. Times are exact in floats."""

    @initialize(
        seed=st.none() | st.integers(0, 9),
        rate=st.integers(1, 4),
        most=st.integers(1, 6),
        catch_up=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        requests=st.none() | st.integers(0, 60),
    )
    def start(
        self, seed: int | None, rate: int, most: int, catch_up: float, requests: int | None
    ) -> None:
        def source() -> Arrivals:
            curve = Curve.hold(rate, 0.0)
            return Constant(curve) if seed is None else Poisson(curve, seed)

        self.now, self.most, self.catch_up, self.left = 0.0, most, catch_up, requests
        self.pacer: Pacer = OpenLoop(source(), most, catch_up, requests=requests)
        self.source = source()
        self.waiting: list[Waiting] = []
        self.arrived = self.sent = self.dropped = self.held = self.in_flight = 0
        self.arrive()

    def arrive(self) -> None:
        while self.source.next_at is not None and self.source.next_at <= self.now:
            self.waiting.append(Waiting(self.source.pop()))
            self.arrived += 1

    def is_full(self) -> bool:
        return self.in_flight == self.most

    def block(self) -> None:
        """Note which arrivals have met the limit before now."""
        for one in self.waiting:
            one.blocked |= self.is_full() and one.at < self.now

    def drop(self) -> None:
        """Forget what is too late."""
        kept = []
        for one in self.waiting:
            if self.is_full():
                is_dropped = one.at <= self.now - self.catch_up
            elif one.blocked:
                is_dropped = one.at < self.now - self.catch_up
            else:
                is_dropped = one.at < self.now - max(self.catch_up, LATE_S)
            if is_dropped and self.left != 0:
                self.dropped += 1
                self.left = None if self.left is None else self.left - 1
            else:
                kept.append(one)
        self.waiting = kept

    @rule(eighths=st.integers(0, 20))
    def wait(self, eighths: int) -> None:
        self.now += eighths / 8
        self.arrive()
        self.block()

    @rule(most=st.integers(1, 9))
    def take(self, most: int) -> None:
        self.drop()
        n = min(most, self.most - self.in_flight, len(self.waiting))
        n = n if self.left is None else min(n, self.left)
        due, self.waiting = self.waiting[:n], self.waiting[n:]
        self.held += sum(one.blocked for one in due)
        self.sent += n
        self.in_flight += n
        self.left = None if self.left is None else self.left - n
        if n and self.is_full():
            self.drop()
            self.block()
        assert self.pacer.take(self.now, most) == [(one.at, one.blocked) for one in due]

    @rule()
    def settle(self) -> None:
        self.drop()
        self.pacer.settle(self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, self.in_flight))
        self.in_flight -= n
        self.pacer.finished(self.now, n, pause_s=5.0)

    @rule(level=st.integers(0, 6))
    def set_level(self, level: int) -> None:
        # One that arrives at this very moment belongs to the new level, and may be put off by it.
        assume(not self.waiting or self.waiting[-1].at < self.now - 1e-9)
        assert self.pacer.set_level(level, self.now) == level
        self.source.change(self.now, level)
        self.arrive()
        assert self.pacer.level(self.now) == self.pacer.target == level

    @rule()
    def until_due(self) -> None:
        due = self.pacer.next_due(self.now)
        assume(due is not None)
        assert due is not None
        if due > self.now:
            self.wait(0)
            assert not self.pacer.take((self.now + due) / 2)
            self.now = due
            self.arrive()
        assert self.waiting

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "pacer"):
            return
        assert self.pacer.in_flight == self.in_flight <= self.most
        assert self.pacer.exhausted == (self.left == 0)
        assert (self.pacer.dropped, self.pacer.held) == (self.dropped, self.held)
        assert self.sent + self.dropped + len(self.waiting) == self.arrived
        waits = bool(self.waiting) and not self.is_full() and self.left != 0
        assert (self.pacer.next_due(self.now) == self.now) == waits


TestOpenLoop = OpenLoopMachine.TestCase
