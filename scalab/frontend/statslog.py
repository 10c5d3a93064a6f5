"""The queue statistics in the log, one line a queue and interval."""

from __future__ import annotations

import trio

from scalab.queueing.queue import Queue

from .hub import Hub, log


async def log_statistics(hub: Hub) -> None:
    """Log every queue each ``interval_s``, and start new maxima, until cancelled."""
    interval_s = hub.settings.interval_s
    queues = list(hub.dispatcher.queues.values())
    before = {queue: _counts(queue) for queue in queues}
    due = logged_at = trio.current_time()
    while True:
        # Intervals that this process has slept through are one.
        due += interval_s * ((logged_at - due) // interval_s + 1)
        await trio.sleep_until(due)
        period_s, logged_at = trio.current_time() - logged_at, trio.current_time()
        for queue in queues:
            counts = _counts(queue)
            _log_one(queue, {k: n - before[queue][k] for k, n in counts.items()}, period_s)
            before[queue] = counts
            queue.counters.reset_maxima()


def _counts(queue: Queue) -> dict[str, int]:
    counters = queue.counters
    return {
        "accepted": counters.accepted,
        "rejected": sum(counters.rejected.values()),
        **counters.completed,
        "redelivered": sum(counters.redelivered.values()),
    }


def _log_one(queue: Queue, period: dict[str, int], period_s: float) -> None:
    counters, slowest = queue.counters, queue.counters.slowest
    fields: dict[str, object] = {
        "queue": queue.name,
        "waiting": len(queue.waiting),
        "running": queue.running,
        "backends": len(queue.workers),
        "per_s": round((period["success"] + period["failure"] + period["timeout"]) / period_s, 2),
        **{name: count for name, count in period.items() if count},
        "wait_max_s": round(counters.wait.max_s, 3),
        "run_max_s": round(counters.run.max_s, 3),
    }
    if slowest.run_s:
        fields |= {"slowest_node": slowest.node, "slowest_pod": slowest.pod}
        if slowest.device:
            fields["slowest_device"] = slowest.device
    log.info("queue statistics", **fields)
