"""How often each of a bounded number of texts was seen."""

from __future__ import annotations

from typing import Final

from .statistics import ErrorCount

OTHERS: Final = "(others)"
"""Stands for the names and texts beyond a limit."""


def add(counts: dict[str, int], text: str, n: int, limit: int) -> None:
    """Count ``text`` as seen ``n`` times more; a new one beyond ``limit`` texts as ``OTHERS``."""
    if text not in counts and len(counts) >= limit:
        text = OTHERS
    counts[text] = counts.get(text, 0) + n


def merge(counts: dict[str, int], other: dict[str, int], limit: int) -> None:
    """Add all of ``other``."""
    for text, n in other.items():
        add(counts, text, n, limit)


def ranked(counts: dict[str, int]) -> tuple[ErrorCount, ...]:
    """Return the texts, the most frequent first."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ErrorCount(text, n) for text, n in order)
