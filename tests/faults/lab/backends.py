"""Backends by hand, which come and leave in every way that there is.

They run nothing: an item takes a moment, and its start and end are told as a workload's.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import attrs
import trio

from .clients import BROKEN, LINGER_NOT, Lines, Target, frame_line
from .processes import now

Note = Callable[[str, str, float], None]
"""Told a request's id, the name of its run, and the time."""


@attrs.define(eq=False)
class PassingBackend:
    """Connects, works for a while, and leaves; then again."""

    name: str
    target: Target
    """The port for backends of a frontend."""
    rng: random.Random
    started: Note
    ended: Note
    released: Callable[[int], None]
    """Told how many items are given back."""
    stay_s: tuple[float, float] = (0.1, 2.0)
    run_s: tuple[float, float] = (0.0, 0.05)
    working: bool = False
    """Whether it comes again after it left."""
    visits: int = 0

    async def run(self) -> None:
        """Come and leave until cancelled."""
        while True:
            if self.working:
                self.visits += 1
                try:
                    async with await self.target.connect() as stream:
                        await _Visit(self, stream).run()
                except* BROKEN:
                    pass
            await trio.sleep(self.rng.uniform(0.05, 0.2))


class _Visit:
    """One session."""

    def __init__(self, backend: PassingBackend, stream: trio.SocketStream) -> None:
        self._backend = backend
        self._stream = stream
        self._items: dict[str, dict[str, Any]] = {}
        self._sending = trio.Lock()

    async def run(self) -> None:
        backend, lines = self._backend, Lines(self._stream)
        await self._send(
            "hello", Version=1, Role="backend", Queue=backend.target.queue, Wait=True,
            Slots=backend.rng.randint(1, 4), Node=backend.name,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave)
            while frame := await lines.next():
                kind = frame["Kind"]
                if kind == "item":
                    self._items[frame["Id"]] = frame
                    nursery.start_soon(self._work, frame)
                elif kind == "cancel" and self._items.pop(frame["Id"], None):
                    await self._send("reply", Id=frame["Id"], Retcode=143, Error="cancelled")
                elif kind == "ping":
                    await self._send("pong")
                elif kind == "pong":
                    break
            nursery.cancel_scope.cancel()
        if frame:  # no more items are on their way
            backend.released(len(self._items))
            for token in self._items:
                await self._send("release", Id=token)
            await self._send("bye")

    async def _leave(self) -> None:
        backend = self._backend
        await trio.sleep(backend.rng.uniform(*backend.stay_s))
        how = backend.rng.choice(["drain", "drain", "close", "reset"])
        if how == "drain":
            await self._send("drain")
            await self._send("ping")
            return
        if how == "reset":
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        await self._stream.aclose()

    async def _work(self, item: dict[str, Any]) -> None:
        backend, token = self._backend, item["Id"]
        request_id, _, *exit_code = item["Args"]
        run = f"{backend.name}-{backend.visits}-{token}"
        backend.started(request_id, run, now())
        await trio.sleep(backend.rng.uniform(*backend.run_s))
        if self._items.pop(token, None) is None:
            return
        backend.ended(request_id, run, now())
        if limit_s := item.get("Limit"):
            how = {"Timeout": limit_s, "Retcode": 124, "Error": "too long"}
        else:
            how = {"Retcode": 3, "Error": "exit code 3"} if exit_code else {}
        await self._send("reply", Id=token, Runtime=0.01, **how)

    async def _send(self, kind: str, **fields: object) -> None:
        async with self._sending:
            await self._stream.send_all(frame_line(kind, **fields))
