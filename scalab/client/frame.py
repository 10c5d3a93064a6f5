"""What a terminal view of a run shows: lines that fit a terminal, the most important ones first.

Names and texts of peers only ever enter as literal, printable text, cut to their line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import attrs
from rich.text import Text

from scalab.measure.fairness import FAILING, Outlier
from scalab.measure.figures import (
    format_bars,
    format_count,
    format_duration,
    format_rate,
    format_share,
)
from scalab.measure.layout import INDENT, Column, cut_end, cut_middle, note, packed, table
from scalab.measure.sections import failed_parts, timings
from scalab.measure.statistics import Place, Statistics
from scalab.protocol.text import printable
from scalab.verdict.results import Checked, Judged

from .watched import Throughput, Watched, describe_level, is_crossed, is_odd

SMALLEST: Final = (20, 4)
"""Columns and rows below which nothing useful can be shown."""

_LABEL = 13  # columns of what stands before a line
_SPACIOUS = 30  # rows from which on sections are set apart by an empty line
_FEW_ROWS = 4  # of a table of devices: its head, two devices and how many more there are
_MAX_ERRORS = 2
_MAX_CROSSED = 4
_MAX_ODD_CHECKS = 3
_MAX_EVENTS = 2


_Cell = Callable[[Place], Text]


@attrs.frozen(kw_only=True)
class Scene:
    """A run at one moment."""

    watched: Watched
    statistics: Statistics
    throughput: Throughput | None = None
    judged: Sequence[Judged] = ()
    checks: Sequence[Checked] = ()
    places: Sequence[Place] = ()
    """Devices, or what else there is to tell apart; may be older than the rest."""
    kind: str = "device"
    """What they are."""
    outliers: Sequence[Outlier] = ()
    """Of the places."""
    message: str = ""
    """What a key has done; shown instead of the help."""
    keys: bool = True
    """There are keys to press."""
    help: bool = True
    """Say what they do."""


@attrs.frozen(eq=False)
class _Panel:
    lines: Sequence[Text]
    rank: int
    """When rows are short, panels of a higher rank are left out first."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the lines to show, at least one.

    Args:
        scene: What to show.
        width: Columns of the terminal; no line takes more.
        height: Rows of the terminal; at least one is left free.
    """
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return [Text(cut_end(format_rate(scene.watched.recent_rate), max(width, 1)))]
    rows = height - 1
    gap = [Text()] if height >= _SPACIOUS else []
    watched, statistics = scene.watched, scene.statistics
    kinds, errors = _failures(statistics)
    above = [
        _Panel([_title(watched, width)], 0),
        _Panel([_rate(watched, width)], 0),
        _Panel([_window(scene)], 1),
        _Panel([*gap, *islice(timings(statistics, width), 2, None)], 4),
    ]
    # Devices take whatever rows are left, but some are kept for them.
    devices = _Panel([*gap, *_places(scene, width, _FEW_ROWS)], 5)
    below = [
        _Panel([*gap, *kinds], 6),
        _Panel(errors, 8),
        _Panel([*gap, *_thresholds(scene.judged, width)], 2),
        _Panel(_checks(scene.checks), 3),
        _Panel(_events(watched), 9),
        _Panel([*gap, *_bottom(scene, width)], 7),
    ]
    fitting = _fitting([*above, devices, *below], rows)
    free = rows - sum(len(panel.lines) for panel in fitting)
    if free and devices in fitting:
        more = _Panel([*gap, *_places(scene, width, _FEW_ROWS + free)], devices.rank)
        fitting[fitting.index(devices)] = devices = more
    panels = [*above, devices, *below]
    lines = [line for panel in panels if panel in fitting for line in panel.lines]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _fitting(panels: Sequence[_Panel], rows: int) -> list[_Panel]:
    fitting = []
    for panel in sorted(panels, key=lambda panel: panel.rank):
        if len(panel.lines) <= rows:
            fitting.append(panel)
            rows -= len(panel.lines)
    return fitting


# --- single lines --------------------------------------------------------------------------


def _title(watched: Watched, width: int) -> Text:
    """Queue, run, phase and time; at the right whether there is a connection."""
    state = Text("connected", "green") if watched.connected else Text("NOT CONNECTED", "bold red")
    if watched.paused:
        state = Text.assemble(("PAUSED", "bold yellow"), "  ", state)
    times = f"{_clock(watched.elapsed_s)}, "
    if watched.remaining_s is None:
        times += "until stopped"
    else:
        times += f"{_clock(watched.remaining_s)} left"
    details = [f"run {watched.run_id}", watched.phase or "starting", times]
    title, room = printable(watched.title), width - state.cell_len - 2
    while details and _joined_len([cut_middle(title, 12), *details]) > room:
        details.pop(0 if len(details) > 2 else -1)
    # The phase and the time are read more often than the name of a queue.
    rest = "".join(f" · {part}" for part in details)
    line = Text(cut_middle(title, max(room - len(rest), 8)), "bold").append(rest, "not bold")
    line.truncate(max(room, 0))
    return line.append(" " * max(room - line.cell_len + 2, 0)).append_text(state)


def _joined_len(parts: Sequence[str]) -> int:
    return len(" · ".join(parts))


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any: 1:03, 2:00:07."""
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rate(watched: Watched, width: int) -> Text:
    """What is asked for, what is reached, and how that went in the last minute."""
    asked = describe_level(watched.level, open_loop=watched.open_loop)
    line = _labelled("now").append(format_rate(watched.recent_rate), "bold cyan")
    line.append(f" of {asked} asked" if watched.open_loop else f", {asked}")
    line.append(f", {format_count(watched.in_flight)} in flight")
    if watched.recent_failure_rate > 0:
        line.append(", ").append(f"{format_rate(watched.recent_failure_rate)} failing", "red")
    room = width - line.cell_len - 2
    if room >= 10:
        peak = max([*watched.rates, 1e-9])
        bars = format_bars([round(1000 * rate / peak) for rate in watched.rates])
        line.append("  ").append(bars[-room:], "cyan")
    return line


