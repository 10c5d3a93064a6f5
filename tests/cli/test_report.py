"""``scalab report``: what it writes, where to, and how it ends."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from scalab.cli.app import run
from scalab.load.toml import parse_scenario
from scalab.verdict.checks import CHECKS
from scalab.verdict.results import Checked, Judged
from tests.report.sample_runs import OPEN, THRESHOLDS, write_run

OK, USAGE, FAILURES, INVALID = 0, 2, 4, 6
SLOW = Judged(expression="p95(total) < 2", ok=False, value="3.1 s")
BAD = Checked(name="client-cpu", state="invalid", text="the client took 0.97 of a core")


class Shell:
    """Runs commands in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *args: str) -> tuple[int, str, str]:
        code = run(list(args))
        return code, *self._capfd.readouterr()


@pytest.fixture
def scalab(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "100")
    return Shell(capfd)


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    return write_run(tmp_path / "run.jsonl")


# --- formats -----------------------------------------------------------------------------------


def test_text_is_what_a_terminal_gets(scalab: Shell, recorded: str) -> None:
    code, out, err = scalab("report", recorded)
    assert (code, err) == (FAILURES, "")
    lines = out.splitlines()
    assert lines[0].startswith("run 7f3a91c2 · media · 2026-11-24 11:00:00 UTC")
    assert "  ✗ failures < 0.1%  1.02 %" in lines


def test_json_csv_and_junit(scalab: Shell, recorded: str) -> None:
    assert json.loads(scalab("report", recorded, "--format", "json")[1])["report"] == 1
    rows = list(csv.DictReader(scalab("report", recorded, "-f", "csv")[1].splitlines()))
    assert len(rows) == 20
    out = scalab("report", recorded, "-f", "csv", "--table", "devices")[1]
    assert len(list(csv.DictReader(out.splitlines()))) == 4
    suites = ET.fromstring(scalab("report", recorded, "--format", "junit")[1].encode())
    assert suites.get("failures") == "1"


def test_html_is_a_file_beside_the_run(scalab: Shell, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.gz"):
        write_run(tmp_path / name)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    for name, page in (("a.jsonl", "a.html"), ("b.jsonl.gz", "b.html")):
        code, out, _ = scalab("report", str(tmp_path / name), "--format", "html")
        assert (code, out) == (FAILURES, f"{tmp_path / page}\n")
        assert (tmp_path / page).read_text().lower().startswith("<!doctype html>")
    _, out, _ = scalab("report", str(packed), "--format", "html", "-o", "-")
    assert out.lower().startswith("<!doctype html>")


def test_a_scenario_to_run_it_again(scalab: Shell, tmp_path: Path) -> None:
    recorded = write_run(tmp_path / "run.jsonl", OPEN, seconds=40)
    code, out, err = scalab("report", recorded, "--format", "scenario")
    assert (code, err) == (OK, "")
    scenario = parse_scenario(out, "again.toml", read_csv=lambda path: Path(path).read_text())
    assert (scenario.load, scenario.seed) == (OPEN, 42)


def test_several_clients_are_merged(scalab: Shell, tmp_path: Path) -> None:
    files = [write_run(tmp_path / f"{n}.jsonl", run_id=f"0000000{n}") for n in range(2)]
    found = json.loads(scalab("report", *files, "--format", "json")[1])
    assert found["statistics"]["completed"] == 1800
    assert [part["id"] for part in found["run"]["parts"]] == ["00000000", "00000001"]
    assert {check["name"] for check in found["checks"]} == {check.name for check in CHECKS}


# --- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "checks", "expected"),
    [
        (THRESHOLDS[:1], (), OK),
        (THRESHOLDS, (), FAILURES),
        (THRESHOLDS[:1], (BAD,), INVALID),
        ((SLOW,), (BAD,), INVALID),
        (THRESHOLDS, (BAD,), FAILURES),  # that requests failed is true anyhow
        ((), (BAD,), OK),
    ],
)
def test_the_exit_code_is_that_of_the_run(
    scalab: Shell,
    tmp_path: Path,
    thresholds: tuple[Judged, ...],
    checks: tuple[Checked, ...],
    expected: int,
) -> None:
    recorded = write_run(tmp_path / "run.jsonl", thresholds=thresholds, checks=checks)
    for form in ("text", "json"):
        assert scalab("report", recorded, "--format", form)[0] == expected


