"""A connected backend, as the dispatcher sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from scalab.protocol.messages import FAILURE, TIMEOUT

from .item import Item

if TYPE_CHECKING:
    from .queue import Queue

MAX_DEVICES = 64
"""Devices of a backend that are counted each by its name."""
OTHER_DEVICES = "other devices"
"""The name under which the rest is counted."""

_FAILED = (FAILURE, TIMEOUT)


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
    since: float = 0.0
    """When it connected, by the dispatcher's caller's clock."""
    address: str = ""
    """Where its connection comes from, if its port says so."""
    running: dict[str, Item] = attrs.Factory(dict)
    """By token."""
    resting: bool = False
    """Told ``empty``, and has not pulled since."""
    draining: bool = False
    finished: dict[str, int] = attrs.Factory(dict)
    """Items that it has replied to, by the device that its replies name."""
    failed: int = 0
    """Those of them that failed or ran into their limit."""

    def count(self, device: str, outcome: str) -> None:
        """Count an item that has ended here."""
        finished = self.finished
        if device not in finished and len(finished) >= MAX_DEVICES:
            device = OTHER_DEVICES
        finished[device] = finished.get(device, 0) + 1
        if outcome in _FAILED:
            self.failed += 1

    @property
    def free(self) -> int:
        """Slots that may be handed an item now."""
        if self.draining or self.resting:
            return 0
        return self.slots - len(self.running)
