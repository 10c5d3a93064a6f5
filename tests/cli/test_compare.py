"""``scalab compare``: the verdict on two runs, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalab.verdict.results import Checked
from tests.cli.test_report import Shell, scalab
from tests.report.sample_runs import OPEN, write_run

__all__ = ["scalab"]  # the fixture

OK, USAGE, WORSE, CANT_TELL, INVALID = 0, 2, 3, 5, 6


@pytest.fixture
def base(tmp_path: Path) -> str:
    return write_run(tmp_path / "a.jsonl", OPEN, seconds=32, run_id="aaaaaaaa", failing=False)


def other(tmp_path: Path, **options: object) -> str:
    given = {"seconds": 32, "run_id": "bbbbbbbb", "failing": False} | options
    return write_run(tmp_path / "b.jsonl", OPEN, **given)


def test_the_same(scalab: Shell, base: str, tmp_path: Path) -> None:
    code, out, err = scalab("compare", base, other(tmp_path), "--tolerance", "8%")
    assert (code, err) == (OK, "")
    assert out.splitlines()[1].startswith("The same")
    assert "total p95 *" in out


def test_worse(scalab: Shell, base: str, tmp_path: Path) -> None:
    code, out, _ = scalab("compare", base, other(tmp_path, per_second=40))
    assert code == WORSE
    assert out.splitlines()[1].startswith("Worse: rate")


def test_too_short_to_tell(scalab: Shell, base: str, tmp_path: Path) -> None:
    code, out, _ = scalab("compare", base, other(tmp_path, seconds=4))
    assert code == CANT_TELL
    assert "measured for 30.0 s → 2.00 s" in out


def test_invalid(scalab: Shell, base: str, tmp_path: Path) -> None:
    bad = Checked(name="client-cpu", state="invalid", text="the client took 0.97 of a core")
    code, out, _ = scalab("compare", base, other(tmp_path, checks=(bad,)))
    assert code == INVALID
    assert "B by client-cpu" in out
    assert "the client took 0.97 of a core" in out


def test_other_formats(scalab: Shell, base: str, tmp_path: Path) -> None:
    b = other(tmp_path, per_second=40)
    code, out, _ = scalab("compare", base, b, "--format", "json")
    assert (code, json.loads(out)["exit_code"]) == (WORSE, WORSE)
    page = tmp_path / "comment.md"
    code, out, _ = scalab("compare", base, b, "--format", "markdown", "-o", str(page))
    assert (code, out) == (WORSE, "")
    assert page.read_text().startswith("**Worse: rate")
    scalab("compare", base, b, "-o", str(page))
    assert page.read_text().startswith("A: run aaaaaaaa of")


def test_several_clients_of_one_run(scalab: Shell, base: str, tmp_path: Path) -> None:
    more = write_run(tmp_path / "a2,x.jsonl", OPEN, seconds=32, run_id="cccccccc", failing=False)
    _, out, _ = scalab("compare", base, more, "--format", "json")
    assert json.loads(out)["b"]["completed"] == 1500  # one file, whose name has a comma
    second = tmp_path / "a2.jsonl"
    Path(more).rename(second)
    _, out, _ = scalab("compare", f"{base},{second}", other(tmp_path), "--format", "json")
    found = json.loads(out)
    assert (found["a"]["completed"], found["b"]["completed"]) == (3000, 1500)
    assert found["metrics"][0]["verdict"] == "worse"


@pytest.mark.parametrize("tolerance", ["0", "5", "100%", "-1%", "x", "nan", "1e-3", ""])
def test_a_tolerance_that_is_none(scalab: Shell, base: str, tolerance: str) -> None:
    code, out, err = scalab("compare", base, base, f"--tolerance={tolerance}")
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert "--tolerance" in err


@pytest.mark.parametrize(("written", "share"), [("0.2", "20"), ("20%", "20"), (" .2 ", "20")])
def test_tolerances(scalab: Shell, base: str, tmp_path: Path, written: str, share: str) -> None:
    code, out, _ = scalab("compare", base, other(tmp_path), "--tolerance", written)
    assert code == OK
    assert share in out.splitlines()[1] or f"0.{share[0]}" in out.splitlines()[1]


def test_a_missing_file(scalab: Shell, base: str) -> None:
    code, out, err = scalab("compare", base, "/no/such/file")
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert "/no/such/file" in err
    assert scalab("compare", base, ",")[0] == USAGE
