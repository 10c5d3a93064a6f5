"""How a run is doing, as a line of the log now and then: where there is no terminal to draw on."""

from __future__ import annotations

import structlog
import trio

from scalab.measure.figures import format_count, format_duration, format_rate
from scalab.measure.statistics import Statistics

from .watched import Watched, describe_level, is_crossed, is_odd

log = structlog.get_logger()

EVERY_S = 10.0


async def tell(watched: Watched, every_s: float = EVERY_S) -> None:
    """Log a line every ``every_s`` seconds until cancelled."""
    due = trio.current_time()
    while True:
        due += every_s
        await trio.sleep_until(due)
        log.info(progress(watched, every_s))


def progress(watched: Watched, every_s: float = EVERY_S) -> str:
    """Return how the run is doing, in a line.

    Args:
        watched: The run.
        every_s: The rate is that of so many seconds, as far as it is known (a minute).
    """
    statistics = watched.statistics(places=False)
    asked = describe_level(watched.level, open_loop=watched.open_loop)
    rates = list(watched.rates)[-max(round(every_s), 1) :]
    rate = format_rate(sum(rates) / len(rates) if rates else watched.recent_rate)
    parts = [
        f"{rate} of {asked} asked" if watched.open_loop else f"{rate}, {asked} asked",
        f"{format_count(watched.in_flight)} in flight",
        *_latency(statistics, open_loop=watched.open_loop),
        f"{format_count(statistics.failed)} failed",
    ]
    if statistics.dropped:
        parts.append(f"{format_count(statistics.dropped)} dropped")
    crossed = sum(map(is_crossed, watched.judged()))
    if crossed:
        parts.append(f"{crossed} threshold{'s' * (crossed > 1)} crossed")
    odd = [check.name for check in watched.checks() if is_odd(check)]
    if odd:
        parts.append(f"checks not ok: {' '.join(odd)}")
    if watched.paused:
        parts.append("paused")
    if not watched.connected:
        parts.append("not connected")
    return f"{watched.phase or 'starting'} {watched.elapsed_s:.0f} s: {', '.join(parts)}"


def _latency(statistics: Statistics, *, open_loop: bool) -> list[str]:
    """In open loop from the intended time of sending: what somebody who came then had to wait."""
    spread = statistics.corrected if open_loop else statistics.total
    if not spread.count:
        return []
    return [f"p50 {format_duration(spread.p50_s)}", f"p95 {format_duration(spread.p95_s)}"]
