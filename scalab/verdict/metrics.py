"""Figures of a run by name: looked up by how they are written, and found in a window."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cached_property

import attrs

from scalab.errors import ConfigError
from scalab.measure.aggregate import Aggregate, PlaceAggregate
from scalab.measure.window import Window
from scalab.protocol.text import printable

from .families import FAILURES, FAMILIES, PLACES, TIMES, Kind, Metric

__all__ = ["FAMILIES", "PLACES", "Kind", "Metric", "Parts", "parse_metric", "resolve"]


# --- by name -------------------------------------------------------------------------------------

_NAME = re.compile(r"([a-z]+[0-9.]*)(?:\s*\(\s*([a-z]*)\s*\))?")
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,6})?)")


def parse_metric(text: str) -> Metric:
    """Return the metric called ``text``.

    Raises:
        ConfigError: There is none; the message names the nearest ones.
    """
    match = _NAME.fullmatch(text)
    if not match:
        raise _unknown(text, "")
    stem, argument = match[1], match[2]
    percentile, stem_form = 0.0, stem
    if number := _PERCENTILE.fullmatch(stem):
        percentile, stem_form = float(number[1]), "pN"
        stem = f"p{percentile:.6f}".rstrip("0").rstrip(".")
    if argument is None:
        family = FAMILIES.get(stem_form)
    else:
        family = FAMILIES.get(f"{stem_form}(TIME)" if argument in TIMES else "")
        family = FAMILIES.get(f"{stem_form}(KIND)", family) if argument in FAILURES else family
    if not family:
        raise _unknown(text, stem)
    if stem_form == "pN" and not 0 < percentile <= 100:
        raise ConfigError(f"{text}: a percentile is above 0 and at most 100")
    name = stem if argument is None else f"{stem}({argument})"
    return Metric(name, family, argument or "", percentile)


def _unknown(text: str, stem: str) -> ConfigError:
    """Say that there is no such metric, and which one may be meant."""
    family = "pN" if _PERCENTILE.fullmatch(stem) else stem
    known = [f"{stem}({time})" for time in TIMES] if f"{family}(TIME)" in FAMILIES else []
    if text == stem and known:
        return ConfigError(f"{stem} of what? write {', '.join(known)}")
    for form in FAMILIES:
        for argument, arguments in (("TIME", TIMES), ("KIND", FAILURES)):
            if f"({argument})" in form:
                p95 = form.replace("pN", "p95")
                known += [p95.replace(argument, name) for name in arguments]
        if "(" not in form:
            known.append(form)
    near = list(dict.fromkeys(get_close_matches(text, known, n=3, cutoff=0.5)))
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(FAMILIES)}"
    return ConfigError(f"there is no metric '{printable(text, 60)}'; {hint}")


# --- of a window ---------------------------------------------------------------------------------


def resolve(
    metric: Metric,
    window: Window,
    *,
    queue: str = "",
    node: str = "",
    device: str = "",
    pod: str = "",
) -> float | None:
    """Return a figure of a window, or of one part of it, or None if there is no data.

    Percentiles come from the histograms, so they are exact to 0.1 % whatever their number.

    Args:
        metric: Which figure.
        window: Of what.
        queue: Of this queue only.
        node: Of what ran on this node only; likewise ``device`` and ``pod``. At most one of the
            four may be given.
        device: As above.
        pod: As above.
    """
    given = {"queue": queue, "node": node, "device": device, "pod": pod}
    named = [(kind, name) for kind, name in given.items() if name]
    kind, name = named[0] if named else ("", "")
    counted = Parts(window).of(kind).get(name)
    return None if counted is None else metric.value(counted, window.duration_s)


@attrs.frozen
class Parts:
    """What was counted in a window, by queue and place; its queues are added up once."""

    window: Window

    def of(self, kind: str) -> dict[str, Aggregate]:
        """Return what was counted, by name; of the whole, whose kind is "", the name is ""."""
        if kind == "queue":
            return self.window.queues
        if not kind:
            return {"": self._whole}
        places: dict[str, PlaceAggregate] = getattr(self._whole, f"{kind}s")
        return {name: _counted(place) for name, place in places.items()}

    @cached_property
    def _whole(self) -> Aggregate:
        return self.window.whole


def _counted(place: PlaceAggregate) -> Aggregate:
    """Return a place as what is counted of a whole: only metrics that are ``per_place`` fit."""
    return Aggregate(
        completed=place.served,
        succeeded=place.served - place.failed,
        failures={"": place.failed},
        run=place.run,
    )
