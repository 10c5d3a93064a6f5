"""A simple model of the queues: what the dispatcher must do, worked out in another way.

The test tells the oracle what is about to happen, then calls the dispatcher. The oracle has the
ports' other ends: it checks every hand-over, cancellation and answer when it comes, and with
``check`` that all that had to come did, and that the dispatcher's books agree with its own.

It is made to be obvious, not fast: one list of all items ever, nothing indexed. It doesn't know
which of several free backends gets an item; it accepts any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from scalab.protocol.codec import item_too_long
from scalab.protocol.messages import Reply, Request
from scalab.queueing.counters import LossReason
from scalab.queueing.dispatch import Dispatcher, OnClientGone
from scalab.queueing.item import Item
from scalab.queueing.worker import Worker

WAITING, RUNNING = "waiting", "running"


@attrs.define(eq=False)
class Client:
    """A client's port."""

    oracle: Oracle
    name: str
    tickets: list[Ticket] = attrs.Factory(list)

    def answer(self, item: Item, reply: Reply) -> None:
        self.oracle.on_answer(self, item, reply)

    def __repr__(self) -> str:
        return self.name


@attrs.define(eq=False)
class Backend:
    """A backend's port."""

    oracle: Oracle
    name: str
    queue: str
    slots: int
    wait: bool = True
    once: bool = False
    real: Worker = attrs.field(init=False)
    live: bool = True
    draining: bool = False
    resting: bool = False
    running: dict[str, Ticket] = attrs.Factory(dict)

    @property
    def free(self) -> int:
        usable = self.live and not self.draining and not self.resting
        return self.slots - len(self.running) if usable else 0

    def hand(self, item: Item) -> None:
        self.oracle.on_hand(self, item)

    def cancel(self, item: Item) -> None:
        self.oracle.on_cancel(self, item)

    def empty(self) -> None:
        self.oracle.on_empty(self)

    def __repr__(self) -> str:
        return self.name


@attrs.define(eq=False)
class Ticket:
    """An accepted request."""

    number: int
    request: Request
    client: Client | None
    accepted_at: float
    waiting_since: float
    state: str = WAITING
    """Or running, or the outcome."""
    waited_s: float = 0.0
    crashes: int = 0
    withdrawn: bool = False
    real: Item = attrs.field(init=False)

    def __repr__(self) -> str:
        return f"{self.request.id} ({self.state})"


@attrs.frozen
class Answer:
    """What a client must be told."""

    client: Client
    outcome: str
    waited_s: float
    attempts: int
    retry: bool
    by_backend: bool


@attrs.define(eq=False)
class Books:
    """What happened in one queue; durations as plain lists."""

    accepted: int = 0
    delivered: int = 0
    completed: Counter[str] = attrs.Factory(Counter)
    rejected: Counter[str] = attrs.Factory(Counter)
    redelivered: Counter[str] = attrs.Factory(Counter)
    cancelled: Counter[str] = attrs.Factory(Counter)
    waits: list[float] = attrs.Factory(list)
    runs: list[float] = attrs.Factory(list)
    requests: list[float] = attrs.Factory(list)
    period: tuple[int, int] = (0, 0)
    """Where in ``runs`` (and ``waits``) and in ``requests`` the present period of maxima began."""


