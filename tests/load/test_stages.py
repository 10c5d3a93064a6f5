"""Stages as they are written, and the one line that tells what is wrong with them."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.stages import MAX_STAGES, format_stages, parse_stages
from scalab.load.units import Kind

from .test_units import durations, rates

NO_LEVEL = "is no level; write a whole number of parallel requests, or a rate such as 50/s"
NO_TIME = "a stage takes more than 0 s; a jump to 20 is written 20→20@60s"


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("50@5m", [(50, 50, 300)]),
        ("0→50@60s, 50@5m, 0@30s", [(0, 50, 60), (50, 50, 300), (50, 0, 30)]),
        ("0->50@60,50@5m,0@30s", [(0, 50, 60), (50, 50, 300), (50, 0, 30)]),
        (" 10 @ 1s , 20 -> 20 @ 1m ", [(10, 10, 1), (20, 20, 60)]),
        ("10@1s, 20@1m", [(10, 10, 1), (10, 20, 60)]),
        ("0→50@60s, 50", [(0, 50, 60), (50, 50, inf)]),
        ("0→50@60s, 20→20", [(0, 50, 60), (20, 20, inf)]),
        ("8", [(8, 8, inf)]),
    ],
)
def test_stages_of_a_closed_loop(text: str, stages: list[tuple[float, float, float]]) -> None:
    assert parse_stages(text) == (tuple(Stage(*stage) for stage in stages), "closed")


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("0→50/s@60s", [(0, 50, 60)]),
        ("0/s→50/s@60s", [(0, 50, 60)]),
        ("0→50@60s, 60/s@1s", [(0, 50, 60), (50, 60, 1)]),
        ("600→1200/min@1s, 0@1s", [(10, 20, 1), (20, 0, 1)]),
        ("0→3600/h@1s, 120/min@1s", [(0, 1, 1), (1, 2, 1)]),
        ("0.5/s", [(0.5, 0.5, inf)]),
        ("0/s@5s", [(0, 0, 5)]),
    ],
)
def test_stages_of_an_open_loop(text: str, stages: list[tuple[float, float, float]]) -> None:
    assert parse_stages(text) == (tuple(Stage(*stage) for stage in stages), "open")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'stage 1 "" is not FROM→TO@DURATION; write for example 0→50@60s'),
        ("50@5m,", 'stage 2 "" is not FROM→TO@DURATION; write for example 0→50@60s'),
        ("0→50→0@5m", 'stage 1 "0→50→0@5m" is not FROM→TO@DURATION; write for example 0→50@60s'),
        ("→50@5m", 'stage 1 "→50@5m" is not FROM→TO@DURATION; write for example 0→50@60s'),
        ("5@5@5", 'stage 1 "5@5@5" is not FROM→TO@DURATION; write for example 0→50@60s'),
        ("50@", 'stage 1 "50@": say for how long, for example 50@60s'),
        ("50, 20@5m", 'stage 1 "50": say for how long, for example 50@60s'),
        ("0→50@5m, 20", 'stage 2 "20": say for how long, for example 20@60s'),
        ("50@0s", f'stage 1 "50@0s": {NO_TIME}'),
        ("50@soon", 'stage 1 "50@soon": "soon" is no duration; write for example 250ms, 60s, 5m'),
        ("1.5@5m", f'stage 1 "1.5@5m": "1.5" {NO_LEVEL}'),
        ("-5@5m", f'stage 1 "-5@5m": "-5" {NO_LEVEL}'),
        ("5..9@5m", f'stage 1 "5..9@5m": "5..9" {NO_LEVEL}'),
        ("5/week@5m", f'stage 1 "5/week@5m": "5/week" {NO_LEVEL}'),
        ("2000000@5m", 'stage 1 "2000000@5m": "2000000" is more than 1000000 in parallel'),
        ("5/s@5m, x@5m", 'stage 2 "x@5m": "x/s" is no rate; write for example 50/s or 3000/min'),
        ("5/s@1s, 9/min@1s, 7@1s", 'stage 3 "7@1s": say which unit "7" has: 7/min or 7/s'),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_stages(text)
    assert str(raised.value) == f"--stages: {error}"


def test_any_number_of_stages_is_too_many() -> None:
    many = ",".join(["5@1s"] * MAX_STAGES)
    assert len(parse_stages(many)[0]) == MAX_STAGES
    with pytest.raises(ConfigError, match=r"^load\.stages: there are more than 1000 stages$"):
        parse_stages(many + ",5@1s", "load.stages")


@given(st.text(st.sampled_from("0123456789.→->@,/smhin \x1b\n\0é"), max_size=40))
def test_any_text_is_read_or_refused_in_one_short_line(text: str) -> None:
    refused = ""
    try:
        stages, kind = parse_stages(text)
    except ConfigError as error:
        refused = str(error)
    else:
        assert parse_stages(format_stages(stages, kind)) == (stages, kind)
    assert refused.isprintable()
    assert len(refused) < 400


@st.composite
def written(draw: st.DrawFn, kind: Kind) -> tuple[Stage, ...]:
    """Any stages that can be written down."""
    some_level = rates if kind == "open" else st.integers(0, 10**6).map(float)
    stages: list[Stage] = []
    for duration in draw(st.lists(durations.filter(bool), max_size=4)):
        before = stages[-1].end if stages else 0.0
        start = draw(st.just(before) | some_level)
        stages.append(Stage(start, draw(st.just(start) | some_level), duration))
    if not stages or draw(st.booleans()):
        level = draw(some_level)
        stages.append(Stage(level, level, inf))
    return tuple(stages)


@given(written("closed"))
def test_stages_of_a_closed_loop_are_read_as_they_were_written(stages: tuple[Stage, ...]) -> None:
    assert parse_stages(format_stages(stages, "closed")) == (stages, "closed")


@given(written("open"))
def test_stages_of_an_open_loop_are_read_as_they_were_written(stages: tuple[Stage, ...]) -> None:
    assert parse_stages(format_stages(stages, "open")) == (stages, "open")


def test_they_are_written_as_one_would() -> None:
    text = "0→50@1m, 50@5m, 20→20@30s, 0@250ms"
    stages, kind = parse_stages(text)
    assert format_stages(stages, kind) == text
    assert [a.end == b.start for a, b in pairwise(stages)] == [True, False, True]
    assert all(isinstance(level, float) for stage in stages for level in attrs.astuple(stage))
