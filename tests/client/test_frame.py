"""What the live view shows, and in which room."""

from __future__ import annotations

import io
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from rich.console import Console

from scalab.client.canvas import render
from scalab.client.frame import Scene, draw
from scalab.measure.fairness import outliers
from scalab.measure.statistics import ErrorCount, Place
from scalab.verdict.results import Checked, Judged

from .watching import Estimate, FakeRun, place, statistics

DEVICES = tuple(place(f"node-{i // 4}/renderD{128 + i % 4}", 100 + i) for i in range(20))


def scene(run: FakeRun | None = None, **changed: Any) -> Scene:
    run = run or FakeRun()
    given_: dict[str, Any] = {
        "watched": run,
        "statistics": run.found,
        "throughput": run.estimate,
        "judged": run.thresholds,
        "checks": run.checked,
    }
    return Scene(**{**given_, **changed})


def picture(shown: Scene, width: int = 79, height: int = 24) -> list[str]:
    return [line.plain.rstrip() for line in draw(shown, width, height)]


@pytest.mark.parametrize(("width", "height"), [(79, 20), (79, 24), (59, 15), (199, 50)])
def test_what_matters_is_shown_in_any_usual_size(width: int, height: int) -> None:
    text = "\n".join(picture(scene(), width, height))

    assert "media, sleep" in text
    assert "measure · 1:03, 0:57 left" in text
    assert "50.1/s, 50 in parallel, 49 in flight" in text
    assert "49.9/s ± 0.80 % in 30.0 s, 1,500 completed, 3" in text
    assert "✗ failed < 0.1 %  0.20 %" in text
    assert "✓ total p95 < 2 s  1.51 s" in text
    assert "checks     all ok" in text
    assert re.search(r"overhead .*1\.00 ms", text)
    assert "timeout 2 · lost 1" in text


def test_a_spacious_terminal_shows_all() -> None:
    text = "\n".join(picture(scene(places=DEVICES), 199, 50))

    assert "20 devices" in text
    assert all(device.name in text for device in DEVICES)
    assert "exit code 247: no such device" in text
    assert "asked for 40" in text
    assert "q stop" in text
    assert "run 7f3a91c2" in text


def test_an_open_loop_shows_its_rate_and_corrected_times() -> None:
    found = statistics(corrected=True, dropped=12, held=5)
    shown = picture(scene(FakeRun(open_loop=True, level=52.5, found=found)), 119, 40)

    text = "\n".join(shown)
    assert "50.1/s of 52.5/s asked" in text
    assert "corrected" in text
    assert "12 dropped, 5 held" in text
    assert "+/- 5 %" in text


def test_a_closed_loop_shows_no_corrected_times() -> None:
    assert "corrected" not in "\n".join(picture(scene()))


def test_trouble_is_shown() -> None:
    run = FakeRun(
        connected=False,
        paused=True,
        recent_failure_rate=1.5,
        checked=[
            Checked(name="lag", state="caveat", text="the loop was late"),
            Checked(name="generator", state="invalid", text="too slow"),
            Checked(name="wait", state="ok", text="fine"),
        ],
    )

    text = "\n".join(picture(scene(run)))

    assert "PAUSED  NOT CONNECTED" in text
    assert "1.50/s failing" in text
    assert "generator: invalid  too slow" in text
    assert text.index("generator") < text.index("lag: caveat")
    assert "all ok" not in text
    assert "p resume" in text


def test_what_was_not_checked_is_not_all_ok() -> None:
    run = FakeRun(checked=[Checked(name="lag", state="skipped", text="")])

    assert "checks" not in "\n".join(picture(scene(run)))


def test_a_threshold_of_which_nothing_is_known_is_not_crossed() -> None:
    run = FakeRun(thresholds=[Judged(expression="p95 < 2 s", ok=False, value="no data yet")])

    text = "\n".join(picture(scene(run)))

    assert "· p95 < 2 s  no data yet" in text
    assert "✗" not in text


def test_many_thresholds_and_checks_are_counted() -> None:
    crossed = [Judged(expression=f"p{i} < 1 s", ok=False, value="2 s") for i in range(50, 60)]
    odd = [Checked(name=f"c{i}", state="caveat", text="odd") for i in range(7)]

    text = "\n".join(picture(scene(FakeRun(thresholds=crossed, checked=odd)), 79, 40))

    assert text.count("✗ p") == 3
    assert "✗ and 7 more" in text
    assert "… and 4 more" in text


