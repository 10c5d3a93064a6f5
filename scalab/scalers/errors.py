"""The error of whatever changes the number of workers."""

from __future__ import annotations

from scalab.errors import ExitCode, ScalabError


class ScalerError(ScalabError):
    """The number of workers can't be changed, seen or restored; the text says why, in one line."""

    exit_code = ExitCode.INFRASTRUCTURE
