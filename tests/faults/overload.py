"""Far more than can be served: work, connections, and both; started by ``nox -s faults``."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from tests.faults.lab.processes import now
from tests.support import FrontendProcess, Json, Wire, processes

PATIENCE_S = 120.0
SLOTS, RUN_S = 20, 0.1
CAPACITY = SLOTS / RUN_S
"""Runs per second that the workers can do."""
LIMIT = 50
FAIR = 0.25
"""Share of what it could get that a well-behaved client must get, on a machine that is shared."""


class Asker:
    """A client's session that asks at a rate, or keeps some requests in flight."""

    def __init__(self, name: str, queue: str, wire: Wire) -> None:
        self.name, self.queue = name, queue
        self.outcomes: Counter[str] = Counter()
        self.errors: set[str] = set()
        self.sent = 0
        self._wire = wire

    async def keep(self, parallel: int) -> None:
        """Keep requests in flight until cancelled; after a refusal, wait a moment."""
        for _ in range(parallel):
            await self._ask()
        while True:
            await self._answer()
            await self._ask()

    async def flood(self, per_s: float) -> None:
        """Send at a rate until cancelled, whatever comes back."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answers)
            began = now()
            while True:
                for _ in range(int((now() - began) * per_s) - self.sent):
                    await self._ask()
                await trio.sleep(0.01)

    async def _answers(self) -> None:
        while True:
            await self._answer()

    async def _answer(self) -> None:
        reply = await self._wire.next("reply")
        self.outcomes[reply["Outcome"]] += 1
        if reply["Outcome"] == "rejected":
            self.errors.add(reply["Error"])

    async def _ask(self) -> None:
        self.sent += 1
        fields = {"Id": f"{self.name}-{self.sent}", "Queue": self.queue, "Args": [str(RUN_S)]}
        await self._wire.frame("request", **fields)


async def test_ten_times_the_work(tell: Callable[[str], None]) -> None:
    """The bound holds, refusals say why, workers are kept busy, and another queue is served."""
    seconds = 5.0
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend("other", "--queue-max", str(LIMIT))
        await started.backend(frontend, "sleep", slots=str(SLOTS))
        await started.backend(frontend, "sleep", queue="other", slots="2")
        flood = Asker("flood", "q", await frontend.client())
        other = Asker("other", "other", await frontend.client())
        waiting = 0
        began = now()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood.flood, 10 * CAPACITY)
                nursery.start_soon(other.keep, 2)
                while True:
                    waiting = max(waiting, (await frontend.queue())["waiting"])
                    await trio.sleep(0.1)
        took_s = now() - began
        queue = await frontend.queue()
    done, quiet = flood.outcomes["success"] / took_s, other.outcomes["success"] / took_s
    tell(
        f"\n10 x the work: {flood.sent / took_s:.0f}/s asked, {done:.0f}/s done of {CAPACITY:.0f}, "
        f"{flood.outcomes['rejected']} refused, at most {waiting} waited; "
        f"beside it another queue {quiet:.0f}/s of 20"
    )
    assert waiting <= LIMIT
    assert queue["rejected"]["full"] >= flood.outcomes["rejected"] > 0
    assert flood.errors == {f"queue 'q' is full: {LIMIT} items wait, the limit"}
    assert done > FAIR * CAPACITY
    assert quiet > FAIR * 20
    assert set(flood.outcomes) == {"success", "rejected"}
    assert set(other.outcomes) == {"success"}


async def test_a_queue_that_nobody_works_for(tell: Callable[[str], None]) -> None:
    """A jammed queue costs the others nothing."""
    async with processes(patience_s=PATIENCE_S) as started:
        frontend = await started.frontend("jammed")
        await started.backend(frontend, "sleep", slots="2")
        jam = await frontend.client()
        for number in range(20_000):
            await jam.frame("request", Id=str(number), Queue="jammed")
        await jam.in_line()
        other = Asker("other", "q", await frontend.client())
        with trio.move_on_after(2):
            await other.keep(2)
        assert (await frontend.queue("jammed"))["waiting"] == 20_000
    tell(f"20000 wait in a jammed queue; the other one did {other.outcomes['success'] / 2:.0f}/s")
    assert other.outcomes["success"] > FAIR * 2 * 20


@contextmanager
def room_for(files: int) -> Iterator[None]:
    """Let this process open so many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert before[1] == resource.RLIM_INFINITY or before[1] >= files
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_5000_connections_and_a_flood_of_more(tell: Callable[[str], None]) -> None:
    """Those over the limit are told so; who is connected is served, and who comes later, too."""
    held = 5000
    with room_for(6000):
        async with processes(patience_s=PATIENCE_S) as started:
            frontend = await started.frontend("--max-connections", str(held), "--heartbeat", "60")
            await started.backend(frontend, "sleep", slots="4")
            client = Asker("client", "q", await frontend.client())
            wires = [await frontend.client() for _ in range(held - 2)]
            began = now()
            with trio.move_on_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.keep, 4)
                    for _ in range(8):
                        nursery.start_soon(knock, frontend)
                    await trio.sleep_forever()
            took_s = now() - began
            refused = await refusals(frontend)
            for wire in wires[:10]:
                await wire.aclose()
            await until_room(frontend, held - 10)
            replies = await asked(await frontend.client())
            metrics = await frontend.metrics()
    rate = client.outcomes["success"] / took_s
    tell(
        f"{held} connections, {refused} more refused in {took_s:.0f} s: "
        f"the client that is in is served {rate:.0f}/s of 40; frontend "
        f"{metrics['process_resident_memory_bytes'] / 2**20:.0f} MiB"
    )
    assert refused > 100
    assert set(client.outcomes) == {"success"}
    assert rate > FAIR * 40
    assert [reply["Outcome"] for reply in replies] == ["success"]


async def knock(frontend: FrontendProcess) -> None:
    """Connect again and again, and go when turned away."""
    while True:
        try:
            address = frontend.bound.clients
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                with trio.move_on_after(1):
                    await stream.receive_some(1000)
        except (OSError, trio.BrokenResourceError):
            await trio.sleep(0.01)


async def refusals(frontend: FrontendProcess) -> int:
    """How many connections were turned away, for whatever reason."""
    name = "scalab_connections_refused_total"
    return int(sum(v for k, v in (await frontend.metrics()).items() if k.startswith(name)))


async def until_room(frontend: FrontendProcess, most: int) -> None:
    """Wait until there are not more connections than that."""
    while True:
        metrics = await frontend.metrics()
        if sum(v for k, v in metrics.items() if k.startswith("scalab_connections{")) <= most:
            return
        await trio.sleep(0.05)


async def asked(wire: Wire) -> list[Json]:
    """Have one request answered."""
    await wire.frame("request", Id="late", Queue="q", Args=["0"])
    return [await wire.next("reply")]
