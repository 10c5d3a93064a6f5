"""What is asked of a run's result: parsed and checked before the run, judged after it.

p95(total) < 2s
p95(run){device=*} <= 500ms
failures < 5% abort after 30s
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from typing import Final

import attrs

from scalab.errors import ConfigError
from scalab.load.units import format_duration, parse_duration, shown
from scalab.measure.window import Window
from scalab.protocol.text import printable

from .metrics import PLACES, Metric, Parts, parse_metric
from .quantity import kind_of, parse_value, write_value
from .results import Judged

MAX_TEXT: Final = 500
"""Characters of a threshold; a name in it may have 253, as in Kubernetes."""
MAX_NAME: Final = 253
ALL: Final = "*"
"""As a name: each of them, the worst counts."""
NO_DATA: Final = "no data"

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SCOPES: Final = ("queue", *PLACES)


@attrs.frozen(kw_only=True)
class Threshold:
    """One condition that a run has to meet."""

    metric: Metric
    operator: str
    limit: float
    """In seconds, per second, or from 0 to 1, as the metric is."""
    scope: str = ""
    """"queue", "node", "device", "pod"; "" for the whole run."""
    name: str = ""
    """Which one; ``*`` for each."""
    aborts: bool = False
    """The run ends as soon as it is crossed."""
    after_s: float = 0.0
    """Not before so much time was measured, in seconds."""

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Return what ``text`` says; the grammar is in docs/thresholds.md.

        Raises:
            ConfigError: It says nothing that can be judged. One line that tells where, what was
                expected, and what may be meant.
        """
        try:
            return _parse(text)
        except ConfigError as exc:
            told = printable(str(exc))  # which repeats pieces of the text
            raise ConfigError(f"threshold '{printable(text, 80)}': {told}") from None

    def __str__(self) -> str:
        scope = f"{{{self.scope}={_quoted(self.name)}}}" if self.scope else ""
        limit = write_value(self.limit, self.metric.kind)
        after = f" after {format_duration(self.after_s)}" if self.after_s else ""
        abort = f" abort{after}" if self.aborts else ""
        return f"{self.metric.name}{scope} {self.operator} {limit}{abort}"

    def check_against(self, queues: Collection[str], *, open_loop: bool) -> None:
        """Refuse what this run can't tell, before it starts.

        Args:
            queues: Names of the queues that the run uses.
            open_loop: Whether the load is a rate.

        Raises:
            ConfigError: There will be no data for it.
        """
        if self.scope == "queue" and self.name not in {ALL, *queues}:
            near = get_close_matches(self.name, queues, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its queues: {', '.join(queues)}"
            name = printable(self.name, 60)
            raise ConfigError(f"threshold '{self}': the run has no queue '{name}'; {hint}")
        if self.metric.open_loop and not open_loop:
            raise ConfigError(
                f"threshold '{self}': {self.metric.name} needs a schedule, which a closed loop "
                "doesn't have: ask for a rate, or use another metric such as p95(total)"
            )

    def holds(self, value: float) -> bool:
        """Whether a value meets it."""
        return OPERATORS[self.operator](value, self.limit)


# --- judging -------------------------------------------------------------------------------------


def judge(threshold: Threshold, window: Window) -> Judged:
    """Say whether a run meets a threshold; what there is no data for is not met."""
    return judge_all([threshold], window)[0]


def judge_all(thresholds: Iterable[Threshold], window: Window) -> tuple[Judged, ...]:
    """Judge several thresholds, for little more than it costs to judge one."""
    parts = Parts(window)
    return tuple(_judged(threshold, parts) for threshold in thresholds)


def crossed(thresholds: Iterable[Threshold], window: Window) -> Threshold | None:
    """Return the first threshold for which a running run is to end now, if there is one.

    It is one that aborts, whose time has come, and that there is data for.
    """
    parts = Parts(window)
    for threshold in thresholds:
        if threshold.aborts and window.duration_s >= threshold.after_s:
            _, value = _worst(threshold, parts)
            if value is not None and not threshold.holds(value):
                return threshold
    return None


def _judged(threshold: Threshold, parts: Parts) -> Judged:
    name, value = _worst(threshold, parts)
    ok = value is not None and threshold.holds(value)
    text = NO_DATA if value is None else _read(threshold, value)
    if threshold.name == ALL and name:
        text += f" ({printable(name, 60)})"
    return Judged(expression=str(threshold), ok=ok, value=text, aborts=threshold.aborts)


def _worst(threshold: Threshold, parts: Parts) -> tuple[str, float | None]:
    """Return the value that counts and of what it is; of several, one without data is worst."""
    counted = parts.of(threshold.scope)
    names = sorted(counted) if threshold.name == ALL else [threshold.name]
    values = [
        (name, threshold.metric.value(counted[name], parts.window.duration_s))
        for name in names
        if name in counted
    ]
    upper = threshold.operator.startswith("<")

    def badness(found: tuple[str, float | None]) -> float:
        _, value = found
        if value is None:
            return float("inf")
        return value if upper else -value

    return max(values, key=badness, default=("", None))


def _read(threshold: Threshold, value: float) -> str:
    """Write a value; more exactly if it would otherwise read like the limit that it isn't."""
    metric = threshold.metric
    text = metric.read(value)
    if value != threshold.limit and text == metric.read(threshold.limit):
        rounded = float(f"{value:.6g}")
        return write_value(value if rounded == threshold.limit else rounded, metric.kind)
    return text


# --- parsing -------------------------------------------------------------------------------------

_METRIC = re.compile(r"[^\s(){}<>=!]+(?:\s*\([^(){}<>=!]*\))?")
_SCOPE = re.compile(r'\{\s*([^\s={}"]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^{}"]*?))\s*\}')
_OPERATOR = re.compile(r"[<>=!≤≥]+")
_VALUE = re.compile(r"[0-9.]+(?:[^\s0-9]\S*|\s+(?:%|/\s*\w+|[a-zµ]{1,3})(?!\S))?")
_WORD = re.compile(r"\S+")
_AFTER = re.compile(r"after\b")
_REST = re.compile(r".+")
_BARE_NAME = re.compile(r'[^\s{}"\\](?:[^{}"\\]*[^\s{}"\\])?')


class _Scanner:
    """Goes through a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return what comes next, spaces left out, if it is what is looked for."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def more(self) -> bool:
        """Whether there is more than spaces."""
        return bool(self._text[self._at :].strip())

    def expected(self, what: str) -> ConfigError:
        """Return an error that says where something else was expected, and what was found."""
        word = self.take(_WORD)
        at = (word.start() if word else self._at) + 1
        found = f"'{printable(word[0], 40)}'" if word else "the end"
        return ConfigError(f"at character {at}: expected {what}, not {found}")


def _parse(text: str) -> Threshold:
    if len(text) > MAX_TEXT:
        raise ConfigError(f"longer than {MAX_TEXT} characters")
    scanner = _Scanner(text)
    name = scanner.take(_METRIC)
    if not name:
        raise scanner.expected("a metric such as p95(total)")
    metric = parse_metric(name[0])
    scope, of = _scope(scanner, metric)
    sign = scanner.take(_OPERATOR)
    if not sign:
        raise scanner.expected("<, <=, > or >=")
    if sign[0] not in OPERATORS:
        raise ConfigError(f"'{sign[0]}' is no comparison; write <, <=, > or >=")
    value = scanner.take(_VALUE)
    if not value:
        raise scanner.expected("a number")
    if kind_of(value[0]) == "share" and metric.family.whole:
        metric = attrs.evolve(metric, as_share=True)
    limit = parse_value(value[0], metric.kind, metric.name)
    aborts, after_s = _abort(scanner, metric, sign[0])
    return Threshold(
        metric=metric,
        operator=sign[0],
        limit=limit,
        scope=scope,
        name=of,
        aborts=aborts,
        after_s=after_s,
    )


def _scope(scanner: _Scanner, metric: Metric) -> tuple[str, str]:
    """Read ``{device=NAME}``, if there is one."""
    if not scanner.take(re.compile(r"(?=\{)")):
        return "", ""
    match = scanner.take(_SCOPE)
    if not match:
        raise scanner.expected("{queue=NAME}, {node=NAME}, {device=NAME} or {pod=NAME}")
    scope = match[1]
    name = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
    if scope not in SCOPES:
        raise ConfigError(f"there is no {shown(scope)}; known: {', '.join(SCOPES)}")
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ConfigError(f"{shown(name)} is no name of a {scope}")
    if scope in PLACES and not metric.per_place:
        raise ConfigError(
            f"{metric.name} is not known of a {scope}: only run times (such as p95(run)), "
            "failures, failed, completed, rate and goodput are"
        )
    return scope, name


def _abort(scanner: _Scanner, metric: Metric, sign: str) -> tuple[bool, float]:
    """Read ``abort after 30s``, if it is there, to the end."""
    word = scanner.take(_WORD)
    if not word:
        return False, 0.0
    if word[0] != "abort":
        raise ConfigError(f"'{printable(word[0], 40)}' is too much; only abort may follow")
    if sign.startswith(">") and metric.kind == "count":
        raise ConfigError(f"{metric.name} only grows: it can't be too low before the end")
    if not scanner.take(_AFTER):
        if scanner.more():
            raise scanner.expected("'after' and a duration such as 30s")
        return True, 0.0
    duration = scanner.take(_REST)
    if not duration:
        raise scanner.expected("a duration such as 30s")
    return True, parse_duration(duration[0].rstrip(), "after")


def _quoted(name: str) -> str:
    if _BARE_NAME.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
