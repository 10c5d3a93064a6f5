"""Groups of real processes; on a clock that can jump, so that limits come when it matters."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scalab.backend import group as group_module, output as output_module
from scalab.backend.group import Group, Groups, Launch, OutputMode
from scalab.backend.outcome import CannotRunError, RunEnd
from scalab.backend.output import TAIL, Relay
from scalab.backend.process import KillReason, run_group
from tests.helpers import CancelAtStep, cancel_at_every_step

from .workloads import STUBBORN, Reports, alive, kill, open_fds, python, until_gone

Kills = list[tuple[KillReason, signal.Signals]]


async def run_program(
    argv: list[str], launch: Launch, groups: Groups | None = None, **options: Any
) -> RunEnd:
    group = await Group.start(argv, launch, set() if groups is None else groups)
    return await run_group(group, **options)


class Run:
    """A run in the background, and what became of it."""

    def __init__(self, argv: list[str], launch: Launch | None = None, **options: Any) -> None:
        self.kills: Kills = []
        self.cancel = trio.CancelScope()
        self.groups: set[int] = set()
        self.end: RunEnd | None = None
        self._run = partial(
            run_program,
            argv,
            launch or Launch(),
            cancel=self.cancel,
            groups=self.groups,
            on_kill=lambda reason, signum: self.kills.append((reason, signum)),
            **options,
        )

    async def run(self) -> None:
        self.end = await self._run()


def kills(reason: KillReason, *signals: signal.Signals) -> Kills:
    return [(reason, signum) for signum in signals]


def assert_no_children() -> None:
    """Not even a zombie."""
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# --- how a run ends ------------------------------------------------------------------------------


async def test_success() -> None:
    end = await run_program(["/bin/true"], Launch())

    assert (end.cause, end.returncode) == ("exit", 0)
    assert end.runtime_s > 0


async def test_exit_code_and_last_words() -> None:
    code = "print('out'); print('no device', file=sys.stderr); sys.exit(3)"

    end = await run_program(python(code), Launch())

    assert (end.cause, end.returncode) == ("exit", 3)
    assert (end.stdout, end.stderr) == (b"", b"no device\n")


async def test_ended_by_a_signal() -> None:
    run = Run(python("os.kill(os.getpid(), signal.SIGSEGV)"))
    await run.run()

    assert run.end is not None
    assert run.end.returncode == -signal.SIGSEGV
    assert run.end.reply().retcode == 139
    assert run.kills == []


async def test_limit_kills_those_that_ignore_sigterm(clock: MockClock, reports: Reports) -> None:
    run = Run(python(STUBBORN, reports.path), limit_s=1000, kill_grace_s=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pids = [await reports.next("ready"), await reports.next("ready")]
        assert run.groups == {os.getpgid(pid) for pid in pids}
        clock.jump(1000)
        for _ in pids:
            await reports.next("SIGTERM")
        assert all(map(alive, pids))
        clock.jump(500)

    assert not any(map(alive, pids))
    assert run.groups == set()
    assert run.kills == kills("limit", signal.SIGTERM, signal.SIGKILL)
    assert run.end is not None
    assert run.end.cause == "limit"
    assert run.end.limit_s == 1000
    assert 1500 <= run.end.runtime_s < 2000


async def test_cancel_is_like_a_limit(clock: MockClock, reports: Reports) -> None:
    run = Run(python(STUBBORN, reports.path), limit_s=1000, kill_grace_s=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pids = [await reports.next("ready"), await reports.next("ready")]
        run.cancel.cancel()
        for _ in pids:
            await reports.next("SIGTERM")
        clock.jump(500)

    assert not any(map(alive, pids))
    assert run.kills == kills("cancel", signal.SIGTERM, signal.SIGKILL)
    assert run.end is not None
    assert run.end.cause == "cancel"


async def test_cancellation_from_outside(clock: MockClock, reports: Reports) -> None:
    """The group has its grace, although the task that runs it is cancelled."""
    run = Run(python(STUBBORN, reports.path), kill_grace_s=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pids = [await reports.next("ready"), await reports.next("ready")]
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            for _ in pids:
                await reports.next("SIGTERM")
        assert all(map(alive, pids))
        clock.jump(500)

    assert nursery.cancel_scope.cancelled_caught
    assert not any(map(alive, pids))
    assert run.end is None
    assert run.kills == kills("stop", signal.SIGTERM, signal.SIGKILL)


async def test_leader_exits_first(reports: Reports) -> None:
    """Its exit is the end of the run, and of those that it leaves behind."""
    code = """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report("ready")
    time.sleep(3600)
    os._exit(0)
with open(sys.argv[2]) as go:
    go.read()
sys.exit(7)
"""
    go = reports.path.with_name("go")
    os.mkfifo(go)
    run = Run(python(code, reports.path, go))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        child = await reports.next("ready")
        await trio.Path(go).write_text("")

    assert not alive(child)
    assert run.end is not None
    assert (run.end.cause, run.end.returncode) == ("exit", 7)
    assert run.kills == []


async def test_grace_is_for_the_whole_group(reports: Reports) -> None:
    """A child may finish what it does on SIGTERM even after its parent is gone."""
    code = """
