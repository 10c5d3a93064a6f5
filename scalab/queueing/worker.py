"""A connected backend, as the dispatcher sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from .item import Item

if TYPE_CHECKING:
    from .queue import Queue


class WorkerPort(Protocol):
    """The way to a backend.

    Called by the dispatcher while it decides: it may only note or encode what it is told, never
    wait, and never call the dispatcher.
    """

    def hand(self, item: Item) -> None:
        """Hand over ``item``, named by its ``token``."""

    def cancel(self, item: Item) -> None:
        """Ask the backend to end ``item`` early. It may be unable to."""

    def empty(self) -> None:
        """Say that nothing waits, to a backend that doesn't want to wait for more."""


@attrs.define(eq=False)
class Worker:
    """A backend's connection: how much it can run, and what it runs now."""

    queue: Queue
    port: WorkerPort
    slots: int
    wait: bool
    """Free slots wait for items; otherwise they rest once it has been told ``empty``."""
    once: bool = False
    """Takes one item and no more."""
    node: str = ""
    pod: str = ""
    running: dict[str, Item] = attrs.Factory(dict)
    """By token."""
    resting: bool = False
    """Told ``empty``, and has not pulled since."""
    draining: bool = False

    @property
    def free(self) -> int:
        """Slots that may be handed an item now."""
        if self.draining or self.resting:
            return 0
        return self.slots - len(self.running)
