"""Scenarios of all kinds, for property tests."""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import strategies as st

from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.load.units import PARALLEL_MAX, RATE_MAX, RATE_MIN

printables = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"])
    | st.just(" ")
)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
columns = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,5}", fullmatch=True)
times = st.sampled_from([0.0, 0.25, 1.0, 90.0, 5400.0]) | st.floats(1e-6, 1e6)
durations = times.filter(bool)
rates = st.sampled_from([0.0, 50.0, 5 / 3]) | st.floats(RATE_MIN, RATE_MAX)
parallels = st.integers(0, PARALLEL_MAX).map(float)


@st.composite
def stages(draw: st.DrawFn, levels: st.SearchStrategy[float]) -> tuple[Stage, ...]:
    finite = draw(st.lists(st.builds(Stage, levels, levels, durations), max_size=5))
    if not finite or draw(st.booleans()):
        level = draw(levels)
        return (*finite, Stage(level, level, inf))
    return tuple(finite)


def closed_loads() -> st.SearchStrategy[ClosedLoad]:
    return st.builds(
        ClosedLoad,
        stages=stages(parallels),
        parallel_max=st.just(0) | st.just(PARALLEL_MAX),
        delay_s=times,
        spread_s=times,
    )


def open_loads() -> st.SearchStrategy[OpenLoad]:
    return st.builds(
        OpenLoad,
        stages=stages(rates),
        arrival=st.sampled_from(["constant", "poisson"]),
        max_in_flight=st.integers(1, PARALLEL_MAX),
        catch_up_s=times,
    )


@st.composite
def queue_loads(draw: st.DrawFn, name: str = "queue") -> QueueLoad:
    drawn: dict[str, Any] = {}
    args = draw(st.lists(words.map(lambda word: word.replace("{", "(")), max_size=3))
    if draw(st.booleans()):
        names = draw(st.just(["item"]) | st.lists(columns, min_size=1, max_size=3, unique=True))
        row = st.fixed_dictionaries(dict.fromkeys(names, words))
        drawn["rows"] = tuple(draw(st.lists(row, min_size=1, max_size=4)))
        drawn["order"] = draw(st.sampled_from(["random", "sequence"]))
        args.append(f"x{{{names[-1]}}}y")
    return QueueLoad(
        name=name,
        weight=draw(st.floats(1e-6, 1e6) | st.just(3.0)),
        args=tuple(args),
        limit_s=draw(times),
        **drawn,
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    names = printables.filter(lambda name: 0 < len(name) <= 64)
    load = draw(closed_loads() | open_loads())
    begin_s = sum(stage.duration_s for stage in load.stages[:-1])
    duration_s = 0.0
    if load.stages_s == inf and draw(st.booleans()):
        duration_s = begin_s + draw(st.floats(0.1, 1e6))
    warm_up_s = draw(times)
    return Scenario(
        queues=tuple(
            draw(queue_loads(name))
            for name in draw(st.lists(names, min_size=1, max_size=3, unique=True))
        ),
        load=load,
        name=draw(printables.filter(lambda name: len(name) <= 200)),
        warm_up_s=warm_up_s if warm_up_s < (duration_s or load.stages_s) else 0.0,
        duration_s=duration_s,
        requests=draw(st.integers(0, 2**53)),
        thresholds=tuple(draw(st.lists(words, max_size=3))),
        seed=draw(st.integers(0, 2**53 - 1)),
    )
