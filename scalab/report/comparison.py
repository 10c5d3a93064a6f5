"""The comparison of two runs as text for a terminal, as Markdown for a pull request, as JSON.

What a reader must know before the figures comes before them: what the two runs were not alike in,
and what is doubtful about either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
from rich.console import Console
from rich.text import Text

from scalab.measure.figures import format_duration, format_rate, format_ratio, format_share
from scalab.measure.layout import INDENT, Column, packed, table
from scalab.measure.sections import title_line, wrapped
from scalab.measure.summary import PLAIN_WIDTH, print_lines, to_plain
from scalab.protocol.text import clip, printable
from scalab.verdict.compare import BETTER, CANT_TELL, INVALID, SAME, WORSE, Comparison, Result

from .jsonform import encode
from .model import Report
from .parameters import parameters, surroundings

VERSION: Final = 1
"""The value of ``comparison`` in the JSON form."""

_STYLES = {
    SAME: "green",
    BETTER: "green",
    WORSE: "bold red",
    CANT_TELL: "yellow",
    INVALID: "bold red",
}
_MANY = 10.0  # from this ratio on it is told as a multiple
_ALIKE = 1.1  # measured for less than this ratio longer is as long
_MAX_VALUE = 80  # characters of a parameter
_MAX_TEXT = 400


@attrs.frozen
class Difference:
    """Something in which two runs were not alike."""

    name: str
    a: str
    """"" if there is no such thing in this run; the same for ``b``."""
    b: str

    def __str__(self) -> str:
        values = (clip(printable(value), _MAX_VALUE) or "none" for value in (self.a, self.b))
        return f"{clip(printable(self.name), _MAX_VALUE)} {' → '.join(values)}"


@attrs.frozen(kw_only=True)
class ComparedRuns:
    """Two runs and how they compare."""

    a: Report
    """The baseline."""
    b: Report
    result: Result

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What was not alike: parameters, versions, environments, how long was measured."""
        a, b = (
            surroundings(run.header) | parameters(run.scenario) | _measured(run)
            for run in (self.a, self.b)
        )
        if not _lengths_differ(self.a, self.b):
            b["measured for"] = a["measured for"]
        names = dict.fromkeys((*a, *b))
        found = (Difference(name, a.get(name, ""), b.get(name, "")) for name in names)
        return tuple(difference for difference in found if difference.a != difference.b)

    @property
    def _named(self) -> tuple[tuple[str, Report], ...]:
        return ("A", self.a), ("B", self.b)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is doubtful about either run, the worst first; one line each."""
        found = [(True, f"{name}: {text}") for name, run in self._named for text in run.problems]
        if self.a.header.id == self.b.header.id:
            found.append((True, "A and B are the same run"))
        found += [
            (check.state != "invalid", f"{name} {check.state} {check.name}: {check.text}")
            for name, run in self._named
            for check in run.checks
            if check.state in {"invalid", "caveat"}
        ]
        ranked = sorted(found, key=lambda doubt: doubt[0])
        return tuple(printable(text, _MAX_TEXT) for _, text in ranked)


def why_invalid(a: Report, b: Report) -> str:
    """Return which checks say that a run's figures can't be trusted; "" if none does."""
    found = []
    for name, run in (("A", a), ("B", b)):
        checks = [check.name for check in run.checks if check.state == "invalid"]
        if checks:
            found.append(f"{name} by {', '.join(checks)}")
    return "; ".join(found)


def _measured(run: Report) -> dict[str, str]:
    return {"measured for": format_duration(run.statistics.window_s)}


def _lengths_differ(a: Report, b: Report) -> bool:
    shorter, longer = sorted((a.statistics.window_s, b.statistics.window_s))
    return longer > _ALIKE * shorter


# --- text ----------------------------------------------------------------------------------


def print_comparison(console: Console, runs: ComparedRuns) -> None:
    """Print a comparison, as wide as the terminal, in colours if it has any."""
    print_lines(console, lambda width: lines(runs, width))


def to_text(runs: ComparedRuns, width: int = PLAIN_WIDTH) -> str:
    """Return a comparison as plain text."""
    return to_plain(lines(runs, width))


def lines(runs: ComparedRuns, width: int) -> Iterator[Text]:
    """Lay out a comparison for a width."""
    result = runs.result
    yield title_line(f"A: {_run(runs.a)} · B: {_run(runs.b)}", width)
    style = _STYLES[result.verdict]
    yield from (Text(line, style) for line in wrapped(_sentence(result), width))
    room = width - INDENT
    if runs.differences:
        parts = [line for d in runs.differences for line in wrapped(str(d), room - 11)]
        for n, line in enumerate(packed(parts, room - 11)):
            yield Text("  not alike: " if not n else " " * 13, "yellow").append(line, "not yellow")
    for doubt in runs.doubts:
        yield from (Text(" " * INDENT).append(line, "yellow") for line in wrapped(doubt, room))
    if not result.comparisons:
        return
    yield Text()
    yield from _table(result.comparisons, width)
    yield from (Text(" " * INDENT).append(line, "dim") for line in wrapped(_rule(result), room))


def _table(comparisons: tuple[Comparison, ...], width: int) -> Iterator[Text]:
    columns = [
        Column("A", [Text(_figure(c, c.a)) for c in comparisons]),
        Column("B", [Text(_figure(c, c.b)) for c in comparisons]),
        Column("change", [Text(_change(c)) for c in comparisons]),
        Column("interval", [Text(_interval(c)) for c in comparisons], 1),
        Column("", [Text(c.verdict, _STYLES[c.verdict]) for c in comparisons], left=True),
    ]
    names = [f"{_metric(c)}{' *' if c.gating else ''}" for c in comparisons]
    yield from table(names, columns, width)


def _run(run: Report) -> str:
    when = run.header.started_at[:16].replace("T", " ")
    return f"run {run.header.id} of {when}"


def _sentence(result: Result) -> str:
    text = printable(result.text, _MAX_TEXT)
    return f"{text[:1].upper()}{text[1:]}."


def _rule(result: Result) -> str:
    """What the stars and intervals mean."""
    one = result.comparisons[0].confidence
    every = one ** sum(comparison.gating for comparison in result.comparisons)
    return (
        f"* decides. Changes are from A to B, with {100 * one:.3g} % confidence intervals: "
        f"{100 * every:.0f} % for all that decide together. pp = percentage points."
    )


def _metric(comparison: Comparison) -> str:
    return printable(comparison.metric, _MAX_VALUE)


def _figure(comparison: Comparison, value: float) -> str:
    if comparison.metric == "rate":
        return format_rate(value)
    return format_share(value, 1) if comparison.metric == "failures" else format_duration(value)


def _change(comparison: Comparison) -> str:
    if comparison.metric == "failures":
        return f"{100 * (comparison.b - comparison.a):+.2f} pp"
    if comparison.ratio is None:
        return "-"
    return _relative(comparison.ratio) + (" %" if comparison.ratio < _MANY else "")


def _interval(comparison: Comparison) -> str:
    low, high = comparison.low, comparison.high
    if low is None or high is None:
        return "unknown"
    if comparison.metric == "failures":
        return f"[{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"[{_relative(low)}, {_relative(high)}]"


def _relative(ratio: float) -> str:
    """In percent, or as a multiple where percents are hard to read."""
    return f"{100 * (ratio - 1):+.1f}" if ratio < _MANY else format_ratio(ratio, 1)


# --- Markdown ------------------------------------------------------------------------------


def to_markdown(runs: ComparedRuns) -> str:
    """Return a comparison as Markdown with a table, as GitHub and GitLab show it."""
    result = runs.result
    sentence = _sentence(result)
    # Why it is invalid is text from the runs; all other sentences are our own.
    found = [_code(sentence) if result.verdict == INVALID else f"**{sentence}**"]
    found.append(f"A: {_code(_run(runs.a))}, B: {_code(_run(runs.b))}")
    if runs.differences:
        found.append("Not alike: " + "; ".join(_code(str(d)) for d in runs.differences))
    if runs.doubts:
        found.append("\n".join(f"- {_code(doubt)}" for doubt in runs.doubts))
    if result.comparisons:
        head = "| metric | A | B | change | interval | verdict |\n|---|--:|--:|--:|--:|---|"
        found += ["\n".join([head, *map(_markdown_row, result.comparisons)]), f"\\{_rule(result)}"]
    return "\n\n".join(found) + "\n"


def _markdown_row(c: Comparison) -> str:
    metric = _code(_metric(c)) + (" \\*" if c.gating else "")
    verdict = f"**{c.verdict}**" if c.verdict == WORSE else c.verdict
    cells = (metric, _figure(c, c.a), _figure(c, c.b), _change(c), _interval(c), verdict)
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """As code: there, names from strangers can be no link, HTML or mention of a user."""
    return f"`{printable(text, _MAX_TEXT).replace('`', chr(39)).replace('|', '¦') or ' '}`"


# --- JSON ----------------------------------------------------------------------------------


def to_json(runs: ComparedRuns) -> str:
    """Return a comparison as a JSON object; keys are only ever added within a version."""
    result = runs.result
    return encode(
        {
            "comparison": VERSION,
            "verdict": result.verdict,
            "exit_code": int(result.exit_code),
            "text": result.text,
            "a": _run_json(runs.a),
            "b": _run_json(runs.b),
            "differences": [attrs.asdict(difference) for difference in runs.differences],
            "doubts": runs.doubts,
            "metrics": [attrs.asdict(comparison) for comparison in result.comparisons],
        }
    )


def _run_json(run: Report) -> dict[str, Any]:
    return {
        "id": run.header.id,
        "started_at": run.header.started_at,
        "scalab": run.header.scalab,
        "window_s": run.statistics.window_s,
        "completed": run.statistics.completed,
        "verdict": run.verdict.state,
    }
