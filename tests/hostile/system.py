"""A system of real processes that does its work while it is attacked, and what must hold of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT

import attrs
import trio

from scalab.runtime.net import Address
from tests.support import FrontendProcess, Http, Process, address_of, processes, promptly

GROWTH_MIB = 16.0
"""Memory that a process may grow by once it has seen a good part of all inputs."""

_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<level>info|warning|error) +(?P<event>[^=\"]*?)"
    r"(?:  \w+=.*)?"
)


@attrs.frozen
class Footprint:
    """What a process has of the machine."""

    files: int
    memory_mib: float

    @classmethod
    def of(cls, process: Process) -> Footprint:
        """Read it from the kernel."""
        proc = Path(f"/proc/{process.process.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return cls(len(list((proc / "fd").iterdir())), pages * 4096 / 2**20)


@attrs.define
class System:
    """A frontend, a backend and a client for the queue ``good``; attackers get ``q``."""

    frontend: FrontendProcess
    backend: Process
    client: Process
    control: Address
    backend_http: Address

    @property
    def processes(self) -> dict[str, Process]:
        """All of them by name."""
        return {
            "frontend": self.frontend.process, "backend": self.backend, "client": self.client,
        }  # fmt: skip

    async def quiet(self) -> dict[str, Footprint]:
        """Wait until the attackers' connections are gone; tell what each process has then."""
        bound = self.frontend.bound
        await self._only_ours(Http(bound.metrics))
        while True:
            queue = await self.frontend.queue("q")
            if queue["waiting"] == queue["running"] == 0:
                break
            await trio.sleep(0.05)
        return {name: Footprint.of(process) for name, process in self.processes.items()}

    async def _only_ours(self, http: Http) -> None:
        while True:
            metrics = await http.metrics()
            left = [
                metrics[f'scalab_connections{{role="{role}"}}'] for role in ("client", "backend")
            ]
            if left == [1, 1]:
                return
            await trio.sleep(0.05)

    async def serves(self) -> None:
        """A normal request is served in the normal time, on each port."""
        with promptly():
            backend = await self.frontend.backend("q")
            client = await self.frontend.client()
            await client.frame("request", Id="1", Queue="q", Args=["x"])
            item = await backend.next("item")
            await backend.frame("reply", Id=item["Id"], Runtime=0.1)
            reply = await client.next("reply")
            assert (reply["Id"], reply["Outcome"]) == ("1", "success")
            await client.aclose()
            await backend.aclose()
        for address in (self.frontend.bound.metrics, self.control, self.backend_http):
            with promptly():
                status, _ = await Http(address).get("/readyz")
                assert status == 200

    async def good_work(self) -> tuple[float, float]:
        """Requests of our own client that went well, and that failed."""
        metrics = await Http(self.control).metrics()
        ended = {
            n: v for n, v in metrics.items() if n.startswith("scalab_client_requests_ended_total")
        }
        well = sum(value for name, value in ended.items() if 'outcome="success"' in name)
        return well, sum(ended.values()) - well

    def check_logs(self) -> int:
        """See that each line of the logs is one record, and none tells of a defect."""
        count = 0
        for name, process in self.processes.items():
            for line in process.log:
                match = _LINE.fullmatch(line)
                assert match, f"{name}: {line!r}"
                assert line.isprintable(), f"{name}: {line!r}"
                assert match["level"] != "error", f"{name}: {line!r}"
                count += 1
        return count


@asynccontextmanager
async def running(patience_s: float) -> AsyncIterator[System]:
    """Start a system; at the end it must stop by itself, in good order."""
    http = "127.0.0.1:0"
    async with processes(patience_s) as started:
        frontend = await started.frontend("good")
        # A port that is free now: a backend doesn't tell which one it got.
        port = await _free_port()
        backend = await started.backend(
            frontend, "sleep", queue="good", metrics_addr=f"127.0.0.1:{port}", slots="2"
        )
        client = await started.client(
            frontend, "0.01", queue="good", parallel="2", parallel_max="2", control_addr=http,
            no_live="",
        )  # fmt: skip
        control = address_of(await client.line("client is ready"), "page")
        yield System(frontend, backend, client, control, Address("127.0.0.1", port))
        for process in (client, backend, frontend.process):
            process.signal(SIGINT)
            assert await process.ended() == 0


async def _free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port: int = listener.socket.getsockname()[1]
        return port
