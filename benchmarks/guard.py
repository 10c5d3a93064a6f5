"""Whether scalab does more for an item than it did: counts, and no times.

    python benchmarks/guard.py                      compare with the baseline, guard.json
    python benchmarks/guard.py --renew              take what is counted now as the baseline
    python benchmarks/guard.py --functions client   what is called there for an item

Fixed scenarios of the frontend, a backend and a client, each alone with scripted peers on a clock
that stands still: calls of functions, calls of the system, steps of Trio's tasks, bytes sent and
bytes held, all for one item. The same code gives the same figures, however busy the machine is.

Python and the libraries have their share in calls and in memory, so these are compared only on the
Python that the baseline names. What costs time within one call of C code isn't seen; for that there
is ``modes.py capacity``.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from lab.metered import Found, metered
from lab.scripts import SCENARIOS
from lab.table import Table

BASELINE = Path(__file__).with_name("guard.json")
TOLERANCE = 0.03
"""Of a new baseline; the figures themselves repeat within a thousandth."""
OF_PYTHON = ("calls", "bytes held")
"""What depends on the version of Python."""
LIBRARIES = ("trio", "attrs", "orjson")
FIGURES = {
    "calls": ",.1f", "syscalls": ".3f", "task steps": ".3f", "bytes sent": ",.1f",
    "bytes held": ",.0f",
}  # fmt: skip
SHOWN = 40
"""Functions that are listed."""

Figures = dict[str, dict[str, float]]


def python() -> str:
    """Return the version as far as it matters."""
    return ".".join(platform.python_version_tuple()[:2])


def count() -> dict[str, Found]:
    """Play all scenarios."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return {name: metered(scenario) for name, scenario in SCENARIOS.items()}


def compare(figures: Figures, baseline: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """Compare with a baseline.

    Yields:
        Whether something is worse, rather than better, and what is beyond the tolerance.
    """
    tolerance, before = baseline["tolerance"], baseline["figures"]
    for scenario, name in sorted({(s, n) for of in (figures, before) for s in of for n in of[s]}):
        if name in OF_PYTHON and baseline["python"] != python():
            continue
        now, was = figures.get(scenario, {}).get(name), before.get(scenario, {}).get(name)
        if now is None or was is None:
            yield True, f"{scenario}: {name} {'is no longer counted' if was else 'has no baseline'}"
        elif abs(now - was) > tolerance * was:
            form = FIGURES[name]
            text = f"{scenario}: {now:{form}} {name} per item, baseline {was:{form}}"
            yield now > was, f"{text} ± {tolerance:.0%}"


def baseline_of(figures: Figures) -> dict[str, Any]:
    """Return what is kept."""
    return {
        "python": python(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "tolerance": TOLERANCE,
        "figures": {
            scenario: {name: round(value, 4) for name, value in each.items()}
            for scenario, each in figures.items()
        },
    }


def judge(figures: Figures, path: Path) -> int:
    """Say what is beyond the tolerance; return the exit code."""
    if not path.exists():
        raise SystemExit(f"{path} doesn't exist; make it: python benchmarks/guard.py --renew")
    baseline = json.loads(path.read_text())
    found = list(compare(figures, baseline))
    worse = [text for is_worse, text in found if is_worse]
    for _, text in found:
        print(text)
    if worse:
        print(
            "\nFind out what was added to the hot path: --functions SCENARIO lists what is called."
            "\nIf it is worth it, renew the baseline: python benchmarks/guard.py --renew"
        )
    elif found:
        print("\nBetter. Hold the gain: python benchmarks/guard.py --renew")
    else:
        print(f"All within {baseline['tolerance']:.0%} of the baseline.")
    if found:
        for name, then in {"python": baseline["python"], **baseline["libraries"]}.items():
            now = python() if name == "python" else version(name)
            if now != then:
                print(f"The baseline was counted with {name} {then}; this is {now}.")
    return 1 if worse else 0


def list_functions(scenario: str, found: Found) -> None:
    """Print which functions are called for an item, the most frequent first."""
    calls = sorted(found.functions.items(), key=lambda each: -each[1])
    rows = [{"calls": count, "function": name} for name, count in calls[:SHOWN]]
    print(Table(f"\n{scenario}, for one item", {"calls": ",.3f", "function": ""}, rows))


def main() -> int:
    """Count, and do what was asked for with it."""
    parser = argparse.ArgumentParser(description="Whether scalab does more for an item.")
    parser.add_argument("--renew", action="store_true", help="take these counts as the baseline")
    parser.add_argument("--functions", metavar="SCENARIO", help="list calls; the start of its name")
    parser.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE")
    options = parser.parse_args()
    counted = count()
    figures = {name: found.figures for name, found in counted.items()}
    rows = [{"scenario": name, **each} for name, each in figures.items()]
    print(Table("Operations for one item", {"scenario": "", **FIGURES}, rows), end="\n\n")
    if options.functions:
        for name, found in counted.items():
            if name.startswith(options.functions) and found.functions:
                list_functions(name, found)
        return 0
    if options.renew:
        options.baseline.write_text(json.dumps(baseline_of(figures), indent=2) + "\n")
        print(f"{options.baseline} is renewed.")
        return 0
    return judge(figures, options.baseline)


if __name__ == "__main__":
    sys.exit(main())
