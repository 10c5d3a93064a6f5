"""The built-in workload ``sleep SECONDS…``: a delay without a process."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import trio

from scalab.protocol.text import printable

from .outcome import CannotRunError, Cause, RunEnd

# float() would also take "nan", "inf", "1_000" and blanks.
_DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def seconds(args: Sequence[str]) -> float:
    """Return the sum of the arguments, as ``sleep`` of coreutils does.

    Raises:
        CannotRunError: There are none, or one is not a finite number ≥ 0.
    """
    if not args:
        raise CannotRunError("sleep: how many seconds?")
    total = 0.0
    for arg in args:
        if not _DECIMAL.fullmatch(arg):
            raise CannotRunError(f"sleep: not a number of seconds: {printable(repr(arg), 40)}")
        total += float(arg)
    if not math.isfinite(total):
        raise CannotRunError("sleep: too many seconds")
    return total


async def sleep(
    duration_s: float, limit_s: float = 0.0, cancel: trio.CancelScope | None = None
) -> RunEnd:
    """Sleep, for as long as the limit allows.

    This path calibrates what everything around it costs, so it does as little as it can.

    Args:
        duration_s: How long, in seconds.
        limit_s: The run-time limit in seconds; 0 = none.
        cancel: A scope for this sleep alone: to cancel it ends the sleep early.
    """
    started = trio.current_time()
    cause: Cause = "exit"
    if 0 < limit_s < duration_s:
        duration_s, cause = limit_s, "limit"
    if duration_s == 0:
        await trio.lowlevel.checkpoint()
    elif cancel is None:
        await trio.sleep(duration_s)
    else:
        with cancel:
            await trio.sleep(duration_s)
        if cancel.cancelled_caught:
            cause = "cancel"
    return RunEnd(cause, trio.current_time() - started, limit_s)
