"""Instruments for the tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

Ts = TypeVarTuple("Ts")


class CancelAtStep(trio.abc.Instrument):
    """Runs the code under test, and cancels it after a given number of steps.

    A step is a stretch that a task runs between two checkpoints. The steps of all tasks count, so
    that the cancellation also arrives just before and just after what another task did.

    Args:
        step: After how many steps to cancel; 0 = at the first checkpoint.
    """

    def __init__(self, step: int) -> None:
        self.fired = False
        """Whether there were so many steps."""
        self._left = step
        self._scope = trio.CancelScope()

    async def run(self, async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run ``async_fn`` until it ends or is cancelled; may be used once."""
        trio.lowlevel.add_instrument(self)
        try:
            with self._scope:
                await async_fn(*args)
        finally:
            trio.lowlevel.remove_instrument(self)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        if self._left == 0:
            self.fired = True
            self._scope.cancel(reason="cancelled by the test")
        self._left -= 1


async def cancel_at_every_step(
    scenario: Callable[[CancelAtStep], Awaitable[None]], *, most: int = 1000
) -> int:
    """Run a scenario again and again, its code under test cancelled one step later each time.

    Args:
        scenario: Sets the scene, awaits ``run`` of what it is given once, and then asserts what
            must hold whether or not that was cancelled.
        most: Steps after which the scenario is taken to be endless.

    Returns:
        After how many different steps it was cancelled.
    """
    for step in range(most):
        cancel = CancelAtStep(step)
        try:
            await scenario(cancel)
        except BaseException as exc:
            exc.add_note(f"cancelled after step {step}")
            raise
        if not cancel.fired:
            return step
    raise AssertionError(f"the scenario took more than {most} steps")
