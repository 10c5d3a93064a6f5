"""The client's web page: one self-contained document, made on the server, useful without scripts.

It consists of the panels, which its script replaces as they change, patching only differences into
the document, so that nothing flickers, and what is selected, scrolled, opened or typed stays.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
from markupsafe import Markup

from scalab.load.units import plain
from scalab.measure.figures import format_count, format_duration, format_share
from scalab.measure.statistics import Place
from scalab.protocol.text import printable
from scalab.report.figures import NONE
from scalab.runtime.routing import Response

from .feed import Frame
from .panels import templates
from .placemap import Details
from .scene import Scene, usual_s

MAX_ROWS: Final = 200
"""Rows of a table; the JSON has them all."""
MAX_PLACE_ERRORS: Final = 2
MAX_LINKS: Final = 3
"""Devices or pods named in a row."""

_SLOW = 1.25  # a place whose median run is this much above the usual one is marked
_ENOUGH = 20  # runs from which on a place's median says something about the place
_HEIGHT = 24  # of a histogram, in units of its own


@attrs.frozen
class Notice:
    """What became of the request that led to the page."""

    text: str = ""
    failed: bool = False


@attrs.frozen
class Row:
    """A place, ready for its table."""

    name: str
    served: str
    share: str
    width: float
    """Served, in percent of the most that a place served."""
    failed: int
    p50: str
    p95: str
    max: str
    slow: bool
    bars: tuple[tuple[int, float], ...]
    """Position and height of the histogram's bars."""
    range: str
    links: tuple[tuple[str, str], ...]
    """What belongs to it: kind and names."""
    errors: tuple[str, ...]


@attrs.frozen
class Table:
    """Places of a kind."""

    title: str
    rows: tuple[Row, ...]
    more: int


def render_page(frame: Frame, notice: Notice, place: Details | None = None) -> Response:
    """Return the whole page; with status 400 if what it tells is an error."""
    nonce = secrets.token_urlsafe(16)
    html = templates()(
        "page.html",
        nonce=nonce,
        notice=notice,
        mark=frame.mark,
        scene=frame.scene,
        now=frame.scene.now,
        panels={name: piece.html for name, piece in frame.pieces.items()},
        place=place,
        plain=plain,
    )
    return Response.page(html, nonce, 400 if notice.failed else 200)


def render_panels(frame: Frame) -> Response:
    """Return only what changes with time."""
    return Response.page(frame.since(0))


def render_place(details: Details | None) -> Response:
    """Return only the details of a place; nothing, if nothing has come back from there yet."""
    return Response.page(templates()("place.html", details=details) if details else "")


# --- tables --------------------------------------------------------------------------------------


def render_table_page(scene: Scene, kind: str) -> Response:
    """Return the page with the table of one kind of places."""
    nonce = secrets.token_urlsafe(16)
    table = Markup(_table_html(scene, kind))  # noqa: S704 - of a template that escapes
    html = templates()("tables.html", nonce=nonce, now=scene.now, kind=kind, table=table)
    return Response.page(html, nonce)


def render_table(scene: Scene, kind: str) -> Response:
    """Return only the table."""
    return Response.page(_table_html(scene, kind))


def _table_html(scene: Scene, kind: str) -> str:
    return templates()("table.html", table=_table(kind, scene.places(kind)), now=scene.now)


def _table(kind: str, places: Sequence[Place]) -> Table:
    shown = places[:MAX_ROWS]
    return Table(
        title=kind.capitalize(),
        rows=tuple(_rows(places, shown)),
        more=len(places) - len(shown),
    )


def _rows(places: Sequence[Place], shown: Sequence[Place]) -> Iterator[Row]:
    all_served = sum(place.served for place in places)
    most = max((place.served for place in places), default=0)
    usual = usual_s(places)
    for place in shown:
        run, steps = place.run, place.histogram
        highest = max((count for _, _, count in steps), default=0)
        durations = (run.p50_s, run.p95_s, run.max_s)
        p50, p95, longest = [format_duration(s) if run.count else NONE for s in durations]
        yield Row(
            name=printable(place.name, 253),
            served=format_count(place.served),
            share=format_share(place.served, all_served),
            width=100 * place.served / most if most else 0.0,
            failed=place.failed,
            p50=p50,
            p95=p95,
            max=longest,
            slow=run.count >= _ENOUGH and 0 < _SLOW * usual < run.p50_s,
            bars=tuple((i, _HEIGHT * n / highest) for i, (_, _, n) in enumerate(steps) if n),
            range=f"{format_duration(run.min_s)} to {format_duration(run.max_s)}" if steps else "",
            links=tuple(_links(place)),
            errors=tuple(
                f"{format_count(error.count)} x {printable(error.text, 120)}"
                for error in place.errors[:MAX_PLACE_ERRORS]
            ),
        )


def _links(place: Place) -> Iterator[tuple[str, str]]:
    for what, names in (("Devices:", place.devices), ("Pods:", place.pods)):
        if names:
            text = ", ".join(printable(name, 80) for name in names[:MAX_LINKS])
            more = len(names) - MAX_LINKS
            yield what, f"{text} and {more} more" if more > 0 else text
