"""The workload as a program: its options, its exporter's faults, and what its start costs."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scalab.errors import ExitCode
from scalab.fakedev import workload

from .helpers import COMMAND

ASKED = ["--device=d0", "--work=1"]

Behaviour = Callable[[socket.socket], object]


@contextmanager
def answering(path: Path, behaviour: Behaviour) -> Iterator[list[str]]:
    """An exporter that treats its only workload like this; yields the options that lead to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                behaviour(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield [*ASKED, f"--socket={path}"]
        finally:
            thread.join()


def sending(*pieces: bytes) -> Behaviour:
    def behaviour(connection: socket.socket) -> None:
        connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)
        connection.recv(4096)  # its end

    return behaviour


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "PING_S", 0.05)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("scalab fakedev workload: ")
    assert err.count("\n") == 1
    return err.removeprefix("scalab fakedev workload: ").rstrip()


def test_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(tmp_path / "s", sending(b'{"Kind":"end","Ret', b'code":0}\n')) as args:
        assert workload.main(args) == 0
    assert capsys.readouterr() == ("", "")


def test_it_tells_how_long_that_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-v", "--verbose"):
        with answering(tmp_path / flag, sending(workload.DONE + b"\n")) as args:
            assert workload.main([*args, flag]) == 0
        assert re.fullmatch(r"\d\.\d{4} s\n", capsys.readouterr().out)


def test_pongs_and_whatever_else_comes_before_the_end_are_ignored(tmp_path: Path) -> None:
    pieces = (b'{"Kind":"pong"}\n{"Kind":"news"}\n', workload.DONE + b"\n")
    with answering(tmp_path / "s", sending(*pieces)) as args:
        assert workload.main(args) == 0


def test_a_silent_exporter_that_answers_pings_is_waited_for(tmp_path: Path) -> None:
    pings = []

    def behaviour(connection: socket.socket) -> None:
        connection.recv(4096)
        for _ in range(3 * workload.SILENT):
            pings.append(connection.recv(4096))
            connection.sendall(b'{"Kind":"pong"}\n')
        connection.sendall(workload.DONE + b"\n")

    with answering(tmp_path / "s", behaviour) as args:
        assert workload.main(args) == 0
    assert set(pings) == {workload.PING}


@pytest.mark.parametrize(
    ("retcode", "code"), [(10, 10), (12, 12), (11, 11), (0, 7), (-1, 7), (300, 7)]
)
def test_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], retcode: int, code: int
) -> None:
    end = {"Kind": "end", "Retcode": retcode, "Error": "it is\nbroken\x1b[2J"}
    line = json.dumps(end, separators=(",", ":")).encode() + b"\n"
    with answering(tmp_path / "s", sending(line)) as args:
        assert workload.main(args) == code
    assert said(capsys) == "it is?broken?[2J"


@pytest.mark.parametrize(
    "garbage",
    [
        b'{"Kind":"end"}\n', b'{"Kind":"end",\n', b'{"Kind":"end","Retcode":"x","Error":""}\n',
        b'["Kind":"end"]\n', b"x" * 5000,
        b'{"Kind":"end","Retcode":1e999,"Error":""}\n',
        b'{"Kind":"end","Error":' + b"[" * 3000 + b"\n",
    ],
)  # fmt: skip
def test_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str], garbage: bytes) -> None:
    with answering(tmp_path / "s", sending(garbage)) as args:
        assert workload.main(args) == workload.NO_EXPORTER
    assert said(capsys) == "this is no exporter"


def test_the_exporter_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(tmp_path / "s", lambda connection: connection.recv(4096)) as args:
        assert workload.main(args) == workload.NO_EXPORTER
    assert said(capsys) == "the exporter has ended"


def test_the_exporter_is_killed_before_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(tmp_path / "s", lambda connection: connection.recv(1)) as args:
        assert workload.main(args) == workload.NO_EXPORTER
    assert said(capsys) == "the exporter has ended"


