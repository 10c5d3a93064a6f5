"""A long time with peers that come and go; started by ``nox -s soak``."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.conftest import Options
from tests.faults.lab.audit import Sample
from tests.faults.lab.backends import PassingBackend
from tests.faults.lab.clients import Leaving, Target
from tests.faults.lab.faults import kill_backend, stop_backend
from tests.faults.lab.growth import grown, trend
from tests.faults.lab.processes import now
from tests.faults.lab.system import WORKERS, System, system

CYCLES, CYCLE_S = 12, (3.0, 60.0)
WAYS: list[Leaving] = ["close", "reset", "half-close"]
FRONTEND_BYTES, CLIENT_BYTES = 4 << 20, 64 << 20
"""What memory may grow by: pools of the allocator; the client's record of the run, which fills."""
TASKS = 6
"""By so many more tasks: two peers may just be coming or going."""


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("namespaces")
async def test_nothing_grows_with_time(
    options: Options, tell: Callable[[str], None], tmp_path: Path
) -> None:
    rng = random.Random(options.seed)
    end = now() + options.minutes * 60
    cycle_s = min(max(options.minutes * 60 / CYCLES, CYCLE_S[0]), CYCLE_S[1])
    async with system(tmp_path, options.seed, sessions=10) as made, trio.open_nursery() as nursery:
        passing = passing_backends(made, rng)
        for backend in passing:
            nursery.start_soon(backend.run)
        while now() < end or len(made.audit.samples[made.frontend.life]) < 7:
            await come_and_go(made, passing, rng, cycle_s)
            violations = await made.checked()
            assert not violations, "\n".join(map(str, violations))
            tell(line_of(made, passing))
        nursery.cancel_scope.cancel()
        flat = {made.frontend: FRONTEND_BYTES, made.measured[0].part: CLIENT_BYTES}
        for part, allowed in flat.items():
            check_flat(part.life, made.audit.samples[part.life], allowed, tell)
        await made.stop()


def passing_backends(made: System, rng: random.Random) -> list[PassingBackend]:
    """Backends by hand beside those that are processes."""

    async def connect() -> trio.SocketStream:
        return await made.net["work-2"].connect(made.net["frontend"].address, WORKERS)

    target = Target(connect, lambda: made.frontend.life)
    audit = made.audit
    return [
        PassingBackend(
            f"p{i}", target, random.Random(rng.random()),
            audit.note_start, audit.note_end, audit.may_release,
        )
        for i in range(4)
    ]  # fmt: skip


async def come_and_go(
    made: System, passing: list[PassingBackend], rng: random.Random, seconds: float
) -> None:
    """Let clients leave and backends pass for a while; sometimes one that is a process ends."""
    await made.load(on=True)
    for backend in passing:
        backend.working = True
    if rng.random() < 0.3:
        strike = rng.choice([kill_backend, stop_backend])
        await strike(made, rng)
    with trio.move_on_after(seconds):
        while True:
            await trio.sleep(rng.uniform(0.0, 0.1))
            await rng.choice(made.sessions).leave(rng.choice(WAYS))
    for backend in passing:
        backend.working = False


def line_of(made: System, passing: list[PassingBackend]) -> str:
    """What there is to tell of a cycle."""
    frontend = made.audit.samples[made.frontend.life][-1]
    client = made.audit.samples[made.measured[0].part.life][-1]
    visits = sum(b.visits for b in passing) + sum(c.sessions for c in made.sessions)
    return (
        f"{made.asked:7} requests, {visits:6} peers came and went; frontend "
        f"{frontend.resident_bytes / 2**20:.1f} MiB, {frontend.descriptors} descriptors, "
        f"{frontend.tasks} tasks for {frontend.peers} peers; "
        f"client {client.resident_bytes / 2**20:.1f} MiB"
    )


def check_flat(life: str, samples: list[Sample], allowed: int, tell: Callable[[str], None]) -> None:
    """A process uses no more at the end than at the beginning."""
    memory = trend([s.at for s in samples], [s.resident_bytes for s in samples])
    descriptors = grown([sample.descriptors for sample in samples])
    tasks = grown([sample.tasks for sample in samples])
    tell(
        f"{life}: {memory / 2**20:+.1f} MiB ({allowed >> 20} allowed), "
        f"{descriptors:+.0f} descriptors, {tasks:+.0f} tasks"
    )
    assert memory <= allowed
    assert descriptors <= 0
    assert tasks <= TASKS
