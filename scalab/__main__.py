"""Entry point: ``scalab`` and ``python -m scalab``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:3] == ["fakedev", "workload"]:
        # Started for every item: the command line alone would cost it ten times its own start.
        from scalab.fakedev.workload import main as workload  # noqa: PLC0415

        sys.exit(workload(sys.argv[3:]))
    from scalab.cli.app import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
