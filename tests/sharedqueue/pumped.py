"""Shared dispatchers and their store, run step by step, without Trio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from scalab.protocol.messages import Reply, Request
from scalab.queueing.counters import LossReason, RejectReason
from scalab.queueing.dispatch import OnClientGone, RejectedError
from scalab.queueing.item import Item, State
from scalab.queueing.worker import Worker, WorkerPort
from scalab.sharedqueue.calls import answer_of, call_of, letter_of
from scalab.sharedqueue.dispatcher import SharedDispatcher, SharedQueue
from scalab.sharedqueue.holder import Held, LeaseTerms
from scalab.sharedqueue.keys import prefix_of
from scalab.sharedqueue.operations import Answer, Kill, Mailed, Operation
from scalab.sharedqueue.origin import Asked
from scalab.sharedqueue.scripts import load_scripts
from tests.sharedqueue.model import Model
from tests.sharedqueue.servers import Talk

KEEP_S = 1000.0


class Engine(Protocol):
    """Where the queues are, whichever it is."""

    def execute(
        self, frontend: str, queue: str, operations: Sequence[Operation]
    ) -> list[Answer]: ...

    def mail(self, frontend: str, queue: str) -> list[Mailed | Kill]: ...

    def move_to(self, now: float) -> None: ...

    def line(self, queue: str) -> list[str]: ...


class ModelEngine:
    """The model of the store."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.now = 0

    def model(self, queue: str) -> Model:
        if queue not in self.models:
            self.models[queue] = Model(orphan_us=round(KEEP_S * 1e6))
            self.models[queue].now = self.now
        return self.models[queue]

    def execute(self, frontend: str, queue: str, operations: Sequence[Operation]) -> list[Answer]:
        return [self.model(queue).execute(frontend, operation) for operation in operations]

    def mail(self, frontend: str, queue: str) -> list[Mailed | Kill]:
        letters = self.model(queue).mail.pop(frontend, [])
        return [attrs.evolve(letter, queue=queue) for letter in letters]

    def move_to(self, now: float) -> None:
        self.now = round(now * 1e6)
        for model in self.models.values():
            model.now = self.now

    def line(self, queue: str) -> list[str]:
        return [item.id for item in self.model(queue).line()]


