"""Runs a program until it ends, or for as long as it may."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Literal

import trio

from .group import END_S, Group
from .outcome import Cause, RunEnd

KillReason = Literal["limit", "cancel", "stop"]
"""Why a group was sent a signal: the run-time limit, its request's cancellation, ours."""


async def run_group(
    group: Group,
    *,
    limit_s: float = 0.0,
    kill_grace_s: float = 5.0,
    cancel: trio.CancelScope | None = None,
    on_kill: Callable[[KillReason, signal.Signals], object] = lambda _reason, _signal: None,
) -> RunEnd:
    """Let a program run until it ends, and make sure that nothing of its group stays.

    A run ends with its leader; what is left of the group then gets SIGKILL. At the limit, or when
    it is cancelled, the group gets SIGTERM, has the kill grace for all of it to leave, and then
    gets SIGKILL.

    Args:
        group: Was started just now.
        limit_s: The run-time limit in seconds; 0 = none.
        kill_grace_s: Seconds from SIGTERM to SIGKILL.
        cancel: A scope for this run alone: to cancel it ends the run early, as the limit does.
        on_kill: Is told of each signal to a group that had not ended by itself, and why.

    Cancellation: kills the group as the limit does, and then goes on. That takes up to the kill
    grace; more only if a process can't be killed, or nobody reads our standard error.
    """
    reason: KillReason = "stop"
    cause: Cause = "exit"
    try:
        with (
            trio.move_on_after(limit_s) if limit_s else nullcontext(),
            cancel or nullcontext(),
        ):
            await group.attend(group.leader_exited)
        if group.exited_at is None:
            cancelled = cancel is not None and cancel.cancel_called
            cause = reason = "cancel" if cancelled else "limit"
    finally:
        # Every wait in here has a deadline of its own, and this one is beyond their sum.
        with trio.move_on_after(kill_grace_s + 2 * END_S, shield=True):
            if group.exited_at is None:
                await group.stop(kill_grace_s, partial(on_kill, reason))
            await group.end()
    ended_at = group.exited_at if group.exited_at is not None else trio.current_time()
    stdout, stderr = group.tails
    return RunEnd(cause, ended_at - group.started_at, limit_s, group.returncode, stdout, stderr)
