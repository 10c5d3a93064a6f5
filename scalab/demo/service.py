"""The whole system under one nursery: a frontend, backends that get more, and a client.

The nesting is the order of the end: the client first, then the backends, the frontend last.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from scalab.backend.command import Workload
from scalab.backend.runner import RunnerSettings
from scalab.backend.service import Result as BackendResult, run_backend
from scalab.backend.settings import BackendSettings
from scalab.client.service import Result as ClientResult, Running, run_client
from scalab.client.settings import DEFAULT_CONTROL_ADDR, ClientSettings
from scalab.errors import ConfigError, ScalabError
from scalab.frontend.service import Bound, serve
from scalab.frontend.settings import (
    DEFAULT_CLIENT_ADDR,
    DEFAULT_METRICS_ADDR,
    DEFAULT_WORKER_ADDR,
    FrontendSettings,
)
from scalab.load.options import LoadOptions, make_scenario
from scalab.runtime.net import Address, open_listeners
from scalab.runtime.reconnect import unless_stopped
from scalab.runtime.service import Stop

from .devices import Devices, simulated_devices
from .settings import DemoSettings
from .steps import Step, backend_counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUEUE = "demo"
IN_FLIGHT_PER_BACKEND = 2
"""One runs and one waits, so that no backend is ever idle."""
SETTLE_SHARE = 0.2
"""Of a step, before it is measured."""


@attrs.define
class Demo:
    """The state of a demo, for whoever shows it."""

    settings: DemoSettings
    stop: Stop
    started_at: float = attrs.Factory(trio.current_time)
    bound: Bound | None = None
    running: Running | None = None
    backends: int = 0
    steps: list[Step] = attrs.Factory(list)
    error: ScalabError | None = None
    devices: Devices | None = None
    queue: str = attrs.field(init=False)
    _results: list[BackendResult] = attrs.Factory(list)
    _frontends: list[Bound] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        """Name the queue: in a store there may be other demos."""
        self.queue = f"{QUEUE}-{os.urandom(4).hex()}" if self.settings.store else QUEUE

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return trio.current_time() - self.started_at

    async def run(self, show: Callable[[Demo], Awaitable[None]]) -> None:
        """Run the system, and all steps or until the stop; ``show`` runs beside it.

        Raises:
            ConfigError: The workload can't be run, or no port is to be had.
        """
        async with simulated_devices(self.settings) as self.devices:
            command = self.devices.workload if self.devices else self.settings.workload
            await self._run(Workload.parse(command), show)
        self.error = self.error or next((r.error for r in self._results if r.error), None)

    async def _run(self, workload: Workload, show: Callable[[Demo], Awaitable[None]]) -> None:
        ends = {part: Stop() for part in ("frontend", "backends", "client")}
        async with trio.open_nursery() as frontend:
            for number in range(2 if self.settings.store else 1):
                settings = await self._frontend_settings(free=number > 0)
                self._frontends.append(await frontend.start(serve, settings, ends["frontend"]))
            self.bound = self._frontends[0]
            async with trio.open_nursery() as backends:
                add = partial(self._add_backend, backends, workload, ends["backends"])
                async with trio.open_nursery() as client:
                    client_settings = await self._client_settings(self.bound.clients)
                    result = ClientResult()
                    self.running = await client.start(
                        run_client, client_settings, ends["client"], result
                    )
                    async with trio.open_nursery() as showing:
                        showing.start_soon(show, self)
                        await unless_stopped(self.stop, partial(self._ramp, add))
                        showing.cancel_scope.cancel(reason="the demo is over")
                    ends["client"].requested.set()
                ends["backends"].requested.set()
            ends["frontend"].requested.set()
        self.error = result.error

    async def _ramp(self, add: Callable[[int], Awaitable[None]]) -> None:
        """Measure one step after the other."""
        assert self.running is not None  # noqa: S101 - run() sees to it
        run = self.running.run
        counts = backend_counts(self.settings.most_backends)
        step_s = self.settings.duration_s / len(counts)
        for count in counts:
            while self.backends < count:
                self.backends += 1
                await add(self.backends)
            run.set_parallel(IN_FLIGHT_PER_BACKEND * count)
            await trio.sleep(SETTLE_SHARE * step_s)
            run.reset()
            await trio.sleep((1 - SETTLE_SHARE) * step_s)
            self.steps.append(Step(count, run.statistics()))

    async def _add_backend(
        self, nursery: trio.Nursery, workload: Workload, stop: Stop, number: int
    ) -> None:
        settings = BackendSettings(
            runner=RunnerSettings(
                workload=workload, output="discard", node="this-machine", pod=f"backend-{number}"
            ),
            frontend=self._frontends[number % len(self._frontends)].workers,
            queue=self.queue,
            when_empty="wait",
            glob=self.devices.glob(number) if self.devices else "",
            grace_s=1.0,
        )
        result = BackendResult()
        self._results.append(result)
        await nursery.start(run_backend, settings, stop, result)

    async def _frontend_settings(self, *, free: bool) -> FrontendSettings:
        """Return settings for the usual ports if they are to be had, or for free ones."""
        anywhere = Address("127.0.0.1", 0)
        ports = (DEFAULT_CLIENT_ADDR, DEFAULT_WORKER_ADDR, DEFAULT_METRICS_ADDR)
        client, worker, metrics = [anywhere if free else await _free(port) for port in ports]
        return FrontendSettings(
            queues=(self.queue,),
            client_addr=client,
            worker_addr=worker,
            metrics_addr=metrics,
            store=self.settings.store,
            grace_s=1.0,
        )

    async def _client_settings(self, frontend: Address) -> ClientSettings:
        most = IN_FLIGHT_PER_BACKEND * self.settings.most_backends
        return ClientSettings(
            frontend=frontend,
            scenario=make_scenario(
                queues=(self.queue,), load=LoadOptions(parallel=0, parallel_max=most)
            ),
            control_addr=await _free(DEFAULT_CONTROL_ADDR),
        )


async def _free(address: Address) -> Address:
    """Return ``address`` on this machine only, with any free port if its own is taken."""
    local = Address("127.0.0.1", address.port)
    try:
        listeners = await open_listeners(local, "the demo")
    except ConfigError:
        return Address("127.0.0.1", 0)
    for listener in listeners:
        await listener.aclose()
    return local
