"""The dispatcher's surroundings: ports that note what they are told, and a clock."""

from __future__ import annotations

from typing import Any

from scalab.protocol.messages import Reply, Request
from scalab.queueing.dispatch import Dispatcher
from scalab.queueing.item import Item
from scalab.queueing.worker import Worker


class Client:
    """Notes the replies that it gets, by request."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}

    def answer(self, item: Item, reply: Reply) -> None:
        assert item.id not in self.replies
        self.replies[item.id] = reply


class Backend:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.items: dict[str, Item] = {}

    def hand(self, item: Item) -> None:
        self.told.append(f"run {item.id}")
        self.items[item.id] = item

    def cancel(self, item: Item) -> None:
        self.told.append(f"cancel {item.id}")

    def empty(self) -> None:
        self.told.append("empty")


class Frontend:
    """A dispatcher and a clock, in short words."""

    def __init__(self, **options: Any) -> None:
        self.dispatcher = Dispatcher(["sleep", "media"], **options)
        self.client = Client()
        self.now = 0.0

    @property
    def counters(self) -> Any:
        return self.dispatcher.queues["sleep"].counters

    def submit(self, *ids: str, client: Client | None = None) -> list[Item]:
        client = client or self.client
        return [
            self.dispatcher.submit(client, Request("sleep", [], id=name), self.now) for name in ids
        ]

    def attach(self, **options: Any) -> tuple[Backend, Worker]:
        backend = Backend()
        return backend, self.dispatcher.attach(backend, "sleep", self.now, **options)

    def finish(self, worker: Worker, item: Item, reply: Reply | None = None) -> None:
        self.dispatcher.finish(worker, item.token, reply or Reply(), self.now)

    def outcome(self, name: str) -> str:
        return self.client.replies[name].outcome
