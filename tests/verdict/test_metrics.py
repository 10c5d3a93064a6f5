"""Figures by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import Interval
from scalab.measure.window import Window
from scalab.verdict.families import FAILURES, FAMILIES, TIMES, Metric
from scalab.verdict.metrics import parse_metric, resolve

from .windows import counted, place, times, window

DOCS = Path(__file__).parents[2] / "docs"


def value_of(name: str, of: Window, **where: str) -> float | None:
    return resolve(parse_metric(name), of, **where)


def all_names() -> list[str]:
    """Every metric, with some percentiles."""
    names = []
    for form in FAMILIES:
        found = [form.replace("pN", p) for p in ("p50", "p99.9", "p100")]
        for word, words in (("TIME", TIMES), ("KIND", FAILURES)):
            found = [name.replace(word, w) for name in found for w in words]
        names += found
    return sorted(set(names))


FULL = counted(
    80,
    sent=100,
    succeeded=70,
    failures={"timeout": 6, "lost": 4},
    dropped=25,
    held=10,
    aborted=5,
    attempts_max=2,
    total=times(1, 2, 3, 4, n=20),
    wait=times(0.5, n=80),
    run=times(1, n=80),
    overhead=times(0.5, n=80),
    corrected=times(2, n=80),
    delay=times(0.25, n=80),
    devices={"a": place(30, 1.0, failed=3), "b": place(10, 2.0)},
    nodes={"n": place(40)},
    pods={"p": place(40)},
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p50(total)", 2),
        ("p75(total)", 3),
        ("p76(total)", 4),
        ("p100(total)", 4),
        ("min(total)", 1),
        ("mean(total)", 2.5),
        ("max(total)", 4),
        ("p99.9(wait)", 0.5),
        ("p95(run)", 1),
        ("mean(overhead)", 0.5),
        ("p99(corrected)", 2),
        ("max(delay)", 0.25),
        ("overhead", 0.25),
        ("failures", 10 / 80),
        ("failures(timeout)", 6 / 80),
        ("failures(rejected)", 0),
        ("rate", 8),
        ("goodput", 7),
        ("completed", 80),
        ("failed", 10),
        ("dropped", 25),
        ("held", 10),
        ("aborted", 5),
        ("attempts", 2),
        ("fairness", 40**2 / (2 * (30**2 + 10**2))),
    ],
)
def test_values(name: str, value: float) -> None:
    found = value_of(name, window(FULL, every_s=10))
    assert found == pytest.approx(value, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "share"),
    [("failed", 10 / 80), ("dropped", 25 / 125), ("held", 10 / 100), ("aborted", 5 / 100)],
)
def test_counts_as_shares(name: str, share: float) -> None:
    metric = Metric(name, FAMILIES[name], as_share=True)
    assert metric.kind == "share"
    assert resolve(metric, window(FULL)) == pytest.approx(share)
    assert resolve(metric, window(Aggregate())) is None


def test_nothing_counted_is_no_data_but_for_counts_and_rates() -> None:
    with_data = {name for name in all_names() if value_of(name, window(Aggregate())) is not None}
    assert with_data == {"rate", "goodput", "completed", "failed", "dropped", "held", "aborted"}
    assert value_of("rate", window(Aggregate())) == 0
    assert value_of("rate", Window()) is None


def test_every_metric_has_a_value_with_data() -> None:
    of = window(FULL)
    assert [name for name in all_names() if value_of(name, of) is None] == []


def test_parts_of_a_window() -> None:
    of = window(FULL, every_s=10)
    slow = counted(20, total=9.0)
    of.add(Interval(from_s=10, to_s=20, queues={"other": slow}))
    assert value_of("max(total)", of, queue="other") == pytest.approx(9)
    assert value_of("max(total)", of, queue="media") == pytest.approx(4)
    assert value_of("max(total)", of) == pytest.approx(9)
    assert value_of("rate", of, queue="other") == pytest.approx(1)
    assert value_of("p50(run)", of, device="b") == pytest.approx(2, rel=0.03)
    assert value_of("failures", of, device="a") == pytest.approx(0.1)
    assert value_of("rate", of, device="a") == pytest.approx(1.5)
    assert value_of("goodput", of, device="a") == pytest.approx(27 / 20)
    assert value_of("completed", of, node="n") == 40
    assert value_of("failed", of, pod="p") == 0


@pytest.mark.parametrize("where", ["queue", "node", "device", "pod"])
def test_an_unknown_part_has_no_data(where: str) -> None:
    assert value_of("completed", window(FULL), **{where: "nosuch"}) is None


def test_fairness_is_that_of_pods_where_no_device_is_named() -> None:
    pods = {"p": place(10), "q": place(10), "(others)": place(90)}
    assert value_of("fairness", window(counted(110, pods=pods))) == pytest.approx(1)


@given(
    seconds=st.lists(st.integers(1, 10**7).map(lambda us: us / 1e6), min_size=1, max_size=60),
    q=st.decimals("0.001", 100, places=3),
)
def test_any_percentile_comes_from_the_histogram(seconds: list[float], q: object) -> None:
    histogram = times(*seconds)
    found = value_of(f"p{q}(total)", window(counted(len(seconds), total=histogram)))
    assert found == histogram.percentile(float(str(q)))


@pytest.mark.parametrize("name", all_names())
def test_names_are_canonical(name: str) -> None:
    metric = parse_metric(name)
    assert metric.name == name
    assert parse_metric(metric.name) == metric


@pytest.mark.parametrize(
    ("text", "name"),
    [("p99.90(total)", "p99.9(total)"), ("p050(run)", "p50(run)"), ("max ( wait )", "max(wait)")],
)
def test_other_ways_to_write_a_name(text: str, name: str) -> None:
    assert parse_metric(text) == parse_metric(name)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("fairnes", "there is no metric 'fairnes'; did you mean fairness"),
        ("p97(totl)", "did you mean p97(total)"),
        ("p95", "p95 of what? write p95(total), p95(wait)"),
        ("max", "max of what? write max(total)"),
        ("failures(time)", "did you mean failures(timeout)"),
        ("failures(run)", "there is no metric 'failures(run)'"),
        ("p95(timeout)", "there is no metric 'p95(timeout)'"),
        ("rate(total)", "there is no metric 'rate(total)'"),
        ("p0(total)", "p0(total): a percentile is above 0 and at most 100"),
        ("p100.1(total)", "a percentile is above 0"),
        ("zzzzz", "known: pN(TIME), min(TIME)"),
        ("\x1b[2J", r"there is no metric '\x1b[2J'"),
        ("", "there is no metric ''"),
    ],
)
def test_what_is_no_metric(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        parse_metric(text)


def test_what_only_an_open_loop_has() -> None:
    only = {name for name in all_names() if parse_metric(name).open_loop}
    assert {"dropped", "held", "max(delay)", "p50(corrected)"} <= only
    assert all(re.search(r"corrected|delay|dropped|held", name) for name in only)


def test_values_as_people_read_them() -> None:
    read = {
        name: parse_metric(name).read(value)
        for name, value in (("max(run)", 0.5), ("failures", 0.001), ("rate", 50), ("failed", 1234))
    }
    assert read == {"max(run)": "500 ms", "failures": "0.10 %", "rate": "50.0/s", "failed": "1,234"}
    assert parse_metric("fairness").read(0.98765) == "0.988"


def test_the_documented_metrics_are_those_there_are() -> None:
    text = (DOCS / "thresholds.md").read_text()
    table = text.split("| metric |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    loops = {True: "open loop only", False: ""}
    assert rows == [
        [
            f"`{family.form}`",
            family.kind,
            family.better,
            "run times only" * ("TIME" in family.form) or "yes" * family.per_place,
            family.meaning + ("; " + loops[True]) * family.open_loop,
        ]
        for family in FAMILIES.values()
    ]
