"""Durations fall into the bucket whose bound they don't exceed."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.queueing.counters import BUCKETS_S, Counters, Durations, Slowest

durations_s = st.one_of(st.sampled_from(BUCKETS_S), st.floats(0, 1e5, allow_nan=False))


@given(st.lists(durations_s))
def test_the_histogram_is_what_counting_by_hand_gives(seconds: list[float]) -> None:
    durations = Durations()
    for duration in seconds:
        durations.add(duration)

    for i, bound in enumerate(BUCKETS_S):
        assert sum(durations.counts[: i + 1]) == sum(duration <= bound for duration in seconds)
    assert sum(durations.counts) == len(seconds)
    assert durations.sum_s == pytest.approx(sum(seconds))
    assert durations.max_s == max(seconds, default=0.0)


def test_a_new_period_resets_the_maxima_and_nothing_else() -> None:
    counters = Counters(slowest=Slowest(2.0, "n1"))
    for durations in (counters.wait, counters.run, counters.request):
        durations.add(2.0)

    counters.reset_maxima()
    counters.wait.add(0.5)

    assert counters.slowest == Slowest()
    assert (counters.wait.max_s, counters.run.max_s, counters.request.max_s) == (0.5, 0.0, 0.0)
    assert counters.wait.sum_s == 2.5
    assert sum(counters.run.counts) == 1