@attrs.define(eq=False)
class Oracle:
    """The model; each method is called just before what it is named after happens."""

    names: tuple[str, ...]
    queue_max: int
    max_attempts: int
    on_client_gone: OnClientGone
    now: float = 100.0
    draining: bool = False
    tickets: list[Ticket] = attrs.Factory(list)
    backends: list[Backend] = attrs.Factory(list)
    books: dict[str, Books] = attrs.Factory(dict)
    unknown_queue: int = 0
    tokens: list[str] = attrs.Factory(list)
    answers: dict[str, Answer] = attrs.Factory(dict)
    """What must still be told, by the request's Id."""
    cancels: list[tuple[Backend, Ticket]] = attrs.Factory(list)
    """What backends must still be asked to cancel."""
    answered: Counter[str] = attrs.Factory(Counter)

    def __attrs_post_init__(self) -> None:
        self.books = {name: Books() for name in self.names}

    def waiting(self, queue: str) -> list[Ticket]:
        """What waits, in the order in which it must be handed out."""
        return [t for t in self.tickets if t.request.queue == queue and t.state == WAITING]

    def live(self, queue: str) -> list[Backend]:
        return [b for b in self.backends if b.queue == queue and b.live]

    # --- what is about to happen ---------------------------------------------------------------

    def reasons_to_reject(self, request: Request) -> set[str]:
        full = self.queue_max > 0 and len(self.waiting(request.queue)) >= self.queue_max
        long = item_too_long(request.args, request.limit_s)
        reasons = {"draining": self.draining, "full": full, "too_large": long}
        return {reason for reason, applies in reasons.items() if applies}

    def rejected(self, queue: str, reason: str) -> None:
        if reason == "unknown_queue":
            self.unknown_queue += 1
        else:
            self.books[queue].rejected[reason] += 1

    def accept(self, client: Client, request: Request) -> Ticket:
        ticket = Ticket(len(self.tickets), request, client, self.now, self.now)
        self.tickets.append(ticket)
        client.tickets.append(ticket)
        self.books[request.queue].accepted += 1
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        if ticket.state == WAITING:
            self._drop(ticket, "cancelled")
        elif ticket.state == RUNNING:
            self._withdraw(ticket)

    def leave(self, client: Client) -> None:
        for ticket in client.tickets:
            ticket.client = None
            if ticket.state == WAITING:
                self._drop(ticket, "disconnected")
            elif ticket.state == RUNNING and self.on_client_gone == "cancel":
                self._withdraw(ticket)

    def finish(self, backend: Backend, token: str, reply: Reply) -> None:
        ticket = backend.running.pop(token)
        outcome = "failure" if reply.retcode != 0 or reply.error != "" else "success"
        if reply.timeout_s > 0:
            outcome = "timeout"
        if ticket.withdrawn and outcome != "success":
            outcome = "cancelled"
        books = self.books[backend.queue]
        books.waits.append(ticket.waited_s)
        books.runs.append(reply.runtime_s)
        self._end(ticket, outcome, attempts=ticket.crashes + 1, by_backend=True)

    def release(self, backend: Backend, token: str) -> None:
        self._take_back(backend.running.pop(token), "release")

    def detach(self, backend: Backend, reason: LossReason) -> None:
        backend.live = False
        for ticket in backend.running.values():
            self._take_back(ticket, reason)
        backend.running.clear()

    def drain(self) -> None:
        self.draining = True
        for backend in self.backends:
            backend.draining = True
        for queue in self.names:
            for ticket in self.waiting(queue):
                self._drop(ticket, "cancelled", retry=True)

    def reset_maxima(self, queue: str) -> None:
        books = self.books[queue]
        books.period = (len(books.runs), len(books.requests))

    def _drop(self, ticket: Ticket, outcome: str, *, retry: bool = False) -> None:
        self.books[ticket.request.queue].cancelled["waiting"] += 1
        ticket.waited_s += self.now - ticket.waiting_since
        self._end(ticket, outcome, attempts=ticket.crashes, retry=retry)

    def _withdraw(self, ticket: Ticket) -> None:
        if not ticket.withdrawn:
            ticket.withdrawn = True
            self.books[ticket.request.queue].cancelled["running"] += 1
            (backend,) = (b for b in self.backends if ticket in b.running.values())
            self.cancels.append((backend, ticket))

    def _take_back(self, ticket: Ticket, reason: LossReason) -> None:
        crashed = reason != "release"
        ticket.crashes += crashed
        if ticket.withdrawn:
            self._end(ticket, "cancelled", attempts=ticket.crashes)
        elif self.draining:
            self._end(ticket, "cancelled", attempts=ticket.crashes, retry=True)
        elif crashed and ticket.crashes == self.max_attempts:
            self._end(ticket, "lost", attempts=ticket.crashes)
        else:
            self.books[ticket.request.queue].redelivered[reason] += 1
            ticket.state = WAITING
            ticket.waiting_since = self.now

    def _end(
        self,
        ticket: Ticket,
        outcome: str,
        *,
        attempts: int,
        retry: bool = False,
        by_backend: bool = False,
    ) -> None:
        ticket.state = outcome
        books = self.books[ticket.request.queue]
        books.completed[outcome] += 1
        books.requests.append(self.now - ticket.accepted_at)
        if ticket.client is not None:
            self.answers[ticket.request.id] = Answer(
                ticket.client, outcome, ticket.waited_s, attempts, retry, by_backend
            )

    # --- what the dispatcher does --------------------------------------------------------------

    def on_hand(self, backend: Backend, item: Item) -> None:
        waiting = self.waiting(backend.queue)
        assert waiting, "an item is handed out though none waits"
        ticket = waiting[0]
        assert item.id == ticket.request.id, "it has waited longest"
        assert backend.free > 0, "the backend has a free slot"
        assert (item.args, item.limit_s) == (ticket.request.args, ticket.request.limit_s)
        assert item.token not in self.tokens, "a token is never used again"
        assert item.attempts == ticket.crashes + 1
        self.tokens.append(item.token)
        ticket.state = RUNNING
        ticket.waited_s += self.now - ticket.waiting_since
        backend.running[item.token] = ticket
        backend.resting = backend.once
        self.books[backend.queue].delivered += 1

    def on_cancel(self, backend: Backend, item: Item) -> None:
        (ticket,) = (t for t in self.tickets if t.request.id == item.id)
        assert backend.running[item.token] is ticket
        self.cancels.remove((backend, ticket))

    def on_empty(self, backend: Backend) -> None:
        assert not backend.wait
        assert backend.free > 0, "it is told once, and only if it could take an item"
        assert not self.waiting(backend.queue), "nothing waits"
        backend.resting = True

    def on_answer(self, client: Client, item: Item, reply: Reply) -> None:
        wanted = self.answers.pop(item.id)
        found = Answer(
            client, reply.outcome, reply.waittime_s, reply.attempts, reply.retry, wanted.by_backend
        )
        assert found == wanted
        assert reply.reason == "", "it was accepted"
        if not wanted.by_backend:  # as classic clients know an error of the frontend's own
            assert reply.error
            assert (reply.retcode, reply.node) == (1, "")
        self.answered[item.id] += 1

    # --- what must be true then ----------------------------------------------------------------

    def check(self, dispatcher: Dispatcher) -> None:
        """Check that all is done that follows from what happened, and all is counted."""
        assert self.answers == {}, "not yet answered"
        assert self.cancels == [], "not yet cancelled"
        assert set(self.answered.values()) <= {1}, "answered twice"
        assert dispatcher.draining == self.draining
        assert dispatcher.unknown_queue == self.unknown_queue
        assert dispatcher.running == sum(len(b.running) for b in self.backends)
        for queue in self.names:
            self._check_items(dispatcher, queue)
            self._check_backends(dispatcher, queue)
            self._check_counters(dispatcher, queue)

    def _check_items(self, dispatcher: Dispatcher, name: str) -> None:
        queue, waiting = dispatcher.queues[name], self.waiting(name)
        assert [item.id for item in queue.waiting] == [t.request.id for t in waiting]
        assert len(queue.waiting) == len(waiting)
        head = queue.waiting.head()
        assert (head.id if head else None) == (waiting[0].request.id if waiting else None)
        counters = queue.counters
        ended = sum(counters.completed.values())
        assert counters.accepted == len(waiting) + queue.running + ended, "conservation"
        if waiting:
            assert not any(b.free for b in self.live(name)), "a backend idles though items wait"

    def _check_backends(self, dispatcher: Dispatcher, name: str) -> None:
        queue, live = dispatcher.queues[name], self.live(name)
        assert queue.workers == {b.real for b in live}
        running = [item.id for worker in queue.workers for item in worker.running.values()]
        assert len(set(running)) == len(running) == queue.running, "one item on two backends"
        for backend in live:
            real = {token: item.id for token, item in backend.real.running.items()}
            assert real == {token: t.request.id for token, t in backend.running.items()}
            assert backend.real.free == backend.free
            if not backend.wait:
                assert backend.free == 0, "it has not been told that nothing waits"
        draining = [len(b.running) for b in live if b.draining]
        busy = [len(b.running) for b in live if not b.draining]
        idle = [b.slots - len(b.running) for b in live if not b.draining]
        slots = {"idle": sum(idle), "busy": sum(busy), "draining": sum(draining)}
        assert queue.slots() == slots

    def _check_counters(self, dispatcher: Dispatcher, name: str) -> None:
        counters, books = dispatcher.queues[name].counters, self.books[name]
        assert (counters.accepted, counters.delivered) == (books.accepted, books.delivered)
        for kind in ("completed", "rejected", "redelivered", "cancelled"):
            counted = getattr(counters, kind)
            assert Counter(counted) == getattr(books, kind), kind
        run_from, request_from = books.period
        for durations, history, start in (
            (counters.wait, books.waits, run_from),
            (counters.run, books.runs, run_from),
            (counters.request, books.requests, request_from),
        ):
            assert sum(durations.counts) == len(history)
            assert durations.sum_s == sum(history)
            assert durations.max_s == _longest(history[start:])
        assert counters.slowest.run_s == _longest(books.runs[run_from:])


def _longest(durations: Iterable[float]) -> float:
    return max(durations, default=0.0)
