"""Parts of scalab as processes of their own, and the frontend among them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
import structlog
import trio

from scalab.protocol.text import printable
from scalab.runtime.net import Address

from .child import Child, how_it_ended, last_line
from .errors import ScalerError

START_S = 30.0
"""How long a process may take until it says that it runs; many start at the same time."""

_PROGRAM = (sys.executable, "-m", "scalab")
_TETHER = str(Path(__file__).with_name("tether.py"))
_FOREIGN = ("SCALAB_BACKEND_", "SCALAB_FRONTEND_")
_ANYWHERE = "127.0.0.1:0"

log = structlog.get_logger()


class Part:
    """A ``scalab`` process: what it logs, and how it ended.

    The kernel kills it when our own process dies: start it in the main thread, as the kernel
    takes the end of the thread that started it for that.

    Args:
        name: For people, ``worker-3``.
        args: Its command line after ``scalab``; it must log JSON.
        ready: The event of its log by which it says that it runs.
        env: Variables to set. Those that stand for options of parts are removed: a part has the
            options that it is given, and no others.

    Raises:
        ScalerError: It can't be started.
    """

    def __init__(
        self, name: str, *args: str, ready: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.settled = trio.Event()
        """Set when it says that it runs, and when it ends without having said so."""
        self.ready: Mapping[str, Any] | None = None
        """The fields of its ready line, once that was logged."""
        self.ended = False
        self._ready_event = ready
        self._words = ""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        self._child = Child(
            _tethered(*_PROGRAM, *args),
            env={**inherited, **(env or {})},
            on_line=self._hear,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def last_words(self) -> str:
        """How it ended, with its last complaint; "" while it runs."""
        if not self.ended:
            return ""
        code = self._child.returncode
        how = "can't be killed" if code is None else how_it_ended(code)
        return f"{self.name}: {how}" + (f": {self._words}" if self._words else "")

    async def attend(self) -> None:
        """Wait until it has ended; a cancellation ends it."""
        try:
            await self._child.attend()
        finally:
            self.ended = True
            self.settled.set()

    def terminate(self) -> None:
        """Ask it to end."""
        self._child.terminate()

    def _hear(self, line: str) -> None:
        """Take note of a line of its log."""
        fields = _fields(line)
        if fields.get("event") == self._ready_event and self.ready is None:
            self.ready = fields
            self.settled.set()
        log.debug("part says", part=self.name, line=line)
        # What a command ends with is no JSON; then there is what it logs as worth a warning.
        if not fields:
            self._words = last_line(line) or self._words
        elif fields.get("level") not in {"debug", "info"}:
            self._words = _complaint(fields)


class FrontendProcess:
    """``scalab frontend`` for one queue, on free ports of this machine.

    An async context manager: entering waits until it is ready, leaving ends it.

    Args:
        queue: The queue's name.
        options: More of its options.
    """

    def __init__(self, queue: str, *options: str) -> None:
        self._queue = queue
        self._options = options
        self._part: Part
        self._tasks = Tasks()
        self.clients: Address
        """For clients."""
        self.workers: Address
        """For backends."""
        self.metrics: Address
        """For HTTP: /metrics, /api/queues."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._part.pid

    @property
    def trouble(self) -> str:
        """How it ended, when it should not have; "" while it runs."""
        return self._part.last_words

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            ScalerError: It ends, or isn't ready after ``START_S``.
        """
        nursery = await self._tasks.aopen()
        try:
            await self._start(nursery)
        except BaseException:
            await self._tasks.aclose()
            raise
        return self

    async def _start(self, nursery: trio.Nursery) -> None:
        self._part = part = Part(
            "frontend", "frontend", "--client-addr", _ANYWHERE, "--worker-addr", _ANYWHERE,
            "--metrics-addr", _ANYWHERE, "--grace", "1", *self._options,
            "--log-format", "json", "--", self._queue, ready="frontend is ready",
        )  # fmt: skip
        nursery.start_soon(part.attend)
        with trio.move_on_after(START_S):
            await part.settled.wait()
        if part.ready is None:
            raise ScalerError(part.last_words or f"the frontend isn't ready after {START_S:g} s")
        address = partial(_address, part.ready)
        self.clients, self.workers, self.metrics = map(address, ("clients", "backends", "metrics"))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        await self._tasks.aclose()


class Tasks:
    """A nursery for an object's lifetime, which gives errors of its user no groups."""

    def __init__(self) -> None:
        self._manager = trio.open_nursery()
        self._nursery: trio.Nursery

    async def aopen(self) -> trio.Nursery:
        """Return the nursery; ``aclose`` must follow, as if this were ``async with``."""
        self._nursery = await self._manager.__aenter__()
        return self._nursery

    async def aclose(self) -> None:
        """Cancel its tasks, and wait for them."""
        self._nursery.cancel_scope.cancel(reason="its owner is done")
        await self._manager.__aexit__(None, None, None)


def _tethered(*argv: str) -> list[str]:
    """Return a command line that ends when we do."""
    if sys.platform != "linux":
        return [*argv]
    return [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *argv]


def _fields(line: str) -> Mapping[str, Any]:
    """Return the fields of a line of a JSON log; none if it is something else."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _complaint(fields: Mapping[str, Any]) -> str:
    why = fields.get("error") or fields.get("why")
    text = str(fields.get("event", ""))
    return printable(f"{text}: {why}" if why else text, 300)


def _address(fields: Mapping[str, Any], name: str) -> Address:
    value = str(fields.get(name, ""))
    return Address.parse(urlsplit(value).netloc if "//" in value else value)