@attrs.frozen
class Case:
    run: FakeRun
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case(FakeRun(remaining_s=None), "1:03, until stopped"),
        Case(FakeRun(elapsed_s=7207.9, remaining_s=0.4), "2:00:07, 0:00 left"),
        Case(FakeRun(phase=""), "· starting ·"),
        Case(FakeRun(estimate=None), "49.9/s in 30.0 s"),
        Case(FakeRun(estimate=Estimate(0.0)), "49.9/s in 30.0 s, 1,500"),
        Case(FakeRun(rates=[]), "49 in flight"),
        Case(FakeRun(rates=[0.0, 0.0]), "49 in flight"),
    ],
    ids=lambda case: case.said,
)
def test_odd_states(case: Case) -> None:
    assert case.said in "\n".join(picture(scene(case.run)))


def test_nothing_measured_yet() -> None:
    found = statistics(failed=0, failures={}, completed=0, throughput=0.0, window_s=0.0)
    text = "\n".join(picture(scene(FakeRun(found=found, estimate=None))))

    assert "0/s in 0 s, 0 completed, 0 failed" in text
    assert "failures" not in text


def with_odd_ones() -> list[Place]:
    devices = [attrs.evolve(device, served=1000) for device in DEVICES]
    devices[3] = place(devices[3].name, 900, run_s=2.0)
    devices[7] = place(devices[7].name, 900, failed=300)
    return devices


def test_devices_that_stand_out_are_marked() -> None:
    devices = with_odd_ones()
    lines = picture(scene(places=devices, outliers=outliers(devices)), 99, 60)

    marked = {line.split()[0]: line.split()[-1] for line in lines if line.startswith("  node-")}
    assert marked[devices[3].name] == "slow"
    assert marked[devices[7].name] == "failing"
    assert list(marked) == sorted(marked)
    assert sum(mark in {"slow", "failing"} for mark in marked.values()) == 2


def test_devices_that_stand_out_are_shown_first_if_not_all_fit() -> None:
    devices = with_odd_ones()

    lines = picture(scene(places=devices, outliers=outliers(devices)), 79, 20)

    text = "\n".join(lines)
    assert devices[3].name in text
    assert devices[7].name in text
    assert "… and 18 more" in text


@pytest.mark.parametrize("n", [1, 2, 4, 20])
def test_devices_take_the_rows_that_are_left(n: int) -> None:
    all_shown = False
    for height in range(14, 50):
        lines = picture(scene(places=DEVICES[:n]), 79, height)
        text = "\n".join(lines)
        shown = sum(device.name in text for device in DEVICES[:n])
        assert len(lines) <= height - 1
        if 0 < shown < n:
            assert f"… and {n - shown} more" in text
            assert shown < n - 1  # the row that says so would do for the last one
            assert len(lines) == height - 1
        all_shown = all_shown or shown == n
    assert all_shown


def test_a_message_takes_the_place_of_the_help() -> None:
    assert picture(scene(message="asked for 51"))[-1] == " asked for 51"
    assert "q stop" in picture(scene())[-1]
    assert picture(scene(help=False))[-1].startswith("             asked for 50")
    assert "^C stops" in picture(scene(keys=False))[-1]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(
    width=st.integers(1, 210),
    height=st.integers(1, 60),
    name=texts,
    error=texts,
    count=st.integers(0, 12),
    crossed=st.integers(0, 8),
    open_loop=st.booleans(),
    n=st.sampled_from([0, 1, 999, 10**9]),
)
def test_lines_fit_whatever_peers_send(
    *,
    width: int,
    height: int,
    name: str,
    error: str,
    count: int,
    crossed: int,
    open_loop: bool,
    n: int,
) -> None:
    devices = tuple(place(f"{name}{i}", n, failed=n // 2) for i in range(count))
    found = statistics(
        devices,
        corrected=open_loop,
        completed=n,
        failed=n,
        failures={name: n},
        errors=(ErrorCount(error, n),),
        dropped=n,
    )
    run = FakeRun(
        title=name,
        found=found,
        open_loop=open_loop,
        level=n,
        in_flight=n,
        events=[error],
        thresholds=[Judged(expression=error, ok=False, value=name)] * crossed,
        checked=[Checked(name=name, state="invalid", text=error)],
        connected=bool(n),
        paused=not n,
    )

    lines = draw(
        scene(run, places=devices, outliers=outliers(devices), message=error), width, height
    )

    assert 1 <= len(lines) <= max(height - 1, 1)
    for line in lines:
        assert line.plain.isprintable()
        assert cell_len(line.plain) <= width
    written = [line.text for line in render(lines, Console(color_system=None))]
    assert all(cell_len(text) <= width for text in written)


def test_what_an_encoding_lacks_is_replaced() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    run = FakeRun(title="küche")
    lines = render(draw(scene(run, places=DEVICES), 79, 24), Console(file=ascii_only))

    assert all(line.text.isascii() for line in lines)
    assert "k\\xfcche" in lines[0].text
    assert "x failed < 0.1 %" in "\n".join(line.text for line in lines)
