"""Anything that may happen to the queues, in any order, against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scalab.protocol.messages import Reply, Request
from scalab.queueing.counters import LOSS_REASONS, LossReason
from scalab.queueing.dispatch import Dispatcher, OnClientGone, RejectedError
from tests.queueing.oracle import RUNNING, WAITING, Backend, Client, Oracle, Ticket

QUEUES = ("a", "b")
TOO_LONG = ["x" * 1024]
POLICIES: tuple[OnClientGone, ...] = ("cancel", "finish")

queue_names = st.sampled_from(["a"] * 5 + ["b"])
# Eighths of a second, so that sums are exact whatever their order.
seconds = st.integers(0, 80).map(lambda eighths: eighths / 8)


backends = st.tuples(
    queue_names,
    st.integers(1, 4),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False] * 7 + [True]),
)
"""Queue, slots, wait and once."""


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A backend's reply; what only the frontend may say is forged now and then."""
    end = draw(st.sampled_from(["success", "success", "retcode", "error", "timeout"]))
    reply = Reply(
        node=draw(st.sampled_from(["", "n1"])),
        runtime_s=draw(seconds),
        retcode={"retcode": 3, "timeout": 124}.get(end, 0),
        error="it broke" if end in ("error", "timeout") else "",
        timeout_s=5.0 if end == "timeout" else 0.0,
    )
    if draw(st.booleans()):
        reply.waittime_s, reply.attempts, reply.outcome = 99.0, 99, "lost"
        reply.reason, reply.retry = "full", True
    return reply


def one_of(find: Callable[[Queues], Sequence[Any]]) -> st.SearchStrategy[Any]:
    """One of what ``find`` finds in the machine; the rule's precondition says that there is one."""
    return st.runner().flatmap(lambda machine: st.sampled_from(find(machine)))


def needs(find: Callable[[Queues], Sequence[Any]]) -> Any:
    """The precondition of a rule that takes ``one_of(find)``."""
    return precondition(lambda machine: bool(find(machine)))


