"""One step of a validation: so many workers, brought up, warmed up and measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import structlog
import trio

from scalab.measure.figures import format_duration, format_rate
from scalab.scalers.base import Readiness, Scaler
from scalab.scaling.model import Decision, StepResult
from scalab.scaling.sizing import Look, Sizer
from scalab.scaling.throughput import throughput
from scalab.verdict.results import Checked

from .engine import Engine
from .frontend import FrontendWatch, QueueState
from .settings import ValidateSettings

POLL_S: Final = 0.2
WARM_RUNS: Final = 2
"""Requests that each lane finishes before it is measured."""

_NOT_OURS: Final = frozenset(("window", "recording", "merging", "left-out"))
"""Self-checks that don't concern a step: how long it is measured is the sizer's business, and its
requests go on into the next step."""

log = structlog.get_logger()


@attrs.frozen
class Stepped:
    """A step that was taken."""

    step: StepResult
    decision: Decision | None
    """Against the step before; None of the first one."""


@attrs.define
class _Attempt:
    """A step that is being taken."""

    workers: int
    parallel: int
    ready_s: float = 0.0


class StepError(Exception):
    """A step can't be measured; the text says why, in one line."""


@attrs.define(eq=False)
class Stepper:
    """Takes the steps of a validation, one after the other."""

    settings: ValidateSettings
    engine: Engine
    scaler: Scaler
    watch: FrontendWatch

    async def step(self, workers: int, sizer: Sizer, ends_at: float) -> Stepped:
        """Measure so many workers; the result says so if they can't be measured.

        Args:
            workers: How many.
            sizer: Says for how long.
            ends_at: When all steps should have been taken, by the monotonic clock.
        """
        attempt = _Attempt(workers, self.parallel(workers))
        started = trio.current_time()
        try:
            await self._drain()
            await self.scaler.scale(workers)
            await self._until_ready(workers)
            attempt.ready_s = trio.current_time() - started
            text = f"{_workers(workers)} ready after {format_duration(attempt.ready_s)}"
            log.info(text)
            first_s = sizer.first_s(await self._warm_up(attempt.parallel))
            await self.engine.reset()
            async with self._watched(workers):
                return await self._measure(attempt, first_s, sizer, ends_at)
        except StepError as exc:
            step = await self._result(attempt, str(exc))
            return Stepped(step, sizer.look(step, ends_at - trio.current_time()).decision)

    def parallel(self, workers: int) -> int:
        """Return how many requests are in parallel with so many workers."""
        return self.settings.parallel(workers, self.scaler.slots_per_worker)

    async def _drain(self) -> None:
        """Let everything end, so that no request meets a change of the workers."""
        await self.engine.set_parallel(0)
        with trio.move_on_after(self.settings.drain_timeout_s) as scope:
            await self.engine.until_idle()
        if scope.cancelled_caught:
            within = format_duration(self.settings.drain_timeout_s)
            n = self.engine.in_flight
            raise StepError(f"{n} requests of the step before had no answer within {within}")

    async def _until_ready(self, workers: int) -> None:
        """Wait until there are exactly so many workers, by the scaler and by the frontend."""
        slots = workers * self.scaler.slots_per_worker
        readiness, state = Readiness(wanted=workers, ready=0), None
        with trio.move_on_after(self.settings.ready_timeout_s):
            while True:
                readiness = await self.scaler.readiness()
                state = await self.watch.state()
                if readiness.exact and state.slots == slots and not state.leaving:
                    return
                await trio.sleep(POLL_S)
        raise StepError(_not_ready(workers, slots, readiness, state, self.settings))

    async def _warm_up(self, parallel: int) -> float:
        """Wait until every lane has finished some requests; return their mean latency."""
        await self.engine.set_parallel(parallel)
        started = trio.current_time()
        with trio.move_on_after(self.settings.ready_timeout_s):
            while True:
                waited_s = trio.current_time() - started
                await self.engine.look()
                ended = self.engine.window.whole.ended
                if waited_s >= self.settings.warm_up_s and ended >= WARM_RUNS * parallel:
                    break
                await trio.sleep(POLL_S)
        if not self.engine.window.whole.ended:
            within = format_duration(self.settings.ready_timeout_s)
            raise StepError(f"no request ended within {within}")
        return self.engine.window.whole.total.mean_s

    async def _measure(
        self, attempt: _Attempt, more_s: float | None, sizer: Sizer, ends_at: float
    ) -> Stepped:
        """Measure until the sizer says that it is enough."""
        while True:
            await trio.sleep(more_s or 0.0)
            await self.engine.look()
            step = await self._result(attempt, "")
            look = sizer.look(step, max(ends_at - trio.current_time(), 0.0))
            _tell(step, look)
            more_s = look.more_s
            if more_s is None:
                return Stepped(step, look.decision)

    @asynccontextmanager
    async def _watched(self, workers: int) -> AsyncIterator[None]:
        """Fail if workers are lost or come while it is measured."""
        slots = workers * self.scaler.slots_per_worker
        found = ""

        async def watch(scope: trio.CancelScope) -> None:
            nonlocal found
            while True:
                await trio.sleep(1.0)
                state = await self.watch.state()
                if state.slots != slots or state.leaving:
                    trouble = (await self.scaler.readiness()).trouble
                    found = (
                        f"there were {state.slots} slots instead of {slots} while it was measured"
                    )
                    found += f": {trouble}" if trouble else ""
                    scope.cancel(reason=found)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            yield
            nursery.cancel_scope.cancel(reason="the step is measured")
        if found:
            raise StepError(found)

    async def _result(self, attempt: _Attempt, problem: str) -> StepResult:
        window = self.engine.window
        measured = not problem and window.duration_s > 0
        return StepResult(
            workers=attempt.workers,
            parallel=attempt.parallel,
            throughput=throughput(window, attempt.parallel).estimate,
            statistics=await self.engine.statistics(),
            ready_s=attempt.ready_s,
            from_s=window.from_s or 0.0,
            to_s=window.to_s,
            checks=_telling(self.engine.checks()) if measured else (),
            problem=problem,
        )


def _telling(checks: Iterable[Checked]) -> tuple[Checked, ...]:
    """Return the checks that tell something about a step; one that says INVALID always does."""
    return tuple(c for c in checks if c.state == "invalid" or c.name not in _NOT_OURS)


def _tell(step: StepResult, look: Look) -> None:
    """Log how a step is doing."""
    rate = step.throughput
    sure = "" if rate.half_width_share is None else f" ±{100 * rate.half_width_share:.1f} %"
    text = f"{_workers(step.workers)}: {format_rate(rate.mean)}{sure}"
    if look.decision is not None and look.decision.text:
        text += f", {look.decision.text}"
    if look.more_s is not None:
        text += f"; {format_duration(look.more_s)} more {look.text}"
    log.info(text)


def _workers(n: int) -> str:
    return "1 worker" if n == 1 else f"{n} workers"


def _not_ready(
    workers: int,
    slots: int,
    readiness: Readiness,
    state: QueueState | None,
    settings: ValidateSettings,
) -> str:
    within = format_duration(settings.ready_timeout_s)
    if readiness.ready < workers or readiness.trouble:
        text = f"only {readiness.ready} of {workers} workers came up within {within}"
    elif readiness.leaving:
        text = f"{readiness.leaving} workers were still leaving after {within}"
    else:
        connected = 0 if state is None else state.slots
        text = f"the frontend has {connected} slots instead of {slots} after {within}"
    return f"{text}: {readiness.trouble}" if readiness.trouble else text
