"""The arguments of one request after the other, drawn from the rows of a queue's load."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, repeat

import orjson

from .placeholders import Template
from .scenario import QueueLoad

Args = tuple[str, ...]


class Draw:
    """Hands out the arguments of a queue's requests; they are filled in before the first one.

    Args:
        queue: Arguments, rows, and the order in which these are taken.
        seed: The same seed makes the same draws.

    Attributes:
        next: Returns the arguments of the next request. It never ends: in sequence, the first row
            follows after the last one.
    """

    __slots__ = ("_choices", "_drawn", "next")

    def __init__(self, queue: QueueLoad, seed: int) -> None:
        template = Template(queue.args)
        self._drawn = bool(queue.rows)
        self._choices = [template.fill(row) for row in queue.rows] or [queue.args]
        self.next: Callable[[], Args] = _endless(self._choices, queue.order, seed).__next__

    def largest(self) -> tuple[Args, int | None]:
        """Return the arguments that make the longest message, and of which row they are.

        Rows are counted from 1; None if nothing is drawn.
        """
        if not self._drawn:
            return self._choices[0], None
        # As on the wire, where some characters take several bytes.
        row = max(range(len(self._choices)), key=lambda i: len(orjson.dumps(self._choices[i])))
        return self._choices[row], row + 1


def _endless(choices: Sequence[Args], order: str, seed: int) -> Iterator[Args]:
    if len(choices) == 1:
        return repeat(choices[0])
    return _at_random(choices, seed) if order == "random" else cycle(choices)


def _at_random(choices: Sequence[Args], seed: int) -> Iterator[Args]:
    # With 53 random bits and at most 100 000 rows, the shares are equal to 1e-11. It costs a fifth
    # of random.choice.
    draw, n = random.Random(seed).random, len(choices)  # noqa: S311 - to be repeated, not secret
    while True:
        yield choices[int(draw() * n)]