def test_the_exporter_is_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def frozen(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with answering(tmp_path / "s", frozen) as args:
        assert workload.main(args) == workload.NO_EXPORTER
    assert said(capsys) == "the exporter has been silent for 0.15 s"


def test_the_exporter_accepts_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "s")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other,
    ):
        listener.bind(path)
        listener.listen(0)
        other.connect(path)  # now its queue is full
        assert workload.main([*ASKED, "--socket", path]) == workload.NO_EXPORTER
    assert said(capsys) == f"no exporter at {path!a}: it accepts no connection"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "No such file or directory"),
        ("stale", "Connection refused"),
        ("x" * 200, "AF_UNIX path too long"),
        ("a\0b", "No such file or directory"),
    ],
)
def test_no_exporter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(tmp_path / "stale"))
    path = f"{tmp_path}/{name}"
    assert workload.main([*ASKED, "--socket", path]) == workload.NO_EXPORTER
    assert said(capsys) == f"no exporter at {path!a}: {why}"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ("", "--device is missing"),
        ("--device", "--device needs a value"),
        ("--device=", "--device needs a value"),
        ("--device=/dev/dri/ --work=1", "--device is missing"),
        ("--device d", "give --work, --profile, or both"),
        ('--device d"d --work=1', "--device: 'd\"d' is no name of a device"),
        ("--device d --work x", "--work: 'x' is not a number"),
        ("--device d --work -1", "--work: '-1' is not from 0 to 1e+07"),
        ("--device d --work nan", "--work: 'nan' is not from 0 to 1e+07"),
        ("--device d --work 1 --load 101", "--load: '101' is not from 0 to 100"),
        ("--device d --work 1 --memory inf", "--memory: 'inf' is not from 0 to 1e+09"),
        ("--device d --profile 1:2", "--profile: '1:2' is not LOAD:FLUCTUATION:SECONDS"),
        ("--device d --profile 1:2:0", "--profile: '0' is not from 0.01 to 1e+07"),
        ("--device d --profile " + ",".join(["1:1:1"] * 65), "--profile: at most 64 phases"),
        ("--device d --work 1 0.5", "unknown argument '0.5' (see --help)"),
        ("--wörk 1", "unknown argument '--w\\xf6rk' (see --help)"),
        ("-device d", "unknown argument '-device' (see --help)"),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], args: str, why: str) -> None:
    assert workload.main(args.split()) == workload.USAGE
    assert said(capsys) == why


def test_exit_codes_are_those_of_the_other_commands() -> None:
    assert workload.USAGE == ExitCode.USAGE
    assert workload.NO_EXPORTER == ExitCode.INFRASTRUCTURE
    own = {workload.FAILURE, workload.UNKNOWN_DEVICE, workload.OUT_OF_MEMORY}
    assert len(own) == 3
    assert not own & set(ExitCode)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert workload.main(["--work", "--help"]) == workload.USAGE
    capsys.readouterr()
    assert workload.main(["--device", "d", "-h"]) == 0
    out, err = capsys.readouterr()
    assert not err
    for option in workload.OPTIONS:
        assert f"  --{option} " in out


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    # Neither settings of ours nor a measurement of coverage, which loads modules of its own.
    ours = ("SCALAB", "XDG", "COVERAGE")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        command, env={**clean, **env}, capture_output=True, text=True, timeout=30, check=False
    )


def test_options_from_the_environment(tmp_path: Path) -> None:
    env = {"SCALAB_FAKEDEV_WORKLOAD_DEVICE": "d", "SCALAB_FAKEDEV_WORKLOAD_WORK": "x"}
    assert "--work: 'x' is not a number" in run(*COMMAND, **env).stderr
    assert "'y' is not a number" in run(*COMMAND, "--work", "y", **env).stderr
    env["SCALAB_FAKEDEV_WORKLOAD_WORK"] = "1"
    assert "/tmp/scalab-fakedev-" in run(*COMMAND, **env).stderr
    env["XDG_RUNTIME_DIR"] = str(tmp_path)
    assert f"{tmp_path}/scalab-fakedev-" in run(*COMMAND, **env).stderr
    env["SCALAB_FAKEDEV_SOCKET"] = str(tmp_path / "other")
    assert f"{tmp_path}/other'" in run(*COMMAND, **env).stderr


@pytest.mark.parametrize(
    "command", [COMMAND, (sys.executable, "-m", "scalab", "fakedev", "workload")]
)
def test_it_runs_by_path_and_as_a_command(command: tuple[str, ...]) -> None:
    ended = run(*command, "--work", "1")
    assert ended.returncode == workload.USAGE
    assert (ended.stdout, ended.stderr) == ("", "scalab fakedev workload: --device is missing\n")


_LOADED = """
import sys
sys.argv = {argv!r}
try:
    {start}
except SystemExit as end:
    assert end.code == 7, end.code
print(*sys.modules)
"""


def loaded(start: str, *flags: str, argv: tuple[str, ...] = ()) -> set[str]:
    """The modules that a workload which finds no exporter has loaded at its end."""
    asked = ["scalab", *argv, *ASKED, "--socket=/nonexistent/s"]
    ended = run(sys.executable, *flags, "-c", _LOADED.format(argv=asked, start=start))
    return set(ended.stdout.split())


def test_its_start_loads_nothing_that_costs_time() -> None:
    path = workload.__file__
    start = f"exec(compile(open({path!r}).read(), {path!r}, 'exec'), {{'__name__': '__main__'}})"
    ours = loaded(start, "-I", "-S")
    assert "_socket" in ours
    assert not ours & {"socket", "json", "re", "enum", "argparse", "struct", "typing", "os"}


def test_nor_does_the_command() -> None:
    start = "from scalab.__main__ import main; main()"
    ours = loaded(start, argv=("fakedev", "workload"))
    assert {name for name in ours if name.startswith("scalab")} == {
        "scalab", "scalab.__main__", "scalab.fakedev", "scalab.fakedev.workload",
    }  # fmt: skip
    assert not ours & {"trio", "typer", "attr", "orjson", "argparse", "json"}
