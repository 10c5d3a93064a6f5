"""Self-checks of where work ran: are its devices alike, and did they share it?"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scalab.measure.aggregate import PlaceAggregate
from scalab.measure.counts import OTHERS
from scalab.measure.fairness import ENOUGH, jain, outliers
from scalab.measure.figures import format_count, format_duration, format_ratio
from scalab.measure.histogram import Histogram
from scalab.protocol.text import printable

from .facts import Check, Facts, Finding, percent

FAIR: Final = 0.9
"""Of Jain's index; one of ten devices that does nothing makes this much."""
TYPES_RATIO: Final = 1.25
"""Of median run times, from which on a figure over both types is true of neither."""

_MAX_NAMED = 3
_MAX_TYPES = 4  # names that differ in more ways, such as UUIDs, tell nothing of types


def _fairness(facts: Facts) -> Finding:
    kind, places = facts.places
    served = {name: place.served for name, place in places.items()}
    if len(served) < 2:
        return "skipped", "there were no several devices or pods to compare"
    if sum(served.values()) < ENOUGH * len(served):
        return "skipped", f"fewer than {ENOUGH} replies from each of the {kind}"
    index = jain(list(served.values()))
    text = f"Jain's index over {format_count(len(served))} {kind} is {index:.3f}"
    if index >= FAIR:
        return "ok", text
    most, least = max(served, key=served.__getitem__), min(served, key=served.__getitem__)
    return "caveat", (
        f"{text}, less than {FAIR}: {printable(most, 60)} served {format_count(served[most])}, "
        f"{printable(least, 60)} {format_count(served[least])}; if they are of one type, look "
        "at what holds the others back"
    )


def _outliers(facts: Facts) -> Finding:
    kind, places = facts.places
    if len(places) < 2:
        return "skipped", "there were no several devices or pods to compare"
    found = outliers([place.frozen(name, facts.whole.run) for name, place in places.items()])
    if not found:
        return "ok", f"none of {format_count(len(places))} {kind} stands out"
    texts = [outlier.text for outlier in found[:_MAX_NAMED]]
    if more := len(found) - len(texts):
        texts.append(f"and {format_count(more)} more")
    return "caveat", "; ".join(texts)


def _types(facts: Facts) -> Finding:
    whole = facts.whole
    groups = max(_by_type(whole.devices), _by_type(whole.nodes), key=len)
    medians = {kind: run.percentile(50) for kind, run in groups.items() if run.count >= ENOUGH}
    if len(medians) < 2:
        return "skipped", "the names tell of no more than one type"
    fast, slow = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    text = (
        f"median runs on {printable(slow, 60)} take {format_duration(medians[slow])}, on "
        f"{printable(fast, 60)} {format_duration(medians[fast])}"
    )
    if medians[slow] <= TYPES_RATIO * medians[fast]:
        return "ok", text
    ratio = format_ratio(medians[slow], max(medians[fast], 1e-6))
    return "caveat", (
        f"{text} ({ratio}): figures over all mix types of devices; run each type by itself, or "
        "go by the figures of each device"
    )


def type_of(name: str) -> str:
    """Return the name of a device or node without the number at its end.

    >>> type_of("renderD128"), type_of("gpu-a100-03")
    ('renderD*', 'gpu-a100-*')
    """
    return re.sub(r"[0-9]+$", "*", name)


def _by_type(places: dict[str, PlaceAggregate]) -> dict[str, Histogram]:
    """Return the run times of each type of places, as far as names tell."""
    types: dict[str, Histogram] = {}
    for name, place in places.items():
        if name != OTHERS:
            types.setdefault(type_of(name), Histogram()).merge(place.run)
    return types if len(types) <= _MAX_TYPES else {}


def _by_queue(find: Callable[[Facts], Finding]) -> Callable[[Facts], Finding]:
    """Make a check look at one queue after the other, and tell the worst that it finds."""

    def find_each(facts: Facts) -> Finding:
        found = [(prefix, *find(part)) for prefix, part in facts.by_queue().items()]
        for state in ("invalid", "caveat", "ok"):
            texts = [prefix + text for prefix, at, text in found if at == state]
            if texts:
                return state, "; ".join(texts)
        return "skipped", found[0][2]

    return find_each


PLACE_CHECKS: Final = (
    Check(
        name="fairness",
        question="Did the devices share the work?",
        caveat=f"Jain's index of what they served less than {FAIR}",
        invalid="",
        find=_by_queue(_fairness),
    ),
    Check(
        name="outliers",
        question="Does a device stand out?",
        caveat="one is slow, failing or starved, and not by chance",
        invalid="",
        find=_by_queue(_outliers),
    ),
    Check(
        name="device-types",
        question="Are the devices of one type?",
        caveat=(
            "names of devices or nodes differ by more than their last number, and median run "
            f"times by more than {percent(TYPES_RATIO - 1)}"
        ),
        invalid="",
        find=_by_queue(_types),
    ),
)
