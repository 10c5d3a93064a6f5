"""The items that our own backends run: leased from the store, and given back or done.

Items are taken for free slots only, so there is no waiting line here. What a backend is handed it
runs under a lease, which is renewed for as long as it runs. A lease that was lost runs elsewhere:
our run is ended, and its reply is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import attrs

from scalab.protocol.codec import decode_frame, encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import CANCELLED, FAILURE, SUCCESS, TIMEOUT, Reply, WorkItem
from scalab.queueing.counters import LossReason, Slowest
from scalab.queueing.item import Item, State
from scalab.queueing.queue import Queue
from scalab.queueing.worker import Worker

from .operations import (
    Beat,
    Beaten,
    Done,
    Ending,
    Finished,
    Leased,
    Pull,
    Pulled,
    Release,
    Released,
)
from .origin import SLICE, Origin
from .outbox import Outbox, Post

MAX_PULL = 100
"""Items taken at a time."""


@attrs.define(eq=False)
class Held(Item):
    """An item that one of our backends runs."""

    shared_id: str = ""
    lease: str = ""
    """The store's token of our lease."""
    lost: bool = False
    """The lease was lost: whatever comes of the run is void."""


@attrs.frozen(kw_only=True)
class LeaseTerms:
    """How items are leased."""

    lease_s: float = 15.0
    """An item whose frontend is silent for so long is handed out again."""
    keep_s: float = 60.0
    """A reply is kept for so long for a client that comes back."""
    max_attempts: int = 3


