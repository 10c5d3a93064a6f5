from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from scalab.backend.outcome import CannotRunError, RunEnd
from scalab.backend.sleep import seconds, sleep


@pytest.mark.parametrize(
    ("args", "total"),
    [(["0"], 0), (["1.5"], 1.5), (["1", ".5", "2."], 3.5), (["1e-3"], 0.001), (["2E+1"], 20)],
)
def test_seconds(args: list[str], total: float) -> None:
    assert seconds(args) == total


@pytest.mark.parametrize(
    "arg", ["", "x", "-1", "+1", " 1", "1 ", "1s", "1_0", "nan", "inf", "0x10", ".", "1e", "\u0661"]
)
def test_not_seconds(arg: str) -> None:
    with pytest.raises(CannotRunError, match=r"^sleep: not a number of seconds: ") as caught:
        seconds(["1", arg])

    assert repr(arg) in str(caught.value)
    assert caught.value.retcode == 1


def test_no_seconds() -> None:
    with pytest.raises(CannotRunError, match="how many seconds"):
        seconds([])


@pytest.mark.parametrize("args", [["1e999"], ["1e308", "1e308"]])
def test_too_many_seconds(args: list[str]) -> None:
    with pytest.raises(CannotRunError, match="too many seconds"):
        seconds(args)


async def test_sleeps_as_long_as_asked(autojump_clock: MockClock) -> None:
    assert await sleep(5.0) == RunEnd("exit", 5.0)
    assert await sleep(5.0, 5.0) == RunEnd("exit", 5.0, 5.0)
    assert await sleep(5.0, 0.0, trio.CancelScope()) == RunEnd("exit", 5.0)
    assert trio.current_time() == 15.0


@pytest.mark.parametrize("cancel", [None, trio.CancelScope()])
async def test_limit(autojump_clock: MockClock, cancel: trio.CancelScope | None) -> None:
    assert await sleep(5.0, 2.0, cancel) == RunEnd("limit", 2.0, 2.0)


async def test_cancelled_by_request(autojump_clock: MockClock) -> None:
    cancel = trio.CancelScope()

    async def cancel_later() -> None:
        await trio.sleep(2.0)
        cancel.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_later)
        assert await sleep(5.0, 3.0, cancel) == RunEnd("cancel", 2.0, 3.0)


async def test_nothing_to_sleep() -> None:
    """It is one checkpoint: cheap, and yet others get their turn."""
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = steps
        with assert_checkpoints():
            end = await sleep(0.0, 1.0, trio.CancelScope())
        assert steps - before <= 2  # Trio shuffles those that are ready
        nursery.cancel_scope.cancel()
    assert end.cause == "exit"


async def test_cancelled_from_outside(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1.0) as scope:
        await sleep(5.0, 0.0, trio.CancelScope())
    assert scope.cancelled_caught
