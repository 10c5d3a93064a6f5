"""The log while there is a picture on the terminal: its lines are to come above the picture."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from .terminal import descriptor, same_terminal

MAX_LINES: Final = 1000
"""Kept while the terminal takes nothing."""


class LogLines:
    """Takes the place of standard error, for the log."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._rest = ""
        self._missed = 0

    def write(self, text: str) -> None:
        """Take a part of a line, or several."""
        *lines, self._rest = (self._rest + text).split("\n")
        self._missed += max(len(self._lines) + len(lines) - MAX_LINES, 0)
        self._lines += lines

    def flush(self) -> None:
        """Do nothing: lines stay until they are taken."""

    def take(self) -> list[str]:
        """Return the lines since the last time."""
        lines, missed = list(self._lines), self._missed
        self._lines.clear()
        self._missed = 0
        return [f"({missed} lines of the log are missing here)", *lines] if missed else lines


@contextmanager
def collect_log(out: int) -> Iterator[LogLines]:
    """Collect the lines of the log, if they would go to the terminal that is drawn on."""
    lines = LogLines()
    error = descriptor(sys.stderr)
    if error is None or not same_terminal(error, out):
        yield lines
        return
    before = structlog.get_config()["logger_factory"]
    sink: Any = lines
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sink))
    try:
        yield lines
    finally:
        structlog.configure(logger_factory=before)
