"""Workers on this machine: real processes, of which none is left over."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st

from scalab.errors import ConfigError, ScalabError
from scalab.frontend.service import Bound
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from scalab.scalers import child, local, process
from scalab.scalers.base import Readiness
from scalab.scalers.child import Child
from scalab.scalers.errors import ScalerError
from scalab.scalers.local import SLOTS_POD, Layout, LocalScaler, LocalSettings, rearranged
from scalab.scalers.process import FrontendProcess
from tests.helpers import CancelAtStep, cancel_at_every_step
from tests.scalers.leftover import Marked, marking, until
from tests.support import Frontend, alive, puppet, serving

NOWHERE = Address("127.0.0.1", 9)


@pytest.fixture(autouse=True)
def marked() -> Iterator[Marked]:
    """What the test starts must be gone when it ends."""
    with marking() as found:
        yield found
        assert found.pids() == []


def fake(monkeypatch: pytest.MonkeyPatch, script: str = "exec sleep 1000") -> None:
    """Let parts of scalab be a script that starts at once; it says what it was started with."""
    hello = (
        'printf \'{"event": "backend starts", "level": "info", "args": "%s", \''
        '\'"pod": "%s", "node": "%s"}\\n\' "$*" "$POD_NAME" "$NODE_NAME" >&2\n'
    )
    monkeypatch.setattr(process, "_PROGRAM", ("/bin/bash", "-c", hello + script, "fake"))


def settings(frontend: Address = NOWHERE, *workload: str, **options: Any) -> LocalSettings:
    return LocalSettings(
        **{"frontend": frontend, "queue": "q", "workload": workload or ("sleep",), **options}
    )


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[LocalScaler]:
    """Fake workers."""
    with trio.fail_after(20):
        async with LocalScaler(settings(**options)) as scaler:
            yield scaler


async def seen(scaler: LocalScaler, **levels: object) -> Readiness:
    """Ask until the scaler says this."""
    while True:
        now = await scaler.readiness()
        if all(getattr(now, name) == level for name, level in levels.items()):
            return now
        await trio.sleep(0.01)  # the scaler is there to be asked


async def in_trouble(scaler: LocalScaler) -> Readiness:
    while True:
        now = await scaler.readiness()
        if now.trouble:
            return now
        await trio.sleep(0.01)


async def connected(frontend: Frontend, slots: int) -> None:
    """Wait until so many slots are there."""
    while True:
        if sum((await frontend.queue())["slots"].values()) == slots:
            return
        await trio.sleep(0.01)


def said(scaler: LocalScaler) -> list[dict[str, str]]:
    """What the fake workers were started with, in the order of the workers."""
    parts = [backend._part for backend in scaler._backends]
    return [dict(part.ready) for part in parts if part is not None and part.ready is not None]


# --- real backends -----------------------------------------------------------------------------


async def test_workers_are_slots_that_the_frontend_sees(marked: Marked) -> None:
    async with serving() as frontend, LocalScaler(settings(frontend.bound.workers)) as scaler:
        assert scaler.slots_per_worker == 1
        counts = []
        for workers in (1, 4, 2, 0):
            await scaler.scale(workers)
            await seen(scaler, exact=True)
            await connected(frontend, workers)
            counts.append(len(scaler.pids))
        assert counts == [1, 2, 2, 0]
        assert marked.pids() == []


async def test_each_worker_is_a_process_with_its_device(tmp_path: Path) -> None:
    for name in ("b[1]", "a"):
        (tmp_path / name).touch()
    (tmp_path / "directory").mkdir()
    async with serving() as frontend, puppet() as workload:
        options = settings(
            frontend.bound.workers, *workload.command, "FILENAME",
            layout="processes", glob=f"{tmp_path}/*", nodes=("left", "right"),
        )  # fmt: skip
        async with LocalScaler(options) as scaler:
            assert scaler.most == 2
            await scaler.scale(2)
            await seen(scaler, exact=True)
            await connected(frontend, 2)
            clients = [await frontend.classic_client() for _ in range(2)]
            runs = [await workload.run() for _ in clients]
            for run in runs:
                await run.end()
            replies = [await client.answer() for client in clients]
    assert sorted(run.args for run in runs) == [[f"{tmp_path}/a"], [f"{tmp_path}/b[1]"]]
    assert sorted((r["Device"], r["Node"], r["Pod"]) for r in replies) == [
        ("a", "left", "worker-1"),
        ("b[1]", "right", "worker-2"),
    ]


async def test_who_leaves_finishes_what_it_runs() -> None:
    async with serving() as frontend, puppet() as workload:
        options = settings(frontend.bound.workers, *workload.command)
        async with LocalScaler(options) as scaler:
            await scaler.scale(1)
            client = await frontend.classic_client()
            run = await workload.run()
            await scaler.scale(0)
            leaving = await scaler.readiness()
            assert (leaving.ready, leaving.leaving, leaving.exact) == (0, 1, False)
            await run.end()
            assert (await client.answer())["Pod"] == SLOTS_POD
            await seen(scaler, exact=True)


async def test_a_backend_that_cannot_start_says_why() -> None:
    async with running(workload=("no-such-program",)) as scaler:
        await scaler.scale(1)
        now = await in_trouble(scaler)
    assert now.trouble == (
        "worker-1: exit code 2: scalab: workload 'no-such-program' is not on PATH"
    )
    assert now.ready == 0
    assert scaler.pids == []


async def test_everything_dies_with_a_parent_that_is_killed(marked: Marked) -> None:
    async with puppet() as workload:
        command = repr(tuple(workload.command))
        program = f"""
