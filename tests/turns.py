"""Tests that measure run alone, where several processes share the tests (``pytest -n 2``).

A test marked ``alone`` waits for those of the other processes, and they wait for it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

_QUEUE, _TEST = 0, 1
"""Bytes of the file, each with a lock. Locks of bytes aren't handed on to what a test starts."""


@contextmanager
def turn(file: IO[bytes], *, alone: bool) -> Iterator[None]:
    """Wait until a test may run, and hold up those that may not run beside it."""
    # Whoever waits to be alone holds up all that come later, so that its turn does come.
    fcntl.lockf(file, fcntl.LOCK_EX, 1, _QUEUE)
    fcntl.lockf(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, 1, _TEST)
    fcntl.lockf(file, fcntl.LOCK_UN, 1, _QUEUE)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _TEST)


class Turns:
    """The plugin of a process that shares the tests with others."""

    def __init__(self, run: str) -> None:
        self._file = Path(tempfile.gettempdir(), f"scalab-tests-{run}.lock").open("w+b")  # noqa: SIM115

    # Around all else, so that a time limit of the test doesn't count the wait.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with turn(self._file, alone=item.get_closest_marker("alone") is not None):
            return (yield)

    def pytest_unconfigure(self) -> None:
        """The file may go while others still use it: then nobody is left to wait for."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def register(config: pytest.Config) -> None:
    """Take turns, if this process shares the tests with others."""
    if run := os.environ.get("PYTEST_XDIST_TESTRUNUID"):
        config.pluginmanager.register(Turns(run), "turns")
