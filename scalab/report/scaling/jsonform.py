"""The report of a validation as JSON: everything that the other formats show, for programs.

Times are in seconds and end in ``_s``, shares are from 0 to 1, what is unknown is null. Within a
version, keys are only ever added.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from scalab.measure.summary import to_json as statistics_json
from scalab.report.jsonform import encode
from scalab.scaling.usl import Fit, NoFit, Ranged, describe

from .model import ScalingReport, StepRow

VERSION: Final = 1
"""The value of ``validation``; raised when the meaning of a key changes, or one goes away."""


def to_json(report: ScalingReport) -> str:
    """Return the report of a validation as a JSON object, indented by two."""
    return encode(as_dict(report))


def as_dict(report: ScalingReport) -> dict[str, Any]:
    """Return the report of a validation as dicts, sequences, texts and numbers."""
    header, found, end = report.header, report.validation, report.end
    return {
        "validation": VERSION,
        "run": {
            "id": header.id,
            "started_at": header.started_at,
            "scalab": header.scalab,
            "title": report.title,
            "environment": attrs.asdict(header.environment),
            "command": header.command,
            "duration_s": report.duration_s,
            "end": end and {"at_s": end.at_s, "reason": end.reason, "error": end.error},
        },
        "outcome": found.outcome,
        "exit_code": int(report.exit_code),
        "sentence": found.sentence,
        "required_per_doubling": report.doubling,
        "steps": [_step(row) for row in report.rows],
        "decisions": [attrs.asdict(decision) for decision in found.decisions],
        "law": _law(report.law),
        "blame": found.blame,
        "requests": report.ended,
        "failed": report.failed,
        "errors": [attrs.asdict(error) for error in report.errors],
        "checks": [attrs.asdict(check) for check in report.checks],
        "problems": report.problems,
        "events": [attrs.asdict(event) for event in report.events],
        "events_left_out": report.events_left_out,
    }


def _step(row: StepRow) -> dict[str, Any]:
    step = row.step
    return {
        "workers": step.workers,
        "parallel": step.parallel,
        "outcome": row.outcome,
        "problem": step.problem,
        "throughput": attrs.asdict(step.throughput),
        "ideal": row.ideal,
        "efficiency": row.efficiency and attrs.asdict(row.efficiency),
        "overhead_share": row.overhead_share,
        "fairness": row.fairness,
        "ready_s": step.ready_s,
        "from_s": step.from_s,
        "to_s": step.to_s,
        "checks": [attrs.asdict(check) for check in step.checks],
        "statistics": statistics_json(step.statistics),
    }


def _law(law: Fit | NoFit) -> dict[str, Any]:
    """Return the scalability law; of one that couldn't be fitted, ``text`` says why."""
    if isinstance(law, NoFit):
        return {"fitted": False, "text": describe(law)}
    figures: dict[str, Ranged | None] = {
        "sigma": law.sigma,
        "kappa": law.kappa,
        "gamma": law.gamma,
        "limit": law.limit,
        "peak": law.peak,
        "next_doubling": law.doubling(),
    }
    return {
        "fitted": True,
        "text": describe(law),
        **{name: figure and attrs.asdict(figure) for name, figure in figures.items()},
        "residual_error": law.residual_error,
        "degrees_of_freedom": law.df,
        "by_workers": [_by_law(law, n) for n in law.sizes],
    }


def _by_law(law: Fit, workers: int) -> dict[str, Any]:
    loss = law.loss(workers)
    return {
        "workers": workers,
        "throughput": law.throughput(workers),
        "efficiency": law.efficiency(workers),
        "lost_to_contention": loss.contention,
        "lost_to_coherency": loss.coherency,
    }
