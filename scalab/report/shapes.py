"""The charts of a window as a whole: how latency is distributed, over devices, and over levels."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final

from scalab.measure.batches import Estimate
from scalab.measure.fairness import FAILING, SLOW, STARVED, Outlier
from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.measure.histogram import Histogram
from scalab.measure.statistics import Place, Spread
from scalab.protocol.text import printable

from .figures import NONE
from .model import StageReport
from .plots.scales import durations, linear, tail
from .plots.spec import Bar, Bars, Chart, Data, Dot, Dots, Line, Multiple, Multiples, Row

MAX_BARS: Final = 40
MAX_PANELS: Final = 24
_SHARES: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999)
_PER_NINE: Final = 24  # points of a percentile spectrum from 90 to 99 %, from 99 to 99.9 % …


def spectrum(total: Histogram, corrected: Histogram, gap: float | None) -> Chart:
    """Return latency by percentile, with 90, 99 and 99.9 % equally far apart.

    Args:
        total: Raw latency.
        corrected: From the intended time of sending; empty in a closed loop.
        gap: How many times corrected goes into raw latency at p99, if that must be explained.
    """
    x = tail(max(total.count, corrected.count))
    lines = [Line("raw" if corrected.count else "latency", _curve(total, x.high), "c-raw-p95")]
    if corrected.count:
        line = _curve(corrected, x.high)
        lines.append(Line("corrected", line, "c-corrected-p95", "dashed"))
    rows, before = [], 0.0
    for share in _SHARES:
        # Beyond this there is less than one value left: the rest would repeat the maximum.
        if share and share > 1 - 10**-x.high:
            break
        cells = (_at(total, share), *([_at(corrected, share)] if corrected.count else []))
        rows.append(Row((f"{round(100 * share, 6):g} %", *cells), before, share))
        before = share
    return Chart(
        id="spectrum",
        title="Latency by percentile",
        note=_gap_note(gap),
        x_title="percentile: so many requests took no longer",
        y_title="time to the reply",
        x=x,
        y=durations(max(total.max_s, corrected.max_s)),
        layers=tuple(lines),
        data=Data(("percentile", "raw", "corrected")[: 2 + bool(corrected.count)], tuple(rows)),
    )


def _gap_note(gap: float | None) -> str:
    if gap is None:
        return ""
    return (
        f"At p99, corrected is {gap:.1f} times raw: raw is what the system did with requests once "
        "they were sent; corrected is what a user who arrived on schedule felt, the time in which "
        "the request could not yet be sent included."
    )


def _curve(histogram: Histogram, nines: float) -> tuple[tuple[float, float | None], ...]:
    if not histogram.count:
        return ()
    steps = range(round(_PER_NINE * nines) + 1)
    shares = [1 - 10 ** (-step / _PER_NINE) for step in steps]
    return tuple((share, histogram.percentile(100 * share)) for share in shares)


# --- devices -------------------------------------------------------------------------------


def shares(places: Sequence[Place], outliers: Iterable[Outlier]) -> Bars:
    """Return each place's share of the work and its run times, those that stand out marked."""
    kinds = _kinds(outliers)
    served = sum(place.served for place in places)
    most = max((place.served for place in places), default=0) or 1
    longest_s = max((place.run.p95_s for place in places), default=0.0) or 1.0
    rows = []
    for place in chosen(places, kinds, MAX_BARS):
        run, kind = place.run, kinds.get(place.name, "")
        text = f"{format_count(place.served)} ({format_share(place.served, served)})"
        work = Bar(place.served / most, text, _colour(kind in {FAILING, STARVED}))
        times = [
            Bar(seconds / longest_s, _duration(run, seconds), _colour(kind == SLOW))
            for seconds in (run.p50_s, run.p95_s)
        ]
        rows.append((printable(place.name, 64), (work, *times)))
    return Bars(
        id="shares",
        title="Who did the work",
        note=_left_out(len(places) - MAX_BARS),
        head=("device", "requests served", "median run time", "p95"),
        rows=tuple(rows),
    )


def run_times(places: Sequence[Place], outliers: Iterable[Outlier]) -> Multiples:
    """Return a histogram of run times per place."""
    kinds = _kinds(outliers)
    shown = chosen([place for place in places if place.run.count], kinds, MAX_PANELS)
    return Multiples(
        id="run-times",
        title="Run times",
        note=_left_out(len(places) - MAX_PANELS),
        panels=tuple(
            Multiple(
                name=printable(place.name, 64),
                steps=place.histogram,
                text=f"p50 {format_duration(place.run.p50_s)}, "
                f"max {format_duration(place.run.max_s)}",
                colour=_colour(kinds.get(place.name) == SLOW),
            )
            for place in shown
        ),
    )


