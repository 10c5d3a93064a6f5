"""The closed loop against a model that looks at every lane, and in known situations."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import attrs
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from scalab.load.arrivals import Constant
from scalab.load.curve import Curve, Stage
from scalab.load.pacing import ClosedLoop, Due, OpenLoop, Pacer

from .curves import Exact, as_stages, shapes

PARALLEL_MAX = 8


def closed(
    parallel: int, most: int, delay_s: float = 0.0, requests: int | None = None
) -> ClosedLoop:
    return ClosedLoop(Curve.hold(parallel, 0.0), most, delay_s, now=0.0, requests=requests)


def intended(due: list[Due]) -> list[float]:
    return [request.intended_s for request in due]


@attrs.define(eq=False)
class Lane:
    """One of the naive model's lanes."""

    due: float
    busy: bool = False


class ClosedLoopMachine(RuleBasedStateMachine):
    """Time is in whole seconds, so that the model and the pacer compare exactly."""

    @initialize(
        parallel=st.integers(0, PARALLEL_MAX + 2),
        delay=st.integers(0, 3),
        requests=st.none() | st.integers(0, 40),
    )
    def start(self, parallel: int, delay: int, requests: int | None) -> None:
        self.now = 100.0
        self.delay = delay
        self.left = requests
        self.parallel = min(parallel, PARALLEL_MAX)
        self.lanes = [Lane(self.now) for _ in range(self.parallel)]
        curve = Curve.hold(parallel, self.now)
        self.closed = ClosedLoop(curve, PARALLEL_MAX, delay, self.now, requests=requests)
        self.pacer: Pacer = self.closed

    def idle(self) -> list[Lane]:
        return sorted((lane for lane in self.lanes if not lane.busy), key=lambda lane: lane.due)

    def busy(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.busy]

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        ready = [lane for lane in self.idle() if lane.due <= self.now][: self.left]
        for lane in ready:
            lane.busy = True
        if self.left is not None:
            self.left -= len(ready)
        taken = self.pacer.take(self.now, most)
        assert len(taken) == min(most, len(ready))
        assert (self.pacer.next_due(self.now) == self.now) == (len(ready) > most)
        assert taken + self.pacer.take(self.now) == [(self.now, False)] * len(ready)
        assert not self.pacer.take(self.now)  # they were taken

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, len(self.busy())))
        pause = data.draw(st.integers(0, 4))
        for lane in self.busy()[:n]:
            lane.busy = False
            lane.due = self.now + max(self.delay, pause)
            if len(self.lanes) > self.parallel:
                self.lanes.remove(lane)
        self.pacer.finished(self.now, n, pause_s=pause)

    @rule(n=st.integers(-2, PARALLEL_MAX + 3))
    def set_parallel(self, n: int) -> None:
        self.parallel = min(max(n, 0), PARALLEL_MAX)
        if n % 2:
            assert self.closed.set_parallel(n, self.now) == self.parallel
        else:
            assert self.pacer.set_level(n + 0.9 if n < PARALLEL_MAX else n, self.now) == max(
                self.parallel, 0
            )
        assert self.pacer.target == self.parallel
        while len(self.lanes) > self.parallel and self.idle():
            self.lanes.remove(self.idle()[-1])
        while len(self.lanes) < self.parallel:
            self.lanes.append(Lane(self.now))

    @rule()
    def until_due(self) -> None:
        """What next_due promises comes true then, and not before."""
        due = self.pacer.next_due(self.now)
        assume(due is not None)
        assert due is not None
        assert due == max(self.idle()[0].due, self.now)
        if due > self.now:
            assert not self.pacer.take(due - 0.5)
        self.now = due
        before = self.pacer.in_flight
        self.take(PARALLEL_MAX)
        assert self.pacer.in_flight > before

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "pacer"):
            return
        assert self.pacer.in_flight == len(self.busy())
        assert self.closed.parallel == self.pacer.level(self.now) == self.parallel
        assert self.pacer.exhausted == (self.left == 0)
        may_ever_send = self.idle() and self.left != 0
        assert (self.pacer.next_due(self.now) is not None) == bool(may_ever_send)
        assert self.pacer.dropped == self.pacer.held == 0


TestClosedLoop = ClosedLoopMachine.TestCase


def test_a_lane_rests_after_each_request() -> None:
    pacer = closed(2, 2, 0.5)
    assert len(pacer.take(10.0)) == 2
    assert pacer.next_due(10.0) is None
    pacer.finished(11.0)
    assert not pacer.take(11.4)
    assert pacer.next_due(11.4) == 11.5
    assert pacer.take(11.5) == [Due(11.5, held=False)]
    assert pacer.in_flight == 2


def test_raising_takes_effect_at_once_and_lowering_lets_requests_finish() -> None:
    pacer = closed(2, 8, 1.0)
    assert len(pacer.take(0.0)) == 2
    assert pacer.set_parallel(5, 0.0) == 5
    assert len(pacer.take(0.0)) == 3
    assert pacer.set_parallel(1, 0.0) == 1
    assert pacer.in_flight == 5
    pacer.finished(0.0, 4)
    assert pacer.next_due(9.0) is None
    pacer.finished(1.0)
    assert pacer.next_due(1.0) == 2.0
    assert len(pacer.take(2.0)) == 1


