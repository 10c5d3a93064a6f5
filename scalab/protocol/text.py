"""Strings of peers, made safe to print: bounded in length, and never more than one line."""

from __future__ import annotations


def printable(text: str, limit: int = 400) -> str:
    r"""Return ``text`` on one line, without control characters, cut visibly at ``limit``.

    >>> printable("exit\n\x1b[2Jforged", 100)
    'exit\\n\\x1b[2Jforged'
    """
    if not text.isprintable():
        # A backslash of the peer's own stays as it is: this is for reading, not for decoding.
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
            for c in text[: limit + 1]
        )
    return clip(text, limit)


def clip(text: str, limit: int) -> str:
    """Return ``text``, or its first ``limit`` - 1 characters and an ellipsis if it is longer."""
    if len(text) <= limit:
        return text
    return text[: max(limit - 1, 0)] + "…" if limit > 0 else ""