def test_other_thresholds(scalab: Shell, recorded: str) -> None:
    code, out, _ = scalab("report", recorded, "--threshold", "failures < 5 %")
    assert code == OK
    assert "✓ failures < 5%  1.0" in out
    assert "p95(total)" not in out
    code, out, _ = scalab("report", recorded, "-t", "failures < 5 %", "-t", "p50(run)<10ms")
    assert code == FAILURES
    assert "FAILED 1 of 2 thresholds crossed" in out


def test_a_killed_client(scalab: Shell, tmp_path: Path) -> None:
    recorded = write_run(tmp_path / "run.jsonl", ended=False)
    code, out, _ = scalab("report", recorded)
    assert code == OK
    assert "no end was recorded after 20.0 s" in out
    assert "none were made" not in out  # they are made now


# --- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--table", "devices"], "--table is of --format csv"),
        (["--format", "pdf"], "--format"),
        (["--table", "moons", "--format", "csv"], "--table"),
        (["-t", "p95(total)"], "threshold 'p95(total)'"),
        (["-t", "p95(corrected) < 1s"], "closed loop"),
        (["-f", "json", "-o", "/no/such/folder/x"], "can't write '/no/such/folder/x': No such"),
        (["-f", "json", "-o", "/"], "can't write '/': Is a directory"),
    ],
)
def test_a_mistake_is_one_line(scalab: Shell, recorded: str, options: list[str], text: str) -> None:
    code, out, err = scalab("report", recorded, *options)
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert text in err


def test_a_file_that_is_none(scalab: Shell, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    for args in ([str(tmp_path / "x")], [str(tmp_path / "nosuch")]):
        code, out, err = scalab("report", *args)
        assert (code, out, err.count("\n")) == (USAGE, "", 1)
        assert args[0] in err
    assert scalab("report")[0] == USAGE


# --- where to ----------------------------------------------------------------------------------


def test_the_run_is_not_overwritten(scalab: Shell, recorded: str, tmp_path: Path) -> None:
    before = Path(recorded).read_bytes()
    (tmp_path / "link").symlink_to(recorded)
    page = tmp_path / "odd.html"
    page.write_bytes(before)
    for args in ([recorded, "-o", recorded], [recorded, "-o", str(tmp_path / "link")],
                 [str(page), "--format", "html"]):  # fmt: skip
        code, _, err = scalab("report", *args)
        assert code == USAGE
        assert "is the run file itself" in err
    assert Path(recorded).read_bytes() == page.read_bytes() == before


def test_a_file_is_written_whole_or_not_at_all(
    scalab: Shell, recorded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.txt"
    target.write_text("before")
    full = OSError(28, "No space left on device")

    def write_some(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_some)
        code, _, err = scalab("report", recorded, "-o", str(target))
    assert code == USAGE
    assert err == f"scalab: can't write '{target}': No space left on device\n"
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.txt", "run.jsonl"]

    assert scalab("report", recorded, "-o", str(target))[0] == FAILURES
    assert target.read_text().startswith("run 7f3a91c2 · media")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.txt", "run.jsonl"]


def test_links_and_devices_stay_what_they_are(scalab: Shell, recorded: str, tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    scalab("report", recorded, "-f", "json", "-o", str(link))
    assert link.is_symlink()
    assert json.loads(target.read_text())["report"] == 1

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        scalab("report", recorded, "-f", "csv", "--table", "errors", "-o", str(pipe))
        assert os.read(reader, 1000) == b"count,error\n9,device lost\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
