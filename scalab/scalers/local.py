"""Workers on this machine: real ``scalab backend`` processes, started and ended by us."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from glob import escape, glob
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import attrs
import trio

from scalab.errors import ConfigError
from scalab.protocol.text import printable
from scalab.runtime.net import Address

from .base import Readiness
from .child import STOP_S
from .errors import ScalerError
from .process import START_S, Part, Tasks

Layout = Literal["slots", "processes"]
"""What a worker is: a slot, of few processes; or a process."""

SLOTS_POD = "workers"
"""What processes call their pod if they share out the slots among them."""

RECONNECT_S = 30.0
"""How long the frontend may be away before workers give up."""


@attrs.frozen(kw_only=True)
class LocalSettings:
    """What local workers run, and how many fit into a process."""

    frontend: Address
    """Where the frontend listens for backends."""
    queue: str
    workload: tuple[str, ...]
    """The program and its arguments, as ``scalab backend`` takes them."""
    options: tuple[str, ...] = ()
    """More options of ``scalab backend``: ``("--limit", "10")``."""
    layout: Layout = "slots"
    slots: int = 1
    """Items that a worker runs at once; 1 with the layout ``slots``."""
    glob: str = ""
    """Device files, one for each worker, in the order of their names; "" = none."""
    nodes: tuple[str, ...] = ()
    """Names of nodes to deal processes out to, in turn; () = all on this host, by its name."""
    grace_s: float = 20.0
    """Seconds that running items have to end when a worker is stopped."""

    def __attrs_post_init__(self) -> None:
        if self.slots < 1:
            raise ConfigError(f"a worker needs at least 1 slot, not {self.slots}")
        if self.layout == "slots" and self.slots != 1:
            raise ConfigError("a worker that is a slot runs 1 item at once: use --layout processes")
        if self.layout == "slots" and self.glob:
            raise ConfigError("a device for each worker takes processes: use --layout processes")

    def find_devices(self) -> list[str]:
        """Return the device files, sorted; directories are none.

        Raises:
            ConfigError: The pattern matches nothing.
        """
        if not self.glob:
            return []
        matches = glob(self.glob, recursive=True)  # noqa: PTH207 - Path knows no absolute ones
        devices = sorted(path for path in matches if not Path(path).is_dir())
        if not devices:
            raise ConfigError(f"no device file matches {printable(repr(self.glob))}")
        return devices


class _Backend:
    """A backend process, for a range of workers.

    Args:
        first: Number of its first worker, from 1.
        last: Of its last one.
        args: Its command line.
        node: Its node's name; "" = the host's.
        pod: Its pod's; "" = its own.
    """

    def __init__(self, first: int, last: int, args: list[str], node: str, pod: str = "") -> None:
        self.first = first
        self.last = last
        self.name = f"worker-{first}" if first == last else f"worker-{first}-{last}"
        self._args = args
        self._env = {"POD_NAME": pod or self.name, **({"NODE_NAME": node} if node else {})}
        self._part: Part | None = None
        self._problem = ""
        self._leaving = False
        self._patience = trio.CancelScope()

    @property
    def workers(self) -> int:
        """How many workers it stands for."""
        return self.last - self.first + 1

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process, in whatever state."""
        return self._part.pid if self._part is not None and not self._part.ended else None

    @property
    def ready(self) -> bool:
        """Whether it said that it runs, and it still does."""
        return self.pid is not None and self._part is not None and self._part.ready is not None

    @property
    def dead(self) -> bool:
        """Whether it has ended, or couldn't be started."""
        return self._part.ended if self._part is not None else bool(self._problem)

    @property
    def trouble(self) -> str:
        """What is wrong with it, in one line; "" if nothing is known."""
        if self._part is not None and self._part.ended:
            return self._part.last_words
        return "" if self.ready else self._problem

    async def start(self, turns: trio.Semaphore, nursery: trio.Nursery) -> None:
        """Start it when its turn comes, and wait until it runs.

        Args:
            turns: Taken while it starts.
            nursery: Looks after the process.
        """
        async with turns:
            if self._leaving:
                return
            try:
                self._part = Part(self.name, *self._args, ready="backend starts", env=self._env)
            except ScalerError as exc:
                self._problem = f"{self.name}: {exc}"
                return
            nursery.start_soon(self._attend, self._part)
            with trio.move_on_after(START_S):
                await self._part.settled.wait()
            self._problem = f"{self.name}: not started after {START_S:g} s"

    async def _attend(self, part: Part) -> None:
        with self._patience:
            await part.attend()

    def leave(self, grace_s: float) -> None:
        """Ask it to end, and insist when the grace is over."""
        self._leaving = True
        if self._part is not None:
            self._part.terminate()
            self._patience.deadline = trio.current_time() + grace_s + STOP_S


