"""A TCP proxy that fails as it is told: between any two programs, without root.

For faults of what TCP carries: replies cut off after the request was done, single bytes, a trickle.
For faults of the network itself, see network.py.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

_LINGER_NOT = struct.pack("ii", 1, 0)
_PIECE = 65536


@attrs.define
class Behaviour:
    """What the proxy does with what passes; may be changed at any time."""

    black_hole: bool = False
    """Nothing passes, in either direction, and connections stay open."""
    refuse: bool = False
    """New connections are reset."""
    cut_replies: float = 0.0
    """Share of replies on which the connection is reset instead: the request was passed on."""
    delay_s: float = 0.0
    one_byte: bool = False
    """Everything arrives byte by byte."""
    bytes_per_s: float = 0.0
    """0 = as fast as can be."""


class Proxy:
    """Passes on what its connections bring to one address.

    Args:
        host: Where to.
        port: Its port.
        seed: For what is drawn.

    Attributes:
        behaviour: Set its fields to make it fail.
        cut: Replies that were cut off.
    """

    def __init__(self, host: str, port: int, seed: int) -> None:
        self.behaviour = Behaviour()
        self.cut = 0
        self.port = 0
        self._to = host, port
        self._random = random.Random(seed)
        self._pairs: set[tuple[trio.SocketStream, trio.SocketStream]] = set()
        self._changed = trio.Event()

    def change(self, **fields: object) -> None:
        """Behave in another way from now on: all fields that aren't given are as at the start."""
        self.behaviour = Behaviour(**fields)  # type: ignore[arg-type]
        self._changed.set()
        self._changed = trio.Event()

    def lead_to(self, host: str, port: int) -> None:
        """Pass on new connections to somebody else."""
        self._to = host, port

    async def reset_all(self) -> None:
        """Reset all connections that there are."""
        for pair in list(self._pairs):
            await _reset(*pair)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        if self.behaviour.refuse:
            await _reset(stream)
            return
        try:
            async with stream, await trio.open_tcp_stream(*self._to) as server:
                pair = stream, server
                self._pairs.add(pair)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pass, stream, server, pair, False)
                        nursery.start_soon(self._pass, server, stream, pair, True)
                finally:
                    self._pairs.discard(pair)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _pass(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        pair: tuple[trio.SocketStream, trio.SocketStream],
        replies: bool,
    ) -> None:
        while data := bytes(await source.receive_some(_PIECE)):
            while self.behaviour.black_hole:
                await self._changed.wait()
            how = self.behaviour
            if replies and self._random.random() < how.cut_replies:
                self.cut += 1
                await _reset(*pair)
                return
            if how.delay_s:
                await trio.sleep(how.delay_s)
            await _send(sink, data, how)
        await sink.send_eof()


async def _send(sink: trio.SocketStream, data: bytes, how: Behaviour) -> None:
    size = 1 if how.one_byte else _PIECE if not how.bytes_per_s else 64
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        await sink.send_all(piece)
        if how.bytes_per_s:
            await trio.sleep(len(piece) / how.bytes_per_s)


async def _reset(*streams: trio.SocketStream) -> None:
    for stream in streams:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        await stream.aclose()


@asynccontextmanager
async def proxy(host: str, port: int, *, seed: int) -> AsyncIterator[Proxy]:
    """Listen on a free port of this machine (``port``), and pass on to ``host`` and ``port``."""
    made = Proxy(host, port, seed)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        made.port = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, made.serve, listeners)
        yield made
        nursery.cancel_scope.cancel(reason="the test is over")
