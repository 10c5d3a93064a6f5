"""The dispatcher: the only place that decides who gets what, and how an item ends.

Synchronous code without a clock: everything that happens is a method call with ``now``, seconds
of any monotonic clock. What follows from it is told to the ports (``ClientPort``, ``WorkerPort``)
before the call returns. Nothing is awaited between deciding and recording, so there is no moment
at which an item belongs to nobody.

What holds after every call (tests/queueing/test_dispatch_machine.py drives it):

1. accepted = waiting + running + the sum of all outcomes, per queue.
2. The item handed out is the one that has waited longest; one that comes back keeps its place.
3. While an item waits, no worker has a free slot.
4. An item runs on at most one worker, under a token that was never used before.
5. A reply is given at most once, and only to the client that still waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from scalab.protocol.codec import item_too_long
from scalab.protocol.framing import MAX_MESSAGE
from scalab.protocol.messages import (
    CANCELLED,
    DISCONNECTED,
    FAILURE,
    LOST,
    SUCCESS,
    TIMEOUT,
    Reply,
    Request,
)
from scalab.protocol.text import printable

from .counters import LossReason, RejectReason, Slowest
from .item import ClientPort, Item, State
from .queue import Queue
from .worker import Worker, WorkerPort

OnClientGone = Literal["cancel", "finish"]


class RejectedError(Exception):
    """A request that was not accepted; the text is for the client."""

    def __init__(self, reason: RejectReason, text: str) -> None:
        super().__init__(text)
        self.reason: RejectReason = reason


class Dispatcher:
    """The queues of one frontend.

    Args:
        names: The queues to serve.
        queue_max: Most items that may wait in each; 0 = unlimited.
        max_attempts: After so many crashes of its backend an item is lost.
        on_client_gone: Whether a running item whose client left is cancelled or finished.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        queue_max: int = 0,
        max_attempts: int = 3,
        on_client_gone: OnClientGone = "cancel",
    ) -> None:
        self.queues = {name: Queue(name, queue_max) for name in names}
        self.max_attempts = max_attempts
        self.on_client_gone: OnClientGone = on_client_gone
        self.draining = False
        self.unknown_queue = 0
        """Requests, of clients and backends, that named no queue of ours."""
        self._seq = 0
        self._token = 0

    def __repr__(self) -> str:
        queues = ", ".join(
            f"{q.name}: {len(q.waiting)} waiting, {q.running} running" for q in self.queues.values()
        )
        return f"<Dispatcher {queues}{' (draining)' if self.draining else ''}>"

    # --- clients ---------------------------------------------------------------------------

    def submit(self, client: ClientPort, request: Request, now: float) -> Item:
        """Accept a request, and hand it to a backend at once if one is free.

        Raises:
            RejectedError: The queue is unknown or full, the arguments too long, or we drain.
        """
        queue = self._queue(request.queue)
        if self.draining:
            raise self._rejected(queue, "draining", "frontend is shutting down")
        if queue.limit and len(queue.waiting) >= queue.limit:
            text = f"queue '{queue.name}' is full: {queue.limit} items wait, the limit"
            raise self._rejected(queue, "full", text)
        if item_too_long(request.args, request.limit_s):
            text = f"arguments are too long for a message of {MAX_MESSAGE} bytes"
            raise self._rejected(queue, "too_large", text)
        self._seq += 1
        item = Item(
            self._seq, queue, client, request.id, request.args, request.limit_s, now,
            since=now,
        )  # fmt: skip
        queue.counters.accepted += 1
        queue.waiting.append(item)
        if queue.idle:
            self._match(queue, now)
        return item

    def reject(self, queue_name: str, reason: RejectReason, text: str) -> RejectedError:
        """Count a request that the caller refuses for a reason of its own."""
        return self._rejected(self._queue(queue_name), reason, text)

    def cancel(self, item: Item, now: float) -> None:
        """End an item early because its client says so; the client gets a reply."""
        if item.state is State.WAITING:
            item.queue.counters.cancelled["waiting"] += 1
            self._drop(item, CANCELLED, Reply(error="cancelled by the client", retcode=1), now)
        elif item.state is State.RUNNING and not item.withdrawn:
            self._withdraw(item)

    def client_gone(self, items: Iterable[Item], now: float) -> None:
        """Forget whoever waited for ``items``; what waits is dropped, what runs by policy."""
        for item in items:
            item.client = None
            if item.state is State.WAITING:
                item.queue.counters.cancelled["waiting"] += 1
                self._drop(item, DISCONNECTED, Reply(), now)
            elif (
                item.state is State.RUNNING
                and self.on_client_gone == "cancel"
                and not item.withdrawn
            ):
                self._withdraw(item)

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
        """Add a backend, and hand it what waits.

        Args:
            port: The way to it.
            queue_name: Where its items come from.
            now: The time.
            slots: How many items it runs at once.
            wait: Whether its free slots wait for items; otherwise it is told ``empty``.
            once: It takes one item and no more.
            node: Where it runs; completes replies that don't say so.
            pod: The same.

        Raises:
            RejectedError: ``unknown_queue``.
        """
        worker = Worker(self._queue(queue_name), port, slots, wait, once, node, pod, now)
        worker.queue.workers.add(worker)
        worker.draining = self.draining
        self._offer(worker, now)
        return worker

    def pull(self, worker: Worker, now: float) -> None:
        """Let a backend's resting slots ask again."""
        worker.resting = False
        self._offer(worker, now)

    def finish(self, worker: Worker, token: str, reply: Reply, now: float) -> Item | None:
        """Take a backend's reply, pass it on, and give the backend its next item.

        Returns:
            The item, or None if the worker doesn't run one of that token.
        """
        item = worker.running.pop(token, None)
        if item is None:
            return None
        item.queue.running -= 1
        outcome = _outcome(reply)
        if item.withdrawn and outcome != SUCCESS:
            outcome = CANCELLED
        reply.reason, reply.retry = "", False  # these are the frontend's to say
        self._note_run(item, worker, reply)
        worker.count(reply.device, outcome)
        self._end(item, outcome, reply, now)
        self._offer(worker, now)
        return item

    def release(self, worker: Worker, token: str, now: float) -> Item | None:
        """Take an item back that a stopping backend gives up: not a crash, not an attempt."""
        item = worker.running.pop(token, None)
        if item is not None:
            self._take_back(item, "release", now)
            self._match(item.queue, now)
            self._offer(worker, now)
        return item

    def retire(self, worker: Worker) -> None:
        """Hand a backend no more items; it finishes what it runs."""
        worker.draining = True
        worker.queue.idle.pop(worker, None)

    def detach(self, worker: Worker, reason: LossReason, now: float) -> list[Item]:
        """Remove a backend; what it still ran is redelivered, or lost after enough attempts.

        Returns:
            The items that it ran.
        """
        self.retire(worker)
        worker.queue.workers.discard(worker)
        items = list(worker.running.values())
        worker.running.clear()
        for item in items:
            self._take_back(item, reason, now)
        self._match(worker.queue, now)
        return items

    # --- the end ---------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        """Accept and hand out nothing more; answer what waits, so that clients can go on."""
        self.draining = True
        for queue in self.queues.values():
            for worker in queue.workers:
                self.retire(worker)
            for item in list(queue.waiting):
                queue.counters.cancelled["waiting"] += 1
                reply = Reply(error="frontend is shutting down", retcode=1, retry=True)
                self._drop(item, CANCELLED, reply, now)

    def give_up(self, now: float) -> None:
        """Wait for nothing any more: answer the clients of what still runs."""
        for queue in self.queues.values():
            for worker in list(queue.workers):
                self.detach(worker, "release", now)

    @property
    def running(self) -> int:
        """Items that backends have, over all queues."""
        return sum(queue.running for queue in self.queues.values())

    # --- inside ----------------------------------------------------------------------------

    def _queue(self, name: str) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            self.unknown_queue += 1
            known = ", ".join(self.queues)
            text = f"unknown queue '{printable(name, 60)}'; known: {printable(known, 300)}"
            raise RejectedError("unknown_queue", text)
        return queue

    @staticmethod
    def _rejected(queue: Queue, reason: RejectReason, text: str) -> RejectedError:
        queue.counters.rejected[reason] += 1
        return RejectedError(reason, text)

    def _match(self, queue: Queue, now: float) -> None:
        """Hand out items for as long as something waits and somebody is free."""
        while queue.idle and queue.waiting:
            worker, _ = queue.idle.popitem(last=False)
            self._hand(queue.waiting.pop(), worker, now)
            if worker.free > 0:
                queue.idle[worker] = None  # at the end: items spread over all who are free

    def _offer(self, worker: Worker, now: float) -> None:
        """Enter a worker's free slots among the idle ones, or tell it that nothing waits."""
        queue = worker.queue
        # What waits is this worker's to take: nobody else has a free slot then.
        waiting = queue.waiting
        while waiting and worker.free > 0:
            self._hand(waiting.pop(), worker, now)
        if worker.free <= 0:
            return
        if worker.wait:
            queue.idle[worker] = None
        else:
            worker.resting = True
            queue.idle.pop(worker, None)
            worker.port.empty()

    def _hand(self, item: Item, worker: Worker, now: float) -> None:
        self._token += 1
        item.token = str(self._token)
        item.state = State.RUNNING
        item.worker = worker
        item.waited_s += now - item.since
        item.since = now
        item.attempts += 1
        item.queue.running += 1
        item.queue.counters.delivered += 1
        worker.running[item.token] = item
        worker.resting = worker.once
        worker.port.hand(item)

    def _withdraw(self, item: Item) -> None:
        item.withdrawn = True
        item.queue.counters.cancelled["running"] += 1
        if item.worker is not None:
            item.worker.port.cancel(item)

    def _take_back(self, item: Item, reason: LossReason, now: float) -> None:
        """Return a running item to the queue, unless nobody wants it or it has had its share."""
        item.queue.running -= 1
        item.worker = None
        if reason == "release":
            item.attempts -= 1
        if item.withdrawn or self.draining:
            text = "cancelled" if item.withdrawn else "frontend is shutting down"
            reply = Reply(error=text, retcode=1, retry=self.draining and not item.withdrawn)
            self._end(item, CANCELLED, reply, now)
        elif item.attempts >= self.max_attempts:
            text = f"lost: {item.attempts} backends vanished while they ran it"
            self._end(item, LOST, Reply(error=text, retcode=1), now)
        else:
            item.queue.counters.redelivered[reason] += 1
            item.state = State.WAITING
            item.since = now
            item.queue.waiting.put_back(item)

    def _drop(self, item: Item, outcome: str, reply: Reply, now: float) -> None:
        item.queue.waiting.remove(item)
        item.waited_s += now - item.since
        self._end(item, outcome, reply, now)

    def _note_run(self, item: Item, worker: Worker, reply: Reply) -> None:
        """Count how long a run waited and ran, and complete the reply with where it ran."""
        reply.node = reply.node or worker.node
        reply.pod = reply.pod or worker.pod
        counters = item.queue.counters
        counters.wait.add(item.waited_s)
        counters.run.add(reply.runtime_s)
        if reply.runtime_s > counters.slowest.run_s:
            counters.slowest = Slowest(reply.runtime_s, reply.node, reply.pod, reply.device)

    @staticmethod
    def _end(item: Item, outcome: str, reply: Reply, now: float) -> None:
        item.state = State.DONE
        item.worker = None
        item.queue.counters.completed[outcome] += 1
        item.queue.counters.request.add(now - item.accepted_at)
        if item.client is not None:
            reply.waittime_s = item.waited_s
            reply.attempts = item.attempts
            reply.outcome = outcome
            item.client.answer(item, reply)
            item.client = None


def _outcome(reply: Reply) -> str:
    if reply.timeout_s > 0:
        return TIMEOUT
    return FAILURE if reply.retcode or reply.error else SUCCESS
