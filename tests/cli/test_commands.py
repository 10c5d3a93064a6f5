"""The command line: one line for each mistake, and the exit code that tells its kind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import attrs
import pytest
import trio

from scalab import __version__
from scalab.cli.app import _end_of_group, run

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) ")
OK, UNEXPECTED, USAGE, FAILURES, INFRASTRUCTURE = 0, 1, 2, 4, 7


@attrs.frozen
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    complaints: list[str]
    """Lines on stderr that are none of the log."""
    log: list[str]


class Shell:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str) -> Ended:
        code = run(list(args))
        out, err = self._capsys.readouterr()
        lines = err.splitlines()
        log = [line for line in lines if LOG_LINE.match(line)]
        return Ended(code, out, [line for line in lines if line not in log], log)


@pytest.fixture
def scalab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(capsys)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address where somebody listens already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


# --- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", [[], ["frontend"], ["backend"], ["client"], ["demo"]])
def test_help(scalab: Shell, command: list[str], option: str) -> None:
    ended = scalab(*command, option)

    assert (ended.code, ended.complaints) == (OK, [])
    assert " ".join(["Usage: scalab", *command]) in ended.out
    if command and command != ["demo"]:
        assert "SECONDS" in ended.out
        assert f"SCALAB_{command[0].upper()}_GRACE" in ended.out
        assert "Logging (to stderr)" in ended.out


def test_no_command_is_help(scalab: Shell) -> None:
    ended = scalab()
    assert "frontend" in ended.out + "".join(ended.complaints)
    assert ended.code in (OK, USAGE)


def test_version(scalab: Shell) -> None:
    ended = scalab("--version")
    assert (ended.code, ended.out) == (OK, f"scalab {__version__}\n")


# --- mistakes ----------------------------------------------------------------------------------

ONLY = ["--client-addr=127.0.0.1:0", "--worker-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"]

TOO_LONG = "the arguments can't be sent: message longer than 1024 bytes"

MISTAKES = [
    (["dance"], "dance"),
    (["frontend", "q", "--colour", "red"], "--colour"),
    (["frontend"], "QUEUE"),
    (["frontend", "q", "r", "q"], "queue 'q' is named twice"),
    (["frontend", ""], "queue name ''"),
    (["frontend", 65 * "q"], "1 to 64 printable characters"),
    (["frontend", "a\nb"], r"queue name 'a\nb'"),
    (["frontend", "q", "--client-addr", "localhost"], "'localhost' is not of the form"),
    (["frontend", "q", "--client-addr", ":65536"], "':65536' is not of the form"),
    (["frontend", "q", "--worker-addr", "::1:99"], "write an IPv6 address as [::1]:99"),
    (["frontend", "q", "--metrics-addr", "a\x1b[2Jb"], r"'a\x1b[2Jb' is not of the form"),
    (["frontend", "q", "--client-addr", ""], "'' is not of the form"),
    (["frontend", "q", "--client-addr", "203.0.113.1:0"], "can't listen for clients on 203.0"),
    (["frontend", "q", "--queue-max", "-1"], "--queue-max"),
    (["frontend", "q", "--queue-max", "1.5"], "--queue-max"),
    (["frontend", "q", "--max-attempts", "0"], "--max-attempts"),
    (["frontend", "q", "--on-client-gone", "wave"], "--on-client-gone"),
    (["frontend", "q", "--log-format", "xml"], "--log-format"),
    (["frontend", "q", "--grace", "-1"], "--grace"),
    (["frontend", "q", "--grace", "nan", *ONLY], "--grace"),
    (["frontend", "q", "--interval", "nan", *ONLY], "--interval"),
    (["frontend", "q", "--interval", "inf", *ONLY], "--interval"),
    (["frontend", "q", "--grace", "soon"], "--grace"),
    (["backend"], "WORKLOAD"),
    (["backend", "--", ""], "no workload was given"),
    (["backend", "--", "no-such-program"], "workload 'no-such-program' is not on PATH"),
    (["backend", "--", "/no/such/program"], "workload '/no/such/program' does not exist"),
    (["backend", "--", "/etc/passwd"], "workload '/etc/passwd' is not executable"),
    (["backend", "--", "/etc"], "workload '/etc' is a directory"),
    (["backend", "--workdir", "/no/such", "--", "sleep"], "work directory '/no/such'"),
    (["backend", "--queue", "", "--", "sleep"], "--queue must not be empty"),
    (["backend", "--when-empty", "dance", "--", "sleep"], "--when-empty"),
    (["backend", "--slots", "0", "--", "sleep"], "--slots"),
    (["backend", "--backoff", "9", "--backoff-max", "1", "--", "sleep"], "--backoff must not be"),
    (["backend", "--backoff", "0", "--", "sleep"], "--backoff"),
    (["backend", "--limit", "nan", "--", "sleep"], "--limit"),
    (["backend", "--kill-grace", "inf", "--", "sleep"], "--kill-grace"),
    (["backend", "--output", "loud", "--", "sleep"], "--output"),
    (["backend", "--frontend", "x", "--", "sleep"], "'x' is not of the form"),
    (["client", "--parallel", "5", "--parallel-max", "4"], "--parallel-max: 4 is less than the 5"),
    (["client", "--rate", "fast"], 'rate: "fast" is no rate; write for example 50/s'),
    (["client", "--rate", "5/s", "--parallel", "2"], "--rate is an open loop, --parallel a closed"),
    (["client", "--rate", "5/s", "--delay", "2"], "--delay belongs to a closed loop"),
    (["client", "--arrival", "poisson"], "--arrival belongs to an open loop: say --rate 50/s"),
    (["client", "--arrival", "gamma"], "--arrival"),
    (["client", "--stages", "5@"], "--stages"),
    (["client", "--stages", "5@1s", "--rate", "3/s"], "--rate: the --stages tell the level"),
    (["client", "--warm-up", "9", "--duration", "5"], "--warm-up: 9s leave nothing to measure"),
    (["client", "--queue", "a", "--queue", "a"], "'a' is there twice"),
    (["client", "--queue", "a=0"], "--queue a=0: a weight is a number above 0"),
    (["client", "--threshold", "p95(total)<2%"], "p95(total) is a duration"),
    (["client", "--threshold", "p99(corrected)<2"], "needs a schedule, which a closed loop"),
    (["client", "--threshold", "p95(run){queue=x}<2"], "the run has no queue 'x'"),
    (["client", "--scenario", "/no/such.toml"], "/no/such.toml"),
    (["client", "--scenario", "x.toml", "--rate", "3/s"], "--scenario FILE tells queues"),
    (["client", "--out", "/no/such/folder/run.jsonl"], "--out /no/such/folder/run.jsonl: No such"),
    (["client", "--interval", "0"], "--interval"),
    (["client", "--interval", "nan"], "--interval"),
    (["client", "--parallel", "-1"], "--parallel"),
    (["client", "--requests", "many"], "--requests"),
    (["client", "--duration", "-1"], "--duration"),
    (["client", "--delay", "nan", "--control-addr", "none"], "--delay"),
    (["client", "--queue", ""], "--queue must not be empty"),
    (["client", "--frontend", "9997x"], "'9997x' is not of the form"),
    (["client", "--control-addr", "x:y"], "'x:y' is not of the form"),
    (["client", "--", 1000 * "x"], TOO_LONG),
    (["client", "--control-addr", "none", "--", 960 * "x"], TOO_LONG),
    (["client", "--queue", 65 * "q"], "--queue: give 1 to 64 printable characters"),
    (["client", "--classic", "--queue", 64 * "q", "--", 960 * "x"], TOO_LONG),
]  # fmt: skip


@pytest.mark.parametrize(("args", "text"), MISTAKES)
def test_a_mistake_is_one_line(scalab: Shell, args: list[str], text: str) -> None:
    ended = scalab(*args)

    assert len(ended.complaints) == 1
    assert text in ended.complaints[0]
    assert ended.complaints[0].startswith(("scalab: ", f"scalab {args[0]}: "))
    assert ended.code == USAGE
    assert ended.out == ""
    assert ended.log == []


@pytest.mark.parametrize("port", ["client", "worker", "metrics"])
def test_a_port_in_use(scalab: Shell, taken: str, port: str) -> None:
    addresses = dict.fromkeys(("client", "worker", "metrics"), "127.0.0.1:0") | {port: taken}
    ended = scalab("frontend", "q", *(f"--{p}-addr={at}" for p, at in addresses.items()))

    what = {"client": "clients", "worker": "backends", "metrics": "metrics"}[port]
    assert ended.complaints == [f"scalab: can't listen for {what} on {taken}: port is in use"]
    assert ended.code == USAGE


def test_a_port_in_use_of_a_client_and_a_backend(scalab: Shell, taken: str, nobody: str) -> None:
    ends = [
        scalab("client", "--control-addr", taken, "--frontend", nobody),
        scalab("backend", "--metrics-addr", taken, "--frontend", nobody, "--", "sleep"),
    ]
    for ended, what in zip(ends, ("control", "metrics"), strict=True):
        assert ended.complaints == [f"scalab: can't listen for {what} on {taken}: port is in use"]
        assert ended.code == USAGE


@pytest.mark.parametrize("classic", [[], ["--classic"]])
def test_nobody_is_there(scalab: Shell, nobody: str, classic: list[str]) -> None:
    there = [f"--frontend={nobody}", "--connect-timeout=0.2", *classic]
    for ended in (
        scalab("client", "--control-addr=none", *there),
        scalab("backend", *there, "--", "sleep"),
    ):
        assert ended.complaints == [f"scalab: can't connect to {nobody}: connection refused"]
        assert ended.code == INFRASTRUCTURE
        assert sum("trying again" in line for line in ended.log) == 1


def test_a_host_that_nobody_knows(scalab: Shell) -> None:
    ended = scalab(
        "client", "--control-addr=none", "--frontend=no-such-host.invalid:9", "--connect-timeout=0"
    )
    assert len(ended.complaints) == 1
    assert "can't connect to no-such-host.invalid:9: " in ended.complaints[0]
    assert ended.code == INFRASTRUCTURE


# --- once --------------------------------------------------------------------------------------


def test_once_prints_the_reply(scalab: Shell) -> None:
    ended = scalab("backend", "--once", "--", "sleep", "0.01")
    reply = json.loads(ended.out)

    assert (ended.code, ended.complaints) == (OK, [])
    assert (reply["Retcode"], reply["Error"]) == (0, "")
    assert reply["Runtime"] >= 0.01
    assert reply["Node"]


@pytest.mark.parametrize(
    ("command", "retcode", "error"),
    [
        (["bash", "-c", "echo 'no good' >&2; exit 3"], 3, "no good"),
        (["bash", "-c", "kill -SEGV $$"], 139, "ended by SIGSEGV"),
        (["sleep"], 1, "sleep: how many seconds?"),
        (["sleep", "60"], 124, "run-time limit of 0.05 s reached"),
        (["echo", "FILENAME"], 1, "FILENAME is used, but there is no device file"),
    ],
)
def test_once_fails_by_its_own_code(
    scalab: Shell, command: list[str], retcode: int, error: str
) -> None:
    ended = scalab("backend", "--once", "--limit", "0.05" if "60" in command else "30",
                   "--output", "discard", "--", *command)  # fmt: skip
    reply = json.loads(ended.out)

    assert ended.code == FAILURES
    assert (reply["Retcode"], reply["Error"]) == (retcode, error)


def test_once_knows_devices_and_places(
    scalab: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, seen = tmp_path / "card7", tmp_path / "seen"
    device.touch()
    monkeypatch.setenv("MY_NODE", "node-1")
    monkeypatch.setenv("POD_NAME", "pod-2")
    ended = scalab(
        "backend", "--once", "--glob", f"{tmp_path}/card*", "--workdir", str(tmp_path),
        "--node-env", "MY_NODE", "--", "bash", "-c", 'echo "$PWD $1" > seen', "x", "dev=FILENAME",
    )  # fmt: skip
    reply = json.loads(ended.out)

    assert (reply["Device"], reply["Node"], reply["Pod"]) == ("card7", "node-1", "pod-2")
    assert seen.read_text() == f"{tmp_path} dev={device}\n"


# --- the environment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "args", "text"),
    [
        ("SCALAB_BACKEND_SLOTS=0", ["backend", "--", "sleep"], "--slots"),
        ("SCALAB_BACKEND_FRONTEND=x", ["backend", "--", "sleep"], "'x' is not of the form"),
        ("SCALAB_CLIENT_PARALLEL=x", ["client"], "--parallel"),
        ("SCALAB_CLIENT_FRONTEND=x", ["client"], "'x' is not of the form"),
        ("SCALAB_FRONTEND_QUEUE_MAX=-2", ["frontend", "q"], "--queue-max"),
        ("SCALAB_FRONTEND_METRICS_ADDR=x", ["frontend", "q"], "'x' is not of the form"),
        ("SCALAB_FRONTEND_GRACE=nan", ["frontend", "q", *ONLY], "--grace"),
    ],
)
def test_options_may_come_from_the_environment(
    scalab: Shell, monkeypatch: pytest.MonkeyPatch, setting: str, args: list[str], text: str
) -> None:
    monkeypatch.setenv(*setting.split("="))
    ended = scalab(*args)

    assert ended.code == USAGE
    assert len(ended.complaints) == 1
    assert text in ended.complaints[0]


def test_an_option_wins_over_the_environment(
    scalab: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALAB_BACKEND_LIMIT", "0.02")
    by_variable = json.loads(scalab("backend", "--once", "--", "sleep", "0.05").out)
    by_option = json.loads(scalab("backend", "--once", "--limit", "9", "--", "sleep", "0.05").out)

    assert (by_variable["Retcode"], by_option["Retcode"]) == (124, 0)


# --- the log -----------------------------------------------------------------------------------


def test_json_logs_are_a_valid_object_a_line(scalab: Shell, nobody: str) -> None:
    there = [f"--frontend={nobody}", "--connect-timeout=0", "--log-format=json"]
    ended = scalab("backend", "--queue", "a\x1b[2J\nb", *there, "--", "sleep")
    *lines, complaint = ended.complaints
    events = [json.loads(line) for line in lines]

    assert complaint.startswith("scalab: can't connect")
    assert events[0]["event"] == "backend starts"
    assert events[0]["queue"] == "a\\x1b[2J\\nb"
    assert events[0]["frontend"] == nobody
    assert {"timestamp", "level"} <= set(events[0])


def test_quiet_is_quiet(scalab: Shell, nobody: str) -> None:
    there = [f"--frontend={nobody}", "--connect-timeout=0"]
    assert scalab("backend", "--quiet", *there, "--", "sleep").log == []
    assert scalab("backend", *there, "--", "sleep").log != []


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_output_is_no_traceback(unbuffered: str) -> None:
    """``scalab … | head`` ends quietly."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        assert written_to(out, unbuffered) == (UNEXPECTED, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_without_room_is_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as out:
        complaint = "scalab: can't write the output: no space left on device\n"
        assert written_to(out, unbuffered) == (UNEXPECTED, complaint)


