"""What an autoscaler made of a load: how fast it followed, what it lost, and what it cost.

All definitions, with their formulas, are in docs/autoscale.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .criteria import AutoscaleOutcome, Criteria, judge
from .flags import Flag, find_flags
from .losses import Losses, find_losses
from .observed import Sample, Target, WorkerLife, stretches
from .rises import Rise, find_rises
from .startup import Startup, find_startup


@attrs.frozen(kw_only=True)
class Cost:
    """Integrals over the run: ``used_s`` = ``ideal_s`` + ``idle_s`` - ``short_s``."""

    used_s: float = 0.0
    """Seconds of ready workers."""
    ideal_s: float = 0.0
    """Seconds of workers with which the target is always held."""
    idle_s: float = 0.0
    """Seconds of ready workers beyond these."""
    short_s: float = 0.0
    """Seconds of workers that were missing."""
    backlog_s: float = 0.0
    """Seconds of items waiting."""
    longest_wait_s: float = 0.0


@attrs.frozen(kw_only=True)
class AutoscaleReport:
    """All that is told of an autoscaler."""

    outcome: AutoscaleOutcome
    reasons: tuple[str, ...]
    """Why: what fails if it fails, what is not known if it is inconclusive, else what holds."""
    rises: tuple[Rise, ...]
    losses: Losses
    startup: Startup
    cost: Cost
    flags: tuple[Flag, ...]
    target: Target
    criteria: Criteria
    samples: tuple[Sample, ...]
    """In order of time."""
    lives: tuple[WorkerLife, ...]
    """In the order in which they were asked for."""


def analyse(
    samples: Sequence[Sample],
    lives: Sequence[WorkerLife],
    target: Target,
    criteria: Criteria | None = None,
) -> AutoscaleReport:
    """Return what the autoscaler made of a load.

    Args:
        samples: Of the whole run, about one a second; in any order.
        lives: Of all workers, as far as they are known.
        target: What the autoscaler is to hold.
        criteria: What is asked of it; None = the defaults.
    """
    criteria = criteria or Criteria()
    samples = sorted(samples, key=lambda sample: sample.at_s)
    lives = sorted(lives, key=lambda life: (life.asked_s, life.name))
    # Those that were there at the start were not asked for by the autoscaler.
    new = [life for life in lives if samples and life.asked_s > samples[0].at_s]
    rises = find_rises(samples, lives, target)
    losses = find_losses(samples)
    outcome, reasons = judge(rises, losses, criteria)
    return AutoscaleReport(
        outcome=outcome,
        reasons=reasons,
        rises=rises,
        losses=losses,
        startup=find_startup(new),
        cost=_cost(samples, target),
        flags=tuple(find_flags(samples, rises, target)),
        target=target,
        criteria=criteria,
        samples=tuple(samples),
        lives=tuple(lives),
    )


def _cost(samples: Sequence[Sample], target: Target) -> Cost:
    used_s = ideal_s = idle_s = short_s = backlog_s = 0.0
    for sample, lasts_s in stretches(samples):
        ideal = target.needed(sample.demand)
        used_s += sample.ready * lasts_s
        ideal_s += ideal * lasts_s
        idle_s += max(sample.ready - ideal, 0) * lasts_s
        short_s += max(ideal - sample.ready, 0) * lasts_s
        backlog_s += sample.waiting * lasts_s
    return Cost(
        used_s=used_s,
        ideal_s=ideal_s,
        idle_s=idle_s,
        short_s=short_s,
        backlog_s=backlog_s,
        longest_wait_s=max((sample.oldest_s for sample in samples), default=0.0),
    )
