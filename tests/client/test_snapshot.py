"""Snapshots: what a thread reads is of one moment, and stays as it is while the run goes on."""

from __future__ import annotations

import pytest
import trio

from scalab.client import snapshot as snapshot_module
from scalab.client.snapshot import Snapshots
from scalab.measure.interval import WARM_UP, Interval
from scalab.report.jsonform import to_json
from scalab.report.model import make_report
from scalab.runfile.reading import TIMELINE, Run
from tests.client.controlled import FakeClient, FakeRecording
from tests.client.growing import Growing, counted
from tests.report.simulated import simulated


@pytest.fixture
def growing() -> Growing:
    return Growing()


@pytest.fixture
def snapshots(growing: Growing) -> Snapshots:
    return Snapshots(FakeClient(recording=growing))  # type: ignore[arg-type]


def said(run: Run) -> str:
    """All that there is to say of a run."""
    return to_json(make_report(run))


@pytest.mark.parametrize("open_loop", [False, True])
async def test_a_snapshot_says_what_the_record_does(open_loop: bool) -> None:
    run = simulated(open_loop=open_loop)

    taken = await Snapshots(FakeClient(recording=FakeRecording(run))).take()
    assert said(taken.run) == said(run)


async def test_a_snapshot_stays_as_it_is(growing: Growing, snapshots: Snapshots) -> None:
    growing.grow(5)
    taken = await snapshots.take()
    before = said(taken.run)
    growing.grow(TIMELINE + 5, pods=4)
    await snapshots.take()

    assert said(taken.run) == before


async def test_every_snapshot_says_what_the_record_does(
    growing: Growing, snapshots: Snapshots
) -> None:
    for second in range(2 * TIMELINE + 10):
        growing.grow(pods=1 + second % 3)
        if second % 97 == 0 or 0 < abs(second - TIMELINE) < 3:
            assert said((await snapshots.take()).run) == said(growing.run())


async def test_only_what_is_new_is_copied(growing: Growing, snapshots: Snapshots) -> None:
    growing.grow(20)
    first = (await snapshots.take()).run
    growing.grow()
    second = (await snapshots.take()).run
    same = [a is b for a, b in zip(first.timeline, second.timeline, strict=False)]

    assert same == [True] * 19 + [False], "the last one might have grown"
    again = (await snapshots.take()).run
    assert again.measured is second.measured
    assert again.measured.queues["media"] is not growing.measured.queues["media"]


async def test_an_interval_without_length_counts(growing: Growing, snapshots: Snapshots) -> None:
    growing.grow(2)
    await snapshots.take()
    at = float(growing.seconds)
    growing.builder.add(Interval(from_s=at, to_s=at, queues={"media": counted(2)}))
    taken = await snapshots.take()

    assert said(taken.run) == said(growing.run())


async def test_a_reset_begins_anew(growing: Growing, snapshots: Snapshots) -> None:
    growing.grow(3)
    assert (await snapshots.take()).present is None
    growing.window = 1
    taken = await snapshots.take()
    assert taken.run.measured.duration_s == 0
    assert taken.present is not None, "what there is of the present phase"
    assert len(taken.run.timeline) == 3
    growing.grow(1)
    assert (await snapshots.take()).run.measured.duration_s == 1


async def test_a_phase_that_does_not_count(growing: Growing, snapshots: Snapshots) -> None:
    growing.grow(3, phase=WARM_UP)
    taken = await snapshots.take()

    assert taken.present is not None
    assert len(taken.run.timeline) == 3


def is_whole(run: Run) -> bool:
    """Whether no copy was made of a record that was half in another one."""
    whole = run.measured.whole
    pods = sum(pod.served for pod in whole.pods.values())
    devices = sum(device.served for device in whole.devices.values())
    groups = sum(interval.whole.completed for interval in run.measured.groups)
    return len({whole.completed, whole.run.count, pods, devices, groups}) == 1


@pytest.mark.parametrize("often", [1, 2, 5, 30])
async def test_what_is_recorded_meanwhile_is_in_it_as_a_whole_or_not_at_all(
    often: int, growing: Growing, snapshots: Snapshots
) -> None:
    growing.grow(5, pods=100)
    steps = 0

    async def record() -> None:
        nonlocal steps
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1
            if steps % often == 0:
                growing.grow(1, pods=90 + steps % 20)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(record)
        for _ in range(20):
            run = (await snapshots.take()).run
            assert is_whole(run)
            assert run.measured.whole == growing.measured.whole, "it is of this very moment"
            assert len(run.timeline) == len(growing.run().timeline)
        nursery.cancel_scope.cancel()
    assert growing.seconds > 5


async def test_copies_of_many_places_are_made_in_slices(
    growing: Growing, snapshots: Snapshots
) -> None:
    growing.grow(1, pods=160)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await snapshots.take()
        nursery.cancel_scope.cancel()
    assert turns >= 2 * 160 // snapshot_module.SLICE