class Queues(RuleBasedStateMachine):
    """One frontend's life."""

    @initialize(
        queue_max=st.sampled_from([0, 0, 1, 3]),
        max_attempts=st.sampled_from([3, 2, 1]),
        on_client_gone=st.sampled_from(POLICIES),
        first=st.lists(backends, min_size=2, max_size=3),
        waiting=st.integers(0, 4),
    )
    def start(
        self,
        queue_max: int,
        max_attempts: int,
        on_client_gone: OnClientGone,
        first: list[tuple[str, int, bool, bool]],
        waiting: int,
    ) -> None:
        self.oracle = Oracle(QUEUES, queue_max, max_attempts, on_client_gone)
        self.dispatcher = self.make_dispatcher(queue_max, max_attempts, on_client_gone)
        self.steps = 0
        self.clients = [Client(self.oracle, name) for name in ("Ann", "Bob", "Cid")]
        for backend in first:
            self.attach(backend)
        if waiting:
            self.submit(self.clients[0], "a", waiting, [])

    def make_dispatcher(
        self, queue_max: int, max_attempts: int, on_client_gone: OnClientGone
    ) -> Dispatcher:
        return Dispatcher(
            QUEUES,
            queue_max=queue_max,
            max_attempts=max_attempts,
            on_client_gone=on_client_gone,
        )

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.steps += 1
        self.oracle.check(self.dispatcher)

    # --- what there is -------------------------------------------------------------------------

    def live(self) -> list[Backend]:
        return [b for b in self.oracle.backends if b.live]

    def runs(self) -> list[tuple[Backend, str]]:
        return [(b, token) for b in self.live() for token in b.running]

    def unfinished(self) -> list[Ticket]:
        return [t for t in self.oracle.tickets if t.state in (WAITING, RUNNING)]

    # --- clients -------------------------------------------------------------------------------

    @rule(
        client=one_of(lambda machine: machine.clients),
        queue=queue_names,
        count=st.integers(1, 3),
        args=st.sampled_from([[], [], [], ["1", "2"], TOO_LONG]),
    )
    def submit(self, client: Client, queue: str, count: int, args: list[str]) -> None:
        for _ in range(count):
            request = Request(queue, args, 1.5, id=f"r{len(self.oracle.tickets)}")
            reasons = self.oracle.reasons_to_reject(request)
            if not reasons:
                ticket = self.oracle.accept(client, request)
                ticket.real = self.dispatcher.submit(client, request, self.oracle.now)
            else:
                with pytest.raises(RejectedError) as caught:
                    self.dispatcher.submit(client, request, self.oracle.now)
                assert caught.value.reason in reasons
                self.oracle.rejected(queue, caught.value.reason)
            self.oracle.check(self.dispatcher)

    @needs(unfinished)
    @rule(ticket=one_of(unfinished), again=st.booleans())
    def cancel(self, ticket: Ticket, again: bool) -> None:
        for _ in range(1 + again):
            self.oracle.cancel(ticket)
            self.dispatcher.cancel(ticket.real, self.oracle.now)

    @rule(index=st.integers(0, 1))
    def leave(self, index: int) -> None:
        """Ann or Bob leaves, with all that they ever asked for; another one comes."""
        client = self.clients[index]
        self.clients[index] = Client(self.oracle, f"{client.name}'s successor")
        self.oracle.leave(client)
        self.dispatcher.client_gone([t.real for t in client.tickets], self.oracle.now)

    # --- backends ------------------------------------------------------------------------------

    @precondition(lambda machine: len(machine.live()) < 5)
    @rule(backend=backends)
    def attach(self, backend: tuple[str, int, bool, bool]) -> None:
        queue, slots, wait, once = backend
        name = f"backend {len(self.oracle.backends)}"
        port = Backend(self.oracle, name, queue, slots, wait, once, draining=self.oracle.draining)
        self.oracle.backends.append(port)
        port.real = self.dispatcher.attach(
            port, queue, self.oracle.now, slots=slots, wait=wait, once=once, node=name
        )

    @needs(live)
    @rule(backend=one_of(live))
    def pull(self, backend: Backend) -> None:
        backend.resting = False
        self.dispatcher.pull(backend.real, self.oracle.now)

    @needs(runs)
    @rule(replies=st.lists(replies(), min_size=1, max_size=4), index=st.integers(0, 7))
    def serve(self, replies: list[Reply], index: int) -> None:
        for reply in replies:
            if runs := self.runs():
                self.finish(runs[index % len(runs)], reply)
                self.oracle.check(self.dispatcher)

    def finish(self, run: tuple[Backend, str], reply: Reply) -> None:
        backend, token = run
        ticket, node = backend.running[token], reply.node or backend.name
        self.oracle.finish(backend, token, reply)
        assert self.dispatcher.finish(backend.real, token, reply, self.oracle.now) is ticket.real
        assert reply.node == node

    @needs(runs)
    @rule(run=one_of(runs))
    def release(self, run: tuple[Backend, str]) -> None:
        backend, token = run
        ticket = backend.running[token]
        self.oracle.release(backend, token)
        assert self.dispatcher.release(backend.real, token, self.oracle.now) is ticket.real

    @needs(live)
    @rule(backend=one_of(live))
    def retire(self, backend: Backend) -> None:
        backend.draining = True
        self.dispatcher.retire(backend.real)

    @needs(live)
    @rule(backend=one_of(live), reason=st.sampled_from(LOSS_REASONS))
    def detach(self, backend: Backend, reason: LossReason) -> None:
        had = {ticket.real for ticket in backend.running.values()}
        self.oracle.detach(backend, reason)
        assert set(self.dispatcher.detach(backend.real, reason, self.oracle.now)) == had

    @needs(live)
    @rule(backend=one_of(live))
    def scale_down(self, backend: Backend) -> None:
        """It is told to stop: takes no more, gives up what it has, and leaves."""
        self.retire(backend)
        for token in list(backend.running):
            self.release((backend, token))
            self.oracle.check(self.dispatcher)
        self.detach(backend, "disconnect")

    @needs(live)
    @rule(backend=one_of(live), reason=st.sampled_from(LOSS_REASONS))
    def restart(self, backend: Backend, reason: LossReason) -> None:
        """It crashes and comes back."""
        self.detach(backend, reason)
        self.attach((backend.queue, backend.slots, backend.wait, backend.once))

    # --- what must have no effect --------------------------------------------------------------

    @needs(lambda machine: machine.oracle.backends)
    @rule(backend=one_of(lambda machine: machine.oracle.backends), reply=replies())
    def repeat_what_is_over(self, backend: Backend, reply: Reply) -> None:
        """Tokens of others and of the past, cancels of what ended, words of a lost backend."""
        dispatcher, now = self.dispatcher, self.oracle.now
        for token in (*self.oracle.tokens, "0", ""):
            if token not in backend.running:
                assert dispatcher.finish(backend.real, token, reply, now) is None
                assert dispatcher.release(backend.real, token, now) is None
        for ticket in self.oracle.tickets:
            if ticket.state not in (WAITING, RUNNING):
                dispatcher.cancel(ticket.real, now)
        if not backend.live:
            dispatcher.pull(backend.real, now)
            dispatcher.retire(backend.real)
            assert dispatcher.detach(backend.real, "disconnect", now) == []

    # --- the rest ------------------------------------------------------------------------------

    @rule(passed_s=seconds, new_period=st.booleans(), refuse=st.booleans())
    def time_passes(self, passed_s: float, new_period: bool, refuse: bool) -> None:
        self.oracle.now += passed_s
        if new_period:
            self.oracle.reset_maxima("a")
            self.dispatcher.queues["a"].counters.reset_maxima()
        if refuse:
            self.refuse_for_other_reasons()

    def refuse_for_other_reasons(self) -> None:
        """What the caller refuses itself, and what names no queue."""
        dispatcher, now = self.dispatcher, self.oracle.now
        assert dispatcher.reject("a", "busy", "too many connections").reason == "busy"
        self.oracle.rejected("a", "busy")
        client, backend = self.clients[0], Backend(self.oracle, "lost", "nope", 1)
        for refused in (
            lambda: dispatcher.submit(client, Request("nope"), now),
            lambda: dispatcher.attach(backend, "nope", now),
            lambda: dispatcher.reject("nope", "busy", "too many connections"),
        ):
            with pytest.raises(RejectedError, match=r"unknown queue 'nope'; known: a, b"):
                refused()
            self.oracle.rejected("nope", "unknown_queue")

    @precondition(lambda machine: machine.steps > 25)
    @rule()
    def drain(self) -> None:
        self.oracle.drain()
        self.dispatcher.drain(self.oracle.now)

    def teardown(self) -> None:
        """Whatever happened: once backends serve again, each item ends, and each is answered."""
        for backend in self.live():
            self.detach(backend, "release")
        for queue in QUEUES:
            self.attach((queue, 1, True, False))
        while runs := self.runs():
            self.finish(runs[0], Reply())
            self.oracle.check(self.dispatcher)
        for queue in QUEUES:
            counters = self.dispatcher.queues[queue].counters
            assert counters.accepted == sum(counters.completed.values())
        for client in self.clients:
            assert all(self.oracle.answered[t.request.id] == 1 for t in client.tickets)


@pytest.mark.timeout(900)  # a failure takes minutes to be made small, and is worth it
def test_dispatcher_does_what_the_oracle_says() -> None:
    most = max(300, settings().max_examples)
    run_state_machine_as_test(Queues, settings=settings(max_examples=most))
