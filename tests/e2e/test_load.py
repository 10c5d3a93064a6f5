"""Whole runs of a client: what it measures, judges, writes down and leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP

import trio

from scalab.measure.statistics import Statistics
from scalab.runfile.reading import read_run
from tests.support import ended, processes


def figures(path: Path) -> Statistics:
    return read_run(path).measured.statistics()


def report(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scalab", "report", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_frozen_backend_shows_in_the_corrected_latency_only(tmp_path: Path) -> None:
    """Coordinated omission: few requests meet a stall, but many should have been sent in it."""
    out = tmp_path / "run.jsonl"
    async with processes() as started:
        frontend = await started.frontend()
        backend = await started.backend(frontend, slots="8")
        load = {"rate": "80/s", "max_in_flight": "4", "duration": "9", "out": str(out)}
        client = await started.client(frontend, "0.02", **load)
        # Nothing tells the outside when it changes.
        while ended(await frontend.queue()) < 160:  # noqa: ASYNC110
            await trio.sleep(0.02)
        backend.signal(SIGSTOP)
        await trio.sleep(2)
        backend.signal(SIGCONT)
        code = await client.ended()

    assert code == 0
    measured = figures(out)
    assert measured.dropped == 0
    assert measured.total.max_s > 1.9
    assert measured.total.p99_s < 1.0
    assert 1.0 < measured.corrected.p99_s < 3.0
    summary = " ".join(client.out.decode().split())
    assert "p99 of the corrected latency" in summary or "corrected" in summary
    assert "had to wait in the client" in summary


async def test_a_killed_client_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    async with processes() as started:
        frontend = await started.frontend()
        await started.backend(frontend, slots="4")
        client = await started.client(frontend, "0.01", parallel="4", out=str(out), interval="0.1")
        # Nothing tells the outside when a file grows.
        while not out.exists() or out.stat().st_size < 4000:  # noqa: ASYNC110
            await trio.sleep(0.02)
        client.signal(SIGKILL)
        await client.ended()

    run = read_run(out)
    assert run.end is None
    assert run.measured.statistics().completed > 0
    told = report(str(out))
    assert told.returncode == 0, told.stderr
    assert "killed" in told.stdout


async def test_a_crossed_threshold_is_exit_code_4_and_one_that_aborts_ends_the_run(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run.jsonl"
    async with processes() as started:
        frontend = await started.frontend()
        await started.backend(frontend, "false")
        client = await started.client(
            frontend,
            rate="20/s",
            duration="60",
            interval="0.2",
            threshold="failures<50% abort",
            out=str(out),
        )
        code = await client.ended()

    assert code == 4
    end = json.loads(out.read_text().splitlines()[-1])
    assert (end["reason"], end["thresholds"][0]["ok"]) == ("threshold", False)
    assert end["at_s"] < 30
    assert report(str(out)).returncode == code


async def test_a_signal_ends_a_run_with_everything_on_record(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    async with processes() as started:
        frontend = await started.frontend()
        await started.backend(frontend, slots="4")
        client = await started.client(frontend, "0.05", parallel="4", out=str(out))
        await frontend.until(running=4)
        await trio.sleep(0.3)
        client.signal(SIGINT)
        code = await client.ended()
        accepted = (await frontend.queue())["accepted"]

    assert code == 0
    run = read_run(out)
    assert run.end is not None
    assert run.end.reason == "stopped"
    whole = run.whole
    assert whole.sent == whole.completed + whole.aborted == accepted


async def test_a_full_disk_ends_the_record_and_not_the_run() -> None:
    async with processes() as started:
        frontend = await started.frontend()
        await started.backend(frontend, slots="4")
        client = await started.client(
            frontend, "0.01", parallel="4", requests="100", out="/dev/full"
        )
        code = await client.ended()

    assert code == 0
    assert "the run file is not whole" in "\n".join(client.log)
    assert "No space left on device" in "\n".join(client.log)
    assert "100" in client.out.decode()
