"""Several frontends as real processes, the store that they share, and clients with a history."""

from __future__ import annotations

import random
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Protocol

import attrs
import trio

from scalab.runtime.net import Address
from tests.faults.lab.clients import ClassicClient, SessionClient, Target
from tests.faults.lab.history import REJECTED, Account, History, Violation, accounts
from tests.faults.lab.pages import by_label
from tests.faults.lab.processes import SCALAB, Lab, Part, laboratory, now, until
from tests.faults.lab.proxy import Proxy, proxy
from tests.faults.lab.workload import RunLog
from tests.sharedqueue.servers import RedisServer
from tests.support import Http

QUEUE = "q"
HEARTBEAT_S = 0.5
LEASE_S = 2.0
MAX_ATTEMPTS = 3
SETTLED_S = 60.0
"""In which everything must have been answered once nothing is wrong any more."""
BACKENDS = (2, 1, 1)
"""At each frontend."""
SLOTS = 3


@contextmanager
def ports_to_keep(count: int) -> Iterator[list[int]]:
    """So many free ports, whose owners may go away and come back.

    The system gives them to no connection, and this function to nobody else meanwhile, in whatever
    process: a UDP socket of the same number says that they are taken.
    """
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(20_000, 32_000)
            mark = socket.socket(type=socket.SOCK_DGRAM)
            try:
                mark.bind(("127.0.0.1", port))
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            except OSError:
                mark.close()
            else:
                stack.enter_context(mark)
                ports.append(port)
        yield ports


@contextmanager
def server_to_keep(program: str, *options: str) -> Iterator[RedisServer]:
    """A server that comes back on its port; ``start_store`` starts it."""
    with tempfile.TemporaryDirectory(prefix="scalab") as folder, ports_to_keep(1) as (port,):
        server = RedisServer(Path(folder), program, *options)
        server.port = port
        try:
            yield server
        finally:
            server.kill()


async def start_store(server: RedisServer) -> None:
    """Start a server, and wait until it answers."""
    # Not in a thread: it is to end with whoever started it, and threads come and go.
    server.launch()
    assert await trio.to_thread.run_sync(server.answers), (server.folder / "log").read_text()


class RawClient(Protocol):
    """A client that keeps a history."""

    sending: bool

    @property
    def idle(self) -> bool: ...


@attrs.define(eq=False)
class Site:
    """A frontend, its way to the store, and its backends."""

    part: Part
    client_port: int
    worker_port: int
    http: Http
    way: Proxy
    backends: list[Part] = attrs.Factory(list)

    @property
    def parts(self) -> list[Part]:
        return [self.part, *self.backends]


class Choice:
    """A frontend that a client chooses anew for each session, as behind a Service."""

    def __init__(self, sites: list[Site], rng: random.Random) -> None:
        self._sites = sites
        self._rng = rng
        self._site = rng.choice(sites)
        self._used = False

    def life(self) -> str:
        """Asked before each session whom it is with, and once more when it has begun."""
        if self._used:
            self._used = False
        else:
            self._site = self._rng.choice(self._sites)
        return self._site.part.life

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self._site.client_port)
        self._used = True
        return stream