def test_an_output_that_was_closed_before_is_none() -> None:
    command = [sys.executable, "-m", "scalab", "--version"]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(shell, stderr=subprocess.PIPE, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def written_to(out: IO[str], unbuffered: str) -> tuple[int, str]:
    """Run a workload once; return the exit code and what was said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "scalab", "backend", "--once", "--", "sleep", "0"],
        stdout=out, stderr=subprocess.PIPE, check=False, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    return done.returncode, done.stderr


def test_an_interrupt_at_the_last_moment_is_no_defect() -> None:
    """A second ^C may come when nobody watches for signals any more."""
    assert _end_of_group(BaseExceptionGroup("", [KeyboardInterrupt()])) == 130


# --- dry runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["client", "--rate", "5/s", "--duration", "10"], "Load: open loop"),
        (["validate", "--max", "4"], "a doubling must bring 1.8x"),
        (["validate", "--autoscale", "--stages", "1@5s,4@5s"], "Load: closed loop"),
    ],
)
def test_a_dry_run_prints_the_plan_and_starts_nothing(
    scalab: Shell, monkeypatch: pytest.MonkeyPatch, args: list[str], text: str
) -> None:
    monkeypatch.setattr(trio, "run", None)
    ended = scalab(*args, "--dry-run", "--", "sleep", "1")
    assert (ended.code, ended.complaints) == (0, [])
    assert text in ended.out
