"""Lines at the bottom of a terminal that are redrawn in place, with other output above them.

Unlike rich's ``Live`` it only composes what is to be written, so that a terminal which takes
nothing holds nobody up; it writes what has changed only; and it can be left and come back, as when
a job is stopped and continued.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import attrs
from rich.console import Console
from rich.text import Text

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
_DOWN = "\r\n"

_ASCII = str.maketrans("▁▂▃▄▅▆▇█─…·µ±✓✗↑↓", "_.:-=+*#-~-u~+x^v")


@attrs.frozen
class Line:
    """A line, ready to be written."""

    text: str
    """With sequences for colours."""
    cells: int
    """Columns that it takes."""


def render(lines: Sequence[Text], console: Console) -> list[Line]:
    """Return lines as ``console`` would write them, in its colours and encoding."""
    if console.options.ascii_only:
        lines = [Text(_to_ascii(line.plain)) for line in lines]
    with console.capture() as capture:
        console.print(Text("\n").join(lines), soft_wrap=True, end="", highlight=False)
    texts = capture.get().split("\n")
    return [Line(text, line.cell_len) for text, line in zip(texts, lines, strict=True)]


def _to_ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


class Canvas:
    """Composes what makes a terminal show the lines that are wanted.

    The cursor rests at the end of the last line.
    """

    def __init__(self) -> None:
        self._shown: list[Line] = []
        self._width = 0

    def draw(self, lines: Sequence[Line], width: int, above: Sequence[str] = ()) -> str:
        """Return what shows ``lines`` in the place of those before.

        Args:
            lines: All narrower than the terminal, and fewer than it has rows.
            width: Columns of the terminal.
            above: Lines to be left standing above, of any length.
        """
        if above or width != self._width or not self._shown:
            start = self._clear(width) + "".join(f"{line}{_DOWN}" for line in above)
            changes = [line.text for line in lines]
        elif list(lines) == self._shown:
            return ""
        else:
            start = self._to_top()
            # The last line is always written, so that the cursor comes to rest at its end.
            before = self._shown[: len(lines) - 1]
            changes = [
                "" if new == old else f"{_CLEAR_LINE}{new.text}"
                for new, old in zip_longest(lines, before)
            ]
        self._shown, self._width = list(lines), width
        # No wrapping: characters wider than they are taken for must not push others down.
        return f"{_HIDE_CURSOR}{start}{_NO_WRAP}{_DOWN.join(changes)}{_CLEAR_BELOW}{_WRAP}"

    def erase(self, width: int) -> str:
        """Return what takes the lines off, and leaves the cursor, visible, where they began."""
        return f"{self._clear(width)}{_SHOW_CURSOR}" if self._shown else ""

    def forget(self) -> None:
        """Others have written to the terminal: the next lines go below what they wrote."""
        self._shown = []

    def _clear(self, width: int) -> str:
        if not self._shown:
            return ""
        if width < self._width:
            # The terminal has wrapped what had become too long for it.
            rows = sum(max(-(-line.cells // width), 1) for line in self._shown)
            self._shown = [Line("", 0)] * rows
        text = f"{self._to_top()}{_CLEAR_BELOW}"
        self.forget()
        return text

    def _to_top(self) -> str:
        up = len(self._shown) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r"
