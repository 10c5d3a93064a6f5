"""``--once``: the workload as a backend would run it, without a frontend."""

from __future__ import annotations

from scalab.protocol.messages import Reply
from scalab.runtime.service import Stop, run_stoppable

from .devices import find_devices
from .runner import Runner
from .settings import BackendSettings


async def run_once(settings: BackendSettings) -> Reply:
    """Run the workload once, on the first slot; the first signal ends it early."""
    reply = Reply(error="ended by a signal", retcode=1)

    async def service(stop: Stop) -> None:
        nonlocal reply
        slot = find_devices(settings.glob, settings.slots)[0]
        async with Runner(settings.runner) as runner:
            reply = await runner.run([], 0.0, slot, stop.requested)

    await run_stoppable(service)
    return reply
