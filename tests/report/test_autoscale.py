"""The report of a run with an autoscaler: what is drawn and said of it."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest

from scalab.measure.summary import to_plain
from scalab.report.plots.spec import Area, Chart, Line
from scalab.report.scaling.autoscale import (
    MAX_RISES,
    RISE_HEAD,
    facts,
    rise_cells,
    story,
    to_fragment,
)
from scalab.report.scaling.autoscale_figures import MAX_LIVES, charts, thinned
from scalab.report.scaling.autoscale_text import lines
from scalab.scaling.autoscale import AutoscaleReport, analyse
from scalab.scaling.criteria import Criteria
from scalab.scaling.observed import Sample, WorkerLife
from tests.scaling.timelines import CLEAN, LIVES, TARGET, sample, timeline

EVIL = "<script>alert('1')</script>&\"'\x1b[2J"


def report(
    samples: list[Sample] = CLEAN, lives: list[WorkerLife] = LIVES, **criteria: float
) -> AutoscaleReport:
    return analyse(samples, lives, TARGET, Criteria(**criteria))  # type: ignore[arg-type]


def points(chart: Chart, name: str) -> tuple[tuple[float, float | None], ...]:
    return next(x.points for x in chart.layers if isinstance(x, Line) and x.name == name)


def bars(chart: Chart, name: str) -> list[tuple[float, float, float]]:
    """Each bar of a kind: from, to, and the middle of its row."""
    found = next(x.points for x in chart.layers if isinstance(x, Area) and x.name == name)
    known = [point for point in found if point is not None]
    return [
        (start[0], end[0], round((start[1] + start[2]) / 2, 6))
        for start, end in zip(known[::2], known[1::2], strict=True)
    ]


# --- charts ----------------------------------------------------------------------------------


def test_the_queue_is_waiting_on_top_of_running() -> None:
    items = charts(report())[0]
    layers = {layer.name: layer for layer in items.layers}

    waiting, running = layers["waiting"], layers["running"]
    assert isinstance(waiting, Area)
    assert isinstance(running, Area)
    assert waiting.points[1] == (10, 1, 4)
    assert running.points[1] == (10, 0, 1)
    assert points(items, "target of the workers connected")[:3] == ((0, 1), (10, 1), (10, 1))
    assert items.y.high > 4


def test_workers_are_steps() -> None:
    workers = charts(report())[1]

    assert points(workers, "desired")[:5] == ((0, 1), (10, 1), (10, 1), (20, 1), (20, 4))
    assert points(workers, "needed")[:3] == ((0, 1), (10, 1), (10, 4))
    assert points(workers, "ready")[-2:] == ((80, 4), (80, 1))
    assert [mark.x for mark in workers.marks] == [10]
    assert [(shade.low, shade.high) for shade in workers.shades] == [(60, 80)]


def test_lives_are_bars_from_the_top() -> None:
    lives = charts(report())[2]

    assert bars(lives, "starting") == [(19, 29, 2.5), (19, 38, 1.5), (19, 38, 0.5)]
    assert bars(lives, "ready") == [(29, 31, 2.5), (38, 39, 1.5), (38, 39, 0.5)]
    assert bars(lives, "working") == [
        (0, 80, 3.5), (31, 75, 2.5), (39, 75, 1.5), (39, 75, 0.5)
    ]  # fmt: skip
    assert lives.data.rows[1].cells == (
        *("2", "w-2", "19.0 s", "20.0 s", "22.0 s", "29.0 s", "31.0 s", "75.0 s"),
    )


@pytest.mark.parametrize(
    ("times", "drawn"),
    [
        ({}, {"starting": [(5, 80, 0.5)]}),
        ({"gone_s": 9}, {"starting": [(5, 9, 0.5)]}),
        ({"ready_s": 7}, {"starting": [(5, 7, 0.5)], "ready": [(7, 80, 0.5)]}),
        ({"first_item_s": 7}, {"starting": [(5, 7, 0.5)], "working": [(7, 80, 0.5)]}),
    ],
)
def test_of_a_life_what_was_seen_is_drawn(
    times: dict[str, float], drawn: dict[str, list[tuple[float, float, float]]]
) -> None:
    lives = charts(report(lives=[WorkerLife(name="w", asked_s=5, **times)]))[2]

    for kind in ("starting", "ready", "working"):
        assert bars(lives, kind) == drawn.get(kind, [])


def test_all_rows_tell_what_was_seen() -> None:
    rows = charts(report())[1].data.rows

    assert rows[1].cells == ("10.0 s", "4", "3", "1", "4", "1", "1", "1", "0")
    assert (rows[1].low, rows[1].high) == (10, 20)


def test_long_runs_are_thinned_and_keep_their_peaks() -> None:
    seen = [sample(i, 9 if i == 777 else 1, 1) for i in range(5000)]
    kept = thinned(seen, 600)

    assert len(kept) <= 600
    assert 777 in [s.at_s for s in kept]
    assert [s.at_s for s in kept] == sorted(s.at_s for s in kept)
    assert all(len(chart.data.rows) <= 100 for chart in charts(report(seen, [])))


def test_many_workers_are_cut() -> None:
    many = [WorkerLife(name=f"w-{i}", asked_s=i) for i in range(MAX_LIVES + 7)]
    lives = charts(report(lives=many))[2]

    assert len(lives.data.rows) == MAX_LIVES
    assert "7 more are not shown" in lives.note


def test_without_anything_seen_there_is_nothing_to_draw() -> None:
    assert charts(report([], [])) == ()
    assert "INCONCLUSIVE" in to_fragment(report([], []))
    assert len(charts(report(lives=[]))) == 2


# --- words -----------------------------------------------------------------------------------


def test_the_story_of_a_rise() -> None:
    (rise,) = report().rises

    assert story(rise) == (
        "From 1 to the 4 workers needed it took 30.0 s: 10.0 s until more were asked for, "
        "9.00 s until the first one was ready, 2.00 s until its first item, "
        "9.00 s until there were enough."
    )
    late = attrs.evolve(rise, target_after_s=None)
    assert story(late).endswith("there were not enough in the 30.0 s that demand was too high.")
    never = attrs.evolve(late, reacted_after_s=None)
    assert story(never).endswith("none was asked for in the 30.0 s that demand was too high.")


def test_what_comes_after_there_are_enough_is_not_part_of_the_way() -> None:
    (rise,) = report().rises
    early = attrs.evolve(rise, target_after_s=20.0)

    assert "first item" not in story(early)
    assert story(early).endswith("1.00 s until there were enough.")


def test_cells_of_a_rise() -> None:
    cells = dict(zip(RISE_HEAD, rise_cells(report().rises[0]), strict=True))

    assert (cells["at"], cells["items"], cells["workers"]) == ("10.0 s", "4", "1 → 4")
    assert (cells["asked for"], cells["enough"]) == ("10.0 s", "30.0 s")


def test_facts() -> None:
    lossy = [attrs.evolve(s, lost=int(s.at_s > 60), redelivered=int(s.at_s)) for s in CLEAN]
    told = dict(facts(report(lossy)))

    assert told["target"] == ["1 item per worker", "1 to 10 workers", "tolerance 10 %"]
    assert told["startup"][0] == "asked to created 1.50 s (at most 2.00 s)"
    assert told["cost"] == [
        "210 worker-seconds, 91.3 % of the 230 needed", "60 too many", "80 missing"
    ]  # fmt: skip
    assert told["waiting"] == ["80 item-seconds in the queue", "longest 0 s"]
    assert told["scale-downs"] == [
        "1", "1 request lost", "20 run again", "60 run again at other times"
    ]  # fmt: skip


# --- text and page ---------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 140])
def test_text_fits(width: int) -> None:
    text = to_plain(lines(report(react_within_s=15, lost_max=0), width))

    assert max(map(len, text.splitlines())) <= width
    assert text.splitlines()[0].split()[:3] == ["PASS", "asked", "for"]
    for head in ("workers", "asked for", "ready", "enough"):
        assert head in text
    assert "From 1 to the 4 workers needed" in text


def test_the_example_of_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "autoscale.md"
    text = to_plain(lines(report(react_within_s=15, lost_max=0), 100))

    assert f"```\n{text.strip(chr(10))}\n```" in page.read_text()


def test_text_shows_the_longest_rises_and_flags() -> None:
    stairs = timeline(
        [(0, 1, 1), *((t, n, d) for n in range(2, 9) for t, d in ((10 * n, n - 1), (11 * n, n)))]
    )
    found = report(sorted(stairs, key=lambda s: s.at_s), [])
    text = to_plain(lines(found, 100))

    assert len(found.rises) > 5
    assert f"and {len(found.rises) - 5} more" in text
    stuck = to_plain(lines(report(timeline([(0, 1, 1), (9, 40, 1), (99, 40, 1)]), []), 100))
    assert "warning" in stuck
    assert "is its metric" in stuck
    assert stuck.startswith("  FAIL")


def test_the_fragment_is_well_formed_and_says_it_all() -> None:
    root = ET.fromstring(to_fragment(report(react_within_s=5)))
    text = "".join(root.itertext())

    assert root.get("id") == "autoscale"
    assert {f.get("id") for f in root.iter("figure")} == {
        "autoscale-items", "autoscale-workers", "autoscale-lives"
    }  # fmt: skip
    assert "FAIL" in text
    assert "only 10 s after the rise" in text
    assert "From 1 to the 4 workers needed" in text
    assert "91.3 %" in text


def test_the_fragment_has_a_bounded_number_of_rises() -> None:
    waves = timeline(
        (10 * i + t, d, w) for i in range(80) for t, d, w in ((0, 1, 1), (3, 5, 1), (6, 5, 5))
    )
    found = report(list(waves), [])
    page = to_fragment(found)

    assert len(found.rises) == 80
    assert len(re.findall("1 → 5", page)) == MAX_RISES
    assert "30 that were shorter are left out" in page


def test_names_can_do_no_harm() -> None:
    page = to_fragment(report(lives=[WorkerLife(name=EVIL * 100, asked_s=5)]))

    assert "<script" not in page
    assert "\x1b" not in page
    assert page.count("alert") == 2, "cut at 64 characters"
