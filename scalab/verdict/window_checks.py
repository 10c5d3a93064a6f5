"""Self-checks of the measuring window: is it long, steady and complete enough?"""

from __future__ import annotations

from typing import Final

from scalab.measure.counts import ranked
from scalab.measure.figures import format_count, format_duration, format_share
from scalab.measure.steady import MIN_CHANGE, SteadyState
from scalab.protocol.text import printable

from .facts import Check, Facts, Finding, percent
from .families import overhead_share

MIN_WINDOW_S: Final = 10.0
"""Ten intervals of a second: below this a hiccup of one second is more than a tenth of it all."""
MIN_COMPLETED: Final = 100
"""The count of 100 random completions is off by 20 % (1.96 / sqrt(100)), and p99 is the longest
of them."""
MIN_LATENCIES: Final = 5
"""Mean latencies. What began before a window and ended in it is up to one latency's worth, and
makes up to a fifth of what was counted."""
OVERHEAD_CAVEAT: Final = 0.1
OVERHEAD_MOST: Final = 0.5
"""From here on the framework is most of what was measured."""
LEFT_OUT: Final = 0.01
"""Share of requests from which on p99 is another without them."""


def _window(facts: Facts) -> Finding:
    duration_s, completed = facts.window.duration_s, facts.whole.completed
    if not completed:
        return (
            "invalid",
            f"nothing was completed in {format_duration(duration_s)}: is it connected?",
        )
    latency_s = facts.whole.total.mean_s
    text = f"{format_count(completed)} completions in {format_duration(duration_s)}"
    short = []
    if duration_s < MIN_WINDOW_S:
        short.append(f"less than {MIN_WINDOW_S:.0f} s")
    if completed < MIN_COMPLETED:
        short.append(f"fewer than {MIN_COMPLETED} completions")
    if duration_s < MIN_LATENCIES * latency_s:
        short.append(f"less than {MIN_LATENCIES} mean latencies ({format_duration(latency_s)})")
    if short:
        return "caveat", f"{text}: {', '.join(short)}; measure for longer"
    return "ok", text


def _steady(facts: Facts) -> Finding:
    groups = list(facts.window.groups)
    levels = {level for group in groups for level in (group.level_from, group.level_to)}
    if len(levels) > 1:
        return "skipped", "the load itself changed in the window; see the figures of each stage"
    state = SteadyState()
    for group in groups:
        whole = group.whole
        total = whole.total
        state.add(group.duration_s, whole.completed, total.sum_us / 1e6, total.count)
    found = state.check()
    if found.ok is None:
        return "skipped", found.text
    if found.ok:
        return "ok", found.text
    return "caveat", f"{found.text}; leave the beginning out with --warm-up, or measure for longer"


def _overhead(facts: Facts) -> Finding:
    share = overhead_share(facts.whole)
    if share is None:
        return "skipped", "no request ran"
    text = f"{format_share(share, 1)} of a request's time was neither waiting nor running"
    if share > OVERHEAD_MOST:
        return "caveat", (
            f"{text}, more than {percent(OVERHEAD_MOST)}: most of what was measured is framework, "
            "network and the start of processes, not the workload; go by run times, or give it "
            "more work per request"
        )
    if share > OVERHEAD_CAVEAT:
        return "caveat", (
            f"{text}, more than {percent(OVERHEAD_CAVEAT)}: throughput is lower, and total longer, "
            "than the workload alone would have it; go by run times, or give it more work per "
            "request"
        )
    return "ok", text


def _failures(facts: Facts) -> Finding:
    whole = facts.whole
    if not whole.failed:
        return ("ok", "no request failed") if whole.ended else ("skipped", "no request ended")
    share = format_share(whole.failed, whole.ended)
    kind = printable(max(whole.failures, key=whole.failures.__getitem__), 40)
    text = f"{format_count(whole.failed)} requests failed ({share}), most often by {kind}"
    if whole.errors:
        text += f": {printable(ranked(whole.errors)[0].text, 120)}"
    if not whole.succeeded:
        return "invalid", f"every request failed, {text}: what was measured is how fast they fail"
    return "caveat", f"{text}; failed requests are in throughput and latencies, see the errors"


def _stuck(facts: Facts) -> bool:
    """Whether requests that were given up may have taken longer than all that were answered."""
    return facts.oldest_s is None or facts.oldest_s > facts.whole.total.max_s


def _left_out(facts: Facts) -> Finding:
    whole = facts.whole
    aborted = max(whole.aborted, facts.aborted)
    found = []
    if whole.dropped:
        share = format_share(whole.dropped, whole.sent + whole.dropped)
        found.append(f"{share} of the arrivals were dropped: no latency has their wait in it")
    if whole.held > LEFT_OUT * whole.sent:
        share = format_share(whole.held, whole.sent)
        found.append(f"{share} of the requests were held: go by corrected latencies, not by total")
    if aborted > LEFT_OUT * whole.ended and _stuck(facts):
        text = f"{format_count(aborted)} requests were given up at the end"
        oldest = f", the oldest after {format_duration(facts.oldest_s)}" if facts.oldest_s else ""
        found.append(f"{text}{oldest}: if they were stuck, no latency tells")
    return ("caveat", "; ".join(found)) if found else ("ok", "latencies leave hardly any out")


WINDOW_CHECKS: Final = (
    Check(
        name="window",
        question="Was enough measured?",
        caveat=(
            f"less than {MIN_WINDOW_S:.0f} s, fewer than {MIN_COMPLETED} completions, or less "
            f"than {MIN_LATENCIES} mean latencies"
        ),
        invalid="nothing completed",
        find=_window,
    ),
    Check(
        name="steady-state",
        question="Was the warm-up over, and nothing changing any more?",
        caveat=(
            f"throughput or latency changed by more than {percent(MIN_CHANGE)} over the window, or "
            "was different in its first fifth, and not by chance"
        ),
        invalid="",
        find=_steady,
    ),
    Check(
        name="overhead",
        question="Was it the workload that was measured?",
        caveat=f"overhead more than {percent(OVERHEAD_CAVEAT)} of the time of requests that ran",
        invalid="",
        find=_overhead,
    ),
    Check(
        name="failures",
        question="Did requests fail?",
        caveat="any",
        invalid="all",
        find=_failures,
    ),
    Check(
        name="left-out",
        question="Do the latencies leave requests out?",
        caveat=(
            f"any arrival dropped, more than {percent(LEFT_OUT)} of the requests held, or as many "
            "given up at the end after more time than any that was answered"
        ),
        invalid="",
        find=_left_out,
    ),
)
