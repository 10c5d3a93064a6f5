"""Limits of the operating system."""

from __future__ import annotations

import resource


def raise_open_files() -> int:
    """Let this process open as many files as the system allows it, and return how many.

    The usual soft limit of 1024 is there for programs that use select(); we don't.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
