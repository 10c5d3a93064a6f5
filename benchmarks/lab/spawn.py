"""Programs started per second, against the bare cost of starting them.

``/bin/true`` for each item, by a backend with as many slots as there are requests in flight. The
bare cost is what one process needs that does nothing but start the same program and wait for it:
by ``posix_spawn``, and by ``trio.run_process`` with as many at once.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import attrs
import trio

from scalab.client.service import Result, run_client
from scalab.client.settings import ClientSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

from .processes import LOCAL, children_cpu_s, cpu_s, part, until_connected
from .table import Row, Table

PROGRAM = "/bin/true"
WARM_UP_S = 0.5
COLUMNS = {
    "started by": "", "at once": ",d", "starts/s": ",.0f", "share of bare %": ".0f",
    "own CPU ms": ".2f", "children CPU ms": ".2f", "frontend CPU ms": ".3f",
}  # fmt: skip
NOTES = (
    "Bare = posix_spawn, one at a time, in one process.",
    "CPU time is that of one start; own = of the process that starts, its fork included.",
)


@attrs.frozen
class Starts:
    """How many there were, and what they cost in all."""

    count: int
    seconds: float
    own_s: float
    children_s: float
    frontend_s: float | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many start at once, and for how long."""
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 2, 16], metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0)


def measure(options: argparse.Namespace) -> Table:
    """Measure the bare cost, and that of scalab."""
    ways: list[tuple[str, int, Callable[[], Starts]]] = [
        ("posix_spawn", 1, partial(_bare, options.seconds))
    ]
    for n in options.at_once:
        ways.append(("trio.run_process", n, partial(_by_trio, n, options.seconds)))
        ways.append(("scalab backend", n, partial(_by_scalab, n, options.seconds)))
    found = [(name, n, way()) for name, n, way in ways]
    bare = found[0][2]
    rows = [_row(name, n, starts, bare) for name, n, starts in found]
    return Table(f"Starts of {PROGRAM}", COLUMNS, rows, NOTES)


def _row(name: str, at_once: int, starts: Starts, bare: Starts) -> Row:
    each = starts.count or 1
    share = starts.count / starts.seconds / (bare.count / bare.seconds)
    return {
        "started by": name,
        "at once": at_once,
        "starts/s": starts.count / starts.seconds,
        "share of bare %": 100 * share,
        "own CPU ms": 1e3 * starts.own_s / each,
        "children CPU ms": 1e3 * starts.children_s / each,
        "frontend CPU ms": starts.frontend_s and 1e3 * starts.frontend_s / each,
    }


class _Here:
    """What this process and its children use from now on."""

    def __init__(self) -> None:
        self._from = self._read()

    def starts(self, count: int) -> Starts:
        """Return what it was for."""
        return Starts(count, *(b - a for a, b in zip(self._from, self._read(), strict=True)))

    @staticmethod
    def _read() -> tuple[float, float, float]:
        ours = resource.getrusage(resource.RUSAGE_SELF)
        theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours_s, theirs_s = (each.ru_utime + each.ru_stime for each in (ours, theirs))
        return time.monotonic(), ours_s, theirs_s


def _bare(seconds: float) -> Starts:
    """Start one after the other."""
    here, count, end = _Here(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        pid = os.posix_spawn(PROGRAM, [PROGRAM], os.environ)
        os.waitpid(pid, 0)
        count += 1
    return here.starts(count)


def _by_trio(at_once: int, seconds: float) -> Starts:
    """Start them in tasks."""
    count = 0

    async def lane(end: float) -> None:
        nonlocal count
        while trio.current_time() < end:
            await trio.run_process([PROGRAM])
            count += 1

    async def lanes() -> None:
        end = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(lane, end)

    here = _Here()
    trio.run(lanes)
    return here.starts(count)


def _by_scalab(at_once: int, seconds: float) -> Starts:
    """Start them for items."""
    with ExitStack() as stack:
        frontend = stack.enter_context(part("frontend", "sleep", *LOCAL))
        to = f"--frontend={frontend.address('backends')}"
        backend = stack.enter_context(
            part("backend", to, "--when-empty=wait", f"--slots={at_once}", PROGRAM)
        )
        until_connected(frontend, at_once)
        clients = frontend.address("clients")
        trio.run(_load, clients, at_once, WARM_UP_S)

        def used() -> tuple[float, float, float]:
            return cpu_s(backend.pid), children_cpu_s(backend.pid), cpu_s(frontend.pid)

        before = used()
        result = trio.run(_load, clients, at_once, seconds)
        after = used()
    found = result.statistics
    assert found is not None
    if found.failed:
        raise SystemExit(f"{found.failed} of {found.completed} runs failed: {found.errors}")
    return Starts(
        found.completed, found.window_s, *(b - a for a, b in zip(before, after, strict=True))
    )


async def _load(clients: Address, parallel: int, seconds: float) -> Result:
    scenario = make_scenario(load=LoadOptions(parallel=parallel), duration_s=seconds)
    settings = ClientSettings(frontend=clients, scenario=scenario, control_addr=None)
    result = Result()
    await run_client(settings, Stop(), result)
    return result
