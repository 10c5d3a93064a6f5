"""Outlives a backend that was killed outright, and kills what that left behind.

Run by its path in a bare interpreter, so it imports next to nothing. Standard input is a pipe from
the backend, which tells of process groups that begin (``+pgid``) and end (``-pgid``). When the
pipe ends, the backend is dead: its other end is nowhere else, save in a child between fork and
exec, and that is worth waiting for.

A backend may die after it started a workload and before it told of it. Therefore all of them carry
a mark in their environment, and in the end whatever carries it is killed, too.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_ROUNDS = 50
_PAUSE_S = 0.02


def follow(fd: int) -> set[int]:
    """Read until the pipe ends; return the groups that are there then."""
    groups: set[int] = set()
    rest = b""
    while data := os.read(fd, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    return groups


def marked(mark: bytes) -> list[int]:
    """Return the processes that have ``mark`` in their environment."""
    pids = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if mark in environ.read_bytes():
                pids.append(int(environ.parent.name))
    return pids


def main() -> None:
    """Wait for the backend's death, then kill its workloads.

    The mark is the only command line argument.
    """
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the backend has work to finish; so have we
    for pgid in follow(0):
        with contextlib.suppress(OSError):
            os.killpg(pgid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # what is being killed may still have started more
        pids = marked(sys.argv[1].encode())
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
