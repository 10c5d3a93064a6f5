from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from scalab.backend import group as group_module
from scalab.backend.command import Workload
from scalab.backend.devices import Slot
from scalab.backend.policy import ArgumentPolicy
from scalab.backend.runner import Runner, RunnerSettings
from scalab.errors import ConfigError
from scalab.protocol.messages import Reply

from .workloads import STUBBORN, Reports, alive, open_fds, python

SLOT = Slot(0)
SLEEP = Workload.parse(["sleep"])


def settings(*argv: str, **options: Any) -> RunnerSettings:
    return RunnerSettings(Workload.parse(argv), **{"output": "discard", **options})


@pytest.fixture
async def sleeper() -> AsyncIterator[Runner]:
    async with Runner(RunnerSettings(SLEEP, limit_s=10, node="node", pod="pod")) as runner:
        yield runner


# --- replies -------------------------------------------------------------------------------------


async def test_success_says_where(tmp_path: Path) -> None:
    async with Runner(settings("true", node="node", pod="pod")) as runner:
        reply = await runner.run([], 0, Slot(3, "/dev/dri/renderD128", "renderD128"))

    assert reply.runtime_s > 0
    reply.runtime_s = 0
    assert reply == Reply(node="node", pod="pod", device="renderD128")
    assert runner.counts.outcomes["success"] == 1


async def test_failure_says_why() -> None:
    code = "print('reading /dev/x'); print('no such device', file=sys.stderr); sys.exit(4)"
    async with Runner(settings(*python(code))) as runner:
        reply = await runner.run([], 0, SLOT)

    assert (reply.error, reply.retcode) == ("no such device", 4)
    assert runner.counts.outcomes["failure"] == 1
    assert runner.counts.run_s == reply.runtime_s > 0


async def test_signal() -> None:
    async with Runner(settings(*python("os.kill(os.getpid(), signal.SIGSEGV)"))) as runner:
        reply = await runner.run([], 0, SLOT)

    assert (reply.error, reply.retcode, reply.timeout_s) == ("ended by SIGSEGV", 139, 0)


async def test_program_that_is_gone(tmp_path: Path) -> None:
    """It was there when the backend started."""
    program = tmp_path / "program"
    program.touch(0o755)
    async with Runner(settings(str(program), node="node")) as runner:
        program.unlink()
        reply = await runner.run([], 0, SLOT)

    error = "could not start program: No such file or directory"
    assert reply == Reply(node="node", error=error, retcode=127)
    assert runner.counts.outcomes["failure"] == 1


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["FILENAME"], "FILENAME is used, but there is no device file"),
        (["a\0b"], "an argument contains a NUL character"),
        (["x" * 200_000], "could not start true: Argument list too long"),
    ],
)
async def test_bad_request(args: list[str], error: str) -> None:
    """It is the request that fails, not the backend."""
    async with Runner(settings("true")) as runner:
        reply = await runner.run(args, 0, SLOT)
        assert (reply.error, reply.retcode) == (error, 1)
        assert (await runner.run([], 0, SLOT)).retcode == 0

    assert runner.counts.outcomes == {"success": 1, "failure": 1, "timeout": 0, "cancelled": 0}


async def test_bad_requests_leave_others_their_turn() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with Runner(settings("true")) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(10):
            await runner.run(["FILENAME"], 0, SLOT)
        nursery.cancel_scope.cancel()

    assert turns > 5


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ignore", "expected"), [(False, "['--own', 'a b', '$HOME /dev/x']"), (True, "['--own']")]
)
async def test_arguments(ignore: bool, expected: str) -> None:
    """They reach the program as they are, as no shell is in between."""
    command = python("sys.exit(repr(sys.argv[1:]))", "--own")
    async with Runner(settings(*command, ignore_args=ignore)) as runner:
        reply = await runner.run(["a b", "$HOME FILENAME"], 0, Slot(0, "/dev/x", "x"))

    assert reply.error == expected


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own_s", "asked_s", "limit_s"),
    [(0, 0, 0), (10, 0, 10), (0, 5, 5), (10, 5, 5), (10, 20, 10), (10, 10, 10)],
)
async def test_effective_limit(
    autojump_clock: MockClock, own_s: float, asked_s: float, limit_s: float
) -> None:
    async with Runner(RunnerSettings(SLEEP, limit_s=own_s)) as runner:
        reply = await runner.run(["100"], asked_s, SLOT)

    assert reply.timeout_s == limit_s
    assert reply.runtime_s == (limit_s or 100)
    assert reply.retcode == (124 if limit_s else 0)
    assert runner.counts.outcomes["timeout"] == bool(limit_s)


