"""How every place did over the steps: a map with a cell for each device and step, as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs
from markupsafe import Markup

from scalab.measure.fairness import SLOW_RATIO, Outlier, outliers
from scalab.measure.figures import format_count, format_duration, format_share
from scalab.measure.statistics import Place
from scalab.protocol.text import printable
from scalab.report.plots.markup import element

from .model import ScalingReport
from .words import NONE

MAX_PLACES: Final = 64
"""Rows of the map; those that stand out come before all others."""
HEATS: Final = (1.08, SLOW_RATIO, 1.6, 2.5)
"""Run times of so many times the usual one of the first step begin a hotter colour."""

_NUMBER: Final = re.compile(r"(\d+)")


@attrs.frozen
class Cell:
    """A place in a step."""

    text: str
    """Its median run time."""
    detail: str
    """All about it, in one line."""
    heat: int
    """How long runs took against the usual of the first step, from 0 to ``len(HEATS)``."""
    failed: str = ""
    """The share of failed requests; "" if none failed."""


@attrs.frozen(kw_only=True)
class Map:
    """Places by steps."""

    kind: str
    """devices, pods or nodes."""
    steps: tuple[str, ...]
    """Workers of each."""
    rows: tuple[tuple[str, tuple[str, ...], tuple[Cell | None, ...]], ...]
    """Name, how it stands out in the last step, a cell for each step; None if it did nothing."""
    usual: str
    """The run time that colours are relative to."""
    left_out: int = 0


def device_map(report: ScalingReport) -> Map | None:
    """Return how each place did in each step.

    Returns:
        The map; None if nothing is known of any place.
    """
    shown = [row for row in report.rows if row.places]
    if not shown:
        return None
    usual_s = _usual_s(shown[0].places)
    found = [{place.name: place for place in row.places} for row in shown]
    last = outliers(shown[-1].places)
    names = sorted({name for places in found for name in places}, key=_natural)
    by_name = {name: [places.get(name) for places in found] for name in names}
    kept = _kept(by_name, last)
    return Map(
        kind=report.kind,
        steps=tuple(format_count(row.step.workers) for row in shown),
        rows=tuple(
            (
                printable(name, 64),
                tuple(outlier.kind for outlier in last if outlier.name == name),
                tuple(_cell(place, usual_s) if place else None for place in by_name[name]),
            )
            for name in kept
        ),
        usual=format_duration(usual_s),
        left_out=len(names) - len(kept),
    )


def render_map(found: Map) -> Markup:
    """Return a map as a table, to be styled by ``templates/scaling.css``."""
    head = [element("th", found.kind.removesuffix("s"), scope="col")]
    head += [element("th", text, scope="col") for text in found.steps]
    rows = [
        element(
            "tr",
            element("th", name, *_tags(kinds), scope="row"),
            *[_drawn(cell) for cell in cells],
        )
        for name, kinds, cells in found.rows
    ]
    return element(
        "table",
        element("thead", element("tr", *head)),
        element("tbody", *rows),
        class_="map",
    )


def _tags(kinds: Sequence[str]) -> list[Markup]:
    return [element("span", kind, class_=f"tag {kind}") for kind in kinds]


def _drawn(cell: Cell | None) -> Markup:
    if cell is None:
        return element("td", NONE, class_="dim")
    failed = [element("span", f"✗ {cell.failed}", class_="failed")] if cell.failed else []
    return element("td", cell.text, *failed, class_=f"heat-{cell.heat}", title=cell.detail)


def _cell(place: Place, usual_s: float) -> Cell:
    run, served = place.run, place.served
    times = run.p50_s / usual_s if usual_s > 0 and run.count else 1.0
    failed = format_share(place.failed, served) if place.failed else ""
    detail = f"{format_count(served)} requests, {format_count(place.failed)} failed"
    if run.count:
        detail += (
            f"; run p50 {format_duration(run.p50_s)}, p95 {format_duration(run.p95_s)}: "
            f"{times:.2f} times the usual of the first step"
        )
    if place.errors:
        detail += f"; most often: {printable(place.errors[0].text, 120)}"
    return Cell(
        text=format_duration(run.p50_s) if run.count else NONE,
        detail=detail,
        heat=sum(times >= least for least in HEATS),
        failed=failed,
    )


def _usual_s(places: Sequence[Place]) -> float:
    medians = sorted(place.run.p50_s for place in places if place.run.count)
    return medians[(len(medians) - 1) // 2] if medians else 0.0


def _kept(by_name: dict[str, list[Place | None]], last: Sequence[Outlier]) -> list[str]:
    """Return the names to show, in their order: failing and slow ones before all others."""
    failed = {name for name, places in by_name.items() if any(p and p.failed for p in places)}
    telling = {outlier.name for outlier in last} | failed
    names = list(by_name)
    if len(names) <= MAX_PLACES:
        return names
    ranked = sorted(range(len(names)), key=lambda i: names[i] not in telling)
    return [names[i] for i in sorted(ranked[:MAX_PLACES])]


def _natural(name: str) -> list[tuple[int, str]]:
    """Order names with numbers by these: pod-2 before pod-10."""
    parts = _NUMBER.split(name)
    return [(int(part) if part.isdecimal() and len(part) < 19 else -1, part) for part in parts]