def _window(scene: Scene) -> Text:
    """What was measured so far, in numbers."""
    statistics = scene.statistics
    line = _labelled("measured").append(_throughput(scene))
    line.append(f" in {format_duration(statistics.window_s)}")
    line.append(f", {format_count(statistics.completed)} completed")
    share = [f" ({part})" for part in failed_parts(statistics)[:1]]
    failed = f"{format_count(statistics.failed)} failed"
    line.append(", ").append("".join([failed, *share]), "red" if share else "")
    for n, what, style in (
        (statistics.dropped, "dropped", "red"),
        (statistics.held, "held", "yellow"),
    ):
        if n:
            line.append(", ").append(f"{format_count(n)} {what}", style)
    return line


def _throughput(scene: Scene) -> str:
    estimate = scene.throughput
    if estimate is None or estimate.low is None or estimate.high is None or estimate.mean <= 0:
        return format_rate(scene.statistics.throughput)
    error = format_share((estimate.high - estimate.low) / 2, estimate.mean)
    return f"{format_rate(estimate.mean)} ± {error}"


def _bottom(scene: Scene, width: int) -> list[Text]:
    """What a key has done, or else what the keys do."""
    if scene.message:
        return [Text(f" {printable(scene.message)} ", "reverse")]
    if not scene.keys:
        return [note("^C stops", width)]
    if not scene.help:
        return []
    one, many = ("5 %", "50 %") if scene.watched.open_loop else ("1", "10")
    resume = "resume" if scene.watched.paused else "pause"
    parts = [f"+/- {one}", f"↑/↓ {many}", f"p {resume}", "r reset", "q stop", "? help on/off"]
    return [Text(" " * INDENT + packed(parts, width - INDENT)[0], "dim")]


# --- lists ---------------------------------------------------------------------------------


def _failures(statistics: Statistics) -> tuple[list[Text], list[Text]]:
    """Failures by kind, and the most frequent texts."""
    if not statistics.failed:
        return [], []
    kinds = Text(" · ".join(failed_parts(statistics)[1:]), "red")
    errors = [
        Text.assemble((f"{format_count(error.count)} × ", "dim"), printable(error.text))  # noqa: RUF001
        for error in statistics.errors[:_MAX_ERRORS]
    ]
    return _under("failures", [kinds]), _under("", errors)


def _thresholds(judged: Sequence[Judged], width: int) -> list[Text]:
    """The thresholds that are crossed, a line each, and the others."""
    lines = [Text(f"✗ {_measured(j)}", "red") for j in judged if is_crossed(j)]
    if len(lines) > _MAX_CROSSED:
        lines[_MAX_CROSSED - 1 :] = [Text(f"✗ and {len(lines) - _MAX_CROSSED + 1} more", "red")]
    for kept, mark, style in ((True, "✓", "green"), (False, "·", "dim")):
        parts = [f"{mark} {_measured(j)}" for j in judged if j.ok is kept and not is_crossed(j)]
        if parts:
            first, *more = packed(parts, width - _LABEL - 2)
            lines.append(Text(first + (" …" if more else ""), style))
    return _under("thresholds", lines)


