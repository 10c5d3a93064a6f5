"""Steps of validations, made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.batches import Estimate
from scalab.measure.histogram import Histogram
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.scaling.model import StepResult
from scalab.verdict.results import Checked

INVALID = (Checked(name="client-cpu", state="invalid", text="95 % of a core\nwas used"),)


def estimate(mean: float, share: float | None = 0.01, batches: float = 20) -> Estimate:
    """A throughput with a standard error that is a share of it."""
    error = None if share is None else share * mean
    return Estimate(mean, error, None, None, batches, 0.95)


def step(
    workers: int,
    per_s: float = 0.0,
    share: float | None = 0.01,
    *,
    window_s: float = 20.0,
    batches: float = 20,
    failed: int = 0,
    problem: str = "",
    checks: tuple[Checked, ...] = (),
    latency_s: float = 1.0,
    statistics: Statistics | None = None,
) -> StepResult:
    """A step with so many requests per second, known with a relative error of ``share``."""
    succeeded = round(per_s * window_s)
    if statistics is None:
        statistics = attrs.evolve(
            Aggregate().statistics(window_s),
            completed=succeeded + failed,
            succeeded=succeeded,
            failed=failed,
            total=Spread(count=succeeded, mean_s=latency_s),
        )
    return StepResult(
        workers=workers,
        parallel=2 * workers,
        throughput=estimate(per_s, share, batches),
        statistics=statistics,
        problem=problem,
        checks=checks,
    )


def place(
    name: str,
    runs: int,
    run_s: float = 1.0,
    *,
    spread: float = 0.02,
    failed: int = 0,
    errors: tuple[ErrorCount, ...] = (),
    devices: tuple[str, ...] = (),
) -> Place:
    """A device, or whatever, with so many runs about ``run_s``; some of them failed."""
    run = Histogram()
    for i in range(runs):
        run.record(run_s * math.exp(spread * ((i % 9) - 4) / 4))
    return Place(name, runs, failed, run.spread(), (), devices=devices, errors=errors)


def placed(
    workers: int,
    devices: Sequence[Place] = (),
    *,
    nodes: Sequence[Place] = (),
    pods: Sequence[Place] = (),
    window_s: float = 100.0,
    run_s: float = 1.0,
    overhead_s: float = 0.0,
) -> StepResult:
    """A step by where it ran."""
    places = devices or pods or nodes
    served, failed = sum(p.served for p in places), sum(p.failed for p in places)
    errors = tuple(error for p in places for error in p.errors)
    statistics = attrs.evolve(
        Aggregate().statistics(window_s),
        completed=served,
        succeeded=served - failed,
        failed=failed,
        run=Spread(count=served, mean_s=run_s, p50_s=run_s, p90_s=run_s),
        overhead=Spread(count=served, mean_s=overhead_s),
        devices=tuple(devices),
        nodes=tuple(nodes),
        pods=tuple(pods),
        errors=errors,
    )
    return step(workers, (served - failed) / window_s, statistics=statistics)
