"""The client service: makes its load, shows it on the control port, and sums it up."""

from __future__ import annotations

from typing import Protocol

import attrs
import structlog
import trio

from scalab.errors import ScalabError
from scalab.measure.statistics import Statistics
from scalab.runtime.http import HttpServer
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.net import Address, bound_address, open_listeners
from scalab.runtime.reconnect import Connector
from scalab.runtime.routing import Router
from scalab.runtime.service import Stop

from .classic import ClassicDriver
from .control import control_router
from .load import Load
from .metrics import ClientCollector
from .session import SessionDriver
from .settings import ClientSettings

log = structlog.get_logger()


class Driver(Protocol):
    """Sends what a load wants to have sent, and tells it what came back."""

    async def run(self, connector: Connector) -> None:
        """Send until cancelled."""

    async def answers(self) -> bool:
        """Whether outstanding requests may still be answered."""

    async def say_goodbye(self) -> None:
        """Leave; not for longer than a moment."""

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""


@attrs.frozen
class Running:
    """A client at work."""

    load: Load
    control: Address | None
    """Where its control port really listens."""


@attrs.define
class Result:
    """What a client has to say at its end."""

    statistics: Statistics | None = None
    aborted: int = 0
    """Requests that the end left without an answer."""
    error: ScalabError | None = None
    """What ended it, if not the stop."""


async def run_client(
    settings: ClientSettings,
    stop: Stop,
    result: Result,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Make the load until ``stop`` is requested, the duration is over or all is done.

    Args:
        settings: Validated.
        stop: Requested by this function, too, when its work is done.
        result: Filled in at the end, also when this is cancelled.
        task_status: Told when the control port answers.

    Raises:
        ConfigError: The control port can't be listened on.
    """
    load = Load(settings)
    driver: Driver = ClassicDriver(load) if settings.classic else SessionDriver(load)
    connector = Connector(
        settings.frontend, stop, settings.connect_timeout_s, settings.reconnect_timeout_s
    )
    settling = trio.CancelScope()
    listeners = []
    if settings.control_addr is not None:
        listeners = await open_listeners(settings.control_addr, "control")
    control = bound_address(listeners) if listeners else None
    try:
        async with trio.open_nursery() as nursery:
            if control:
                await nursery.start(HttpServer(client_router(load)).serve, listeners)
                log.info("client is ready", frontend=settings.frontend, page=f"http://{control}/")
            nursery.start_soon(_drive, driver, connector, stop, result, settling)
            nursery.start_soon(_stop_when_done, load, stop)
            task_status.started(Running(load, control))
            await stop.requested.wait()
            with settling:
                await _settle(load, driver, settings.grace_s)
            result.statistics = load.statistics()
            await driver.say_goodbye()
            nursery.cancel_scope.cancel(reason="the client has ended")
    finally:
        load.tally.aborted(driver.outstanding)
        result.aborted = driver.outstanding
        if result.statistics is None:
            result.statistics = load.statistics()


def client_router(load: Load) -> Router:
    """Return what the client's HTTP port serves."""
    return control_router(load, {"/metrics": metrics_handler(make_registry(ClientCollector(load)))})


async def _drive(
    driver: Driver, connector: Connector, stop: Stop, result: Result, settling: trio.CancelScope
) -> None:
    try:
        await driver.run(connector)
    except ScalabError as exc:
        result.error = exc
    stop.requested.set()
    settling.cancel(reason="there is no connection that could bring an answer")


async def _stop_when_done(load: Load, stop: Stop) -> None:
    duration_s = load.settings.duration_s or float("inf")
    with trio.move_on_after(duration_s):
        await load.until_done()
    stop.requested.set()


async def _settle(load: Load, driver: Driver, grace_s: float) -> None:
    """Give outstanding requests their grace, if somebody is there to answer them."""
    load.closing = True
    if grace_s and driver.outstanding and await driver.answers():
        with trio.move_on_after(grace_s):
            await load.until_idle()
