"""A part runs out of descriptors, memory or disk, or its clock jumps; started by ``nox -s faults``.

Each part has to go on, to say what is wrong, and to be as before when there is enough again.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGINT

import pytest
import trio

from scalab.runfile.reading import read_run
from tests.faults.lab.processes import until
from tests.support import FrontendProcess, Json, Process, Wire, processes

PATIENCE_S = 60.0


@contextmanager
def limited(process: Process, what: int, most: int) -> Iterator[None]:
    """Limit a process that runs, for a while."""
    pid = process.process.pid
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def descriptors(process: Process) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


@asynccontextmanager
async def connections(frontend: FrontendProcess, count: int) -> AsyncIterator[list[Wire]]:
    """Hold so many silent connections to the port for clients."""
    held: list[Wire] = []
    try:
        while len(held) < count:
            held += [await frontend.to_clients()]
        yield held
    finally:
        with trio.CancelScope(shield=True):
            for wire in held:
                await wire.aclose()


async def served(wire: Wire, *names: str, **fields: object) -> list[Json]:
    """Have requests answered, by a session that there is."""
    for name in names:
        await wire.frame("request", Id=name, Queue="q", Args=["0.01"], **fields)
    return [await wire.next("reply") for _ in names]


def outcomes(replies: list[Json]) -> set[str]:
    return {reply["Outcome"] for reply in replies}


async def test_the_frontend_has_no_descriptors_left() -> None:
    """Peers that are connected are served on; new ones come in when there are some again."""
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend()
        await started.backend(frontend, "sleep", slots="2")
        client = await frontend.client()
        await served(client, "before")
        usual = descriptors(frontend.process)
        with limited(frontend.process, resource.RLIMIT_NOFILE, usual + 5):
            async with connections(frontend, 50):
                await frontend.process.line("can't accept")
                with trio.move_on_after(0.5):  # its pages wait, too
                    await frontend.get("/livez")
                replies = await served(client, *map(str, range(20)))
                assert outcomes(replies) == {"success"}
        late = await frontend.client()
        assert outcomes(await served(late, "after")) == {"success"}
        await late.aclose()
        await until(lambda: descriptors(frontend.process) <= usual, "all are closed")
        queue = await frontend.queue()

    assert queue["completed"]["success"] == queue["accepted"] == 22
    assert not any("Traceback" in line for line in frontend.process.log)


async def test_the_frontend_keeps_descriptors_for_itself() -> None:
    """Peers can't take them all: those over the limit are turned away, and it can be scraped."""
    async with processes(patience_s=PATIENCE_S) as started:
        started.before = ("prlimit", "--nofile=1000:1000")
        frontend = await started.frontend()
        started.before = ()
        await started.backend(frontend, "sleep")
        client = await frontend.client()
        async with connections(frontend, 900) as held:
            metrics = await frontend.metrics()
            while refused(metrics) < 100:
                metrics = await frontend.metrics()
            assert outcomes(await served(client, "a")) == {"success"}
            assert len(held) == 900

    assert metrics["process_max_fds"] == 1000
    assert metrics["process_open_fds"] < 1000
    assert not any("can't accept" in line for line in frontend.process.log)


async def test_a_backend_has_no_descriptors_left() -> None:
    """It can start nothing, says so in each reply, and is as before when it can."""
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend()
        backend = await started.backend(frontend, shutil.which("sleep") or "", slots="2")
        client = await frontend.client()
        await served(client, "before")
        usual = descriptors(backend)
        with limited(backend, resource.RLIMIT_NOFILE, usual):
            (reply,) = await served(client, "in it")
        assert reply["Outcome"] == "failure"
        assert "Too many open files" in reply["Error"]
        replies = await served(client, *map(str, range(10)))
        assert outcomes(replies) == {"success"}
        assert descriptors(backend) <= usual

    assert not any("Traceback" in line for line in backend.log)


async def test_a_client_has_no_descriptors_left() -> None:
    """Classic requests that can't be made are failures; those after them are made."""
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend()
        await started.backend(frontend, "sleep", slots="8")
        client = await started.client(
            frontend, "0.05", parallel="8", requests="400", classic="", connect_timeout="30"
        )
        await frontend.until(running=8)
        with limited(client, resource.RLIMIT_NOFILE, descriptors(client) - 4):
            await trio.sleep(1)
        code = await client.ended()
        queue = await frontend.queue()

    counts = {
        name: int(count)
        for name, count in re.findall(r"(?m)^ *(completed|failed) +(\d+)", client.out.decode())
    }
    assert code == 0
    assert counts["completed"] + counts["failed"] == 400
    assert counts["failed"] > 0
    assert counts["completed"] == queue["completed"]["success"] == queue["accepted"]
    assert not any("Traceback" in line for line in client.log)


async def test_a_workload_has_no_memory_left() -> None:
    """It fails by its own words, and nobody else does."""
    python = "x = bytearray(10**9)"
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend()
        command = ("prlimit", "--as=300000000", "python3", "-c", python)
        await started.backend(frontend, *command)
        await started.backend(frontend, "sleep", queue="q")
        client = await frontend.client()
        replies = await served(client, *map(str, range(20)))

    assert {reply["Error"] for reply in replies if reply["Outcome"] == "failure"} == {"MemoryError"}
    assert outcomes(replies) == {"failure", "success"}


