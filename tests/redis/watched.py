"""A client under observation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from scalab.redis.client import Client
from scalab.redis.errors import UnavailableError
from scalab.redis.resp import Command, Push, Reply
from scalab.redis.server import Server

PATIENCE_S = 60.0
NEVER_S = 1000.0


class Watched:
    """A client, and what it has said of its connection."""

    def __init__(self, url: str, *, timeout_s: float = NEVER_S, **options: Any) -> None:
        files = {name: options.pop(name) for name in ("ca", "cert", "key") if name in options}
        self.downs: list[UnavailableError] = []
        self.pushes: list[Push] = []
        self._changed = trio.Event()
        self.client = Client(
            Server.parse(url, **files),
            name="test",
            timeout_s=timeout_s,
            on_push=self._pushed,
            on_up=self._change,
            on_down=self._down,
            **options,
        )

    def _pushed(self, push: Push) -> None:
        self.pushes.append(push)
        self._change()

    def _down(self, error: UnavailableError) -> None:
        self.downs.append(error)
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def up(self, generation: int = 1) -> None:
        """Wait for a connection, at least the so many-th."""
        while not (self.client.up and self.client.generation >= generation):
            await self._changed.wait()

    async def down(self, times: int = 1) -> UnavailableError:
        """Wait until there was no connection so many times; return why the last time."""
        while len(self.downs) < times:
            await self._changed.wait()
        return self.downs[-1]

    async def pushed(self, count: int) -> None:
        """Wait until so much has come unasked."""
        while len(self.pushes) < count:
            await self._changed.wait()

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Run one command."""
        (reply,) = await self.client.call([words])
        return reply

    async def outcome(self, commands: Sequence[Command]) -> list[Reply] | UnavailableError:
        """Run commands; return the replies, or why there are none."""
        try:
            return await self.client.call(commands)
        except UnavailableError as exc:
            return exc


@asynccontextmanager
async def watched(url: str, **options: Any) -> AsyncIterator[Watched]:
    """A client that runs; nothing may take longer than ``PATIENCE_S``."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            watch = Watched(url, **options)
            nursery.start_soon(watch.client.run)
            yield watch
            nursery.cancel_scope.cancel(reason="the test is over")