async def test_limit_of_a_program(clock: MockClock, reports: Reports) -> None:
    replies = []
    command = python("report('ready'); time.sleep(3600)", reports.path)

    async def run(runner: Runner) -> None:
        replies.append(await runner.run([], 0, SLOT))

    async with Runner(settings(*command, limit_s=1000)) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(run, runner)
        await reports.next("ready")
        clock.jump(1000)

    [reply] = replies
    assert (reply.error, reply.retcode) == ("run-time limit of 1000 s reached", 124)
    assert reply.timeout_s == 1000
    assert runner.counts.kills == {("limit", "SIGTERM"): 1}


# --- early ends ----------------------------------------------------------------------------------


async def test_cancelled_by_request(reports: Reports) -> None:
    command = python("report('ready'); time.sleep(3600)", reports.path)
    cancel = trio.CancelScope()
    replies = []

    async def run(runner: Runner) -> None:
        replies.append(await runner.run([], 0, SLOT, cancel))

    async with Runner(settings(*command)) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(run, runner)
        pid = await reports.next("ready")
        cancel.cancel()

    assert not alive(pid)
    assert (replies[0].error, replies[0].retcode) == ("cancelled", 143)
    assert runner.counts.outcomes["cancelled"] == 1
    assert runner.counts.kills == {("cancel", "SIGTERM"): 1}


async def test_cancelled_before_it_began() -> None:
    """Then it doesn't begin."""
    cancel = trio.CancelScope()
    cancel.cancel()
    async with Runner(settings("true")) as runner:
        reply = await runner.run([], 0, SLOT, cancel)
        assert runner._guard.pid is None

    assert (reply.error, reply.retcode, reply.runtime_s) == ("cancelled", 143, 0)
    assert runner.counts.kills == {}


async def test_aborted(reports: Reports) -> None:
    """When the task is cancelled there is no reply; the workload is gone, and it is counted."""
    command = python("report('ready'); time.sleep(3600)", reports.path)
    async with Runner(settings(*command)) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, [], 0, SLOT)
        pid = await reports.next("ready")
        nursery.cancel_scope.cancel()

    assert not alive(pid)
    assert runner.counts.aborted == 1
    assert sum(runner.counts.outcomes.values()) == 0
    assert runner.counts.kills == {("stop", "SIGTERM"): 1}


async def test_kill_now(mock_clock: MockClock, reports: Reports) -> None:
    """Time stands still: it does without the grace."""
    command = python(STUBBORN, reports.path)
    async with Runner(settings(*command)) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, [], 0, SLOT)
        pids = [await reports.next("ready"), await reports.next("ready")]
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await reports.next("SIGTERM")
        runner.kill_now()
        mock_clock.rate = 1.0  # for the little that is polled

    assert not any(map(alive, pids))
    assert runner.counts.kills == {("stop", "SIGTERM"): 1, ("stop", "SIGKILL"): 1}


async def test_no_grace_after_kill_now(clock: MockClock, reports: Reports) -> None:
    command = python(STUBBORN, reports.path)
    runner = Runner(settings(*command, kill_grace_s=100_000))
    async with runner, trio.open_nursery() as nursery:
        runner.kill_now()
        nursery.start_soon(runner.run, [], 0, SLOT)
        pids = [await reports.next("ready"), await reports.next("ready")]
        nursery.cancel_scope.cancel()

    assert not any(map(alive, pids))


# --- the rest ------------------------------------------------------------------------------------


async def test_sleep_needs_no_process(sleeper: Runner) -> None:
    fds = open_fds()

    reply = await sleeper.run(["0"], 0, SLOT)

    assert (reply.error, reply.node, reply.pod) == ("", "node", "pod")
    assert sleeper._guard.pid is None
    assert open_fds() == fds


async def test_bad_sleep(sleeper: Runner) -> None:
    reply = await sleeper.run(["x"], 0, SLOT)

    assert (reply.error, reply.retcode) == ("sleep: not a number of seconds: 'x'", 1)


