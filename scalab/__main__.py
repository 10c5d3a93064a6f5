"""Entry point: ``scalab`` and ``python -m scalab``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    if os.getpid() == 1:
        # The kernel drops signals that process 1 has no handler for, and a service has its own
        # only when it runs: a pod that is deleted meanwhile would wait for its SIGKILL.
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda received, _frame: os._exit(128 + received))
    if sys.argv[1:3] == ["fakedev", "workload"]:
        # Started for every item: the command line alone would cost it ten times its own start.
        from scalab.fakedev.workload import main as workload  # noqa: PLC0415

        sys.exit(workload(sys.argv[3:]))
    from scalab.cli.app import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
