"""Metrics of many things: the library's own text, made in slices, one scrape at a time."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from scalab.runtime.metrics import metrics_handler
from scalab.runtime.routing import Request, Response
from scalab.runtime.series import NAME, SLICE, Family, Many

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ACCEPTS = (
    "", "text/plain;version=0.0.4", OPENMETRICS, "text/plain;version=1.0.0;escaping=dots",
    f"{OPENMETRICS};escaping=allow-utf-8", f"{OPENMETRICS};escaping=values",
)  # fmt: skip


@attrs.frozen
class Thing:
    level: int = 0
    sent: int = 0
    lost: int = 0
    seconds: float = 0.0


def gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily("level_100%", 'A "level" of\n100 %', labels=["of"])


def counter() -> CounterMetricFamily:
    return CounterMetricFamily("ends_here", "Ends", labels=["of", "how"])


def histogram() -> HistogramMetricFamily:
    return HistogramMetricFamily("time_s", "Time", labels=["of"])


def nobody() -> Metric:
    family = counter()
    family.add_metric(["", "nobody"], 7)
    return family


def _histogram(thing: Thing) -> tuple[float, float, float, float]:
    ended = thing.sent + thing.lost
    return (thing.sent, ended, ended, thing.seconds)


def families() -> list[Family[Thing]]:
    times = histogram()
    times.add_metric([NAME], [("0.5", 0), ("+Inf", 0)], 0)
    return [
        Family.of(gauge(), lambda thing: (thing.level,)),
        Family.of(counter(), lambda thing: (thing.sent, thing.lost), ("sent", "lost"), nobody),
        Family(times, _histogram),
    ]


class ByLibrary(Collector):
    def __init__(self, things: dict[str, Thing]) -> None:
        self.things = things

    def collect(self) -> Iterable[Metric]:
        level, ends, times = gauge(), counter(), histogram()
        ends.add_metric(["", "nobody"], 7)
        for name, thing in self.things.items():
            level.add_metric([name], thing.level)
            ends.add_metric([name, "sent"], thing.sent)
            ends.add_metric([name, "lost"], thing.lost)
            first, last, _, total = _histogram(thing)
            times.add_metric([name], [("0.5", first), ("+Inf", last)], total)
        return (level, ends, times)


def parsed(text: str) -> list[Metric]:
    parse = parse_openmetrics if text.endswith("# EOF\n") else parse_text
    return list(parse(text))


async def scraped(things: dict[str, Thing], accept: str) -> Response:
    handle = metrics_handler(CollectorRegistry(), Many(lambda: things, families()))
    answer = handle(Request.parse("GET", "/metrics", [("accept", accept)]))
    assert not isinstance(answer, Response)
    return await answer


counts = st.integers(0, 1 << 52)  # exact as the library's floats
named = st.dictionaries(
    st.text(st.characters(exclude_categories=["C"], include_characters="\\\n\"%'{},=")),
    st.builds(Thing, counts, counts, counts, st.floats(0, 1e12)),
    max_size=2 * SLICE + 1,
)


@pytest.mark.parametrize("accept", ACCEPTS)
@given(things=named)
def test_it_says_what_the_library_would_say(accept: str, things: dict[str, Thing]) -> None:
    response = trio.run(scraped, things, accept)
    encode, content_type = choose_encoder(accept)
    assert response.content_type == content_type
    assert isinstance(response.body, bytes)
    text, expected = response.body.decode(), encode(ByLibrary(things)).decode()
    if "escaping" not in accept:
        assert parsed(text) == parsed(expected)
    # Apart from how a figure is written, it is the same to the letter.
    ours, theirs = text.split("\n"), expected.split("\n")
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        if our != their:
            (head, figure), (other, same) = our.rsplit(" ", 1), their.rsplit(" ", 1)
            assert (head, float(figure)) == (other, float(same))


class Scraped:
    """Things that all have the same level, and how often they were scraped."""

    def __init__(self) -> None:
        self.level = 0
        self.times = 0
        self._handle = metrics_handler(CollectorRegistry(), Many(self._things, families()))

    def _things(self) -> dict[str, Thing]:
        self.times += 1
        return {str(number): Thing(self.level) for number in range(30 * SLICE)}

    async def ask(self, accept: str = "") -> set[float]:
        """The levels that are told, read as they are."""
        answer = self._handle(Request.parse("GET", "/metrics", [("accept", accept)]))
        assert not isinstance(answer, Response)
        body = (await answer).body
        assert isinstance(body, bytes)
        level = next(family for family in parsed(body.decode()) if family.name.startswith("level"))
        return {sample.value for sample in level.samples}


async def test_those_who_ask_at_a_time_share_a_scrape_and_see_what_was_before() -> None:
    scraped, asked = Scraped(), 0

    async def ask() -> None:
        nonlocal asked
        before = scraped.level
        asked += 1
        (level,) = await scraped.ask()
        assert level >= before

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.lowlevel.checkpoint()
            scraped.level += 1
    assert asked == 15
    assert 2 <= scraped.times <= 4
    scraped.level += 1
    assert await scraped.ask() == {scraped.level}


async def test_each_gets_the_format_that_it_asked_for() -> None:
    scraped, texts = Scraped(), dict[str, bytes]()

    async def ask(accept: str) -> None:
        answer = scraped._handle(Request.parse("GET", "/metrics", [("accept", accept)]))
        assert not isinstance(answer, Response)
        body = (await answer).body
        assert isinstance(body, bytes)
        texts[accept] = body

    async with trio.open_nursery() as nursery:
        for accept in ACCEPTS:
            nursery.start_soon(ask, accept)
    assert {accept for accept, text in texts.items() if text.endswith(b"# EOF\n")} == {
        accept for accept in ACCEPTS if "openmetrics" in accept
    }


async def test_a_scrape_that_is_given_up_leaves_the_others_nothing_old() -> None:
    scraped, told = Scraped(), list[set[float]]()

    async def ask() -> None:
        told.append(await scraped.ask())

    async def line_up(nursery: trio.Nursery) -> None:
        nursery.start_soon(ask)
        for _ in range(2):
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery, trio.open_nursery() as given_up:
        await line_up(nursery)
        await line_up(given_up)
        await line_up(nursery)
        scraped.level = 1
        while scraped.times < 2:
            await trio.lowlevel.checkpoint()
        given_up.cancel_scope.cancel()
    assert told == [{0}, {1}]
    assert scraped.times == 3


async def test_others_have_a_turn_after_each_slice() -> None:
    read: list[int] = []
    steps = 0
    most = 0

    def note(thing: int) -> tuple[int]:
        read.append(thing)
        return (thing,)

    many = Many(
        lambda: {str(number): number for number in range(10 * SLICE + 1)},
        [Family.of(gauge(), note)],
    )
    async with trio.open_nursery() as nursery:

        async def others() -> None:
            nonlocal steps, most
            while True:
                before = len(read)
                await trio.lowlevel.checkpoint()
                steps += 1
                most = max(most, len(read) - before)

        nursery.start_soon(others)
        await many.write(choose_encoder("")[0])
        nursery.cancel_scope.cancel()
    assert len(read) == 10 * SLICE + 1
    assert most <= 2 * SLICE  # tasks take their turns in any order
    assert steps >= 8
