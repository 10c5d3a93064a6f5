"""Simulated devices for the demo, and which of them fall out of line."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import attrs
import trio

from scalab.errors import ConfigError
from scalab.fakedev import workload
from scalab.fakedev.exporter import Bound, ExporterSettings, run_exporter
from scalab.fakedev.settings import DeviceSettings, NodeSettings
from scalab.measure.figures import format_duration, format_share
from scalab.measure.statistics import Place
from scalab.protocol.text import printable
from scalab.runtime.net import Address
from scalab.runtime.service import Stop

from .settings import DemoSettings

FIRST = 128
SLOW = 0.5
"""Speed of a slow device; that of the others is 1."""
FAILING = 0.3
"""Share of its work that a failing device fails."""
WORK_S = 0.2
MEMORY_MIB = 2048
ODD = 1.3
"""A device whose typical run takes so many times as long as that of the others is slow."""
ENOUGH = 5
"""Replies below which a device says nothing."""


@attrs.frozen
class Devices:
    """Simulated devices that are there."""

    exporter: Bound
    folder: str
    """Where their files are."""

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self.exporter.node.devices)

    @property
    def workload(self) -> tuple[str, ...]:
        """What backends run on them, as a command line."""
        return (
            sys.executable, "-I", "-S", workload.__file__,
            "--socket", self.exporter.socket, "--device", "FILENAME",
            "--profile", f"95:4:{WORK_S}", "--memory", str(MEMORY_MIB),
        )  # fmt: skip

    def glob(self, backend: int) -> str:
        """Return the pattern that only matches the device of a backend, counted from 1."""
        names = self.names
        return f"{self.folder}/{names[(backend - 1) % len(names)]}"


def device_names(n: int) -> list[str]:
    """Return the names that so many devices have in the demo."""
    return [f"renderD{FIRST + i}" for i in range(n)]


@asynccontextmanager
async def simulated_devices(settings: DemoSettings) -> AsyncIterator[Devices | None]:
    """Simulate the devices that ``settings`` ask for, if any, for as long as this is open.

    Raises:
        ConfigError: A slow or failing device is none of them.
    """
    node = _node(settings)
    if node is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="scalab-demo-") as folder:
        exporter = ExporterSettings(
            node=node,
            socket=str(Path(folder, "socket")),
            metrics_addr=Address("127.0.0.1", 0),
            files=str(Path(folder, "devices")),
        )
        stop = Stop()
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(run_exporter, exporter, stop)
            yield Devices(bound, exporter.files)
            stop.requested.set()


def _node(settings: DemoSettings) -> NodeSettings | None:
    names = device_names(settings.devices)
    for name in (*settings.slow, *settings.failing):
        if name not in names:
            known = ", ".join(names) or "none without --devices"
            raise ConfigError(f"there is no device {printable(repr(name), 80)}; there are: {known}")
    if not names:
        return None
    return NodeSettings(
        devices=tuple(
            DeviceSettings(
                name=name,
                speed=SLOW if name in settings.slow else 1.0,
                failure_rate=FAILING if name in settings.failing else 0.0,
            )
            for name in names
        ),
        name="this-machine",
    )


def odd_ones(places: Sequence[Place]) -> list[str]:
    """Name the devices that are slower than the others, or fail: a sentence each."""
    sentences = []
    known = [place for place in places if place.served >= ENOUGH]
    for place in known:
        others = [other.run.p50_s for other in known if other is not place]
        usual_s = median(others) if others else 0.0
        if usual_s and place.run.p50_s > ODD * usual_s:
            times = place.run.p50_s / usual_s
            sentences.append(
                f"{place.name} is slow: a run takes {format_duration(place.run.p50_s)}, "
                f"{times:.1f} times as long as on the others."
            )
        if place.failed:
            share = format_share(place.failed, place.served)
            sentences.append(f"{place.name} fails: {share} of its runs.")
    return sentences
