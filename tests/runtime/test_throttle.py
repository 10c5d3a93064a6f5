"""Floods of events, on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given, strategies as st

from scalab.runtime.throttle import Throttle


def test_a_burst_passes_and_then_one_in_a_period() -> None:
    throttle = Throttle(burst=3, period_s=10.0)

    assert [throttle.passes("x", 100.0) for _ in range(5)] == [0, 0, 0, None, None]
    assert throttle.passes("x", 109.0) is None
    assert throttle.passes("x", 110.0) == 3
    assert throttle.passes("x", 110.0) is None
    assert throttle.passes("x", 120.0) == 1


def test_after_a_quiet_time_there_is_a_whole_burst_and_no_more() -> None:
    throttle = Throttle(burst=3, period_s=10.0)
    for _ in range(4):
        throttle.passes("x", 0.0)

    assert [throttle.passes("x", 1000.0) for _ in range(4)] == [1, 0, 0, None]


def test_kinds_don_t_disturb_one_another() -> None:
    throttle = Throttle(burst=1)

    assert [throttle.passes(kind, 0.0) for kind in "aab"] == [0, None, 0]


def test_nobody_gets_more_through_by_inventing_kinds() -> None:
    throttle = Throttle(burst=2, most_kinds=5)

    passed = [throttle.passes(kind, 0.0) for kind in range(10_000)]

    assert sum(held is not None for held in passed) == 5 + 2
    assert throttle.passes(0, 0.0) == 0  # those from before have their own accounts still


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 30)), max_size=200),
    st.integers(1, 5),
    st.floats(0.5, 20),
)
def test_every_event_passes_or_is_told_of(
    events: list[tuple[int, float]], burst: int, period_s: float
) -> None:
    throttle = Throttle(burst, period_s)
    now, told, kinds = 0.0, 0, 0
    for kind, pause_s in events:
        now += pause_s
        held = throttle.passes(kind, now)
        told += 0 if held is None else held + 1
    for kind in range(4):  # a last one of each, long after, tells of the rest
        held = throttle.passes(kind, now + 10 * period_s)
        assert held is not None
        told, kinds = told + held + 1, kinds + 1

    assert told == len(events) + kinds
