"""Figures of a validation in words, as all of its forms write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scalab.measure.batches import Estimate
from scalab.measure.figures import format_count, format_rate
from scalab.report.parameters import parameters
from scalab.scaling.model import Decision, Outcome

from .model import ScalingReport, Share

NONE: Final = "–"  # noqa: RUF001 - stands for no value
MEANINGS: Final[dict[Outcome, str]] = {
    "PASS": "passed",
    "FAIL": "failed",
    "INCONCLUSIVE": "not decided",
    "INVALID": "can't be trusted",
    "ERROR": "not measured",
    "BASE": "first step",
}


def workers_text(n: int) -> str:
    """Write a number of workers."""
    return "1 worker" if n == 1 else f"{format_count(n)} workers"


def rate_text(rate: Estimate) -> str:
    """Write a throughput with its interval, if that is known."""
    if rate.low is None or rate.high is None:
        return format_rate(rate.mean)
    return f"{format_rate(rate.mean)} [{format_rate(rate.low)}, {format_rate(rate.high)}]"


def half_width_text(rate: Estimate) -> str:
    """Write half of a throughput's interval as a share of it: ``1.2 %``."""
    share = rate.half_width_share
    return NONE if share is None else f"{100 * share:.1f} %" if share < 10 else ">999 %"


def ratio_text(decision: Decision | None) -> str:
    """Write by how much the throughput grew: ``1.66 [1.63, 1.69]``."""
    if decision is None or decision.ratio is None:
        return NONE
    if decision.low is None or decision.high is None:
        return f"{decision.ratio:.2f}"
    return f"{decision.ratio:.2f} [{decision.low:.2f}, {decision.high:.2f}]"


def share_text(share: Share | None) -> str:
    """Write a share in whole percent."""
    return NONE if share is None else f"{100 * share.mean:.0f} %"


def step_text(decision: Decision) -> str:
    """Write which step it is: ``4 to 8 workers``."""
    return f"{format_count(decision.before)} to {workers_text(decision.after)}"


def rule_text(report: ScalingReport) -> str:
    """Write what is required."""
    if report.doubling is None:
        return "required ratios differ"
    return f"ratio >= {report.doubling:.4g} per doubling"


def asked_for(report: ScalingReport) -> dict[str, str]:
    """Return what was asked for, by name; the load's own levels are those of the steps."""
    found = parameters(report.header.scenario)
    found.pop("load", None)
    steps = ", ".join(format_count(row.step.workers) for row in report.rows)
    parallel = ", ".join(format_count(row.step.parallel) for row in report.rows)
    return {"workers": steps, "in parallel": parallel, "required": rule_text(report), **found}


def fairness_parts(report: ScalingReport) -> Iterator[str]:
    """Write how evenly the places of each step were loaded, where that can be told."""
    for row in report.rows:
        if row.fairness is not None:
            yield f"{row.fairness:.2f} with {workers_text(row.step.workers)}"
