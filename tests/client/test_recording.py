"""Loads on a virtual clock, against a server of known speed: every figure is known beforehand."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from scalab.client.header import make_header
from scalab.client.liverun import LiveRun
from scalab.client.load import Load
from scalab.client.requests import Sending
from scalab.measure.interval import DRAIN, IDLE, MEASURE, RAMP, WARM_UP, Interval
from scalab.protocol.messages import Reply
from scalab.runtime.service import Stop
from tests.support import scenario


class Run:
    """A load on a server that answers each request after ``serves_s`` of it, in any number."""

    def __init__(self, serves_s: Callable[[float], float], **options: Any) -> None:
        self.scenario = scenario(**options)
        self.load = Load(self.scenario)
        self.live = LiveRun(self.load, make_header(self.scenario, (), 1.0), 1.0, Stop())
        self.recording = self.live.recording
        self.sent: list[Sending] = []
        self._serves_s = serves_s

    async def to_its_end(self, *changes: tuple[float, Callable[[], object]]) -> None:
        """Run the load, doing what is given at its times."""
        self.load.connected("the frontend")
        self.recording.begin()
        self.start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, nursery)
            nursery.start_soon(self._cut)
            for at_s, change in changes:
                await trio.sleep_until(self.start + at_s)
                change()
            end_s = self.scenario.end_s
            if end_s == float("inf"):
                await self.load.until_done()
            else:
                await trio.sleep_until(self.start + end_s)
            self.recording.close()
            nursery.cancel_scope.cancel()
        self.live.finish("time")

    async def _send(self, nursery: trio.Nursery) -> None:
        while True:
            for sending in self.load.take(trio.current_time()):
                self.sent.append(sending)
                nursery.start_soon(self._serve, sending)
            await self.load.wait_due()

    async def _serve(self, sending: Sending) -> None:
        run_s = self._serves_s(sending.sent - self.start)
        await trio.sleep(run_s)
        reply = Reply(outcome="success", node="n", device="d", runtime_s=run_s)
        self.load.completed(sending, reply, trio.current_time())
        self.load.wake()

    async def _cut(self) -> None:
        while True:
            await trio.sleep_until(self.recording.next_cut(trio.current_time()))
            self.recording.cut(trio.current_time())

    @property
    def intervals(self) -> list[Interval]:
        """What was recorded."""
        return [record for record in self.recording.unwritten if isinstance(record, Interval)]

    @property
    def sent_at(self) -> list[float]:
        """When each request was sent, since the start."""
        return [round(sending.sent - self.start, 6) for sending in self.sent]

    def phases(self) -> list[tuple[str, float, float]]:
        """The phases, and from when to when they were."""
        phases: list[tuple[str, float, float]] = []
        for interval in self.intervals:
            from_s, to_s = round(interval.from_s, 6), round(interval.to_s, 6)
            if phases and phases[-1][0] == interval.phase:
                from_s = phases.pop()[1]
            phases.append((interval.phase, from_s, to_s))
        return phases


def takes(seconds: float) -> Callable[[float], float]:
    return lambda _sent_s: seconds


async def test_a_closed_loop_is_as_fast_as_its_server(autojump_clock: MockClock) -> None:
    run = Run(takes(0.5), parallel=2, duration_s=10.25)
    await run.to_its_end()

    assert run.sent_at == [n / 2 for n in range(21) for _ in range(2)]
    measured = run.live.statistics()
    assert measured.window_s == pytest.approx(10.25)
    assert measured.completed == 40
    assert measured.run.p50_s == measured.run.max_s == 0.5
    assert (measured.corrected.count, measured.delay.count) == (0, 0)
    assert [round(i.duration_s, 6) for i in run.intervals] == [*[1.0] * 10, 0.25, 0.0]
    assert run.recording.run().whole.aborted == 2


async def test_a_rate_is_kept_to_the_millisecond(autojump_clock: MockClock) -> None:
    run = Run(takes(0.2), rate="8/s", duration_s=4)
    await run.to_its_end()

    assert run.sent_at == [n / 8 for n in range(32)]
    statistics = run.live.statistics()
    assert (statistics.sent, statistics.completed, statistics.throughput) == (32, 31, 7.75)
    assert statistics.delay.max_s == statistics.late.max_s == 0
    assert statistics.corrected == statistics.total


async def test_a_ramp_sends_by_the_integral_of_its_rate(autojump_clock: MockClock) -> None:
    run = Run(takes(0.01), stages="0→10/s@10s, 10/s@2s")
    await run.to_its_end()

    expected = [(2 * i) ** 0.5 for i in range(50)] + [10 + i / 10 for i in range(20)]
    assert len(run.sent_at) == 70
    assert run.sent_at == pytest.approx(expected, abs=0.0011)  # sent together within a pulse
    assert run.phases() == [(RAMP, 0.0, 10.0), (MEASURE, 10.0, 12.0), (DRAIN, 12.0, 12.0)][:2]
    measured = run.live.statistics()
    assert measured.sent in {19, 20}  # one is sent at the very moment at which the ramp ends
    assert measured.throughput == pytest.approx(10, abs=0.6)


def frozen(from_s: float, to_s: float, takes_s: float) -> Callable[[float], float]:
    """A server that does nothing for a while, whatever it has."""

    def serves_s(sent_s: float) -> float:
        end_s = sent_s + takes_s
        return takes_s if end_s <= from_s or sent_s >= to_s else to_s - sent_s + takes_s

    return serves_s


async def test_a_stall_shows_in_the_corrected_latency_and_hardly_in_the_raw(
    autojump_clock: MockClock,
) -> None:
    run = Run(frozen(5, 7, 0.02), rate="100/s", max_in_flight=4, duration_s=20)
    await run.to_its_end()

    statistics = run.live.statistics()
    assert (statistics.sent, statistics.dropped) == (2000, 0)
    # Four requests met the stall, of 2000; the arrivals of two seconds had to wait for it.
    assert statistics.total.max_s > 2.0
    assert statistics.total.p99_s < 0.03
    assert statistics.corrected.p99_s == pytest.approx(2.0, abs=0.2)
    assert 200 < statistics.held < 600
    assert statistics.late.max_s < 0.002


async def test_what_can_not_be_sent_in_time_is_dropped_and_counted(
    autojump_clock: MockClock,
) -> None:
    run = Run(frozen(5, 7, 0.02), rate="100/s", max_in_flight=4, catch_up_s=0.5, duration_s=20)
    await run.to_its_end()

    statistics = run.live.statistics()
    assert statistics.sent + statistics.dropped == 2000
    assert statistics.dropped == pytest.approx(150, abs=3)
    assert statistics.corrected.p99_s < 2.1
    assert statistics.delay.max_s <= 0.5


async def test_warm_up_ramps_and_pauses_are_not_measured(autojump_clock: MockClock) -> None:
    stages = "2→4@3s, 4@3s, 0→0@2s, 2→2@4s"
    run = Run(takes(0.5), stages=stages, warm_up_s=1.5)
    await run.to_its_end()

    assert run.phases()[:5] == [
        (WARM_UP, 0.0, 1.5),
        (RAMP, 1.5, 3.0),
        (MEASURE, 3.0, 6.0),
        (IDLE, 6.0, 8.0),
        (MEASURE, 8.0, 12.0),
    ]
    measured = run.recording.measured
    assert measured.duration_s == pytest.approx(7.0)
    stages_measured = run.recording.run().stages
    assert sorted(stages_measured) == [1, 3]
    assert stages_measured[1].asked == pytest.approx(12.0)
    assert stages_measured[3].statistics().throughput == pytest.approx(4.0, abs=0.6)


async def test_a_late_cut_leaves_a_held_level_held(autojump_clock: MockClock) -> None:
    """A busy loop cuts after the stage has changed; what it cuts is of the stage before."""
    run = Run(takes(0.1), stages="4@3s, 4→8@2s, 8@3s")
    cut = run.recording.cut
    run.recording.cut = lambda now: cut(now + 0.002)  # type: ignore[method-assign]
    await run.to_its_end()

    stages = run.recording.run().stages
    assert [stages[i].duration_s for i in (0, 2)] == pytest.approx([3.0, 3.0], abs=0.01)
    assert stages[0].asked == pytest.approx(12.0, abs=0.05)


async def test_a_change_begins_a_window_and_is_on_record(autojump_clock: MockClock) -> None:
    run = Run(takes(0.1), rate="10/s", duration_s=10)
    await run.to_its_end((4.05, lambda: run.live.set_level(20.0)))

    # The arrival that was half due keeps its half.
    after = [t for t in run.sent_at if t > 4.01]
    assert after[:3] == pytest.approx([4.075, 4.125, 4.175], abs=1e-6)
    assert len(run.sent) == 41 + 119
    measured = run.recording.measured
    assert measured.from_s == pytest.approx(4.05)
    assert {interval.window for interval in run.intervals} == {0, 1}
    (event,) = [event for event in run.recording.run().events if event.kind == "load"]
    assert event.at_s == pytest.approx(4.05)
    assert (event.level, event.text) == (20.0, "asked for 20/s")


async def test_a_pause_keeps_what_was_measured(autojump_clock: MockClock) -> None:
    run = Run(takes(0.1), parallel=3, duration_s=10)
    await run.to_its_end((2.0, run.live.pause), (5.0, run.live.resume))

    measured = run.recording.measured
    assert measured.duration_s == pytest.approx(7.0)
    assert measured.from_s == 0.0
    assert not [t for t in run.sent_at if 2.0 < t < 5.0]
    assert run.phases()[:3] == [(MEASURE, 0.0, 2.0), (IDLE, 2.0, 5.0), (MEASURE, 5.0, 10.0)]


async def test_a_reset_forgets_what_was_measured(autojump_clock: MockClock) -> None:
    run = Run(takes(0.1), parallel=1, duration_s=10)
    await run.to_its_end((2.5, run.live.reset))

    assert run.live.statistics().window_s == pytest.approx(7.5)
    assert [(e.from_s, e.to_s) for e in run.recording.run().earlier] == [(0.0, 2.5)]


async def test_a_run_of_so_many_requests(autojump_clock: MockClock) -> None:
    run = Run(takes(0.5), parallel=2, requests=7)
    await run.to_its_end()

    assert len(run.sent) == 7
    assert run.live.statistics().completed == 7


async def test_queues_share_the_load_by_weight_and_the_same_seed_makes_the_same_run(
    autojump_clock: MockClock,
) -> None:
    async def one(seed: int) -> list[tuple[int, float]]:
        run = Run(takes(0.05), queues=("a=3", "b"), stages="20/s@20s", arrival="poisson", seed=seed)
        await run.to_its_end()
        return [(s.queue, s.intended - run.start) for s in run.sent]

    first, again, other = [await one(seed) for seed in (1, 1, 2)]

    assert [queue for queue, _ in first] == [queue for queue, _ in again]
    assert [at for _, at in first] == pytest.approx([at for _, at in again])
    assert [queue for queue, _ in first] != [queue for queue, _ in other]
    share = sum(queue == 0 for queue, _ in first) / len(first)
    assert share == pytest.approx(0.75, abs=0.08)


async def test_memory_does_not_grow_with_the_length_of_a_run(autojump_clock: MockClock) -> None:
    """Three hours, in which everything that can differ does."""
    rng = random.Random(1)
    run = Run(lambda _: rng.lognormvariate(-2, 0.5), rate="3/s", duration_s=3 * 3600)
    kept: dict[int, int] = {}

    def look() -> None:
        run.recording.unwritten.clear()  # as the writer does
        run.sent.clear()
        gc.collect()
        kept[len(kept)] = len(gc.get_objects())

    await run.to_its_end(*((at_s, look) for at_s in (3600, 5400, 7200, 10700)))

    assert run.live.statistics().completed > 30_000
    assert max(kept.values()) < 1.1 * kept[0]
