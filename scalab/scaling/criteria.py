"""What is asked of an autoscaler, and whether it did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from scalab.errors import ConfigError

from .losses import Losses
from .rises import Rise

AutoscaleOutcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@attrs.frozen(kw_only=True)
class Criteria:
    """What is asked of the autoscaler.

    Raises:
        ConfigError: It can't be asked.
    """

    react_within_s: float = 60.0
    """It has to want more workers so soon after demand rose. The default leaves room for a metric
    scraped every 30 s, and Kubernetes, which looks at it every 15 s."""
    target_within_s: float | None = None
    """There have to be enough workers so soon; None = whenever."""
    lost_max: int | None = None
    """No more requests may be lost at scale-downs; None = any number."""

    def __attrs_post_init__(self) -> None:
        for name, limit_s in (("react", self.react_within_s), ("target", self.target_within_s)):
            if limit_s is not None and not limit_s > 0:
                raise ConfigError(f"{name} within {limit_s:g} s; it must be more than 0")
        if self.lost_max is not None and self.lost_max < 0:
            raise ConfigError(f"lost at most {self.lost_max}; the least is 0")


def kept_within(after_s: float | None, lasted_s: float, limit_s: float) -> bool | None:
    """Return whether something happened in time; None if nobody can tell.

    Args:
        after_s: When it happened; None if it never did.
        lasted_s: For how long there was reason for it.
        limit_s: The limit. It is broken, too, if there was reason for longer and nothing happened.
    """
    if after_s is not None:
        return after_s <= limit_s
    return False if lasted_s > limit_s else None


def judge(
    rises: Sequence[Rise], losses: Losses, criteria: Criteria
) -> tuple[AutoscaleOutcome, tuple[str, ...]]:
    """Return the verdict, and why: what fails, else what is not known, else what holds.

    Args:
        rises: Of demand.
        losses: At scale-downs.
        criteria: What is asked.
    """
    judged = [_reaction(rises, criteria.react_within_s)]
    if criteria.target_within_s is not None:
        judged.append(_reaching(rises, criteria.target_within_s))
    if criteria.lost_max is not None:
        judged.append(_losing(losses, criteria.lost_max))
    for outcome in ("FAIL", "INCONCLUSIVE"):
        reasons = tuple(text for found, text in judged if found == outcome)
        if reasons:
            return outcome, reasons
    return "PASS", tuple(text for _, text in judged)


def _reaction(rises: Sequence[Rise], limit_s: float) -> tuple[AutoscaleOutcome, str]:
    if not rises:
        text = "demand never rose above what the workers there were could carry: give more load"
        return "INCONCLUSIVE", text
    return _in_time(
        [(r, r.reacted_after_s) for r in rises], limit_s, "asked for more workers", "reaction"
    )


def _reaching(rises: Sequence[Rise], limit_s: float) -> tuple[AutoscaleOutcome, str]:
    return _in_time(
        [(r, r.target_after_s) for r in rises], limit_s, "there were enough workers", "target"
    )


def _in_time(
    times: Sequence[tuple[Rise, float | None]], limit_s: float, event: str, what: str
) -> tuple[AutoscaleOutcome, str]:
    kept = [
        (rise, after_s, kept_within(after_s, rise.lasted_s, limit_s)) for rise, after_s in times
    ]
    late = [(rise, after_s) for rise, after_s, in_time in kept if in_time is False]
    if late:
        rise, after_s = max(late, key=lambda pair: pair[0].lasted_s if pair[1] is None else pair[1])
        when = f"only {after_s:.0f} s after" if after_s is not None else "not at all after"
        return "FAIL", (
            f"{event} {when} the rise at {rise.start_s:.0f} s, {rise.lasted_s:.0f} s long; "
            f"the limit is {limit_s:g} s ({len(late)} of {_rises(len(times))} late)"
        )
    known = [after_s for _, after_s, in_time in kept if in_time and after_s is not None]
    if not known:
        return "INCONCLUSIVE", (
            f"{what}: no rise of {len(times)} lasted for the {limit_s:g} s that are allowed: "
            "hold the load for longer"
        )
    text = f"{event} within {max(known):.0f} s of every rise; the limit is {limit_s:g} s"
    if passed := len(times) - len(known):
        text += f" ({passed} of {_rises(len(times))} too short to tell)"
    return "PASS", text


def _losing(losses: Losses, most: int) -> tuple[AutoscaleOutcome, str]:
    if not losses.scale_downs:
        text = "no workers were taken away, so nobody knows whether requests would be lost by it"
        return "INCONCLUSIVE", f"{text}: let the load fall, and wait for the autoscaler"
    downs = len(losses.scale_downs)
    text = f"{losses.lost:,} lost at {downs} scale-down{'s' * (downs != 1)}; the limit is {most:,}"
    return ("PASS" if losses.lost <= most else "FAIL"), text


def _rises(n: int) -> str:
    return f"{n} rise" if n == 1 else f"{n} rises"
