"""Keeps one core busy for a fixed amount of work: ``burn.py [UNITS]``."""

import sys


def main() -> None:
    units = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    value = 1
    for _ in range(int(units * 200_000)):
        value = (value * 1103515245 + 12345) % 2147483648


main()
