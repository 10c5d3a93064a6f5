"""The waiting line: strictly first in, first out, with removal and return at no cost."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from operator import attrgetter

from .item import Item

_by_seq = attrgetter("seq")


class WaitingLine:
    """Items in the order of their ``seq``.

    An item that comes back was handed out before everything that waits now, so the returned ones
    are a short sorted list in front of the rest. No operation's cost grows with the length of
    the line, except that a return costs as much as there are returned items.
    """

    def __init__(self) -> None:
        self._returned: list[Item] = []
        self._fresh: OrderedDict[int, Item] = OrderedDict()

    def __len__(self) -> int:
        return len(self._returned) + len(self._fresh)

    def __bool__(self) -> bool:
        return bool(self._fresh or self._returned)

    def __iter__(self) -> Iterator[Item]:
        yield from self._returned
        yield from self._fresh.values()

    def append(self, item: Item) -> None:
        """Add a new item at the end."""
        self._fresh[item.seq] = item

    def put_back(self, item: Item) -> None:
        """Return an item to where its ``seq`` belongs."""
        insort(self._returned, item, key=_by_seq)

    def pop(self) -> Item:
        """Take the item that has waited longest; the line must not be empty."""
        if self._returned:
            return self._returned.pop(0)
        return self._fresh.popitem(last=False)[1]

    def remove(self, item: Item) -> None:
        """Take out an item that waits."""
        if self._fresh.pop(item.seq, None) is None:
            self._returned.remove(item)

    def head(self) -> Item | None:
        """The item that has waited longest."""
        return next(iter(self), None)
