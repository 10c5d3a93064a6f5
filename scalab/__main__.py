"""Entry point: ``scalab`` and ``python -m scalab``."""

from __future__ import annotations

import sys

from scalab.cli.app import run


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
