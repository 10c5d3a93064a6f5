"""How late requests leave in an open loop at 10 000 a second.

The client is ``scalab client --rate``, a process of its own that also records the run, with a
frontend and two backends beside it on the same cores. The schedule delay is the time from the
moment for which a request was intended to its sending.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .processes import LOCAL, cpu_s, part, until_connected
from .table import Row, Table

BACKENDS, SLOTS = 2, 16
COLUMNS = {
    "asked/s": ",.0f", "sent/s": ",.0f", "completed/s": ",.0f", "dropped": ",d", "held": ",d",
    "delay p50 ms": ".2f", "delay p99 ms": ".2f", "delay p99.9 ms": ".2f", "delay max ms": ".1f",
    "total p50 ms": ".2f", "total p99 ms": ".2f", "frontend CPU ms/1000": ".0f",
    "client CPU ms/1000": ".0f",
}  # fmt: skip
NOTES = (
    "Delay: from the intended time of sending to sending, as recorded in the run file.",
    "Dropped and held: by the limits of the client. Its CPU time includes its start.",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how fast, and for how long."""
    parser.add_argument("--rates", type=float, nargs="*", default=[1000, 5000, 10000], metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=2.0, metavar="SECONDS")


def measure(options: argparse.Namespace) -> Table:
    """Measure each rate."""
    rows = [_row(rate, options.seconds, options.warm_up) for rate in options.rates]
    title = f"Open loop, sleep 0, {BACKENDS} backends x {SLOTS} slots, {options.seconds:g} s"
    return Table(title, COLUMNS, rows, NOTES)


def _row(rate: float, seconds: float, warm_up_s: float) -> Row:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        frontend = stack.enter_context(part("frontend", "sleep", *LOCAL))
        to = f"--frontend={frontend.address('backends')}"
        for _ in range(BACKENDS):
            args = (to, "--when-empty=wait", f"--slots={SLOTS}", "sleep")
            stack.enter_context(part("backend", *args))
        until_connected(frontend, BACKENDS * SLOTS)
        before_s = cpu_s(frontend.pid)
        client_s = _client(
            f"--frontend={frontend.address('clients')}", f"--rate={rate:g}/s",
            f"--duration={seconds + warm_up_s:g}", f"--warm-up={warm_up_s:g}",
            f"--out={folder / 'run.jsonl'}", "--control-addr=none", "--no-live", "--quiet",
            "--", "0",
        )  # fmt: skip
        frontend_s = cpu_s(frontend.pid) - before_s
        report = json.loads(_scalab("report", "--format=json", str(folder / "run.jsonl")))
    return _figures(rate, report, frontend_s, client_s)


def _client(*args: str) -> float:
    """Run a client to its end; return the CPU time that it used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _scalab("client", *args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _scalab(*args: str) -> bytes:
    """Run a command to its end; return its output."""
    command = [sys.executable, "-m", "scalab", *args]
    ended = subprocess.run(command, capture_output=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.stderr.decode(errors='replace').strip()}")
    return ended.stdout


def _figures(rate: float, report: dict[str, Any], frontend_s: float, client_s: float) -> Row:
    """Pick from a report what the table shows; the CPU time is that of the whole run."""
    found = report["statistics"]
    delay, total = found["delay"], found["total"]
    requests = rate * report["run"]["duration_s"]
    return {
        "asked/s": rate,
        "sent/s": found["sent"] / found["window_s"],
        "completed/s": found["throughput"],
        "dropped": found["dropped"],
        "held": found["held"],
        "delay p50 ms": 1e3 * delay["p50_s"],
        "delay p99 ms": 1e3 * delay["p99_s"],
        "delay p99.9 ms": 1e3 * delay["p999_s"],
        "delay max ms": 1e3 * delay["max_s"],
        "total p50 ms": 1e3 * total["p50_s"],
        "total p99 ms": 1e3 * total["p99_s"],
        "frontend CPU ms/1000": 1e6 * frontend_s / requests,
        "client CPU ms/1000": 1e6 * client_s / requests,
    }
