"""Charts: where things are drawn, what is told of them, and that no text can do harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.report.plots import scales
from scalab.report.plots.frame import render_bars, render_chart, render_multiples
from scalab.report.plots.markup import element, percent, short
from scalab.report.plots.spec import (
    Area,
    Bar,
    Bars,
    Chart,
    Columns,
    Data,
    Dot,
    Dots,
    Layer,
    Line,
    Mark,
    Multiple,
    Multiples,
    Row,
    Shade,
)
from scalab.report.plots.svg import draw, flags

EVIL = "<script>alert('1')</script>&\"'"
positive = st.floats(1e-6, 1e9)


def chart(*layers: Layer, **others: Any) -> Chart:
    """A chart of 0 to 10 by 0 to 100, whose axes have no room to spare."""
    plain = Chart(
        id="it",
        title="It",
        x_title="x",
        y_title="y",
        x=scales.Scale(0.0, 10.0, (scales.Tick(0.5, "five"), scales.Tick(1.0, "ten", minor=True))),
        y=scales.Scale(0.0, 100.0, (scales.Tick(0.25, "quarter"),)),
        layers=layers,
        data=Data(("x", "y"), ()),
    )
    return attrs.evolve(plain, **others)


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)


def named(root: ET.Element, kind: str) -> list[ET.Element]:
    """The elements of a class."""
    return [found for found in root.iter() if kind in found.get("class", "").split()]


def path(*layers: Layer) -> str:
    (found,) = parsed(draw(chart(*layers))).iter("path")
    return found.get("d", "")


# --- axes ----------------------------------------------------------------------------------


def all_scales(low: float, high: float) -> Iterator[scales.Scale]:
    yield scales.linear(high)
    yield scales.durations(high)
    yield scales.clock(high)
    if low < high:
        yield scales.durations(high, low)
        yield scales.linear(high, low=low)
    yield scales.tail(int(high) + 1)


@given(positive, positive)
def test_ticks_are_on_the_axis_in_order_and_each_says_something_else(a: float, b: float) -> None:
    for scale in all_scales(min(a, b), max(a, b)):
        places = [tick.at for tick in scale.ticks]

        assert places == sorted(places)
        assert all(-1e-9 <= at <= 1 + 1e-9 for at in places)
        assert len({tick.label for tick in scale.ticks}) == len(scale.ticks)
        assert len(scale.ticks) <= 12


@given(positive, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_is_more_lies_higher_and_nothing_off_the_axis(top: float, a: float, b: float) -> None:
    a, b = sorted((a * top, b * top))
    for scale in (scales.linear(top), scales.durations(top), scales.logarithmic(top / 1e4, top)):
        assert 0 <= scale.at(a) <= scale.at(b) <= 1
        assert scale.at(top) < 1, "there is room above the highest value"


@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (scales.linear(61.3), ["0", "20", "40", "60"]),
        (scales.linear(0.37), ["0", "0.1", "0.2", "0.3"]),
        (scales.linear(2.0, low=1.0), ["1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]),
        (scales.linear(12000), ["0", "5,000", "10,000"]),
        (scales.linear(0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (scales.durations(4.5), ["0", "1 s", "2 s", "3 s", "4 s"]),
        (scales.durations(0.0321), ["0", "10 ms", "20 ms", "30 ms"]),
        (scales.durations(2.2, 0.0005), ["1 ms", "10 ms", "100 ms", "1 s"]),
        (scales.durations(3.0, 0.5), ["500 ms", "1 s", "2 s"]),
        (scales.clock(60), ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]),
        (scales.clock(300), ["0:00", "1:00", "2:00", "3:00", "4:00", "5:00"]),
        (scales.clock(7200), ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00"]),
        (scales.tail(500), ["0 %", "50 %", "90 %", "99 %"]),
        (scales.tail(1), ["0 %", "50 %", "90 %"]),
        (scales.tail(10_000), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]),
    ],
)
def test_ticks_are_round(scale: scales.Scale, labels: list[str]) -> None:
    assert [tick.label for tick in scale.ticks] == labels


def test_equal_steps_of_a_logarithmic_axis_and_of_a_tail_are_equally_far_apart() -> None:
    log, tail = scales.logarithmic(0.001, 1.0), scales.tail(1000)

    assert log.at(0.1) - log.at(0.01) == pytest.approx(log.at(1.0) - log.at(0.1))
    assert tail.at(0.99) - tail.at(0.9) == pytest.approx(tail.at(0.9) - tail.at(0.0))
    assert tail.at(1.0) == 1.0
    assert log.at(0.0) == 0.0, "what has no logarithm lies at the lower end"


@given(positive)
def test_a_step_is_the_next_nice_number(wanted: float) -> None:
    step = scales.nice_step(wanted)

    assert wanted * (1 - 1e-9) <= step < 2.5 * wanted
    assert f"{step:.0e}"[0] in "125"


# --- drawing -------------------------------------------------------------------------------


def test_a_line_goes_through_its_points_with_y_upwards() -> None:
    assert path(Line("a", ((0, 0), (5, 50), (10, 100)), "c")) == "M0 10000L5000 5000L10000 0"


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    points = ((0.0, 0.0), (1.0, 0.0), (2.0, None), (3.0, 50.0))

    assert path(Line("a", points, "c")) == "M0 10000L1000 10000 M3000 5000L3000 5000"


def test_a_line_off_the_axes_is_kept_within() -> None:
    assert path(Line("a", ((-5, -5), (50, 500)), "c")) == "M0 10000L10000 0"


def test_an_area_goes_along_its_upper_line_and_back_along_its_lower_one() -> None:
    area = Area("a", ((0, 10, 20), (10, 10, 30), None, (5, 0, 100)), "c")

    assert path(area) == "M0 8000L10000 7000L10000 9000L0 9000Z M5000 0L5000 10000Z"


def test_columns_stand_on_the_axis() -> None:
    assert path(Columns("a", ((0, 1, 50),), "c")) == "M0 10000V5000H1000V10000Z"


def test_dots_have_error_bars_where_there_is_an_interval() -> None:
    dots = Dots("a", (Dot(5, 50, 40, 60, "five"), Dot(10, 0, None, None, "ten")), "c-main")

    first, second = named(parsed(draw(chart(dots))), "dots")[0]
    bar, circle = first.find("line"), second.find("circle")

    assert bar is not None
    assert (bar.get("x1"), bar.get("y1"), bar.get("y2")) == ("50%", "60%", "40%")
    assert circle is not None
    assert (circle.get("cx"), circle.get("cy")) == ("100%", "100%")
    assert second.find("line") is None
    assert first.findtext("title") == "five"


def test_ticks_and_shades_are_at_their_places() -> None:
    root = parsed(draw(chart(shades=(Shade(0, 2.5, "warm-up"), Shade(8, 99, "drain")))))
    at = {text.text: (text.get("x"), text.get("y")) for text in root.iter("text")}
    shades = [(s.get("x"), s.get("width"), s.findtext("title")) for s in named(root, "shade")]

    assert at == {"five": ("50%", "100%"), "ten": ("100%", "100%"), "quarter": (None, "75%")}
    assert shades == [("0%", "25%", "warm-up"), ("80%", "20%", "drain")]
    assert [text.text for text in named(root, "minor") if text.tag == "text"] == ["ten"]


def test_pointing_at_a_stretch_tells_its_data() -> None:
    data = Data(("time", "rate"), (Row(("first", "5/s"), 0, 4), Row(("second", "7/s"), 4, 10)))

    strips = named(parsed(draw(chart(data=data))), "strip")

    assert [strip.findtext("title") for strip in strips] == [
        "time: first\nrate: 5/s",
        "time: second\nrate: 7/s",
    ]
    assert [(strip.get("x"), strip.get("width")) for strip in strips] == [
        ("0%", "40%"),
        ("40%", "60%"),
    ]


def test_marks_near_each_other_share_a_flag() -> None:
    marks = [(0.1, "a"), (0.12, "b"), (0.125, "c"), (0.5, "d")]

    assert flags(marks) == [(0.1, 1, 3, ["1: a", "2: b", "3: c"]), (0.5, 4, 4, ["4: d"])]


def test_marks_are_numbered_and_told() -> None:
    root = parsed(draw(chart(marks=(Mark(1, "up"), Mark(1.1, "down"), Mark(9, "gone")))))

    assert [mark.findtext("text") for mark in named(root, "mark")] == ["1–2", "3"]  # noqa: RUF001
    assert [mark.findtext("title") for mark in named(root, "mark")] == ["1: up\n2: down", "3: gone"]


# --- figures -------------------------------------------------------------------------------


def test_a_figure_has_a_legend_a_label_and_its_data_as_a_table() -> None:
    data = Data(("time", "rate"), (Row(("first", "5/s"), 0, 4), Row(("second", "7/s"), 4, 10)))
    layers = (Line("asked", (), "c-asked", "dotted"), Line("", (), "c-main"))

    root = parsed(
        render_chart(
            chart(
                *layers,
                data=data,
                note="See.",
                shades=(Shade(0, 1, "ramp"), Shade(2, 3, "ramp")),
                marks=(Mark(1, "up"),),
            )
        )
    )
    svg = root.find(".//svg[@role='img']")

    assert [key.findtext("i", "") + (key[0].tail or "") for key in root.iter("li")] == [
        "asked",
        "ramp",
        "event",
    ]
    assert svg is not None
    assert svg.get("aria-label") == "It: asked; y by x. The data is in the table."
    assert [cell.text for cell in root.findall("details//tr/*")] == [
        *("time", "rate"),
        *("first", "5/s"),
        *("second", "7/s"),
    ]
    assert root.findtext("p[@class='note']") == "See."


def test_bars_are_a_table_with_lengths_and_texts() -> None:
    bars = Bars(
        id="b", title="B", head=("name", "share"), rows=(("x", (Bar(0.25, "25 %", "c-marked"),)),)
    )

    root = parsed(render_bars(bars))

    assert root.findtext(".//tbody/tr/td/span") == "25 %"
    assert [bar.get("width") for bar in named(root, "c-marked")] == ["25%"]


def test_small_histograms_share_their_axis() -> None:
    panels = (
        Multiple(name="a", steps=((0.1, 0.2, 10), (0.2, 1.0, 0)), text="p50"),
        Multiple(name="b", steps=((0.1, 0.2, 0), (0.2, 1.0, 4)), text="p50"),
    )

    root = parsed(render_multiples(Multiples(id="m", title="M", panels=panels)))
    first, second = (re.findall(r"\d+", p.get("d", "")) for p in root.iter("path"))

    assert first[3] == second[0], "where one's step ends, the other's begins"
    assert first[2] == second[2] == "0", "each reaches its own highest step"
    assert render_multiples(Multiples(id="m", title="M", panels=())) == ""


@pytest.mark.parametrize("evil", [EVIL, "]]>", "&amp;", "\x1f"])
def test_no_text_becomes_markup(evil: str) -> None:
    data = Data((evil, evil), (Row((evil, evil), 0, 4),))
    rendered = [
        render_chart(
            chart(
                Line(evil, ((0, 0),), evil),
                Dots(evil, (Dot(1, 1, None, None, evil),), evil),
                title=evil,
                x_title=evil,
                y_title=evil,
                note=evil,
                data=data,
                shades=(Shade(0, 1, evil),),
                marks=(Mark(1, evil),),
            )
        ),
        render_bars(Bars(id="b", title=evil, head=(evil,), rows=((evil, (Bar(1, evil, evil),)),))),
        render_multiples(
            Multiples(
                id="m",
                title=evil,
                panels=(Multiple(name=evil, steps=((0, 1, 1),), text=evil, colour=evil),),
            )
        ),
    ]

    for text in rendered:
        assert "<script" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;|#39;|#34;)", text)
        if evil != "\x1f":
            assert evil in "".join(parsed(text).itertext())


def test_drawing_the_same_again_gives_the_same() -> None:
    shown = chart(Line("a", ((0, 1), (3, 4)), "c"), marks=(Mark(1, "up"),))

    assert render_chart(shown) == render_chart(shown)


# --- markup --------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6))
def test_coordinates_are_short_and_right(value: float) -> None:
    text = short(value)

    assert float(text) == pytest.approx(value, abs=0.0051)
    assert re.fullmatch(r"-?\d+(\.\d{0,1}[1-9])?", text)
    assert text != "-0"


def test_elements_are_written_as_asked() -> None:
    inner = element("b", "1 < 2")

    assert element("p", inner, "&", class_="x", x1=1.5, hidden=True, id=None) == (
        '<p class="x" x1="1.5" hidden><b>1 &lt; 2</b>&amp;</p>'
    )
    assert percent(1 / 3) == "33.33%"
