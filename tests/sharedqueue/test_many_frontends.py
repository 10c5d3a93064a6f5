"""Several frontends, their clients and backends, and a store, through every fault: seeded.

Nothing here is real but the code that decides: frontends are dispatchers, the store is its model,
time is a number. So thousands of schedules take seconds, and each can be run again by its seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from scalab.protocol.messages import Reply, Request
from scalab.queueing.dispatch import RejectedError
from scalab.queueing.item import Item
from scalab.queueing.worker import Worker
from scalab.sharedqueue.holder import Held, LeaseTerms
from scalab.sharedqueue.operations import Answer, Connected, Operation
from tests.sharedqueue.model import Model
from tests.sharedqueue.pumped import Frontend, ModelEngine

QUEUE = "q"
LEASE_S = 4.0
MAX_ATTEMPTS = 3
LIMIT = 12
STEPS = 400


class LossyEngine(ModelEngine):
    """A store whose answers get lost, and whose mail, too."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.lossy = True
        self.accepted: Counter[str] = Counter()
        """Results that the store has taken, by item."""

    def execute(self, frontend: str, queue: str, operations: Sequence[Operation]) -> list[Answer]:
        if self.lossy and self.rng.random() < 0.05:
            raise ConnectionError("it is away")
        count = len(operations)
        cut = self.rng.randrange(count + 1) if self.lossy and self.rng.random() < 0.1 else None
        answers = super().execute(frontend, queue, operations[:cut])
        if cut is not None:
            raise ConnectionError("the answer is lost")
        return answers

    def mail(self, frontend: str, queue: str) -> list[Any]:
        letters = super().mail(frontend, queue)
        if self.lossy and self.rng.random() < 0.1:
            return []
        return letters


@attrs.define(eq=False)
class Site:
    """A frontend process, and who is connected to it."""

    frontend: Frontend
    clients: list[Client] = attrs.Factory(list)
    backends: list[Backend] = attrs.Factory(list)
    frozen: bool = False


@attrs.define(eq=False)
class Client:
    """Keeps requests until they are answered, as the client program does."""

    world: World
    run: str
    session: int = 0
    site: Site | None = None
    port: Port | None = None
    pending: dict[str, bool] = attrs.Factory(dict)
    """By id: whether a cancel was sent."""
    answers: Counter[str] = attrs.Factory(Counter)
    outcomes: dict[str, str] = attrs.Factory(dict)
    sent: int = 0

    def connect(self, site: Site) -> None:
        self.session += 1
        self.site = site
        self.port = Port(self, self.run, self.session)
        site.clients.append(self)
        for name in list(self.pending):
            self.submit(name)

    def request(self) -> None:
        self.sent += 1
        name = str(self.sent)
        self.pending[name] = False
        if self.site is not None:
            self.submit(name)

    def submit(self, name: str) -> None:
        assert self.site is not None
        assert self.port is not None
        try:
            item = self.site.frontend.shared.submit(
                self.port, Request(QUEUE, [self.run, name], 0.0, id=name), self.world.now
            )
        except RejectedError as exc:
            if exc.reason != "draining":
                self.answered(name, "rejected")
        else:
            self.port.items[name] = item

    def answered(self, name: str, outcome: str) -> None:
        assert name in self.pending, f"{self.run}/{name} is answered again, with {outcome}"
        asked_for = self.pending.pop(name)
        if outcome == "cancelled":
            assert asked_for, "nobody cancelled it"
            self.world.cancelled.add(f"{self.run}/{name}")
        elif outcome == "success" and not self.world.losses:
            found = self.world.model.items[f"{self.run}/{name}"]
            assert (found.state, found.outcome) == ("ended", "done"), "the store knows of it"
        self.answers[name] += 1
        self.outcomes[name] = outcome

    def lose_connection(self, *, noticed: bool) -> None:
        """The session ends; a frontend that still lives notices, maybe later."""
        if self.site is None or self.port is None:
            return
        site, port = self.site, self.port
        self.site = self.port = None
        port.client = None
        site.clients.remove(self)
        if noticed:
            site.frontend.shared.client_gone(list(port.items.values()), self.world.now)
        else:
            self.world.unnoticed.append((site, port))


@attrs.define(eq=False)
class Port:
    """A session of a client."""

    client: Client | None
    run: str
    session: int
    items: dict[str, Item] = attrs.Factory(dict)

    def answer(self, item: Item, reply: Reply) -> None:
        self.items.pop(item.id, None)
        if self.client is None:  # what is sent into a dead connection
            return
        if not reply.retry:
            self.client.answered(item.id, reply.outcome)


