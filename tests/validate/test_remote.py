"""A client that runs elsewhere as the load engine of a validation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from scalab.client.service import Result, Running, run_client
from scalab.errors import ConfigError, UnreachableError
from scalab.measure.statistics import Statistics
from scalab.measure.summary import to_json
from scalab.runtime.service import Stop
from scalab.validate.remote import RemoteEngine, read_statistics
from tests.client.controlled import BUSY
from tests.support import ANYWHERE, client_settings, serving, working


@asynccontextmanager
async def driven() -> AsyncIterator[tuple[RemoteEngine, Running]]:
    """A client at work on four workers, and what drives it."""
    async with serving() as frontend, working(frontend.bound.workers, "sleep", slots=4):
        stop = Stop()
        settings = client_settings(
            frontend.bound.clients, args=("0.01",), parallel=0, parallel_max=4,
            control_addr=ANYWHERE,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(run_client, settings, stop, Result())
            assert running.control is not None
            yield RemoteEngine(running.control), running
            stop.requested.set()


@pytest.mark.parametrize("statistics", [BUSY, Statistics.empty()])
def test_statistics_are_read_as_they_are_told(statistics: Statistics) -> None:
    assert read_statistics(to_json(statistics)) == statistics


async def test_what_it_measures_is_what_the_client_counts() -> None:
    async with driven() as (engine, running):
        await engine.set_parallel(3)
        assert running.run.parallel == 3
        await engine.reset()
        while engine.window.whole.completed < 60:
            await trio.sleep(0.05)
            await engine.look()
        told = await engine.statistics()
        await engine.set_parallel(0)
        with trio.fail_after(10):
            await engine.until_idle()

    counted = engine.window
    assert told.completed >= 60
    assert told.total.count == told.completed == sum(place.served for place in told.pods)
    assert 0.01 < told.total.mean_s < 0.5
    assert counted.whole.completed <= 3  # a new window has begun with the change


async def test_intervals_add_up_to_what_was_told() -> None:
    async with driven() as (engine, _):
        await engine.set_parallel(4)
        for _ in range(5):
            await trio.sleep(0.1)
            await engine.look()
        told, whole = await engine.statistics(), engine.window.whole

    assert (whole.completed, whole.succeeded) == (told.completed, told.succeeded)
    assert engine.window.duration_s == pytest.approx(told.window_s)
    assert whole.total.mean_s == pytest.approx(told.total.mean_s, rel=1e-3)
    assert len(engine.window.groups) == 5 or len(engine.window.groups) == 6


async def test_what_the_client_can_not_do_is_told() -> None:
    async with driven() as (engine, running):
        with pytest.raises(ConfigError, match="start it with a higher --parallel-max"):
            await engine.set_parallel(5)
        await engine.set_parallel(1)
        while engine.window.duration_s < 0.5:
            await trio.sleep(0.05)
            await engine.look()
        running.run.reset()
        with pytest.raises(ConfigError, match="somebody else has changed the client"):
            await engine.look()
    with pytest.raises(UnreachableError, match="can't ask the client at http://127"):
        await engine.look()
