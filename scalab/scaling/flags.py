"""What a person should look at in a run with an autoscaler, whatever was asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal

import attrs

from .observed import Sample, Target, stretches
from .rises import Rise

FlagName = Literal["never-reacted", "no-worker-came", "not-connected", "capped", "flapping", "kept"]

_LONG_S: Final = 30.0  # a state that a person would notice, and no delay between two samples
_OFTEN: Final = 0.1  # of the time


@attrs.frozen
class Flag:
    """Something about the whole run that a person should look at."""

    name: FlagName
    text: str


def find_flags(samples: Sequence[Sample], rises: Sequence[Rise], target: Target) -> Iterator[Flag]:
    """Yield what stands out.

    Args:
        samples: In order of time.
        rises: Of demand in them.
        target: What the autoscaler is to hold.
    """
    if rises and all(r.reacted_after_s is None for r in rises):
        most, before = max(r.demand for r in rises), rises[0].before
        yield Flag(
            "never-reacted",
            f"the autoscaler never reacted: {most:,} items, and {before} desired: is its metric "
            "there, and of this queue?",
        )
    elif any(r.reacted_after_s is not None and r.ready_after_s is None for r in rises):
        yield Flag(
            "no-worker-came", "workers were asked for, and none became ready: is there room?"
        )
    unused_s = sum(lasts_s for s, lasts_s in stretches(samples) if s.ready >= s.connected + 1)
    if unused_s > _LONG_S:
        text = f"for {unused_s:.0f} s, ready workers were not connected to the frontend"
        yield Flag("not-connected", text)
    yield from _capped(samples, target)
    if (turns := max((r.oscillations for r in rises), default=0)) > 1:
        text = f"flapping: desired changed direction {turns} times while the load was held"
        yield Flag("flapping", f"{text}; a longer stabilization window would calm it")
    yield from _kept(samples, target)


def _capped(samples: Sequence[Sample], target: Target) -> Iterator[Flag]:
    """Whether more workers were needed than there may be, and for a good part of the time."""
    capped_s = sum(
        lasts_s
        for s, lasts_s in stretches(samples)
        if s.desired >= target.maximum
        and target.unlimited(s.demand / (1 + target.tolerance)) > target.maximum
    )
    if capped_s > _OFTEN * (samples[-1].at_s - samples[0].at_s if samples else 0.0):
        most = max(target.unlimited(s.demand) for s in samples)
        yield Flag(
            "capped",
            f"stuck at the maximum of {target.maximum} for {capped_s:.0f} s: up to {most:,} were "
            "needed",
        )


def _kept(samples: Sequence[Sample], target: Target) -> Iterator[Flag]:
    """Whether workers that nobody needed were kept until the end."""
    start_s = None
    for earlier, sample in pairwise(samples):
        too_many = (1 - target.tolerance) * sample.desired > target.needed(sample.demand)
        if not too_many or sample.desired < earlier.desired:
            start_s = None
        elif start_s is None:
            start_s = sample.at_s
    if start_s is not None and (kept_s := samples[-1].at_s - start_s) > _LONG_S:
        last = samples[-1]
        yield Flag(
            "kept",
            f"for the last {kept_s:.0f} s, {last.desired} were desired where "
            f"{target.needed(last.demand)} would do: run longer than the stabilization window "
            "(300 s by default) to see them go",
        )
