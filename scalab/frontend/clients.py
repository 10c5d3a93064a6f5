"""Clients at the frontend: a classic one brings one request, a session any number."""

from __future__ import annotations

from typing import Any

import trio

from scalab.protocol.codec import decode_classic, encode_classic, encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import (
    REJECTED,
    VERSION,
    Cancel,
    Drain,
    Frame,
    Hello,
    Reply,
    Request,
    Welcome,
)
from scalab.protocol.session import Session, State
from scalab.queueing.dispatch import RejectedError
from scalab.queueing.item import Item, State as ItemState
from scalab.runtime.direct import Direct
from scalab.runtime.peer import Peer
from scalab.runtime.streams import Stream, close_politely

from .hub import Hub
from .opening import Port, address_of, reject_rest, send_last

MAX_OUTSTANDING = 200_000
"""Requests that one client session may have in the frontend: about 200 MB of them."""


# --- classic -----------------------------------------------------------------------------------


class _ClassicClient:
    """Waits for the reply to its one request."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.waiting = trio.CancelScope()

    def answer(self, item: Item, reply: Reply) -> None:  # noqa: ARG002
        self.reply = reply
        self.waiting.cancel(reason="the reply is there")


async def _serve_classic(hub: Hub, stream: Stream, fields: dict[str, Any]) -> None:
    request = decode_classic(fields, Request)
    dispatcher, verbose = hub.dispatcher, hub.settings.verbose
    if verbose:
        hub.trace("from client", (request,))
    client = _ClassicClient()
    direct = Direct(stream)
    try:
        item = dispatcher.submit(client, request, trio.current_time())
    except RejectedError as exc:
        _note_unknown(hub, exc, address_of(stream))
        await send_last(stream, _classic_error(str(exc)))
        return
    try:
        with client.waiting:
            await _until_gone(direct)
    finally:
        if client.reply is None and item.state is not ItemState.DONE:
            dispatcher.client_gone([item], trio.current_time())
    if client.reply is not None:
        if verbose:
            hub.trace("to client", (client.reply,))
        await direct.send(encode_classic(client.reply))


async def _until_gone(direct: Direct) -> None:
    """Wait until the client closes: having sent its request, it has nothing more to say."""
    try:
        while data := await direct.read(1024):
            reject_rest(data)
    except trio.BrokenResourceError:
        return


# --- sessions ----------------------------------------------------------------------------------


class _SessionClient:
    """A client's end of a session: which of its requests are on their way."""

    def __init__(self, hub: Hub, peer: Peer, hello: Hello, address: str) -> None:
        self._hub = hub
        self._peer = peer
        self.items: dict[str, Item] = {}
        self.name = hello.pod or hello.node
        self.run = hello.run
        self.session = hello.session
        self.address = address
        self.since = trio.current_time()

    def close(self) -> None:
        """Say goodbye, after what was said before."""
        self._peer.close()

    def answer(self, item: Item, reply: Reply) -> None:
        """Pass a reply on."""
        self.items.pop(item.id, None)
        self._reply(item.id, reply)

    def handle(self, frames: list[Frame]) -> None:
        """Act on a batch of frames."""
        if self._hub.settings.verbose:
            self._hub.trace("from client", frames)
        now = trio.current_time()
        for frame in frames:
            if isinstance(frame, Request):
                self._submit(frame, now)
            elif isinstance(frame, Cancel):
                item = self.items.get(frame.id)
                if item is not None:
                    self._hub.dispatcher.cancel(item, now)

    def _submit(self, request: Request, now: float) -> None:
        if not request.id or request.id in self.items:
            raise ProtocolError("field", "Id must name the request, and no other that is pending")
        dispatcher = self._hub.dispatcher
        try:
            if len(self.items) >= MAX_OUTSTANDING:
                text = f"more than {MAX_OUTSTANDING} requests of one client are pending"
                raise dispatcher.reject(request.queue, "busy", text)
            item = dispatcher.submit(self, request, now)
        except RejectedError as exc:
            _note_unknown(self._hub, exc, self.name or self.address)
            retry = exc.reason == "draining"
            reply = Reply(
                error=str(exc), retcode=1, outcome=REJECTED, reason=exc.reason, retry=retry
            )
            self._reply(request.id, reply)
        else:
            self.items[request.id] = item

    def _reply(self, request_id: str, reply: Reply) -> None:
        reply.id = request_id
        if self._hub.settings.verbose:
            self._hub.trace("to client", (reply,))
        self._peer.send_line(encode_frame(reply))


async def _serve_session(hub: Hub, stream: Stream, hello: Hello, rest: bytes) -> None:
    peer = Peer(stream, Session("client", State.OPEN, rest), hub.batch)
    client = _SessionClient(hub, peer, hello, address_of(stream))
    if hub.settings.verbose:
        hub.trace("from client", (hello,))
    peer.send(Welcome(VERSION, hub.settings.heartbeat_s, "scalab"))
    if hub.dispatcher.draining:
        peer.send(Drain())
    with hub.session(peer):
        hub.clients[client] = None
        try:
            await peer.run(client.handle)
        finally:
            del hub.clients[client]
            hub.dispatcher.client_gone(list(client.items.values()), trio.current_time())
    if peer.error is not None:
        hub.protocol_error("client", peer.error, client.name, client.address)
        await close_politely(stream)


def _note_unknown(hub: Hub, rejected: RejectedError, who: str) -> None:
    """Keep for the page that a client is set up wrongly; other rejections are but counted."""
    if rejected.reason == "unknown_queue":
        hub.trouble("client", rejected.reason, str(rejected), who)


def _classic_error(text: str) -> bytes:
    return encode_classic(Reply(error=text, retcode=1))


CLIENT_PORT = Port("client", _serve_classic, _serve_session, _classic_error)
