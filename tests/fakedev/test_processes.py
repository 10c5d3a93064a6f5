"""Real workloads, and an exporter in this process: who dies, freezes or is left alone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from scalab.fakedev import workload
from scalab.fakedev.exporter import ExporterSettings, run_exporter
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

from .helpers import ended, exporter, process, settings, timed, until


async def test_a_real_workload(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings()) as bound:
        async with process(bound, work=0.05, device="/dev/dri/d0") as running:
            assert await ended(running) == (0, "")
    assert bound.node.devices["d0"].ended["success"] == 1


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_killed_workload_is_off_the_books(tmp_path: Path, signum: signal.Signals) -> None:
    async with exporter(tmp_path, settings()) as bound:
        device = bound.node.devices["d0"]
        async with process(bound, memory=500) as killed:
            await until(lambda: device.running)
            assert device.memory_mib == 500
            killed.send_signal(signum)
            await until(lambda: not device.running)
            assert device.ended["gone"] == 1
            assert device.memory_mib == device.load == 0
            code, said = await ended(killed)
            assert code in (-signum, 130)
            assert not said


async def test_a_frozen_workload_keeps_its_memory_and_its_share(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings()) as bound:
        device = bound.node.devices["d0"]
        async with process(bound, memory=500, work=0.2) as frozen:
            await until(lambda: device.running)
            frozen.send_signal(signal.SIGSTOP)
            await until(lambda: device.ended["success"])
            assert device.memory_mib == 500
            taken_s = await timed(bound, 0.5)
            assert taken_s >= 1.0  # twice as long as it would take alone
            await until(lambda: len(device.running) == 1)
            assert device.utilization == 1.0
            frozen.send_signal(signal.SIGCONT)
            assert await ended(frozen) == (0, "")
        assert not device.running


async def test_the_exporter_ends(tmp_path: Path) -> None:
    stop = Stop()
    given = ExporterSettings(
        node=settings(), socket=str(tmp_path / "s"), metrics_addr=Address("127.0.0.1", 0)
    )
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(run_exporter, given, stop)
        async with process(bound) as running:
            await until(lambda: bound.node.devices["d0"].running)
            stop.requested.set()
            assert await ended(running) == (
                workload.NO_EXPORTER, "scalab fakedev workload: the exporter has ended\n",
            )  # fmt: skip
