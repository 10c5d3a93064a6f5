"""Self-checks of the client: did it measure the system, or itself?"""

from __future__ import annotations

import math
from typing import Final

from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.protocol.text import printable

from .facts import Check, Facts, Finding, percent

CPU_CAVEAT: Final = 0.7
"""Share of a core. A client is one thread: a queue served by one server that is 70 % busy already
waits 2.3 service times on the average (M/M/1: 0.7 / (1 - 0.7)), and that wait is in the figures."""
CPU_INVALID: Final = 0.9
"""At 90 % it is 9 service times. Locust warns of its own CPU at the same share."""

LATE_CAVEAT_S: Final = 0.005
"""What a client promises at 10,000 requests a second on a small machine."""
LATE_INVALID_S: Final = 0.05
LATE_INVALID_SHARE: Final = 0.1
"""Of the median total: where requests are long, lateness of less than this is lost in them."""

LAG_CAVEAT_S: Final = 0.05
LAG_CAVEAT_SHARE: Final = 0.1
"""Of the median total, likewise."""

REACHED: Final = 0.98
"""Share of the arrivals asked for. Two percent is what the ends of a window can be off by."""
_POISSON_SURE = 3.0  # standard deviations of a count: by chance once in 370 runs

_MAX_NOTES = 3


def late_invalid_s(p50_total_s: float) -> float:
    """Return how late a client may be, in seconds, before its latencies are mostly its own.

    50 ms, or a tenth of the median total if that is more; but not more than the median total
    itself, as such requests would seem to take twice as long, and not less than 5 ms.
    """
    limit_s = max(LATE_INVALID_S, LATE_INVALID_SHARE * p50_total_s)
    return max(min(limit_s, p50_total_s), LATE_CAVEAT_S)


def _cpu(facts: Facts) -> Finding:
    time_s = facts.window.duration_s * facts.clients
    if time_s <= 0:
        return "skipped", "nothing was measured"
    share = facts.window.cpu_s / time_s
    text = f"the client took {format_share(share, 1)} of a core"
    if share > CPU_INVALID:
        return "invalid", (
            f"{text}, more than {percent(CPU_INVALID)}: the client itself was the bottleneck; "
            "split the load over several clients and merge their run files"
        )
    if share > CPU_CAVEAT:
        return "caveat", (
            f"{text}, more than {percent(CPU_CAVEAT)}: it may have added to latencies; split the "
            "load over several clients, or give it a core to itself"
        )
    return "ok", text


def _lag(facts: Facts) -> Finding:
    if facts.lag_max_s is None:
        return "skipped", "the client's event loop was not watched"
    limit_s = max(LAG_CAVEAT_S, LAG_CAVEAT_SHARE * facts.whole.total.percentile(50))
    text = f"the client stalled for {format_duration(facts.lag_max_s)} at most"
    if facts.lag_max_s > limit_s:
        return "caveat", (
            f"{text}, more than {format_duration(limit_s)}: replies that came meanwhile seem as "
            "much later; keep other work off its machine"
        )
    return "ok", text


def _delay(facts: Facts) -> Finding:
    late = facts.whole.late
    if not facts.open_loop:
        return "skipped", "a closed loop has no schedule to be late for"
    if not late.count:
        return "skipped", "no request was sent that had room at once"
    p99_s = late.percentile(99)
    limit_s = late_invalid_s(facts.whole.total.percentile(50))
    text = f"the client sent 99 % of the requests at most {format_duration(p99_s)} late"
    if p99_s > limit_s:
        return "invalid", (
            f"{text}, more than {format_duration(limit_s)}: latencies are the client's as much as "
            "the system's; lower the rate, or split it over several clients"
        )
    if p99_s > LATE_CAVEAT_S:
        return "caveat", (
            f"{text}, more than {format_duration(LATE_CAVEAT_S)}: short latencies may be the "
            "client's own; keep other work off its machine"
        )
    return "ok", text


