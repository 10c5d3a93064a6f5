"""The benchmark against peers: its figures, its table, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import peers
import pytest
from peers_lab import environment
from peers_lab.environment import NotThereError, find_server, prepare
from peers_lab.processes import INTERRUPTS, Part, PartError, Stage
from peers_lab.programs.window import Window as Loop, ask_by_threads, quantiles
from peers_lab.rounds import Sample, _mark, run_round
from peers_lab.systems import SYSTEMS, System, Window
from peers_lab.table import Case, as_json, make_table, ratios

BY_NAME = {system.name: system for system in SYSTEMS}
SHORT = Window(in_flight=4, warm_up_s=0.5, seconds=1.5)


def sample(per_s: float, *, others_cores: float = 0.0) -> Sample:
    return Sample(
        per_s=per_s,
        p50_s=0.001,
        p99_s=0.002,
        cpu_s={"broker": 0.01, "worker": 0.02, "client": 0.04},
        pss_mib=100,
        rss_mib=150,
        others_cores=others_cores,
    )


def case(name: str, *per_s: float | None, in_flight: int = 256, why: str = "") -> Case:
    samples = [None if rate is None else sample(rate) for rate in per_s]
    return Case(BY_NAME[name], in_flight, samples, why)


# --- figures -----------------------------------------------------------------------------------


def test_the_table_has_medians_and_ratios_of_the_same_round() -> None:
    cases = [
        case("scalab", 300, 200, 1000),
        case("nats", 100, 100, 100),
        case("scalab", 50, 50, 50, in_flight=1),
        case("nats", 100, 100, 100, in_flight=1),
        case("rq", 10, 10, 10, in_flight=8),
    ]

    ours, nats, _, nats_alone, rq = make_table(cases).rows

    assert ours["requests/s"] == 300
    assert ours["min..max"] == "200..1,000"
    assert "scalab/peer" not in ours
    assert ours["CPU s/1000"] == pytest.approx(0.07)
    assert ours["broker"] == 0.01
    assert ours["memory MiB"] == 100
    assert nats["scalab/peer"] == 3
    assert nats_alone["scalab/peer"] == 0.5
    assert rq["scalab/peer"] == 30


def test_ratios_leave_out_rounds_that_one_side_has_not() -> None:
    assert ratios([sample(10), None, sample(30)], [sample(5), sample(5), None]) == [2]


def test_what_was_not_measured_is_named_and_has_no_figures() -> None:
    cases = [
        case("scalab", 100, 100),
        case("nats", why="nats-server is not on PATH"),
        case("nats", in_flight=1, why="nats-server is not on PATH"),
        case("celery", None, None, why="it ended"),
        case("rq", 10, None, why="it hung"),
    ]

    table = make_table(cases)

    assert [row["rounds"] for row in table.rows] == ["2/2", "LEFT OUT", "LEFT OUT", "0/2", "1/2"]
    assert [row.get("requests/s") for row in table.rows] == [100, None, None, None, 10]
    assert table.notes[:3] == (
        "LEFT OUT nats: nats-server is not on PATH",
        "FAILED celery: it ended",
        "INCOMPLETE rq: it hung",
    )
    assert [one.complete for one in cases] == [True, False, False, False, False]


def test_a_machine_that_is_not_quiet_is_told_of() -> None:
    busy = Case(BY_NAME["scalab"], 256, [sample(100, others_cores=0.3)])

    assert "NOT QUIET: other programs took up to 0.30 cores; measure again." in str(
        make_table([busy])
    )
    assert "NOT QUIET" not in str(make_table([case("scalab", 100)]))


def test_raw_figures_of_every_round_are_kept() -> None:
    raw = json.loads(json.dumps(as_json([case("scalab", 100, None, why="it ended")])))

    assert raw[0]["rounds"][0]["per_s"] == 100
    assert raw[0]["rounds"][1] is None
    assert raw[0]["why_incomplete"] == "it ended"


def test_quantiles() -> None:
    assert quantiles([float(n) for n in range(100)]) == {"p50_s": 50, "p99_s": 99}
    assert quantiles([7.0]) == {"p50_s": 7, "p99_s": 7}
    assert quantiles([]) == {}


def test_a_window_counts_what_ends_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    loop = Loop(in_flight=2, warm_up_s=0.02, seconds=0.05)

    ask_by_threads(loop, lambda: time.sleep(0.001))

    begin, end, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert [begin["mark"], end["mark"], result["mark"]] == ["begin", "end", "result"]
    assert 0.001 <= result["p50_s"] <= result["p99_s"]
    assert result["requests"] > 0


def test_a_failed_request_ends_the_client() -> None:
    loop = Loop(in_flight=1, warm_up_s=0.01, seconds=0.01)
    answers = iter([None, None])  # one answer to connect, one in the loop

    with pytest.raises(StopIteration):
        ask_by_threads(loop, lambda: next(answers))
    loop._thread.join()


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        (b'{"mark": "begin"}', "begin"),
        (b'{"mark": "end"}', "end"),
        (b'{"mark": "result", "requests": 1}', ""),
        (b'{"type":"interval","to_s":1.0,"phase":"warm-up"}', ""),
        (b'{"type":"interval","to_s":2.001,"phase":"warm-up"}', "begin"),
        (b'{"type":"interval","to_s":3.0,"phase":"measure"}', ""),
        (b'{"type":"interval","to_s":7.0,"phase":"drain"}', "end"),
        (b'{"type":"end","at_s":7.1}', "end"),
        (b"Time per request", ""),
    ],
)
def test_marks_of_the_window(line: bytes, mark: str) -> None:
    assert _mark(line, Window(in_flight=1, warm_up_s=2, seconds=5)) == mark


# --- processes ---------------------------------------------------------------------------------

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork() or os.setpgid(0, 0)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, os.environ) as stage:
        yield stage


def start(stage: Stage, code: str) -> Part:
    return stage.start("worker", sys.executable, "-c", code)


def left_of(session: int) -> list[str]:
    """What still runs of a session."""
    fields = [
        path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")
    ]
    return [one[0] for one in fields if one[3] == str(session) and one[0] != "Z"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_processes_that_ignore_sigterm_are_ended_with_what_they_fork(
    tmp_path: Path, interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peers_lab.processes.LEAVE_S", 0.5)
    stage = Stage(tmp_path, os.environ)
    part = start(stage, STUBBORN)
    stage.ready(part, "ready", 2)
    assert len(left_of(part.process.pid)) == 2
    if interrupted:  # a second ^C, while all are being ended
        end = stage._end

        def interrupted_end() -> None:
            signal.raise_signal(signal.SIGINT)
            end()

        monkeypatch.setattr(stage, "_end", interrupted_end)
        with pytest.raises(KeyboardInterrupt), stage:
            pass
    else:
        with stage:
            pass

    assert left_of(part.process.pid) == []
    assert part.process.returncode == -signal.SIGKILL


def test_cpu_time_of_children_that_have_ended_counts(stage: Stage) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
    part = start(stage, code + "print('ready', flush=True)\ntime.sleep(600)")
    stage.ready(part, "ready")

    usage = stage.usage()

    assert usage.cpu_s["worker"] >= 0.3
    assert 0 < usage.pss_bytes <= usage.rss_bytes


def test_a_process_that_ends_is_told_of_with_its_last_words(stage: Stage) -> None:
    part = start(stage, "import sys\nsys.exit('no such queue')")

    with pytest.raises(PartError, match="ended with 1: no such queue"):
        stage.ready(part, "ready")
    with pytest.raises(PartError, match="nonsense can't be started"):
        stage.start("worker", "/nonexistent/nonsense")


@pytest.mark.parametrize("name", ["scalab", "scalab-client", "scalab-classic"])
def test_a_round_of_our_own(name: str) -> None:
    result = run_round(BY_NAME[name], SHORT, Path(sys.executable), "")

    assert result.per_s > 0
    assert 0 < result.p50_s <= result.p99_s
    assert result.cpu_s.keys() == {"broker", "worker", "client"}
    assert result.pss_mib > 10


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def _signals() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in INTERRUPTS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("_signals")
def test_one_peer_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def round_of(system: System, *_: object) -> Sample:
        if system.name == "scalab-classic":
            raise PartError("it ended")
        return sample(100)

    monkeypatch.setattr(peers, "run_round", round_of)
    path = tmp_path / "figures.json"

    code = peers.main(["--peers", "scalab-classic", "--rounds", "2", "--json", str(path)])

    assert code == 1
    assert "FAILED scalab-classic: it ended" in capsys.readouterr().out
    raw = json.loads(path.read_text())
    assert {one["system"]: len(one["rounds"]) for one in raw["cases"]} == {
        "scalab": 2,
        "scalab-classic": 2,
    }
    assert raw["options"]["rounds"] == 2


@pytest.mark.usefixtures("_signals")
def test_an_interrupt_shows_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = iter([sample(100)])

    def round_of(*_: object) -> Sample:
        for one in rounds:
            return one
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError

    monkeypatch.setattr(peers, "run_round", round_of)

    assert peers.main(["--peers", "scalab"]) == 130
    assert "LEFT OUT scalab: interrupted before its turn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rounds", "0"], "invalid positive int value: '0'"),
        (["--seconds", "nan"], "invalid positive float value: 'nan'"),
        (["--peers", "nonsense"], "invalid choice: 'nonsense'"),
        (["--json", "/nonexistent/file"], "--json /nonexistent/file: No such file or directory"),
    ],
)
def test_bad_options(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        peers.main(arguments)
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_a_server_that_lacks_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(environment.SERVERS, "no-such-server", "apt-get install it")

    with pytest.raises(NotThereError, match="no-such-server is not on PATH: apt-get install it"):
        find_server("no-such-server")


def test_an_environment_that_can_not_be_made_is_told_of() -> None:
    with pytest.raises(NotThereError, match="can't be made in /proc/nonexistent/peers-"):
        prepare(Path("/proc/nonexistent"))
