"""What is wrong with one field of a scenario, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .located import Path
from .units import DURATION_MAX_S, DURATION_MIN_S, plain


class FieldError(ConfigError):
    """A field can't be used; ``path`` tells which, in the words of the file's keys."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        super().__init__(f"{path_text(path)}: {text}" if path else text)

    def under(self, *above: str | int) -> FieldError:
        """Return the same error of a field that stands below ``above``."""
        return FieldError((*above, *self.path), self.text)


def path_text(path: Path) -> str:
    """Write where a field stands.

    >>> path_text(("queues", 0, "draw", "csv"))
    'queues[0].draw.csv'
    """
    parts = (f"[{key}]" if isinstance(key, int) else f".{printable(key, 60)}" for key in path)
    return "".join(parts).removeprefix(".")


def nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return ``did you mean …?``, or all that is known if nothing is close."""
    close = get_close_matches(word[:60], known, 1)
    return f"did you mean {close[0]}?" if close else f"known: {printable(', '.join(known), 300)}"


def check_seconds(key: str, value: float, most: float = DURATION_MAX_S) -> None:
    """Check a time in seconds; 0 is fine.

    Raises:
        FieldError: It is negative, not finite, too long or too short.
    """
    check_number(key, value, 0, most, " s")
    if 0 < value < DURATION_MIN_S:
        raise FieldError((key,), f"{value} s is shorter than a nanosecond")


def check_number(key: str, value: float, least: float, most: float, unit: str = "") -> None:
    """Check a number.

    Raises:
        FieldError: It is out of bounds, or not a number.
    """
    if not least <= value <= most:
        text = f"{value}{unit} is out of bounds; give {plain(least)} to {plain(most)}{unit}"
        raise FieldError((key,), text)
