"""The regression guard: its figures are those of the code, and it tells what has grown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import guard
import pytest


def test_items_cost_no_more_than_the_baseline() -> None:
    # A process of its own: nothing of other tests is in it.
    ran = subprocess.run(
        [sys.executable, guard.__file__], capture_output=True, text=True, check=False, timeout=100
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "frontend, classic peers" in ran.stdout


@pytest.mark.parametrize("name", ["calls", "syscalls", "bytes held"])
def test_more_than_the_tolerance_is_told_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(guard.baseline_of({"part": {name: 35.0}})))
    most = 35.0 * (1 + guard.TOLERANCE)

    assert guard.judge({"part": {name: most - 0.01}}, path) == 0
    assert "All within" in capsys.readouterr().out

    assert guard.judge({"part": {name: most + 0.01}}, path) == 1
    told = capsys.readouterr().out
    assert f"{name} per item, baseline 35" in told
    assert "guard.py --renew" in told


def test_less_is_told_and_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(guard.baseline_of({"part": {"calls": 35.0}})))

    assert guard.judge({"part": {"calls": 20.0}}, path) == 0
    assert "Better. Hold the gain" in capsys.readouterr().out


def test_what_depends_on_python_is_compared_on_the_same_only() -> None:
    figures = {"part": {"calls": 35.0, "syscalls": 2.0}}
    baseline = {**guard.baseline_of(figures), "python": "3.0"}

    assert not list(guard.compare({"part": {"calls": 70.0, "syscalls": 2.0}}, baseline))
    assert list(guard.compare({"part": {"calls": 35.0, "syscalls": 3.0}}, baseline))


def test_what_has_no_counterpart_fails() -> None:
    baseline = guard.baseline_of({"gone": {"calls": 35.0}})

    assert list(guard.compare({"new": {"calls": 35.0}}, baseline)) == [
        (True, "gone: calls is no longer counted"),
        (True, "new: calls has no baseline"),
    ]


def test_without_a_baseline_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"doesn't exist; make it: .* --renew"):
        guard.judge({}, tmp_path / "none.json")
