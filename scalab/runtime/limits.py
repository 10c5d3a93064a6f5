"""Limits of the operating system."""

from __future__ import annotations

import resource


def raise_open_files(reserve: int = 0) -> int:
    """Let this process open as many files as the system allows it.

    Args:
        reserve: Files that are needed for other things; a quarter of all at most.

    Returns:
        How many there are beyond the reserve.

    The usual soft limit of 1024 is there for programs that use select(); we don't.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = hard if hard != resource.RLIM_INFINITY else 1 << 20
    return files - min(reserve, files // 4)
