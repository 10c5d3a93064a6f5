"""Backends at the frontend: a classic one takes one item, a session as many as it has slots."""

from __future__ import annotations

from typing import Any

import trio

from scalab.protocol.codec import decode_classic, encode_classic, encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ObjectReader
from scalab.protocol.messages import (
    VERSION,
    Cancel,
    Drain,
    Empty,
    Frame,
    Hello,
    Pull,
    Refusal,
    Release,
    Reply,
    Welcome,
    WorkItem,
    WorkRequest,
)
from scalab.protocol.session import Session, State
from scalab.queueing.counters import LossReason
from scalab.queueing.dispatch import RejectedError
from scalab.queueing.item import Item, State as ItemState
from scalab.queueing.worker import Worker
from scalab.runtime.direct import Direct
from scalab.runtime.peer import Peer
from scalab.runtime.streams import Stream, close_politely

from .hub import Hub, log
from .opening import Port, address_of, reject_rest, send_last


def _detach(hub: Hub, worker: Worker, reason: LossReason) -> None:
    """Remove a backend whose connection has ended, and log what it still had."""
    items = hub.dispatcher.detach(worker, reason, trio.current_time())
    hub.check_finished()
    if items and not hub.dispatcher.draining:
        lost = sum(item.state is ItemState.DONE and not item.withdrawn for item in items)
        log.warning(
            "backend lost with items", reason=reason, node=worker.node, pod=worker.pod,
            queue=worker.queue.name, items=len(items), given_up=lost,
        )  # fmt: skip
        text = f"left while it ran items of queue '{worker.queue.name}'"
        hub.trouble("backend", f"lost by {reason}", text, worker.pod or worker.node)


# --- classic -----------------------------------------------------------------------------------

ASK_S = 2.0
"""A queue in a store that has not answered for so long counts as empty."""


class _ClassicWorker:
    """Is handed one item at most; what it runs can't be cancelled."""

    def __init__(self) -> None:
        self.item: Item | None = None
        self.answered = trio.Event()
        """Set with the item, or when there is none."""

    def hand(self, item: Item) -> None:
        self.item = item
        self.answered.set()

    def cancel(self, item: Item) -> None:
        pass

    def empty(self) -> None:
        self.answered.set()


async def _serve_classic(hub: Hub, stream: Stream, fields: dict[str, Any]) -> None:
    request = decode_classic(fields, WorkRequest)
    dispatcher = hub.dispatcher
    if hub.settings.verbose:
        hub.trace("from backend", (request,))
    port, direct = _ClassicWorker(), Direct(stream)
    try:
        worker = dispatcher.attach(port, request.queue, trio.current_time(), wait=False, once=True)
    except RejectedError as exc:
        hub.trouble("backend", exc.reason, str(exc), address_of(stream))
        await send_last(stream, _classic_error(str(exc)))
        return
    reason: LossReason = "disconnect"
    try:
        if not port.answered.is_set():  # others have to be asked
            with trio.move_on_after(ASK_S):
                await port.answered.wait()
        if port.item is None:
            dispatcher.retire(worker)
            text = f"queue '{worker.queue.name}' is empty"
            await direct.send(encode_classic(WorkItem(error=text, empty=True)))
            return
        token = port.item.token
        work = WorkItem(port.item.args, port.item.limit_s)
        if hub.settings.verbose:
            hub.trace("to backend", (work,))
        await direct.send(encode_classic(work))
        reply = await _read_reply(direct)
        if hub.settings.verbose:
            hub.trace("from backend", (reply,))
        dispatcher.finish(worker, token, reply, trio.current_time())
    except ProtocolError:
        reason = "protocol"
        raise
    finally:
        _detach(hub, worker, reason)


async def _read_reply(direct: Direct) -> Reply:
    """Wait for as long as the workload runs.

    Raises:
        ProtocolError: The reply is none, or the backend closed without one.
    """
    reader = ObjectReader()
    while data := await direct.read(4096):
        fields = reader.feed(data)
        if fields is not None:
            reject_rest(reader.rest)
            return decode_classic(fields, Reply)
    reader.feed_eof()
    raise trio.BrokenResourceError("the backend closed without a reply")


# --- sessions ----------------------------------------------------------------------------------


class _SessionWorker:
    """A backend's end of a session."""

    worker: Worker

    def __init__(self, hub: Hub, peer: Peer) -> None:
        self._hub = hub
        self._peer = peer

    def hand(self, item: Item) -> None:
        """Send an item."""
        self._send(WorkItem(item.args, item.limit_s, item.token))

    def cancel(self, item: Item) -> None:
        """Ask for an early end."""
        self._send(Cancel(item.token))

    def empty(self) -> None:
        """Say that nothing waits."""
        self._send(Empty())

    def _send(self, frame: Frame) -> None:
        if self._hub.settings.verbose:
            self._hub.trace("to backend", (frame,))
        self._peer.send_line(encode_frame(frame))

    def handle(self, frames: list[Frame]) -> None:
        """Act on a batch of frames."""
        if self._hub.settings.verbose:
            self._hub.trace("from backend", frames)
        dispatcher, now = self._hub.dispatcher, trio.current_time()
        for frame in frames:
            if isinstance(frame, Reply):
                if dispatcher.finish(self.worker, frame.id, frame, now) is None:
                    raise _unknown(frame.id)
            elif isinstance(frame, Release):
                if dispatcher.release(self.worker, frame.id, now) is None:
                    raise _unknown(frame.id)
            elif isinstance(frame, Pull):
                dispatcher.pull(self.worker, now)
            elif isinstance(frame, Drain):
                dispatcher.retire(self.worker)
        self._hub.check_finished()


def _unknown(token: str) -> ProtocolError:
    return ProtocolError("unexpected", f"Id {token[:40]!r} is no item that you run")


async def _serve_session(hub: Hub, stream: Stream, hello: Hello, rest: bytes) -> None:
    dispatcher = hub.dispatcher
    if hub.settings.verbose:
        hub.trace("from backend", (hello,))
    peer = Peer(stream, Session("backend", State.OPEN, rest), hub.batch)
    port = _SessionWorker(hub, peer)
    peer.send(Welcome(VERSION, hub.settings.heartbeat_s, "scalab"))
    try:
        port.worker = dispatcher.attach(
            port, hello.queue, trio.current_time(),
            slots=hello.slots, wait=hello.wait, node=hello.node, pod=hello.pod,
        )  # fmt: skip
    except RejectedError as exc:
        who = hello.pod or hello.node or address_of(stream)
        hub.trouble("backend", exc.reason, str(exc), who)
        await send_last(stream, encode_frame(Refusal(str(exc))))
        return
    port.worker.address = address_of(stream)
    if dispatcher.draining:
        peer.send(Drain())
    try:
        with hub.session(peer):
            await peer.run(port.handle)
    finally:
        _detach(hub, port.worker, _loss_reason(peer.error))
    if peer.error is not None:
        who = hello.pod or hello.node
        hub.protocol_error("backend", peer.error, who, port.worker.address)
        await close_politely(stream)


def _loss_reason(error: ProtocolError | None) -> LossReason:
    if error is None:
        return "disconnect"
    return "heartbeat" if error.reason in ("silent", "slow") else "protocol"


def _classic_error(text: str) -> bytes:
    return encode_classic(WorkItem(error=text))


WORKER_PORT = Port("backend", _serve_classic, _serve_session, _classic_error)
