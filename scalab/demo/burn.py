"""A workload that keeps one core busy: ``burn.py UNITS``; a unit is some hundredths of a second.

Run by path, without the package, so that a run costs little more than its work.
"""

import sys


def burn(units: float) -> int:
    """Compute something that nobody needs."""
    value = 1
    for _ in range(int(units * 200_000)):
        value = (value * 1103515245 + 12345) % 2147483648
    return value


if __name__ == "__main__":
    burn(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
