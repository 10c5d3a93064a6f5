"""What connections use of a dispatcher, wherever its queues are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from scalab.protocol.messages import Reply, Request

from .counters import LossReason, RejectReason
from .dispatch import RejectedError
from .item import ClientPort, Item
from .queue import Queue
from .worker import Worker, WorkerPort


class Dispatching(Protocol):
    """Decides who gets what; ``Dispatcher``, of queues in memory, says what each method does.

    Nothing here waits. What the ports are told may come before the call returns, or later.
    """

    draining: bool
    unknown_queue: int

    @property
    def queues(self) -> Mapping[str, Queue]:
        """The queues by name."""

    @property
    def running(self) -> int:
        """What must end before a frontend that drains is done."""

    def submit(self, client: ClientPort, request: Request, now: float) -> Item:
        """Accept a request, or raise ``RejectedError``."""

    def reject(self, queue_name: str, reason: RejectReason, text: str) -> RejectedError:
        """Count a request that the caller refuses."""

    def cancel(self, item: Item, now: float) -> None:
        """End an item early; its client gets a reply."""

    def client_gone(self, items: Iterable[Item], now: float) -> None:
        """Forget whoever waited for ``items``."""

    def attach(
        self,
        port: WorkerPort,
        queue_name: str,
        now: float,
        *,
        slots: int = 1,
        wait: bool = True,
        once: bool = False,
        node: str = "",
        pod: str = "",
    ) -> Worker:
        """Add a backend."""

    def pull(self, worker: Worker, now: float) -> None:
        """Let resting slots ask again."""

    def finish(self, worker: Worker, token: str, reply: Reply, now: float) -> Item | None:
        """Take a backend's reply."""

    def release(self, worker: Worker, token: str, now: float) -> Item | None:
        """Take back what a stopping backend gives up."""

    def retire(self, worker: Worker) -> None:
        """Hand a backend no more items."""

    def detach(self, worker: Worker, reason: LossReason, now: float) -> Sequence[Item]:
        """Remove a backend; return what it ran."""

    def drain(self, now: float) -> None:
        """Accept and hand out nothing more."""

    def give_up(self, now: float) -> None:
        """Wait for nothing any more."""