import trio
from scalab.runtime.log import configure
from scalab.scalers.local import LocalScaler, LocalSettings
from scalab.scalers.process import FrontendProcess

async def main():
    async with FrontendProcess("q") as frontend:
        options = LocalSettings(frontend=frontend.workers, queue="q", workload={command})
        async with LocalScaler(options) as scaler:
            await scaler.scale(1)
            print(frontend.clients, flush=True)
            await trio.sleep_forever()

configure()
trio.run(main)
"""
        parent = Child([sys.executable, "-c", program], keep_stdout=True)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(parent.attend)
                await until(lambda: parent.stdout.endswith("\n"))
                clients = Address.parse(parent.stdout)
                bound = Bound(clients, NOWHERE, NOWHERE)
                client = await Frontend(bound, Stop()).classic_client()
                await workload.run()
                assert len(marked.pids()) >= 4  # it, the frontend, a backend, the workload
                os.kill(parent.pid, signal.SIGKILL)
        await client.aclose()
        await marked.gone()


# --- what is started -----------------------------------------------------------------------------


async def test_the_command_line_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    options = ("--limit", "10", "--output", "tail", "--slots", "9")
    async with running(
        workload=("/bin/true", "-x"), options=options, layout="processes", slots=3, grace_s=7.0
    ) as scaler:
        assert scaler.slots_per_worker == 3
        await scaler.scale(1)
        await seen(scaler, exact=True)
        words = said(scaler)[0]["args"].split(" ")
    given = words[: words.index("--")]
    last = {word: given[i + 1] for i, word in enumerate(given) if word.startswith("--")}
    assert words[0] == "backend"
    assert words[words.index("--") + 1 :] == ["/bin/true", "-x"]
    assert last["--slots"] == "3"
    assert last["--grace"] == "7"
    assert last["--output"] == "tail"
    assert last["--limit"] == "10"
    assert last["--frontend"] == str(NOWHERE)
    assert last["--when-empty"] == "wait"


async def test_options_of_the_environment_are_not_for_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake(
        monkeypatch,
        'echo "<$SCALAB_BACKEND_METRICS_ADDR|$SCALAB_FRONTEND_GRACE|$SCALAB_FAKEDEV_SOCKET>" >&2'
        "; exit 1",
    )
    for name in ("BACKEND_METRICS_ADDR", "FRONTEND_GRACE", "FAKEDEV_SOCKET"):
        monkeypatch.setenv(f"SCALAB_{name}", name)
    async with running() as scaler:
        await scaler.scale(1)
        assert (await in_trouble(scaler)).trouble == "worker-1: exit code 1: <||FAKEDEV_SOCKET>"


async def test_nodes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    async with running(layout="processes", nodes=("a", "b")) as scaler:
        await scaler.scale(3)
        await seen(scaler, exact=True)
        places = [(fields["pod"], fields["node"]) for fields in said(scaler)]
    assert places == [("worker-1", "a"), ("worker-2", "b"), ("worker-3", "a")]


async def test_slots_are_in_as_few_processes_as_there_were_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake(monkeypatch)
    async with running() as scaler:
        pods = []
        for workers in (1, 2, 4, 8, 3):
            await scaler.scale(workers)
            await seen(scaler, exact=True)
            pods.append([fields["pod"] for fields in said(scaler)])
    assert [len(names) for names in pods] == [1, 2, 3, 4, 3]
    assert {name for names in pods for name in names} == {SLOTS_POD}


async def test_no_more_start_at_once_than_there_are_processors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    started = tmp_path / "started"
    script = f"read -r < {tmp_path / 'go'}; echo >&2"  # what it was to say comes after that
    os.mkfifo(tmp_path / "go")
    monkeypatch.setattr(
        process, "_PROGRAM",
        ("/bin/bash", "-c", f"echo $POD_NAME >> {started}; {script}; exec sleep 1000"),
    )  # fmt: skip
    async with running(layout="processes") as scaler:
        await scaler.scale(5)
        await until(lambda: started.exists() and len(started.read_text().split()) == 2)
        await trio.testing.wait_all_tasks_blocked()
        assert len(scaler.pids) == 2
        await scaler.scale(0)
        await until(lambda: not scaler.pids)
    assert len(started.read_text().split()) == 2


# --- deaths --------------------------------------------------------------------------------------


async def test_a_death_is_told_of_and_mended_only_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake(monkeypatch)
    async with running() as scaler:
        for workers in (1, 3):
            await scaler.scale(workers)
            await seen(scaler, exact=True)
        one, two = scaler.pids
        os.kill(two, signal.SIGKILL)
        now = await in_trouble(scaler)
        assert (now.ready, now.wanted, now.leaving, now.exact) == (1, 3, 0, False)
        assert now.trouble == "worker-2-3: killed by SIGKILL"
        assert scaler.pids == [one]
        os.kill(one, signal.SIGKILL)
        both = await seen(scaler, ready=0)
        assert both.trouble == "worker-1: killed by SIGKILL (and 1 more)"
        await scaler.scale(3)
        mended = await seen(scaler, exact=True)
        assert mended.trouble == ""
        assert len(scaler.pids) == 2


async def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with running() as scaler:
        await scaler.scale(1)
        now = await in_trouble(scaler)
        assert now.trouble == "worker-1: can't start /nowhere/python: No such file or directory"
        monkeypatch.undo()
        fake(monkeypatch)
        await scaler.scale(1)
        assert (await seen(scaler, exact=True)).trouble == ""


async def test_a_worker_that_never_says_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROGRAM", ("/bin/sleep",))
    monkeypatch.setattr(local, "START_S", 0.05)
    monkeypatch.setattr(LocalScaler, "_command", lambda *_: ["1000"])
    async with running(layout="processes") as scaler:
        await scaler.scale(1)
        now = await in_trouble(scaler)
        assert now.trouble == "worker-1: not started after 0.05 s"
        assert now.ready == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("plain", ": plain"),
        ('plain\n{"event": "went on", "level": "info"}', ": plain"),
        ('{"event": "lost", "level": "warning", "why": "it hung"}', ": lost: it hung"),
        ("first\n\n", ": first"),
        ("a\x1b[2Jb", ": a\\x1b[2Jb"),
        ("[1]", ": [1]"),
        ("", ""),
    ],
)
async def test_the_last_complaint_of_a_worker(
    monkeypatch: pytest.MonkeyPatch, lines: str, words: str
) -> None:
    monkeypatch.setenv("LINES_TO_SAY", lines)
    fake(monkeypatch, 'printf %s "$LINES_TO_SAY" >&2; exit 3')
    async with running() as scaler:
        await scaler.scale(1)
        assert (await in_trouble(scaler)).trouble == f"worker-1: exit code 3{words}"


# --- the end -------------------------------------------------------------------------------------


async def test_who_does_not_leave_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (child, local):
        monkeypatch.setattr(module, "STOP_S", 0.1)
    fake(monkeypatch, "trap '' TERM; echo deaf >&2; while :; do sleep 1000; done")
    async with running(grace_s=0.1) as scaler:
        await scaler.scale(1)
        await seen(scaler, exact=True)
        await scaler.scale(0)
        (pid,) = scaler.pids
        await seen(scaler, exact=True)
        assert not alive(pid)
        await scaler.scale(1)
        await seen(scaler, exact=True)
    assert scaler.pids == []


async def test_nothing_is_left_wherever_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, marked: Marked
) -> None:
    fake(monkeypatch)

    async def work() -> None:
        async with LocalScaler(settings(layout="processes")) as scaler:
            for workers in (2, 1):
                await scaler.scale(workers)
                await seen(scaler, exact=True)

    async def scenario(cancel: CancelAtStep) -> None:
        with trio.fail_after(10):
            await cancel.run(work)
        assert marked.pids() == []

    assert await cancel_at_every_step(scenario) > 10


async def test_errors_of_the_user_come_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)

    async def work() -> None:
        async with running() as scaler:
            await scaler.scale(1)
            raise ScalabError("mine")

    with pytest.raises(ScalabError, match="mine"):
        await work()


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"glob": "/dev/null"}, "a device for each worker takes processes"),
        ({"slots": 2}, "a worker that is a slot runs 1 item at once"),
        ({"slots": 0, "layout": "processes"}, "at least 1 slot, not 0"),
        ({"glob": "/nowhere/*", "layout": "processes"}, "no device file matches '/nowhere/\\*'"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        LocalScaler(settings(**options))


async def test_more_workers_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    async with running(glob="/dev/null", layout="processes") as scaler:
        with pytest.raises(ScalerError, match="2 workers need as many devices, but '/dev/null'"):
            await scaler.scale(2)
        assert (await scaler.readiness()).wanted == 0


@given(st.lists(st.integers(0, 40)), st.sampled_from(["slots", "processes"]))
def test_any_sequence_of_steps_leads_to_the_workers_that_are_wanted(
    steps: list[int], layout: Layout
) -> None:
    ranges: list[tuple[int, int]] = []
    for workers in steps:
        kept, added = rearranged([last for _, last in ranges], workers, layout)
        # What can stay does, and at most one process starts where it may be for several workers.
        assert kept == sum(last <= workers for _, last in ranges)
        assert layout == "processes" or len(added) <= 1
        ranges = ranges[:kept] + added
        assert [i for a, b in ranges for i in range(a, b + 1)] == list(range(1, workers + 1))
        assert layout == "slots" or all(a == b for a, b in ranges)


# --- a frontend of its own -----------------------------------------------------------------------


async def test_a_frontend_serves_until_it_is_left(marked: Marked) -> None:
    with trio.fail_after(20):
        async with FrontendProcess("media files") as frontend:
            bound = Bound(frontend.clients, frontend.workers, frontend.metrics)
            http = Frontend(bound, Stop())
            assert (await http.queue("media files"))["waiting"] == 0
            backend = await http.backend("media files", Slots=2)
            assert (await http.queue("media files"))["slots"]["idle"] == 2
            assert frontend.trouble == ""
            await backend.aclose()
        assert marked.pids() == []


async def test_a_frontend_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = (
        '{"event": "frontend is ready", "level": "info", "clients": "x:1",'
        ' "backends": "[::1]:2", "metrics": "http://y:3/metrics"}'
    )
    script = f"echo '{ready}' >&2; exec sleep 1000"
    monkeypatch.setattr(process, "_PROGRAM", ("/bin/bash", "-c", script))
    with trio.fail_after(20):
        async with FrontendProcess("q") as frontend:
            assert frontend.clients == Address("x", 1)
            assert frontend.workers == Address("::1", 2)
            assert frontend.metrics == Address("y", 3)
            os.kill(frontend.pid, signal.SIGKILL)
            await until(lambda: frontend.trouble)
            assert frontend.trouble == "frontend: killed by SIGKILL"


async def test_a_frontend_that_cannot_start_says_why() -> None:
    with trio.fail_after(20), pytest.raises(ScalerError, match=r"exit code 2: .*--nonsense"):
        async with FrontendProcess("q", "--nonsense"):
            pass


async def test_a_frontend_is_not_left_wherever_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, marked: Marked
) -> None:
    monkeypatch.setattr(process, "_PROGRAM", ("/bin/bash", "-c", "exec sleep 1000"))
    monkeypatch.setattr(process, "START_S", 0.05)

    async def work() -> None:
        with pytest.raises(ScalerError, match=r"isn't ready after 0\.05 s"):
            async with FrontendProcess("q"):
                pass

    async def scenario(cancel: CancelAtStep) -> None:
        with trio.fail_after(10):
            await cancel.run(work)
        assert marked.pids() == []

    assert await cancel_at_every_step(scenario) > 2


async def test_a_talkative_child_neither_blocks_nor_fills_memory() -> None:
    lines: list[str] = []
    script = "yes 0123456789 | head -c 300000 >&2; head -c 100000 /dev/zero >&2; echo end"
    talker = Child(["/bin/bash", "-c", script], on_line=lines.append, keep_stdout=True)
    with trio.fail_after(20):
        await talker.attend()
    assert talker.returncode == 0
    assert talker.stdout == "end\n"
    assert len(talker.stderr) == 4096
    assert lines[:-1] == ["0123456789"] * (300000 // 11)
    assert len(lines[-1]) == 4096
