"""The API's objects, of which no field can be relied on to be there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

Object = dict[str, Any]
T = TypeVar("T")


def pick(found: object, path: str, default: T) -> T:
    """Return a field of an object.

    Args:
        found: What the API has sent.
        path: Names of fields, with dots in between.
        default: What it is if it isn't there, or of another type than this.
    """
    for name in path.split("."):
        if not isinstance(found, dict):
            return default
        found = found.get(name)
    if isinstance(found, bool) and not isinstance(default, bool):
        return default
    return found if isinstance(found, type(default)) else default


def items(found: object, path: str) -> list[Object]:
    """Return the objects of a list in a field."""
    listed: list[object] = pick(found, path, [])
    return [one for one in listed if isinstance(one, dict)]


def name_of(found: object) -> str:
    """Return an object's name."""
    return pick(found, "metadata.name", "")


def condition(found: Object, kind: str) -> Object:
    """Return the condition of a type from an object's status, an empty one if it has none."""
    for one in items(found, "status.conditions"):
        if pick(one, "type", "") == kind:
            return one
    return {}


def holds(found: object) -> bool:
    """Whether a condition is met."""
    return pick(found, "status", "") == "True"


def time_of(text: str) -> float | None:
    """Return a time of the API's (RFC 3339) in seconds since 1970; None if it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None
