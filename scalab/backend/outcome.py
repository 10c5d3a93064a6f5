"""From the end of a run to the reply that tells of it."""

from __future__ import annotations

import signal
from typing import Literal

import attrs

from scalab.protocol.messages import CANCELLED, FAILURE, SUCCESS, TIMEOUT, Reply
from scalab.protocol.text import printable

MAX_ERROR = 200
"""Characters of a workload's own words in a reply."""

Cause = Literal["exit", "limit", "cancel"]
"""Why a run ended: by itself, at its run-time limit, or because its request was cancelled."""


class CannotRunError(Exception):
    """The workload was not run at all; the text is for whoever asked for it.

    Attributes:
        retcode: What a shell would return for it: 127 not found, 126 can't be executed, 1 other.
    """

    def __init__(self, text: str, retcode: int = 1) -> None:
        super().__init__(text)
        self.retcode = retcode


@attrs.frozen
class RunEnd:
    """How a run ended."""

    cause: Cause
    runtime_s: float
    limit_s: float = 0.0
    """The run-time limit that was in force; 0 = none."""
    returncode: int = 0
    """The exit code, or -N for signal N; only of interest with the cause ``exit``."""
    stdout: bytes = b""
    """The last of what it wrote there, if that was kept."""
    stderr: bytes = b""
    """The last of what it wrote there."""

    def outcome(self) -> str:
        """Return one of the protocol's outcomes."""
        if self.cause == "exit":
            return FAILURE if self.returncode else SUCCESS
        return TIMEOUT if self.cause == "limit" else CANCELLED

    def reply(self) -> Reply:
        """Return the reply, without the place where it ran."""
        if self.cause == "limit":
            error, retcode = f"run-time limit of {self.limit_s:g} s reached", 124
        elif self.cause == "cancel":
            error, retcode = "cancelled", 128 + signal.SIGTERM
        elif self.returncode < 0:
            error, retcode = self._signal_error(), 128 - self.returncode
        elif self.returncode > 0:
            error = last_line(self.stderr) or f"exit code {self.returncode}"
            retcode = self.returncode
        else:
            error, retcode = "", 0
        timeout_s = self.limit_s if self.cause == "limit" else 0.0
        return Reply(error=error, retcode=retcode, timeout_s=timeout_s, runtime_s=self.runtime_s)

    def _signal_error(self) -> str:
        # What it said before, e.g. of a failed assertion, tells more than the signal alone.
        said = last_line(self.stderr)
        error = f"ended by {signal_name(-self.returncode)}"
        return f"{error}: {said}" if said else error


def signal_name(number: int) -> str:
    """Return ``SIGSEGV`` for 11, and ``signal 40`` for a real-time signal without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(output: bytes) -> str:
    """Return the last line with something on it, printable and bounded; empty if there is none."""
    for line in reversed(output.decode(errors="replace").splitlines()):
        if stripped := line.strip():
            return printable(stripped, MAX_ERROR)
    return ""
