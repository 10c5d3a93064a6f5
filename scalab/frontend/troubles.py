"""The last things that went wrong, for people to look at; the metrics have the counts."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from scalab.protocol.text import printable

MAX_TROUBLES = 50
"""Kept; of more, those that came up last."""
MAX_TEXT = 300
MAX_WHO = 120


@attrs.define(eq=False)
class Trouble:
    """Something that went wrong, as often as it did. Times are of the event loop's clock."""

    role: str
    kind: str
    """A word for it, such as the reason of a protocol error."""
    text: str
    who: str
    """The pod, node or address; of the last time, if they were several."""
    first_at: float
    last_at: float = 0.0
    count: int = 0


class Troubles:
    """A bounded list in which what comes up again is counted, so that a flood is one line."""

    def __init__(self, most: int = MAX_TROUBLES) -> None:
        self._most = most
        self._by_text: dict[tuple[str, str, str], Trouble] = {}  # the last one last

    def __iter__(self) -> Iterator[Trouble]:
        return reversed(self._by_text.values())

    def note(self, role: str, kind: str, text: str, now: float, who: str = "") -> None:
        """Note that something went wrong; peers' strings are made printable and are cut."""
        key = (role, kind, printable(text, MAX_TEXT))
        trouble = self._by_text.pop(key, None) or Trouble(*key, "", now)
        trouble.who = printable(who, MAX_WHO)
        trouble.last_at = now
        trouble.count += 1
        self._by_text[key] = trouble
        if len(self._by_text) > self._most:
            del self._by_text[next(iter(self._by_text))]
