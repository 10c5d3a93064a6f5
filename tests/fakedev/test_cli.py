"""The commands as processes of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from scalab.cli.app import run
from scalab.fakedev import workload
from tests.support import Http, Process, Processes, address_of, processes

from .helpers import ended, names_in, process
from .test_files import mode_of


async def exporter(started: Processes, socket: Path, *options: str) -> tuple[Process, Http]:
    running = await started.start(
        "fakedev", "exporter", "--socket", str(socket), "--metrics-addr", "127.0.0.1:0", *options
    )
    return running, Http(address_of(await running.line("exporter is ready"), "metrics"))


async def until_running(http: Http, device: str, n: int) -> None:
    name = rf'scalab_device_workloads\{{device="{device}",node=".*",state="running",type=".*"\}}'
    while True:
        found = await http.metrics()
        [running] = [value for key, value in found.items() if re.fullmatch(name, key)]
        if running == n:
            return
        await trio.sleep(0.02)  # nothing tells the outside when it changes


async def test_everything_that_the_options_say(tmp_path: Path) -> None:
    socket, files = tmp_path / "s", tmp_path / "dri"
    async with processes() as started:
        running, http = await exporter(
            started, socket, "--devices", "3", "--first", "card1", "--type", "npu", "--memory",
            "100", "--power", "20:30", "--frequency", "1:2", "--temperature", "40:50", "--slots",
            "1", "--sigma", "0", "--kappa", "0", "--node-sigma", "0.1", "--node-kappa", "0",
            "--speed", "100", "--failure-rate", "0", "--set", "card2.failure_rate=1", "--seed", "3",
            "--socket-mode", "0660", "--make-files", str(files), "--node", "n1", "--metric",
            "power=watts", "--label", "type=kind",
        )  # fmt: skip
        assert names_in(files) == ["card1", "card2", "card3"]
        assert mode_of(socket) == 0o660
        metrics = await http.metrics()
        assert metrics['watts{device="card1",kind="npu",node="n1"}'] == 20
        for device, options, code in (
            (files / "card1", {"work": 2}, 0),
            (files / "card2", {"work": 2}, workload.FAILURE),
            (files / "card3", {"memory": 101}, workload.OUT_OF_MEMORY),
        ):
            async with process(str(socket), device=device, **options) as run:
                assert (await ended(run))[0] == code
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
    assert not names_in(files)
    assert names_in(tmp_path) == ["dri"]


async def test_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('name = "n2"\n[[devices]]\nname = "x"\n[metrics]\npreset = "xpum"\n')
    async with processes() as started:
        running = await started.start(
            "fakedev", "exporter", SCALAB_FAKEDEV_EXPORTER_CONFIG=str(file), NODE_NAME="n3",
            SCALAB_FAKEDEV_SOCKET=str(tmp_path / "s"),
            SCALAB_FAKEDEV_EXPORTER_METRICS_ADDR="127.0.0.1:0",
        )  # fmt: skip
        http = Http(address_of(await running.line("exporter is ready"), "metrics"))
        [sample] = [name for name in await http.metrics() if name.startswith("xpum_power_watts")]
        assert 'dev_file="x"' in sample
        assert 'node="n3"' in sample
        assert names_in(tmp_path) == ["node.toml", "s"]


async def test_a_killed_workload_is_off_the_books(tmp_path: Path) -> None:
    async with processes() as started:
        _, http = await exporter(started, tmp_path / "s")
        async with process(str(tmp_path / "s"), device="renderD128") as killed:
            await until_running(http, "renderD128", 1)
            killed.kill()
            await until_running(http, "renderD128", 0)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_an_exporter_that_ends_is_one_clear_error(
    tmp_path: Path, signum: signal.Signals
) -> None:
    async with processes() as started:
        running, http = await exporter(started, tmp_path / "s")
        async with process(str(tmp_path / "s"), device="renderD128") as lost:
            await until_running(http, "renderD128", 1)
            running.signal(signum)
            assert await ended(lost) == (
                workload.NO_EXPORTER, "scalab fakedev workload: the exporter has ended\n",
            )  # fmt: skip


async def test_a_frozen_exporter_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workload, "PING_S", 0.1)
    async with processes() as started:
        running, _ = await exporter(started, tmp_path / "s")
        running.signal(signal.SIGSTOP)
        args = [f"--socket={tmp_path}/s", "--device=renderD128", "--work=1"]
        code = await trio.to_thread.run_sync(workload.main, args)
    assert code == workload.NO_EXPORTER
    err = capsys.readouterr().err
    assert err == "scalab fakedev workload: the exporter has been silent for 0.3 s\n"


async def test_an_exporter_comes_back_after_it_was_killed(tmp_path: Path) -> None:
    async with processes() as started:
        for _ in range(2):
            running, _ = await exporter(started, tmp_path / "s")
            async with process(str(tmp_path / "s"), device="renderD128", work=0) as run:
                assert await ended(run) == (0, "")
            running.signal(signal.SIGKILL)
            await running.ended()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "renderD128.speed=0"], "device 'renderD128': speed must be from 1e-06"),
        (["--devices", "0"], "count must be from 1 to 1024"),
        (["--socket-mode", "rw"], "--socket-mode must be like 0600"),
        (["--socket-mode", "10600"], "--socket-mode must be like 0600"),
        (["--config", "/nonexistent"], "can't read /nonexistent: No such file"),
        (["--socket", "/nonexistent/s"], "can't listen on /nonexistent/s: No such file"),
        (["--preset", "amd"], "--preset"),
    ],
)
def test_mistakes(options: list[str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "scalab", "fakedev", "exporter", *options],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_the_demo(tmp_path: Path) -> None:
    async with processes() as started:
        demo = await started.start(
            "demo", "--devices", "2", "--slow", "renderD129", "-d", "1", TMPDIR=str(tmp_path)
        )
        assert await demo.ended() == 0
        for text in ("devices http://127.0.0.1:", "Does throughput follow the backends?"):
            assert text in demo.out.decode()
        wrong = await started.start("demo", "--devices", "2", "--slow", "card0")
        assert await wrong.ended() == 2
        assert wrong.log == [
            "scalab: there is no device 'card0'; there are: renderD128, renderD129"
        ]
    assert not names_in(tmp_path)


def test_the_workload_is_also_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fakedev", "workload", "--work", "1"]) == workload.USAGE
    assert capsys.readouterr().err == "scalab fakedev workload: --device is missing\n"


def test_both_commands_are_listed() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "scalab", "fakedev", "--help"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert re.search(r"exporter +Simulate", listed.stdout)
    assert re.search(r"workload +Take", listed.stdout)
