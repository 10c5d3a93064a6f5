"""How many no-op requests go through one frontend, and where the time goes.

    python benchmarks/quick.py [--seconds 3] [--rounds 3] [sessions|classic|roundtrip ...]

Every part is a process of its own, as people run it: the frontend, two backends with 16 slots of
the built-in ``sleep 0`` each, and this process, which is the client. Rounds of the modes are
interleaved, since the machine may be busy with something else for a while; the median counts.

The classic mode has lean classic peers, written here, on both sides: what it measures is the
frontend under one connection per message. CPU time is per 1000 requests, by process.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import threading
import time
from contextlib import ExitStack

import attrs
import trio
from lab.processes import LOCAL, address, cpu_s, process

from scalab.client.service import Result, run_client
from scalab.client.settings import ClientSettings
from scalab.load.options import LoadOptions, make_scenario
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

BACKENDS, SLOTS, IN_FLIGHT = 2, 16, 256
CLASSIC_IN_FLIGHT = 32
MODES = ("sessions", "classic", "roundtrip")


@attrs.frozen
class Sample:
    """One round of one mode."""

    per_s: float
    p50_s: float
    p99_s: float
    cpu_ms: dict[str, float]
    """CPU milliseconds per 1000 requests, by process."""


async def sessions(frontend: Address, seconds: float, parallel: int) -> tuple[float, float, float]:
    """Run the real client; return requests/s and the p50 and p99 of their total time."""
    scenario = make_scenario(args=("0",), load=LoadOptions(parallel=parallel), duration_s=seconds)
    settings = ClientSettings(frontend=frontend, scenario=scenario, control_addr=None)
    result = Result()
    await run_client(settings, Stop(), result)
    assert result.statistics is not None
    total = result.statistics.total
    return result.statistics.throughput, total.p50_s, total.p99_s


def quantile(sorted_values: list[float], q: float) -> float:
    """Return the value below which a share ``q`` of the values lies."""
    return sorted_values[min(int(q * len(sorted_values)), len(sorted_values) - 1)]


def classic(clients: Address, workers: Address, seconds: float) -> tuple[float, float, float]:
    """Run lean classic peers; return requests/s and the p50 and p99 of their total time.

    Threads with blocking sockets: the classic peers are Go programs, which cost little, and so
    must these.
    """
    times: list[float] = []
    end = time.perf_counter() + seconds
    answered = threading.Event()
    work, reply = b'{"Queue": "sleep"}', b'{"Node": "n", "Pod": "p", "Runtime": 0.0}'

    def client() -> None:
        while (began := time.perf_counter()) < end:
            with socket.create_connection((clients.host, clients.port)) as connection:
                connection.sendall(work)
                connection.recv(1024)
            times.append(time.perf_counter() - began)

    def backend() -> None:
        while not answered.is_set():
            with socket.create_connection((workers.host, workers.port)) as connection:
                connection.sendall(work)
                if b'"Empty":true' in connection.recv(1024):
                    time.sleep(0.001)
                else:
                    connection.sendall(reply)
                    connection.recv(1)

    askers, backends = (
        [threading.Thread(target=target, daemon=True) for _ in range(count)]
        for target, count in ((client, CLASSIC_IN_FLIGHT), (backend, 4))
    )
    for thread in (*askers, *backends):
        thread.start()
    for thread in askers:
        thread.join(seconds + 5)
    answered.set()  # only now, so that the last requests are answered, too
    for thread in backends:
        thread.join(1)
    times.sort()
    return len(times) / seconds, quantile(times, 0.5), quantile(times, 0.99)


def measure(mode: str, seconds: float) -> Sample:
    """Run one round of one mode."""
    with ExitStack() as stack:
        pid, line = stack.enter_context(process("frontend", "sleep", *LOCAL))
        clients, workers = address(line, "clients"), address(line, "backends")
        pids = {"frontend": pid}
        for number in range(BACKENDS if mode != "classic" else 0):
            args = (f"--frontend={workers}", "--when-empty=wait", f"--slots={SLOTS}", "sleep")
            pids[f"backend {number + 1}"], _ = stack.enter_context(process("backend", *args))
        pids["client" if mode != "classic" else "peers"] = os.getpid()
        time.sleep(0.5 if mode != "classic" else 0.1)  # the backends connect
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        if mode == "classic":
            per_s, p50_s, p99_s = classic(clients, workers, seconds)
        else:
            parallel = IN_FLIGHT if mode == "sessions" else 1
            per_s, p50_s, p99_s = trio.run(sessions, clients, seconds, parallel)
        used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    requests = max(per_s * seconds, 1)
    return Sample(per_s, p50_s, p99_s, {n: 1e6 * s / requests for n, s in used.items()})


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("modes", nargs="*", metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    modes = options.modes or MODES
    if unknown := set(modes) - set(MODES):
        parser.error(f"unknown mode {min(unknown)}")
    samples: dict[str, list[Sample]] = {mode: [] for mode in modes}
    for _ in range(options.rounds):
        for mode in modes:
            samples[mode].append(measure(mode, options.seconds))
    head = f"{'mode':10} {'requests/s':>12} {'min..max':>17} {'p50 ms':>8} {'p99 ms':>8}"
    print(f"{head}  CPU ms/1000")
    for mode, rounds in samples.items():
        rates = [s.per_s for s in rounds]
        middle = min(rounds, key=lambda s: abs(s.per_s - statistics.median(rates)))
        cpu = ", ".join(f"{name} {ms:.0f}" for name, ms in middle.cpu_ms.items())
        spread = f"{min(rates):,.0f}..{max(rates):,.0f}"
        print(
            f"{mode:10} {middle.per_s:12,.0f} {spread:>17} "
            f"{1e3 * middle.p50_s:8.2f} {1e3 * middle.p99_s:8.2f}  {cpu}"
        )


if __name__ == "__main__":
    main()
