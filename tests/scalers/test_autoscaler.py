"""The simulated autoscaler, by a virtual clock and against decisions worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest
import trio
from trio.testing import MockClock

from scalab.errors import ConfigError
from scalab.scalers.autoscaler import SYNC_S, SimulatedAutoscaler
from scalab.scalers.base import Readiness
from scalab.scaling.hpa import Behavior, HpaDecision, Policy
from scalab.scaling.observed import Target

TARGET = Target(items=2.0, minimum=1, maximum=10)
CALM = Behavior(stabilization_s=60, policies=(Policy("percent", 100),))


class Noted:
    """A scaler that notes what it is asked for, and of which no worker ever comes up."""

    name = "noted"
    slots_per_worker = 1

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.asked: list[tuple[float, int]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def scale(self, workers: int) -> None:
        await trio.lowlevel.checkpoint()
        self.asked.append((trio.current_time(), workers))
        self.workers = workers

    async def readiness(self) -> Readiness:
        await trio.lowlevel.checkpoint()
        return Readiness(wanted=self.workers, ready=0)


async def scaled(
    demand_at: Callable[[float], float | None], until_s: float, workers: int = 1
) -> tuple[list[tuple[float, int]], list[HpaDecision], int]:
    """What a scaler is asked for in a time from 0 on; all decisions; and the looks missed."""
    scaler, decisions = Noted(workers), list[HpaDecision]()

    async def read_demand() -> float | None:
        await trio.lowlevel.checkpoint()
        return demand_at(trio.current_time())

    autoscaler = SimulatedAutoscaler(
        scaler, read_demand, TARGET, down=CALM, on_decision=decisions.append
    )
    with trio.move_on_after(until_s):
        await autoscaler.run()
    return scaler.asked, decisions, autoscaler.missed


async def test_it_follows_demand(autojump_clock: MockClock) -> None:
    asked, decisions, missed = await scaled(lambda now: 16 if 20 <= now < 100 else 2, 200)

    # Looked at 30 s: 8 are needed, 5 may be had at once. At 105 s they are too many; the last
    # time that they were needed was at 90 s, so they are kept until 150 s.
    assert asked == [(30, 5), (45, 8), (150, 1)]
    assert [d.at_s for d in decisions] == [SYNC_S * n for n in range(14)]
    assert (decisions[2].demand, decisions[2].recommended, decisions[2].desired) == (16, 8, 5)
    assert not missed


async def test_what_is_not_up_yet_is_not_asked_for_twice(autojump_clock: MockClock) -> None:
    asked, _, _ = await scaled(lambda _: 8, 100)

    assert asked == [(0, 4)]


async def test_without_a_metric_nothing_changes(autojump_clock: MockClock) -> None:
    asked, decisions, missed = await scaled(lambda now: None if now < 40 else 8, 50, workers=3)

    assert asked == [(45, 4)]
    assert len(decisions) == 1
    assert missed == 3


async def test_a_metric_that_never_comes_holds_nothing_up(autojump_clock: MockClock) -> None:
    autoscaler = SimulatedAutoscaler(Noted(1), trio.sleep_forever, TARGET, sync_s=5)
    with trio.move_on_after(31):
        await autoscaler.run()

    assert autoscaler.missed == 3  # of 5 s each, and 5 s apart: at 5, 15 and 25 s


def test_it_must_look_now_and_then() -> None:
    with pytest.raises(ConfigError, match="every 0 s"):
        SimulatedAutoscaler(Noted(1), trio.sleep_forever, TARGET, sync_s=0)
