"""The requests of our own clients: into the shared queue, and their replies back.

They are ours until their client has its reply, whatever becomes of the store: what it has lost is
put in again. The books are those of a frontend alone: accepted = outstanding + ended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from scalab.protocol.codec import decode_frame, encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import (
    CANCELLED,
    DISCONNECTED,
    FAILURE,
    LOST,
    OUTCOMES,
    REJECTED,
    Reply,
    Request,
    WorkItem,
)
from scalab.queueing.dispatch import OnClientGone, RejectedError
from scalab.queueing.item import ClientPort, Item, State
from scalab.queueing.queue import Queue

from .operations import Cancel, Cancelled, Check, Checked, Ending, Enqueue, Enqueued
from .outbox import Outbox, Then

SLICE = 500
"""Items that one operation asks about."""
_STOPPING = "frontend is shutting down"


@attrs.define(eq=False)
class Asked(Item):
    """A request of one of our clients."""

    shared_id: str = ""
    """The item's name in the store."""
    body: bytes = b""
    session: int = 0
    known: bool = False
    """Its client can get the reply from any frontend."""
    stored: bool = False
    """The store has taken it; as long as not, it is in our own waiting line."""


class Origin:
    """What the clients of one frontend have asked of one queue.

    Args:
        queue: Its counters are kept here; its waiting line has what the store has not taken.
        outbox: The way to the store.
        frontend: Our name, part of the ids of items whose client has none.
        on_client_gone: Whether a running item whose client left is cancelled or finished.
    """

    def __init__(
        self, queue: Queue, outbox: Outbox, frontend: str, on_client_gone: OnClientGone
    ) -> None:
        self.asked: dict[str, Asked] = {}
        """Requests without a reply, by their ids in the store."""
        self.reasserted = 0
        """Items that the store had lost, and was given again."""
        self._queue = queue
        self._outbox = outbox
        self._frontend = frontend
        self._on_client_gone: OnClientGone = on_client_gone
        self._seq = 0
        self._checking = 0

    def submit(self, client: ClientPort, request: Request, now: float) -> Asked:
        """Take a request; whether it finds place in the queue is told to the client later.

        Raises:
            RejectedError: ``busy``: another session of its client has the same request.
        """
        # Of clients with sessions: their name for themselves, within which ids are unique, and
        # the number of this session, which is higher than all before.
        run, session = getattr(client, "run", ""), getattr(client, "session", 0)
        self._seq += 1
        shared_id = f"{run}/{request.id}" if run else f"{self._frontend}.{self._seq}"
        old = self.asked.get(shared_id)
        if old is not None:
            if old.session >= session:
                raise RejectedError("busy", "the request is pending in another session")
            self._moved(old, now)
        item = Asked(
            self._seq, self._queue, client, request.id, request.args, request.limit_s, now,
            since=now, shared_id=shared_id, session=session, known=bool(run),
            body=encode_frame(WorkItem(request.args, request.limit_s)),
        )  # fmt: skip
        self.asked[shared_id] = item
        self._queue.waiting.append(item)
        self._enqueue(item)
        return item

    def cancel(self, item: Asked) -> None:
        """End an item early because its client says so."""
        if self._is_pending(item) and not item.withdrawn:
            item.withdrawn = True
            self._outbox.post(
                Cancel(item.shared_id, item.session), self._then(item, self._cancelled)
            )

    def leave(self, item: Asked) -> None:
        """Forget who waited for an item: its session has ended."""
        item.client = None
        if self._is_pending(item) and not item.withdrawn:
            kill = self._on_client_gone == "cancel"
            self._outbox.post(
                Cancel(item.shared_id, item.session, gone=True, kill=kill),
                self._then(item, self._cancelled),
            )

    def mailed(self, shared_id: str, session: int, ending: Ending, now: float) -> None:
        """Take the news that an item has ended.

        What comes twice has no effect, nor what is meant for a session before the present one.
        """
        item = self.asked.get(shared_id)
        if item is not None and item.session <= session:
            self._ended(item, ending, now)

    def check(self) -> None:
        """Ask the store what has become of all that it has taken."""
        if self._checking:
            return
        items = [item for item in self.asked.values() if item.stored]
        for start in range(0, len(items), SLICE):
            part = items[start : start + SLICE]
            self._checking += 1
            self._outbox.post(
                Check(tuple((item.shared_id, item.session) for item in part)),
                partial(self._checked, part),
            )

    def drain(self, now: float) -> None:
        """Send clients away: those that are known find their items from elsewhere.

        Others are answered if their item waits; if it runs, its end is waited for.
        """
        for item in list(self.asked.values()):
            if item.known:
                self._send_away(item, now)
            else:
                self._outbox.post(
                    Cancel(item.shared_id, item.session, gone=True, kill=False),
                    self._then(item, self._drained),
                )

    def give_up(self, now: float) -> None:
        """Wait for nothing any more."""
        for item in list(self.asked.values()):
            if not item.known:
                self._outbox.post(Cancel(item.shared_id, item.session, gone=True))
            self._send_away(item, now)

    # --- what the store answers ----------------------------------------------------------------

    def _enqueue(self, item: Asked, *, again: bool = False) -> None:
        self._outbox.post(
            Enqueue(item.shared_id, item.body, item.session, self._queue.limit, again),
            self._then(item, self._found),
        )

    def _then(self, item: Asked, take: Callable[[Asked, object, float], None]) -> Then:
        """Return what passes an answer on if its item is still pending by then."""

        def then(answer: object, now: float) -> None:
            if self._is_pending(item):
                take(item, answer, now)

        return then

    def _is_pending(self, item: Asked) -> bool:
        return self.asked.get(item.shared_id) is item

    def _found(self, item: Asked, answer: object, now: float) -> None:
        """Learn what the store has of an item."""
        assert isinstance(answer, Enqueued)  # noqa: S101 - it answers our own question
        if answer.state == "full":
            if not item.stored:
                self._reject(item)
            return  # else the store has no memory left for what it had lost: ask again later
        self._store(item)
        if answer.state == "unknown":
            self._lost(item, now)
        elif answer.state == "moved":
            self._moved(item, now)
        elif answer.ending is not None:
            self._ended(item, answer.ending, now)
        else:
            item.state = State.RUNNING if answer.state == "running" else State.WAITING

    def _checked(self, items: list[Asked], answer: Checked, now: float) -> None:
        self._checking -= 1
        for item, state in zip(items, answer.items, strict=True):
            if self._is_pending(item):
                self._found(item, state, now)

    def _lost(self, item: Asked, now: float) -> None:
        """Put in again what the store has lost, if anybody still wants it."""
        if item.withdrawn or item.client is None:
            self._end(item, CANCELLED, Reply(error="cancelled", retcode=1), now)
        else:
            self.reasserted += 1
            self._enqueue(item, again=True)

    def _cancelled(self, item: Asked, answer: object, now: float) -> None:
        assert isinstance(answer, Cancelled)  # noqa: S101
        counters = self._queue.counters
        if answer.state == "moved":
            self._moved(item, now)
        elif answer.ending is not None:
            counters.cancelled["waiting"] += answer.state == "cancelled"
            self._ended(item, answer.ending, now)
        else:
            item.state = State.RUNNING
            if answer.state == "killing":
                item.withdrawn = True
                counters.cancelled["running"] += 1

    def _drained(self, item: Asked, answer: object, now: float) -> None:
        assert isinstance(answer, Cancelled)  # noqa: S101
        if answer.state == "cancelled":
            self._queue.counters.cancelled["waiting"] += 1
            self._send_away(item, now)
        else:
            self._cancelled(item, answer, now)

    # --- how it ends ---------------------------------------------------------------------------

    def _store(self, item: Asked) -> None:
        """Count an item that the store has taken."""
        if not item.stored:
            item.stored = True
            self._queue.waiting.remove(item)
            self._queue.counters.accepted += 1

    def _reject(self, item: Asked) -> None:
        queue = self._queue
        del self.asked[item.shared_id]
        queue.waiting.remove(item)
        queue.counters.rejected["full"] += 1
        item.state = State.DONE
        client, item.client = item.client, None
        if client is not None:
            text = f"queue '{queue.name}' is full: {queue.limit} items wait, the limit"
            client.answer(item, Reply(error=text, retcode=1, outcome=REJECTED, reason="full"))

    def _ended(self, item: Asked, ending: Ending, now: float) -> None:
        """Take how an item ended, here or there."""
        self._store(item)
        item.waited_s, item.attempts = ending.waited_s, ending.attempts
        if ending.outcome == "done":
            reply = _read(ending.reply)
            item.waited_s, item.attempts = reply.waittime_s, reply.attempts
            self._end(item, reply.outcome if reply.outcome in OUTCOMES else FAILURE, reply, now)
        elif ending.outcome == "lost":
            text = f"lost: {ending.attempts} backends vanished while they ran it"
            self._end(item, LOST, Reply(error=text, retcode=1), now)
        elif item.client is None and not item.withdrawn:
            self._end(item, DISCONNECTED, Reply(), now)
        else:
            text = "cancelled by the client" if item.withdrawn else "cancelled in the store"
            self._end(item, CANCELLED, Reply(error=text, retcode=1), now)

    def _moved(self, item: Asked, now: float) -> None:
        """Forget an item whose client has it from another session: this one is over."""
        item.client = None
        self._store(item)
        self._end(item, DISCONNECTED, Reply(), now)

    def _send_away(self, item: Asked, now: float) -> None:
        self._store(item)
        if item.state is State.WAITING:
            item.waited_s = now - item.accepted_at
        self._end(item, CANCELLED, Reply(error=_STOPPING, retcode=1, retry=True), now)

    def _end(self, item: Asked, outcome: str, reply: Reply, now: float) -> None:
        del self.asked[item.shared_id]
        item.state = State.DONE
        counters = self._queue.counters
        counters.completed[outcome] += 1
        counters.request.add(now - item.accepted_at)
        client, item.client = item.client, None
        if client is not None:
            reply.waittime_s, reply.attempts = item.waited_s, item.attempts
            reply.outcome = outcome
            client.answer(item, reply)


def _read(data: bytes) -> Reply:
    """Read what a frontend has stored; whatever it is becomes a reply."""
    try:
        reply = decode_frame(data)
    except ProtocolError as exc:
        return Reply(error=f"the stored reply can't be read: {exc}", retcode=1)
    if not isinstance(reply, Reply):
        return Reply(error="the stored reply is none", retcode=1)
    reply.reason, reply.retry = "", False
    return reply
