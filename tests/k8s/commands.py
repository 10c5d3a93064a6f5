"""Command lines of containers, taken apart by the real command line."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import attrs
import typer

from scalab.cli.app import app
from scalab.fakedev import workload
from scalab.runtime.net import Address

# What is read by a workload that the backend starts, and not by the backend.
OF_WORKLOADS = {"SCALAB_FAKEDEV_SOCKET"}


@attrs.frozen
class Command:
    """What a command line says."""

    name: str
    """``frontend``, or ``fakedev exporter``."""
    options: Mapping[str, Any]
    from_environment: frozenset[str]
    """The variables that were taken."""

    def listens(self) -> dict[str, Address]:
        """Return where it listens, by option."""
        found = {k: str(v) for k, v in self.options.items() if k.endswith("_addr")}
        return {k: Address.parse(v) for k, v in found.items() if v not in ("", "none")}

    def workload(self) -> list[str]:
        """Return what a backend runs."""
        return list(self.options["command"])


def parse(argv: Sequence[str], env: Mapping[str, str]) -> Command:
    """Take a command line of ``scalab`` apart.

    Raises:
        Exception: No such option, no such value, or a variable that nobody reads.
    """
    return _parse(tuple(argv), frozenset(env.items()))


@functools.cache
def _parse(argv: tuple[str, ...], env: frozenset[tuple[str, str]]) -> Command:
    program, *args = argv
    assert program == "scalab"
    ours = {name: value for name, value in env if name.startswith("SCALAB_")}
    command = _command_line()
    with patch.dict(os.environ, ours):
        context = command.make_context("scalab", args)
        names = []
        while hasattr(command, "commands"):
            given = context._protected_args + context.args
            name, command, rest = command.resolve_command(context, given)
            context = command.make_context(name, rest, parent=context)
            names.append(name)
        taken = {
            variable
            for parameter in command.params
            for variable in _variables(context, parameter)
            if variable in ours
        }
    unknown = set(ours) - taken - OF_WORKLOADS
    assert not unknown, f"nobody reads {unknown}"
    return Command(" ".join(names), context.params, frozenset(taken))


@functools.cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def _variables(context: Any, parameter: Any) -> list[str]:
    """Return the variables that a parameter is read from."""
    if parameter.param_type_name != "option":
        return []
    if parameter.envvar:
        return [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar)
    return [f"{context.auto_envvar_prefix}_{parameter.name.upper()}"]


def parse_workload(argv: Sequence[str]) -> None:
    """Check a workload that is part of this package.

    Raises:
        Exception: It would not start.
    """
    if argv[:3] == ["scalab", "fakedev", "workload"]:
        options = workload.parse(argv[3:])
        assert options is not None
        workload.request(options)
    elif argv[:1] == ["sleep"]:
        (seconds,) = argv[1:]
        assert float(seconds) >= 0
    else:
        assert argv[0] == "ffmpeg"
