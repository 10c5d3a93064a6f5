"""The client service: makes its load, shows it on the control port, and sums it up."""

from __future__ import annotations

from typing import Protocol

import attrs
import structlog
import trio

from scalab.access.access import Access
from scalab.access.tokens import Role
from scalab.errors import ScalabError
from scalab.measure.statistics import Statistics
from scalab.runfile.reading import Run
from scalab.runtime.guard import Guard
from scalab.runtime.hosts import Hosts
from scalab.runtime.http import HttpServer
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.net import Address, bound_address, open_listeners
from scalab.runtime.reconnect import Connector
from scalab.runtime.routing import Router
from scalab.runtime.service import Stop

from .classic import ClassicDriver
from .control import control_router
from .header import make_header
from .liverun import LiveRun
from .load import Load
from .metrics import ClientCollector
from .requests import check_requests
from .runwriter import WRITE_WITHIN_S, RunWriter
from .session import SessionDriver
from .settings import ClientSettings

LAST_RECORDS_S = 2 * WRITE_WITHIN_S
"""Time to write the end of the record, also when all else is cancelled."""

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

    run: LiveRun
    control: Address | None
    """Where its control port really listens."""


@attrs.define
class Result:
    """What a client has to say at its end."""

    statistics: Statistics | None = None
    """Of what was measured."""
    aborted: int = 0
    """Requests that the end left without an answer."""
    run: Run | None = None
    """The whole record."""
    error: ScalabError | None = None
    """What ended it, if not the stop."""


async def run_client(
    settings: ClientSettings,
    stop: Stop,
    result: Result,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Make the load until ``stop`` is requested, the load is over or a threshold ends it.

    Args:
        settings: Validated.
        stop: Requested by this function, too, when its work is done.
        result: Filled in at the end, also when this is cancelled.
        task_status: Told when the control port answers.

    Raises:
        ConfigError: The control port can't be listened on, the run file can't be written, or a
            request can't be sent.
    """
    check_requests(settings.scenario, classic=settings.classic)
    roles: tuple[Role, ...] = () if settings.classic else ("client",)
    access = Access(settings.access, *roles, clock=trio.current_time)
    load = Load(settings.scenario, verbose=settings.verbose)
    connector = Connector(
        settings.frontend,
        stop,
        settings.connect_timeout_s,
        settings.reconnect_timeout_s,
        access,
    )
    driver: Driver = ClassicDriver(load, connector) if settings.classic else SessionDriver(load)
    header = make_header(settings.scenario, settings.command, settings.interval_s)
    run = LiveRun(load, header, settings.interval_s, stop)
    recording = run.recording
    writer = RunWriter(settings.out, recording.unwritten)
    settling = trio.CancelScope()
    ending = _Ending()
    try:
        listeners = []
        if settings.control_addr is not None:
            listeners = await open_listeners(settings.control_addr, "control")
        control = bound_address(listeners) if listeners else None
        async with trio.open_nursery() as nursery:
            if control:
                server = HttpServer(
                    client_router(run, access),
                    hosts=Hosts(settings.allow_hosts),
                    guard=Guard(access, "control"),
                )
                await nursery.start(server.serve, listeners)
                page = f"{access.scheme}://{control}/"
                log.info("client is ready", frontend=settings.frontend, page=page)
            nursery.start_soon(_drive, driver, connector, stop, result, settling)
            nursery.start_soon(_record, run, writer, stop, ending)
            nursery.start_soon(_stop_when_done, run, stop, ending)
            nursery.start_soon(run.lag.run)
            task_status.started(Running(run, control))
            await stop.requested.wait()
            recording.close()
            with settling:
                await _settle(load, driver, settings.grace_s)
            await driver.say_goodbye()
            nursery.cancel_scope.cancel(reason="the client has ended")
    finally:
        result.statistics = run.statistics()
        reason = "error" if result.error else ending.reason
        result.aborted = run.finish(reason, str(result.error or ""))
        result.run = recording.run()
        with trio.move_on_after(LAST_RECORDS_S, shield=True):
            await writer.write()
        writer.close()


def client_router(run: LiveRun, access: Access | None = None) -> Router:
    """Return what the client's HTTP port serves."""
    metrics = metrics_handler(make_registry(ClientCollector(run.load), access))
    return control_router(run, {"/metrics": metrics})


@attrs.define(eq=False)
class _Ending:
    """Why the load ended."""

    reason: str = "stopped"


async def _record(run: LiveRun, writer: RunWriter, stop: Stop, ending: _Ending) -> None:
    """Cut the counts into intervals, write them, and end the run if a threshold says so."""
    await run.load.begun.wait()
    recording = run.recording
    recording.begin()
    await writer.write()  # who reads the file finds out at once what is running
    while True:
        await trio.sleep_until(recording.next_cut(trio.current_time()))
        recording.cut(trio.current_time())
        await recording.merge()
        await writer.write()
        run.unwritten = writer.lost
        if not stop.requested.is_set() and (crossed := run.crossed()):
            ending.reason = "threshold"
            text = f"{crossed.expression} is crossed by {crossed.value}: the run ends"
            recording.event("threshold", text)
            log.warning(text)
            stop.requested.set()


async def _drive(
    driver: Driver, connector: Connector, stop: Stop, result: Result, settling: trio.CancelScope
) -> None:
    try:
        await driver.run(connector)
    except ScalabError as exc:
        result.error = exc
    stop.requested.set()
    settling.cancel(reason="there is no connection that could bring an answer")


async def _stop_when_done(run: LiveRun, stop: Stop, ending: _Ending) -> None:
    """Request the stop when the load is over."""
    load = run.load
    await load.begun.wait()
    with trio.CancelScope(deadline=load.began + load.scenario.end_s) as scope:
        await load.until_done()
    if not stop.requested.is_set():
        ending.reason = "time" if scope.cancelled_caught else "requests"
    stop.requested.set()


async def _settle(load: Load, driver: Driver, grace_s: float) -> None:
    """Give outstanding requests their grace, if somebody is there to answer them."""
    if grace_s and driver.outstanding and await driver.answers():
        with trio.move_on_after(grace_s):
            await load.until_idle()
