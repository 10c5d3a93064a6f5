"""Keys that change a run while it is watched: what a terminal sends for them, and what they do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from scalab.errors import ScalabError

from .watched import Watched, describe_level

SMALLEST_STEP: Final = 0.1
"""Requests per second that a key changes a rate by at least, so that it gets away from 0."""
RATE_SHARE: Final = 0.05
"""Share of a rate that a key changes it by, about."""
MANY: Final = 10
"""Steps of an arrow key."""

_PAUSED = "paused: p resumes"
_STEPS = {"+": 1, "=": 1, "-": -1, "_": -1, "up": MANY, "down": -MANY}
"""= and _ are + and - without, and with, the shift key of most keyboards."""

# ESC [ parameters letter, ESC O letter: ECMA-48 section 5.4 and, for O, terminals whose cursor
# keys are in application mode. An ESC on its own is the key of that name.
_SEQUENCE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~] | \x1bO[ -~] | \x1b[^\[O\x1b] | \x1b(?=\x1b) | [^\x1b]",
    re.DOTALL | re.VERBOSE,
)
_ARROWS = {b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down"}
_LONGEST = 32  # bytes of an escape sequence; what goes on for longer is none


class Decoder:
    """Bytes of a terminal to keys; a sequence may come in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that ``data`` completes: a character each, ``up`` or ``down``.

        Keys that are sent as other escape sequences are left out.
        """
        return list(self._keys(self._rest + data))

    def _keys(self, data: bytes) -> Iterator[str]:
        end = 0
        for match in _SEQUENCE.finditer(data):
            if match.start() != end:
                break  # an incomplete sequence; what follows the gap belongs to it
            end = match.end()
            sequence = match.group()
            if sequence in _ARROWS:
                yield _ARROWS[sequence]
            elif len(sequence) == 1 and sequence.isascii() and sequence != b"\x1b":
                yield sequence.decode("ascii")
        rest = data[end:]
        self._rest = rest if len(rest) <= _LONGEST else b""


class Controls:
    """What the keys do to a run."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._stopped = False
        self.help = True
        """Show what the keys do."""

    def press(self, key: str) -> str:
        """Do what ``key`` is for.

        Returns:
            What was done, or why not, for people; "" for a key that does nothing to the run.
        """
        try:
            return self._press(key)
        except ScalabError as exc:
            return str(exc)

    def _press(self, key: str) -> str:
        if key == "?":
            self.help = not self.help
        elif key == "q":
            return self._stop()
        elif key in _STEPS or key in {"p", "r"}:
            ending = self._stopped or self._watched.phase == "drain"
            return "the run is ending" if ending else self._control(key)
        return ""

    def _control(self, key: str) -> str:
        if key == "p":
            return self._pause_or_resume()
        if key == "r":
            self._watched.reset()
            return "a new measuring window"
        if self._watched.paused:
            return _PAUSED  # the level is 0 now, and not what is to be changed
        return self._change(_STEPS[key])

    def _stop(self) -> str:
        # Only ever the first stop: a key that is held down must not end the run at once.
        if not self._stopped:
            self._stopped = True
            self._watched.stop()
        return "stopping; ^C ends at once"

    def _pause_or_resume(self) -> str:
        if self._watched.paused:
            self._watched.resume()
            return "resumed"
        self._watched.pause()
        return _PAUSED

    def _change(self, steps: int) -> str:
        watched = self._watched
        before = watched.level if watched.open_loop else round(watched.level)
        level = max(before + steps * step(before, open_loop=watched.open_loop), 0.0)
        if watched.level_max:
            level = min(level, watched.level_max)
        level = round(level, 6)  # 0.1 + 0.2 is to read as 0.3
        if level == before:
            end = "most" if steps > 0 else "least"
            return f"{describe_level(level, open_loop=watched.open_loop)} is the {end}"
        watched.set_level(level)
        return f"asked for {describe_level(level, open_loop=watched.open_loop)}"


def step(level: float, *, open_loop: bool) -> float:
    """Return by how much one key press changes a level.

    Of a rate it is 5 %, rounded down to 1, 2 or 5 times a power of ten, and 0.1 at least:

    >>> [step(rate, open_loop=True) for rate in (0, 2, 50, 100, 1234)]
    [0.1, 0.1, 2.0, 5.0, 50.0]
    >>> step(50, open_loop=False)
    1.0
    """
    if not open_loop:
        return 1.0
    wanted = max(RATE_SHARE * level, SMALLEST_STEP)
    power = 10.0 ** math.floor(math.log10(wanted) + 1e-9)
    return max(n for n in (1, 2, 5) if n * power <= wanted * (1 + 1e-9)) * power
