"""Logging to stderr: one line an event, for people or as JSON, that no peer can forge or flood."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from scalab.protocol.text import printable

from .throttle import Throttle

LogFormat = Literal["human", "json"]


def configure(level: int = logging.INFO, log_format: LogFormat = "human") -> None:
    """Set up logging for this process.

    Args:
        level: Events below it are dropped. Of warnings and errors of one kind, ten are logged at
            once, then one every ten seconds, which tells how many there were; all of them with
            ``DEBUG``.
        log_format: ``json`` writes one JSON object a line.
    """
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "human":
        renderer = _human
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([] if level <= logging.DEBUG else [_Limited(Throttle())]),
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _bounded,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Limited:
    """Drops warnings and errors of which there are too many: peers can cause any number."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def __call__(
        self, _logger: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if method in ("debug", "info"):
            return event
        # A status is a kind, the reason that comes with it is a text about the one request.
        what = event.get("status", event.get("reason"))
        held = self._throttle.passes(
            (event.get("event"), event.get("role"), what), time.monotonic()
        )
        if held is None:
            raise structlog.DropEvent
        return {**event, "more_like_this": held} if held else event


def _bounded(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Make every text printable; a traceback is ours, and keeps its lines in JSON."""
    return {
        key: printable(value, 2000) if isinstance(value, str) and key != "exception" else value
        for key, value in event.items()
    }


def _human(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """``2026-01-31T12:00:00Z info   listening  role=frontend clients=localhost:9997``."""
    time, level = event.pop("timestamp", ""), event.pop("level", "")
    text, trace = event.pop("event", ""), event.pop("exception", None)
    fields = " ".join(f"{key}={_quoted(value)}" for key, value in event.items())
    line = f"{time[:23]}Z {level:<7} {text}" + (f"  {fields}" if fields else "")
    return f"{line}\n{trace}" if trace else line


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else printable(str(value), 2000)
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace('"', "'") + '"'
