"""One round of one system: set it up, let the client ask, read what all of it used meanwhile."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path

import attrs

from .processes import Part, PartError, Stage, Usage, last_words
from .systems import System, Window

PATIENCE_S = 30.0
"""Time that a client has, more than its window takes."""
SAMPLE_S = 0.5
"""How often the memory is looked at."""
MIB = 1 << 20


@attrs.frozen(kw_only=True)
class Sample:
    """What one round has shown."""

    per_s: float
    """Requests per second."""
    p50_s: float
    p99_s: float
    cpu_s: Mapping[str, float]
    """CPU seconds for 1000 requests, by role: broker, worker, client."""
    pss_mib: float
    """The most memory of all processes together, shared memory counted once."""
    rss_mib: float
    """Likewise, shared memory counted for each that has it."""
    others_cores: float
    """How much of the machine's CPU other programs took meanwhile, in cores."""


def run_round(system: System, window: Window, python: Path, server: str) -> Sample:
    """Set a system up, measure it once, and end all of it.

    Args:
        system: Which one.
        window: With how many requests in flight, and for how long.
        python: That of the peers' environment.
        server: The program that it needs.

    Raises:
        PartError: A part of it failed.
    """
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        with Stage(Path(folder), _environment()) as stage:
            client = system.start(stage, window, python, server)
            return _observe(stage, client, window)


def _environment() -> dict[str, str]:
    """Return our environment, without settings of scalab, and with our programs on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCALAB_")}
    path = [str(Path(__file__).parent.parent), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _observe(stage: Stage, client: Part, window: Window) -> Sample:
    """Read what the client says until it ends, and what all processes use when it does."""
    told: list[bytes] = []
    marks: dict[str, Usage] = {}
    most = Usage({}, 0, 0, 0)
    for line in _lines(client, window.warm_up_s + window.seconds + PATIENCE_S):
        told += [line] if line else []
        mark = _mark(line, window)
        if (mark and mark not in marks) or (marks and not line):
            usage = stage.usage()
            most = max(most, usage, key=attrgetter("pss_bytes"))
            marks |= {mark: usage} if mark else {}
    stage.check()  # before the client, which may have failed only because of them
    client.succeeded()
    if marks.keys() != {"begin", "end"}:
        raise PartError(f"{client.name} told of no window")
    figures = _figures(stage, told)
    begin, end = marks["begin"], marks["end"]
    used = {role: end.cpu_s[role] - begin.cpu_s.get(role, 0) for role in end.cpu_s}
    others_s = end.machine_s - begin.machine_s - sum(used.values())
    return Sample(
        per_s=figures["per_s"],
        p50_s=figures["p50_s"],
        p99_s=figures["p99_s"],
        cpu_s={role: 1000 * cpu_s / figures["requests"] for role, cpu_s in used.items()},
        pss_mib=most.pss_bytes / MIB,
        rss_mib=most.rss_bytes / MIB,
        others_cores=max(others_s, 0) / window.seconds,
    )


def _lines(client: Part, seconds: float) -> Iterator[bytes]:
    """Yield the lines of a client's stdout to their end, and ``b""`` now and then.

    Raises:
        PartError: It doesn't end in time.
    """
    assert client.process.stdout is not None
    source = client.process.stdout.fileno()
    deadline = time.monotonic() + seconds
    rest = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([source], [], [], min(SAMPLE_S, left_s))[0]:
            yield b""
            continue
        if not (data := os.read(source, 1 << 16)):
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from filter(None, lines)
    raise PartError(f"{client.name} has not ended in {seconds:g} s")


def _mark(line: bytes, window: Window) -> str:
    """Return what a client's line tells of the window: that it begins, or that it has ended.

    Our programs say so. The lines of ``scalab client`` are those of a run file, written when an
    interval is over: the window begins with the end of the warm-up, and ends with what follows the
    measured time, a short interval of draining if there is one.
    """
    record = json.loads(line) if line.startswith(b"{") else {}
    if "mark" in record:
        return record["mark"] if record["mark"] in ("begin", "end") else ""
    phase = record.get("phase")
    if phase == "warm-up" and record["to_s"] >= window.warm_up_s:
        return "begin"
    return "end" if phase == "drain" or record.get("type") == "end" else ""


def _figures(stage: Stage, told: list[bytes]) -> dict[str, float]:
    """Return ``requests``, ``per_s``, ``p50_s`` and ``p99_s`` of what a client has told.

    Raises:
        PartError: It told no figures, or of failed requests.
    """
    results = [json.loads(line) for line in told if b'"result"' in line]
    if results:
        if not results[0]["requests"]:
            raise PartError("no request was answered in the window")
        return dict(results[0])
    run = stage.folder / "run.jsonl"
    run.write_bytes(b"".join(line + b"\n" for line in told if line.startswith(b'{"type"')))
    command = (sys.executable, "-m", "scalab", "report", "--format=json", run)
    report = subprocess.run(command, env=_environment(), check=False, capture_output=True)
    if report.returncode:
        raise PartError(f"scalab report: {last_words(report.stderr.decode(errors='replace'))}")
    statistics = json.loads(report.stdout)["statistics"]
    if statistics["failed"] or not statistics["completed"]:
        raise PartError(f"{statistics['failed']} of {statistics['completed']} requests failed")
    total = statistics["total"]
    return {
        "requests": statistics["completed"],
        "per_s": statistics["throughput"],
        "p50_s": total["p50_s"],
        "p99_s": total["p99_s"],
    }
