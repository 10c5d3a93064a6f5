"""What is read from files, and read again when they change: tokens and certificates get renewed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from scalab.errors import ConfigError

EVERY_S: Final = 1.0
"""Files are looked at when they are needed, and not more often than this."""

_Seen = tuple[tuple[int, int, int] | None, ...]
"""What tells one state of some files from another."""

T = TypeVar("T")

log = structlog.get_logger()


class Watched(Generic[T]):
    """Something made of files, and made anew when one of them is another one.

    New files that are no good leave what there was in place. Renewing several files takes a moment,
    in which they don't match, so this is an error only if it is found twice.

    Reading a few small files is faster than handing that to a thread.

    Args:
        paths: The files.
        load: Makes it of them; raises ConfigError if they are no good.
        clock: Seconds.

    Raises:
        ConfigError: ``load``'s, the first time.
    """

    def __init__(
        self, paths: Sequence[str], load: Callable[[], T], clock: Callable[[], float]
    ) -> None:
        self._paths = [Path(path) for path in paths if path]
        self._load = load
        self._clock = clock
        self._made_of = self._look()
        self._made = load()
        self._failed: _Seen | None = None
        self._told = False
        self._look_at = clock() + EVERY_S

    def get(self) -> T:
        """Return it, made of the files as they are now."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + EVERY_S
            seen = self._look()
            if seen != self._made_of:
                self._renew(seen)
        return self._made

    def _renew(self, seen: _Seen) -> None:
        names, problem = ", ".join(map(str, self._paths)), ""
        try:
            self._made = self._load()
        except ConfigError as exc:
            problem = str(exc)
        if not problem:
            self._made_of = seen
            log.info("read again", files=names)
        elif seen != self._failed:
            self._failed, self._told = seen, False
        elif not self._told:
            self._told = True
            log.error("keeping what was read before", files=names, error=problem)

    def _look(self) -> _Seen:
        """Follow links, as they are what Kubernetes changes."""
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths:
            try:
                stat = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)
