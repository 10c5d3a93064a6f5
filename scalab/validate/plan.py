"""What a validation will do, for a dry run."""

from __future__ import annotations

from collections.abc import Iterator

from scalab.measure.figures import format_duration
from scalab.scaling.decide import required_ratio
from scalab.scaling.sizing import Sizer

from .settings import ValidateSettings

ASSUMED_RUN_S = 1.0


def describe(settings: ValidateSettings) -> Iterator[str]:
    """Return the plan, line by line."""
    sizer = Sizer(
        settings.steps,
        required=settings.ratio,
        confidence=settings.confidence,
        min_window_s=settings.min_window_s,
    )
    plan = sizer.plan(ASSUMED_RUN_S, settings.time_budget_s, settings.per_slot)
    yield f"Steps on queue {settings.queue}, if a run takes {format_duration(ASSUMED_RUN_S)}"
    yield "  workers  must grow by  measured at least  at most"
    before = None
    for planned in plan:
        grow = (
            "-"
            if before is None
            else f"{required_ratio(before, planned.workers, settings.ratio):.2f}x"
        )
        least, most = format_duration(planned.least_s), format_duration(planned.most_s)
        yield f"  {planned.workers:>7}  {grow:>12}  {least:>17}  {most:>7}"
        before = planned.workers
    yield ""
    least_s = sum(planned.least_s for planned in plan)
    yield (
        f"  {format_duration(least_s)} if all is clear at once, at most "
        f"{format_duration(settings.time_budget_s)}; bringing up workers included"
    )
    confidence = f"{settings.confidence:.0%} confidence"
    yield f"  a doubling must bring {settings.ratio:g}x, decided with {confidence}"
    yield f"  {settings.per_slot:g} requests in parallel for each slot of a worker"
    yield f"  at most {settings.failures_max:.3g} of the requests may fail"