class LocalScaler:
    """Workers on this machine. See ``Scaler``.

    What a worker is, the layout says. With ``slots`` it is a slot: going from 4 to 8 starts one
    more process with 4 slots, and going down stops the newest processes, and starts a smaller one
    for what is missing then. That needs few processes for many workers that only wait or start
    programs. With ``processes`` each worker is one.

    A process that dies is told of as trouble, and is missing until the next ``scale``.

    Args:
        settings: Validated.

    Raises:
        ConfigError: No device file matches.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._devices = settings.find_devices()
        self._wanted = 0
        self._backends: list[_Backend] = []
        """Those that are wanted; together they are workers 1 … wanted."""
        self._leaving: list[_Backend] = []
        # More at once would start no sooner, and would disturb what is measured for longer.
        self._turns = trio.Semaphore(os.cpu_count() or 1)
        self._tasks = Tasks()
        self._nursery: trio.Nursery

    @property
    def name(self) -> str:
        """For the report."""
        return "local"

    @property
    def slots_per_worker(self) -> int:
        """How many items a worker runs at once."""
        return self._settings.slots

    @property
    def most(self) -> int | None:
        """How many workers there can be, by the devices; None = any number."""
        return len(self._devices) or None

    @property
    def pids(self) -> list[int]:
        """Process ids of all backends that run."""
        pids = (backend.pid for backend in (*self._backends, *self._leaving))
        return [pid for pid in pids if pid is not None]

    async def __aenter__(self) -> Self:
        """Get ready; there are no workers yet."""
        self._nursery = await self._tasks.aopen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all workers: SIGTERM, after ``STOP_S`` SIGKILL."""
        await self._tasks.aclose()

    async def scale(self, workers: int) -> None:
        """Ask for exactly so many workers; those that have died are started again.

        Raises:
            ScalerError: There aren't so many devices.
        """
        await trio.lowlevel.checkpoint()
        if self.most is not None and workers > self.most:
            pattern = printable(repr(self._settings.glob))
            text = f"{workers} workers need as many devices, but {pattern} matches {self.most}"
            raise ScalerError(text)
        self._wanted = workers
        kept, added = rearranged([b.last for b in self._backends], workers, self._settings.layout)
        self._backends, surplus = self._backends[:kept], self._backends[kept:]
        for backend in surplus:
            backend.leave(self._settings.grace_s)
        self._leaving += surplus
        for i, backend in enumerate(self._backends):
            if backend.dead:
                self._backends[i] = self._start(backend.first, backend.last, i)
        for first, last in added:
            self._backends.append(self._start(first, last, len(self._backends)))

    async def readiness(self) -> Readiness:
        """Return how many run, whether or not they are connected yet."""
        await trio.lowlevel.checkpoint()
        self._leaving = [backend for backend in self._leaving if backend.pid]
        troubles = [backend.trouble for backend in self._backends if backend.trouble]
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        return Readiness(
            wanted=self._wanted,
            ready=sum(backend.workers for backend in self._backends if backend.ready),
            leaving=sum(backend.workers for backend in self._leaving),
            trouble=troubles[0] + more if troubles else "",
        )

    def _start(self, first: int, last: int, index: int) -> _Backend:
        nodes = self._settings.nodes
        node = nodes[index % len(nodes)] if nodes else ""
        # Processes with different numbers of slots aren't to be compared with each other.
        pod = SLOTS_POD if self._settings.layout == "slots" else ""
        backend = _Backend(first, last, self._command(first, last), node, pod)
        self._nursery.start_soon(backend.start, self._turns, self._nursery)
        return backend

    def _command(self, first: int, last: int) -> list[str]:
        settings = self._settings
        slots = settings.slots * (last - first + 1)
        device = ("--glob", escape(self._devices[first - 1])) if self._devices else ()
        return [
            "backend", "--output", "discard", "--reconnect-timeout", f"{RECONNECT_S:g}",
            *settings.options, "--frontend", str(settings.frontend), "--queue", settings.queue,
            "--when-empty", "wait", "--slots", str(slots), *device,
            "--grace", f"{settings.grace_s:g}", "--log-format", "json", "--", *settings.workload,
        ]  # fmt: skip


def rearranged(
    lasts: Sequence[int], workers: int, layout: Layout
) -> tuple[int, list[tuple[int, int]]]:
    """Return how many processes to keep, and the workers of those to add, as first and last.

    Args:
        lasts: The last worker of each process that there is; the first one begins with worker 1,
            and each other one goes on from there.
        workers: How many workers are wanted.
        layout: Whether a process may be for several.
    """
    kept = bisect_right(lasts, workers)
    have = lasts[kept - 1] if kept else 0
    if layout == "slots":
        return kept, [(have + 1, workers)] if have < workers else []
    return kept, [(i, i) for i in range(have + 1, workers + 1)]
