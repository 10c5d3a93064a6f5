"""The program: its commands, and how errors become one line and an exit code.

Commands import what they need when they run, so that ``--help`` and mistakes answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from math import isfinite
from typing import Annotated, Any

import typer

from scalab import __version__
from scalab.errors import ExitCode, ScalabError
from scalab.protocol.text import printable

from .backend import backend
from .client import client
from .compare import compare
from .demo import demo
from .fakedev import app as fakedev
from .frontend import frontend
from .queue import app as queue
from .report import report
from .validate import validate

# The base of typer's parameter errors: any misuse of the command line.
UsageError: Any = typer.BadParameter.__mro__[1]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of where our output goes, a file perhaps."""

app = typer.Typer(
    name="scalab",
    help="The scalability lab for work that runs on devices. Try it: scalab demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={
        "auto_envvar_prefix": "SCALAB",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)


def _finite(command: Callable[..., int]) -> Callable[..., int]:
    """Refuse ``nan`` and ``inf``, which are numbers for Python, but no times."""

    @wraps(command)
    def checked(**options: Any) -> int:
        for name, value in options.items():
            if isinstance(value, float) and not isfinite(value):
                text = f"{value} is no number of seconds"
                raise typer.BadParameter(text, param_hint=f"--{name.replace('_', '-')}")
        return command(**options)

    return checked


for command in (frontend, backend, client, validate, report, compare, demo):
    app.command()(_finite(command))
app.add_typer(fakedev, name="fakedev")
app.add_typer(queue, name="queue")


def _print_version(value: bool) -> None:
    if value:
        print(f"scalab {__version__}")  # noqa: T201 - what was asked for
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print it.",
        ),
    ] = False,
) -> None:
    pass


def run(args: list[str]) -> int:
    """Run the command line ``args`` and return the exit code."""
    try:
        code = _run(args)
        if sys.stdout is not None:  # as it is where it was closed before we were started
            sys.stdout.flush()  # at interpreter exit nobody would handle an error
    except KeyboardInterrupt:  # before a service could see the signal itself
        return 130
    except BrokenPipeError:  # whoever read our output is gone
        _say_nothing_more()
        return ExitCode.UNEXPECTED
    except OSError as exc:
        if exc.errno not in _NO_ROOM or exc.filename is not None:
            raise
        _say_nothing_more()
        _complain(f"can't write the output: {(exc.strerror or str(exc)).lower()}")
        return ExitCode.UNEXPECTED
    return code


def _say_nothing_more() -> None:
    """Have what is still to be written thrown away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: list[str]) -> int:
    try:
        code = app(args, prog_name="scalab", standalone_mode=False)
    except UsageError as exc:
        context = getattr(exc, "ctx", None)
        path = context.command_path if context is not None else "scalab"
        _complain(f"{exc.format_message()} (see {path} --help)", path)
        return ExitCode.USAGE
    except typer.Exit as exc:
        return int(exc.exit_code)
    except typer.Abort:
        return 130
    except BaseExceptionGroup as group:
        return _end_of_group(group)
    except ScalabError as exc:
        _complain(str(exc))
        return exc.exit_code
    return int(code or ExitCode.OK)


def _end_of_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Say what several tasks met with; our own errors in a line each, defects in full."""
    if group.subgroup(KeyboardInterrupt) is not None:  # it came when the service had just ended
        return 130
    known, unknown = group.split(ScalabError)
    if unknown is not None:
        traceback.print_exception(unknown)
        return ExitCode.UNEXPECTED
    errors = {str(error): error for error in _leaves(known)}
    for text in errors:
        _complain(text)
    return max(error.exit_code for error in errors.values())


def _leaves(group: BaseExceptionGroup[Any] | None) -> Iterator[ScalabError]:
    for error in group.exceptions if group else ():
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _complain(text: str, who: str = "scalab") -> None:
    print(f"{who}: {printable(text, 1000)}", file=sys.stderr)  # noqa: T201 - the one line
