"""The waiting line against a plain list that is sorted when it is asked."""

from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scalab.queueing.item import Item
from scalab.queueing.queue import Queue
from scalab.queueing.waiting import WaitingLine

QUEUE = Queue("sleep")


class Line(RuleBasedStateMachine):
    """Items come, are taken, come back and are removed."""

    def __init__(self) -> None:
        super().__init__()
        self.line = WaitingLine()
        self.waiting: list[Item] = []
        self.taken: list[Item] = []
        self.came = 0

    def inside(self) -> bool:
        return bool(self.waiting)

    def outside(self) -> bool:
        return bool(self.taken)

    @rule()
    def append(self) -> None:
        self.came += 1
        item = Item(self.came, QUEUE, None, f"r{self.came}", [], 0.0, 0.0)
        self.line.append(item)
        self.waiting.append(item)

    @precondition(inside)
    @rule()
    def pop(self) -> None:
        item = min(self.waiting, key=lambda item: item.seq)
        assert self.line.pop() is item
        self.waiting.remove(item)
        self.taken.append(item)

    @precondition(outside)
    @rule(index=st.integers(0, 20))
    def put_back(self, index: int) -> None:
        item = self.taken.pop(index % len(self.taken))
        self.line.put_back(item)
        self.waiting.append(item)

    @precondition(inside)
    @rule(index=st.integers(0, 20))
    def remove(self, index: int) -> None:
        item = self.waiting.pop(index % len(self.waiting))
        self.line.remove(item)

    @invariant()
    def it_is_the_sorted_list(self) -> None:
        expected = sorted(self.waiting, key=lambda item: item.seq)
        assert list(self.line) == expected
        assert len(self.line) == len(expected)
        assert self.line.head() is (expected[0] if expected else None)


def test_the_line_is_always_in_order() -> None:
    run_state_machine_as_test(
        Line, settings=settings(max_examples=max(150, settings().max_examples))
    )


class Looks:
    """How often anything was compared."""

    count = 0


class LookedAt(Item):
    """An item that notices when it is compared with another one."""

    def __eq__(self, other: object) -> bool:
        Looks.count += 1
        return self is other

    __hash__ = Item.__hash__


class Seq(int):
    """The same for its place in line."""

    def __lt__(self, other: int) -> bool:
        Looks.count += 1
        return int(self) < int(other)


def test_no_operation_looks_at_what_else_waits() -> None:
    """So none costs more in a longer line."""
    line = WaitingLine()
    items = [LookedAt(Seq(n), QUEUE, None, "", [], 0.0, 0.0) for n in range(1000)]
    for item in items:
        line.append(item)
    for item in items[400:600]:
        line.remove(item)
    first = line.pop()
    line.put_back(first)
    line.remove(first)
    for item in (*items[1:400], *items[600:]):
        assert line.pop() is item

    assert Looks.count == 0
