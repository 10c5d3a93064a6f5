"""The dispatcher of a frontend that shares its queues: who gets what, decided with the store.

It has the methods of the dispatcher in memory, synchronous and without a clock, and does what they
do; but a request that is taken may be told later that the queue is full, and a backend that finds
the queue empty is told so later.

Each queue has two halves, which know each other only through the store: ``Origin``, the requests
of our clients, and ``Holder``, the items that our backends run. What they want of the store leaves
by the queue's ``Outbox``; a service runs it and brings the answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count

from scalab.protocol.codec import item_too_long
from scalab.protocol.framing import MAX_MESSAGE
from scalab.protocol.messages import Reply, Request
from scalab.protocol.text import printable
from scalab.queueing.counters import LossReason, RejectReason
from scalab.queueing.dispatch import OnClientGone, RejectedError
from scalab.queueing.item import ClientPort, Item
from scalab.queueing.queue import Queue
from scalab.queueing.worker import Worker, WorkerPort

from .holder import Holder, LeaseTerms
from .operations import (
    Answer,
    Connected,
    Disconnected,
    Event,
    Kill,
    Leave,
    Mailed,
    Operation,
    Refresh,
    Refreshed,
    Wake,
)
from .origin import Asked, Origin
from .outbox import Outbox
from .reports import report_of, whole

REFRESH_S = 1.0
"""Between looks at a queue as a whole."""
CHECK_S = 5.0
"""Between questions what has become of our clients' items."""
POLL_S = (0.25, 1.0)
"""Between pulls of a queue that was empty, at random; mostly a wake comes first."""
BEATS = 4
"""Times that a lease is renewed before it would end."""
ALIVE_S = 10.0
"""A frontend that was silent for so long isn't counted any more."""


class SharedQueue:
    """One queue, as one of the frontends has it.

    Args:
        queue: Its backends and counters.
        frontend: Our name.
        terms: Of the leases.
        on_client_gone: Whether a running item whose client left is cancelled or finished.
        wake: Called when there is something to tell the store.
        numbers: Names hand-overs.
    """

    def __init__(
        self,
        queue: Queue,
        frontend: str,
        terms: LeaseTerms,
        on_client_gone: OnClientGone,
        wake: Callable[[], None],
        *,
        numbers: Iterator[int],
    ) -> None:
        self.queue = queue
        self.outbox = Outbox(wake)
        self.origin = Origin(queue, self.outbox, frontend, on_client_gone)
        self.holder = Holder(queue, self.outbox, self.origin, terms, frontend, numbers=numbers)
        self._wake = wake
        self._terms = terms
        self._generation = ""
        self._refreshing = False
        self._refresh_at = self._beat_at = self._check_at = self._poll_at = 0.0

    @property
    def busy(self) -> int:
        """What must come to an end before a frontend that stops may leave."""
        return self.queue.running + len(self.origin.asked) + self.outbox.owed

    def take(self) -> list[Operation]:
        """Return what is to be sent to the store now."""
        return self.outbox.take(self.holder.next_pull)

    def answered(self, answers: Sequence[Answer], now: float) -> None:
        """Take the store's answers to what was taken last."""
        self.outbox.answered(answers, now)
        self.look()

    def look(self) -> None:
        """Pull, if a free slot makes it worth while."""
        if self.holder.wanted and self.queue.idle:
            self._wake()

    def woken(self) -> None:
        """Learn that something waits."""
        self.holder.wanted = True
        self.look()

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._poll_at:
            self._poll_at = now + random.uniform(*POLL_S)  # noqa: S311 - spreads load
            self.woken()
        if now >= self._refresh_at and not self._refreshing:
            self._refresh_at = now + REFRESH_S
            self._refreshing = True
            report = report_of(self.queue)
            self.outbox.post(Refresh(ALIVE_S, self._terms.max_attempts, report), self._refreshed)
        if now >= self._beat_at:
            self._beat_at = now + self._terms.lease_s / BEATS
            self.holder.beat()
        if now >= self._check_at:
            self._check_at = now + CHECK_S
            self.origin.check()

    def connected(self) -> None:
        """Do at once what tells us what we missed."""
        self._refresh_at = self._beat_at = self._check_at = 0.0

    def _refreshed(self, answer: Refreshed, _now: float) -> None:
        self._refreshing = False
        if answer.generation != self._generation:
            if self._generation:  # the store has lost everything
                self.origin.check()
                self.holder.beat()
            self._generation = answer.generation
        self.queue.shared = whole(answer)