class Cluster:
    """The whole system, under load."""

    def __init__(
        self, lab: Lab, server: RedisServer, rng: random.Random, stack: AsyncExitStack
    ) -> None:
        self.lab, self.server, self.rng = lab, server, rng
        self.stack = stack
        """What has to be closed at the end."""
        self.history = History()
        self.run_log = RunLog(lab.directory / "runs")
        self.sites: list[Site] = []
        self.clients: list[SessionClient] = []
        self.classic: list[ClassicClient] = []
        self.losses = 0
        """Times that the store may have lost data since the last audit."""
        self.releases = 0
        """Runs that may have been given back since then, which don't count as attempts."""
        self.figures: Counter[str] = Counter()
        self._kept: dict[str, Account] = {}
        self._excused: set[str] = set()
        """Requests of the last round, if the store may have lost data in it."""

    def add_site(self, number: int, way: Proxy) -> None:
        """Add a frontend."""
        ports = self.stack.enter_context(ports_to_keep(3))
        name, at = f"frontend-{number}", [f"127.0.0.1:{port}" for port in ports]
        args = [
            *SCALAB, "frontend", QUEUE, "--store", f"redis://127.0.0.1:{way.port}",
            "--lease", str(LEASE_S), "--heartbeat", str(HEARTBEAT_S), "--grace", "2",
            "--client-addr", at[0], "--worker-addr", at[1], "--metrics-addr", at[2],
        ]  # fmt: skip
        part = self.lab.part(name, args, ready="frontend is ready")
        site = Site(part, ports[0], ports[1], Http(Address("127.0.0.1", ports[2])), way)
        for i in range(BACKENDS[number]):
            classic = ["--classic", "--slots", "2"] if number == 2 else ["--slots", str(SLOTS)]
            backend = [
                *SCALAB, "backend", "--frontend", at[1], "--queue", QUEUE, "--when-empty",
                "backoff" if number else "wait", "--backoff", "0.05", "--backoff-max", "0.2",
                "--grace", "1", "--kill-grace", "1", "--metrics-addr", "127.0.0.1:0", *classic,
                "--", *self.run_log.command,
            ]  # fmt: skip
            env = {"NODE_NAME": f"node-{number}", "POD_NAME": f"backend-{number}-{i}"}
            site.backends.append(
                self.lab.part(f"backend-{number}-{i}", backend, ready="backend starts", env=env)
            )
        self.sites.append(site)

    def add_clients(self, nursery: trio.Nursery) -> None:
        """Start sessions, some of which frontends know again, and a classic client."""
        for i in range(6):
            name = f"c{i}"
            choice = Choice(self.sites, random.Random(self.rng.random()))
            client = SessionClient(
                name, self.history, Target(choice.connect, choice.life, QUEUE),
                random.Random(self.rng.random()), run_name=f"run{i}" if i < 4 else "",
            )  # fmt: skip
            self.clients.append(client)
            nursery.start_soon(client.run)
        choice = Choice(self.sites, random.Random(self.rng.random()))
        classic = ClassicClient(
            "k", self.history, Target(choice.connect, choice.life, QUEUE),
            random.Random(self.rng.random()), parallel=1,
        )  # fmt: skip
        self.classic.append(classic)
        nursery.start_soon(classic.run)

    @property
    def everybody(self) -> list[RawClient]:
        """All clients."""
        return [*self.clients, *self.classic]

    async def start(self) -> None:
        """Start all processes."""
        async with trio.open_nursery() as nursery:
            for site in self.sites:
                nursery.start_soon(site.part.start)
        async with trio.open_nursery() as nursery:
            for site in self.sites:
                for backend in site.backends:
                    nursery.start_soon(backend.start)

    def load(self, *, on: bool) -> None:
        """Have clients make requests, or see through those that they have made."""
        for client in self.everybody:
            client.sending = on

    async def settle(self) -> float:
        """Wait until every request has an answer; return how long that took."""
        began = now()
        self.load(on=False)

        try:
            await until(lambda: all(c.idle for c in self.everybody), "", within_s=SETTLED_S)
        except AssertionError:
            waiting = [request.id for request in self.history.pending][:10]
            text = f"not within {SETTLED_S:g} s: answers to {waiting}; {self.store_state()}"
            raise AssertionError(text) from None
        return now() - began

    def store_state(self) -> str:
        """Whether the store runs, and what it logged last."""
        process = self.server.process
        code = "away" if process is None else process.poll()
        last = (self.server.folder / "log").read_text(errors="replace").splitlines()[-40:]
        return "\n".join(["the store runs" if code is None else f"the store ended: {code}", *last])

    async def audit(self) -> list[Violation]:
        """Compare what clients, workload and frontends say; then begin anew."""
        self.run_log.read(self.history.started, self.history.ended)
        allowed = 10_000 if self.losses else self.releases
        found = self.history.violations(max_attempts=MAX_ATTEMPTS, releases=allowed)
        # What was lost, or comes back as old data do, may run again, also after its end, and also
        # in the next round; but never is anything told twice.
        if self.losses:
            found = [v for v in found if v.invariant not in ("I3", "I6") and "runs" not in v.text]
        else:
            found = [v for v in found if v.id not in self._excused or "runs" not in v.text]
        got = accounts(self.history)
        self.figures.update(self.history.outcomes() - self.history.settled)
        self._excused = set(self.history.requests) if self.losses else set()
        self.history.settle()
        self.losses = self.releases = 0
        return found + await self._accounts(got)

    async def _accounts(self, got: dict[str, Account]) -> list[Violation]:
        """Compare what clients got from each frontend with what it has counted."""
        found = []
        for life, account in got.items():
            self._kept.setdefault(life, Account()).add(account)
        for site in self.sites:
            metrics = await site.http.metrics()
            counted = by_label(metrics, "scalab_queue_items_completed_total", "outcome")
            rejected = by_label(metrics, "scalab_queue_items_rejected_total", "reason")
            counted[REJECTED] = rejected.total()
            if site.part.life in self._kept:
                found += self._kept[site.part.life].violations(counted, site.part.life)
        return found

    async def stop(self) -> None:
        """Let all processes end in good order; nothing may be left of them."""
        async with trio.open_nursery() as nursery:
            for site in self.sites:
                for backend in site.backends:
                    nursery.start_soon(backend.stop, SIGTERM)
        async with trio.open_nursery() as nursery:
            for site in self.sites:
                nursery.start_soon(site.part.stop, SIGTERM)
        assert not self.lab.tracebacks()
        await until(lambda: not self.lab.left_over(), f"left over: {self.lab.left_over()}")


@asynccontextmanager
async def cluster(
    directory: Path, seed: int, program: str, *, persistent: bool
) -> AsyncIterator[Cluster]:
    """All of it, with requests on their way.

    Args:
        directory: For the logs.
        seed: Of clients and proxies.
        program: The store's.
        persistent: Whether it writes to disk.
    """
    rng = random.Random(seed)
    aof = ("--appendonly", "yes" if persistent else "no", "--appendfsync", "everysec")
    fast = ("--busy-reply-threshold", "200", "--repl-diskless-sync-delay", "0")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(server_to_keep(program, *aof, *fast))
        await start_store(server)
        lab = await stack.enter_async_context(laboratory(directory))
        made = Cluster(lab, server, rng, stack)
        for number in range(len(BACKENDS)):
            way = await stack.enter_async_context(proxy("127.0.0.1", server.port, seed=seed))
            made.add_site(number, way)
        await made.start()
        async with trio.open_nursery() as clients:
            made.add_clients(clients)
            yield made
            clients.cancel_scope.cancel(reason="the test is over")
        await made.stop()
