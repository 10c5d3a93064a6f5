"""Charts with axes, drawn so that they fit any width without their text becoming small.

A drawing that is scaled as a whole is unreadable on a telephone. So only shapes are scaled: they
are in an inner drawing which is stretched over the plot, with strokes that keep their width. All
else, text, dots and ticks, is placed at percentages of the plot. The labels of the axes hang over
the plot's edges, where the style sheet leaves room for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from markupsafe import Markup

from .markup import element, join, percent, short
from .scales import Scale
from .spec import Area, Chart, Columns, Dots, Layer, Line

_Point = TypeVar("_Point")

UNITS: Final = 10_000
"""Of the inner drawing, across and down: each is less than a pixel on any screen."""
_NEAR = 0.03  # marks nearer than this part of the width share a flag


def draw(chart: Chart) -> Markup:
    """Return the plot itself, without title, legend and data."""
    return element(
        "svg",
        join(list(_shades(chart))),
        join(list(_grid(chart))),
        element(
            "svg",
            join([_shape(layer, chart) for layer in chart.layers if not isinstance(layer, Dots)]),
            class_="shapes",
            viewBox=f"0 0 {UNITS} {UNITS}",
            preserveAspectRatio="none",
        ),
        join([_dots(layer, chart) for layer in chart.layers if isinstance(layer, Dots)]),
        join(list(_strips(chart))),
        join(list(_marks(chart))),
        role="img",
        aria_label=_label(chart),
    )


def _label(chart: Chart) -> str:
    names = ", ".join(layer.name for layer in chart.layers if layer.name)
    return f"{chart.title}: {names}; {chart.y_title} by {chart.x_title}. The data is in the table."


# --- the frame -----------------------------------------------------------------------------


def _grid(chart: Chart) -> Iterator[Markup]:
    for tick in chart.y.ticks:
        at = percent(1 - tick.at)
        yield element("line", x2="100%", y1=at, y2=at, class_="grid")
        yield element("text", tick.label, y=at, dx="-.5em", dy=".35em", class_="y")
    for tick in chart.x.ticks:
        at = percent(tick.at)
        minor = " minor" if tick.minor else ""
        yield element("line", x1=at, x2=at, y1="0", y2="100%", class_=f"grid{minor}")
        yield element("text", tick.label, x=at, y="100%", dy="1.35em", class_=f"x{minor}")
    yield element("line", x2="100%", y1="100%", y2="100%", class_="axis")


def _shades(chart: Chart) -> Iterator[Markup]:
    for shade in chart.shades:
        low, high = chart.x.at(shade.low), chart.x.at(shade.high)
        yield element(
            "rect",
            element("title", shade.name),
            x=percent(low),
            width=percent(high - low),
            height="100%",
            class_=f"shade {shade.name}",
        )


def _strips(chart: Chart) -> Iterator[Markup]:
    """Yield what tells the data of a stretch of the x axis when it is pointed at."""
    for row in chart.data.rows:
        low, high = chart.x.at(row.low), chart.x.at(row.high)
        if high <= low:
            continue
        lines = [f"{head}: {cell}" for head, cell in zip(chart.data.head, row.cells, strict=True)]
        yield element(
            "rect",
            element("title", "\n".join(lines)),
            x=percent(low),
            width=percent(high - low),
            height="100%",
            class_="strip",
        )


def _marks(chart: Chart) -> Iterator[Markup]:
    """Yield a line per mark, and flags with their numbers: those too near for it share one."""
    for at, first, last, texts in flags([(chart.x.at(mark.x), mark.text) for mark in chart.marks]):
        number = f"{first}" if first == last else f"{first}–{last}"  # noqa: RUF001 - a range
        yield element(
            "g",
            element("title", "\n".join(texts)),
            element("line", x1=percent(at), x2=percent(at), y1="0", y2="100%"),
            element("text", number, x=percent(at), dy="-.4em"),
            class_="mark",
        )


def flags(marks: Iterable[tuple[float, str]]) -> list[tuple[float, int, int, list[str]]]:
    """Put marks that are near each other under one flag.

    Args:
        marks: (where from 0 to 1, text), ascending.

    Returns:
        (where, number of the first mark, of the last one, texts), numbers from 1.
    """
    found: list[tuple[float, int, int, list[str]]] = []
    for number, (at, text) in enumerate(marks, 1):
        line = f"{number}: {text}"
        if found and at - found[-1][0] < _NEAR:
            start, first, _, lines = found[-1]
            found[-1] = (start, first, number, [*lines, line])
        else:
            found.append((at, number, number, [line]))
    return found


def columns(
    bars: Iterable[tuple[float, float, float]], x_scale: Scale, y_scale: Scale, colour: str
) -> Markup:
    """Return vertical bars, (from x, to x, y) each, for a drawing of ``UNITS`` by ``UNITS``."""
    paths = []
    for low, high, y in bars:
        left, right = (short(x_scale.at(x) * UNITS, 0) for x in (low, high))
        paths.append(f"M{left} {UNITS}V{short((1 - y_scale.at(y)) * UNITS, 0)}H{right}V{UNITS}Z")
    return element("path", d=" ".join(paths), class_=f"area {colour}")


# --- what is shown -------------------------------------------------------------------------


def _shape(layer: Layer, chart: Chart) -> Markup:
    match layer:
        case Line():
            path = " ".join(_lines(layer.points, chart.x, chart.y))
            kind = f"line {layer.colour} {layer.dash}".rstrip()
        case Area():
            path = " ".join(_outlines(layer.points, chart.x, chart.y))
            kind = f"area {layer.colour}"
        case Columns():
            return columns(layer.bars, chart.x, chart.y, layer.colour)
        case Dots():
            raise TypeError("dots are not stretched")
    return element("path", d=path, class_=kind)


def _dots(layer: Dots, chart: Chart) -> Markup:
    drawn = []
    for dot in layer.dots:
        x, y = percent(chart.x.at(dot.x)), percent(1 - chart.y.at(dot.y))
        parts = [element("title", dot.text)]
        if dot.low is not None and dot.high is not None:
            low, high = (percent(1 - chart.y.at(end)) for end in (dot.low, dot.high))
            parts.append(element("line", x1=x, x2=x, y1=low, y2=high))
        parts.append(element("circle", cx=x, cy=y, r="4"))
        drawn.append(element("g", *parts))
    return element("g", *drawn, class_=f"dots {layer.colour}")


def _lines(
    points: Iterable[tuple[float, float | None]], x_scale: Scale, y_scale: Scale
) -> Iterator[str]:
    """Yield the stretches of a line; a lone point is a line without length, drawn as a dot."""
    for stretch in _stretches((x, y) if y is not None else None for x, y in points):
        if len(stretch) == 1:
            stretch *= 2  # noqa: PLW2901 - the same stretch
        yield _path((x_scale.at(x), y_scale.at(y)) for x, y in stretch)


def _outlines(
    points: Iterable[tuple[float, float, float] | None], x_scale: Scale, y_scale: Scale
) -> Iterator[str]:
    for stretch in _stretches(points):
        upper = [(x_scale.at(x), y_scale.at(high)) for x, _, high in stretch]
        lower = [(x_scale.at(x), y_scale.at(low)) for x, low, _ in reversed(stretch)]
        yield f"{_path([*upper, *lower])}Z"


def _stretches(points: Iterable[_Point | None]) -> Iterator[list[_Point]]:
    """Yield what is between gaps."""
    stretch: list[_Point] = []
    for point in points:
        if point is not None:
            stretch.append(point)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _path(points: Iterable[tuple[float, float]]) -> str:
    placed = (f"{short(x * UNITS, 0)} {short((1 - y) * UNITS, 0)}" for x, y in points)
    return "M" + "L".join(placed)