if os.fork() == 0:
    def finish(*_):
        while os.getppid() == parent:
            time.sleep(0.001)
        report("finished")
        os._exit(0)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, finish)
    report("ready")
time.sleep(3600)
"""
    run = Run(python(code, reports.path), kill_grace_s=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        child = await reports.next("ready")
        run.cancel.cancel()
        assert await reports.next("finished") == child

    assert run.kills == kills("cancel", signal.SIGTERM)


async def test_who_left_the_group_is_killed_with_it(clock: MockClock, reports: Reports) -> None:
    """``timeout`` and shells with job control give their children groups of their own."""
    code = """
if os.fork() == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: report("SIGTERM"))
    report("ready")
while True:
    time.sleep(3600)
"""
    run = Run(python(code, reports.path), kill_grace_s=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        child = await reports.next("ready")
        assert {os.getpgid(child)} != run.groups
        run.cancel.cancel()
        await reports.next("SIGTERM")
        clock.jump(500)
        await until_gone(child)

    assert run.kills == kills("cancel", signal.SIGTERM, signal.SIGKILL)


async def test_stopped_process_heeds_sigterm(reports: Reports) -> None:
    code = """
def finish(*_):
    report("finished")
    os._exit(0)
signal.signal(signal.SIGTERM, finish)
report("ready")
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(3600)
"""
    run = Run(python(code, reports.path), kill_grace_s=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pid = await reports.next("ready")
        while (await trio.Path(f"/proc/{pid}/stat").read_text()).split()[2] != "T":
            pass
        run.cancel.cancel()
        await reports.next("finished")

    assert run.kills == kills("cancel", signal.SIGTERM)


async def test_without_any_grace(reports: Reports) -> None:
    run = Run(python(STUBBORN, reports.path), kill_grace_s=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pids = [await reports.next("ready"), await reports.next("ready")]
        run.cancel.cancel()

    assert not any(map(alive, pids))


async def test_cancelled_at_every_step() -> None:
    """Wherever it is cancelled: no process, no descriptor and no note of it is left."""
    fds = open_fds()

    async def scenario(cancel: CancelAtStep) -> None:
        run = Run(python("print('x', file=sys.stderr)"), Launch("tail"))
        await cancel.run(run.run)
        assert run.groups == set()
        assert open_fds() == fds
        assert_no_children()

    assert await cancel_at_every_step(scenario) > 3


def adopt_orphans(yes: bool) -> None:
    """Make orphans our children, as those of a container are its PID 1's."""
    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None).prctl(pr_set_child_subreaper, int(yes), 0, 0, 0) == 0


async def test_orphans_are_reaped_by_pid_1(reports: Reports) -> None:
    code = """
if os.fork() == 0:
    report("ready")
    time.sleep(3600)
with open(sys.argv[2]) as go:
    go.read()
"""
    go = reports.path.with_name("go")
    os.mkfifo(go)
    adopt_orphans(True)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Run(python(code, reports.path, go)).run)
            child = await reports.next("ready")
            await trio.Path(go).write_text("")
    finally:
        adopt_orphans(False)

    assert not await trio.Path(f"/proc/{child}").exists()
    assert_no_children()


# --- output and input ----------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["inherit", "discard", "tail"])
async def test_daemon_that_holds_the_pipes(
    reports: Reports, output: OutputMode, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its end isn't waited for, and what was written is read all the same."""
    code = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        report("ready")
        time.sleep(3600)
    os._exit(0)
os.wait()
print("words", file=sys.stderr)
"""
    end = await run_program(python(code, reports.path), Launch(output))
    daemon = await reports.next("ready")

    try:
        assert alive(daemon)
        assert end.stderr == b"words\n"
    finally:
        kill(daemon)


@pytest.mark.parametrize("output", ["inherit", "discard", "tail"])
async def test_flood_of_output(output: OutputMode, capfd: pytest.CaptureFixture[str]) -> None:
    """It neither fills the pipe, which would stall the workload, nor our memory."""
    code = "for i in range(300):\n os.write(1, b'o' * 10000)\n os.write(2, b'e' * 10000)"
    code += "\nos.write(1, b'end'); os.write(2, b'END')"

    end = await run_program(python(code), Launch(output))

    assert end.returncode == 0
    assert end.stderr == b"e" * (TAIL - 3) + b"END"
    assert end.stdout == (b"o" * (TAIL - 3) + b"end" if output == "tail" else b"")
    passed_on = capfd.readouterr()
    if output == "inherit":
        assert passed_on.out == "o" * 3_000_000 + "end"
        assert passed_on.err == "e" * 3_000_000 + "END"
    else:
        assert (passed_on.out, passed_on.err) == ("", "")


async def test_limit_while_nobody_reads_our_stderr(
    clock: MockClock, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workload waits then, as it would without us between; its limit holds all the same."""
    monkeypatch.setattr(output_module, "_FLUSH_S", 0.0)
    reader, writer = os.pipe()
    code = 'report("ready")\nwhile True: os.write(2, bytes(4096))'
    run = Run(python(code, reports.path), Launch("inherit", relay=Relay(writer)), limit_s=1000)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.run)
            pid = await reports.next("ready")
            clock.jump(1000)
    finally:
        os.close(reader)
        os.close(writer)

    assert not alive(pid)
    assert run.end is not None
    assert run.end.cause == "limit"


