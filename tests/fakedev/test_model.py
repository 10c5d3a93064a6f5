"""The model against its formula, and against a simulation that knows no virtual time."""

from __future__ import annotations

from math import inf

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.fakedev.model import Demand, Node, Phase, Run
from scalab.fakedev.settings import DeviceSettings, Sharing

from .helpers import Bench, demand, fit_usl, settings, throughput

SHARINGS = [(0.0, 0.0), (1.0, 0.0), (0.1, 0.01), (0.03, 0.0005)]


def usl(n: float, sigma: float, kappa: float) -> float:
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


# --- sharing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "kappa"), SHARINGS)
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_run_times_follow_the_law(sigma: float, kappa: float, speed: float) -> None:
    for n in (1, 2, 4, 8):
        bench = Bench.of(settings(sigma=sigma, kappa=kappa, speed=speed))
        for _ in range(n):
            bench.start(demand(3.0))
        bench.finish()
        expected_s = 3.0 / speed * n / usl(n, sigma, kappa)
        assert list(bench.ended.values()) == pytest.approx([expected_s] * n)


@pytest.mark.parametrize(("sigma", "kappa"), SHARINGS)
def test_throughput_of_one_device_gives_its_sharing_back(sigma: float, kappa: float) -> None:
    node = settings(sigma=sigma, kappa=kappa)
    points = {n: throughput(node, ["d0"] * n) for n in (1, 2, 3, 4, 6, 8, 12, 16)}
    assert fit_usl(points) == pytest.approx((sigma, kappa), abs=1e-6)


@pytest.mark.parametrize(("sigma", "kappa"), SHARINGS)
def test_throughput_over_devices_gives_the_node_s_sharing_back(sigma: float, kappa: float) -> None:
    node = settings(8, Sharing(sigma, kappa))
    points = {n: throughput(node, [f"d{i}" for i in range(n)]) for n in range(1, 9)}
    assert fit_usl(points) == pytest.approx((sigma, kappa), abs=1e-6)


def test_devices_with_nothing_in_common_scale() -> None:
    node = settings(4, sigma=0.2)
    one = throughput(node, ["d0", "d0"])
    four = throughput(node, ["d0", "d0", "d1", "d1", "d2", "d2", "d3", "d3"])
    assert four == pytest.approx(4 * one)


def test_both_kinds_of_sharing_multiply() -> None:
    node = settings(2, Sharing(0.5, 0.0), sigma=0.2)
    bench = Bench.of(node)
    for device in ("d0", "d0", "d1"):
        bench.start(demand(1.0, device))
    rate = [1 / 1.2 / 1.5, 1 / 1.5]
    bench.run_until(0.5)
    bench.finish()
    alone_from = 1 / rate[1]  # d1 is done first, and leaves the node to the other
    expected = alone_from + (1 - alone_from * rate[0]) * 1.2
    assert sorted(bench.ended.values()) == pytest.approx([alone_from, expected, expected])


def test_half_a_load_counts_as_half_a_workload() -> None:
    half = (Phase(50.0, 0.0, 1.0),)
    for n, slowdown in ((1, 1.0), (2, 1.0), (3, 1.5), (4, 2.0)):
        bench = Bench.of(settings())
        for _ in range(n):
            bench.start(demand(1.0, phases=half))
        assert bench.finish() == pytest.approx(slowdown)


@attrs.define(eq=False)
class NaiveRun:
    """A workload that keeps account of its own remaining work."""

    index: int
    left_s: float
    phases: tuple[Phase, ...]
    phase: int = 0
    in_phase_s: float = 0.0


def naive(device: DeviceSettings, arrivals: list[tuple[float, Demand]]) -> dict[int, float]:
    """When each of the workloads ends, found step by step without any cleverness."""
    now = 0.0
    ends: dict[int, float] = {}
    present: list[NaiveRun] = []
    coming = list(enumerate(arrivals))
    while coming or present:
        while coming and coming[0][1][0] <= now:
            index, (_, wanted) = coming.pop(0)
            present.append(
                NaiveRun(index, wanted.work_s, wanted.phases, 0, wanted.phases[0].work_s)
            )
        n = sum(run.phases[run.phase].load for run in present) / 100
        slowdown = 1.0 if n <= 1 else n / usl(n, device.sigma, device.kappa)
        rate = device.speed / slowdown
        steps = [min(run.left_s, run.in_phase_s) / rate for run in present]
        if coming:
            steps.append(coming[0][1][0] - now)
        step_s = min(steps)
        now = coming[0][1][0] if coming and steps[-1] == step_s else now + step_s
        for run in list(present):
            run.left_s -= step_s * rate
            run.in_phase_s -= step_s * rate
            if run.left_s < 1e-9:
                ends[run.index] = now
                present.remove(run)
            elif run.in_phase_s < 1e-9:
                run.phase = (run.phase + 1) % len(run.phases)
                run.in_phase_s = run.phases[run.phase].work_s
    return ends


