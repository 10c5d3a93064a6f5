"""Outlives a backend that was killed outright, and kills what that left behind.

Run by its path in a bare interpreter, so it imports next to nothing. Arguments: the mark that
workloads carry in their environment, and the descriptor of a table of process groups (native
ints, 0 = none) that the backend keeps up to date. Nothing is ever written to standard input: it
is a pipe whose end means that the backend is dead. Its other end is nowhere else, save in a child
between fork and exec, which is worth waiting for.

The table knows every workload that was started, but for one of which the backend died before it
could note it. The mark finds that one, and whatever left its group.
"""

import contextlib
import os
import signal
import sys
import time
from array import array
from pathlib import Path

_ROUNDS = 50
_PAUSE_S = 0.02


def noted(table: int) -> list[int]:
    """Return the process groups in the table."""
    groups = array("i", os.pread(table, os.fstat(table).st_size, 0))
    return [pgid for pgid in groups if pgid]


def marked(mark: bytes) -> list[int]:
    """Return the processes that have ``mark`` in their environment."""
    pids = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if process.name.isdecimal() and mark in (process / "environ").read_bytes():
                pids.append(int(process.name))
    return pids


def main() -> None:
    """Wait for the backend's death, then kill its workloads."""
    mark, table = sys.argv[1].encode(), int(sys.argv[2])
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the backend has work to finish; so have we
    os.read(0, 1)
    for pgid in noted(table):
        with contextlib.suppress(OSError):
            os.killpg(pgid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # what is being killed may still have started more
        pids = marked(mark)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