def _reached(facts: Facts) -> Finding:
    asked, sent = facts.window.asked, facts.whole.sent
    if not facts.open_loop or asked <= 0:
        return "skipped", "no rate was asked for"
    # Two arrivals are at the window's ends; as many again as chance explains if it is random.
    noise = 2 + (_POISSON_SURE * math.sqrt(asked) if facts.poisson else 0.0)
    slack = max((1 - REACHED) * asked, noise)
    duration_s = facts.window.duration_s
    text = (
        f"{format_share(sent, asked)} of the arrivals asked for were sent: "
        f"{format_rate(sent / duration_s)} of {format_rate(asked / duration_s)}"
    )
    if sent > asked + slack:
        return "caveat", (
            f"{text}; requests that were due before were caught up on, so the system got more "
            "than was asked for; a longer --warm-up leaves that out"
        )
    return ("ok", text) if sent >= asked - slack else _short(facts, text)


def _short(facts: Facts, text: str) -> Finding:
    """Say who is to blame for requests that were not sent."""
    text += f", less than {percent(REACHED)}"
    whole = facts.whole
    late_s = whole.late.percentile(99)
    if late_s > late_invalid_s(whole.total.percentile(50)):
        return "invalid", (
            f"{text}, as the client could not keep up (the p99 of its lateness is "
            f"{format_duration(late_s)}); lower the rate, or split it over several clients"
        )
    if whole.held:
        return "caveat", (
            f"{text}, as the limit of requests in flight was reached: the system "
            "could not keep up, not the client; throughput is what it can do"
        )
    return "caveat", f"{text}; was the client connected all the time? See the events"


def _recorded(facts: Facts) -> Finding:
    if facts.unwritten:
        return "caveat", (
            f"{format_count(facts.unwritten)} records could not be written: the run file has "
            "gaps; is the disk full?"
        )
    if facts.truncated:
        return "caveat", (
            "the run file has no end: the client was killed, and what it did last is missing"
        )
    return "ok", "the run was recorded to its end"


def _merged(facts: Facts) -> Finding:
    if facts.notes:
        shown = [printable(note) for note in facts.notes[:_MAX_NOTES]]
        if more := len(facts.notes) - len(shown):
            shown.append(f"and {format_count(more)} more notes")
        return "caveat", "; ".join(shown)
    if facts.clients == 1:
        return "skipped", "the run of one client"
    return "ok", f"the runs of {format_count(facts.clients)} clients belong together"


CLIENT_CHECKS: Final = (
    Check(
        name="client-cpu",
        question="Was the client itself the bottleneck?",
        caveat=f"more than {percent(CPU_CAVEAT)} of a core",
        invalid=f"more than {percent(CPU_INVALID)} of a core",
        find=_cpu,
    ),
    Check(
        name="client-lag",
        question="Did the client stall?",
        caveat=(
            f"for more than {1000 * LAG_CAVEAT_S:.0f} ms and more than "
            f"{percent(LAG_CAVEAT_SHARE)} of p50(total)"
        ),
        invalid="",
        find=_lag,
    ),
    Check(
        name="schedule-delay",
        question="Open loop: did the client send when it should have?",
        caveat=f"p99 of its lateness over {1000 * LATE_CAVEAT_S:.0f} ms",
        invalid=(
            f"over {1000 * LATE_INVALID_S:.0f} ms and over {percent(LATE_INVALID_SHARE)} of "
            f"p50(total); or over p50(total) and over {1000 * LATE_CAVEAT_S:.0f} ms"
        ),
        find=_delay,
    ),
    Check(
        name="rate-reached",
        question="Open loop: did the system get the load that was asked for?",
        caveat=f"less than {percent(REACHED)} sent, or more than {percent(2 - REACHED)}",
        invalid=f"less than {percent(REACHED)} sent and the client too late (schedule-delay)",
        find=_reached,
    ),
    Check(
        name="recording",
        question="Is all of the run in its file?",
        caveat="records could not be written, or the end is missing",
        invalid="",
        find=_recorded,
    ),
    Check(
        name="merging",
        question="Do the runs that were merged belong together?",
        caveat="anything doubtful about them",
        invalid="",
        find=_merged,
    ),
)
