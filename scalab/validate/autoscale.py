"""A run in which an autoscaler changes the number of workers, and is watched while it does."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

import attrs
import structlog
import trio

from scalab.client.liverun import LiveRun
from scalab.client.service import Result as ClientResult, Running, run_client
from scalab.client.settings import ClientSettings
from scalab.errors import ScalabError, UnreachableError
from scalab.load.scenario import Scenario
from scalab.runfile.reading import Run
from scalab.runtime.service import Stop
from scalab.scalers.autoscaler import SYNC_S, SimulatedAutoscaler
from scalab.scalers.base import Scaler
from scalab.scalers.kubernetes import KubernetesWatch
from scalab.scaling.autoscale import AutoscaleReport, analyse
from scalab.scaling.criteria import Criteria
from scalab.scaling.hpa import DOWN
from scalab.scaling.observed import Sample, Target, WorkerLife

from .frontend import FrontendWatch
from .infrastructure import Addresses, find_frontend
from .lives import NumberedLives, PodLives, Served
from .service import MakeScaler
from .settings import ValidateSettings

SAMPLE_S = 1.0

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class AutoscaleSettings:
    """What an autoscaler run is told beside what every validation is."""

    scenario: Scenario
    """The load."""
    target: Target
    criteria: Criteria
    slots: int = 1
    """Items that a worker in a cluster runs at once."""
    sync_s: float = SYNC_S
    """Of the simulated autoscaler: how often it looks."""
    down_after_s: float = DOWN.stabilization_s
    """And for how long it waits until it takes workers away."""


@attrs.define
class AutoscaleResult:
    """What such a run has to say at its end."""

    report: AutoscaleReport | None = None
    run: Run | None = None
    error: ScalabError | None = None


class Workers(Protocol):
    """The workers, whoever changes their number."""

    async def look(self, at_s: float) -> tuple[int, int]:
        """Return how many are wanted and ready, at ``at_s`` by the run's clock."""

    @property
    def lives(self) -> list[WorkerLife]:
        """What became of each of them."""


class ScaledWorkers:
    """Workers of a scaler, which our own autoscaler drives."""

    def __init__(self, scaler: Scaler, served: Served, already: int) -> None:
        self._scaler = scaler
        self._lives = NumberedLives(served, already)

    async def look(self, at_s: float) -> tuple[int, int]:
        """Return how many are wanted and ready."""
        readiness = await self._scaler.readiness()
        self._lives.update(at_s, readiness.wanted, readiness.ready)
        return readiness.wanted, readiness.ready

    @property
    def lives(self) -> list[WorkerLife]:
        """What became of each of them."""
        return self._lives.lives


class WatchedWorkers:
    """Workers in a cluster, which scales them itself."""

    def __init__(self, watch: KubernetesWatch, served: Served) -> None:
        self._watch = watch
        self._lives = PodLives(served)

    async def look(self, at_s: float) -> tuple[int, int]:
        """Return how many are wanted and ready."""
        seen = await self._watch.observe()
        self._lives.update(at_s, seen)
        return seen.desired, seen.ready

    @property
    def lives(self) -> list[WorkerLife]:
        """What became of each of them."""
        return self._lives.lives


