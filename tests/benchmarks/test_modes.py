"""Each mode of the benchmarks runs, small, and has a figure for all that it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import modes
import pytest
from lab.processes import part
from lab.table import Row, Table

SMALL = {
    "scaling": "--slots 2 --processes 1 --sleep 0.02 --cycles 5 --starts together",
    "spawn": "--at-once 1 --seconds 0.2",
    "openloop": "--rates 200 --seconds 0.5 --warm-up 0.1",
    "capacity": "--workers 2 40 --waiting 300 3000 --items 300 --rounds 1 --idle 0.2",
    "sizes": "--sizes 1 900 --items 200 --rounds 1",
    "scrape": "--queues 1 5 --scrapes 2",
    "startup": "--rounds 1",
}


@pytest.mark.parametrize("mode", modes.MODES)
def test_a_mode_runs(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    args = [sys.executable, modes.__file__, mode, *SMALL[mode].split(), "--json", str(path)]
    ran = subprocess.run(args, capture_output=True, text=True, check=False, timeout=100)

    assert ran.returncode == 0, ran.stderr
    written = json.loads(path.read_text())["modes"][mode]
    assert written["title"] in ran.stdout
    assert written["rows"]
    for name in written["rows"][0]:
        assert any(row[name] is not None for row in written["rows"]), name


def test_a_part_that_cannot_start_ends_the_benchmark_with_its_reason() -> None:
    with pytest.raises(SystemExit, match=r"scalab frontend .*ended with 2: .*not-an-address"):
        with part("frontend", "q", "--client-addr=not-an-address"):
            pass


def test_no_part_outlives_the_benchmark() -> None:
    local = [f"--{name}-addr=127.0.0.1:0" for name in ("client", "worker", "metrics")]
    with pytest.raises(ZeroDivisionError):
        with part("frontend", "q", *local) as running:
            raise ZeroDivisionError

    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_a_table_aligns_text_to_the_left_and_numbers_to_the_right() -> None:
    columns = {"what": "", "per s": ",.1f"}
    rows: list[Row] = [{"what": "a", "per s": 1234.56}, {"what": "longer"}]

    assert str(Table("Title", columns, rows, ("Note.",))).splitlines() == [
        *("Title", "", "what      per s", "a       1,234.6", "longer        -", "", "Note."),
    ]
