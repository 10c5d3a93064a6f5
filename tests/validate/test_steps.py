"""Steps of a validation on a virtual clock: real frontend, real load engine, workers in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import attrs
import pytest
import trio
from trio.testing import MockClock

from scalab.client.service import Result, Running, run_client
from scalab.client.settings import ClientSettings
from scalab.runtime.service import Stop
from scalab.scalers.base import Readiness
from scalab.scaling.model import Validation
from scalab.scaling.sizing import Sizer
from scalab.validate.engine import OwnEngine
from scalab.validate.frontend import QueueState
from scalab.validate.service import make_scenario, unfinished
from scalab.validate.settings import ValidateSettings, doubled
from scalab.validate.steps import Stepped, Stepper
from tests.report.scaling.sample_validations import a_step
from tests.support import Frontend, backend_run, serving


class InProcess:
    """Workers in this process, of which some may not come up."""

    name = "in-process"
    slots_per_worker = 1

    def __init__(self, frontend: Frontend, nursery: trio.Nursery, **options: Any) -> None:
        self._frontend = frontend
        self._nursery = nursery
        self._options = options
        self.stops: list[Stop] = []
        self.asked: list[int] = []
        self.most = 1000
        self.trouble = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with trio.move_on_after(5, shield=True):
            await self.scale(0)

    async def scale(self, workers: int) -> None:
        self.asked.append(workers)
        for stop in self.stops[workers:]:
            stop.requested.set()
        del self.stops[workers:]
        while len(self.stops) < min(workers, self.most):
            stop = Stop()
            self.stops.append(stop)
            name = f"worker-{len(self.stops)}"
            run = partial(
                backend_run, self._frontend.bound.workers, "sleep", stop=stop, pod=name,
                node=name, grace_s=100.0, **self._options,
            )  # fmt: skip
            self._nursery.start_soon(run)

    async def readiness(self) -> Readiness:
        return Readiness(wanted=self.asked[-1], ready=len(self.stops), trouble=self.trouble)


class Hub:
    """What a frontend in this process says of its queue, without HTTP."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    async def state(self) -> QueueState:
        queue = await self._frontend.queue()
        slots = queue["slots"]
        return QueueState(
            waiting=queue["waiting"],
            running=queue["running"],
            slots=slots["idle"] + slots["busy"],
            leaving=slots["draining"],
            oldest_s=queue["oldest_wait_s"],
            completed=queue["completed"],
            redelivered=0,
        )


@attrs.frozen
class Scene:
    stepper: Stepper
    scaler: InProcess
    running: Running

    async def steps(self, *workers: int, budget_s: float = 1000.0) -> list[Stepped]:
        sizer = Sizer(workers, required=1.8)
        ends_at = trio.current_time() + budget_s
        return [await self.stepper.step(n, sizer, ends_at) for n in workers]


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    run_s = options.pop("run_s", "0.5")
    settings = ValidateSettings(queue="q", args=(run_s,), **options)
    async with serving(patience_s=1e6) as frontend, trio.open_nursery() as nursery:
        scaler = InProcess(frontend, nursery)
        client = ClientSettings(
            scenario=make_scenario(settings, 64), frontend=frontend.bound.clients, control_addr=None
        )
        stop = Stop()
        running = await nursery.start(run_client, client, stop, Result())
        engine = OwnEngine(running.run)
        yield Scene(Stepper(settings, engine, scaler, Hub(frontend)), scaler, running)  # type: ignore[arg-type]
        stop.requested.set()
        await scaler.scale(0)


async def test_throughput_follows_workers_that_only_wait(autojump_clock: MockClock) -> None:
    async with scene() as at:
        one, two, four = await at.steps(1, 2, 4)

    assert at.scaler.asked[:3] == [1, 2, 4]
    assert one.decision is None
    for stepped, workers in ((one, 1), (two, 2), (four, 4)):
        step = stepped.step
        assert (step.workers, step.parallel, step.problem) == (workers, workers, "")
        assert step.throughput.mean == pytest.approx(2 * workers, rel=0.02)
        assert step.statistics.window_s >= 10
        assert len(step.statistics.pods) == workers
    for decision in (two.decision, four.decision):
        assert decision is not None
        assert (decision.outcome, decision.required) == ("PASS", 1.8)
        assert decision.ratio == pytest.approx(2.0, rel=0.02)


async def test_workers_that_never_come_up_are_an_error_with_the_reason(
    autojump_clock: MockClock,
) -> None:
    async with scene(ready_timeout_s=20.0) as at:
        at.scaler.most = 1
        (one,) = await at.steps(1)
        at.scaler.trouble = "ImagePullBackOff"
        began = trio.current_time()
        (two,) = await at.steps(2)
        took_s = trio.current_time() - began

    assert not one.step.problem
    assert two.step.problem == "only 1 of 2 workers came up within 20.0 s: ImagePullBackOff"
    assert 20 <= took_s < 22


async def test_a_worker_lost_meanwhile_spoils_the_step(autojump_clock: MockClock) -> None:
    async with scene() as at, trio.open_nursery() as nursery:

        async def lose_one() -> None:
            await trio.sleep(8)
            at.scaler.stops.pop().requested.set()

        nursery.start_soon(lose_one)
        (step,) = await at.steps(2)

    assert "instead of 2 while it was measured" in step.step.problem


async def test_what_never_ends_is_told(autojump_clock: MockClock) -> None:
    async with scene(run_s="100000", ready_timeout_s=30.0, drain_timeout_s=5.0) as at:
        (one,) = await at.steps(1)
        (two,) = await at.steps(2)

    assert one.step.problem == "no request ended within 30.0 s"
    assert two.step.problem == "1 requests of the step before had no answer within 5.00 s"


def test_what_was_stopped_early_does_not_pass() -> None:
    passed = Validation(
        outcome="PASS", sentence="It scales.", steps=(a_step(1), a_step(2)), decisions=()
    )
    assert unfinished(passed, 2) == passed
    stopped = unfinished(passed, 4)
    assert stopped.outcome == "INCONCLUSIVE"
    assert stopped.sentence == "It was stopped after 2 of 4 steps. It scales."
    failed = attrs.evolve(passed, outcome="FAIL")
    assert unfinished(failed, 4) == failed


def test_doubling() -> None:
    assert doubled(1) == (1,)
    assert doubled(8) == (1, 2, 4, 8)
    assert doubled(12) == (1, 2, 4, 8, 12)
