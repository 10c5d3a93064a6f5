"""Commands of the user's that change the number of workers."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from scalab.errors import ConfigError, ScalabError
from scalab.scalers import child
from scalab.scalers.base import Readiness
from scalab.scalers.command import Command, CommandScaler
from scalab.scalers.errors import ScalerError
from tests.helpers import CancelAtStep, cancel_at_every_step
from tests.scalers.leftover import Marked, marking, until


@pytest.fixture(autouse=True)
def marked() -> Iterator[Marked]:
    """What the test starts must be gone when it ends."""
    with marking() as found:
        yield found
        assert found.pids() == []


def bash(script: str, *args: str) -> str:
    """A command line that runs a script with arguments."""
    return shlex.join(["bash", "-c", script, "bash", *args])


class Cluster:
    """A number of workers in a file, and all that it ever was."""

    def __init__(self, path: Path, workers: int) -> None:
        self._path = path
        self._path.write_text(f"{workers}\n")
        self.scale = bash(f"echo $1 >> {path}", "{n}")
        self.print = f"tail -n1 {path}"

    @property
    def history(self) -> list[int]:
        return [int(line) for line in self._path.read_text().split()]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "workers", 3)


async def test_the_commands_do_it_and_restore_what_there_was(cluster: Cluster) -> None:
    async with CommandScaler(cluster.scale, ready=cluster.print, current=cluster.print) as scaler:
        assert await scaler.readiness() == Readiness(wanted=3, ready=3)
        for workers in (1, 2, 4):
            await scaler.scale(workers)
            assert await scaler.readiness() == Readiness(wanted=workers, ready=workers)
    assert cluster.history == [3, 1, 2, 4, 3]


async def test_without_a_command_the_frontend_alone_is_believed(cluster: Cluster) -> None:
    async with CommandScaler(cluster.scale, initial=0, slots_per_worker=2) as scaler:
        assert scaler.slots_per_worker == 2
        await scaler.scale(5)
        assert await scaler.readiness() == Readiness(wanted=5, ready=5)
    assert cluster.history == [3, 5, 0]


async def test_a_command_to_restore(cluster: Cluster, tmp_path: Path) -> None:
    restore = bash(f'echo "$*" > {tmp_path}/restored', "to {n}", "from {previous}", "{other}")
    async with CommandScaler(cluster.scale, initial=7, restore=restore) as scaler:
        await scaler.scale(1)
        await scaler.scale(2)
    assert cluster.history == [3, 1, 2]
    assert (tmp_path / "restored").read_text() == "to 7 from 2 {other}\n"


async def test_restoring_may_need_no_number(cluster: Cluster, tmp_path: Path) -> None:
    async with CommandScaler(cluster.scale, restore=f"touch {tmp_path}/restored") as scaler:
        await scaler.scale(1)
    assert (tmp_path / "restored").exists()


async def test_what_was_not_changed_is_not_restored(cluster: Cluster) -> None:
    async with CommandScaler(cluster.scale, current=cluster.print):
        pass
    assert cluster.history == [3]


async def test_the_previous_number_is_that_of_the_last_success(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f'echo "$1 to $2" >> {log}; [ "$2" != 4 ]'
    async with CommandScaler(bash(script, "{previous}", "{n}"), initial=1) as scaler:
        await scaler.scale(2)
        with pytest.raises(ScalerError):
            await scaler.scale(4)
        await scaler.scale(5)
    assert log.read_text().splitlines() == ["1 to 2", "2 to 4", "2 to 5", "5 to 1"]


async def test_words_are_what_the_user_quoted_and_no_shell_sees_them(tmp_path: Path) -> None:
    script = f'for word; do echo "$word"; done > {tmp_path}/words'
    scale = bash(script) + " --replicas={n} 'a  b' '$HOME; {n} x' * {} {previous}"
    async with CommandScaler(scale, restore="true") as scaler:
        await scaler.scale(12)
    assert (tmp_path / "words").read_text().splitlines() == [
        *("--replicas=12", "a  b", "$HOME; 12 x", "*", "{}", "{previous}"),
    ]


# --- what goes wrong -----------------------------------------------------------------------------


async def failure_of(scale: str, **options: Any) -> str:
    """What a scaler says of a command that fails."""
    async with CommandScaler(scale, restore="true", **options) as scaler:
        with pytest.raises(ScalerError) as info:
            await scaler.scale(4)
    return str(info.value)


async def test_a_failure_says_what_the_command_said() -> None:
    script = r"echo first >&2; printf 'no such\x1b[2J deployment\n\n' >&2; exit 3; echo {n}"
    text = await failure_of(bash(script))
    assert text.endswith(": exit code 3: no such\\x1b[2J deployment")
    assert text.startswith("bash -c ")
    assert "\n" not in text
    assert len(text) < 600


async def test_a_command_that_is_killed() -> None:
    assert await failure_of(bash("kill -9 $$", "{n}")) == (
        "bash -c 'kill -9 $$' bash 4: killed by SIGKILL"
    )


async def test_a_command_that_takes_too_long(
    marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STOP_S", 0.1)
    with trio.fail_after(20):
        text = await failure_of(bash("trap '' TERM; sleep 1000 & wait", "{n}"), limit_s=0.2)
    assert text.endswith("bash 4: not done after 0.2 s")
    assert marked.pids() == []  # its children neither


async def test_what_a_command_leaves_in_the_background_is_left_alone(
    marked: Marked, tmp_path: Path
) -> None:
    with trio.fail_after(20):
        async with CommandScaler(bash("sleep 1000 & echo {n}"), restore="true") as scaler:
            await scaler.scale(1)
    (pid,) = marked.pids()
    os.kill(pid, signal.SIGKILL)
    await marked.gone()


@pytest.mark.parametrize(
    ("output", "ready"),
    [("4\n", 4), ("ready: 4", 4), ("7 of\nwhich 12\n\n", 12), ("", 0), ("\n", 0), ("007", 7)],
)
async def test_numbers(output: str, ready: int) -> None:
    scaler = CommandScaler("true {n}", ready=shlex.join(["printf", "%s", output]), initial=1)
    async with scaler:
        assert (await scaler.readiness()).ready == ready


@pytest.mark.parametrize("output", ["four", "-1", "4.0", "1e3", "4 ready", "1234567890", "²", "٣"])
async def test_what_is_no_number(output: str) -> None:
    ready = shlex.join(["printf", "%s", output])
    async with CommandScaler("true {n}", ready=ready, initial=1) as scaler:
        with pytest.raises(ScalerError, match=f"should print a number of workers, not '{output}'"):
            await scaler.readiness()


async def test_the_number_at_the_start_must_be_one() -> None:
    with pytest.raises(ScalerError, match="true: should print a number of workers, not nothing"):
        async with CommandScaler("true {n}", current="true"):
            pass


# --- restoring -----------------------------------------------------------------------------------


async def test_it_restores_after_an_error(cluster: Cluster) -> None:
    async def work() -> None:
        async with CommandScaler(cluster.scale, initial=3) as scaler:
            await scaler.scale(8)
            raise ScalabError("mine")

    with pytest.raises(ScalabError, match="mine"):
        await work()
    assert cluster.history == [3, 8, 3]


async def test_who_cannot_restore_says_how_to(cluster: Cluster) -> None:
    async def work() -> None:
        async with CommandScaler(cluster.scale, initial=3, restore="false {n}") as scaler:
            await scaler.scale(8)

    with pytest.raises(ScalerError) as info:
        await work()
    assert str(info.value) == (
        "the workers are not as they were; run: false 3 (false 3: exit code 1)"
    )


async def test_who_cannot_restore_after_an_error_says_both(
    cluster: Cluster, error_logs: list[str]
) -> None:
    async def work() -> None:
        async with CommandScaler(cluster.scale, initial=3, restore="false {n}") as scaler:
            await scaler.scale(8)
            raise ScalabError("mine")

    with pytest.raises(ScalabError, match="mine"):
        await work()
    assert len(error_logs) == 1
    assert "run: false 3" in error_logs.pop()


async def test_it_restores_wherever_it_is_cancelled(tmp_path: Path, marked: Marked) -> None:
    cluster = Cluster(tmp_path / "workers", 3)

    async def work() -> None:
        async with CommandScaler(
            cluster.scale, ready=cluster.print, current=cluster.print
        ) as scaler:
            await scaler.scale(1)
            await scaler.readiness()

    async def scenario(cancel: CancelAtStep) -> None:
        with trio.fail_after(10):
            await cancel.run(work)
        assert cluster.history[-1] == 3
        assert marked.pids() == []

    assert await cancel_at_every_step(scenario) > 10
    assert 1 in cluster.history


async def test_a_command_that_hangs_ends_when_it_is_cancelled(
    marked: Marked, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    scaler = CommandScaler(bash(f"touch {started}; sleep 1000", "{n}"), restore="true")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            async with scaler:
                nursery.start_soon(scaler.scale, 1)
                await until(started.exists)
                nursery.cancel_scope.cancel()
    assert marked.pids() == []


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scale": "true"}, "--scale-command lacks {n}: 'true'"),
        ({"scale": ""}, "--scale-command: no command was given"),
        ({"scale": "true 'a {n}"}, '--scale-command: no closing quotation in "true'),
        ({"scale": "no-such {n}"}, "--scale-command: 'no-such' is no program"),
        ({"scale": "true {n}", "ready": "/etc/passwd"}, "--ready-command: '/etc/passwd' is no"),
        ({"scale": "true {n}", "initial": -1}, "--initial -1: there can't"),
        ({"scale": "true {n}", "initial": None}, "by --initial or --current-command"),
        ({"scale": "true {n}", "initial": None, "restore": "true {n}"}, "by --initial or"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as info:
        CommandScaler(**{"initial": 1, **options})
    assert text in str(info.value)


def test_a_program_that_vanished() -> None:
    async def work() -> None:
        async with CommandScaler("true {n}", initial=1) as scaler:
            scaler._scale = Command(("/nowhere/scale", "{n}"))
            await scaler.scale(1)

    with pytest.raises(ScalerError, match="can't start /nowhere/scale: No such file"):
        trio.run(work)