def chosen(places: Sequence[Place], standing_out: Container[str], most: int) -> list[Place]:
    """Return at most so many places in their order: those that stand out before all others."""
    if len(places) <= most:
        return list(places)
    ranked = sorted(range(len(places)), key=lambda i: places[i].name not in standing_out)
    return [places[i] for i in sorted(ranked[:most])]


def _kinds(outliers: Iterable[Outlier]) -> dict[str, str]:
    """Return how places stand out, by name; a failing one is that before all."""
    kinds: dict[str, str] = {}
    for outlier in outliers:
        kinds.setdefault(outlier.name, outlier.kind)
    return kinds


def _colour(marked: bool) -> str:
    return "c-marked" if marked else "c-main"


def _left_out(n: int) -> str:
    return f"{format_count(n)} more are in the table below." if n > 0 else ""


# --- levels --------------------------------------------------------------------------------


def knee(stages: Sequence[StageReport], *, open_loop: bool) -> tuple[Chart, ...]:
    """Return throughput and p95 latency by level: where the curve bends, more load is no use.

    Args:
        stages: Those that held a level.
        open_loop: Levels are requests per second.

    Returns:
        Two charts, or none if there were not two different levels to compare.
    """
    held = sorted((s for s in stages if s.statistics.completed), key=lambda stage: stage.level)
    if len({round(stage.level, 6) for stage in held}) < 2:
        return ()
    x = linear(held[-1].level)
    x_title = "requests per second, asked" if open_loop else "requests in parallel, asked"
    rates = [
        Dot(
            s.level, s.throughput.mean, s.throughput.low, s.throughput.high, _dot_text(s, open_loop)
        )
        for s in held
    ]
    p95s = [
        Dot(s.level, s.statistics.total.p95_s, None, None, _dot_text(s, open_loop)) for s in held
    ]
    line = Line("asked", ((0.0, 0.0), (x.high, x.high)), "c-asked", "dotted")
    top = max(dot.high or dot.y for dot in rates)
    return (
        Chart(
            id="knee-throughput",
            title="Throughput by level",
            note="With 95 % intervals, as far as they are known.",
            x_title=x_title,
            y_title="completions per second",
            x=x,
            y=linear(max(top, held[-1].level) if open_loop else top),
            layers=(*([line] if open_loop else []), *_joined("completed", rates)),
            data=_levels(held, open_loop=open_loop),
        ),
        Chart(
            id="knee-latency",
            title="Latency by level",
            x_title=x_title,
            y_title="p95 of the time from sending a request to its reply",
            x=x,
            y=durations(max(dot.y for dot in p95s)),
            layers=_joined("p95", p95s),
            data=_levels(held, open_loop=open_loop),
        ),
    )


def level_text(level: float, *, open_loop: bool) -> str:
    """Write a level with its unit."""
    return format_rate(level) if open_loop else f"{level:,.4g} in parallel"


def rate_text(rate: Estimate) -> str:
    """Write a throughput with its 95 % interval, if that is known."""
    if rate.low is None or rate.high is None:
        return format_rate(rate.mean)
    return f"{format_rate(rate.mean)} ({format_rate(rate.low)} to {format_rate(rate.high)})"


def _joined(name: str, dots: list[Dot]) -> tuple[Line, Dots]:
    line = Line("", tuple((dot.x, dot.y) for dot in dots), "c-main")
    return line, Dots(name, tuple(dots), "c-main")


def _dot_text(stage: StageReport, open_loop: bool) -> str:
    p95 = format_duration(stage.statistics.total.p95_s)
    return (
        f"{level_text(stage.level, open_loop=open_loop)}: {rate_text(stage.throughput)}, p95 {p95}"
    )


def _levels(stages: Sequence[StageReport], *, open_loop: bool) -> Data:
    rows = [
        Row(
            (
                level_text(stage.level, open_loop=open_loop),
                rate_text(stage.throughput),
                format_duration(stage.statistics.total.p95_s),
            ),
            stage.level,
            stage.level,
        )
        for stage in stages
    ]
    return Data(("level", "throughput", "p95"), tuple(rows))


def _at(histogram: Histogram, share: float) -> str:
    return format_duration(histogram.percentile(100 * share)) if histogram.count else NONE


def _duration(spread: Spread, seconds: float) -> str:
    return format_duration(seconds) if spread.count else NONE
