"""The report of a run with an autoscaler: what is said of it, and its part of an HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from markupsafe import Markup

from scalab.measure.figures import format_count, format_duration, format_share
from scalab.report.figures import NONE
from scalab.report.plots.frame import render_chart
from scalab.report.plots.markup import element, join
from scalab.scaling.autoscale import AutoscaleReport
from scalab.scaling.rises import Rise

from .autoscale_figures import charts

MAX_RISES: Final = 50
"""Rises in a table of the page: those that lasted longest."""
RISE_HEAD: Final = (
    *("at", "items", "workers", "asked for", "ready", "first item", "enough", "at rest"),
    *("too many", "too few", "turns"),
)
_CLASSES: Final = {"PASS": "passed", "FAIL": "failed"}


def rise_cells(rise: Rise) -> tuple[str, ...]:
    """Return a rise as cells below ``RISE_HEAD``; times but the first are from its start."""
    times = (
        rise.reacted_after_s,
        rise.ready_after_s,
        rise.first_item_after_s,
        rise.target_after_s,
        rise.settled_after_s,
    )
    return (
        format_duration(rise.start_s),
        format_count(rise.demand),
        f"{rise.before} → {rise.needed}",
        *(NONE if seconds is None else format_duration(seconds) for seconds in times),
        *map(format_count, (rise.overshoot, rise.undershoot, rise.oscillations)),
    )


def longest(report: AutoscaleReport, most: int) -> list[Rise]:
    """Return at most so many rises in their order: those that lasted longest."""
    ranked = sorted(report.rises, key=lambda rise: -rise.lasted_s)[:most]
    return sorted(ranked, key=lambda rise: rise.start_s)


def story(rise: Rise) -> str:
    """Tell in a sentence where the time of a rise went."""
    way = f"From {rise.before} to the {rise.needed} workers needed"
    if rise.target_after_s is None:
        lasted = format_duration(rise.lasted_s)
        if rise.reacted_after_s is None:
            return f"{way}: none was asked for in the {lasted} that demand was too high."
        return f"{way}: there were not enough in the {lasted} that demand was too high."
    steps = sorted(
        (seconds, what)
        for seconds, what in (
            (rise.reacted_after_s, "until more were asked for"),
            (rise.ready_after_s, "until the first one was ready"),
            (rise.first_item_after_s, "until its first item"),
            (rise.target_after_s, "until there were enough"),
        )
        # What came after there were enough took no time of it.
        if seconds is not None and seconds <= rise.target_after_s
    )
    parts, before_s = [], 0.0
    for seconds, what in steps:
        parts.append(f"{format_duration(seconds - before_s)} {what}")
        before_s = seconds
    return f"{way} it took {format_duration(rise.target_after_s)}: {', '.join(parts)}."


def facts(report: AutoscaleReport) -> Iterator[tuple[str, list[str]]]:
    """Yield what else is told, in parts: what it is about, and the parts."""
    target, cost, losses = report.target, report.cost, report.losses
    yield (
        "target",
        [
            f"{target.items:g} item{'s' * (target.items != 1)} per worker",
            f"{target.minimum} to {target.maximum} workers",
            f"tolerance {100 * target.tolerance:g} %",
        ],
    )
    if report.startup.parts:
        yield (
            "startup",
            [
                f"{p.name} {format_duration(p.median_s)} (at most {format_duration(p.longest_s)})"
                for p in report.startup.parts
            ],
        )
    if cost.ideal_s > 0:
        used = f"{cost.used_s:,.0f} worker-seconds, {format_share(cost.used_s, cost.ideal_s)}"
        parts = [f"{cost.idle_s:,.0f} too many", f"{cost.short_s:,.0f} missing"]
        yield "cost", [f"{used} of the {cost.ideal_s:,.0f} needed", *parts]
    waited = f"{cost.backlog_s:,.0f} item-seconds in the queue"
    yield "waiting", [waited, f"longest {format_duration(cost.longest_wait_s)}"]
    parts = [
        format_count(len(losses.scale_downs)),
        f"{format_count(losses.lost)} request{'s' * (losses.lost != 1)} lost",
        f"{format_count(losses.rerun)} run again",
    ]
    if losses.rerun_elsewhere:
        parts.append(f"{format_count(losses.rerun_elsewhere)} run again at other times")
    if losses.usual_failures:
        parts.append(f"usual failures {format_share(losses.usual_failures, 1.0)}")
    yield "scale-downs", parts


# --- HTML ------------------------------------------------------------------------------------


def to_fragment(report: AutoscaleReport) -> Markup:
    """Return the part of a page, to be styled by ``templates/report.css`` and ``charts.css``."""
    badge = f"badge {_CLASSES.get(report.outcome, 'unjudged')}"
    return element(
        "section",
        element(
            "h2", "Autoscaler ", element("span", report.outcome, class_=badge), id="h-autoscale"
        ),
        join([element("p", reason) for reason in report.reasons]),
        join([element("p", flag.text, class_="notice warn") for flag in report.flags]),
        join([element("p", story(rise)) for rise in longest(report, 1)]),
        join([render_chart(chart) for chart in charts(report)]),
        _rises(report),
        _facts(report),
        class_="card",
        id="autoscale",
        aria_labelledby="h-autoscale",
    )


def _rises(report: AutoscaleReport) -> Markup:
    shown = longest(report, MAX_RISES)
    if not shown:
        return Markup("")
    head = [
        element("th", text, scope="col", class_="n" if i else None)
        for i, text in enumerate(RISE_HEAD)
    ]
    rows = []
    for rise in shown:
        first, *others = rise_cells(rise)
        cells = [element("td", cell, class_="n") for cell in others]
        rows.append(element("tr", element("th", first, scope="row"), *cells))
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    more = len(report.rises) - len(shown)
    note = f"{format_count(more)} that were shorter are left out." if more else ""
    label = "Rises of demand"
    return join(
        [
            element("h3", label),
            element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label),
            element("p", note, class_="dim") if note else Markup(""),
        ]
    )


def _facts(report: AutoscaleReport) -> Markup:
    rows = [
        element(
            "tr",
            element("th", name, scope="row", class_="name"),
            element("td", " · ".join(parts)),
        )
        for name, parts in facts(report)
    ]
    table = element("table", element("tbody", *rows))
    return join([element("h3", "Figures"), table])
