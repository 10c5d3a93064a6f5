"""Peers that send mutated conversations, as many as wanted, over real sockets."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from scalab.runtime.net import Address

from .conversations import REQUEST_ID
from .mutate import mutated

AT_ONCE = 24
_ID = re.compile(rb'"Id":"([^"]*)"')
LISTEN_S = 0.3
"""How long a peer that does not close listens at most; the frontend itself would for 5 s."""


@attrs.frozen
class Attack:
    """A number of mutated conversations, named by a seed.

    Input ``i`` is the same whatever comes before it, so a single one can be tried again.
    """

    name: str
    conversations: Sequence[bytes]
    seed: int

    def input(self, i: int) -> tuple[bytes, random.Random]:
        """What is sent as number ``i``, and what else is up to chance."""
        rng = random.Random(f"{self.seed} {self.name} {i}")
        return mutated(rng.choice(self.conversations), rng, self.conversations), rng

    async def connect(self, address: Address, inputs: range) -> None:
        """Send inputs to a port, some at once."""
        slots = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for i in inputs:
                await slots.acquire_on_behalf_of(i)
                nursery.start_soon(self._one, address, i, slots)

    async def _one(self, address: Address, i: int, slots: trio.CapacityLimiter) -> None:
        data, rng = self.input(i)
        try:
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await _talk(stream, data, rng)
        except* (OSError, trio.BrokenResourceError):
            pass  # it has had enough of us
        finally:
            slots.release_on_behalf_of(i)

    @asynccontextmanager
    async def listen(self, i: int) -> AsyncIterator[Address]:
        """Be a frontend that says input ``i`` to whoever connects."""
        data, rng = self.input(i)

        async def answer(stream: trio.SocketStream) -> None:
            try:
                await _talk(stream, await _answering(stream, data), rng)
            except* (OSError, trio.BrokenResourceError):
                pass
            finally:
                await trio.aclose_forcefully(stream)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, answer, listeners)
            yield Address("127.0.0.1", listeners[0].socket.getsockname()[1])
            nursery.cancel_scope.cancel(reason="the test is over")


async def _answering(stream: trio.SocketStream, data: bytes) -> bytes:
    """Say the welcome, and return the rest with the ids of the requests that follow it."""
    welcome, line_feed, rest = data.partition(b"\n")
    if REQUEST_ID not in rest:
        return data
    await stream.send_all(welcome + line_feed)
    heard = b""
    with trio.move_on_after(LISTEN_S):
        while len(ids := _ID.findall(heard)) < 2 and (piece := await stream.receive_some(4096)):
            heard += piece
        for found in ids:
            rest = rest.replace(REQUEST_ID, found, 1)
    return rest


async def _talk(stream: trio.SocketStream, data: bytes, rng: random.Random) -> None:
    """Send ``data`` in any segments, and end in any way."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, stream, data, rng.choice((len(data) or 1, 1000, 7)))
        match rng.randrange(6):
            case 0:  # leave at once, whatever was sent
                await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel(reason="left")
            case 1:  # the same with a reset
                await trio.lowlevel.checkpoint()
                stream.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                nursery.cancel_scope.cancel(reason="reset")
            case 2:  # stay without a word, half-open
                await trio.sleep(rng.uniform(0, LISTEN_S))
                nursery.cancel_scope.cancel(reason="bored")
            case _:  # hear what comes
                with trio.move_on_after(LISTEN_S):
                    while await stream.receive_some(65536):
                        pass
                nursery.cancel_scope.cancel(reason="heard")


async def _send(stream: trio.SocketStream, data: bytes, size: int) -> None:
    try:
        for at in range(0, min(len(data), 20 * size), size):
            await stream.send_all(data[at : at + size])
        await stream.send_all(data[20 * size :])
        await stream.send_eof()
    except (OSError, trio.BrokenResourceError):
        pass  # it need not read what is wrong


def seed() -> int:
    """The seed of this round: given, or made up."""
    return int(os.environ.get("SCALAB_HOSTILE_SEED") or random.SystemRandom().randrange(10**9))


LONG = "SCALAB_HOSTILE_INPUTS" in os.environ
"""Whether this is the long round, not that of the normal tests."""


def inputs(default: int) -> range:
    """Which inputs each target gets: so many, from the first or from a given one."""
    first = int(os.environ.get("SCALAB_HOSTILE_FIRST") or 0)
    return range(first, first + int(os.environ.get("SCALAB_HOSTILE_INPUTS") or default))


def say(text: str) -> None:
    """Print what is needed to try it again; pytest shows it when the test fails, or with -s."""
    print(text)  # noqa: T201