class Holder:
    """What the backends of one frontend have of one queue.

    Args:
        queue: Its backends and counters are kept here.
        outbox: The way to the store.
        origin: Told of the ends of items of our own clients.
        terms: Of the leases.
        frontend: Our name, part of the ids of our pulls.
        numbers: Names hand-overs, over all queues.
    """

    def __init__(
        self,
        queue: Queue,
        outbox: Outbox,
        origin: Origin,
        terms: LeaseTerms,
        frontend: str,
        *,
        numbers: Iterator[int],
    ) -> None:
        self.held: dict[str, Held] = {}
        """Items under a lease of ours, by the store's token."""
        self.wanted = False
        """Whether to pull if there is a free slot."""
        self.leases_lost = 0
        self.stale_replies = 0
        self._queue = queue
        self._outbox = outbox
        self._origin = origin
        self._terms = terms
        self._frontend = frontend
        self._numbers = numbers
        self._pulls = 0
        self._asking: dict[Worker, None] = {}
        """Backends that want to be told if nothing waits."""
        self._beating = 0

    # --- backends --------------------------------------------------------------------------

    def offer(self, worker: Worker) -> None:
        """Enter a worker's free slots among the idle ones."""
        if worker.free > 0:
            self._queue.idle[worker] = None
            self.wanted = True
            if not worker.wait:
                self._asking[worker] = None

    def finish(self, worker: Worker, token: str, reply: Reply) -> Held | None:
        """Take a backend's reply, and have the store pass it on."""
        item = self._taken(worker, token)
        if item is None:
            return None
        outcome = _outcome(reply)
        if item.withdrawn and outcome != SUCCESS:
            outcome = CANCELLED
        self._note_run(item, worker, reply)
        worker.count(reply.device, outcome)
        if item.lost:
            self.stale_replies += 1
        else:
            self._done(item, outcome, reply)
        self.offer(worker)
        return item

    def release(self, worker: Worker, token: str) -> Held | None:
        """Give an item back that a stopping backend gives up."""
        item = self._taken(worker, token)
        if item is not None:
            self._give_back(item, "release", worker.pod or worker.node)
            self.offer(worker)
        return item

    def detach(self, worker: Worker, reason: LossReason) -> list[Held]:
        """Give back all that a backend had that is gone."""
        items = [item for token in list(worker.running) if (item := self._taken(worker, token))]
        for item in items:
            self._give_back(item, reason, worker.pod or worker.node)
        return items

    # --- taking items ------------------------------------------------------------------------

    def next_pull(self) -> Post | None:
        """Return a pull for the slots that are free now, if one is due."""
        if not self.wanted:
            return None
        self.wanted = False
        count = 0
        for worker in self._queue.idle:
            count += 1 if worker.once else worker.free
            if count >= MAX_PULL:
                break
        if not count:
            return None
        self._pulls += 1
        terms = self._terms
        pull = Pull(
            f"{self._frontend}-{self._pulls}", min(count, MAX_PULL), terms.lease_s,
            terms.max_attempts,
        )  # fmt: skip
        # Told ``empty`` are those who ask now, not those who come while we ask.
        return Post(pull, partial(self._pulled, list(self._asking)))

    def _pulled(self, asking: Iterable[Worker], answer: Pulled, now: float) -> None:
        for leased in answer.items:
            self._hand(leased, now)
        idle = self._queue.idle
        if answer.waiting:
            self.wanted = True
            return
        for worker in asking:
            self._asking.pop(worker, None)
            if worker in idle and worker.free > 0:
                worker.resting = True
                del idle[worker]
                worker.port.empty()
        if self._asking:
            self.wanted = True

    def _hand(self, leased: Leased, now: float) -> None:
        queue = self._queue
        number = next(self._numbers)
        name = leased.id.partition("/")[2]
        item = Held(
            number, queue, None, name, [], 0.0, now, State.RUNNING, now, leased.waited_s,
            leased.attempts + 1, None, str(number), shared_id=leased.id, lease=leased.token,
        )  # fmt: skip
        if not queue.idle:  # whoever was free has left meanwhile
            terms = self._terms
            self._outbox.post(
                Release(leased.id, leased.token, counted=False, max_attempts=terms.max_attempts)
            )
            return
        try:
            item.args, item.limit_s = _read(leased.body)
        except ProtocolError as exc:
            text = f"the stored request can't be read: {exc}"
            self._done(item, FAILURE, Reply(error=text, retcode=1))
            return
        worker, _ = queue.idle.popitem(last=False)
        item.worker = worker
        self.held[item.lease] = item
        queue.running += 1
        queue.counters.delivered += 1
        worker.running[item.token] = item
        worker.resting = worker.once
        if worker.free > 0:
            queue.idle[worker] = None
        worker.port.hand(item)

    # --- leases ------------------------------------------------------------------------------

    def beat(self) -> None:
        """Renew all leases."""
        if self._beating:
            return
        leases = [(item.shared_id, item.lease) for item in self.held.values()]
        for start in range(0, len(leases), SLICE):
            self._beating += 1
            part = tuple(leases[start : start + SLICE])
            self._outbox.post(Beat(part, self._terms.lease_s), self._beaten)

    def _beaten(self, answer: Beaten, _now: float) -> None:
        self._beating -= 1
        for token in answer.cancelled:
            self.kill(token)
        for token in answer.lost:
            item = self.held.pop(token, None)
            if item is not None:
                self.leases_lost += 1
                item.lost = True
                self._withdraw(item)

    def kill(self, token: str) -> None:
        """End an item early because its client says so; of no effect if it isn't ours."""
        item = self.held.get(token)
        if item is not None:
            self._withdraw(item)

    @staticmethod
    def _withdraw(item: Held) -> None:
        if not item.withdrawn and item.worker is not None:
            item.withdrawn = True
            item.worker.port.cancel(item)

    # --- how it ends ---------------------------------------------------------------------------

    def _taken(self, worker: Worker, token: str) -> Held | None:
        """Take an item from its backend."""
        item = worker.running.pop(token, None)
        if item is None:
            return None
        assert isinstance(item, Held)  # noqa: S101 - we gave it to the worker
        item.worker = None
        item.state = State.DONE
        self.held.pop(item.lease, None)
        self._queue.running -= 1
        return item

    def _note_run(self, item: Held, worker: Worker, reply: Reply) -> None:
        """Count how long a run waited and ran, and complete the reply with where it ran."""
        reply.node = reply.node or worker.node
        reply.pod = reply.pod or worker.pod
        counters = self._queue.counters
        counters.wait.add(item.waited_s)
        counters.run.add(reply.runtime_s)
        if reply.runtime_s > counters.slowest.run_s:
            counters.slowest = Slowest(reply.runtime_s, reply.node, reply.pod, reply.device)

    def _done(self, item: Held, outcome: str, reply: Reply) -> None:
        reply.id, reply.reason, reply.retry = "", "", False
        reply.waittime_s, reply.attempts, reply.outcome = item.waited_s, item.attempts, outcome
        data = encode_frame(reply)
        ending = Ending("done", data, item.attempts, item.waited_s)
        self._outbox.post(
            Done(item.shared_id, item.lease, data, self._terms.keep_s, outcome == CANCELLED),
            partial(self._finished, item.shared_id, ending),
        )

    def _finished(self, shared_id: str, ending: Ending, answer: Finished, now: float) -> None:
        if answer.state == "own":
            self._origin.mailed(shared_id, answer.session, ending, now)
        elif answer.state == "stale":
            self.stale_replies += 1

    def _give_back(self, item: Held, reason: LossReason, where: str) -> None:
        if not item.lost:
            item.state = State.WAITING
            self._post_release(item, reason, f"{where}: {reason}" if where else reason)

    def _post_release(self, item: Held, reason: LossReason, why: str) -> None:
        counted = reason != "release"
        self._outbox.post(
            Release(item.shared_id, item.lease, counted, self._terms.max_attempts, why),
            partial(self._released, item, reason),
        )

    def _released(self, item: Held, reason: LossReason, answer: Released, _now: float) -> None:
        if answer.state == "waiting":
            self._queue.counters.redelivered[reason] += 1
            self.wanted = True
        else:
            item.state = State.DONE


def _outcome(reply: Reply) -> str:
    if reply.timeout_s > 0:
        return TIMEOUT
    return FAILURE if reply.retcode or reply.error else SUCCESS


def _read(body: bytes) -> tuple[list[str], float]:
    """Return the arguments and the limit that a frontend has stored.

    Raises:
        ProtocolError: They are none.
    """
    work = decode_frame(body)
    if not isinstance(work, WorkItem):
        raise ProtocolError("unexpected", "it is no item")
    return work.args, work.limit_s
