"""What is called steady, what is not, and what the sentence says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from scalab.measure.steady import Steady, SteadyState, trend

Shape = Callable[[float], float]


def window(shape: Shape, rng: random.Random, *, seconds: int = 60, loop: bool = True) -> Steady:
    """A window in which requests take 0.2 s times shape(0..1), about 50 at a time of them a second.

    In a closed loop the rate falls as the latency rises; in an open one it stays.
    """
    state = SteadyState()
    for second in range(seconds):
        slower = shape((second + 0.5) / seconds)
        n = round(rng.gauss(50 / slower if loop else 50, 3))
        state.add(1.0, n, sum(rng.gauss(0.2, 0.04) * slower for _ in range(n)), n)
    return state.check()


def test_steady() -> None:
    found = window(lambda _: 1.0, random.Random(1))
    assert found == Steady(True, 0.0, "throughput and latency were steady")


def test_a_trend_is_measured() -> None:
    found = window(lambda x: 1 + 0.3 * x, random.Random(1), loop=False)
    assert found.ok is False
    assert found.slope_share == pytest.approx(0.3 / 1.15, abs=0.03)
    assert found.text == f"latency rose by {found.slope_share:.0%} over the window"


def test_falling_throughput_is_called_so() -> None:
    state = SteadyState()
    for second in range(60):
        n = 100 - second % 3 - second // 2  # from 100 to 70, a little uneven
        state.add(1.0, n, 0.2 * n, n)
    found = state.check()
    assert found.text == "throughput fell by 36% over the window"
    assert found.slope_share == pytest.approx(-30 / 84.25, abs=0.002)


@pytest.mark.parametrize("until", [0.1, 0.2])
def test_a_warm_up_is_told_from_a_trend(until: float) -> None:
    found = window(lambda x: 1.5 if x < until else 1.0, random.Random(1), loop=False)
    assert found.ok is False
    assert found.slope_share == pytest.approx(0.5 * until / 0.2, abs=0.04)
    share = f"{found.slope_share:.0%}"
    assert found.text == (
        f"warm-up was not over: latency in the first fifth was {share} above that of the rest"
    )


def test_a_trend_all_along_is_no_warm_up() -> None:
    rng = random.Random(1)
    found = [window(lambda x: 1 + 0.2 * x, rng) for _ in range(40)]
    assert sum("over the window" in steady.text for steady in found) >= 38


def test_a_significant_change_that_is_small_doesn_t_matter() -> None:
    state = SteadyState()
    for second in range(60):
        state.add(1.0, 1000 + second // 2 + second % 2, 100.0, 1000)
    assert state.check().ok


@pytest.mark.parametrize("seconds", [10, 60, 300])
def test_steady_windows_are_rarely_called_unsteady(seconds: int) -> None:
    rng = random.Random(5)
    found = [window(lambda _: 1.0, rng, seconds=seconds) for _ in range(1500 // seconds)]
    assert sum(not steady.ok for steady in found) <= 0.05 * len(found)


def test_neighbours_that_follow_each_other_are_no_trend() -> None:
    # A random walk's pieces look like trends to a test that takes their points as independent.
    rng = random.Random(3)
    false_alarms = 0
    for _ in range(200):
        level, points = 0.0, []
        for n in range(60):
            level = 0.7 * level + rng.gauss(0, 0.1)
            points.append((n / 60, 1 + level, 1.0))
        false_alarms += trend(points) != 0
    assert false_alarms <= 20  # without the correction for it: 61


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1.0, 50, 10.0, 50)] * 7,  # too few intervals
        [(1.0, 0, 0.0, 0)] * 60,  # nothing happened
        [(1.0, 0, 0.0, 0), (1.0, 1, 7.0, 1)] * 4,  # hardly anything
        [(0.0, 50, 10.0, 50)] * 60,  # no time passed
    ],
)
def test_too_little_to_say(rows: list[tuple[float, int, float, int]]) -> None:
    state = SteadyState()
    for row in rows:
        state.add(*row)
    found = state.check()
    assert (found.ok, found.slope_share) == (None, 0.0)
    assert found.text == "too short a window to tell whether it was steady"


def test_just_enough_to_say() -> None:
    state = SteadyState()
    for _ in range(8):
        state.add(1.0, 50, 10.0, 50)
    assert state.check().ok is True


@given(
    st.lists(
        st.tuples(
            st.floats(0, 10), st.integers(0, 10**6), st.floats(0, 1e9), st.integers(0, 10**6)
        ),
        max_size=100,
    )
)
def test_whatever_comes_is_judged(rows: list[tuple[float, int, float, int]]) -> None:
    state = SteadyState()
    for row in rows:
        state.add(*row)
    found = state.check()
    assert found.text
    assert bool(found.slope_share) == (found.ok is False)
