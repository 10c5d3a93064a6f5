"""The page about the run file, against what is written and read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import orjson
import pytest

import scalab
from scalab.load.phases import LIVE_STAGE
from scalab.measure.aggregate import Aggregate, PlaceAggregate
from scalab.measure.interval import PHASES, Interval
from scalab.runfile.codec import encode_record
from scalab.runfile.counted import histogram_json
from scalab.runfile.reading import read_run
from scalab.runfile.records import FORMAT, End, Environment, Event, Header
from tests.runfile.samples import a_header, a_run, an_interval, write

PAGE = (Path(scalab.__file__).parent.parent / "docs" / "run-file.md").read_text()
TABLES = [
    re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    for table in re.findall(r"^\| key \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
]


def names(cls: type[attrs.AttrsInstance]) -> list[str]:
    return [field.name for field in attrs.fields(cls)]


def test_all_keys_are_on_the_page() -> None:
    header, event, interval, aggregate, place, histogram, end = TABLES

    assert header == names(Header)
    assert event == names(Event)
    assert interval == names(Interval)
    assert set(aggregate) == set(names(Aggregate))
    assert place == names(PlaceAggregate)
    assert histogram == list(histogram_json(an_interval(0, n=9).whole.total))
    assert end == names(End)


def test_inner_keys_are_on_the_page() -> None:
    fields = orjson.loads(encode_record(a_header()))
    scenario = fields["scenario"]
    inner = {*scenario, *scenario["queues"][0], *scenario["load"]["stages"][0], "loop"}

    assert {key for key in inner | set(names(Environment)) if f"`{key}`" not in PAGE} == set()


def test_words_are_on_the_page() -> None:
    assert {phase for phase in PHASES if f"`{phase}`" not in PAGE} == set()
    assert f"version of this format: {FORMAT} |" in PAGE
    assert f"{LIVE_STAGE} when the level was set live" in PAGE


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_python_example_reads_a_run(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", a_run(30, n=20))
    total = read_run(path).measured.whole.total
    (code,) = blocks("python")

    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    mean, p95 = map(float, re.findall(r"[\d.]+(?= s)", shown))
    assert mean == pytest.approx(total.mean_s, abs=0.001)
    assert p95 == pytest.approx(total.percentile(95), rel=0.002)


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
def test_the_jq_examples_read_a_run(tmp_path: Path) -> None:
    intervals = [an_interval(float(i), n=9) for i in range(3)]
    write(tmp_path / "run.jsonl", [a_header(), *intervals, an_interval(3.0, 3.0)])
    rates, devices, _ = blocks("sh")

    lines = [line.split() for line in _run(rates, tmp_path).splitlines()]
    assert [(float(at), phase, float(rate)) for at, phase, rate in lines] == [
        *((0, "measure", 9), (1, "measure", 9), (2, "measure", 9))
    ]
    assert _run(devices, tmp_path).splitlines() == ["renderD128 15", "renderD129 12"]


def _run(script: str, folder: Path) -> str:
    command = ["sh", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
