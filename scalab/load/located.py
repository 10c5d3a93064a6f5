"""The lines on which the keys of a TOML text stand, which tomllib doesn't tell."""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]
"""Keys from the outermost table inwards, and indices in arrays: ``("queues", 0, "name")``."""

_SPACE: Final = re.compile(r"[ \t]*")
_GAP: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
# A multi-line string may end with one or two quotes of its own before the three that close it.
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"[^,\]}#\r\n]*")
"""Numbers, truth values and dates."""


def line_of(text: str, path: Path) -> int | None:
    """Return the line of a key, or of the closest table or array around it that has one.

    Hyphens and underscores in keys count as the same. It reads the whole text, so it is meant
    for texts of which one error is to be told.

    Args:
        text: What tomllib has read without an error.
        path: What is looked for.

    Returns:
        The first is 1; None if not even the outermost key is there.
    """
    places = _Scanner(text).places
    wanted = tuple(map(_alike, path))
    for length in range(len(wanted), 0, -1):
        if (place := places.get(wanted[:length])) is not None:
            return text.count("\n", 0, place) + 1
    return None


def _alike(key: str | int) -> str | int:
    return key.replace("_", "-") if isinstance(key, str) else key


class _Scanner:
    """Notes where each key, and each element of an array, begins."""

    def __init__(self, text: str) -> None:
        self.places: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._tables: dict[Path, int] = {}
        """How many tables each array of tables has so far."""
        self._scan()

    def _scan(self) -> None:
        table: Path = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)

    def _header(self) -> Path:
        """Pass ``[a.b]`` or ``[[a.b]]``."""
        start = self._at
        array = self._text.startswith("[[", start)
        self._at += 2 if array else 1
        path: Path = ()
        for key in self._keys():
            # What stands below an array of tables belongs to its last one so far.
            path = (*path, *self._last_of(path), key)
            self.places.setdefault(path, start)
        if array:
            self._tables[path] = self._tables.get(path, 0) + 1
        path = (*path, *self._last_of(path))
        self.places.setdefault(path, start)
        self._at += 2 if array else 1
        return path

    def _last_of(self, path: Path) -> Path:
        count = self._tables.get(path, 0)
        return (count - 1,) if count else ()

    def _pair(self, table: Path) -> None:
        """Pass ``a.b = value``."""
        start = self._at
        path = table
        for key in self._keys():
            path = (*path, key)
            self.places.setdefault(path, start)
        self._at += 1
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_PLAIN)

    def _array(self, path: Path) -> None:
        index = 0
        while self._next("]"):
            self.places.setdefault((*path, index), self._at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Path) -> None:
        while self._next("}"):
            self._pair(path)

    def _next(self, end: str) -> bool:
        """Pass an opening bracket or a comma; False, and pass it, if the end follows."""
        self._skip(_GAP)
        if self._text[self._at] in "[{,":
            self._at += 1
            self._skip(_GAP)
        if self._text[self._at] == end:
            self._at += 1
            return False
        return True

    def _keys(self) -> list[str | int]:
        """Pass ``a . "b"``."""
        keys: list[str | int] = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                token = self._skip(_STRING)
                keys.append(_alike(tomllib.loads(f"k={token}")["k"]))
            else:
                keys.append(_alike(self._skip(_BARE)))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> str:
        """Pass what matches, and return it."""
        match = pattern.match(self._text, self._at)
        token = match[0] if match else ""
        self._at += len(token)
        return token
