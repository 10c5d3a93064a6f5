#!/usr/bin/env python3
"""Writes options.md from the commands themselves: ``python docs/generate_options.py``."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from scalab.cli.app import app

TARGET = Path(__file__).with_name("options.md")
GENERAL = "General"

HEAD = """\
# Options

<!-- Written by generate_options.py from the commands themselves. Don't edit. -->

Every option of every command, with its default and the environment variable that sets it.
`scalab COMMAND --help` shows the same.

How they are read:

- An option on the command line counts before its variable, and the variable before the default.
- A flag is set by its name alone, or by a variable that is `1`, `true`, `yes` or `on`.
- An option that may be repeated takes several values from its variable, separated by spaces.
- Times are in seconds and may have a fraction, as in `0.5`.
- `HOST:PORT` is where to connect to; without a host, as in `:9999` or `9999`, it is `localhost`.
- `[HOST]:PORT` is where to listen: `:9999` listens on all interfaces, `9999` on `localhost` only,
  and port `0` on a free one, which the log tells. An IPv6 address is written `[::1]:9999`.
- What comes after `--` belongs to the workload, even if it looks like an option.
- All commands log to standard error, one line an event.

How a command ends, and with which code, is in [exit-codes.md](exit-codes.md).
"""


class Option:
    """A parameter of a command's function, as its user sees it."""

    def __init__(self, prefix: str, name: str, hint: Any, default: Any) -> None:
        hint, info = get_args(hint)[:2]
        self.name = name
        self.is_argument = isinstance(info, typer.models.ArgumentInfo)
        self.panel = info.rich_help_panel or GENERAL
        self.metavar = info.metavar
        self.help = info.help or ""
        self.least, self.most = info.min, info.max
        # In Annotated, typer keeps the first name where a default would be.
        names = [info.default, *(info.param_decls or ())]
        self.flags = [n for n in names if isinstance(n, str) and n.startswith("-")]
        self.flags = self.flags or ["--" + name.replace("_", "-")]
        variables = info.envvar or f"{prefix}_{name.upper()}"
        self.variables = [variables] if isinstance(variables, str) else list(variables)
        self.type, self.repeated = _type_of(hint)
        self.default = default
        self.shown_default = info.show_default if isinstance(info.show_default, str) else None

    def row(self) -> str:
        """Return the row of its table."""
        flags = ", ".join(f"`{flag}`" for flag in self.flags)
        variables = ", ".join(f"`{name}`" for name in self.variables)
        cells = (flags, self._values(), self._default(), variables, self.help)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def _values(self) -> str:
        if self.type is bool:
            return "flag"
        if get_origin(self.type) is Literal:
            return " ".join(f"`{value}`" for value in get_args(self.type))
        text = f"`{self.metavar}`" if self.metavar else _NAMES[self.type]
        if self.least is not None and self.most is not None:
            text += f", {self.least:g} to {self.most:g}"
        elif self.least is not None:
            text += f", at least {self.least:g}"
        return f"{text}, repeatable" if self.repeated else text

    def _default(self) -> str:
        if self.type is bool:
            return "on" if self.default else "off"
        if self.shown_default:
            return self.shown_default
        if self.default is None or self.default == "":
            return "none"
        text = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        return f"`{text}`"


_NAMES = {str: "text", int: "number", float: "number"}


def _type_of(hint: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    return (get_args(hint)[0], True) if get_origin(hint) is list else (hint, False)


def options_of(path: str, function: Callable[..., Any]) -> list[Option]:
    """Return the parameters of the command ``path``, such as ``fakedev exporter``."""
    hints = get_type_hints(function, include_extras=True)
    prefix = f"SCALAB_{path.replace(' ', '_').upper()}"
    parameters = inspect.signature(function).parameters.values()
    annotated = [p for p in parameters if get_args(hints[p.name])]
    return [Option(prefix, p.name, hints[p.name], p.default) for p in annotated]


def commands(group: typer.Typer = app, path: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command with its function."""
    for command in group.registered_commands:
        assert command.callback is not None  # noqa: S101 - typer's own rule
        yield f"{path}{command.name or command.callback.__name__}", command.callback
    for subgroup in group.registered_groups:
        assert subgroup.typer_instance is not None  # noqa: S101 - likewise
        yield from commands(subgroup.typer_instance, f"{path}{subgroup.name} ")


def _section(path: str, function: Callable[..., Any]) -> Iterator[str]:
    options = options_of(path, function)
    summary = inspect.getdoc(function) or ""
    yield f"\n## scalab {path}\n\n{summary.splitlines()[0]}\n"
    if not options:  # it reads its command line itself
        yield f"\n```\n{_help(path)}\n```\n"
        return
    arguments = [option for option in options if option.is_argument]
    usage = " ".join(["scalab", path, "[OPTIONS]", *(f"{a.metavar}" for a in arguments)])
    yield f"\n```\n{usage}\n```\n"
    for argument in arguments:
        yield f"\n`{argument.metavar}`: {argument.help}\n"
    options = [option for option in options if not option.is_argument]
    for panel in dict.fromkeys(option.panel for option in options):
        rows = "\n".join(option.row() for option in options if option.panel == panel)
        yield (
            f"\n### {path}: {panel}\n\n| option | value | default | variable | meaning |\n"
            f"|---|---|---|---|---|\n{rows}\n"
        )


def _help(path: str) -> str:
    command = [sys.executable, "-m", "scalab", *path.split(), "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def render() -> str:
    """Return the whole page."""
    return HEAD + "".join(
        text for path, function in commands() for text in _section(path, function)
    )


if __name__ == "__main__":
    TARGET.write_text(render())