@attrs.define(eq=False)
class Backend:
    """Runs what it is handed."""

    world: World
    site: Site
    worker: Worker = attrs.field(init=False)
    running: dict[str, Held] = attrs.Factory(dict)
    to_end: list[str] = attrs.Factory(list)

    def hand(self, item: Item) -> None:
        assert isinstance(item, Held)
        self.world.started(item)
        self.running[item.token] = item

    def cancel(self, item: Item) -> None:
        self.to_end.append(item.token)

    def empty(self) -> None:
        raise AssertionError("it waits")


class World:
    """All of it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engine = LossyEngine(self.rng)
        self.now = 1000.0
        self.sites: list[Site] = []
        self.clients: list[Client] = []
        self.unnoticed: list[tuple[Site, Port]] = []
        self.runs: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.losses = 0
        self.names = 0
        self.log: list[str] = []
        self.engine.move_to(self.now)
        for _ in range(3):
            self.add_site()
        for number in range(4):
            client = Client(self, f"c{number}")
            self.clients.append(client)
            client.connect(self.rng.choice(self.sites))

    @property
    def model(self) -> Model:
        return self.engine.model(QUEUE)

    def add_site(self) -> None:
        self.names += 1
        terms = LeaseTerms(lease_s=LEASE_S, keep_s=60.0, max_attempts=MAX_ATTEMPTS)
        frontend = Frontend(self.engine, f"f{self.names}", [QUEUE], queue_max=LIMIT, terms=terms)
        site = Site(frontend)
        self.sites.append(site)
        for _ in range(self.rng.randrange(3)):
            self.add_backend(site)

    def add_backend(self, site: Site) -> None:
        backend = Backend(self, site)
        slots = self.rng.randint(1, 3)
        backend.worker = site.frontend.shared.attach(backend, QUEUE, self.now, slots=slots)
        site.backends.append(backend)

    def started(self, item: Held) -> None:
        if not self.losses:
            assert item.shared_id not in self.cancelled, "it runs though it was cancelled"
        assert item.attempts <= MAX_ATTEMPTS
        self.runs[item.shared_id] += 1

    # --- what may happen -----------------------------------------------------------------------

    def step(self) -> None:
        weights = {
            self.exchange: 60, self.request: 30, self.finish: 25, self.pass_time: 15,
            self.cancel: 3, self.crash_backend: 3, self.new_backend: 2, self.release: 2,
            self.client_reconnects: 4, self.notice: 6, self.freeze: 1, self.thaw: 3,
            self.crash_site: 1, self.drain_site: 1, self.lose_everything: 1, self.leave: 1,
        }  # fmt: skip
        (what,) = self.rng.choices(list(weights), list(weights.values()))
        self.log.append(what.__name__)
        what()

    def awake(self) -> list[Site]:
        return [site for site in self.sites if not site.frozen]

    def exchange(self) -> None:
        for site in self.awake():
            self.exchange_with(site)

    def exchange_with(self, site: Site) -> None:
        site.frontend.now = self.now
        try:
            site.frontend.shared.tick(self.now)
            site.frontend.step(QUEUE)
        except ConnectionError:
            if self.rng.random() < 0.5:
                site.frontend.shared.told(Connected(), self.now)

    def request(self) -> None:
        client = self.rng.choice(self.clients)
        if client.site is not None and not client.site.frozen:
            client.request()

    def finish(self) -> None:
        backends = [b for site in self.awake() for b in site.backends if b.running]
        if not backends:
            return
        backend = self.rng.choice(backends)
        token = next((t for t in backend.to_end if t in backend.running), None)
        reply = Reply(retcode=143, error="cancelled") if token else Reply(runtime_s=1.0)
        token = token or self.rng.choice(list(backend.running))
        del backend.running[token]
        found = backend.site.frontend.shared.finish(backend.worker, token, reply, self.now)
        assert found is not None

    def pass_time(self) -> None:
        self.now += self.rng.choice([0.1, 0.3, 1.0, 2.0])
        self.engine.move_to(self.now)

    def cancel(self) -> None:
        client = self.rng.choice(self.clients)
        if client.site is None or client.port is None or not client.port.items:
            return
        item = self.rng.choice(list(client.port.items.values()))
        client.pending[item.id] = True
        client.site.frontend.shared.cancel(item, self.now)

    def release(self) -> None:
        backends = [b for site in self.awake() for b in site.backends if b.running]
        if backends:
            backend = self.rng.choice(backends)
            token = self.rng.choice(list(backend.running))
            del backend.running[token]
            backend.site.frontend.shared.release(backend.worker, token, self.now)

    def crash_backend(self) -> None:
        backends = [b for site in self.awake() for b in site.backends]
        if backends:
            backend = self.rng.choice(backends)
            backend.site.backends.remove(backend)
            backend.running.clear()
            backend.site.frontend.shared.detach(backend.worker, "disconnect", self.now)

    def new_backend(self) -> None:
        self.add_backend(self.rng.choice(self.sites))

    def client_reconnects(self) -> None:
        client = self.rng.choice(self.clients)
        client.lose_connection(noticed=self.rng.random() < 0.5)
        client.connect(self.rng.choice(self.awake() or self.sites))

    def notice(self) -> None:
        """A frontend notices that a session is dead, maybe long after its client went on."""
        if self.unnoticed:
            site, port = self.unnoticed.pop(self.rng.randrange(len(self.unnoticed)))
            if site in self.sites:
                site.frontend.shared.client_gone(list(port.items.values()), self.now)

    def freeze(self) -> None:
        self.rng.choice(self.sites).frozen = True

    def thaw(self) -> None:
        for site in self.sites:
            site.frozen = False

    def crash_site(self) -> None:
        """SIGKILL: its backends' work is ended, its clients go elsewhere, nobody says goodbye."""
        site = self.rng.choice(self.sites)
        self.sites.remove(site)
        self.add_site()
        self.move_clients(site)

    def drain_site(self) -> None:
        """SIGTERM: clients are sent away, what runs is given back, and all is told."""
        site = self.rng.choice(self.sites)
        if site.frozen:
            return
        shared = site.frontend.shared
        shared.drain(self.now)
        self.exchange_with(site)
        for backend in site.backends:  # in their order, so that a seed always does the same
            shared.detach(backend.worker, "release", self.now)
        shared.give_up(self.now)
        shared.leave()
        for _ in range(self.rng.choice([0, 1, 50])):  # then it is killed, or has done
            self.exchange_with(site)
        self.sites.remove(site)
        self.add_site()
        self.move_clients(site)

    def move_clients(self, site: Site) -> None:
        for client in list(site.clients):
            client.lose_connection(noticed=False)
            client.connect(self.rng.choice(self.awake() or self.sites))

    def lose_everything(self) -> None:
        if self.rng.random() < 0.5:
            self.losses += 1
            self.model.lose_all()

    def leave(self) -> None:
        """A client goes for good; another one comes."""
        client = self.rng.choice(self.clients)
        client.lose_connection(noticed=self.rng.random() < 0.7)
        client.pending.clear()
        self.clients.remove(client)
        self.names += 1
        new = Client(self, f"n{self.names}")
        self.clients.append(new)
        new.connect(self.rng.choice(self.sites))

    # --- the end -------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more faults: everything comes to its end, in a bounded time."""
        self.engine.lossy = False
        self.thaw()
        while self.unnoticed:
            self.notice()
        for site in self.sites:
            self.add_backend(site)
            site.frontend.shared.told(Connected(), self.now)
        for _ in range(400):
            for site in self.sites:
                self.exchange_with(site)
                site.frontend.pump()
            while any(b.running for site in self.sites for b in site.backends):
                self.finish()
            self.now += 0.5
            self.engine.move_to(self.now)
            if not self.unfinished():
                return
        raise AssertionError(f"still unfinished: {self.unfinished()}")

    def unfinished(self) -> list[str]:
        return [
            *(f"{c.run}/{name} has no answer" for c in self.clients for name in c.pending),
            *(f"{i.id} {i.state} in the store" for i in self.model.line()),
            *(f"{i.id} {i.state} in the store" for i in self.model.running()),
            *(
                f"asked {name}"
                for s in self.sites
                for name in s.frontend.shared.shared[QUEUE].origin.asked
            ),
            *(
                f"held {name}"
                for s in self.sites
                for name in s.frontend.shared.shared[QUEUE].holder.held
            ),
        ]

    def check(self) -> None:
        for client in self.clients:
            assert set(client.answers.values()) <= {1}
        for site in self.sites:
            line = site.frontend.shared.shared[QUEUE]
            counters = line.queue.counters
            stored = sum(item.stored for item in line.origin.asked.values())
            assert counters.accepted == stored + sum(counters.completed.values())
            assert len(line.queue.waiting) == len(line.origin.asked) - stored
            assert line.queue.running == sum(len(b.running) for b in site.backends)


@pytest.mark.parametrize("block", range(10))
def test_every_request_has_one_reply(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        world = World(seed)
        try:
            for _ in range(STEPS):
                world.step()
                world.check()
            world.heal()
            world.check()
        except Exception as exc:
            raise AssertionError(f"seed {seed}, step {len(world.log)}: {world.log[-12:]}") from exc