async def watch_autoscaler(
    settings: ValidateSettings,
    wanted: AutoscaleSettings,
    scaler: MakeScaler | KubernetesWatch,
    stop: Stop,
    result: AutoscaleResult,
) -> None:
    """Make the load, watch what becomes of the workers, and judge it.

    Args:
        settings: Where everything is.
        wanted: The load, and what is asked of the autoscaler.
        scaler: What our own autoscaler scales, or where to watch that of a cluster.
        stop: A request ends it early.
        result: Filled in at the end.

    Raises:
        ScalabError: It could not begin.
    """
    async with AsyncExitStack() as exits:
        at = await find_frontend(settings, exits)
        frontend = FrontendWatch(at.http, settings.queue, at.open("metrics"))
        await frontend.state()  # tells early whether there is anybody
        served = Served()
        client = ClientSettings(
            scenario=wanted.scenario,
            frontend=at.clients,
            access=at.access,
            control_addr=settings.control_addr,
            allow_hosts=settings.allow_hosts,
            out=settings.out,
            command=settings.command,
        )
        made = ClientResult()
        workers, slots, own = await _workers(scaler, at, wanted, served, exits)
        try:
            async with trio.open_nursery() as background:
                if own is not None:
                    background.start_soon(_autoscaler(own, frontend, wanted).run)
                async with trio.open_nursery() as load:
                    running: Running = await load.start(run_client, client, stop, made)
                    running.run.recording.on_interval = served.add
                    sampler = _Sampler(running.run, frontend, workers, slots)
                    running.run.autoscaler = partial(sampler.report, wanted)
                    background.start_soon(sampler.run)
                result.report = sampler.report(wanted)
                background.cancel_scope.cancel(reason="the load has ended")
        finally:
            result.run, result.error = made.run, made.error


async def _workers(
    scaler: MakeScaler | KubernetesWatch,
    at: Addresses,
    wanted: AutoscaleSettings,
    served: Served,
    exits: AsyncExitStack,
) -> tuple[Workers, int, Scaler | None]:
    """Return the workers, the slots of each, and what our own autoscaler is to scale, if any."""
    if isinstance(scaler, KubernetesWatch):
        watch = await exits.enter_async_context(scaler)
        return WatchedWorkers(watch, served), wanted.slots, None
    own = await exits.enter_async_context(scaler(at.workers))
    await own.scale(wanted.target.minimum)
    return ScaledWorkers(own, served, wanted.target.minimum), own.slots_per_worker, own


def _autoscaler(
    scaler: Scaler, frontend: FrontendWatch, wanted: AutoscaleSettings
) -> SimulatedAutoscaler:
    async def demand() -> float | None:
        try:
            state = await frontend.state()
        except UnreachableError as exc:
            log.warning("the autoscaler can't read the demand", why=str(exc))
            return None
        return float(state.waiting + state.running)

    return SimulatedAutoscaler(
        scaler,
        demand,
        wanted.target,
        down=attrs.evolve(DOWN, stabilization_s=wanted.down_after_s),
        sync_s=wanted.sync_s,
    )


class _Sampler:
    """Looks at everything once a second."""

    def __init__(self, run: LiveRun, frontend: FrontendWatch, workers: Workers, slots: int) -> None:
        self.samples: list[Sample] = []
        self._run = run
        self._frontend = frontend
        self._workers = workers
        self._slots = slots

    def report(self, wanted: AutoscaleSettings) -> AutoscaleReport:
        """Return what the autoscaler has made of the load so far."""
        return analyse(self.samples, self._workers.lives, wanted.target, wanted.criteria)

    async def run(self) -> None:
        """Sample until cancelled, from the load's start on."""
        await self._run.load.begun.wait()
        due = trio.current_time()
        while True:
            await self._sample()
            due = max(due + SAMPLE_S, trio.current_time())
            await trio.sleep_until(due)

    async def _sample(self) -> None:
        try:
            state = await self._frontend.state()
        except UnreachableError as exc:
            log.warning("no sample", why=str(exc))
            return
        at_s = self._run.elapsed_s
        desired, ready = await self._workers.look(at_s)
        ended = state.completed
        before = self.samples[-1] if self.samples else None
        self.samples.append(
            Sample(
                at_s=at_s,
                level=self._run.level,
                waiting=state.waiting,
                running=state.running,
                desired=desired,
                ready=ready,
                connected=state.slots / self._slots,
                oldest_s=state.oldest_s,
                completed=sum(ended.values()),
                failed=ended.get("failure", 0) + ended.get("timeout", 0),
                lost=ended.get("lost", 0),
                redelivered=state.redelivered,
                cancelled=ended.get("cancelled", 0) + ended.get("disconnected", 0),
            )
        )
        if before is None or (before.desired, before.ready) != (desired, ready):
            log.info("workers", desired=desired, ready=ready, demand=state.waiting + state.running)
