"""Who holds back, and who fails: sentences about the devices and nodes of a validation.

Places are compared with each other within a step, as in any run (``measure/fairness.py``), and
each with itself over the steps: where runs take longer the more workers there are, they share
something.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import attrs

from scalab.measure import counts
from scalab.measure.counts import OTHERS
from scalab.measure.fairness import ENOUGH, FAILING, Outlier, jain, outliers
from scalab.measure.figures import format_count, format_duration, format_ratio, format_share
from scalab.measure.statistics import Place, Spread
from scalab.protocol.text import printable

from .decide import workers
from .model import StepResult

SLOWER: Final = 1.2
"""A median run time of at least this many times that of an earlier step is worth a word."""
SHARED: Final = 1.5
"""Runs at a time, on the average, from which on a place is shared."""
OVERHEAD: Final = 0.1
"""Share of the time of run and overhead together, from which on overhead holds back."""
OVERHEAD_GREW: Final = 2.0
FAIR: Final = 0.9
"""Jain's index, as in the self-check of fairness."""
FAILED_SHARE: Final = 0.01
"""Failures below this aren't worth a word where no place stands out by them."""

_MOST = 8  # sentences
_MOST_ALIKE = 2  # places that got slower; more of them are told of together
_SURE = 4.0  # standard errors, as for outliers
_MAX_NAME, _MAX_ERROR = 64, 120

Kind = Literal["devices", "pods", "nodes"]


def blame(steps: Sequence[StepResult]) -> tuple[str, ...]:
    """Return a sentence about each thing that holds back or fails, the worst first.

    Args:
        steps: In the order in which they were measured; those that were not are left out.
    """
    steps = [step for step in steps if step.statistics.completed and not step.problem]
    if not steps:
        return ()
    kind = _kind(steps)
    named = _standing_out(steps, kind)
    found = [
        *_failures(steps, kind, named),
        *(_with(text, step) for text, step in _others(steps, kind, named)),
        *_slower(steps, kind),
        *_overhead(steps),
    ]
    if not named:
        found += _unfair(steps[-1], kind)
    if len(found) > _MOST:
        found = [*found[:_MOST], f"and {format_count(len(found) - _MOST)} more such findings"]
    return tuple(found)


# --- within a step ----------------------------------------------------------------------------


@attrs.frozen
class _Named:
    """A place that stands out, and the last step in which it does so."""

    outlier: Outlier
    step: StepResult


def _kind(steps: Sequence[StepResult]) -> Kind:
    """What shares the work: devices, or pods where no device is named, or else nodes."""
    kinds: tuple[Kind, ...] = ("devices", "pods")
    return next((kind for kind in kinds if any(_places(s, kind) for s in steps)), "nodes")


def _places(step: StepResult, kind: Kind) -> list[Place]:
    places: tuple[Place, ...] = getattr(step.statistics, kind)
    return [place for place in places if place.name != OTHERS]


def _standing_out(steps: Sequence[StepResult], kind: Kind) -> dict[tuple[str, str], _Named]:
    """Return the outliers of all steps, by what they stand out for and by name."""
    return {
        (outlier.kind, outlier.name): _Named(outlier, step)
        for step in steps
        for outlier in outliers(_places(step, kind))
    }


def _others(
    steps: Sequence[StepResult], kind: Kind, named: dict[tuple[str, str], _Named]
) -> Iterator[tuple[str, StepResult]]:
    """What else than failures places stand out for; nodes, too, unless their device was named."""
    for (what, _), found in named.items():
        if what != FAILING:
            yield found.outlier.text, found.step
    if kind == "nodes":
        return
    seen = {(what, name) for what, name in named}
    for (what, name), found in _standing_out(steps, "nodes").items():
        here = next(p for p in found.step.statistics.nodes if p.name == name)
        parts = here.devices if kind == "devices" else here.pods
        if what != FAILING and not any((what, part) in seen for part in parts):
            yield f"node {found.outlier.text}", found.step


def _with(text: str, step: StepResult) -> str:
    return f"{text}, with {workers(step.workers)}"


# --- failures ---------------------------------------------------------------------------------


def _failures(
    steps: Sequence[StepResult], kind: Kind, named: dict[tuple[str, str], _Named]
) -> Iterator[str]:
    """Who fails, over all steps; or how often all do, where nobody stands out by it."""
    failed = sum(step.statistics.failed for step in steps)
    names = [name for what, name in named if what == FAILING]
    for name in names:
        yield _failing([p for s in steps for p in _places(s, kind) if p.name == name], failed)
    worst = max(steps, key=_failed_share)
    if names or _failed_share(worst) < FAILED_SHARE:
        return
    statistics = worst.statistics
    text = f"{format_share(_failed_share(worst), 1)} of the requests failed"
    if len(_places(worst, kind)) > 1:
        text += f", on no {kind[:-1]} more often than elsewhere"
    if statistics.errors:
        text += f", most often: {printable(statistics.errors[0].text, _MAX_ERROR)}"
    yield _with(text, worst)


