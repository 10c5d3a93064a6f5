"""The demo with simulated devices."""

from __future__ import annotations

import io
from pathlib import Path

import attrs
import pytest
import trio
from rich.console import Console

from scalab.backend.devices import find_devices
from scalab.demo.devices import FAILING, SLOW, WORK_S, device_names, odd_ones, simulated_devices
from scalab.demo.service import Demo
from scalab.demo.settings import DemoSettings
from scalab.demo.view import LiveView, print_result
from scalab.errors import ConfigError
from scalab.fakedev import workload
from scalab.measure.statistics import Place, Spread
from scalab.runtime.service import Stop


def place(name: str, p50_s: float, served: int = 20, failed: int = 0) -> Place:
    return Place(name, served, failed, Spread(count=served, p50_s=p50_s), ())


def test_who_falls_out_of_line() -> None:
    usual = [place("d0", 0.20), place("d1", 0.21), place("d2", 0.19)]
    assert odd_ones(usual) == []
    assert odd_ones([*usual, place("d3", 0.4)]) == [
        "d3 is slow: a run takes 400 ms, 2.0 times as long as on the others."
    ]
    assert odd_ones([*usual, place("d3", 0.2, failed=5)]) == ["d3 fails: 25.0 % of its runs."]
    assert odd_ones([place("d0", 0.2), place("d1", 0.4, failed=20)]) == [
        "d1 is slow: a run takes 400 ms, 2.0 times as long as on the others.",
        "d1 fails: 100 % of its runs.",
    ]


def test_too_little_says_nothing() -> None:
    assert odd_ones([]) == []
    assert odd_ones([place("d0", 0.2)]) == []
    assert odd_ones([place("d0", 0.2), place("d1", 0.9, served=4, failed=4)]) == []


async def test_devices_are_what_was_asked_for() -> None:
    settings = DemoSettings(devices=3, slow=("renderD129",), failing=("renderD130",))
    assert settings.most_backends == 6
    async with simulated_devices(settings) as devices:
        assert devices
        assert devices.names == device_names(3)
        made = [device.settings for device in devices.exporter.node.devices.values()]
        assert [d.speed for d in made] == [1, SLOW, 1]
        assert [d.failure_rate for d in made] == [0, 0, FAILING]
        for backend, name in ((1, "renderD128"), (3, "renderD130"), (4, "renderD128")):
            [slot] = find_devices(devices.glob(backend), 1)
            assert (slot.name, slot.path) == (name, devices.glob(backend))
        folder = Path(devices.folder).parent
        command = [word.replace("FILENAME", devices.glob(1)) for word in devices.workload]
        ended = await trio.run_process(command, capture_stderr=True)
        assert (ended.returncode, ended.stderr) == (workload.SUCCESS, b"")
    assert not folder.exists()


async def test_without_devices_there_are_none() -> None:
    async with simulated_devices(DemoSettings()) as devices:
        assert devices is None


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        (DemoSettings(devices=2, slow=("renderD130",)), "renderD128, renderD129"),
        (DemoSettings(devices=2, failing=("x",)), "renderD128, renderD129"),
        (DemoSettings(slow=("renderD128",)), "none without --devices"),
    ],
)
async def test_a_device_that_is_not_there(settings: DemoSettings, known: str) -> None:
    with pytest.raises(ConfigError, match=f"there are: {known}$"):
        async with simulated_devices(settings):
            pass


def test_devices_have_a_workload_of_their_own() -> None:
    with pytest.raises(ConfigError, match="--devices come with a workload of their own"):
        DemoSettings(devices=1, workload=("sleep", "1"))


async def test_the_whole_demo() -> None:
    settings = DemoSettings(
        devices=2, slow=("renderD129",), failing=("renderD128",), duration_s=3.0, backends=2
    )
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False)
    stop = Stop()
    demo = Demo(settings, stop)
    await demo.run(LiveView(console).show)
    assert demo.error is None
    seen = screen.getvalue()
    for name in ("renderD128", "renderD129", "busy", "devices http://127.0.0.1:"):
        assert name in seen

    result = io.StringIO()
    print_result(Console(file=result, width=120), demo)
    assert "renderD129" in result.getvalue()
    last = demo.steps[-1].statistics
    [slow] = [place for place in last.devices if place.name == "renderD129"]
    assert slow.run.min_s >= WORK_S / SLOW
    assert {error.text for error in last.errors} <= {"scalab fakedev workload: renderD128 failed"}
    print_result(Console(file=result, width=120), attrs.evolve(demo, steps=[]))
