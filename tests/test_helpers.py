"""The instruments find what they are made to find."""

from __future__ import annotations

import pytest
import structlog
import trio

from tests.helpers import CancelAtStep, cancel_at_every_step

log = structlog.get_logger()


class Line:
    """A waiting line of one item, and where that ends up."""

    def __init__(self) -> None:
        self.waiting = ["item"]
        self.delivered: list[str] = []

    async def hand_over(self) -> None:
        """Loses the item if it is cancelled between taking and delivering it."""
        item = self.waiting.pop()
        await trio.lowlevel.checkpoint()
        self.delivered.append(item)

    async def hand_over_safely(self) -> None:
        """Puts the item back instead."""
        item = self.waiting.pop()
        try:
            await trio.lowlevel.checkpoint()
        except BaseException:
            self.waiting.append(item)
            raise
        self.delivered.append(item)


async def lossy(cancel: CancelAtStep) -> None:
    line = Line()
    await cancel.run(line.hand_over)
    assert line.waiting + line.delivered == ["item"]


async def guarded(cancel: CancelAtStep) -> None:
    line = Line()
    await cancel.run(line.hand_over_safely)
    assert line.waiting + line.delivered == ["item"]


async def test_a_lossy_hand_off_is_found() -> None:
    with pytest.raises(AssertionError) as caught:
        await cancel_at_every_step(lossy)

    assert caught.value.__notes__ == ["cancelled after step 0"]


async def test_a_guarded_hand_off_passes_after_every_step_was_tried() -> None:
    assert await cancel_at_every_step(guarded) >= 1


async def test_steps_of_other_tasks_count() -> None:
    """The victim waits in one step; each step of the other task is a moment to cancel it."""

    async def other(done: trio.Event) -> None:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        done.set()

    async def scenario(cancel: CancelAtStep) -> None:
        async with trio.open_nursery() as nursery:
            done = trio.Event()
            nursery.start_soon(other, done)
            await cancel.run(done.wait)

    assert await cancel_at_every_step(scenario) >= 10


async def test_an_endless_scenario_ends() -> None:
    async def scenario(cancel: CancelAtStep) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        await cancel.run(trio.lowlevel.checkpoint)

    with pytest.raises(AssertionError, match="more than 1 steps"):
        await cancel_at_every_step(scenario, most=1)


def test_a_logged_error_is_noticed(error_logs: list[str]) -> None:
    log.info("all is well")
    assert error_logs == []

    log.error("it broke", what="the queue")
    assert len(error_logs) == 1
    assert "it broke" in error_logs[0]

    error_logs.clear()