times = st.integers(1, 40).map(lambda n: n / 8)
phases = st.lists(
    st.builds(Phase, st.sampled_from([0.0, 25.0, 50.0, 100.0]), st.just(0.0), times), min_size=1
).map(tuple)
demands = st.builds(Demand, st.just("d0"), times, phases)


@given(
    st.lists(st.tuples(times, demands), min_size=1, max_size=12),
    st.sampled_from(SHARINGS),
    st.sampled_from([0.25, 1.0, 3.0]),
)
def test_everybody_ends_when_the_naive_simulation_says(
    arrivals: list[tuple[float, Demand]], sharing: tuple[float, float], speed: float
) -> None:
    arrivals.sort(key=lambda arrival: arrival[0])
    node = settings(sigma=sharing[0], kappa=sharing[1], speed=speed)
    bench = Bench.of(node)
    runs: list[Run] = []
    for at, wanted in arrivals:
        bench.run_until(at)
        runs.append(bench.start(wanted))
    bench.finish()
    expected = naive(node.devices[0], arrivals)
    found = {index: bench.ended[run] for index, run in enumerate(runs)}
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    device = bench.node.devices["d0"]
    assert not device.running
    assert device.load == device.memory_mib == 0.0
    assert device.ended["success"] == len(runs)


# --- the books -----------------------------------------------------------------------------------


def test_an_ended_workload_keeps_everything_until_it_leaves() -> None:
    node = Node(settings(memory=1000), 0.0)
    first = node.start(demand(1.0, memory_mib=600), lambda _run: None, 0.0)
    node.advance(1.0)
    assert first.outcome == "success"
    reading = node.read(2.0)["d0"]
    assert (reading.running, reading.utilization) == (1, 1.0)
    assert reading.memory_used == 600 * 2**20

    second = node.start(demand(1.0), lambda _run: None, 2.0)
    assert node.next_at() == pytest.approx(4.0)  # shared with the one that doesn't leave
    node.leave(first, 3.0)
    assert node.next_at() == pytest.approx(3.5)
    reading = node.read(3.0)["d0"]
    assert (reading.running, reading.memory_used) == (1, 0)
    node.leave(second, 3.1)
    assert second.outcome == "gone"
    assert node.next_at() == inf
    reading = node.read(3.2)["d0"]
    assert (reading.success, reading.gone, reading.running) == (1, 1, 0)


def test_leaving_early_gives_the_share_to_the_others() -> None:
    bench = Bench.of(settings())
    long, short = bench.start(demand(100.0)), bench.start(demand(2.0))
    bench.run_until(1.0)
    bench.node.leave(long, 1.0)
    bench.finish()
    assert bench.ended == {short: pytest.approx(2.5)}


def test_memory_is_limited() -> None:
    bench = Bench.of(settings(memory=1000))
    bench.start(demand(10.0, memory_mib=600))
    refused = bench.start(demand(10.0, memory_mib=401))
    assert refused.outcome == "out_of_memory"
    assert bench.ended[refused] == 0.0
    assert bench.start(demand(10.0, memory_mib=400)).outcome is None
    reading = bench.node.read(0.0)["d0"]
    assert (reading.memory_used, reading.memory_free) == (1000 * 2**20, 0)
    assert (reading.memory_ratio, reading.out_of_memory, reading.running) == (1.0, 1, 2)


def test_slots_are_given_in_the_order_of_arrival() -> None:
    bench = Bench.of(settings(slots=2, memory=1000))
    runs = [bench.start(demand(1.0)) for _ in range(5)]
    too_big = bench.start(demand(1.0, memory_mib=1001))
    last = bench.start(demand(1.0))
    reading = bench.node.read(0.0)["d0"]
    assert (reading.running, reading.waiting) == (2, 5)
    bench.node.leave(runs[3], 0.0)  # one that waits gives up
    bench.finish()
    assert runs[3].outcome == "gone"
    assert [bench.ended[run] for run in (*runs[:3], runs[4])] == pytest.approx([2, 2, 4, 4])
    assert too_big.outcome == "out_of_memory"
    assert bench.ended[too_big] == pytest.approx(4)  # its memory is asked for when its turn comes
    assert bench.ended[last] == pytest.approx(5)


