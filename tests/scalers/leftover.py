"""Processes that a test started: waiting for them, and whether any is left."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from tests.support import alive

MARK = "TEST_MARK"


async def until(done: Callable[[], object]) -> None:
    """Ask again and again, as nothing tells when other processes do something."""
    with trio.fail_after(10):
        while True:
            if done():
                return
            await trio.sleep(0.01)


class Marked:
    """Processes with a mark in their environment."""

    def __init__(self, mark: str) -> None:
        self._pair = f"{MARK}={mark}".encode()

    def pids(self) -> list[int]:
        """Those that live now."""
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if self._pair in _bytes(path).split(b"\0") and alive(int(path.parent.name))
        ]

    async def gone(self) -> None:
        """Wait until there is none."""
        await until(lambda: not self.pids())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@contextmanager
def marking() -> Iterator[Marked]:
    """Mark whatever is started meanwhile."""
    mark = uuid.uuid4().hex
    os.environ[MARK] = mark
    try:
        yield Marked(mark)
    finally:
        del os.environ[MARK]
