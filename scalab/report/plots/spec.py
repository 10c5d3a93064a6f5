"""What a chart shows, as data. Colours are names of style classes, so that themes can choose."""

from __future__ import annotations

import attrs

from .scales import Scale


@attrs.frozen
class Line:
    """A line through points."""

    name: str
    """"" leaves it out of the legend."""
    points: tuple[tuple[float, float | None], ...]
    """A y of None, which is not known, makes a gap."""
    colour: str
    dash: str = ""
    """"" = solid, ``dashed`` or ``dotted``."""


@attrs.frozen
class Area:
    """What lies between two lines over the same x: a layer of a stack, or a band."""

    name: str
    points: tuple[tuple[float, float, float] | None, ...]
    """(x, lower, upper); None makes a gap."""
    colour: str


@attrs.frozen
class Dot:
    """A measured value, and the interval in which the true one is likely to be."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str


@attrs.frozen
class Dots:
    """Points with error bars."""

    name: str
    dots: tuple[Dot, ...]
    colour: str


@attrs.frozen
class Columns:
    """Vertical bars from 0, such as those of a histogram."""

    name: str
    bars: tuple[tuple[float, float, float], ...]
    """(from x, to x, y)."""
    colour: str


Layer = Line | Area | Dots | Columns


@attrs.frozen
class Shade:
    """A stretch of the x axis that is something else, such as a warm-up."""

    low: float
    high: float
    name: str


@attrs.frozen
class Mark:
    """A moment at which something happened."""

    x: float
    text: str


@attrs.frozen
class Row:
    """A line of the data behind a chart; over its stretch of the x axis, the chart tells it."""

    cells: tuple[str, ...]
    low: float
    high: float


@attrs.frozen
class Data:
    """The data behind a chart."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]


@attrs.frozen(kw_only=True)
class Chart:
    """A chart with two axes."""

    id: str
    """Unique in a page; letters, digits and hyphens."""
    title: str
    x_title: str
    y_title: str
    x: Scale
    y: Scale
    layers: tuple[Layer, ...]
    """Drawn in this order, the first below all others."""
    data: Data
    note: str = ""
    """What to see in it, in a sentence or two."""
    shades: tuple[Shade, ...] = ()
    marks: tuple[Mark, ...] = ()


@attrs.frozen
class Bar:
    """A value."""

    share: float
    """Its length, from 0 to 1."""
    text: str
    colour: str = "c-main"


@attrs.frozen(kw_only=True)
class Bars:
    """Values of several things side by side, as horizontal bars: a column per measure."""

    id: str
    title: str
    head: tuple[str, ...]
    """Of the names, then of each measure."""
    rows: tuple[tuple[str, tuple[Bar, ...]], ...]
    note: str = ""


@attrs.frozen(kw_only=True)
class Multiple:
    """A small histogram among others with the same axis."""

    name: str
    steps: tuple[tuple[float, float, int], ...]
    text: str
    """The figures to go with it."""
    colour: str = "c-main"


@attrs.frozen(kw_only=True)
class Multiples:
    """Histograms of durations side by side, all with the same logarithmic axis."""

    id: str
    title: str
    panels: tuple[Multiple, ...]
    note: str = ""
