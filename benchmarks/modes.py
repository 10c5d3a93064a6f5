"""What scalab itself costs, in one mode or several; quick.py is the shortest look.

    python benchmarks/modes.py MODE [OPTION ...] [--json FILE]
    python benchmarks/modes.py all [--json FILE]

Modes: scaling (efficiency of ``sleep`` on 1 to 256 workers), spawn (programs started per second,
against the bare cost of starting them), openloop (how late requests leave at 10 000 a second),
capacity (10 000 idle workers, 1 000 000 waiting items), sizes (of messages), scrape (metrics of
1 to 1 000 queues), startup (of the command line and of each part). ``MODE --help`` tells its
options.

Every part of scalab is a process of its own on loopback. Machines are noisy: compare rows of one
run, not runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

from lab import capacity, openloop, scaling, scrape, sizes, spawn, startup
from lab.table import Table

from scalab import __version__


class Mode(Protocol):
    """A module of lab/."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Say how large and long it may be."""

    def measure(self, options: argparse.Namespace) -> Table:
        """Measure."""


MODES: dict[str, Mode] = {
    "scaling": scaling,
    "spawn": spawn,
    "openloop": openloop,
    "capacity": capacity,
    "sizes": sizes,
    "scrape": scrape,
    "startup": startup,
}


def main() -> None:
    """Measure what was asked for, print it, and write it to a file."""
    parser = argparse.ArgumentParser(description="What scalab itself costs.")
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")
    for name, mode in MODES.items():
        about = (getattr(mode, "__doc__", None) or "").partition("\n")[0]
        one = modes.add_parser(name, help=about, description=about)
        mode.add_options(one)
        one.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    every = modes.add_parser("all", help="all of them, with their defaults")
    every.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends, too
    measured: dict[str, Any] = {}
    for name in MODES if options.mode == "all" else (options.mode,):
        given = options if options.mode == name else parser.parse_args([name])
        table = MODES[name].measure(given)
        print(f"{table}\n", flush=True)
        measured[name] = table.as_json()
        if options.json:  # after each, so that an hour's work isn't lost with the last one
            options.json.write_text(json.dumps({**_machine(), "modes": measured}, indent=2) + "\n")


def _machine() -> dict[str, str]:
    return {
        "scalab": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
