"""Logging to stderr: one line an event, for people or as JSON, that no peer can forge."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from scalab.protocol.text import printable

LogFormat = Literal["human", "json"]


def configure(level: int = logging.INFO, log_format: LogFormat = "human") -> None:
    """Set up logging for this process.

    Args:
        level: Events below it are dropped.
        log_format: ``json`` writes one JSON object a line.
    """
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "human":
        renderer = _human
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _bounded,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


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
