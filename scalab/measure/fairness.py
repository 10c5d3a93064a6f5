"""How evenly work was shared out, and which place stands out: a node, a device or a pod.

A place is named only when the difference is large and can't well be chance: with a hundred
healthy devices, hardly one run in a hundred names any.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from scalab.protocol.text import printable

from .counts import OTHERS
from .figures import format_count, format_duration, format_ratio, format_share
from .statistics import Place
from .student import incomplete_beta

SLOW: Final = "slow"
FAILING: Final = "failing"
STARVED: Final = "starved"

SLOW_RATIO: Final = 1.25
"""A median run time of at least this many times the usual one stands out."""
STARVED_RATIO: Final = 0.5
"""Busy for less than this share of the usual time stands out."""
FAILING_RATIO: Final = 2.0
"""A share of failures of at least this many times that of the rest stands out."""
FAILING_SHARE: Final = 0.01
"""And it must be at least this much above it."""
ENOUGH: Final = 20
"""Runs from which on a place's run times say something about the place."""

_SURE = 4.0  # standard errors: by chance once in 30,000 normal figures
_CHANCE = 1e-3  # of naming any place for its failures though all are alike
_MAD = 1.4826  # median absolute deviation times this: the standard deviation, if normal
_MEDIAN = 1.2533  # a median's standard error over the mean's, if normal: sqrt(pi / 2)
_P90 = 1.2816  # the normal distribution's 90th percentile
_MAX_NAME = 64
_MAX_ERROR = 120


@attrs.frozen
class Outlier:
    """A place that stands out."""

    name: str
    kind: str
    """slow, failing or starved."""
    value: float
    """Its median run time in seconds, share of failed requests, or seconds of work."""
    usual: float
    """The same of the others: a median, or of all their requests together."""
    text: str
    """One sentence for people, safe to print."""


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index, from 1/n (one has it all) to 1 (all have the same).

    It is sum(x)**2 / (n * sum(x**2)): R. Jain, D. Chiu, W. Hawe, A quantitative measure of
    fairness and discrimination for resource allocation in shared computer systems, DEC-TR-301,
    1984.

    Args:
        values: What each one got, not negative. Where there is nothing to share out, it is 1.
    """
    most = max(values, default=0.0)
    if most <= 0:
        return 1.0
    shares = [value / most for value in values]  # so that no square overflows or vanishes
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def max_min(values: Sequence[float]) -> float:
    """Return the largest over the smallest value: 1 is even, infinite when one got nothing."""
    most, least = max(values, default=0.0), min(values, default=0.0)
    if most <= 0:
        return 1.0
    return most / least if least > 0 else math.inf


def outliers(places: Sequence[Place]) -> tuple[Outlier, ...]:
    """Return the places that stand out among places of one kind, the failing ones first.

    Slow: the median run time is at least 1.25 times the usual one, which is the median of the
    others' medians, and above it by more than 4 standard errors. An error is made up of the
    median's own, estimated from the distribution's width, and the others' spread (their median
    absolute deviation, but not less than their medians' own errors).

    Starved: it was busy (runs times their mean) for less than half of what the others were at the
    median, by 4 times the error of so many runs. So a slow place isn't starved for serving less.

    Failing: the share of failed requests is twice that of the rest and 1 percentage point above
    it, and chance is ruled out: of f failures, each falls to a place with its share of requests,
    so that k or more do by the binomial distribution.

    Args:
        places: All nodes, all devices or all pods of a window. The row of those that are not
            told apart doesn't count; nor do, for run times, places with fewer than 20 runs, or
            where most requests failed.
    """
    places = [place for place in places if place.served and place.name != OTHERS]
    ran = [p for p in places if p.run.count >= ENOUGH and 2 * p.failed <= p.served]
    found = [*_each(places, _failing), *_each(ran, _slow), *_each(_worked(places), _starved)]
    return tuple(found)


def _each(
    places: Sequence[Place], check: Callable[[Place, list[Place]], Outlier | None]
) -> Iterator[Outlier]:
    """Check every place against the others."""
    if len(places) < 2:
        return
    for i, place in enumerate(places):
        found = check(place, [*places[:i], *places[i + 1 :]])
        if found is not None:
            yield found


def _slow(place: Place, others: list[Place]) -> Outlier | None:
    medians = [other.run.p50_s for other in others]
    usual = statistics.median(medians)
    spread = _MAD * statistics.median(abs(median - usual) for median in medians)
    spread = max(spread, statistics.median(_median_error(other) for other in others))
    value = place.run.p50_s
    if value < SLOW_RATIO * usual or not usual:
        return None
    if value - usual <= _SURE * math.hypot(spread, _median_error(place)):
        return None
    text = (
        f"{_name(place)}: runs take {format_ratio(value, usual)} as long as on the others "
        f"(median {format_duration(value)}, usual {format_duration(usual)})"
    )
    return Outlier(place.name, SLOW, value, usual, text)


def _median_error(place: Place) -> float:
    """The standard error of a place's median run time, in seconds."""
    width = (place.run.p90_s - place.run.p50_s) / _P90
    return _MEDIAN * width / math.sqrt(place.run.count)


def _worked(places: Sequence[Place]) -> list[Place]:
    """The places whose time at work can be compared: most of what they served went well."""
    return [p for p in places if p.run.count and 2 * p.failed <= p.served]


def _busy_s(place: Place) -> float:
    return place.run.count * place.run.mean_s


def _starved(place: Place, others: list[Place]) -> Outlier | None:
    usual = statistics.median(_busy_s(other) for other in others)
    value = _busy_s(place)
    if value >= STARVED_RATIO * usual:
        return None
    expected = usual / place.run.mean_s if place.run.mean_s else math.inf
    if expected - place.run.count <= _SURE * math.sqrt(expected):
        return None
    text = (
        f"{_name(place)}: got little to do: {format_count(place.run.count)} runs, "
        f"{format_duration(value)} of work (usual {format_duration(usual)})"
    )
    return Outlier(place.name, STARVED, value, usual, text)


def _failing(place: Place, others: list[Place]) -> Outlier | None:
    failed, served = sum(p.failed for p in others), sum(p.served for p in others)
    value, usual = place.failed / place.served, failed / served
    if value < max(FAILING_RATIO * usual, usual + FAILING_SHARE):
        return None
    whole = failed + place.failed
    share = place.served / (served + place.served)
    chance = incomplete_beta(share, place.failed, whole - place.failed + 1)
    if chance * (len(others) + 1) >= _CHANCE:
        return None
    text = (
        f"{_name(place)}: {format_share(place.failed, place.served)} of its "
        f"{format_count(place.served)} requests failed (usual {format_share(failed, served)})"
    )
    if place.errors:
        text += f", most often: {printable(place.errors[0].text, _MAX_ERROR)}"
    return Outlier(place.name, FAILING, value, usual, text)


def _name(place: Place) -> str:
    return printable(place.name, _MAX_NAME)
