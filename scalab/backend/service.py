"""The backend service: its slots, its workload, its metrics, and what it says at its end."""

from __future__ import annotations

from typing import Protocol

import attrs
import structlog
import trio

from scalab.access.access import Access
from scalab.access.tokens import Role
from scalab.errors import ScalabError
from scalab.runtime.net import open_listeners
from scalab.runtime.reconnect import Connector
from scalab.runtime.service import Stop

from .classic import ClassicWorker
from .devices import find_devices
from .metrics import Pages, serve_metrics
from .reaper import reap_orphans
from .runner import RunCounts, Runner
from .session import SessionWorker
from .settings import BackendSettings

log = structlog.get_logger()


class Worker(Protocol):
    """Takes items and runs them."""

    async def run(self, connector: Connector) -> None:
        """Run items until there is a reason to stop."""

    @property
    def busy(self) -> int:
        """Slots that run something now."""

    @property
    def ready(self) -> bool:
        """Whether the frontend can hand it items."""


@attrs.define
class Result:
    """What a backend has to say at its end."""

    counts: RunCounts = attrs.Factory(RunCounts)
    error: ScalabError | None = None
    """What ended it, if not the stop or an empty queue."""

    def log_summary(self) -> None:
        """Log what was run."""
        counts = self.counts
        runs = sum(counts.outcomes.values())
        outcomes = {name: n for name, n in counts.outcomes.items() if n}
        mean = {"run_mean_s": round(counts.run_s / runs, 4)} if runs else {}
        log.info("backend has ended", runs=runs, **outcomes, **mean)


async def run_backend(
    settings: BackendSettings,
    stop: Stop,
    result: Result,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run items until ``stop`` is requested, or the queue is empty and that ends us.

    Args:
        settings: Validated.
        stop: Requested by this function, too, when the queue is empty and that ends us.
        result: Filled in as time goes by.
        task_status: Told before the first connection.

    Raises:
        ConfigError: The metrics can't be listened for, or a file of tokens or TLS can't be used.
    """
    roles: tuple[Role, ...] = () if settings.classic else ("worker",)
    access = Access(settings.access, *roles, clock=trio.current_time)
    slots = find_devices(settings.glob, settings.slots)
    if settings.glob and not slots[0].path:
        log.warning("no file matches: arguments with FILENAME will fail", glob=settings.glob)
    async with Runner(settings.runner) as runner:
        kind = ClassicWorker if settings.classic else SessionWorker
        worker: Worker = kind(settings, runner, slots, stop)
        result.counts = runner.counts
        connector = Connector(
            settings.frontend,
            stop,
            settings.connect_timeout_s,
            settings.reconnect_timeout_s,
            access,
        )
        devices = ",".join(dict.fromkeys(s.name for s in slots if s.name))
        log.info(
            "backend starts", frontend=settings.frontend, queue=settings.queue,
            slots=len(slots), node=settings.runner.node, pod=settings.runner.pod,
            **({"devices": devices} if devices else {}),
        )  # fmt: skip
        task_status.started()
        async with trio.open_nursery() as nursery:
            if settings.metrics_addr is not None:
                listeners = await open_listeners(settings.metrics_addr, "metrics")
                pages = Pages(
                    runner.counts, len(slots), lambda: worker.busy, lambda: worker.ready, access
                )
                await nursery.start(serve_metrics, pages, listeners)
            nursery.start_soon(kill_at_second_signal, runner, stop)
            nursery.start_soon(reap_orphans, runner.children)
            try:
                await worker.run(connector)
            except ScalabError as exc:
                result.error = exc
            nursery.cancel_scope.cancel(reason="the backend has ended")


async def kill_at_second_signal(runner: Runner, stop: Stop) -> None:
    """Wait for the end; if it is a second signal's, workloads get no grace."""
    try:
        await trio.sleep_forever()
    finally:
        if stop.hard.cancel_called:
            runner.kill_now()
