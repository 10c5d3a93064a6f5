"""Counts and histograms as JSON: what makes nearly all of a run file, so without any generality.

A histogram is ``{"n", "sum_us", "min_us", "max_us", "b": [bucket, count, bucket, count, …]}``; one
of a single value is ``{"n": 1, "sum_us": value}``, from which the rest follows. Whatever is 0 or
empty is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any, Final, TypeVar

from scalab.measure.aggregate import HISTOGRAMS, KINDS, Aggregate, PlaceAggregate
from scalab.measure.histogram import MAX_S, Histogram, bucket_us
from scalab.protocol.text import printable

MAX_FAILURE_KINDS: Final = 64
"""Kinds of failures in a run; there are about ten, so that is no limit for what we write."""
MAX_TEXT: Final = 2000
"""Characters of any text that is not part of the scenario."""

_COUNTS = ("sent", "completed", "succeeded", "dropped", "held", "aborted", "attempts_max")
_LONGEST_US = int(MAX_S * 1e6)

Json = dict[str, Any]
T = TypeVar("T")


class WrongError(ValueError):
    """A value isn't what it must be: ``must be `` and the text make the message."""

    def __init__(self, wanted: str, at: str = "") -> None:
        super().__init__(wanted)
        self.at = at
        """The keys that lead to the value, from where it was found out."""


# --- to JSON -----------------------------------------------------------------------------------


def histogram_json(histogram: Histogram) -> Json:
    """Return a histogram that isn't empty as JSON."""
    n = histogram.count
    if n == 1:
        return {"n": 1, "sum_us": histogram.max_us}
    return {
        "n": n,
        "sum_us": histogram.sum_us,
        "min_us": histogram.min_us,
        "max_us": histogram.max_us,
        "b": list(chain.from_iterable(sorted(histogram.buckets.items()))),
    }


def place_json(place: PlaceAggregate) -> Json:
    """Return what came from one place as JSON."""
    fields: Json = {"served": place.served} if place.served else {}
    if place.failed:
        fields["failed"] = place.failed
    if place.run.count:
        fields["run"] = histogram_json(place.run)
    if place.devices:
        fields["devices"] = sorted(place.devices)
    if place.pods:
        fields["pods"] = sorted(place.pods)
    if place.errors:
        fields["errors"] = place.errors
    return fields


def aggregate_json(aggregate: Aggregate) -> Json:
    """Return what was counted of one queue as JSON."""
    fields: Json = {name: n for name in _COUNTS if (n := getattr(aggregate, name))}
    if aggregate.failures:
        fields["failures"] = aggregate.failures
    for name in HISTOGRAMS:
        histogram: Histogram = getattr(aggregate, name)
        if histogram.count:
            fields[name] = histogram_json(histogram)
    if aggregate.errors:
        fields["errors"] = aggregate.errors
    for kind in KINDS:
        places: dict[str, PlaceAggregate] = getattr(aggregate, kind)
        if places:
            fields[kind] = {name: place_json(place) for name, place in places.items()}
    return fields


# --- from JSON ---------------------------------------------------------------------------------


def count_from(value: object) -> int:
    """Return a count.

    Raises:
        WrongError: As do all these functions, if it is none.
    """
    if type(value) is not int or value < 0:
        raise WrongError("a count")
    return value


def text_from(value: object) -> str:
    """Return a text, on one line and cut if it is very long."""
    if type(value) is not str:
        raise WrongError("a text")
    return printable(value, MAX_TEXT)


def object_from(value: object) -> Json:
    """Return a JSON object."""
    if type(value) is not dict:
        raise WrongError("an object")
    return value


def list_from(value: object) -> list[Any]:
    """Return a JSON list."""
    if type(value) is not list:
        raise WrongError("a list")
    return value


def histogram_from(value: object) -> Histogram:
    """Return a histogram, in which buckets, extremes, sum and count agree."""
    fields = object_from(value)
    n, sum_us = count_from(fields.get("n")), count_from(fields.get("sum_us"))
    if n == 1 and "b" not in fields:
        low = high = sum_us
        buckets = {bucket_us(sum_us): 1}
    else:
        low, high = count_from(fields.get("min_us")), count_from(fields.get("max_us"))
        buckets = _buckets(list_from(fields.get("b")))
    if sum(buckets.values()) != n:
        raise WrongError("a histogram whose counts add up to n")
    if bucket_us(low) != next(iter(buckets)) or bucket_us(high) != next(reversed(buckets)):
        raise WrongError("a histogram with min_us in its first bucket and max_us in its last")
    if high > _LONGEST_US or not low * n <= sum_us <= high * n:
        raise WrongError("a histogram with its sum between n times min_us and n times max_us")
    histogram = Histogram(n, sum_us, low, high)
    histogram.buckets = defaultdict(int, buckets)
    return histogram


def _buckets(flat: list[Any]) -> dict[int, int]:
    """Return the buckets, which come as [bucket, count, bucket, count, …], ascending."""
    lows, counts = flat[::2], flat[1::2]
    if not flat or set(map(type, flat)) != {int} or len(lows) != len(counts) or min(counts) < 1:
        raise WrongError("a histogram with b = [bucket, count, bucket, count, …]")
    ascending = lows[0] >= 0 and all(a < b for a, b in pairwise(lows))
    if not ascending or list(map(bucket_us, lows)) != lows:
        raise WrongError("a histogram with ascending buckets of 11 bits")
    return dict(zip(lows, counts, strict=True))


def tallies_from(value: object) -> dict[str, int]:
    """Return how often texts were seen."""
    return {text_from(text): count_from(n) for text, n in object_from(value).items()}


def _names(value: object) -> set[str]:
    return set(map(text_from, list_from(value)))


def place_from(value: object) -> PlaceAggregate:
    """Return what came from one place."""
    place = PlaceAggregate()
    for key, field in object_from(value).items():
        read = _PLACE.get(key)
        if read is not None:
            setattr(place, key, at(key, read, field))
    return place


def aggregate_from(value: object) -> Aggregate:
    """Return what was counted of one queue."""
    aggregate = Aggregate()
    for key, field in object_from(value).items():
        read = _AGGREGATE.get(key)
        if read is not None:
            setattr(aggregate, key, at(key, read, field))
    return aggregate


def _places(value: object) -> dict[str, PlaceAggregate]:
    return {
        text_from(name): at(name, place_from, place) for name, place in object_from(value).items()
    }


def _failures(value: object) -> dict[str, int]:
    tallies = tallies_from(value)
    if len(tallies) > MAX_FAILURE_KINDS:
        raise WrongError(f"at most {MAX_FAILURE_KINDS} kinds")
    return tallies


_PLACE: dict[str, Any] = {
    **dict.fromkeys(("served", "failed"), count_from),
    **dict.fromkeys(("devices", "pods"), _names),
    "run": histogram_from,
    "errors": tallies_from,
}
_AGGREGATE: dict[str, Any] = {
    **dict.fromkeys(_COUNTS, count_from),
    **dict.fromkeys(HISTOGRAMS, histogram_from),
    **dict.fromkeys(KINDS, _places),
    "failures": _failures,
    "errors": tallies_from,
}


def at(key: str, read: Callable[[Any], T], value: object) -> T:
    """Read the value that stands under ``key``; if it is wrong, tell so."""
    try:
        return read(value)
    except WrongError as exc:
        at = f"{printable(key, 80)}.{exc.at}" if exc.at else printable(key, 80)
        raise WrongError(str(exc), at) from None
