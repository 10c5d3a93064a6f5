"""What devices do at random, what they show, and which can't be."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from scalab.errors import ConfigError
from scalab.fakedev.model import Node, Phase
from scalab.fakedev.settings import DeviceSettings, NodeSettings

from .helpers import FULL, Bench, demand, settings

# --- failures ------------------------------------------------------------------------------------


def fates(seed: int, name: str = "d0", n: int = 300) -> list[tuple[object, float]]:
    device = DeviceSettings(name=name, failure_rate=0.3)
    bench = Bench.of(NodeSettings(devices=(device,), seed=seed))
    found: list[tuple[object, float]] = []
    for _ in range(n):
        began = bench.now
        run = bench.start(demand(2.0, name))
        bench.finish()
        found.append((run.outcome, round(bench.now - began, 9)))
    return found


def test_a_device_fails_its_share_somewhere_on_the_way() -> None:
    found = fates(1)
    failed = [after for outcome, after in found if outcome == "failure"]
    assert 60 < len(failed) < 120
    assert all(after == 2.0 for outcome, after in found if outcome == "success")
    assert max(failed) < 2.0
    assert all(low < high for low, high in pairwise([0.0, *sorted(failed)[::10]]))
    assert min(failed) < 0.3
    assert max(failed) > 1.7


def test_the_seed_makes_it_repeatable() -> None:
    assert fates(1) == fates(1)
    assert fates(1) != fates(2)
    assert fates(1) != fates(1, "d1")


def test_the_fate_of_the_nth_depends_on_nothing_but_n() -> None:
    """Neither on how many there are at once, nor on the failure of others."""
    device = DeviceSettings(name="d0", failure_rate=0.3)
    bench = Bench.of(NodeSettings(devices=(device,), seed=1))
    runs = [bench.start(demand(2.0)) for _ in range(300)]
    bench.finish()
    assert [run.outcome for run in runs] == [outcome for outcome, _ in fates(1)]


def test_a_higher_rate_only_adds_failures() -> None:
    def failing(rate: float) -> dict[int, float]:
        bench = Bench.of(settings(failure_rate=rate))
        runs = [bench.start() for _ in range(200)]
        return {run.number: run.fails_after_s for run in runs if run.fails_after_s < inf}

    assert failing(0.1).items() < failing(0.3).items()


def test_rates_of_none_and_all() -> None:
    for rate, outcome in ((0.0, "success"), (1.0, "failure")):
        bench = Bench.of(settings(failure_rate=rate))
        runs = [bench.start() for _ in range(50)]
        bench.finish()
        assert {run.outcome for run in runs} == {outcome}


# --- readings ------------------------------------------------------------------------------------


def test_what_an_idle_device_shows() -> None:
    node = Node(settings(memory=100, power="10:60", frequency="300:2300", temperature="30:80"), 5.0)
    reading = node.read(105.0)["d0"]
    assert reading.utilization == reading.memory_used == reading.memory_ratio == 0.0
    assert reading.memory_free == 100 * 2**20
    assert (reading.power, reading.energy) == pytest.approx((10, 1000))
    assert (reading.frequency, reading.temperature) == (300e6, 30)


def test_what_a_busy_device_shows() -> None:
    node = Node(
        settings(power="10:60", frequency="300:2300", temperature="30:80", thermal_s=10), 0.0
    )
    run = node.start(demand(100.0, phases=(Phase(50, 0, 1),)), lambda _run: None, 0.0)
    reading = node.read(10.0)["d0"]
    assert (reading.power, reading.energy, reading.frequency) == pytest.approx((35, 350, 1300e6))
    assert reading.temperature == pytest.approx(30 + 25 * (1 - 0.36787944))
    node.leave(run, 10.0)
    assert node.read(1000.0)["d0"].temperature == pytest.approx(30)


def test_busy_is_at_most_all_of_it() -> None:
    node = Node(settings(), 0.0)
    for _ in range(3):
        node.start(demand(phases=FULL), lambda _run: None, 0.0)
    assert node.read(0.5)["d0"].utilization == 1.0


def test_readings_fluctuate_within_their_bounds_and_repeatably() -> None:
    def readings(seed: int) -> list[float]:
        device = DeviceSettings(name="d0")
        node = Node(NodeSettings(devices=(device,), seed=seed), 0.0)
        node.start(demand(500.0, phases=(Phase(90, 5, 1),)), lambda _run: None, 0.0)
        return [node.read(float(at))["d0"].utilization for at in range(200)]

    found = readings(1)
    assert 0.85 <= min(found) < 0.86
    assert 0.94 < max(found) <= 0.95
    assert found == readings(1) != readings(2)


def test_workloads_fluctuate_independently() -> None:
    node = Node(settings(), 0.0)
    shown = []
    for _ in range(2):
        run = node.start(demand(phases=(Phase(50, 50, 1),)), lambda _run: None, 0.0)
        shown.append(node.read(0.0)["d0"].utilization)
        node.leave(run, 0.0)
    assert shown[0] != shown[1]


def test_fluctuation_costs_nobody_anything() -> None:
    bench = Bench.of(settings())
    for _ in range(2):
        bench.start(demand(1.0, phases=(Phase(50, 50, 1),)))
    assert bench.finish() == pytest.approx(1.0)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a/b"}, {"name": "-x"}, {"name": "x" * 101}, {"name": 3},
        {"speed": 0}, {"speed": "fast"}, {"speed": True}, {"speed": "nan"}, {"sigma": -1},
        {"failure_rate": 1.1}, {"slots": 1.5}, {"slots": -1}, {"memory": "inf"},
        {"power": "3"}, {"power": "5:3"}, {"power": [1, 2, 3]}, {"power": "a:b"}, {"type": 7},
    ],
)  # fmt: skip
def test_a_device_that_can_not_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        DeviceSettings(**{"name": "d0", **wrong})  # type: ignore[arg-type]


def test_nodes_that_can_not_be() -> None:
    device = DeviceSettings(name="d0")
    for devices in ((), (device, device), (device,) * 2000):
        with pytest.raises(ConfigError):
            NodeSettings(devices=devices)