def _failing(places: Sequence[Place], failed_in_all: int) -> str:
    """Say what share of its requests failed on a place, and what share of all failures it has."""
    served, failed = sum(p.served for p in places), sum(p.failed for p in places)
    errors: dict[str, int] = {}
    for place in places:
        for error in place.errors:
            errors[error.text] = errors.get(error.text, 0) + error.count
    text = (
        f"{printable(places[0].name, _MAX_NAME)}: {format_share(failed, served)} of its "
        f"{format_count(served)} requests failed, {format_share(failed, failed_in_all)} of all "
        "failures"
    )
    if errors:
        text += f"; most often: {printable(counts.ranked(errors)[0].text, _MAX_ERROR)}"
    return text


def _failed_share(step: StepResult) -> float:
    ended = step.statistics.succeeded + step.statistics.failed
    return step.statistics.failed / ended if ended else 0.0


# --- over the steps ---------------------------------------------------------------------------


@attrs.frozen
class _Slower:
    """A place whose runs took longer in a later step."""

    name: str
    ratio: float
    text: str


def _slower(steps: Sequence[StepResult], kind: Kind) -> Iterator[str]:
    """The places whose runs take longer with more workers."""
    found = sorted(_each_slower(steps, kind), key=lambda slower: -slower.ratio)
    if len(found) <= _MOST_ALIKE:
        yield from (slower.text for slower in found)
        return
    names = {place.name for step in steps for place in _places(step, kind)}
    first, last = steps[0].statistics.run.p50_s, steps[-1].statistics.run.p50_s
    on = f"all {len(names)}" if len(found) == len(names) else f"{len(found)} of {len(names)}"
    yield (
        f"runs took longer with more workers on {on} {kind}: in the median {format_duration(first)}"
        f" with {workers(steps[0].workers)} and {format_duration(last)} with {steps[-1].workers}; "
        f"the most on {printable(found[0].name, _MAX_NAME)} ({found[0].ratio:.2f}x)"
    )


def _each_slower(steps: Sequence[StepResult], kind: Kind) -> Iterator[_Slower]:
    seen: dict[str, list[tuple[StepResult, Place]]] = {}
    for step in steps:
        for place in _places(step, kind):
            if place.run.count >= ENOUGH and 2 * place.failed <= place.served:
                seen.setdefault(place.name, []).append((step, place))
    for name, found in seen.items():
        (before, first), (after, last) = found[0], found[-1]
        if before.workers == after.workers or not _longer(first.run, last.run):
            continue
        text = (
            f"runs on {printable(name, _MAX_NAME)} took {format_duration(first.run.p50_s)} with "
            f"{workers(before.workers)} and {format_duration(last.run.p50_s)} with "
            f"{after.workers}: {_why(after, last)}"
        )
        yield _Slower(name, last.run.p50_s / first.run.p50_s, text)


def _longer(first: Spread, last: Spread) -> bool:
    """Whether runs took longer, by so much that it matters and can't well be chance."""
    if not first.p50_s or last.p50_s < SLOWER * first.p50_s:
        return False
    error = math.hypot(_median_error(first), _median_error(last))
    return last.p50_s - first.p50_s > _SURE * error


def _median_error(run: Spread) -> float:
    """A median's standard error as for normal values: 1.2533 times that of the mean."""
    return 1.2533 * (run.p90_s - run.p50_s) / 1.2816 / math.sqrt(run.count)


def _why(step: StepResult, place: Place) -> str:
    """Whether a place is shared, from how many ran on it at a time: their time over the window."""
    at_a_time = place.run.count * place.run.mean_s / max(step.statistics.window_s, 1e-9)
    if at_a_time >= SHARED:
        return f"{at_a_time:.1f} of them share it"
    return "they don't share it, so it must be something else: CPU, memory, network, power"


def _overhead(steps: Sequence[StepResult]) -> Iterator[str]:
    """Whether the time that is neither waiting nor running grew to something that holds back."""
    first, last = steps[0].statistics, steps[-1].statistics
    before, after = first.overhead.mean_s, last.overhead.mean_s
    if len(steps) < 2 or after < OVERHEAD * (last.run.mean_s + after):
        return
    if after < OVERHEAD_GREW * before:
        return
    ratio = f", {format_ratio(after, before)} as much" if before > 0 else ""
    yield (
        f"a request took {format_duration(before)} beside waiting and running with "
        f"{workers(steps[0].workers)} and {format_duration(after)} with {steps[-1].workers}{ratio}:"
        " starting processes, network or framework hold back, not the devices"
    )


def _unfair(step: StepResult, kind: Kind) -> Iterator[str]:
    served = {place.name: place.served for place in _places(step, kind)}
    if len(served) < 2 or sum(served.values()) < ENOUGH * len(served):
        return
    index = jain(list(served.values()))
    if index >= FAIR:
        return
    most, least = max(served, key=served.__getitem__), min(served, key=served.__getitem__)
    yield _with(
        f"work was shared out unevenly (Jain's index {index:.2f}): {printable(most, _MAX_NAME)} "
        f"served {format_count(served[most])}, {printable(least, _MAX_NAME)} "
        f"{format_count(served[least])}",
        step,
    )