class RedisEngine:
    """The scripts in a real server, whose clock is ours to move."""

    CLOCK = "local function now() return tonumber(redis.call('GET', '{clock}')) end\n"

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._scripts = load_scripts(self.CLOCK)

    def execute(self, frontend: str, queue: str, operations: Sequence[Operation]) -> list[Answer]:
        answers = []
        for operation in operations:
            name, args = call_of(operation)
            answers.append(answer_of(operation, self._run(frontend, queue, name, args)))
        return answers

    def mail(self, frontend: str, queue: str) -> list[Mailed | Kill]:
        letters = self._run(frontend, queue, "mailbox", (1000,))
        self._run(frontend, queue, "mailbox", (1000, *(name for name, _ in letters)))
        return [letter_of(queue, letter) for _, letter in letters]

    def _run(self, frontend: str, queue: str, name: str, args: Iterable[Any]) -> Any:
        keep_us = round(KEEP_S * 1e6)
        common = (frontend, keep_us // 1000, keep_us)
        return self._talk("EVAL", self._scripts[name].source, 1, prefix_of(queue), *common, *args)

    def move_to(self, now: float) -> None:
        self._talk("SET", "{clock}", round(now * 1e6))

    def line(self, queue: str) -> list[str]:
        ids: Any = self._talk("ZRANGE", prefix_of(queue) + "w", 0, -1)
        return [name.decode() for name in ids]


class Frontend:
    """A frontend whose store answers at once, whenever it is let."""

    def __init__(self, engine: Engine, name: str, queues: Sequence[str], **options: Any) -> None:
        self.engine = engine
        self.name = name
        self.shared = SharedDispatcher(queues, name, lambda _queue: None, **options)
        self.now = 0.0

    def step(self, queue: str) -> bool:
        """Exchange one batch, and read the mail; whether there was anything."""
        line = self.shared.shared[queue]
        operations = line.take()
        if operations:
            line.answered(self.engine.execute(self.name, queue, operations), self.now)
        letters = self.engine.mail(self.name, queue)
        for letter in letters:
            self.shared.told(letter, self.now)
        return bool(operations or letters)

    def pump(self) -> None:
        """Exchange batches until there is nothing more to say."""
        said = True
        while said:
            said = False
            for queue in self.shared.queues:
                said = self.step(queue) or said


class View:
    """A queue of a single frontend, with what waits in the store as if it were here."""

    def __init__(self, pumped: Pumped, line: SharedQueue) -> None:
        self._queue = line.queue
        self.waiting = Waiting(
            [pumped.items[name] for name in pumped.frontend.engine.line(line.queue.name)]
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class Waiting(list[Asked]):
    """What waits, in order."""

    def head(self) -> Asked | None:
        return self[0] if self else None


@attrs.define(eq=False)
class Named:
    """A client's port that says who it is."""

    port: Any
    run: str
    session: int = 1

    def answer(self, item: Item, reply: Reply) -> None:
        self.port.answer(item, reply)


class Pumped:
    """The only frontend of a store, which answers before a call returns: as if in memory."""

    def __init__(
        self,
        engine: Engine,
        names: Sequence[str],
        *,
        queue_max: int = 0,
        max_attempts: int = 3,
        on_client_gone: OnClientGone = "cancel",
        now: Callable[[], float],
    ) -> None:
        self.frontend = Frontend(
            engine, "alone", names, queue_max=queue_max, on_client_gone=on_client_gone,
            terms=LeaseTerms(lease_s=KEEP_S, keep_s=KEEP_S, max_attempts=max_attempts),
        )  # fmt: skip
        self.items: dict[str, Asked] = {}
        self._now = now
        self._clients: dict[int, Named] = {}

    def _pump(self) -> None:
        self.frontend.now = self._now()
        self.frontend.engine.move_to(self._now())
        self.frontend.pump()

    @property
    def queues(self) -> Mapping[str, View]:
        shared = self.frontend.shared.shared
        return {name: View(self, line) for name, line in shared.items()}

    @property
    def draining(self) -> bool:
        return self.frontend.shared.draining

    @property
    def unknown_queue(self) -> int:
        return self.frontend.shared.unknown_queue

    @property
    def running(self) -> int:
        return sum(queue.running for queue in self.frontend.shared.queues.values())

    def submit(self, client: Any, request: Request, now: float) -> Item:
        named = self._clients.setdefault(id(client), Named(client, f"c{len(self._clients)}"))
        told: list[Reply] = []

        class Port(Named):
            def answer(self, item: Item, reply: Reply) -> None:
                told.append(reply)
                if reply.outcome != "rejected":
                    self.port.answer(item, reply)

        item = self.frontend.shared.submit(Port(client, named.run), request, now)
        assert isinstance(item, Asked)
        self.items[item.shared_id] = item
        self._pump()
        if told and told[0].outcome == "rejected":
            assert item.state is State.DONE
            raise RejectedError(told[0].reason, told[0].error)  # type: ignore[arg-type]
        return item

    def reject(self, queue_name: str, reason: RejectReason, text: str) -> RejectedError:
        return self.frontend.shared.reject(queue_name, reason, text)

    def cancel(self, item: Item, now: float) -> None:
        self.frontend.shared.cancel(item, now)
        self._pump()

    def client_gone(self, items: Iterable[Item], now: float) -> None:
        self.frontend.shared.client_gone(items, now)
        self._pump()

    def attach(self, port: WorkerPort, queue_name: str, now: float, **options: Any) -> Worker:
        worker = self.frontend.shared.attach(port, queue_name, now, **options)
        self._pump()
        return worker

    def pull(self, worker: Worker, now: float) -> None:
        self.frontend.shared.pull(worker, now)
        self._pump()

    def finish(self, worker: Worker, token: str, reply: Reply, now: float) -> Item | None:
        return self._asked(self.frontend.shared.finish(worker, token, reply, now))

    def release(self, worker: Worker, token: str, now: float) -> Item | None:
        return self._asked(self.frontend.shared.release(worker, token, now))

    def retire(self, worker: Worker) -> None:
        self.frontend.shared.retire(worker)

    def detach(self, worker: Worker, reason: LossReason, now: float) -> list[Item]:
        items = self.frontend.shared.detach(worker, reason, now)
        return [item for held in items if (item := self._asked(held)) is not None]

    def _asked(self, held: Item | None) -> Item | None:
        """The request that a backend's item stands for."""
        self._pump()
        if held is None:
            return None
        assert isinstance(held, Held)
        return self.items[held.shared_id]