@pytest.mark.parametrize("output", ["inherit", "discard", "tail"])
async def test_many_runs_leak_nothing(output: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = open_fds()
    command = ["sh", "-c", "echo o; echo e >&2; exit 3"]
    async with Runner(settings(*command, output=output)) as runner:
        await runner.run([], 0, SLOT)
        during = open_fds()

        async def work() -> None:
            for _ in range(10):
                assert (await runner.run([], 5, SLOT, trio.CancelScope())).retcode == 3

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(work)
        assert open_fds() == during
        assert runner._guard.groups == []

    assert open_fds() == before
    assert runner.counts.outcomes["failure"] == 51
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222


async def test_others_have_their_turn_while_programs_are_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each start waits for the event loop, as if for a slow file system; the loop for none."""
    starting, most = 0, 0
    start = group_module._start

    def count(change: int) -> None:
        nonlocal starting, most
        starting += change
        most = max(most, starting)

    def slow(*args: Any) -> Any:
        trio.from_thread.run_sync(count, 1)
        try:
            trio.from_thread.run(wait_all_tasks_blocked)
            return start(*args)
        finally:
            trio.from_thread.run_sync(count, -1)

    monkeypatch.setattr(group_module, "_start", slow)
    with trio.fail_after(30):
        async with Runner(settings("true")) as runner, trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(runner.run, [], 0, SLOT)

    assert runner.counts.outcomes["success"] == 20
    assert 1 < most <= group_module.STARTS


async def test_no_grace_if_it_is_killed_while_it_is_started(
    monkeypatch: pytest.MonkeyPatch, clock: MockClock, reports: Reports
) -> None:
    start, go = group_module._start, threading.Event()

    def late(*args: Any) -> Any:
        started = start(*args)
        assert go.wait(30)
        return started

    monkeypatch.setattr(group_module, "_start", late)
    command = python(STUBBORN, reports.path)
    async with Runner(settings(*command, kill_grace_s=100_000)) as runner:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.run, [], 0, SLOT)
            pids = [await reports.next("ready"), await reports.next("ready")]
            nursery.cancel_scope.cancel()
            runner.kill_now()
            go.set()

    assert not any(map(alive, pids))
    assert runner.counts.aborted == 1


async def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("can't start new thread")

    async with Runner(settings("true")) as runner:
        monkeypatch.setattr(trio.to_thread, "run_sync", fail)
        reply = await runner.run([], 0, SLOT)

    assert (reply.error, reply.retcode) == ("could not start true: can't start new thread", 1)


async def test_tail_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    code = "print('x' * 9000); print('one\\ntwo', file=sys.stderr)"
    with capture_logs() as logs:
        async with Runner(settings(*python(code), output="tail")) as runner:
            await runner.run([], 0, Slot(2))

    assert [(log["stream"], log["slot"], log["text"]) for log in logs] == [
        ("stdout", 2, "x" * 1499),
        ("stderr", 2, "one\ntwo"),
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["missing", "file"])
def test_work_directory_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=f"work directory .*{name}' can't be used"):
        settings("true", workdir=str(tmp_path / name))


async def test_work_directory(tmp_path: Path) -> None:
    command = python("sys.exit(os.getcwd())")
    async with Runner(settings(*command, workdir=str(tmp_path))) as runner:
        reply = await runner.run([], 0, SLOT)

    assert reply.error == str(tmp_path)


async def test_ctrl_c_reaches_no_workload(reports: Reports) -> None:
    """A terminal signals its foreground group; workloads end by our will only."""
    command = python("report('ready'); time.sleep(3600)", reports.path)
    async with Runner(settings(*command)) as runner, trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, [], 0, SLOT)
        pid = await reports.next("ready")
        assert os.getpgid(pid) != os.getpgid(0)
        assert os.getsid(pid) != os.getsid(0)
        nursery.cancel_scope.cancel()


async def test_work_that_takes_no_time_needs_no_task(sleeper: Runner) -> None:
    for args in (["0"], ["0"], ["0", "0.0"], ["0"]):
        reply = sleeper.run_at_once(args, SLOT)
        assert reply is not None
        assert (reply.error, reply.retcode, reply.device) == ("", 0, SLOT.name)
    assert sleeper.counts.outcomes["success"] == 4


@pytest.mark.parametrize("args", [["0.001"], ["x"], [], ["0", "1"], ["FILENAME"], ["\0"]])
async def test_whatever_takes_time_or_is_wrong_does(sleeper: Runner, args: list[str]) -> None:
    assert sleeper.run_at_once(["0"], SLOT) is not None
    assert sleeper.run_at_once(args, SLOT) is None


async def test_a_program_takes_time_whatever_it_is() -> None:
    workload = Workload.parse([sys.executable])
    async with Runner(RunnerSettings(workload=workload)) as runner:
        assert runner.run_at_once(["0"], SLOT) is None


async def test_arguments_that_are_not_allowed_take_the_long_way() -> None:
    settings = RunnerSettings(workload=SLEEP, allowed_args=ArgumentPolicy(["1"]))
    async with Runner(settings) as runner:
        assert runner.run_at_once(["0"], SLOT) is None
