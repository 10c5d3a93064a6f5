"""The decisions of a HorizontalPodAutoscaler, against those worked out by hand."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.scaling.hpa import DOWN, UP, Behavior, HpaRule, Policy
from scalab.scaling.observed import Target

AT_ONCE = Behavior(stabilization_s=0, policies=(Policy("percent", 100),))
ANY = Behavior(stabilization_s=0, policies=(Policy("pods", 1000),))


def rule(
    items: float = 1.0,
    minimum: int = 1,
    maximum: int = 100,
    up: Behavior = ANY,
    down: Behavior = ANY,
) -> HpaRule:
    return HpaRule(Target(items=items, minimum=minimum, maximum=maximum), up=up, down=down)


def decided(hpa: HpaRule, start: int, *seen: tuple[float, float]) -> list[int]:
    """The decisions by (time, demand), each carried out."""
    found = [start]
    for at_s, demand in seen:
        found.append(hpa.decide(at_s, found[-1], demand).desired)
    return found[1:]


# --- the metric ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "demand", "desired"),
    [
        (10, 110, 10),  # 1.1 of the target: still tolerated
        (10, 111, 12),
        (10, 90, 10),
        (10, 89, 9),
        (4, 200, 20),
        (3, 10, 3),  # 0.33 over, but no more than ceil(10/4) = 3
        (3, 0, 1),
        (1, 11.1, 2),
    ],
)
def test_the_number_that_holds_the_target(current: int, demand: float, desired: int) -> None:
    items = 10.0 if current != 3 else 4.0

    assert decided(rule(items), current, (0, demand)) == [desired]


def test_the_limits() -> None:
    assert decided(rule(minimum=2, maximum=5), 3, (0, 99), (1, 0)) == [5, 2]


def test_what_is_out_of_the_limits_is_brought_back_at_once() -> None:
    slow = Behavior(stabilization_s=600, policies=(Policy("pods", 1, 600),))
    assert decided(rule(minimum=2, maximum=5, up=slow, down=slow), 9, (0, 1)) == [5]
    assert decided(rule(minimum=4, maximum=5, up=slow, down=slow), 1, (0, 1)) == [4]


def test_from_nothing_to_something_and_back() -> None:
    assert decided(rule(minimum=0, up=UP), 0, (0, 0), (1, 0.5), (2, 0)) == [0, 1, 0]


# --- policies --------------------------------------------------------------------------------


def test_the_default_adds_four_or_doubles_whichever_is_more() -> None:
    assert decided(rule(up=UP), 1, *((15 * n + n / 100, 100) for n in range(5))) == [
        5, 10, 20, 40, 80,
    ]  # fmt: skip


def test_a_period_that_is_not_over_counts_what_was_added_in_it() -> None:
    seen = [(0, 100), (5, 100), (14.9, 100), (15, 100)]

    assert decided(rule(up=UP), 1, *seen) == [5, 5, 5, 10]


def test_what_was_removed_in_a_period_may_come_back() -> None:
    slow = Behavior(stabilization_s=0, policies=(Policy("pods", 2, 60),))

    assert decided(rule(up=slow), 10, (0, 5), (1, 50)) == [5, 12]


def test_a_percentage_is_rounded_so_that_something_happens() -> None:
    tenth = Behavior(stabilization_s=0, policies=(Policy("percent", 10, 60),))

    assert decided(rule(up=tenth, down=tenth), 3, (0, 9)) == [4]
    assert decided(rule(up=tenth, down=tenth), 15, (0, 1)) == [13]


@pytest.mark.parametrize(
    ("select", "up", "down"), [("max", 20, 0), ("min", 12, 8), ("disabled", 10, 10)]
)
def test_which_policy_counts(select: Literal["max", "min", "disabled"], up: int, down: int) -> None:
    both = Behavior(
        stabilization_s=0,
        policies=(Policy("pods", 2, 60), Policy("percent", 100, 60)),
        select=select,
    )

    assert decided(rule(minimum=0, up=both), 10, (0, 99)) == [up]
    assert decided(rule(minimum=0, down=both), 10, (0, 0)) == [down]


# --- stabilization ---------------------------------------------------------------------------


def test_down_goes_to_the_highest_recommendation_of_the_window() -> None:
    calm = Behavior(stabilization_s=60, policies=DOWN.policies)
    seen = [(0, 10), (20, 4), (40, 6), (59, 2), (60, 2), (99, 2), (100, 2), (119, 2), (120, 1)]

    # 10 is forgotten at 60; then 6, of 40, is the most until 100; then 2 until the end.
    assert decided(rule(down=calm), 10, *seen) == [10, 10, 10, 10, 6, 6, 2, 2, 2]


def test_what_there_was_at_the_start_is_kept_for_the_window() -> None:
    seen = [(0, 1), (299, 1), (300, 1)]

    assert decided(rule(down=DOWN), 8, *seen) == [8, 8, 1]


def test_up_goes_to_the_least_recommendation_of_the_window() -> None:
    calm = Behavior(stabilization_s=30, policies=ANY.policies)
    seen = [(0, 9), (15, 5), (29, 7), (30, 7), (45, 8), (59, 8), (60, 8)]

    assert decided(rule(up=calm), 1, *seen) == [1, 1, 1, 5, 7, 7, 8]


def test_a_long_look_away_forgets_all() -> None:
    assert decided(rule(down=DOWN), 8, (0, 8), (1000, 2)) == [8, 2]


# --- what holds always -----------------------------------------------------------------------

behaviors = st.builds(
    Behavior,
    stabilization_s=st.sampled_from([0.0, 30.0, 300.0]),
    policies=st.lists(
        st.builds(
            Policy,
            st.sampled_from(["pods", "percent"]),
            st.integers(1, 150),
            st.sampled_from([15.0, 60.0]),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
    select=st.sampled_from(["max", "min", "disabled"]),
)
demands = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 80)), min_size=1, max_size=30)


@given(demands, behaviors, behaviors, st.integers(1, 20))
def test_decisions_keep_to_all_rules(
    seen: list[tuple[int, int]], up: Behavior, down: Behavior, start: int
) -> None:
    target = Target(items=3.0, minimum=1, maximum=20)
    hpa, now, current = HpaRule(target, up=up, down=down), 0, start
    recommended = [(0, start)]
    for step, demand in seen:
        now += step
        decision = hpa.decide(now, current, demand)
        recommended.append((now, decision.recommended))
        assert 1 <= decision.desired <= 20
        if up.select == "disabled":
            assert decision.desired <= current
        if decision.desired > current:
            window = [n for at_s, n in recommended if at_s > now - up.stabilization_s]
            assert decision.desired <= min([decision.recommended, *window[1:]])
        if decision.desired < current:
            window = [n for at_s, n in recommended[1:] if at_s > now - down.stabilization_s]
            assert decision.desired >= min(max([decision.recommended, *window]), current)
        current = decision.desired


@given(st.integers(1, 20), st.integers(0, 200), st.integers(0, 200))
def test_more_demand_is_never_fewer_workers(current: int, one: int, other: int) -> None:
    less, more = sorted((one, other))

    assert decided(rule(up=UP, down=AT_ONCE), current, (0, less)) <= decided(
        rule(up=UP, down=AT_ONCE), current, (0, more)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Policy("pods", 0),
        lambda: Policy("percent", 5, 0),
        lambda: Behavior(stabilization_s=-1, policies=(Policy("pods", 1),)),
        lambda: Behavior(stabilization_s=0, policies=()),
    ],
)
def test_what_can_t_be_followed(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]
