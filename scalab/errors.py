"""The errors that end a command with one line, and the exit code of each."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; the table is in docs/exit-codes.md."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    VERDICT_FAIL = 3
    FAILURES = 4
    INCONCLUSIVE = 5
    INVALID = 6
    INFRASTRUCTURE = 7


class ScalabError(Exception):
    """An error that is told to the user in one line, without a traceback."""

    exit_code = ExitCode.UNEXPECTED


class ConfigError(ScalabError):
    """The options, or what they name, can't be used."""

    exit_code = ExitCode.USAGE


class UnreachableError(ScalabError):
    """The frontend can't be reached, or has been away for too long."""

    exit_code = ExitCode.INFRASTRUCTURE
