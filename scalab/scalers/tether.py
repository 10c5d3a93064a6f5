"""Ties a program to the process that starts it: the kernel kills it when that one dies.

Run by its path in a bare interpreter, so it imports next to nothing: process id of the parent,
then the program's absolute path and its arguments. Linux only; elsewhere the program just runs.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then become the program."""
    parent, *argv = sys.argv[1:]
    with contextlib.suppress(AttributeError, OSError):  # another system
        # SIGKILL, as the parent can't have taken its leave; it reaches frozen processes, too.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == int(parent):  # else it died before we could ask
        os.execv(argv[0], argv)  # noqa: S606 - needs no shell


if __name__ == "__main__":
    main()
