"""The workload as it was given on the command line, and the arguments of one run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .outcome import CannotRunError

SLEEP = "sleep"
"""The name of the built-in workload."""

PLACEHOLDER = "FILENAME"
"""What stands for the slot's device file, anywhere in an argument."""


@attrs.frozen
class Workload:
    """What a backend runs for each item."""

    program: str
    """An absolute path, or ``SLEEP``."""
    args: tuple[str, ...] = ()
    """The arguments that come before those of a request."""

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Workload:
        """Make a workload of a command line, and make sure that there is something to run.

        A relative path is taken from the current directory at this moment, whatever work
        directory the runs will have.

        Raises:
            ConfigError: There is no such program, or it can't be run.
        """
        if not argv or not argv[0]:
            raise ConfigError("no workload was given")
        program, *args = argv
        if program != SLEEP:
            program = _find(program)
        return cls(program, tuple(args))

    @property
    def built_in(self) -> bool:
        """Whether this is the built-in sleep, which needs no process."""
        return self.program == SLEEP

    def arguments(self, request: Sequence[str], device: str) -> list[str]:
        """Return the arguments of one run.

        Args:
            request: The arguments that came with the item.
            device: Path of the slot's device file; empty if it has none.

        Raises:
            CannotRunError: A device is asked for where there is none, or no program could be
                given such an argument.
        """
        args = [*self.args, *request]
        for i, arg in enumerate(args):
            if PLACEHOLDER in arg:
                if not device:
                    raise CannotRunError(f"{PLACEHOLDER} is used, but there is no device file")
                args[i] = arg.replace(PLACEHOLDER, device)
            if "\0" in arg:
                raise CannotRunError("an argument contains a NUL character")
            if not arg.isascii():
                _check_encodable(arg)
        return args


def _find(name: str) -> str:
    path = shutil.which(name)
    if path is not None:
        return os.path.abspath(path)  # noqa: PTH100 - pathlib's resolve() would follow links
    shown = printable(repr(name))
    if "/" not in name:
        raise ConfigError(f"workload {shown} is not on PATH")
    if not Path(name).exists():
        raise ConfigError(f"workload {shown} does not exist")
    if Path(name).is_dir():
        raise ConfigError(f"workload {shown} is a directory")
    raise ConfigError(f"workload {shown} is not executable")


def _check_encodable(arg: str) -> None:
    try:
        os.fsencode(arg)
    except UnicodeEncodeError:
        raise CannotRunError("an argument can't be encoded for this system") from None