def _measured(judged: Judged) -> str:
    return f"{printable(judged.expression, 100)}  {printable(judged.value, 40)}"


def _checks(checks: Sequence[Checked]) -> list[Text]:
    """The self-checks that found something."""
    odd = [check for check in checks if is_odd(check)]
    lines = []
    for check in sorted(odd, key=lambda check: check.state != "invalid")[:_MAX_ODD_CHECKS]:
        style = "bold red" if check.state == "invalid" else "yellow"
        line = Text.assemble((f"{printable(check.name)}: {check.state}", style), "  ")
        lines.append(line.append(printable(check.text)))
    if len(odd) > _MAX_ODD_CHECKS:
        lines[-1].append(f"  … and {len(odd) - _MAX_ODD_CHECKS} more", "dim")
    if not odd and any(check.state == "ok" for check in checks):
        lines = [Text("all ok", "green")]
    return _under("checks", lines)


def _events(watched: Watched) -> list[Text]:
    lines = [Text(printable(text), "dim") for text in list(watched.events)[-_MAX_EVENTS:]]
    return _under("events", lines)


def _places(scene: Scene, width: int, rows: int) -> list[Text]:
    """A table of devices, in as many rows as there are."""
    if not scene.places or rows < 2:
        return []
    shown = _fitting_places(scene, rows - 1)
    names = [printable(place.name) for place in shown]
    head, *lines = table(names, _columns(scene, shown, width), width)
    count = f"{format_count(len(scene.places))} {scene.kind}{'s' * (len(scene.places) > 1)}"
    rest = len(scene.places) - len(shown)
    if rest and len(lines) < rows - 1:
        lines.append(note(f"… and {format_count(rest)} more", width))
    return [_named(head, count), *lines]


def _fitting_places(scene: Scene, rows: int) -> list[Place]:
    """Those that stand out and the busiest, if not all fit; by name, so that they stay put."""
    shown = list(scene.places)
    if len(shown) > rows:
        odd = {outlier.name for outlier in scene.outliers}
        shown.sort(key=lambda place: (place.name not in odd, -place.served, place.name))
        del shown[max(rows - 1, 1) :]  # a row says how many are left out
    return sorted(shown, key=lambda place: place.name)


def _columns(scene: Scene, shown: Sequence[Place], width: int) -> list[Column]:
    kinds = {outlier.name: outlier.kind for outlier in reversed(scene.outliers)}
    served = sum(place.served for place in scene.places)
    most = max(place.served for place in scene.places)
    bar_width = min(max(width // 6, 8), 40)

    def style(place: Place) -> str:
        kind = kinds.get(place.name)
        return "" if kind is None else "red" if kind == FAILING else "yellow"

    def bar(place: Place) -> Text:
        full = "█" * round(bar_width * place.served / max(most, 1))
        return Text(f"{full:·<{bar_width}}", style(place) or "cyan")

    def duration(place: Place, seconds: float) -> Text:
        return Text(format_duration(seconds), style(place)) if place.run.count else Text("-", "dim")

    def column(head: str, rank: int, cell: _Cell, *, left: bool = False) -> Column:
        return Column(head, [cell(place) for place in shown], rank, left)

    columns = [
        column("served", 4, bar, left=True),
        column("share", 3, lambda p: Text(format_share(p.served, served))),
        column("run p50", 1, lambda p: duration(p, p.run.p50_s)),
        column("p95", 5, lambda p: duration(p, p.run.p95_s)),
        column("failed", 2, lambda p: Text(format_count(p.failed), "red" if p.failed else "dim")),
        column("run times", 6, lambda p: Text(format_bars([n for *_, n in p.histogram]), "cyan")),
    ]
    if kinds:
        columns.append(column("", 0, lambda p: Text(kinds.get(p.name, ""), style(p)), left=True))
    return columns


# --- lines ---------------------------------------------------------------------------------


def _labelled(label: str) -> Text:
    return Text(" " * INDENT).append(f"{label:<{_LABEL - INDENT}}", "dim")


def _under(label: str, lines: Iterable[Text]) -> list[Text]:
    """Lines beside a label."""
    return [_labelled(label if i == 0 else "").append_text(line) for i, line in enumerate(lines)]


def _named(head: Text, name: str) -> Text:
    """A table's heads, with a name in the empty place above the names of its rows."""
    blank = len(head.plain) - len(head.plain.lstrip())
    if blank < INDENT + len(name) + 1:
        return head
    rest = head[INDENT + len(name) :]
    return Text(" " * INDENT).append(name, "dim").append_text(rest)
