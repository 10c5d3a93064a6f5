"""A step against the one before it."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.measure.student import quantile
from scalab.scaling.decide import Risk, decide, ratio_of, required_ratio, unusable
from scalab.scaling.model import Decision, StepResult
from tests.scaling.samples import INVALID, estimate, step

shares = st.floats(0.001, 0.3)
rates = st.floats(0.01, 1e5)
growths = st.floats(0.2, 4)


def decided(growth: float, share: float = 0.01, required: float = 1.8) -> Decision:
    return decide(step(4, 10.0, share), step(8, 10.0 * growth, share), required)


@pytest.mark.parametrize(
    ("growth", "outcome"),
    [(2.0, "PASS"), (1.87, "PASS"), (1.83, "INCONCLUSIVE"), (1.77, "INCONCLUSIVE"), (1.7, "FAIL")],
)
def test_what_is_decided(growth: float, outcome: str) -> None:
    # The ratio's error is 1.41 %, and t(38) is 2.02: the interval is ±2.9 %.
    assert decided(growth).outcome == outcome


def test_the_interval_is_that_of_welch() -> None:
    a, b = step(1, 10, 0.03, batches=5), step(2, 19, 0.01, batches=20)
    error = math.hypot(0.03, 0.01)
    df = error**4 / (0.03**4 / 4 + 0.01**4 / 19)
    found = decide(a, b, 1.8)
    assert found.ratio == pytest.approx(1.9)
    assert found.low == pytest.approx(1.9 * math.exp(-quantile(0.975, df) * error))
    assert found.high == pytest.approx(1.9 * math.exp(quantile(0.975, df) * error))
    assert (found.before, found.after, found.confidence) == (1, 2, 0.95)
    wider = decide(a, b, 1.8, 0.99)
    assert wider.low == pytest.approx(1.9 * math.exp(-quantile(0.995, df) * error))


def test_each_end_has_its_own_risk() -> None:
    a, b = step(1, 10, 0.02), step(2, 19, 0.02)
    found = decide(a, b, 1.8, risk=Risk(0.01, 0.001))
    error, df = math.hypot(0.02, 0.02), 38
    assert found.low == pytest.approx(1.9 * math.exp(-quantile(0.99, df) * error))
    assert found.high == pytest.approx(1.9 * math.exp(quantile(0.999, df) * error))
    assert attrs.astuple(Risk.of(0.95)) == pytest.approx((0.025, 0.025))


def test_any_factor_asks_for_as_much_per_doubling() -> None:
    assert required_ratio(1, 2, 1.8) == pytest.approx(1.8)
    assert required_ratio(3, 12, 1.8) == pytest.approx(3.24)
    assert required_ratio(2, 3, 1.8) == pytest.approx(1.8 ** math.log2(1.5))
    found = decide(step(1, 10), step(4, 30), 1.8)
    assert found.required == pytest.approx(3.24)
    assert found.outcome == "FAIL"


@given(rates, growths, shares, shares, st.floats(1.1, 2))
def test_outcome_and_interval_agree(
    rate: float, growth: float, first: float, second: float, required: float
) -> None:
    found = decide(step(1, rate, first), step(2, rate * growth, second), required)
    assert found.low is not None
    assert found.high is not None
    assert found.ratio is not None
    assert 0 < found.low < found.ratio < found.high
    expected = "PASS" if found.low >= required else "FAIL" if found.high < required else None
    assert found.outcome == (expected or "INCONCLUSIVE")
    assert f"{found.ratio:.2f}x" in found.text
    if expected:
        assert found.more_requests is None
        assert found.more_s is None


@given(growths, shares, st.floats(1e-3, 1e3))
def test_no_unit_matters(growth: float, share: float, unit: float) -> None:
    a = decided(growth, share)
    b = decide(step(4, 10.0 * unit, share), step(8, 10.0 * unit * growth, share), 1.8)
    assert a.outcome == b.outcome
    assert a.low == pytest.approx(b.low)


@given(st.floats(1.5, 2.2), shares)
def test_as_much_more_as_is_said_decides(growth: float, share: float) -> None:
    found = decided(growth, share)
    if found.more_s is None or found.more_requests is None:
        return
    assert 0 < found.more_s <= 100 * 40
    per_s = (10 + 10 * growth) * 20 / 40  # both were measured for 20 s
    assert found.more_requests == pytest.approx(found.more_s * per_s, rel=0.02, abs=1)
    longer = math.sqrt(1 + found.more_s / 40)
    later = decide(
        step(4, 10, share / longer, batches=1000),
        step(8, 10 * growth, share / longer, batches=1000),
        1.8,
    )
    assert later.outcome == ("PASS" if growth > 1.8 else "FAIL")


def test_what_more_it_takes_depends_on_the_risk_of_that_side() -> None:
    below, above = (
        decide(step(4, 10, 0.02), step(8, 18 * growth, 0.02), 1.8, risk=Risk(0.1, 0.001))
        for growth in (1 / 1.02, 1.02)
    )
    assert above.more_s is not None
    assert below.more_s is not None
    z_above, z_below = 1.282 + 0.842, 3.090 + 0.842
    assert below.more_s + 40 == pytest.approx((above.more_s + 40) * (z_below / z_above) ** 2, 0.01)


def test_what_is_too_close_isn_t_promised() -> None:
    for growth in (1.8, 1.8004, 1.7996):
        found = decided(growth)
        assert (found.outcome, found.more_s, found.more_requests) == ("INCONCLUSIVE", None, None)
        assert "not even 100 times" in found.text


def test_a_hopelessly_wide_interval_breaks_nothing() -> None:
    found = decide(step(1, 10, 300.0, batches=2), step(2, 20, 3.0, batches=2), 1.8)
    assert found.outcome == "INCONCLUSIVE"
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 1e-20
    assert found.high > 1e20


def test_an_unknown_error_decides_nothing() -> None:
    for first, second in ((None, 0.01), (0.01, None)):
        found = decide(step(1, 10, first), step(2, 20, second), 1.8)
        assert (found.outcome, found.ratio, found.low) == ("INCONCLUSIVE", 2, None)
        assert "too little" in found.text
    assert ratio_of(estimate(0), estimate(1)) is None


@pytest.mark.parametrize(
    ("bad", "outcome", "text"),
    [
        (step(2, 20, problem="only 1 of 2\nworkers came"), "ERROR", r"only 1 of 2\nworkers came"),
        (step(2, 20, checks=INVALID), "INVALID", r"client-cpu says: 95 % of a core\nwas used"),
        (step(2, 0), "INVALID", "with 2 workers no request succeeded"),
    ],
)
def test_a_bad_step_is_compared_with_nothing(bad: StepResult, outcome: str, text: str) -> None:
    assert unusable(bad) == outcome
    other = attrs.evolve(step(1, 10), workers=4)
    for found in (decide(step(1, 10), bad, 1.8), decide(bad, other, 1.8)):
        assert (found.outcome, found.ratio, found.low) == (outcome, None, None)
        assert text in found.text
        assert found.text.isprintable()


def test_an_error_is_worse_than_an_invalid_step() -> None:
    found = decide(step(1, 10, checks=INVALID), step(2, 20, problem="gone"), 1.8)
    assert found.outcome == "ERROR"
    assert unusable(step(1, 10)) is None


def test_a_caveat_is_no_obstacle() -> None:
    checks = (attrs.evolve(INVALID[0], state="caveat"),)
    assert decide(step(1, 10, checks=checks), step(2, 20, checks=checks), 1.8).outcome == "PASS"
