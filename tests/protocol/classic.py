"""Classic messages as their reader sees them."""

from __future__ import annotations

from typing import Any

import attrs

from scalab.protocol.framing import ObjectReader
from tests.strategies import fields_of

SESSION_ONLY = ("id", "outcome", "reason", "retry")
ZERO: dict[Any, object] = {str: "", float: 0.0, int: 0, bool: False, list[str]: []}


def read_classic(data: bytes) -> dict[str, Any]:
    fields = ObjectReader().feed(data)
    assert fields is not None
    return fields


def without_session_fields(message: Any) -> Any:
    """The message as a classic peer sees it."""
    zeros = {n: ZERO[t] for n, t in fields_of(type(message)).items() if n in SESSION_ONLY}
    return attrs.evolve(message, **zeros)