async def test_a_frontend_with_little_memory_and_greedy_clients() -> None:
    """The limits on queues and connections hold its memory, whatever clients send."""
    given_up: list[int] = []
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend("--queue-max", "1000")
        await started.backend(frontend, "sleep")
        client = await frontend.client()
        await served(client, "before")
        size = memory(frontend.process)
        with limited(frontend.process, resource.RLIMIT_AS, size["VmSize"] + (64 << 20)):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(greedy, frontend, number, given_up)
                await trio.sleep(3)
                assert outcomes(await served(client, "in it")) <= {"success", "rejected"}
                nursery.cancel_scope.cancel()
        await frontend.until(waiting=0, running=0)
        assert outcomes(await served(client, "after")) == {"success"}
        grown = memory(frontend.process)["VmRSS"] - size["VmRSS"]
        slow = (await frontend.metrics())['scalab_protocol_errors_total{reason="slow"}']

    assert grown < 64 << 20
    assert len(given_up) <= slow
    assert not any("MemoryError" in line for line in frontend.process.log)


async def greedy(frontend: FrontendProcess, number: int, given_up: list[int]) -> None:
    """Send requests, and read no replies; if this takes long, the frontend gives us up."""
    wire = await frontend.client()
    padding = "x" * 800
    try:
        for i in range(10**9):
            await wire.frame("request", Id=f"{number}-{i}", Queue="q", Args=["0.01", padding])
    except trio.BrokenResourceError:
        given_up.append(number)


def refused(metrics: dict[str, float]) -> float:
    """How many connections were turned away, for whatever reason."""
    name = "scalab_connections_refused_total"
    return sum(value for sample, value in metrics.items() if sample.startswith(name))


def memory(process: Process) -> dict[str, int]:
    """The memory of a process, in bytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    lines = (line.split() for line in status.splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(value) * 1024 for name, value, _ in lines}


def copy_of(process: Process, path: Path, kept: Path) -> None:
    """Copy a file that only a process with mounts of its own can see."""
    kept.write_bytes(Path(f"/proc/{process.process.pid}/root{path}").read_bytes())


@pytest.mark.parametrize("how", ["limit", "disk"])
async def test_no_room_for_the_run_file(how: str, tmp_path: Path) -> None:
    """The run goes on and counts right; what was written can be read."""
    mount = 'mount -t tmpfs -o size=24k none "$0" && exec "$@"'
    before = {
        "limit": ("prlimit", "--fsize=24000"),
        "disk": ("unshare", "--mount", "sh", "-c", mount, str(tmp_path)),
    }[how]
    out = tmp_path / "run.jsonl"
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend()
        await started.backend(frontend, "sleep", slots="4")
        started.before = before
        client = await started.client(
            frontend, "0.02", parallel="4", requests="1000", interval="0.1", out=str(out)
        )
        started.before = ()
        await client.line("the run file is not whole")
        kept = tmp_path / "kept.jsonl"
        copy_of(client, out, kept)
        assert await client.ended() == 0
        queue = await frontend.queue()
        summary = client.out.decode()

    assert queue["completed"]["success"] == queue["accepted"] == 1000
    assert "1000" in summary
    run = read_run(kept)
    assert run.end is None
    assert 0 < run.whole.completed < 1000
    assert sum("is not whole" in line for line in client.log) == 1


@pytest.fixture
def faketime() -> str:
    """A library that lets the wall clock of a process be set."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        assert "CI" not in os.environ, "libfaketime is not installed"
        pytest.skip("libfaketime is not installed")
    return str(found)


async def test_clocks_jump(faketime: str, tmp_path: Path) -> None:
    """A day forward, a year back, an hour forward: nothing takes notice."""
    offset, out = tmp_path / "offset", tmp_path / "run.jsonl"
    offset.write_text("+0")
    env = {
        "LD_PRELOAD": faketime,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    async with processes(patience_s=PATIENCE_S) as started:
        started.before = ("env", *(f"{name}={value}" for name, value in env.items()))
        frontend = await started.frontend("idle", "--interval", "0.1", "--heartbeat", "2")
        await started.backend(frontend, "sleep", slots="4")
        await started.backend(frontend, "sleep", queue="idle")  # of it, only pings are heard
        client = await started.client(
            frontend, "0.02", parallel="4", grace="10", interval="0.1", out=str(out)
        )
        await frontend.until(running=4)
        log = frontend.process.log
        for jump in ("+1d", "-365d", "+3600", "+0"):
            hour, lines = log[-1][:13], len(log)
            offset.write_text(jump)
            await until(lambda: log[-1][:13] != hour, "the clock jumps")  # noqa: B023
            await until(lambda: len(log) > lines + 2 * 30, "two heartbeats")  # noqa: B023
        client.signal(SIGINT)
        assert await client.ended() == 0
        queue, metrics = await frontend.queue(), await frontend.metrics()

    done = queue["accepted"]
    assert queue["completed"]["success"] == done > 100
    assert not any(queue["redelivered"].values())
    assert metrics['scalab_queue_request_seconds_sum{queue="q"}'] < done * PATIENCE_S
    assert metrics['scalab_connections_opened_total{role="backend"}'] == 2
    assert not any("lost the frontend" in line for line in client.log)
    run = read_run(out)
    assert run.whole.completed == done
    assert 0 < run.measured.duration_s < PATIENCE_S
