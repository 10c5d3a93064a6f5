"""A workload that writes down its runs, and reading what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

_SCRIPT = (
    'read -r at _ </proc/uptime; echo "s $1 $$ $at" >>"{path}"; sleep "$2"; '
    'read -r at _ </proc/uptime; echo "e $1 $$ $at" >>"{path}"; exit "${{3:-0}}"'
)


@attrs.define(eq=False)
class RunLog:
    """A file with two lines for each run: when it began, and when it got to its end.

    The workload's arguments are the request's id, for how many seconds it runs, and its exit
    code. A line is one short append, which is atomic, so any number may write.
    """

    path: Path
    starts: int = 0
    _read: int = 0

    @property
    def command(self) -> list[str]:
        """The workload."""
        return ["sh", "-c", _SCRIPT.format(path=self.path), "run"]

    def read(
        self,
        started: Callable[[str, str, float], None],
        ended: Callable[[str, str, float], None],
    ) -> None:
        """Tell what was written since the last time: the request, the run's name, the time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data.rpartition(b"\n")[0]
        self._read += len(whole) + 1 if whole else 0
        for line in whole.decode().splitlines():
            kind, request_id, run, at = line.split()
            self.starts += kind == "s"
            (started if kind == "s" else ended)(request_id, run, float(at))
