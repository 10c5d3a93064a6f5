"""A chart as a figure of a page: title, legend, drawing, note, and the data as a table."""

from __future__ import annotations

from markupsafe import Markup

from .markup import element, join, percent
from .scales import Scale, durations, logarithmic
from .spec import Area, Bar, Bars, Chart, Columns, Dots, Layer, Line, Multiples
from .svg import UNITS, columns, draw


def render_chart(chart: Chart) -> Markup:
    """Return a chart as a figure, to be styled by ``templates/charts.css``."""
    return _figure(
        chart.id,
        chart.title,
        _legend(chart),
        element(
            "div",
            element("p", chart.y_title, class_="y-title"),
            draw(chart),
            element("p", chart.x_title, class_="x-title"),
            class_="plot marked" if chart.marks else "plot",
        ),
        _note(chart.note),
        _data(chart),
    )


def render_bars(bars: Bars) -> Markup:
    """Return horizontal bars as a figure: a table, so that it needs none beside it."""
    head = [element("th", text, scope="col") for text in bars.head]
    rows = [
        element("tr", element("th", name, scope="row"), *[_bar(bar) for bar in row])
        for name, row in bars.rows
    ]
    return _figure(
        bars.id,
        bars.title,
        _scrolling(
            element(
                "table",
                element("thead", element("tr", *head)),
                element("tbody", *rows),
                class_="bars",
            ),
            bars.title,
        ),
        _note(bars.note),
    )


def render_multiples(multiples: Multiples) -> Markup:
    """Return small histograms with a common axis as a figure."""
    steps = [step for panel in multiples.panels for step in panel.steps]
    if not steps:
        return Markup("")
    low, high = min(step[0] for step in steps), max(step[1] for step in steps)
    x = logarithmic(low, high) if high > 3 * low > 0 else durations(high)
    panels = [
        element(
            "li",
            element("b", panel.name),
            element("span", panel.text, class_="dim"),
            _histogram(panel.steps, x, f"Run times of {panel.name}: {panel.text}", panel.colour),
        )
        for panel in multiples.panels
    ]
    return _figure(
        multiples.id,
        multiples.title,
        element("ul", *panels, class_="multiples"),
        _note(multiples.note),
    )


# --- parts ---------------------------------------------------------------------------------


def _figure(name: str, title: str, *children: Markup) -> Markup:
    return element(
        "figure",
        element("figcaption", element("h3", title)),
        *children,
        class_="chart",
        id=name,
    )


def _note(text: str) -> Markup:
    return element("p", text, class_="note") if text else Markup("")


def _legend(chart: Chart) -> Markup:
    keys = [_key(layer) for layer in chart.layers if layer.name]
    shown = {shade.name: None for shade in chart.shades}  # each once, in their order
    keys += [_swatch("i", f"shade {name}", name) for name in shown]
    if chart.marks:
        keys.append(_swatch("i", "mark", "event"))
    return element("ul", *keys, class_="keys")


def _key(layer: Layer) -> Markup:
    match layer:
        case Line():
            return _swatch("i", f"line {layer.colour} {layer.dash}".rstrip(), layer.name)
        case Area() | Columns():
            return _swatch("i", f"area {layer.colour}", layer.name)
        case Dots():
            return _swatch("i", f"dots {layer.colour}", layer.name)


def _swatch(tag: str, kind: str, name: str) -> Markup:
    return element("li", element(tag, class_=kind, aria_hidden="true"), name)


def _data(chart: Chart) -> Markup:
    first, *others = chart.data.head
    head = [element("th", first, scope="col")]
    head += [element("th", text, scope="col", class_="n") for text in others]
    rows = []
    for row in chart.data.rows:
        name, *cells = row.cells
        rows.append(
            element(
                "tr",
                element("th", name, scope="row"),
                *[element("td", cell, class_="n") for cell in cells],
            )
        )
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return element(
        "details", element("summary", "Data"), _scrolling(table, f"Data of {chart.title}")
    )


def _scrolling(table: Markup, label: str) -> Markup:
    """Let a wide table scroll by itself; by keyboard, too."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def _bar(bar: Bar) -> Markup:
    drawn = element(
        "svg",
        element("rect", width="100%", height="100%", class_="track"),
        element("rect", width=percent(bar.share), height="100%", class_=f"area {bar.colour}"),
        class_="bar",
        aria_hidden="true",
    )
    return element("td", element("span", bar.text), drawn)


def _histogram(
    steps: tuple[tuple[float, float, int], ...], x: Scale, label: str, colour: str
) -> Markup:
    highest = max((count for _, _, count in steps), default=0) or 1
    y = Scale(0.0, float(highest), ())
    ticks = [tick for tick in x.ticks if not tick.minor]
    return element(
        "svg",
        element(
            "svg",
            columns([(low, high, count) for low, high, count in steps if count], x, y, colour),
            viewBox=f"0 0 {UNITS} {UNITS}",
            preserveAspectRatio="none",
            class_="shapes",
        ),
        element("line", x2="100%", y1="100%", y2="100%", class_="axis"),
        join(
            [
                element("text", tick.label, x=percent(tick.at), y="100%", dy="1.3em", class_="x")
                for tick in ticks
            ]
        ),
        role="img",
        aria_label=label,
    )