def test_phases_follow_the_work_not_the_clock() -> None:
    node = Node(settings(speed=0.5), 0.0)
    node.start(demand(6.0, phases=(Phase(90, 0, 1), Phase(10, 0, 2))), lambda _run: None, 0.0)
    loads = [node.read(at)["d0"].utilization for at in (0.0, 1.9, 2.1, 5.9, 6.1, 7.9, 8.1)]
    assert loads == pytest.approx([0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.1])


def test_a_late_look_changes_nothing() -> None:
    """What was due earlier happens at its own time, however late that is noticed."""

    def energy(looks: list[float]) -> tuple[float, float]:
        node = Node(settings(sigma=0.3), 0.0)
        for work_s in (5.0, 9.0):
            phases = (Phase(100, 0, 1), Phase(0, 0, 0.5))
            node.start(demand(work_s, phases=phases), lambda _run: None, 0.0)
        for at in looks:
            node.advance(at)
        reading = node.read(20.0)["d0"]
        return reading.energy, reading.temperature

    assert energy([]) == pytest.approx(energy([i / 16 for i in range(320)]))


def test_work_of_nothing_ends_at_once() -> None:
    bench = Bench.of(settings())
    run = bench.start(demand(0.0))
    assert bench.finish() == 0.0
    assert run.outcome == "success"


def test_the_memory_of_those_who_left_is_not_kept() -> None:
    node = Node(settings(), 0.0)
    keeper = node.start(demand(1e6), lambda _run: None, 0.0)
    for i in range(1000):
        node.leave(node.start(demand(1e7), lambda _run: None, float(i)), float(i))
    device = node.devices["d0"]
    assert list(device.running) == [keeper]
    assert len(device._events) < 30


stays_one_in_five = st.sampled_from([True, False, False, False, False])


@given(st.lists(st.tuples(times, stays_one_in_five), min_size=40, max_size=80))
def test_those_who_stay_are_not_confused_by_those_who_left(plan: list[tuple[float, bool]]) -> None:
    bench = Bench.of(settings(sigma=0))
    runs = [bench.start(demand(work_s)) for work_s, _ in plan]
    for run, (_, stays) in zip(runs, plan, strict=True):
        if not stays:
            bench.node.leave(run, 0.0)
    bench.finish()
    expected = [work_s for work_s, stays in plan if stays]
    assert [bench.ended[run] for run in runs if run in bench.ended] == pytest.approx(expected)


def test_nothing_is_left_of_odd_loads() -> None:
    node = Node(settings(), 0.0)
    phases = [(Phase(load, 0, 1),) for load in (0.1, 0.2, 0.3)]
    runs = [
        node.start(demand(phases=phase, memory_mib=phase[0].load), lambda _run: None, 0.0)
        for phase in phases
    ]
    for run in runs:
        node.leave(run, 0.0)
    reading = node.read(0.0)["d0"]
    assert reading.utilization == reading.memory_used == 0.0


def test_time_passes_before_anything_changes() -> None:
    """Whoever comes or goes does so now, and not when something last happened."""
    node = Node(settings(), 0.0)
    first = node.start(demand(3.0), lambda _run: None, 0.0)
    node.start(demand(9.0), lambda _run: None, 2.0)
    assert node.next_at() == pytest.approx(4.0)
    node.leave(first, 3.0)
    assert node.next_at() == pytest.approx(11.5)


def test_busy_devices_share_the_node_by_their_load() -> None:
    node = Node(settings(2, Sharing(1.0, 0.0)), 0.0)
    half = (Phase(50, 0, 1),)
    for device in ("d0", "d1"):
        node.start(demand(2.0, device, half), lambda _run: None, 0.0)
    assert node.next_at() == pytest.approx(2.0)


def test_a_device_s_phases_change_what_the_others_get_of_the_node() -> None:
    bench = Bench.of(settings(2, Sharing(1.0, 0.0)))
    changing = bench.start(demand(4.0, "d0", (Phase(100, 0, 1), Phase(0, 0, 3))))
    steady = bench.start(demand(2.0, "d1"))
    bench.finish()
    # Both go at half speed for 2 s; then d0 is idle, and both go at full speed.
    assert bench.ended == pytest.approx({changing: 5.0, steady: 3.0})


def test_the_unknown_device() -> None:
    with pytest.raises(KeyError):
        Node(settings(), 0.0).start(demand(device="d1"), lambda _run: None, 0.0)
