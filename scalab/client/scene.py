"""What the page shows, as figures: a report of the run so far, and what it is worth right now."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2s
from statistics import median
from typing import Final

import attrs

from scalab import __version__
from scalab.load.scenario import OpenLoad
from scalab.measure.fairness import ENOUGH, Outlier, outliers
from scalab.measure.statistics import Place, Statistics
from scalab.measure.timeline import Timeline
from scalab.report.figures import Course, course
from scalab.report.model import Report, make_report
from scalab.report.plots.scales import nice_step
from scalab.verdict.checks import Facts, run_checks
from scalab.verdict.thresholds import Threshold, judge_all

from .snapshot import Snapshot

ROWS: Final = 50
"""Rows of the table behind a chart, and stretches of it that tell their figures."""
KINDS: Final = ("devices", "nodes", "pods")

_STEPS = 10  # of the buttons, from nothing to the level in force
_ROOM = 2  # the slider of a rate reaches to so many times the rate in force


@attrs.frozen(slots=False, eq=False)
class Scene:
    """A client and its run at one moment, and all that follows from that."""

    now: Snapshot

    @cached_property
    def report(self) -> Report:
        """What there is to say of the run so far."""
        now, load = self.now, self.now.run.header.scenario.load
        facts = Facts(
            window=now.run.measured,
            open_loop=now.open_loop,
            poisson=isinstance(load, OpenLoad) and load.arrival == "poisson",
            lag_max_s=now.lag_max_s,
            unwritten=now.unwritten,
        )
        thresholds = map(Threshold.parse, now.run.header.scenario.thresholds)
        return make_report(
            now.run,
            thresholds=judge_all(thresholds, now.run.measured),
            checks=run_checks(facts),
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Those of the measured window; of the present phase, if nothing is measured yet."""
        return self.report.statistics if self.now.present is None else self.now.present

    @cached_property
    def course(self) -> Course:
        """The run over time."""
        of = course(self.report.timeline, self.report.events, open_loop=self.now.open_loop)
        rows = Timeline(ROWS)
        for interval in of.rows:
            rows.add(interval)
        return attrs.evolve(of, rows=tuple(rows))

    @cached_property
    def outliers(self) -> dict[str, tuple[Outlier, ...]]:
        """The devices, nodes and pods that stand out."""
        return {kind: self._outliers(kind) for kind in KINDS}

    def _outliers(self, kind: str) -> tuple[Outlier, ...]:
        if kind == "devices" and self.now.present is None:
            return self.report.outliers
        return outliers(self.places(kind))

    def places(self, kind: str) -> tuple[Place, ...]:
        """Return all devices, nodes or pods."""
        places: tuple[Place, ...] = getattr(self.statistics, kind)
        return places

    @property
    def told_apart(self) -> str:
        """What is compared: devices, or pods where no device is named."""
        return "devices" if self.statistics.devices or not self.statistics.pods else "pods"

    @property
    def page(self) -> str:
        """Names what the page's controls were made for; another client may need others."""
        now = self.now
        return key_of(f"{__version__} {now.open_loop} {now.parallel_max} {now.queue}")

    # --- the buttons that change the level ----------------------------------------------------

    @property
    def step(self) -> float:
        """By how much the buttons change the level."""
        return nice_step(max(self.now.level, 1e-3) / _STEPS) if self.now.open_loop else 1.0

    @property
    def fewer(self) -> float:
        """The level that the button for less asks for."""
        return max(round(self.now.level - self.step, 6), 0.0)

    @property
    def more(self) -> float:
        """The level that the button for more asks for."""
        more = round(self.now.level + self.step, 6)
        return more if self.now.open_loop else min(more, float(self.now.parallel_max))

    @property
    def top(self) -> float:
        """Where the slider ends."""
        if not self.now.open_loop:
            return float(self.now.parallel_max)
        return nice_step(max(_ROOM * self.now.level, 1.0))


def usual_s(places: Sequence[Place]) -> float:
    """Return the median of the median run times of places with enough runs; 0 without any."""
    return median([p.run.p50_s for p in places if p.run.count >= ENOUGH] or [0.0])


def key_of(text: str) -> str:
    """Return what stands for a text, such as the name of a place, in an address or an id.

    A name of 253 characters may take 3 KiB when it is percent-encoded, nearly all that the head
    of a request may have.
    """
    return blake2s(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
