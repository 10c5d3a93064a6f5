"""Efficiency of ``sleep`` on many workers: slots of one backend, and backends of their own.

As many requests are in flight as there are workers, by scalab's own client. In such a closed loop
each request follows a reply at once, so the mean latency is the mean cycle of a worker, and by
Little's law throughput is workers / mean latency. Efficiency is what the workers did of what they
could: throughput * run time asked for / workers = run time asked for / mean latency.

Runs of equal length that start together also end together, for ever: the worst case for whoever
has to hand out the next ones at that moment. So each row is measured with all starting together,
and with starts spread over one cycle.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack

import attrs
import trio

from scalab.client.service import Result, run_client
from scalab.client.settings import ClientSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.measure.statistics import Statistics
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

from .processes import LOCAL, cpu_s, part, starting, until_connected
from .table import Row, Table

COLD = 2
"""Cycles at the start that don't count: code runs for the first time."""
STARTS = ("together", "spread")
COLUMNS = {
    "workers": ",d", "as": "", "starts": "", "efficiency %": ".2f", "runs": ",d", "runs/s": ",.1f",
    "cycle ms": ".2f", "wait ms": ".2f", "run ms": ".2f", "overhead ms": ".2f",
    "frontend CPU ms/1000": ",.0f",
}  # fmt: skip
NOTES = (
    "Efficiency = throughput x run time asked for / workers = run time asked for / cycle.",
    "Cycle = wait for a worker + run as the backend saw it + overhead, which is all the rest.",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many workers there are, and for how long."""
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 4, 16, 64, 256], metavar="N")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4, 16, 64], metavar="N")
    parser.add_argument("--starts", nargs="*", default=STARTS, choices=STARTS)
    parser.add_argument("--sleep", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--cycles", type=int, default=20, help="runs of each worker (20)")


def measure(options: argparse.Namespace) -> Table:
    """Measure each number of workers in both layouts."""
    layouts = [_Layout("slots", n, 1) for n in options.slots]
    layouts += [_Layout("processes", 1, n) for n in options.processes]
    rows = [
        _row(layout, starts, options.sleep, options.cycles)
        for layout in layouts
        for starts in options.starts
    ]
    return Table(f"Scaling efficiency of sleep {options.sleep:g}", COLUMNS, rows, NOTES)


@attrs.frozen
class _Layout:
    """What the workers are."""

    name: str
    slots: int
    backends: int


def _row(layout: _Layout, starts: str, sleep_s: float, cycles: int) -> Row:
    workers = layout.slots * layout.backends
    with ExitStack() as stack:
        frontend = stack.enter_context(part("frontend", "sleep", *LOCAL))
        to = f"--frontend={frontend.address('backends')}"
        for _ in range(layout.backends):
            args = (to, "--when-empty=wait", f"--slots={layout.slots}", "sleep")
            stack.enter_context(starting("backend", *args))
        until_connected(frontend, workers)
        before_s = cpu_s(frontend.pid)
        spread_s = sleep_s if starts == "spread" else 0.0
        load = LoadOptions(parallel=workers, spread_s=spread_s)
        found = trio.run(_run, frontend.address("clients"), load, sleep_s, cycles)
        used_s = cpu_s(frontend.pid) - before_s
    if found.failed or found.attempts_max > 1:
        raise SystemExit(f"{found.failed} of {found.completed} runs failed: {found.errors}")
    total_s, run_s, wait_s = found.total.mean_s, found.run.mean_s, found.wait.mean_s
    return {
        "workers": workers,
        "as": layout.name,
        "starts": starts,
        "efficiency %": 100 * sleep_s / total_s,
        "runs": found.completed,
        "runs/s": workers / total_s,
        "cycle ms": 1e3 * total_s,
        "wait ms": 1e3 * wait_s,
        "run ms": 1e3 * run_s,
        "overhead ms": 1e3 * (total_s - run_s - wait_s),
        "frontend CPU ms/1000": 1e6 * used_s * cycles / (cycles + COLD) / found.completed,
    }


async def _run(clients: Address, load: LoadOptions, sleep_s: float, cycles: int) -> Statistics:
    scenario = make_scenario(
        args=(f"{sleep_s:g}",), load=load,
        warm_up_s=COLD * sleep_s, duration_s=(COLD + cycles + 0.5) * sleep_s,
    )  # fmt: skip
    result = Result()
    settings = ClientSettings(frontend=clients, scenario=scenario, control_addr=None)
    await run_client(settings, Stop(), result)
    assert result.statistics is not None
    return result.statistics