class SharedDispatcher:
    """The queues of one frontend, shared with others.

    Args:
        names: The queues to serve.
        frontend: Our name, unlike that of any other frontend, ever.
        wake: Called with a queue's name when there is something to tell the store.
        queue_max: Most items that may wait in each, over all frontends; 0 = unlimited.
        on_client_gone: Whether a running item whose client left is cancelled or finished.
        terms: Of the leases.
    """

    def __init__(
        self,
        names: Iterable[str],
        frontend: str,
        wake: Callable[[str], None],
        *,
        queue_max: int = 0,
        on_client_gone: OnClientGone = "cancel",
        terms: LeaseTerms | None = None,
    ) -> None:
        self.queues = {name: Queue(name, queue_max) for name in names}
        terms, numbers = terms or LeaseTerms(), count(1)
        self.shared = {
            name: SharedQueue(
                queue, frontend, terms, on_client_gone, partial(wake, name), numbers=numbers
            )
            for name, queue in self.queues.items()
        }
        self.draining = False
        self.unknown_queue = 0
        self.frontend = frontend

    # --- clients ---------------------------------------------------------------------------

    def submit(self, client: ClientPort, request: Request, now: float) -> Item:
        """Take a request; that the queue is full may be told later, as its reply.

        Raises:
            RejectedError: The queue is unknown or full, the arguments too long, or we drain.
        """
        shared = self._shared(request.queue)
        queue = shared.queue
        if self.draining:
            raise self._rejected(queue, "draining", "frontend is shutting down")
        if queue.limit and len(queue.waiting) >= queue.limit:  # the store is away
            text = f"queue '{queue.name}' is full: {queue.limit} items wait, the limit"
            raise self._rejected(queue, "full", text)
        if item_too_long(request.args, request.limit_s):
            text = f"arguments are too long for a message of {MAX_MESSAGE} bytes"
            raise self._rejected(queue, "too_large", text)
        try:
            item = shared.origin.submit(client, request, now)
        except RejectedError as exc:
            queue.counters.rejected[exc.reason] += 1
            raise
        if queue.idle:
            shared.holder.wanted = True
        return item

    def reject(self, queue_name: str, reason: RejectReason, text: str) -> RejectedError:
        """Count a request that the caller refuses for a reason of its own."""
        return self._rejected(self._shared(queue_name).queue, reason, text)

    def cancel(self, item: Item, now: float) -> None:  # noqa: ARG002
        """End an item early because its client says so; the client gets a reply."""
        assert isinstance(item, Asked)  # noqa: S101 - submit returned it
        self.shared[item.queue.name].origin.cancel(item)

    def client_gone(self, items: Iterable[Item], now: float) -> None:  # noqa: ARG002
        """Forget whoever waited for ``items``; what waits is dropped, what runs by policy."""
        for item in items:
            assert isinstance(item, Asked)  # noqa: S101
            self.shared[item.queue.name].origin.leave(item)

    # --- backends --------------------------------------------------------------------------

    def attach(
        self,
        port: WorkerPort,
        queue_name: str,
        now: float,
        *,
        slots: int = 1,
        wait: bool = True,
        once: bool = False,
        node: str = "",
        pod: str = "",
    ) -> Worker:
        """Add a backend; what waits is handed to it, or ``empty`` said, soon.

        The arguments are those of the dispatcher in memory.

        Raises:
            RejectedError: ``unknown_queue``.
        """
        shared = self._shared(queue_name)
        worker = Worker(shared.queue, port, slots, wait, once, node, pod, now)
        shared.queue.workers.add(worker)
        worker.draining = self.draining
        self._offer(shared, worker)
        return worker

    def pull(self, worker: Worker, now: float) -> None:  # noqa: ARG002
        """Let a backend's resting slots ask again."""
        worker.resting = False
        self._offer(self.shared[worker.queue.name], worker)

    def finish(self, worker: Worker, token: str, reply: Reply, now: float) -> Item | None:  # noqa: ARG002
        """Take a backend's reply, and take an item for it.

        Returns:
            The item, or None if the worker doesn't run one of that token.
        """
        shared = self.shared[worker.queue.name]
        item = shared.holder.finish(worker, token, reply)
        shared.look()
        return item

    def release(self, worker: Worker, token: str, now: float) -> Item | None:  # noqa: ARG002
        """Take an item back that a stopping backend gives up: not a crash, not an attempt."""
        return self.shared[worker.queue.name].holder.release(worker, token)

    def retire(self, worker: Worker) -> None:
        """Hand a backend no more items; it finishes what it runs."""
        worker.draining = True
        worker.queue.idle.pop(worker, None)

    def detach(self, worker: Worker, reason: LossReason, now: float) -> Sequence[Item]:  # noqa: ARG002
        """Remove a backend; what it still ran goes back to the shared queue.

        Returns:
            The items that it ran.
        """
        self.retire(worker)
        worker.queue.workers.discard(worker)
        return self.shared[worker.queue.name].holder.detach(worker, reason)

    # --- the end ---------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        """Accept and hand out nothing more; send clients to other frontends."""
        self.draining = True
        for shared in self.shared.values():
            for worker in shared.queue.workers:
                self.retire(worker)
            shared.origin.drain(now)

    def give_up(self, now: float) -> None:
        """Wait for nothing any more: give back what runs, and answer who still waits."""
        for shared in self.shared.values():
            for worker in list(shared.queue.workers):
                self.detach(worker, "release", now)
            shared.origin.give_up(now)

    def leave(self) -> None:
        """Tell the store that we are gone."""
        for shared in self.shared.values():
            shared.outbox.post(Leave())

    @property
    def running(self) -> int:
        """What must come to an end before a frontend that stops may leave."""
        return sum(shared.busy for shared in self.shared.values())

    # --- the store -------------------------------------------------------------------------

    def told(self, event: Event, now: float) -> None:
        """Take what the store says unasked."""
        if isinstance(event, Mailed):
            self.shared[event.queue].origin.mailed(event.id, event.session, event.ending, now)
        elif isinstance(event, Kill):
            self.shared[event.queue].holder.kill(event.token)
        elif isinstance(event, Wake):
            self.shared[event.queue].woken()
        elif isinstance(event, Connected):
            for shared in self.shared.values():
                shared.connected()
                shared.tick(now)
        else:
            assert isinstance(event, Disconnected)  # noqa: S101

    def tick(self, now: float) -> None:
        """Do what is due."""
        for shared in self.shared.values():
            shared.tick(now)

    # --- inside ----------------------------------------------------------------------------

    def _shared(self, name: str) -> SharedQueue:
        shared = self.shared.get(name)
        if shared is None:
            self.unknown_queue += 1
            known = ", ".join(self.queues)
            text = f"unknown queue '{printable(name, 60)}'; known: {printable(known, 300)}"
            raise RejectedError("unknown_queue", text)
        return shared

    @staticmethod
    def _rejected(queue: Queue, reason: RejectReason, text: str) -> RejectedError:
        queue.counters.rejected[reason] += 1
        return RejectedError(reason, text)

    @staticmethod
    def _offer(shared: SharedQueue, worker: Worker) -> None:
        shared.holder.offer(worker)
        shared.look()
