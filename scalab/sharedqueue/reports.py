"""What frontends tell each other of a queue, so that any of them can speak for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from scalab.protocol.messages import OUTCOMES
from scalab.queueing.counters import LOSS_REASONS, REJECT_REASONS
from scalab.queueing.queue import Queue, Shared

from .operations import Refreshed

SLOTS = ("idle", "busy", "draining")


def report_of(queue: Queue) -> bytes:
    """Return what we have to tell of our part in a queue."""
    counters = queue.counters
    return orjson.dumps(
        {
            "slots": queue.slots(),
            "accepted": {"": counters.accepted},
            "completed": counters.completed,
            "rejected": counters.rejected,
            "redelivered": counters.redelivered,
        }
    )


def whole(seen: Refreshed) -> Shared:
    """Return a queue over all frontends, of what the store and they say."""
    reports = [report for data in seen.reports if (report := _read(data)) is not None]
    return Shared(
        waiting=seen.waiting,
        running=seen.running,
        oldest_s=seen.oldest_s,
        frontends=seen.frontends,
        slots=_sum(reports, "slots", SLOTS),
        accepted=_sum(reports, "accepted", ("",))[""],
        completed=_sum(reports, "completed", OUTCOMES),
        rejected=_sum(reports, "rejected", REJECT_REASONS),
        redelivered=_sum(reports, "redelivered", LOSS_REASONS),
    )


def _read(data: bytes) -> dict[str, Any] | None:
    """Read a report; one that is none, of another version perhaps, is left out."""
    try:
        report = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return report if isinstance(report, dict) else None


def _sum(reports: Iterable[Mapping[str, Any]], name: str, labels: Iterable[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for report in reports:
        counts = report.get(name)
        if isinstance(counts, dict):
            total.update({k: n for k, n in counts.items() if isinstance(n, int)})
    return {label: total[label] for label in labels}
