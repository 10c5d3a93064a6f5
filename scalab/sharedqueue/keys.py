"""The names of a queue's keys and channels in the store; the keys are listed in common.lua."""

from __future__ import annotations

from urllib.parse import quote

_SAFE = "".join(chr(c) for c in range(33, 127) if chr(c) not in "{}%*?[]\\")
_ALL = "sl:"


def prefix_of(queue: str) -> str:
    """Return what the keys of a queue begin with.

    What stands in braces is the hash tag that keeps them in one slot, so a name can't have braces
    of its own, nor what means something in a pattern.
    """
    return f"{_ALL}{{{quote(queue, safe=_SAFE)}}}:"


def wake_channel(queue: str) -> str:
    """Return where it is said that something waits in a queue in which nothing did."""
    return f"{prefix_of(queue)}wake"


def mail_channel(queue: str, frontend: str) -> str:
    """Return where it is said that there is mail for a frontend."""
    return f"{prefix_of(queue)}mail:{frontend}"
