"""From an item's arguments to a reply: everything that a backend does but the talking."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
import structlog
import trio

from scalab.errors import ConfigError
from scalab.protocol.messages import CANCELLED, FAILURE, SUCCESS, TIMEOUT, Reply
from scalab.protocol.text import printable

from . import sleep
from .command import Workload
from .devices import Slot
from .group import Launch, OutputMode, StdinMode, signal_session
from .guard import Guard
from .outcome import CannotRunError, RunEnd, signal_name
from .process import KillReason, run_group

OUTCOMES = (SUCCESS, FAILURE, TIMEOUT, CANCELLED)
"""The outcomes that a run can have."""

KILL_REASONS: tuple[KillReason, ...] = ("limit", "cancel", "stop")

log = structlog.get_logger()


def _existing(_instance: object, _attribute: object, value: str | None) -> None:
    if value is not None and not os.access(Path(value) / ".", os.X_OK):
        raise ConfigError(f"work directory {printable(repr(value))} can't be used")


@attrs.frozen
class RunnerSettings:
    """What the runs of a backend have in common; times are in seconds.

    Raises:
        ConfigError: There is no such work directory, or we may not enter it.
    """

    workload: Workload
    limit_s: float = 0.0
    """The run-time limit of items that bring none, or a greater one; 0 = none."""
    kill_grace_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    output: OutputMode = "inherit"
    """``tail`` logs the last of what a workload wrote."""
    stdin: StdinMode = "null"
    workdir: str | None = attrs.field(default=None, validator=_existing)
    ignore_args: bool = False
    """Whether the workload only gets its own arguments, and none from items."""
    node: str = ""
    pod: str = ""


@attrs.define(eq=False)
class RunCounts:
    """What the runs came to: plain numbers that only ever grow."""

    outcomes: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(OUTCOMES, 0))
    """Replies by outcome; those of runs that did not start count as failures."""
    aborted: int = 0
    """Runs that ended without a reply, because the backend stopped."""
    kills: Counter[tuple[KillReason, str]] = attrs.Factory(Counter)
    """Signals to workloads that had not ended by themselves, by reason and signal's name."""
    run_s: float = 0.0
    """Run times of all replies, summed."""


class Runner:
    """Runs the workload for items, any number at once. An async context manager.

    Leaving the context is for when all runs are over; it ends the guard, see guard.py.
    """

    def __init__(self, settings: RunnerSettings) -> None:
        self.settings = settings
        self.counts = RunCounts()
        self._guard = Guard()
        self._launch = Launch(
            output=settings.output,
            stdin=settings.stdin,
            workdir=settings.workdir,
            env=self._guard.marked(dict(os.environb)),
        )
        self._groups: set[int] = set()
        self._kill_grace_s = settings.kill_grace_s
        # Starting a program stalls the event loop. With many items at once, the lock has it look
        # after its other tasks between any two.
        self._starting = trio.Lock()
