"""What is asked of a run's result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.measure.aggregate import Aggregate
from scalab.measure.interval import Interval
from scalab.measure.window import Window
from scalab.verdict.thresholds import (
    MAX_NAME,
    MAX_TEXT,
    OPERATORS,
    Threshold,
    crossed,
    judge,
    judge_all,
)
from tests.strategies import texts

from .test_metrics import all_names
from .windows import counted, place, times, window

PAGE = (Path(__file__).parents[2] / "docs" / "thresholds.md").read_text()


def parse(text: str) -> Threshold:
    return Threshold.parse(text)


def judged(text: str, of: Window) -> tuple[bool, str]:
    result = judge(parse(text), of)
    assert result.expression == str(parse(text))
    return result.ok, result.value


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("p95(total)<2", "p95(total) < 2s"),
        ("  p95 ( total )  <=  0.5  ", "p95(total) <= 500ms"),
        ("p95(run){device=renderD128} <= 500ms", "p95(run){device=renderD128} <= 500ms"),
        ('p95(run){ device = "renderD128" }<1m', "p95(run){device=renderD128} < 1m"),
        (r'rate{queue="a \"b\" \\ {c}"}>1', r'rate{queue="a \"b\" \\ {c}"} > 1/s'),
        ("rate{queue=a b}>1", "rate{queue=a b} > 1/s"),
        ("max(run){device=*}<1h", "max(run){device=*} < 1h"),
        ("failures<0.1%", "failures < 0.1%"),
        ("failures < 0.1 %", "failures < 0.1%"),
        ("failures < 0.001", "failures < 0.1%"),
        ("failures < 100%", "failures < 100%"),
        ("failures(timeout) <= 0", "failures(timeout) <= 0%"),
        ("rate>=50", "rate >= 50/s"),
        ("rate >= 3000/min", "rate >= 50/s"),
        ("rate >= 1000/min", "rate >= 1000/min"),
        ("dropped < 10", "dropped < 10"),
        ("dropped < 1%", "dropped < 1%"),
        ("fairness > 0.9", "fairness > 0.9"),
        ("p99.90(corrected) < 2 abort", "p99.9(corrected) < 2s abort"),
        ("failures < 5% abort after 30s", "failures < 5% abort after 30s"),
        ("failures < 5%  abort  after  1 m ", "failures < 5% abort after 1m"),
        ("failures < 5% abort after 0", "failures < 5% abort"),
    ],
)
def test_reading(text: str, canonical: str) -> None:
    threshold = parse(text)
    assert str(threshold) == canonical
    assert parse(canonical) == threshold


names = st.one_of(
    st.just("*"),
    texts(20).filter(lambda text: text.isprintable() and text),
    st.text('ab "\\{}=*', min_size=1, max_size=8),
)
numbers = st.decimals(0, 1, places=12).filter(lambda d: not 0 < d < 1e-5 and d != 1)


@given(
    metric=st.sampled_from(all_names()),
    where=st.one_of(st.none(), names),
    sign=st.sampled_from(list(OPERATORS)),
    number=numbers,
    whole=st.integers(0, 999),
    after=st.one_of(st.none(), st.integers(0, 10**7)),
)
def test_what_is_written_is_read_back(  # noqa: PLR0917 - hypothesis gives them by name
    metric: str, where: str | None, sign: str, number: object, whole: int, after: int | None
) -> None:
    kind = parse_kind(metric)
    limit = whole if kind == "count" else number
    scope = "" if where is None else f"{{queue={quoted(where)}}}"
    abort = "" if after is None or (kind == "count" and ">" in sign) else f" abort after {after}ms"
    threshold = parse(f"{metric}{scope}{sign}{limit:f}{abort}")
    assert threshold.name == (where or "")
    assert threshold.limit == float(str(limit))
    assert threshold.after_s == (after or 0) / 1000 * bool(abort)
    assert parse(str(threshold)) == threshold
    assert str(parse(str(threshold))) == str(threshold)


def quoted(name: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def parse_kind(metric: str) -> str:
    return parse(f"{metric} < 0").metric.kind


@given(st.one_of(texts(60), st.text('p95(total){queue=a}<2.5 %sabort"\\', max_size=40)))
def test_anything_else_is_one_clear_line(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert error.isprintable()
        assert error.startswith("threshold '")
        assert len(error) < 400


def error_of(text: str) -> str | None:
    try:
        parse(text)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("p95(total)<2%", "p95(total) is a duration; 2% is a share: write e.g. 2s or 500ms"),
        ("p95(total)<50/s", "p95(total) is a duration; 50/s is a rate: write e.g."),
        ("failures<2s", "failures is a share; 2s is a duration: write e.g. 0.1% or 0.001"),
        ("rate<2%", "rate is a rate; 2% is a share: write e.g. 50/s or 3000/min"),
        ("completed<5%", "completed is a count; 5% is a share: write e.g. 100"),
        ("fairness>90%", "fairness is a ratio; 90% is a share: write e.g. 0.95"),
        ("failures<1", "failures is a share, and 1 means all: write 1% or 100%"),
        ("failures<5", "failures is at most 1"),
        ("failures<101%", "failures is at most 100%"),
        ("dropped<101%", "dropped is at most 100%"),
        ("fairness>1.1", "fairness is at most 1"),
        ("failed<1.5", "failed is a count; 1.5 is no whole number"),
        ("failed<1.5.2", 'failed is a count; "1.5.2" is none'),
        ("p95(total)<2x", '"2x" is no duration'),
        ("p95(total)<2,5", '"2,5" is no duration'),
        ("p95(total)<-1", "at character 12: expected a number, not '-1'"),
        ("p59(totl)<2", "there is no metric 'p59(totl)'; did you mean p59(total)"),
        ("p95(total) 2", "at character 12: expected <, <=, > or >=, not '2'"),
        ("p95(total)", "at character 11: expected <, <=, > or >=, not the end"),
        ("p95(total) == 2", "'==' is no comparison; write <, <=, > or >="),
        ("p95(total) ≤ 2", "'≤' is no comparison"),
        ("", "at character 1: expected a metric such as p95(total), not the end"),
        ("<2", "expected a metric such as p95(total), not '<2'"),
        ("rate{queu=a}>1", 'there is no "queu"; known: queue, node, device, pod'),
        ("rate{queue=}>1", '"" is no name of a queue'),
        ("rate{queue=\x1b}>1", r'"\x1b" is no name of a queue'),
        ("rate{queue=a>1", "at character 5: expected {queue=NAME}, {node=NAME}"),
        (f"rate{{queue={'x' * (MAX_NAME + 1)}}}>1", "is no name of a queue"),
        ("p95(total){device=a}<2", "p95(total) is not known of a device: only run times"),
        ("fairness{pod=a}>0.5", "fairness is not known of a pod"),
        ("failures(timeout){node=a}<1%", "failures(timeout) is not known of a node"),
        ("rate>1 stop", "'stop' is too much; only abort may follow"),
        ("rate>1 abort soon", "at character 14: expected 'after' and a duration"),
        ("rate>1 abort after", "at character 19: expected a duration such as 30s, not the end"),
        ("rate>1 abort after all", 'after: "all" is no duration'),
        ("completed>=10 abort", "completed only grows: it can't be too low before the end"),
        ("x" * (MAX_TEXT + 1), f"longer than {MAX_TEXT} characters"),
    ],
)
def test_what_is_no_threshold(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        parse(text)


# --- against the run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["rate{queue=media}>1", "rate{queue=*}>1", "p95(total)<2", "max(run){pod=x}<1"]
)
def test_what_a_run_can_tell(text: str) -> None:
    parse(text).check_against(["media"], open_loop=False)


@pytest.mark.parametrize("text", ["p99(corrected)<2", "max(delay)<1", "dropped<1%", "held<1"])
def test_what_needs_a_schedule(text: str) -> None:
    parse(text).check_against(["media"], open_loop=True)
    with pytest.raises(ConfigError, match="needs a schedule, which a closed loop doesn't have"):
        parse(text).check_against(["media"], open_loop=False)


def test_a_queue_that_the_run_does_not_use() -> None:
    with pytest.raises(ConfigError, match="the run has no queue 'medai'; did you mean media"):
        parse("rate{queue=medai}>1").check_against(["media", "sleep"], open_loop=True)
    with pytest.raises(ConfigError, match="no queue 'x'; its queues: media, sleep"):
        parse("rate{queue=x}>1").check_against(["media", "sleep"], open_loop=True)


# --- judging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ok", "value"),
    [
        ("max(total) < 2", True, "1.50 s"),
        ("max(total) < 1.5", False, "1.50 s"),
        ("max(total) <= 1.5", True, "1.50 s"),
        ("max(total) > 1.5", False, "1.50 s"),
        ("max(total) >= 1.5", True, "1.50 s"),
        ("failures < 10%", False, "10.0 %"),
        ("failures <= 10%", True, "10.0 %"),
        ("rate >= 600/min", True, "10.0/s"),
        ("goodput >= 10", False, "9.00/s"),
        ("completed >= 100", True, "100"),
        ("failed < 10", False, "10"),
        ("failed < 11%", True, "10.0 %"),
        ("attempts <= 1", False, "2"),
        ("p95(corrected) < 2", False, "no data"),
        ("rate{queue=media} >= 10", True, "10.0/s"),
        ("rate{queue=nosuch} >= 0", False, "no data"),
        ("p95(run){device=nosuch} < 2", False, "no data"),
        ("failed{device=nosuch} < 2", False, "no data"),
        ("max(run){device=*} < 2", False, "no data"),
    ],
)
def test_judging(text: str, ok: bool, value: str) -> None:
    seconds = counted(10, failures={"timeout": 1}, attempts_max=2, total=1.5)
    assert judged(text, window(*[seconds] * 10)) == (ok, value)


DEVICES = counted(
    50, devices={"a": place(10, 1.0), "b": place(30, 2.0), "c": place(10, 1.5, failed=1)}
)


@pytest.mark.parametrize(
    ("text", "ok", "value"),
    [
        ("p50(run){device=*} < 2.1", True, "2.00 s (b)"),
        ("p50(run){device=*} < 1.9", False, "2.00 s (b)"),
        ("p50(run){device=a} < 1.9", True, "1.00 s"),
        ("completed{device=*} >= 10", True, "10 (a)"),
        ("completed{device=*} > 10", False, "10 (a)"),
        ("failures{device=*} < 5%", False, "10.0 % (c)"),
        ("max(total){queue=*} < 2", True, "1.00 s (media)"),
    ],
)
def test_the_worst_of_all_counts(text: str, ok: bool, value: str) -> None:
    assert judged(text, window(DEVICES)) == (ok, value)


def test_one_of_all_without_data_is_the_worst() -> None:
    of = window(counted(10, devices={"a": place(10), "b\x1b": place(0, failed=1)}))
    assert judged("max(run){device=*} < 9", of) == (False, r"no data (b\x1b)")


def test_one_queue_of_several_is_judged_by_itself() -> None:
    of = window(counted(10), every_s=10)
    of.add(Interval(from_s=10, to_s=20, queues={"slow": counted(10, total=9.0)}))
    assert judged("max(total){queue=media} < 2", of) == (True, "1.00 s")
    assert judged("max(total) < 2", of) == (False, "9.00 s")
    assert judged("max(total){queue=*} < 2", of) == (False, "9.00 s (slow)")


@pytest.mark.parametrize(
    ("text", "seconds", "ok", "value"),
    [
        ("max(total) < 2", 2.0004, False, "2.0004s"),
        ("max(total) < 2", 1.9996, True, "1.9996s"),
        ("max(total) <= 2", 2.0, True, "2.00 s"),
        ("max(total) < 1m", 60.000001, False, "60.000001s"),
    ],
)
def test_a_value_never_reads_like_a_limit_that_it_is_not(
    text: str, seconds: float, ok: bool, value: str
) -> None:
    assert judged(text, window(counted(1, total=seconds))) == (ok, value)


def test_shares_near_the_limit() -> None:
    of = window(counted(100_000, failures={"lost": 1001}))
    assert judged("failures <= 1%", of) == (False, "1.001%")


# --- aborting ----------------------------------------------------------------------------------


SLOW = counted(1, total=5.0)


@pytest.mark.parametrize(
    ("text", "of", "ends"),
    [
        ("max(total) < 1 abort", window(SLOW), True),
        ("max(total) < 1 abort after 3s", window(SLOW, SLOW), False),
        ("max(total) < 1 abort after 3s", window(SLOW, SLOW, SLOW), True),
        ("max(total) < 1 abort after 3s", window(*[Aggregate()] * 5), False),
        ("max(total) < 6 abort after 3s", window(SLOW, SLOW, SLOW), False),
        ("max(total) < 1", window(SLOW, SLOW, SLOW), False),
    ],
)
def test_aborting_waits_for_its_time_and_for_data(text: str, of: Window, ends: bool) -> None:
    assert crossed([parse(text)], of) == (parse(text) if ends else None)


def test_the_first_that_aborts_is_told() -> None:
    texts = ("max(total) < 1", "rate > 0 abort", "max(total) < 2 abort", "max(total) < 3 abort")
    thresholds = [parse(text) for text in texts]
    assert crossed(thresholds, window(SLOW)) is thresholds[2]


def test_several_are_judged_in_order() -> None:
    thresholds = [parse(text) for text in ("rate > 0", "max(total) < 1", "rate{queue=media} > 0")]
    of = window(SLOW)
    assert judge_all(thresholds, of) == tuple(judge(threshold, of) for threshold in thresholds)


def test_what_aborts_says_so() -> None:
    assert judge(parse("rate > 0 abort"), window(counted(1))).aborts
    assert not judge(parse("rate > 0"), window(counted(1))).aborts


# --- the page ----------------------------------------------------------------------------------


def test_examples_of_the_page_are_thresholds() -> None:
    code = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    examples = code[0].splitlines()
    assert len(examples) == 5
    for example in examples:
        parse(example)


def test_errors_of_the_page_are_those_that_are_given() -> None:
    errors = re.findall(r"^threshold '(.*?)': .*$", PAGE, re.MULTILINE)
    assert len(errors) == 2
    for text in errors:
        with pytest.raises(ConfigError) as error:
            parse(text)
        assert f"\n{error.value}\n" in PAGE


def test_measured_values_of_the_page() -> None:
    rows = dict(re.findall(r"^\| `(.*? < .*?|.*? <= .*?)` \| (.*? \| .*?) \|$", PAGE, re.MULTILINE))
    of = counted(100_000, failures={"lost": 1}, total=times(1.87, n=100_000))
    of.failures = {"lost": 1004}
    of.succeeded = 1_000_000 - 1004
    of.devices = {"renderD131": place(100, 0.6), "renderD128": place(100, 0.4)}
    found = {}
    for text in rows:
        ok, value = judged(text, window(of))
        found[text] = f"{value} | {'yes' if ok else 'no'}"
    assert found == rows