async def test_no_input() -> None:
    end = await run_program(python("print(repr(sys.stdin.read()))"), Launch("tail"))

    assert end.stdout == b"''\n"


async def test_our_input() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"input")
    os.close(writer)
    saved = os.dup(0)
    os.dup2(reader, 0)
    os.close(reader)
    try:
        end = await run_program(
            python("print(repr(sys.stdin.read()))"), Launch("tail", stdin="inherit")
        )
    finally:
        os.dup2(saved, 0)
        os.close(saved)

    assert end.stdout == b"'input'\n"


async def test_place_and_environment(tmp_path: Path) -> None:
    launch = Launch("tail", workdir=str(tmp_path), env={b"NAME": b"value"})

    end = await run_program(
        python("print(os.getcwd(), os.environ['NAME'], len(os.environ))"), launch
    )

    assert end.stdout.split()[:2] == [str(tmp_path).encode(), b"value"]


# --- what can go wrong ---------------------------------------------------------------------------


@pytest.fixture
def not_a_program(tmp_path: Path) -> str:
    path = tmp_path / "not-a-program"
    path.write_bytes(b"\x7fELF but no")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("argv", "workdir", "retcode", "text"),
    [
        (["/no/such"], None, 127, "could not start such: No such file or directory"),
        (["/etc/passwd"], None, 126, "could not start passwd: Permission denied"),
        (["not-a-program"], None, 126, "could not start not-a-program: Exec format error"),
        (["/bin/true", "x" * 200_000], None, 1, "could not start true: Argument list too long"),
        (["/bin/true"], "/no", 127, "could not start work directory: No such file or directory"),
    ],
)
async def test_cannot_be_started(
    not_a_program: str, argv: list[str], workdir: str | None, retcode: int, text: str
) -> None:
    fds = open_fds()
    groups: set[int] = set()
    if argv[0] == "not-a-program":
        argv = [not_a_program]

    with pytest.raises(CannotRunError) as caught:
        await run_program(argv, Launch("tail", workdir=workdir), groups=groups)

    assert (str(caught.value), caught.value.retcode) == (text, retcode)
    assert groups == set()
    assert open_fds() == fds


async def test_no_more_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    fds = open_fds()
    monkeypatch.setattr(subprocess, "Popen", fail)

    with pytest.raises(CannotRunError, match="temporarily unavailable") as caught:
        await run_program(["/bin/true"], Launch())

    assert caught.value.retcode == 1
    assert open_fds() == fds


@pytest.mark.parametrize("spare", range(8))
async def test_no_more_descriptors(spare: int) -> None:
    """Wherever they run out: the run works, or fails cleanly; no child and no fd is left."""
    fds = open_fds()
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        end = await run_program(python("sys.exit(5)"), Launch("tail"))
    except CannotRunError as exc:
        assert str(exc).endswith("Too many open files")  # noqa: PT017 - both are well
        assert spare < 7
    else:
        assert end.returncode == 5
        assert spare > 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert open_fds() == fds
    assert_no_children()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSYS, errno.EPERM])
async def test_without_pidfds(
    number: int, clock: MockClock, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptors left, an old kernel, or a sandbox: then the leader is polled."""

    def fail(_pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", fail)
    end = await run_program(python("sys.exit(5)"), Launch())
    assert end.returncode == 5

    run = Run(python(STUBBORN, reports.path), limit_s=1000, kill_grace_s=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        pids = [await reports.next("ready"), await reports.next("ready")]
        clock.jump(1000)
        for _ in pids:
            await reports.next("SIGTERM")
        clock.jump(500)

    assert not any(map(alive, pids))


# The Popen object of a process that lives on says so when it goes.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
async def test_process_that_cannot_be_killed(
    clock: MockClock, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs in a device driver is left alone after a while, and logged."""
    fds = open_fds()
    monkeypatch.setattr(group_module, "END_S", 0.0)
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    run = Run(python("report('ready'); time.sleep(3600)", reports.path), kill_grace_s=0)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.run)
            pid = await reports.next("ready")
            run.cancel.cancel()

    assert alive(pid)
    kill(pid)
    await until_gone(pid)
    assert [log["event"] for log in logs] == ["a workload's process can't be killed"]
    assert run.end is not None
    assert run.end.reply().retcode == 143
    assert run.groups == set()
    assert open_fds() == fds
