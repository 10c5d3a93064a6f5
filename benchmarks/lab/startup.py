"""How long the command line takes to answer, and each part to be at work.

Each is started several times, in turn with the others; the median counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import attrs

from .processes import LOCAL, cpu_s, part, rss_bytes
from .table import Row, Table

COMMANDS = (
    (), ("--version",), ("--help",), ("frontend", "--help"), ("backend", "--help"),
    ("client", "--help"), ("validate", "--help"),
)  # fmt: skip
COLUMNS = {
    "what": "", "until": "", "median ms": ".0f", "min ms": ".0f", "CPU ms": ".0f", "MiB": ".0f",
}  # fmt: skip
NOTES = ("The first row is what Python itself needs.",)


@attrs.frozen
class Start:
    """One start."""

    seconds: float
    cpu_s: float
    memory: int = 0
    """In bytes, when it is ready."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how often."""
    parser.add_argument("--rounds", type=int, default=7)


def measure(options: argparse.Namespace) -> Table:
    """Start everything in turn, several times."""
    with ExitStack() as stack:
        frontend = stack.enter_context(part("frontend", "sleep", *LOCAL))
        to_backends = f"--frontend={frontend.address('backends')}"
        to_clients = f"--frontend={frontend.address('clients')}"
        services = (
            ("frontend", "sleep", *LOCAL),
            ("backend", to_backends, "--when-empty=wait", "sleep"),
            ("client", to_clients, "--control-addr=127.0.0.1:0", "--no-live", "0"),
        )
        ways: dict[tuple[str, str], Callable[[], Start]] = {
            **{(_name(args), "it ends"): partial(_ended, *args) for args in COMMANDS},
            **{(f"scalab {args[0]}", "it is ready"): partial(_ready, *args) for args in services},
        }
        starts: dict[tuple[str, str], list[Start]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                starts[name].append(way())
    rows = [_row(*name, found) for name, found in starts.items()]
    return Table(f"Start-up, {options.rounds} times each", COLUMNS, rows, NOTES)


def _name(args: tuple[str, ...]) -> str:
    return f"scalab {' '.join(args)}" if args else "python -c ''"


def _row(what: str, until: str, starts: list[Start]) -> Row:
    return {
        "what": what,
        "until": until,
        "median ms": 1e3 * statistics.median(start.seconds for start in starts),
        "min ms": 1e3 * min(start.seconds for start in starts),
        "CPU ms": 1e3 * statistics.median(start.cpu_s for start in starts),
        "MiB": statistics.median(start.memory for start in starts) / (1 << 20) or None,
    }


def _ended(*args: str) -> Start:
    """Start a command and wait for its end."""
    command = [sys.executable, "-m", "scalab", *args] if args else [sys.executable, "-c", ""]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Start(seconds, used.ru_utime + used.ru_stime)


def _ready(*args: str) -> Start:
    """Start a service and wait until it is at work."""
    began = time.perf_counter()
    with part(*args) as running:
        seconds = time.perf_counter() - began
        return Start(seconds, cpu_s(running.pid), rss_bytes(running.pid))
