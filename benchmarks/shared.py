"""What it costs to share a queue: 1, 2 and 4 frontends on a store beside one in memory.

    python benchmarks/shared.py [--seconds 5] [--rounds 3] [--in-flight 256] [--json FILE]

Every part is a process of its own: the store (redis-server, without persistence), the frontends,
four backends with 16 slots of the built-in ``sleep 0`` each that are spread over them, and this
process, which has a client for each frontend. Rounds are interleaved, and the median counts. A
round trip is the same with a single request in flight. CPU time is per 1000 requests, by kind of
part: on a machine with more cores than parts it tells more than the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import trio
from lab.processes import LOCAL, Part, cpu_s, part, until_connected
from lab.table import Table

from scalab.client.service import Result, run_client
from scalab.client.settings import ClientSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

BACKENDS, SLOTS = 4, 16
MODES = {"memory": 0, "1 frontend": 1, "2 frontends": 2, "4 frontends": 4}


@attrs.frozen
class Sample:
    """One round."""

    per_s: float
    p50_s: float
    p99_s: float
    trip_s: float
    """Median time of a round trip, with one request in flight."""
    cpu_ms: dict[str, float]
    """CPU milliseconds per 1000 requests, by kind of part."""


@contextmanager
def store() -> Iterator[tuple[str, int]]:
    """Run a store until left; yields its URL and its process id."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="scalab") as folder:
        path = Path(folder, "socket")
        options = ("--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder)
        with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
            try:
                while not path.exists():
                    if process.poll() is not None:
                        raise SystemExit("the store ended at its start")
                    time.sleep(0.02)
                yield f"unix://{path}", process.pid
            finally:
                process.terminate()


async def load(frontends: list[Address], seconds: float, in_flight: int) -> list[Result]:
    """Run a client for each frontend."""
    results = [Result() for _ in frontends]
    async with trio.open_nursery() as nursery:
        for frontend, result in zip(frontends, results, strict=True):
            scenario = make_scenario(
                args=("0",), load=LoadOptions(parallel=in_flight), warm_up_s=0.5,
                duration_s=seconds + 0.5,
            )  # fmt: skip
            settings = ClientSettings(frontend=frontend, scenario=scenario, control_addr=None)
            nursery.start_soon(run_client, settings, Stop(), result)
    return results


def measure(
    parts: dict[str, list[int]], frontends: list[Part], seconds: float, in_flight: int
) -> Sample:
    """Measure one round of one mode."""
    clients = [frontend.address("clients") for frontend in frontends]
    before = {kind: sum(map(cpu_s, pids)) for kind, pids in parts.items()}
    results = trio.run(load, clients, seconds, max(1, in_flight // len(clients)))
    after = {kind: sum(map(cpu_s, pids)) for kind, pids in parts.items()}
    (single,) = trio.run(load, clients[:1], min(seconds, 2.0), 1)
    found = [result.statistics for result in results if result.statistics is not None]
    assert single.statistics is not None
    # All clients' requests, in the warm-up too.
    count = sum(s.completed for s in found) * (seconds + 0.5) / seconds
    return Sample(
        sum(s.throughput for s in found),
        statistics.median(s.total.p50_s for s in found),
        max(s.total.p99_s for s in found),
        single.statistics.total.p50_s,
        {kind: 1e6 * (after[kind] - before[kind]) / max(count, 1) for kind in parts},
    )


def round_of(count: int, seconds: float, in_flight: int) -> Sample:
    """Start all parts, measure, and end them."""
    with ExitStack() as stack:
        parts: dict[str, list[int]] = {}
        options: tuple[str, ...] = ()
        if count:
            url, pid = stack.enter_context(store())
            options, parts["store"] = ("--store", url), [pid]
        frontends = [
            stack.enter_context(part("frontend", "sleep", *LOCAL, *options))
            for _ in range(max(count, 1))
        ]
        parts["frontends"] = [frontend.pid for frontend in frontends]
        backends = []
        for number in range(BACKENDS):
            at = frontends[number % len(frontends)].address("backends")
            options_ = ("--slots", str(SLOTS), "--when-empty", "wait")
            backend = stack.enter_context(
                part("backend", "--frontend", str(at), *options_, "--", "sleep")
            )
            backends.append(backend.pid)
        parts["backends"] = backends
        parts["clients"] = [os.getpid()]
        until_connected(frontends[0], BACKENDS * SLOTS)
        return measure(parts, frontends, seconds, in_flight)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=256, help="Over all clients.")
    parser.add_argument("--json", metavar="FILE", help="Write the figures here, too.")
    given = parser.parse_args()
    samples: dict[str, list[Sample]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode, count in MODES.items():
            samples[mode].append(round_of(count, given.seconds, given.in_flight))
    rows = []
    for mode, taken in samples.items():
        middle = sorted(taken, key=lambda sample: sample.per_s)[len(taken) // 2]
        trip_s = statistics.median(sample.trip_s for sample in taken)
        rows.append(
            {
                "queue": mode,
                "requests/s": middle.per_s,
                "p50 ms": 1e3 * middle.p50_s,
                "p99 ms": 1e3 * middle.p99_s,
                "round trip ms": 1e3 * trip_s,
                **{f"{kind} CPU ms": value for kind, value in middle.cpu_ms.items()},
            }
        )
    kinds = ("frontends", "store", "backends", "clients")
    columns = {
        "queue": "", "requests/s": ",.0f", "p50 ms": ".2f", "p99 ms": ".2f",
        "round trip ms": ".2f", **{f"{kind} CPU ms": ".1f" for kind in kinds},
    }  # fmt: skip
    table = Table(
        f"{given.in_flight} requests in flight, {BACKENDS} backends with {SLOTS} slots",
        columns, rows, ("CPU time is per 1000 requests, of all parts of a kind.",),
    )  # fmt: skip
    print(table)
    if given.json:
        Path(given.json).write_text(json.dumps(table.as_json(), indent=1))


if __name__ == "__main__":
    main()
