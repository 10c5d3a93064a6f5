"""The same no-op work through scalab and through its peers, in one table.

    python benchmarks/peers.py [--peers NAME ...] [--rounds 5] [--seconds 5] [--json FILE]

The peers are NATS with nats-py, and Celery, Dramatiq, RQ and Taskiq on Redis. Each is started for
real on loopback, asked in a closed loop, and ended again, in turn, round by round. What they need
is installed into an environment of their own; their servers must be on PATH. What is missing, or
fails, is said in the table, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from peers_lab import environment
from peers_lab.processes import INTERRUPTS, PartError
from peers_lab.rounds import Sample, run_round
from peers_lab.systems import SYSTEMS, System, Window
from peers_lab.table import Case, as_json, make_table

from scalab import __version__


@attrs.define
class Needs:
    """What the peers need, and for which it isn't there."""

    python: Path = Path()
    """That of their environment."""
    servers: dict[str, str] = attrs.field(factory=dict)
    """Where they are, by name."""
    missing: dict[str, str] = attrs.field(factory=dict)
    """Why a system can't be measured, by its name."""


def look_for(systems: Sequence[System], cache: Path) -> Needs:
    """Find the servers of the peers, and make their environment if one of them can be measured."""
    needs = Needs()
    peers = [system for system in systems if not system.ours]
    for peer in peers:
        try:
            needs.servers[peer.server] = environment.find_server(peer.server)
        except environment.NotThereError as exc:
            needs.missing[peer.name] = str(exc)
    if len(needs.missing) < len(peers):
        try:
            needs.python = environment.prepare(cache)
        except environment.NotThereError as exc:
            needs.missing |= {peer.name: str(exc) for peer in peers}
    return needs


def make_cases(systems: Sequence[System], in_flight: int | None) -> list[Case]:
    """Return what is measured in each round: with many requests in flight, then with one."""
    many = [Case(s, in_flight if in_flight and s.many else s.in_flight) for s in systems]
    return many + [Case(s, 1) for s in systems if s.one and in_flight != 1]


def measure(case: Case, needs: Needs, options: argparse.Namespace) -> str:
    """Measure one round; return what became of it, in a few words."""
    window = Window(in_flight=case.in_flight, warm_up_s=options.warm_up, seconds=options.seconds)
    server = needs.servers.get(case.system.server, "")
    sample: Sample | None = None
    try:
        sample = run_round(case.system, window, needs.python, server)
    except PartError as exc:
        case.why = str(exc)
    case.samples.append(sample)
    return f"{sample.per_s:,.0f}/s" if sample else f"FAILED: {case.why}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--peers", nargs="+", default=names, choices=names, metavar="NAME",
        help=f"only these, and scalab: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=_positive(int), default=5, metavar="N", help="5")
    parser.add_argument(
        "--seconds", type=_positive(float), default=5.0, metavar="S", help="measured: 5"
    )
    parser.add_argument(
        "--warm-up", type=_positive(float), default=2.0, metavar="S", help="before that: 2"
    )
    parser.add_argument(
        "--in-flight", type=_positive(int), metavar="N",
        help="for scalab's sessions and NATS, instead of 256",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--cache", type=Path, default=environment.default_cache(), metavar="DIR",
        help="for the environment of the peers: %(default)s",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.json:
        try:
            options.json.touch()
        except OSError as exc:
            parser.error(f"--json {options.json}: {exc.strerror}")
    return options


def _positive(kind: type[int | float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        if not 0 < (number := kind(text)) < float("inf"):
            raise ValueError
        return number

    positive.__name__ = f"positive {kind.__name__}"  # what argparse calls it
    return positive


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table.

    Returns:
        The exit code: 0 if everything was measured in every round, 1 if not, 130 if interrupted.
    """
    options = parse(arguments)
    for one in INTERRUPTS:
        signal.signal(one, signal.default_int_handler)
    systems = [system for system in SYSTEMS if system.name in ("scalab", *options.peers)]
    cases = make_cases(systems, options.in_flight)
    needs = Needs()
    code = 130
    try:
        needs = look_for(systems, options.cache)
        for case in cases:
            case.why = needs.missing.get(case.system.name, "")
        measured = [case for case in cases if not case.why]
        for number in range(options.rounds):
            for case in measured:
                told = f"round {number + 1} of {options.rounds}: {case.system.name}"
                result = measure(case, needs, options)
                print(f"{told}, {case.in_flight} in flight: {result}", file=sys.stderr)
        code = 0 if all(case.complete for case in cases) else 1
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        for case in cases:
            case.why = case.why or "interrupted before its turn"
    if any(case.samples for case in cases):
        print(make_table(cases))
        if options.json:
            options.json.write_text(json.dumps(document(cases, options, needs), indent=2) + "\n")
    return code


def document(cases: Sequence[Case], options: argparse.Namespace, needs: Needs) -> dict[str, object]:
    """Return all figures, and what they were measured with."""
    versions = {name: environment.version_of(path) for name, path in needs.servers.items()}
    return {
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release()},
        "versions": {"scalab": __version__, "python": platform.python_version()} | versions,
        "requirements": environment.requirements(),
        "options": {name: _plain(value) for name, value in vars(options).items()},
        "cases": as_json(cases),
    }


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    sys.exit(main())
