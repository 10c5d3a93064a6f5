"""A validation's records: they come back as they were, and nothing else comes through."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

import scalab
from scalab.errors import ConfigError
from scalab.measure.batches import Estimate
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.runfile.codec import RecordError, decode_record, encode_record
from scalab.runfile.reading import read_run
from scalab.runfile.records import Decision, End, Record, StepResult, Validation
from scalab.runfile.steps import MAX_STEPS
from scalab.verdict.results import Checked
from tests.report.scaling.sample_validations import a_step, a_validation, records, run_of
from tests.runfile.samples import a_header, a_run, counts, names, tallies, write

figures = st.floats(0, 1e9)
unknown = st.none() | figures
spreads = st.builds(Spread, counts, *[figures] * 8)
errors = st.lists(st.builds(ErrorCount, names, counts), max_size=2).map(tuple)
places = st.builds(
    Place,
    name=names,
    served=counts,
    failed=counts,
    run=spreads,
    histogram=st.lists(st.tuples(figures, figures, counts), max_size=2).map(tuple),
    devices=st.lists(names, max_size=2).map(tuple),
    pods=st.lists(names, max_size=2).map(tuple),
    errors=errors,
)
some_places = st.lists(places, max_size=2).map(tuple)
statistics = st.builds(
    Statistics,
    window_s=figures,
    throughput=figures,
    failures=tallies,
    **dict.fromkeys(("outstanding", "completed", "succeeded", "failed"), counts),
    **dict.fromkeys(("wait", "run", "overhead", "total"), spreads),
    **dict.fromkeys(("nodes", "devices", "pods"), some_places),
    errors=errors,
)
estimates = st.builds(
    Estimate, figures, unknown, unknown, unknown, figures | st.just(math.inf), figures
)
steps = st.builds(
    StepResult,
    workers=st.integers(1, 10**6),
    parallel=counts,
    throughput=estimates,
    statistics=statistics,
    ready_s=figures,
    from_s=figures,
    to_s=figures,
    checks=st.lists(st.builds(Checked, name=names, state=st.just("ok"), text=names)).map(tuple),
    problem=names,
)
outcomes = st.sampled_from(("PASS", "FAIL", "INCONCLUSIVE", "INVALID", "BASE", "ERROR"))
decisions = st.builds(
    Decision,
    before=counts,
    after=counts,
    outcome=outcomes,
    required=figures,
    ratio=unknown,
    low=unknown,
    high=unknown,
    more_requests=st.none() | counts,
    more_s=unknown,
    text=names,
)
verdicts = st.builds(
    Validation,
    outcome=outcomes,
    sentence=names,
    steps=st.just(()),
    decisions=st.just(()),
    blame=st.lists(names, max_size=2).map(tuple),
)

STEP = a_step(2)
DECISION = Decision(before=1, after=2, outcome="PASS", required=1.8, ratio=1.9, low=1.85, high=1.95)
VERDICT = Validation(outcome="PASS", sentence="It scales.", steps=(), decisions=())


@given(st.one_of(steps, decisions, verdicts))
def test_records_come_back_as_they_were(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def test_their_types_are_as_documented() -> None:
    types = [orjson.loads(encode_record(record))["type"] for record in (STEP, DECISION, VERDICT)]

    assert types == ["step", "decision", "validation"]


def test_a_verdict_has_no_steps_in_it() -> None:
    fields = orjson.loads(encode_record(a_validation((1, 2))))

    assert "steps" not in fields
    assert "decisions" not in fields


def changed(record: Record, path: str, value: Any) -> bytes:
    """A record's line with one value in it changed."""
    fields = orjson.loads(encode_record(record))
    at, *keys = [fields, *path.split(".")]
    for key in keys[:-1]:
        at = at[int(key) if key.isdigit() else key]
    at[keys[-1]] = value
    return orjson.dumps(fields)


@pytest.mark.parametrize(
    ("record", "path", "value", "message"),
    [
        (STEP, "workers", "2", "workers must be a count"),
        (STEP, "workers", -2, "workers must be a count"),
        (STEP, "throughput", 1.5, "throughput must be an object"),
        (STEP, "throughput.mean", -0.5, "throughput.mean must be 0 or more"),
        (STEP, "throughput.low", "1", "throughput.low must be a number"),
        (STEP, "throughput.batches", "1", "throughput.batches must be a number"),
        (STEP, "statistics.run.p50_s", None, "statistics.run.p50_s must be a number"),
        (STEP, "statistics.devices", {}, "statistics.devices must be a list"),
        (STEP, "statistics.devices", [1], "statistics.devices must be an object"),
        (DECISION, "outcome", "MAYBE", "outcome must be PASS or FAIL or INCONCLUSIVE"),
        (DECISION, "ratio", "1.9", "ratio must be a number"),
        (DECISION, "ratio", -1.0, "ratio must be 0 or more"),
        (DECISION, "more_requests", 1.5, "more_requests must be a count"),
        (VERDICT, "blame", "me", "blame must be a list"),
        (VERDICT, "sentence", 7, "sentence must be a text"),
    ],
)
def test_what_is_wrong_is_told(record: Record, path: str, value: Any, message: str) -> None:
    with pytest.raises(RecordError) as error:
        decode_record(changed(record, path, value))

    assert str(error.value).startswith(message)


