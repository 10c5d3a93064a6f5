"""How a service stops: at the first signal it finishes its work, at the second it ends at once."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = structlog.get_logger()


class Stop:
    """The wish to stop, and how far it has got."""

    def __init__(self) -> None:
        self.requested = trio.Event()
        """Set by the first request: take no more work, finish what there is."""
        self.hard = trio.CancelScope()
        """Cancelled by the second request; the service runs inside it."""
        self.exit_code: int | None = None
        """128 + the number of the signal that ended the service at once."""

    def request(self, why: str, signum: int = 0) -> None:
        """Ask to stop; the second time, insist."""
        if not self.requested.is_set():
            self.requested.set()
        elif not self.hard.cancel_called:
            log.warning("ending at once", why=why)
            self.exit_code = 128 + signum if signum else None
            self.hard.cancel(reason=why)


async def watch_signals(
    stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into requests to stop, until cancelled."""
    with trio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        async for signum in signals:
            name = signal.Signals(signum).name
            if not stop.requested.is_set():
                log.info("stopping; a second signal ends at once", why=name)
            stop.request(f"got {name}", signum)


async def run_stoppable(service: Callable[[Stop], Awaitable[None]]) -> int | None:
    """Run ``service`` until it returns, or until a second signal.

    Returns:
        The exit code if a second signal ended it, else None.
    """
    stop = Stop()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, stop)
        with stop.hard:
            await service(stop)
        nursery.cancel_scope.cancel(reason="the service has ended")
    return stop.exit_code
