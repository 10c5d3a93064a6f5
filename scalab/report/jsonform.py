"""The report of a run as JSON: everything that the other formats show, for programs.

Times are in seconds and end in ``_s``, shares are from 0 to 1, what is unknown is null. Within a
version, keys are only ever added.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import orjson

from scalab.load.scenario import Scenario
from scalab.measure.batches import Estimate
from scalab.measure.summary import to_json as statistics_json
from scalab.runfile.records import Header

from .model import Report, StageReport
from .table import given_up, interval_row

VERSION: Final = 1
"""The value of ``report``; raised when the meaning of a key changes, or one goes away."""


def to_json(report: Report) -> str:
    """Return the report of a run as a JSON object, indented by two."""
    return encode(as_dict(report))


def encode(fields: dict[str, Any]) -> str:
    """Write dicts, sequences, texts and numbers as JSON; what is no number or infinite as null."""
    # What came by the command line may hold bytes that no encoding has, as lone surrogates.
    return orjson.dumps(_sound(fields), option=orjson.OPT_INDENT_2).decode() + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report of a run as dicts, sequences, texts and numbers."""
    header = report.header
    return {
        "report": VERSION,
        "run": {
            "id": header.id,
            "started_at": header.started_at,
            "scalab": header.scalab,
            "title": report.title,
            "scenario": _scenario(header.scenario),
            "environment": attrs.asdict(header.environment),
            "command": header.command,
            "interval_s": header.interval_s,
            "duration_s": report.duration_s,
            "truncated": report.truncated,
            "parts": [_client(part) for part in report.parts],
            "end": report.end
            and {"at_s": report.end.at_s, "reason": report.end.reason, "error": report.end.error},
        },
        "verdict": attrs.asdict(report.verdict),
        "thresholds": [attrs.asdict(judged) for judged in report.thresholds],
        "checks": [attrs.asdict(check) for check in report.checks],
        "measured_from_s": report.measured_from_s,
        "measured_to_s": report.measured_to_s,
        "open_loop": report.open_loop,
        "asked": report.asked,
        "throughput": _estimate(report.throughput),
        "overhead_share": report.overhead_share,
        "cpu_cores": report.cpu_share,
        "corrected_to_raw_p99": report.gap,
        "problems": report.problems,
        "given_up": given_up(report),
        "statistics": statistics_json(report.statistics),
        "queues": [
            {"name": queue.name, "statistics": statistics_json(queue.statistics)}
            for queue in report.queues
        ],
        "stages": [_stage(stage) for stage in report.stages],
        "earlier": [
            attrs.asdict(window, recurse=False) | {"statistics": statistics_json(window.statistics)}
            for window in report.earlier
        ],
        "earlier_left_out": report.earlier_left_out,
        "events": [attrs.asdict(event) for event in report.events],
        "events_left_out": report.events_left_out,
        "intervals": [interval_row(interval) for interval in report.timeline],
    }


def _client(header: Header) -> dict[str, Any]:
    """One of those whose runs were merged."""
    environment = attrs.asdict(header.environment)
    return {"id": header.id, "started_at": header.started_at, "environment": environment}


def _stage(stage: StageReport) -> dict[str, Any]:
    return attrs.asdict(stage, recurse=False) | {
        "statistics": statistics_json(stage.statistics),
        "throughput": _estimate(stage.throughput),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """Per second."""
    names = ("mean", "low", "high", "confidence", "batches")
    return {name: getattr(estimate, name) for name in names}


def _scenario(scenario: Scenario) -> dict[str, Any]:
    """As the run file has it, but for rows to draw from: there may be very many."""
    fields = attrs.asdict(scenario)
    for queue in fields["queues"]:
        queue["rows"] = len(queue["rows"])
    return fields


def _sound(value: Any) -> Any:
    """Replace what can't be written as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return [_sound(item) for item in value] if isinstance(value, list | tuple) else value
