"""Which arguments of requests a backend takes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .outcome import CannotRunError

MOST_CPU_S: Final = 0.1
"""CPU time for checking an item's arguments, in seconds; it is microseconds for a good pattern."""


class NotAllowedError(CannotRunError):
    """An argument is none that this backend takes."""


class ArgumentPolicy:
    """Refuses items with an argument that matches no pattern.

    There are patterns with which a regular expression takes for ever to find that a text does not
    match, if a client makes that text for it; ``(a+)+b`` is one. So the CPU time is bounded.

    Args:
        patterns: Regular expressions; an argument must match one of them as a whole.

    Raises:
        ConfigError: A pattern is no regular expression.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def check(self, args: Sequence[str]) -> None:
        """Check an item's arguments; only in the main thread, where signals are handled.

        Raises:
            NotAllowedError: One is refused.
        """
        arg = ""
        try:
            with _bounded_cpu(MOST_CPU_S):
                for arg in args:
                    if not any(pattern.fullmatch(arg) for pattern in self._patterns):
                        break
                else:
                    return
        except _TookTooLongError:
            text = f"argument takes too long to check: {printable(repr(arg), 80)}"
            raise NotAllowedError(text) from None
        raise NotAllowedError(f"argument is not allowed here: {printable(repr(arg), 80)}")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ConfigError(f"--allow-args {printable(repr(pattern), 80)}: {exc}") from None


class _TookTooLongError(Exception):
    pass


@contextmanager
def _bounded_cpu(seconds: float) -> Iterator[None]:
    """Raise _TookTooLongError in here after ``seconds`` of this process's own CPU time.

    While a regular expression is matched nothing else can happen in this process, but signals
    are looked at even then.
    """
    armed = True

    def end(_signum: int, _frame: FrameType | None) -> None:
        nonlocal armed
        if armed:  # otherwise it was raised when all was done, and is handled only now
            armed = False
            raise _TookTooLongError

    before = signal.signal(signal.SIGVTALRM, end)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)
