"""How a run is doing, in lines."""

from __future__ import annotations

import structlog
import trio

from scalab.client.plain import progress, tell
from scalab.measure.statistics import Spread
from scalab.verdict.results import Checked, Judged

from .watching import FakeRun, statistics


def test_a_line_of_progress() -> None:
    run = FakeRun(elapsed_s=30.4, thresholds=[], rates=[10.0] * 50 + [50.0, 50.2] * 5)

    assert progress(run) == (
        "measure 30 s: 50.1/s, 50 in parallel asked, 49 in flight, p50 1.01 s, p95 1.52 s, 3 failed"
    )
    assert run.looks == [False]


def test_a_line_of_progress_in_an_open_loop() -> None:
    found = statistics(corrected=True, dropped=7)
    run = FakeRun(open_loop=True, rates=[], found=found, connected=False, paused=True)
    run.checked = [Checked(name="generator", state="invalid", text="too slow")]

    assert progress(run) == (
        "measure 63 s: 50.1/s of 50/s asked, 49 in flight, p50 1.02 s, p95 1.53 s, 3 failed, "
        "7 dropped, 1 threshold crossed, checks not ok: generator, paused, not connected"
    )


def test_a_line_of_progress_before_anything_is_known() -> None:
    run = FakeRun(phase="", thresholds=[Judged(expression="x", ok=False, value="no data")])
    run.found = statistics(total=Spread(), failed=0)

    assert progress(run) == ("starting 63 s: 49.5/s, 50 in parallel asked, 49 in flight, 0 failed")


async def test_lines_come_at_their_times(autojump_clock: trio.testing.MockClock) -> None:
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell, FakeRun(), 10.0)
            await trio.sleep(9)
            assert logged == []
            await trio.sleep(22)
            nursery.cancel_scope.cancel()

    assert [entry["event"].split(":")[0] for entry in logged] == ["measure 63 s"] * 3
