"""All parts of scalab on a network of their own, under load, and the audit of what they did."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import trio

from .audit import SETTLED_S, Audit, Measured
from .clients import ClassicClient, SessionClient, Target
from .history import History, Violation
from .network import Network, network
from .pages import Page
from .processes import SCALAB, Lab, Part, laboratory, now, until
from .workload import RunLog

HEARTBEAT_S = 0.5
LOST_AFTER_S = 3 * HEARTBEAT_S
MAX_ATTEMPTS = 3
CLIENTS, WORKERS, HTTP, BACKEND_HTTP, CONTROL = 9997, 9999, 9998, 9990, 9996
ROWS = 20_000
"""Ids that a client of scalab has in its scenario; after the last it begins again."""


class RawClient(Protocol):
    """A client that keeps a history."""

    sending: bool

    @property
    def idle(self) -> bool:
        """Whether nothing is pending."""

    async def run(self) -> None:
        """Run until cancelled."""


class System:
    """One frontend, three backends, two clients of scalab, and some with a history."""

    def __init__(self, lab: Lab, net: Network, rng: random.Random, sessions: int) -> None:
        self.lab, self.net, self.rng = lab, net, rng
        self.history = History()
        self.run_log = RunLog(lab.directory / "runs")
        self.frontend = self._frontend()
        self.backends = [
            self._backend("backend-a", "work-1", 0, "wait", "--slots", "4"),
            self._backend(
                "backend-b", "work-1", 1, "backoff", "--classic", "--slots", "2",
                "--backoff", "0.05", "--backoff-max", "0.2",
            ),
            self._backend(
                "backend-c", "work-2", 2, "backoff", "--slots", "4",
                "--backoff", "0.05", "--backoff-max", "0.2",
            ),
        ]  # fmt: skip
        self.measured = [
            self._client("client-a", 0, parallel=4),
            self._client("client-b", 1, parallel=2, classic=True),
        ]
        pages = {self.frontend: Page(net["eye"], net["frontend"].address, HTTP)}
        for number, backend in enumerate(self.backends):
            assert backend.host is not None
            pages[backend] = Page(net["eye"], backend.host.address, BACKEND_HTTP + number)
        self.audit = Audit(
            lab, self.history, self.run_log, self.frontend, pages, self.measured, MAX_ATTEMPTS
        )
        target = Target(self._connect, lambda: self.frontend.life)
        self.sessions = [
            SessionClient(f"r{i}", self.history, target, random.Random(rng.random()))
            for i in range(sessions)
        ]
        classic = ClassicClient("k", self.history, target, random.Random(rng.random()))
        self.raw: list[RawClient] = [*self.sessions, classic]

    # --- parts ---------------------------------------------------------------------------------

    def _frontend(self) -> Part:
        host = self.net["frontend"]
        args = [*SCALAB, "frontend", "q", "--heartbeat", str(HEARTBEAT_S), "--grace", "2"]
        ports = {"client": CLIENTS, "worker": WORKERS, "metrics": HTTP}
        for name, port in ports.items():
            args += [f"--{name}-addr", f"{host.address}:{port}"]
        return self.lab.part("frontend", args, host=host, ready="frontend is ready")

    def _backend(self, name: str, host: str, number: int, when_empty: str, *options: str) -> Part:
        at = self.net[host]
        args = [
            *SCALAB, "backend", "--frontend", f"{self.net['frontend'].address}:{WORKERS}",
            "--queue", "q", "--when-empty", when_empty, "--grace", "1", "--kill-grace", "1",
            "--metrics-addr", f"{at.address}:{BACKEND_HTTP + number}", *options, "--",
            *self.run_log.command,
        ]  # fmt: skip
        env = {"NODE_NAME": host, "POD_NAME": name}
        return self.lab.part(name, args, host=at, ready="backend starts", env=env)

    def _client(self, name: str, number: int, *, parallel: int, classic: bool = False) -> Measured:
        at = self.net["load-1"]

        def args(life: int) -> list[str]:
            path = self.lab.directory / f"{name}.{life}.toml"
            ids = ", ".join(f'"{name}.{life}-{i}"' for i in range(1, ROWS + 1))
            path.write_text(
                f"[load]\nparallel = {parallel}\n[[queues]]\nname = 'q'\n"
                f"args = ['{{item}}', '0.03']\n"
                f"draw = {{ list = [{ids}], order = 'sequence' }}\n"
            )
            return [
                *SCALAB, "client", "--scenario", str(path), "--no-live",
                "--frontend", f"{self.net['frontend'].address}:{CLIENTS}",
                "--control-addr", f"{at.address}:{CONTROL + number}",
                *(["--classic"] if classic else []),
            ]  # fmt: skip

        part = self.lab.part(name, args, host=at, ready="client is ready")
        page = Page(self.net["eye"], at.address, CONTROL + number)
        return Measured(part, page, parallel, classic)

    async def _connect(self) -> trio.SocketStream:
        return await self.net["load-2"].connect(self.net["frontend"].address, CLIENTS)

    async def start(self, nursery: trio.Nursery) -> None:
        """Start all parts, and the clients with a history."""
        await self.frontend.start()
        self.audit.begin()
        for part in [*self.backends, *(client.part for client in self.measured)]:
            await part.start()
        for client in self.raw:
            nursery.start_soon(client.run)

    async def stop(self) -> None:
        """Let all parts end in good order, the frontend last; nothing may be left of them."""
        for part in [*(client.part for client in self.measured), *self.backends, self.frontend]:
            await part.stop()
        assert not self.lab.tracebacks()
        await until(lambda: not self.lab.left_over(), "everything has ended")
        assert not self.lab.temporary_files()

    @property
    def asked(self) -> int:
        """Requests so far, of all clients."""
        return self.history.outcomes().total() + self.audit.figures.theirs.total()

    @property
    def others(self) -> list[str]:
        """The hosts that talk with the frontend."""
        return ["work-1", "work-2", "load-1", "load-2"]

    # --- load ----------------------------------------------------------------------------------

    async def load(self, on: bool) -> None:
        """Let all clients make requests, or no new ones."""
        for raw in self.raw:
            raw.sending = on
        for client in self.measured:
            status, _ = await client.page.get("/resume" if on else "/pause")
            assert status == 200

    def unanswered(self) -> set[str]:
        """Return the requests that are pending now, of the clients with a history."""
        return {request.id for request in self.history.pending}

    async def answered(self, pending: set[str]) -> None:
        """Wait until requests are answered, though the fault goes on."""
        await until(
            lambda: not pending & self.unanswered(), f"these, in spite of it: {pending}",
            within_s=SETTLED_S,
        )  # fmt: skip

    async def recovered(self) -> float:
        """Wait until all that was pending is answered, and something that was asked since.

        Returns:
            How long that took, in seconds.
        """
        began, pending = now(), self.unanswered()
        requests = self.history.requests

        def done() -> bool:
            newer = takewhile(lambda request: request.at >= began, reversed(requests.values()))
            return not any(requests[i].pending for i in pending) and any(
                answer.outcome == "success" for r in newer for answer in r.answers
            )

        await until(done, f"recovery: {pending & self.unanswered()}", within_s=SETTLED_S)
        return now() - began

    async def checked(self) -> list[Violation]:
        """Stop the load, see everything through, and return what is wrong."""
        await self.load(on=False)
        await until(lambda: all(raw.idle for raw in self.raw), "all are answered")
        return await self.audit.check()


@asynccontextmanager
async def system(directory: Path, seed: int, *, sessions: int = 3) -> AsyncIterator[System]:
    """All parts, started; whatever happens, nothing is left running.

    Args:
        directory: For scenarios and the log of runs.
        seed: Of all that is drawn.
        sessions: How many clients with a history have a session; one more is classic.
    """
    rng = random.Random(seed)
    async with (
        network("frontend", "work-1", "work-2", "load-1", "load-2", "eye", seed=seed) as net,
        laboratory(directory) as lab,
    ):
        made = System(lab, net, rng, sessions)
        async with trio.open_nursery() as nursery:
            await made.start(nursery)
            yield made
            nursery.cancel_scope.cancel(reason="the test is over")