def test_the_number_of_requests_is_kept() -> None:
    pacer = closed(3, 3, requests=4)
    assert len(pacer.take(0.0)) == 3
    pacer.finished(0.0, 3)
    assert len(pacer.take(0.0)) == 1
    assert pacer.exhausted
    pacer.finished(0.0)
    assert not pacer.take(1.0)
    assert pacer.next_due(1.0) is None
    assert pacer.in_flight == 0


def test_a_ramp_adds_and_removes_lanes_one_by_one() -> None:
    pacer = ClosedLoop(Curve([Stage(0, 3, 6), Stage(3, 0, 6)], 10.0), 9, 0.0, now=10.0)
    seen: list[tuple[float, int]] = []
    now: float | None = 10.0
    while now is not None and now < 16:
        seen.append((now, len(pacer.take(now))))
        now = pacer.next_due(now)
    assert seen == [(10, 0), (12, 1), (14, 1)]
    assert not pacer.take(16.0), "3 only for a moment, and 2 are in flight"
    assert pacer.next_due(16.0) == 18
    for t, parallel in ((18.0, 1), (20.0, 0), (22.0, 0), (99.0, 0)):
        pacer.finished(t, pacer.in_flight)
        assert pacer.level(t) == len(pacer.take(t)) == pacer.parallel == parallel
    assert pacer.next_due(99.0) is None
    assert not pacer.exhausted, "the level may be raised again"
    assert pacer.set_level(2, 100.0) == 2.0
    assert len(pacer.take(100.0)) == 2


def test_a_ramp_is_made_up_for_when_late() -> None:
    pacer = ClosedLoop(Curve([Stage(0, 5, 5), Stage(2, 2, 5)], 0.0), 4, 1.0, now=0.0)
    assert len(pacer.take(3.5)) == 3
    pacer.finished(3.5, 2)
    assert len(pacer.take(4.5)) == 3, "two that have rested and the fourth, but no fifth"
    pacer.finished(9.0, 4)
    assert pacer.next_due(9.0) == 10.0
    assert len(pacer.take(10.0)) == 0, "the last stage is over"


def test_lanes_that_are_added_together_are_spread() -> None:
    stages = [Stage(4, 4, 10), Stage(6, 6, 10)]
    pacer = ClosedLoop(Curve(stages, 0.0), 20, 0.0, now=0.0, spread_s=2.0)
    times: list[float] = []
    now: float | None = 0.0
    while now is not None and now < 15:
        times += intended(pacer.take(now))
        now = pacer.next_due(now)
    assert times == [0.0, 0.5, 1.0, 1.5, 10.0, 11.0]
    pacer.set_parallel(8, 15.0)
    assert len(pacer.take(15.9)) == 1
    assert len(pacer.take(16.0)) == 1


def test_a_spread_begins_when_the_level_jumps_even_if_nobody_looks() -> None:
    stages = [Stage(4, 4, 10), Stage(8, 8, 10)]
    pacer = ClosedLoop(Curve(stages, 0.0), 20, 0.0, now=0.0, spread_s=2.0)
    assert len(pacer.take(9.0)) == 4
    assert len(pacer.take(11.0)) == 3, "those of 10, 10.5 and 11 s"
    assert pacer.next_due(11.0) == 11.5


def test_a_ramp_goes_on_while_lanes_rest() -> None:
    pacer = ClosedLoop(Curve([Stage(1, 3, 10)], 0.0), 9, 100.0, now=0.0)
    assert len(pacer.take(0.0)) == 1
    pacer.finished(1.0)
    assert pacer.next_due(1.0) == 5.0
    assert len(pacer.take(5.0)) == 1


def test_a_ramp_is_not_spread() -> None:
    pacer = ClosedLoop(Curve([Stage(0, 100, 1)], 0.0), 100, 0.0, now=0.0, spread_s=60.0)
    assert len(pacer.take(0.5)) == 50


@given(shapes, st.lists(st.floats(0, 100), max_size=20), st.data())
def test_lanes_follow_any_curve(
    shape: list[Exact], waits: list[float], data: st.DataObject
) -> None:
    shape = [(a / 100, b / 100, d) for a, b, d in shape]
    curve, now = Curve(as_stages(shape), 5.0), 5.0
    pacer = ClosedLoop(curve, 20, 0.0, now)
    for wait in waits:
        due = pacer.next_due(now)
        now = min(now + wait, inf if due is None else due)
        before = pacer.in_flight
        taken = len(pacer.take(now))
        wanted = min(curve.whole(now)[0], 20)
        assert taken == max(wanted - before, 0)
        pacer.finished(now, data.draw(st.integers(0, pacer.in_flight)))


@pytest.mark.parametrize(
    "numbers",
    [{"parallel_max": -1}, {"delay_s": -0.1}, {"requests": -1}, {"spread_s": -1}],
    ids=str,
)
def test_negative_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        ClosedLoop(Curve.hold(1, 0.0), **{"parallel_max": 1, "delay_s": 0, "now": 0, **numbers})


@pytest.mark.parametrize("n", [2, -1])
@pytest.mark.parametrize(
    "pacer",
    [lambda: closed(4, 4, requests=1), lambda: OpenLoop(Constant(Curve.hold(9, 0.0)), 1, 0)],
)
def test_more_than_is_in_flight_cannot_finish(pacer: Callable[[], Pacer], n: int) -> None:
    made = pacer()
    assert len(made.take(0.0)) == 1
    with pytest.raises(ValueError, match="in flight"):
        made.finished(0.0, n)
    assert made.in_flight == 1
    with pytest.raises(ValueError, match="not a number"):
        made.set_level(float("nan"), 0.0)