@pytest.mark.parametrize("bar", [[1.0, 2.0], [1.0, 2.0, 3.5], [1.0, "2", 3], "abc", 7])
def test_what_is_no_histogram_is_refused(bar: Any) -> None:
    device = orjson.loads(encode_record(STEP))["statistics"]["devices"][0]
    line = changed(STEP, "statistics.devices", [device | {"histogram": [bar]}])

    with pytest.raises(RecordError, match=r"^statistics\.devices"):
        decode_record(line)


@pytest.mark.parametrize("number", [b"1e400", b"NaN", b"Infinity"])
def test_no_figure_is_without_end(number: bytes) -> None:
    line = encode_record(DECISION).replace(b'"required":1.8', b'"required":' + number)

    assert number in line
    with pytest.raises(RecordError):
        decode_record(line)


def test_what_later_versions_add_is_ignored() -> None:
    for record in (STEP, DECISION, VERDICT):
        assert decode_record(changed(record, "new", {"what": ["ever"]})) == record


def test_texts_stay_on_one_line_and_are_cut() -> None:
    back = decode_record(encode_record(attrs.evolve(VERDICT, sentence="a\nb" + "x" * 5000)))

    assert isinstance(back, Validation)
    assert back.sentence.startswith(r"a\nbx")
    assert len(back.sentence) == 2000


# --- a run -------------------------------------------------------------------------------------


def test_a_run_has_them(tmp_path: Path) -> None:
    validation = a_validation((1, 2, 4))
    run = read_run(write(tmp_path / "run.jsonl", records(validation)))

    assert run.steps == validation.steps
    assert run.decisions == validation.decisions
    assert run.validation == validation
    assert run.validation == run_of(validation).validation


def test_a_run_that_was_no_validation_has_none(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "run.jsonl", a_run()))

    assert (run.steps, run.decisions, run.validation) == ((), (), None)


def test_as_many_steps_as_there_may_be(tmp_path: Path) -> None:
    found: list[Record] = [a_header(), *[STEP] * MAX_STEPS, *[DECISION] * MAX_STEPS, VERDICT]
    run = read_run(write(tmp_path / "run.jsonl", found))

    assert run.validation is not None
    assert (len(run.steps), len(run.validation.decisions)) == (MAX_STEPS, MAX_STEPS)


def test_what_a_killed_validation_leaves(tmp_path: Path) -> None:
    validation = a_validation((1, 2))
    kept = [r for r in records(validation) if not isinstance(r, Validation | End)]
    run = read_run(write(tmp_path / "run.jsonl", kept))

    assert run.steps == validation.steps
    assert run.validation is None


def test_the_last_verdict_counts(tmp_path: Path) -> None:
    found: list[Record] = [a_header(), VERDICT, STEP, attrs.evolve(VERDICT, sentence="It does.")]
    run = read_run(write(tmp_path / "run.jsonl", found))

    assert run.validation is not None
    assert (run.validation.sentence, run.validation.steps) == ("It does.", (STEP,))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([attrs.evolve(STEP, workers=0)], ":2: workers must be 1 or more"),
        ([attrs.evolve(STEP, from_s=2.0, to_s=1.0)], ":2: to_s is before from_s"),
        ([STEP] * (MAX_STEPS + 1), f":{MAX_STEPS + 2}: there are more than {MAX_STEPS} steps"),
        ([DECISION] * (MAX_STEPS + 1), f"there are more than {MAX_STEPS} steps or decisions"),
        ([End(at_s=1.0, reason="time"), STEP], "nothing can follow"),
    ],
)
def test_what_can_be_no_validation_is_refused(
    tmp_path: Path, found: list[Record], message: str
) -> None:
    path = write(tmp_path / "run.jsonl", [a_header(), *found])

    with pytest.raises(ConfigError) as error:
        read_run(path)
    assert message in str(error.value)


# --- the page ----------------------------------------------------------------------------------


def test_all_keys_are_on_the_page() -> None:
    page = (Path(scalab.__file__).parent.parent / "docs" / "validate-report.md").read_text()
    tables = [
        re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
        for table in re.findall(r"^\| key \|.*\n\|---.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    ]
    written = [orjson.loads(encode_record(record)) for record in (STEP, DECISION, VERDICT)]

    assert tables == [[key for key in fields if key != "type"] for fields in written]
    assert {key for key in written[0]["throughput"] if f"`{key}`" not in page} == set()
    assert f"at most {MAX_STEPS} steps" in page
