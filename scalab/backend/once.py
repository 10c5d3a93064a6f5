"""``--once``: the workload as a backend would run it, without a frontend."""

from __future__ import annotations

import trio

from scalab.protocol.messages import Reply
from scalab.runtime.service import Stop, run_stoppable

from .devices import find_devices
from .runner import Runner
from .service import kill_at_second_signal
from .settings import BackendSettings


async def run_once(settings: BackendSettings) -> tuple[Reply, int | None]:
    """Run the workload once, on the first slot; the first signal ends it early.

    Returns:
        The reply, and the exit code if a second signal ended it.
    """
    reply = Reply(error="ended by a signal", retcode=1)

    async def service(stop: Stop) -> None:
        nonlocal reply
        slot = find_devices(settings.glob, settings.slots)[0]
        async with Runner(settings.runner) as runner, trio.open_nursery() as nursery:
            run = trio.CancelScope()
            nursery.start_soon(kill_at_second_signal, runner, stop)
            nursery.start_soon(_cancel_at, stop.requested, run)
            reply = await runner.run([], 0.0, slot, run)
            nursery.cancel_scope.cancel(reason="the run has ended")

    exit_code = await run_stoppable(service)
    return reply, exit_code


async def _cancel_at(event: trio.Event, run: trio.CancelScope) -> None:
    await event.wait()
    run.cancel(reason="a signal came")
