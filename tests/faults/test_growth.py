"""Growth is told from noise."""

from __future__ import annotations

import pytest

from tests.faults.lab.growth import grown, trend


def test_noise_is_no_growth() -> None:
    assert grown([9, 5, 6, 5, 9, 5, 7]) == 0


def test_a_leak_is() -> None:
    assert grown([0, 5, 6, 8, 7, 9, 9]) == 4


def test_what_goes_down_is_none() -> None:
    assert grown([9, 8, 7, 6, 5, 4, 3]) < 0


def test_a_trend_is_told_from_noise() -> None:
    times = list(range(10))
    assert trend(times, [99, *(2.0 * t for t in times[1:])]) == pytest.approx(16)
    assert trend(times, [99, 5, 6, 5, 6, 5, 6, 5, 6, 5]) == pytest.approx(0)
