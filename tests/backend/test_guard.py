"""What becomes of workloads when their backend is killed; with real backends and real kills."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import given, strategies as st
from structlog.testing import capture_logs

from scalab.backend import guard as guard_module
from scalab.backend.guard import MARK, Guard
from scalab.backend.guard_process import marked, noted

from .workloads import STUBBORN, Reports, alive, kill, open_fds, python, until_gone

BACKEND = """
import sys, trio
from scalab.backend.command import Workload
from scalab.backend.devices import Slot
from scalab.backend.runner import Runner, RunnerSettings

async def main():
    async with Runner(RunnerSettings(Workload.parse(sys.argv[1:]), output="discard")) as runner:
        await runner.run([], 0, Slot(0))

trio.run(main)
"""

StartBackend = Callable[[list[str]], Awaitable[trio.Process]]


@pytest.fixture
async def start_backend() -> AsyncIterator[StartBackend]:
    """Starts processes that run a workload as a backend does."""
    async with AsyncExitStack() as stack:

        async def start(workload: list[str]) -> trio.Process:
            backend = await trio.lowlevel.open_process([sys.executable, "-c", BACKEND, *workload])
            stack.push_async_callback(backend.wait)
            stack.callback(backend.kill)
            return backend

        yield start


# --- a backend that is killed --------------------------------------------------------------------


async def test_nothing_is_left_of_the_group(start_backend: StartBackend, reports: Reports) -> None:
    backend = await start_backend(python(STUBBORN, reports.path))
    pids = [await reports.next("ready"), await reports.next("ready")]

    backend.kill()

    for pid in pids:
        await until_gone(pid)
    assert reports.rest() == []  # there was no SIGTERM


async def test_workload_without_the_mark(start_backend: StartBackend, reports: Reports) -> None:
    """It may change its environment; it is known by its group."""
    backend = await start_backend(["/usr/bin/env", "-i", *python(STUBBORN, reports.path)])
    pids = [await reports.next("ready"), await reports.next("ready")]
    assert MARK not in environ(pids[0])

    backend.kill()

    for pid in pids:
        await until_gone(pid)


async def test_workload_outside_of_its_group(start_backend: StartBackend, reports: Reports) -> None:
    """It may leave the group; it is known by its mark."""
    code = """
if os.fork() == 0:
    os.setsid()
    report("ready")
time.sleep(3600)
"""
    backend = await start_backend(python(code, reports.path))
    child = await reports.next("ready")
    assert MARK in environ(child)

    backend.kill()

    await until_gone(child)


async def test_backends_within_backends(start_backend: StartBackend, reports: Reports) -> None:
    """When the outer one is killed, the inner one is, and the inner one's workload."""
    workload = python(STUBBORN, reports.path)
    outer = await start_backend([sys.executable, "-c", BACKEND, *workload])
    pids = [await reports.next("ready"), await reports.next("ready")]

    outer.kill()

    for pid in pids:
        await until_gone(pid)


def environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


# --- the guard's own life ------------------------------------------------------------------------


async def test_starts_when_needed_and_ends_in_the_end() -> None:
    fds = open_fds()
    guard = Guard()
    assert guard.pid is None

    guard.ensure()
    pid = guard.pid
    guard.ensure()

    assert pid is not None
    assert guard.pid == pid
    assert os.getsid(pid) == pid  # out of reach of ^C
    await guard.aclose()
    assert not Path(f"/proc/{pid}").exists()  # noqa: ASYNC240
    assert open_fds() == fds


@pytest.mark.parametrize("noted", [False, True])
async def test_closing(reports: Reports, noted: bool) -> None:
    """It kills groups that should be over by then; what left its group on purpose may stay."""
    guard = Guard()
    guard.ensure()
    other = await trio.lowlevel.open_process(
        python("report('ready'); time.sleep(3600)", reports.path),
        env={os.fsdecode(k): os.fsdecode(v) for k, v in guard.marked(dict(os.environb)).items()},
        start_new_session=True,
    )
    pid = await reports.next("ready")
    if noted:
        guard.add(pid)

    await guard.aclose()

    try:
        assert alive(pid) == (not noted)
    finally:
        other.kill()
    assert await other.wait() == -signal.SIGKILL


async def test_closing_without_ever_starting() -> None:
    await Guard().aclose()


async def test_lost_guard_is_replaced() -> None:
    """The new one knows what runs, too."""
    fds = open_fds()
    guard = Guard()
    guard.ensure()
    guard.add(1111)
    first = guard.pid
    assert first is not None
    kill(first)
    await until_gone(first)

    with capture_logs() as logs:
        guard.ensure()

    assert guard.pid not in (None, first)
    assert table(guard) == [1111]
    assert [log["event"] for log in logs] == ["the guard of the workloads is lost"]
    await guard.aclose()
    assert open_fds() == fds


async def test_life_goes_on_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    fds = open_fds()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    guard = Guard()

    with capture_logs() as logs:
        for pgid in range(1000, 1010):
            guard.ensure()
            guard.add(pgid)
            guard.discard(pgid)

    assert guard.pid is None
    assert [log["event"] for log in logs] == ["no guard for the workloads"] * 3
    await guard.aclose()
    assert open_fds() == fds


def test_without_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fds = open_fds()
    monkeypatch.delattr(os, "memfd_create")
    guard = Guard()

    guard.ensure()
    guard.add(1000)

    assert guard.pid is None
    assert open_fds() == fds


# --- the table and the mark ----------------------------------------------------------------------


def table(guard: Guard) -> list[int]:
    assert guard._table is not None
    return noted(guard._table)


@pytest.fixture(scope="module")
def guard_without_process() -> Guard:
    guard = Guard()
    guard._table = os.memfd_create("test")
    return guard


@given(st.lists(st.integers(2, 40)))
def test_table_holds_what_runs(guard_without_process: Guard, pgids: list[int]) -> None:
    """Each id is added when it isn't there, and else discarded."""
    guard = guard_without_process
    for pgid in pgids:
        (guard.discard if pgid in guard.groups else guard.add)(pgid)
        assert sorted(table(guard)) == sorted(guard.groups)
    places = os.fstat(guard._table or 0).st_size // guard_module._ENTRY
    assert places <= 39  # they are used again


def test_marks_are_added_up() -> None:
    outer, inner = Guard(), Guard()

    env = inner.marked(outer.marked({b"PATH": b"/bin"}))

    assert env[b"PATH"] == b"/bin"
    assert env[MARK].split(b":") == [outer._token.encode(), inner._token.encode()]


async def test_marked_processes_are_found(reports: Reports) -> None:
    command = python("report('ready'); time.sleep(3600)", reports.path)
    process = await trio.lowlevel.open_process(command, env={"X": "the-mark-of-this-test"})
    pid = await reports.next("ready")

    assert marked(b"the-mark-of-this-test") == [pid]

    process.kill()
    await process.wait()
