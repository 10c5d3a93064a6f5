"""The frontend service: its listeners, what they share, and how it ends.

Two nested nurseries make the service. The outer one keeps what must go on to the very end: HTTP
(a draining frontend still has to be scraped and to say that it is not ready), heartbeats, the
statistics log. The inner one holds a task for each connection; it ends first.
"""

from __future__ import annotations

from functools import partial
from itertools import chain

import attrs
import structlog
import trio

from scalab.runtime.accept import accept_connections
from scalab.runtime.lag import LagMonitor
from scalab.runtime.net import (
    Address,
    bound_address,
    open_listeners,
    watch_for_dead_peers,
)
from scalab.runtime.peer import keep_alive
from scalab.runtime.service import Stop

from .clients import CLIENT_PORT
from .hub import Hub
from .opening import Port, peer_of, serve_peer, turn_away
from .pages import serve_pages
from .settings import FrontendSettings
from .statslog import log_statistics
from .workers import WORKER_PORT

LAST_WORDS_S = 0.9
"""Time to send the last replies; a frozen peer must not delay the exit by a second."""

log = structlog.get_logger()


@attrs.frozen
class Bound:
    """Where a frontend really listens."""

    clients: Address
    workers: Address
    metrics: Address


async def serve(
    settings: FrontendSettings,
    stop: Stop,
    *,
    task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the queues until ``stop`` is requested, then finish what runs, and return.

    Args:
        settings: Validated.
        stop: Its first request drains: listeners close, waiting items are answered, running ones
            have the grace to end. The second one is up to the caller, who cancels this.
        task_status: Told where we listen, once all three listeners answer.

    Raises:
        ConfigError: An address can't be listened on, or the store refuses us for good.
    """
    hub = Hub(settings)
    if hub.engine is not None:
        await hub.engine.check()
    lag = LagMonitor()
    clients, workers, pages = await _listen(settings)
    bound = Bound(bound_address(clients), bound_address(workers), bound_address(pages))
    async with trio.open_nursery() as service:
        service.start_soon(lag.run)
        service.start_soon(keep_alive, lambda: hub.peers, settings.heartbeat_s)
        if settings.interval_s:
            service.start_soon(log_statistics, hub)
        if hub.engine is not None:
            service.start_soon(hub.engine.run)
        await service.start(serve_pages, hub, lag, pages)
        async with trio.open_nursery() as connections:
            accepting = trio.CancelScope()
            ports = {CLIENT_PORT: clients, WORKER_PORT: workers}
            connections.start_soon(_accept, hub, ports, accepting, connections)
            log.info(
                "frontend is ready", queues=",".join(settings.queues), clients=bound.clients,
                backends=bound.workers, metrics=f"{hub.access.scheme}://{bound.metrics}/metrics",
            )  # fmt: skip
            task_status.started(bound)
            await stop.requested.wait()
            accepting.cancel(reason="draining")
            await _drain(hub)
            connections.cancel_scope.cancel(reason="drained")
        if hub.engine is not None:
            await hub.engine.close()
        service.cancel_scope.cancel(reason="served")
    _log_totals(hub)


async def _listen(settings: FrontendSettings) -> list[list[trio.SocketListener]]:
    """Listen for clients, backends and metrics; for all of them or for none."""
    opened: list[list[trio.SocketListener]] = []
    try:
        opened.append(await open_listeners(settings.client_addr, "clients"))
        opened.append(await open_listeners(settings.worker_addr, "backends"))
        opened.append(await open_listeners(settings.metrics_addr, "metrics"))
    except BaseException:
        for listener in chain.from_iterable(opened):
            listener.socket.close()
        raise
    return opened


async def _accept(
    hub: Hub,
    listeners: dict[Port, list[trio.SocketListener]],
    accepting: trio.CancelScope,
    connections: trio.Nursery,
) -> None:
    """Accept on both ports until ``accepting`` is cancelled, then close them."""
    with accepting:
        async with trio.open_nursery() as nursery:
            for port, sockets in listeners.items():
                serve_port = partial(_serve_connection, hub, port)
                for listener in sockets:
                    watch_for_dead_peers(listener)
                    nursery.start_soon(accept_connections, listener, serve_port, connections)


async def _serve_connection(hub: Hub, port: Port, stream: trio.SocketStream) -> None:
    """Serve one peer; whatever goes wrong with it, the service goes on."""
    try:
        with hub.connection(port.role, peer_of(stream)) as refusal:
            if refusal:
                await turn_away(hub, stream, port, refusal)
            else:
                await serve_peer(hub, stream, port)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        log.debug("connection lost", role=port.role, error=str(exc))
    except Exception:  # a defect of ours must not end everybody's connections
        log.exception("defect while serving a connection", role=port.role)
    finally:
        stream.socket.close()  # as aclose() does, which waits for a turn of the loop, too


async def _drain(hub: Hub) -> None:
    """Let running items end within the grace, then say goodbye to everybody."""
    running = hub.dispatcher.running
    hub.drain()
    if running:
        log.info("draining", running=running, grace_s=hub.settings.grace_s)
    with trio.move_on_after(hub.settings.grace_s) as grace:
        await hub.finished.wait()
    if grace.cancelled_caught:
        log.warning("grace is over", given_up=hub.dispatcher.running)
    hub.give_up_running()
    for peer in hub.peers:
        peer.close()
    with trio.move_on_after(LAST_WORDS_S):
        await hub.all_gone()


def _log_totals(hub: Hub) -> None:
    for queue in hub.dispatcher.queues.values():
        counters = queue.counters
        outcomes = {name: n for name, n in counters.completed.items() if n}
        log.info("frontend has ended", queue=queue.name, accepted=counters.accepted, **outcomes)
