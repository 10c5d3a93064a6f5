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
from .group import Group, Launch, OutputMode, StdinMode, signal_session
from .guard import Guard
from .outcome import CannotRunError, RunEnd, signal_name
from .policy import ArgumentPolicy, NotAllowedError
from .process import KillReason, run_group

OUTCOMES = (SUCCESS, FAILURE, TIMEOUT, CANCELLED)
"""The outcomes that a run can have."""

KILL_REASONS: tuple[KillReason, ...] = ("limit", "cancel", "stop")

_LOGGED = 1500
"""Bytes of a stream that are logged with ``tail``; an event has room for them even escaped."""

log = structlog.get_logger()


def _existing(_instance: object, _attribute: object, value: str | None) -> None:
    if value is not None and not os.access(Path(value) / ".", os.X_OK):
        raise ConfigError(f"work directory {printable(repr(value))} can't be used")


@attrs.frozen
class RunnerSettings:
    """What the runs of a backend have in common; times are in seconds.

    Raises:
        ConfigError: There is no such work directory, we may not enter it, or the options
            contradict one another.
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
    allowed_args: ArgumentPolicy | None = None
    """Which arguments of items it may get; None = all."""
    node: str = ""
    pod: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: Names the options.
        """
        if self.ignore_args and self.allowed_args is not None:
            text = "--ignore-args leaves no argument that --allow-args could allow: drop one"
            raise ConfigError(text)


@attrs.define(eq=False)
class RunCounts:
    """What the runs came to: plain numbers that only ever grow."""

    outcomes: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(OUTCOMES, 0))
    """Replies by outcome; those of runs that did not start count as failures."""
    refused: int = 0
    """Items whose arguments are not allowed; they are among the failures."""
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
        self._kill_grace_s = settings.kill_grace_s
        self._at_once: Sequence[str] | None = None
        """The last arguments that took no time: they come again, and are not looked at again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._guard.aclose()

    def run_at_once(self, args: Sequence[str], slot: Slot) -> Reply | None:
        """Run what takes no time, the built-in sleep of zero seconds; None if it is not that.

        It is what the cost of everything around a workload is measured with. A task for it, as
        for each run, would cost more than all else that this side does for an item.
        """
        started = trio.current_time()
        if args != self._at_once and not self._takes_no_time(args, slot):
            return None
        self._at_once = args
        return self._counted(SUCCESS, Reply(runtime_s=trio.current_time() - started), slot)

    def _takes_no_time(self, args: Sequence[str], slot: Slot) -> bool:
        workload = self.settings.workload
        if not workload.built_in:
            return False
        try:
            return sleep.seconds(self._arguments(args, slot)) == 0
        except CannotRunError:
            return False

    async def run(
        self,
        args: Sequence[str],
        limit_s: float,
        slot: Slot,
        cancel: trio.CancelScope | None = None,
    ) -> Reply:
        """Run the workload once, and tell how that went.

        Args:
            args: The item's arguments.
            limit_s: The item's run-time limit in seconds; 0 = ours.
            slot: Where it runs; the caller sees to it that nothing else does.
            cancel: A scope for this run alone. When it is cancelled, the run ends as by its limit,
                and the reply has return code 143: its request is no longer wanted.

        Returns:
            The reply without an id, whatever happens to the workload.

        Cancellation: as of ``run_group``; there is no reply then.
        """
        try:
            end = await self._run(args, self._effective_limit_s(limit_s), slot, cancel)
        except CannotRunError as exc:
            await trio.lowlevel.checkpoint()
            if isinstance(exc, NotAllowedError):
                self.counts.refused += 1
                log.warning("item refused", why=str(exc))
            outcome, reply = FAILURE, Reply(error=printable(str(exc)), retcode=exc.retcode)
        except BaseException:
            self.counts.aborted += 1
            raise
        else:
            outcome, reply = end.outcome(), end.reply()
        return self._counted(outcome, reply, slot)

    def _counted(self, outcome: str, reply: Reply, slot: Slot) -> Reply:
        reply.node, reply.pod = self.settings.node, self.settings.pod
        reply.device = slot.name
        self.counts.outcomes[outcome] += 1
        self.counts.run_s += reply.runtime_s
        return reply

    def children(self) -> set[int]:
        """Return the processes that are ours to reap in their own time."""
        return {*self._guard.groups, *filter(None, [self._guard.pid])}

    def kill_now(self) -> None:
        """Give no grace from now on: kill what runs at once, which ends its run.

        This is for a second signal, together with cancelling the tasks.
        """
        self._kill_grace_s = 0.0
        for pgid in self._guard.groups:
            self._count_kill("stop", signal.SIGKILL)
            signal_session(pgid, signal.SIGKILL)

    def _effective_limit_s(self, asked_s: float) -> float:
        default_s = self.settings.limit_s
        return min(asked_s, default_s) if asked_s > 0 < default_s else max(asked_s, default_s)

    async def _run(
        self, args: Sequence[str], limit_s: float, slot: Slot, cancel: trio.CancelScope | None
    ) -> RunEnd:
        workload, args = self.settings.workload, self._arguments(args, slot)
        if workload.built_in:
            return await sleep.sleep(sleep.seconds(args), limit_s, cancel)
        if cancel is not None and cancel.cancel_called:
            await trio.lowlevel.checkpoint()
            return RunEnd("cancel", 0.0, limit_s)
        self._guard.ensure()
        group = await Group.start([workload.program, *args], self._launch, self._guard)
        end = await run_group(
            group,
            limit_s=limit_s,
            kill_grace_s=self._kill_grace_s,
            cancel=cancel,
            on_kill=self._count_kill,
        )
        if self.settings.output == "tail":
            _log_tails(end, slot)
        return end

    def _arguments(self, args: Sequence[str], slot: Slot) -> list[str]:
        if self.settings.allowed_args is not None:
            self.settings.allowed_args.check(args)
        return self.settings.workload.arguments(
            () if self.settings.ignore_args else args, slot.path
        )

    def _count_kill(self, reason: KillReason, signum: signal.Signals) -> None:
        self.counts.kills[reason, signal_name(signum)] += 1


def _log_tails(end: RunEnd, slot: Slot) -> None:
    """Log the last of what the workload wrote; the log makes it printable."""
    for stream, output in (("stdout", end.stdout), ("stderr", end.stderr)):
        if text := output[-_LOGGED:].decode(errors="replace").strip():
            log.info("workload's last output", stream=stream, slot=slot.index, text=text)
