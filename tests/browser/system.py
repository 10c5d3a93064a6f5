"""A frontend, backends and a client at work, and the address of the client's page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from scalab.client.liverun import LiveRun
from scalab.client.service import Result, run_client
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from tests.browser.browser import Browser
from tests.support import ANYWHERE, Frontend, client_settings, serving, working

PATIENCE_S = 90.0
FAILING = ("bash", "-c", "echo 'vaapi: failed to map surface' >&2; exit 3")


@attrs.frozen
class Client:
    """A client at work."""

    run: LiveRun
    address: Address
    """Of its control port."""
    stop: Stop

    @property
    def url(self) -> str:
        """Of its page."""
        return f"http://{self.address}/"

    async def run_for(self, seconds: float) -> None:
        """Wait until the run has gone on by so much, as its record tells."""
        until_s = self.run.elapsed_s + seconds
        recording = self.run.recording
        while all(i.to_s < until_s for i in recording.run().timeline):  # noqa: ASYNC110
            await trio.sleep(0.05)  # nothing tells when it is recorded


@attrs.frozen
class System:
    """All that is at work."""

    frontend: Frontend
    nursery: trio.Nursery

    async def client(self, at: Address = ANYWHERE, **options: Any) -> Client:
        """Start a client, by default a closed loop of two requests of 20 ms each."""
        if "rate" not in options:
            options = {"parallel": 2, "parallel_max": 8, **options}
        settings = client_settings(
            self.frontend.bound.clients, **{"args": ("0.02",), "control_addr": at, **options}
        )
        stop = Stop()
        running = await self.nursery.start(run_client, settings, stop, Result())
        assert running.control is not None
        return Client(running.run, running.control, stop)


@asynccontextmanager
async def system(
    browser: Browser, folder: Path, *, healthy: int = 3, failing: int = 0, **runner: Any
) -> AsyncIterator[System]:
    """Keep a system at work, in which each backend has a device, and two slots on it.

    Args:
        browser: Leaves the page before the client does.
        folder: For the files that stand for devices: ``card0``, ``card1`` …
        healthy: Backends that sleep.
        failing: Backends after these whose work fails.
        runner: More settings of the runner, such as ``pod``.
    """
    async with serving(patience_s=PATIENCE_S) as frontend, AsyncExitStack() as backends:
        for i in range(healthy + failing):
            device = folder / f"card{i}"
            device.touch()
            command = ("sleep",) if i < healthy else FAILING
            names = {"node": f"node-{i // 2}", "pod": f"backend-{i}", **runner}
            await backends.enter_async_context(
                working(frontend.bound.workers, *command, glob=str(device), slots=2, **names)
            )
        async with trio.open_nursery() as nursery:
            yield System(frontend, nursery)
            await browser.open("about:blank")
            nursery.cancel_scope.cancel(reason="the test is over")
