"""The validation: infrastructure up, one step after the other, the verdict, everything down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from math import inf

import attrs
import structlog
import trio

from scalab.client.header import make_header
from scalab.client.runwriter import RunWriter
from scalab.client.service import (
    LAST_RECORDS_S,
    Result as ClientResult,
    Running,
    run_client,
)
from scalab.client.settings import ClientSettings
from scalab.errors import ScalabError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, QueueLoad, Scenario
from scalab.runfile.reading import Run, RunBuilder
from scalab.runfile.records import End, Record
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from scalab.scalers.base import Scaler
from scalab.scaling.blame import blame
from scalab.scaling.decide import unusable
from scalab.scaling.model import Decision, StepResult, Validation
from scalab.scaling.overall import make_validation
from scalab.scaling.sizing import Sizer
from scalab.scaling.usl import fit
from scalab.scaling.usl_points import Point
from scalab.scaling.usl_text import describe

from .engine import Engine, OwnEngine
from .frontend import FrontendWatch
from .infrastructure import Addresses, find_frontend
from .remote import RemoteEngine
from .settings import ValidateSettings
from .steps import Stepper

log = structlog.get_logger()

MakeScaler = Callable[[Address | None], Scaler]
"""Makes a scaler; for workers on this machine, of the address at which backends connect."""


@attrs.define
class Result:
    """What a validation has to say at its end."""

    validation: Validation | None = None
    run: Run | None = None
    """The record."""
    error: ScalabError | None = None
    """What ended it early."""


async def validate(
    settings: ValidateSettings, make_scaler: MakeScaler, stop: Stop, result: Result
) -> None:
    """Take all steps, and come to a verdict; the workers are as before when this returns.

    Args:
        settings: Validated.
        make_scaler: What changes the number of workers.
        stop: A request ends it early, with what was measured until then.
        result: Filled in at the end.

    Raises:
        ScalabError: It could not begin.
    """
    async with AsyncExitStack() as exits:
        at = await find_frontend(settings, exits)
        watch = FrontendWatch(at.http, settings.queue, at.open("metrics"))
        await watch.state()  # tells early whether there is anybody
        scaler = await exits.enter_async_context(make_scaler(at.workers))
        scene = _Scene(settings, scaler, watch, stop, result)
        if settings.client is None:
            await _our_own(scene, at)
        else:
            engine = RemoteEngine(settings.client, at.open("control"))
            await _elsewhere(scene, engine)


@attrs.frozen
class _Scene:
    """What steps are taken with, whoever makes the load."""

    settings: ValidateSettings
    scaler: Scaler
    watch: FrontendWatch
    stop: Stop
    result: Result

    def steps(self, engine: Engine) -> _Steps:
        return _Steps(self.settings, Stepper(self.settings, engine, self.scaler, self.watch))


async def _our_own(scene: _Scene, at: Addresses) -> None:
    """Take the steps with a load of our own."""
    settings, scaler, result = scene.settings, scene.scaler, scene.result
    most = settings.parallel(settings.steps[-1], scaler.slots_per_worker)
    client = ClientSettings(
        scenario=make_scenario(settings, most),
        frontend=at.clients,
        access=at.access,
        control_addr=settings.control_addr,
        allow_hosts=settings.allow_hosts,
        out=settings.out,
        command=settings.command,
    )
    client_stop, made = Stop(), ClientResult()
    try:
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(run_client, client, client_stop, made)
            steps = scene.steps(OwnEngine(running.run))
            await steps.take(running.run.recording.add, scene.stop, client_stop)
            result.validation = steps.conclude(running.run.recording.add)
            client_stop.requested.set()
    finally:
        result.run, result.error = made.run, made.error


async def _elsewhere(scene: _Scene, engine: RemoteEngine) -> None:
    """Take the steps with the load of a client that runs elsewhere."""
    settings, result = scene.settings, scene.result
    scenario = make_scenario(settings, 0)
    header = make_header(scenario, settings.command, 1.0)
    unwritten: deque[Record] = deque([header])
    record, began = RunBuilder(header), trio.current_time()
    writer = RunWriter(settings.out, unwritten)

    def add(found: Record) -> None:
        record.add(found)
        unwritten.append(found)

    steps = scene.steps(engine)
    try:
        await steps.take(add, scene.stop)
        await engine.set_parallel(0)
    finally:
        result.validation = steps.conclude(add)
        add(End(at_s=trio.current_time() - began, reason="stopped"))
        result.run = record.run()
        with trio.move_on_after(LAST_RECORDS_S, shield=True):
            await writer.write()
        writer.close()


async def _cancel_when(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.requested.wait()
    scope.cancel(reason="a stop was requested")


def make_scenario(settings: ValidateSettings, parallel_max: int) -> Scenario:
    """Return the load of a validation: a closed loop that is told its parallelism step by step."""
    return Scenario(
        name="validate",
        queues=(QueueLoad(name=settings.queue, args=settings.args, limit_s=settings.limit_s),),
        load=ClosedLoad(stages=(Stage(0, 0, inf),), parallel_max=parallel_max),
    )


def unfinished(validation: Validation, wanted: int) -> Validation:
    """Return the verdict, which can't be PASS if it was stopped before all steps were taken."""
    taken = len(validation.steps)
    if validation.outcome != "PASS" or taken >= wanted:
        return validation
    text = f"It was stopped after {taken} of {wanted} steps. {validation.sentence}"
    return attrs.evolve(validation, outcome="INCONCLUSIVE", sentence=text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


class _Steps:
    """Takes the steps and keeps what they came to."""

    def __init__(self, settings: ValidateSettings, stepper: Stepper) -> None:
        self._settings = settings
        self._stepper = stepper
        self._sizer = Sizer(
            settings.steps,
            required=settings.ratio,
            confidence=settings.confidence,
            min_window_s=settings.min_window_s,
        )
        self._steps: list[StepResult] = []
        self._decisions: list[Decision] = []

    async def take(self, add: Callable[[Record], None], *stops: Stop) -> None:
        """Take one step after the other; end at one that can't be measured, or when stopped."""
        async with trio.open_nursery() as nursery:
            for stop in stops:
                nursery.start_soon(_cancel_when, stop, nursery.cancel_scope)
            await self._take(add)
            nursery.cancel_scope.cancel(reason="all steps are taken")

    async def _take(self, add: Callable[[Record], None]) -> None:
        ends_at = trio.current_time() + self._settings.time_budget_s
        for workers in self._settings.steps:
            stepped = await self._stepper.step(workers, self._sizer, ends_at)
            self._steps.append(stepped.step)
            add(stepped.step)
            if stepped.decision is not None:
                self._decisions.append(stepped.decision)
                add(stepped.decision)
            if stepped.step.problem:
                log.warning("step can't be measured", workers=workers, why=stepped.step.problem)
                return

    def conclude(self, add: Callable[[Record], None]) -> Validation:
        """Return the verdict on what was measured, and put it on record."""
        points = [
            Point(step.workers, step.throughput.mean, step.throughput.error)
            for step in self._steps
            if unusable(step) is None
        ]
        validation = make_validation(
            self._steps,
            self._decisions,
            fit=_sentence(describe(fit(points))) if len(points) > 2 else "",
            blame=blame(self._steps),
            failures_max=self._settings.failures_max,
        )
        validation = unfinished(validation, len(self._settings.steps))
        add(validation)
        return validation
