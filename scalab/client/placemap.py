"""The map of devices, nodes or pods: a cell each, and the details of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs
from markupsafe import Markup

from scalab.measure.counts import OTHERS
from scalab.measure.fairness import ENOUGH, FAILING, FAILING_SHARE, SLOW, STARVED, Outlier
from scalab.measure.figures import (
    format_count,
    format_duration,
    format_ratio,
    format_share,
)
from scalab.measure.statistics import ErrorCount, Place
from scalab.protocol.text import printable
from scalab.report.figures import NONE
from scalab.report.plots.frame import render_bars, render_multiples
from scalab.report.shapes import chosen, run_times, shares

from .scene import KINDS, Scene, key_of, usual_s

MAX_CELLS: Final = 240
"""Cells of a map; those that stand out are among them."""
MAX_NAME: Final = 16
"""Characters of a name in a cell."""
MAX_LINKS: Final = 12
"""Devices, or pods, named in the details of a place."""
MAX_WHERE: Final = 3
"""Places named beside an error."""

_HEAT = (0.8, 1.25, 1.6, 2.5)  # run times as ratios to the usual: where a colour ends
_SIGNS = {FAILING: "✗", SLOW: "▲", STARVED: "▽"}


@attrs.frozen
class Cell:
    """A place on the map."""

    key: str
    name: str
    run: str
    """Its median run time."""
    note: str
    """How it stands out, behind a sign, so that no one needs the colour."""
    heat: int
    """How its run times compare: 1 is usual, 0 faster, 2 to 4 slower."""
    kind: str
    """failing, slow, starved or nothing."""
    title: str


@attrs.frozen
class Map:
    """All places of a kind."""

    kind: str
    cells: tuple[Cell, ...]
    more: int
    """Places that have no cell."""
    found: tuple[str, ...]
    """A sentence for each place that stands out."""


def maps(scene: Scene) -> Iterator[Map]:
    """Yield the maps of those kinds of places that there are."""
    for kind in KINDS:
        places = scene.places(kind)
        if not places:
            continue
        kinds = _kinds(places, scene.outliers[kind])
        usual = usual_s(places)
        shown = chosen(places, kinds, MAX_CELLS)
        yield Map(
            kind=kind,
            cells=tuple(_cell(place, kinds.get(place.name, ""), usual) for place in shown),
            more=len(places) - len(shown),
            found=tuple(outlier.text for outlier in scene.outliers[kind]),
        )


def _kinds(places: Sequence[Place], found: Sequence[Outlier]) -> dict[str, str]:
    """Return how places stand out; to fail is bad also where all others fail as often."""
    kinds = {p.name: FAILING for p in places if p.failed > FAILING_SHARE * p.served}
    for outlier in found:
        kinds.setdefault(outlier.name, outlier.kind)
    return kinds


def _cell(place: Place, kind: str, usual: float) -> Cell:
    run = place.run
    served = f"{format_count(place.served)} served, {format_count(place.failed)} failed"
    times = f"; run p50 {format_duration(run.p50_s)}, p95 {format_duration(run.p95_s)}"
    return Cell(
        key=key_of(place.name),
        name=_short(place.name),
        run=format_duration(run.p50_s) if run.count else NONE,
        note=_note(place, kind, usual),
        heat=_heat(place, usual),
        kind=kind,
        title=f"{printable(place.name, 253)}: {served}{times if run.count else ''}",
    )


def _short(name: str) -> str:
    """Cut the middle of a long name: those of pods only differ at their ends."""
    name = printable(name, 253)
    return name if len(name) <= MAX_NAME else f"{name[:6]}…{name[7 - MAX_NAME :]}"


def _note(place: Place, kind: str, usual: float) -> str:
    words = {
        FAILING: f"{format_share(place.failed, place.served)} failed",
        SLOW: f"{format_ratio(place.run.p50_s, usual)} as long" if usual else "slow",
        STARVED: "little to do",
    }
    if kind:
        return f"{_SIGNS[kind]} {words[kind]}"
    return f"{format_count(place.failed)} failed" if place.failed else ""


def _heat(place: Place, usual: float) -> int:
    if place.run.count < ENOUGH or not usual:
        return 1
    return sum(place.run.p50_s > ratio * usual for ratio in _HEAT)


# --- comparing, and one of them ------------------------------------------------------------------


def fairness(scene: Scene) -> Markup:
    """Return bars of the work that each place did, and how long it took."""
    kind = scene.told_apart
    bars = shares(scene.places(kind), scene.outliers[kind])
    return render_bars(attrs.evolve(bars, head=(kind.removesuffix("s"), *bars.head[1:])))


@attrs.frozen
class Details:
    """All that is known of a place."""

    kind: str
    key: str
    name: str
    facts: tuple[tuple[str, str], ...]
    found: tuple[str, ...]
    """How it stands out, in sentences."""
    run_times: Markup
    links: tuple[tuple[str, str], ...]
    """What belongs to it: kind and names."""
    errors: tuple[ErrorCount, ...]


def details(scene: Scene, kind: str, key: str) -> Details | None:
    """Return the details of a place; None if there is none of this key."""
    places = scene.places(kind)
    place = next((place for place in places if key_of(place.name) == key), None)
    if place is None:
        return None
    found = [outlier for outlier in scene.outliers[kind] if outlier.name == place.name]
    return Details(
        kind=kind,
        key=key,
        name=printable(place.name, 253),
        facts=tuple(_facts(place, places)),
        found=tuple(outlier.text for outlier in found),
        run_times=render_multiples(run_times([place], found)),
        links=tuple(_links(place)),
        errors=place.errors,
    )


def _facts(place: Place, places: Sequence[Place]) -> Iterator[tuple[str, str]]:
    served = sum(other.served for other in places)
    yield "served", format_count(place.served)
    yield "share of the work", format_share(place.served, served)
    failed = format_share(place.failed, place.served)
    yield "failed", f"{format_count(place.failed)} ({failed})" if place.failed else "0"
    for name in ("p50", "p95", "max") if place.run.count else ():
        yield f"run {name}", format_duration(getattr(place.run, f"{name}_s"))


def _links(place: Place) -> Iterator[tuple[str, str]]:
    for what, names in (("Devices", place.devices), ("Pods", place.pods)):
        if names:
            text = ", ".join(printable(name, 80) for name in names[:MAX_LINKS])
            more = len(names) - MAX_LINKS
            yield what, f"{text} and {more} more" if more > 0 else text


def where(scene: Scene, text: str) -> str:
    """Name the places from which an error came, those with most of it first."""
    counted = [
        (error.count, place.name)
        for place in scene.places(scene.told_apart)
        for error in place.errors
        if error.text == text and place.name != OTHERS
    ]
    counted.sort(reverse=True)
    names = ", ".join(printable(name, 64) for _, name in counted[:MAX_WHERE])
    more = len(counted) - MAX_WHERE
    return f"{names} and {more} more" if more > 0 else names or NONE
