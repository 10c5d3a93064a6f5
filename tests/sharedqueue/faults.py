"""Faults at random moments, to frontends that share their queues and to the store between them.

Started by ``nox -s shared``; each seed is a cluster of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any

import attrs
import pytest
import trio

from scalab.redis.resp import ReplyError
from tests.faults.lab.clients import Leaving
from tests.faults.lab.processes import Part
from tests.sharedqueue.cluster import (
    LEASE_S,
    SLOTS,
    Cluster,
    Site,
    cluster,
    server_to_keep,
    start_store,
)
from tests.sharedqueue.servers import PROGRAMS

SEEDS = int(os.environ.get("SCALAB_SHARED_SEEDS") or 20)
FIRST = int(os.environ.get("SCALAB_SHARED_SEED") or 1)
ROUNDS = int(os.environ.get("SCALAB_SHARED_ROUNDS") or 6)
ONLY = os.environ.get("SCALAB_SHARED_ONLY") or ""
"""Of the faults, those whose names have this in them."""

Strike = Callable[[Cluster, random.Random], Awaitable[str]]
LEAVING: tuple[Leaving, ...] = ("close", "reset", "half-close", "silent")


@attrs.frozen
class Kind:
    """A fault by its name."""

    strike: Strike
    weight: int = 1
    loses: bool = False
    """The store may lose data."""

    @property
    def name(self) -> str:
        return self.strike.__name__


# --- frontends and backends ----------------------------------------------------------------------


async def _restart(part: Part, rng: random.Random) -> None:
    await trio.sleep(rng.choice([0.0, rng.uniform(0.1, 1.5)]))
    await part.start()


def _site(cluster: Cluster, rng: random.Random) -> Site:
    return rng.choice(cluster.sites)


async def kill_frontend(cluster: Cluster, rng: random.Random) -> str:
    """SIGKILL, with leases held and clients that wait."""
    site = _site(cluster, rng)
    await site.part.kill()
    await _restart(site.part, rng)
    return site.part.name


async def drain_frontend(cluster: Cluster, rng: random.Random) -> str:
    """SIGTERM: it sends its clients away, and gives back what it has."""
    site = _site(cluster, rng)
    cluster.releases += SLOTS * len(site.backends)
    await site.part.stop(SIGTERM)
    await _restart(site.part, rng)
    return site.part.name


async def freeze_frontend(cluster: Cluster, rng: random.Random) -> str:
    """SIGSTOP, for longer than a lease or not."""
    site = _site(cluster, rng)
    seconds = rng.uniform(*rng.choice([(0.2, 0.8 * LEASE_S), (1.3 * LEASE_S, 2.2 * LEASE_S)]))
    site.part.signal(SIGSTOP)
    await trio.sleep(seconds)
    site.part.signal(SIGCONT)
    return f"{site.part.name} for {seconds:.1f} s"


async def kill_backend(cluster: Cluster, rng: random.Random) -> str:
    """SIGKILL, in the middle of its runs."""
    part = rng.choice(_site(cluster, rng).backends)
    await part.kill()
    await _restart(part, rng)
    return part.name


async def stop_backend(cluster: Cluster, rng: random.Random) -> str:
    """SIGTERM: it finishes or gives back."""
    part = rng.choice(_site(cluster, rng).backends)
    cluster.releases += SLOTS
    await part.stop(SIGTERM)
    await _restart(part, rng)
    return part.name


async def clients_leave(cluster: Cluster, rng: random.Random) -> str:
    """Some clients go away, in every way that there is."""
    for _ in range(rng.randint(1, 4)):
        await rng.choice(cluster.clients).leave(rng.choice(LEAVING))
        await trio.sleep(rng.uniform(0.0, 0.3))
    return ""


# --- the store -----------------------------------------------------------------------------------


async def kill_store(cluster: Cluster, rng: random.Random) -> str:
    """SIGKILL: what was not on disk is lost."""
    cluster.server.kill()
    seconds = rng.choice([0.0, rng.uniform(0.2, 3.0), rng.uniform(2.0, 5.0)])
    await trio.sleep(seconds)
    await start_store(cluster.server)
    return f"for {seconds:.1f} s"


async def freeze_store(cluster: Cluster, rng: random.Random) -> str:
    """SIGSTOP."""
    seconds = rng.uniform(0.2, 2.5 * LEASE_S)
    with cluster.server.frozen():
        await trio.sleep(seconds)
    return f"for {seconds:.1f} s"


async def _ask(cluster: Cluster, *words: Any) -> None:
    with suppress(OSError, ReplyError):
        await trio.to_thread.run_sync(lambda: cluster.server.ask(*words))


async def lose_everything(cluster: Cluster, rng: random.Random) -> str:
    """FLUSHALL."""
    times = rng.randint(1, 2)
    for _ in range(times):
        await _ask(cluster, "FLUSHALL")
        await trio.sleep(rng.uniform(0.0, 1.0))
    return f"{times} times"


async def forget_scripts(cluster: Cluster, rng: random.Random) -> str:
    """SCRIPT FLUSH, and all connections cut."""
    await _ask(cluster, "SCRIPT", "FLUSH")
    await trio.sleep(rng.uniform(0.0, 0.5))
    await _ask(cluster, "CLIENT", "KILL", "TYPE", "normal")
    await _ask(cluster, "CLIENT", "KILL", "TYPE", "pubsub")
    return ""


async def pause_clients(cluster: Cluster, rng: random.Random) -> str:
    """CLIENT PAUSE."""
    ms = rng.randint(300, 4000)
    await _ask(cluster, "CLIENT", "PAUSE", ms, rng.choice(["ALL", "WRITE"]))
    await trio.sleep(ms / 1000)
    return f"for {ms} ms"


async def no_memory(cluster: Cluster, rng: random.Random) -> str:
    """Not a byte more than there is."""
    await _ask(cluster, "CONFIG", "SET", "maxmemory", "1")
    await trio.sleep(rng.uniform(0.5, 3.0))
    await _ask(cluster, "CONFIG", "SET", "maxmemory", "0")
    return ""


async def read_only(cluster: Cluster, rng: random.Random) -> str:
    """It becomes the replica of a server that isn't there, and a primary again."""
    await _ask(cluster, "REPLICAOF", "127.0.0.1", 1)
    await trio.sleep(rng.uniform(0.5, 3.0))
    await _ask(cluster, "REPLICAOF", "NO", "ONE")
    return ""


async def not_allowed(cluster: Cluster, rng: random.Random) -> str:
    """Scripts are forbidden for a while."""
    await _ask(cluster, "ACL", "SETUSER", "default", "-eval", "-evalsha")
    await trio.sleep(rng.uniform(0.5, 2.5))
    await _ask(cluster, "ACL", "SETUSER", "default", "+@all")
    return ""


async def busy(cluster: Cluster, rng: random.Random) -> str:
    """Somebody's script takes its time: others are told BUSY, or nothing at all."""
    ms = rng.randint(500, 4000)
    script = (
        "local function ms() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end "
        "local began = ms() while ms() - began < tonumber(ARGV[1]) do end"
    )
    await _ask(cluster, "EVAL", script, 0, ms)
    return f"for {ms} ms"


async def no_connections(cluster: Cluster, rng: random.Random) -> str:
    """The server has no place for any of us."""
    talk = await trio.to_thread.run_sync(cluster.server.talk)
    with suppress(OSError, ReplyError):
        talk("CONFIG", "SET", "maxclients", 1)
        talk("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        talk("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
    await trio.sleep(rng.uniform(0.5, 2.5))
    with suppress(OSError, ReplyError):
        talk("CONFIG", "SET", "maxclients", 10_000)
    talk.close()
    return ""


async def fail_over(cluster: Cluster, rng: random.Random) -> str:
    """A replica that lags behind takes over, and the last writes are lost."""
    old = cluster.server
    new = cluster.stack.enter_context(server_to_keep(old.program, *old.options))
    await start_store(new)

    def follow() -> None:
        new.ask("REPLICAOF", "127.0.0.1", old.port)
        assert old.ask("WAIT", 1, 10_000) == 1  # replica, in milliseconds

    await trio.to_thread.run_sync(follow)
    new.signal(SIGSTOP)  # replication is asynchronous: it gets no more
    await trio.sleep(rng.uniform(0.0, 0.7))
    old.kill()
    new.signal(SIGCONT)
    await trio.to_thread.run_sync(lambda: new.ask("REPLICAOF", "NO", "ONE"))
    (new.folder / "dump.rdb").unlink(missing_ok=True)  # which a restart would take for the data
    cluster.server = new
    for site in cluster.sites:
        site.way.lead_to("127.0.0.1", new.port)
    return ""


# --- the way to it -------------------------------------------------------------------------------


async def _bad_way(cluster: Cluster, rng: random.Random, seconds: float, **how: object) -> str:
    sites = rng.sample(cluster.sites, rng.choice([1, 1, 2, 3]))
    for site in sites:
        site.way.change(**how)
    await trio.sleep(seconds)
    for site in sites:
        site.way.change()
    return f"{', '.join(site.part.name for site in sites)} for {seconds:.1f} s"


async def cut_replies(cluster: Cluster, rng: random.Random) -> str:
    """Operations are done, and the connection breaks before their answers come."""
    return await _bad_way(cluster, rng, rng.uniform(1.0, 3.0), cut_replies=0.2)


async def black_hole(cluster: Cluster, rng: random.Random) -> str:
    """Nothing passes, and nothing says so."""
    return await _bad_way(cluster, rng, rng.uniform(0.5, 2.5 * LEASE_S), black_hole=True)


async def refuse(cluster: Cluster, rng: random.Random) -> str:
    """No connection comes about, and those that there are break."""
    sites = rng.sample(cluster.sites, 2)
    for site in sites:
        site.way.change(refuse=True)
        await site.way.reset_all()
    await trio.sleep(rng.uniform(0.5, 2 * LEASE_S))
    for site in sites:
        site.way.change()
    return ", ".join(site.part.name for site in sites)


async def slow_way(cluster: Cluster, rng: random.Random) -> str:
    """Everything takes its time, or comes byte by byte."""
    how: dict[str, object] = rng.choice(
        [{"delay_s": rng.uniform(0.02, 0.3)}, {"one_byte": True}, {"bytes_per_s": 20_000.0}]
    )
    return f"{how} {await _bad_way(cluster, rng, rng.uniform(1.0, 3.0), **how)}"


KINDS = (
    Kind(kill_frontend, 4),
    Kind(drain_frontend, 3),
    Kind(freeze_frontend, 3),
    Kind(kill_backend, 2),
    Kind(stop_backend, 1),
    Kind(clients_leave, 2),
    Kind(kill_store, 4, loses=True),
    Kind(freeze_store, 2),
    Kind(lose_everything, 3, loses=True),
    Kind(forget_scripts, 1),
    Kind(pause_clients, 1),
    Kind(no_memory, 1),
    Kind(read_only, 1),
    Kind(not_allowed, 1),
    Kind(busy, 1),
    Kind(no_connections, 1),
    Kind(fail_over, 2, loses=True),
    Kind(cut_replies, 4),
    Kind(black_hole, 3),
    Kind(refuse, 1),
    Kind(slow_way, 1),
)


def tell(line: str) -> None:
    """Say how far it has got: a run takes minutes."""
    print(line, flush=True)  # noqa: T201 - for whoever waits for it


def schedule(rng: random.Random, rounds: int) -> list[Kind]:
    """Return as many faults, the heavier ones more often."""
    kinds = [kind for kind in KINDS if ONLY in kind.name]
    return rng.choices(kinds, [kind.weight for kind in kinds], k=rounds)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
async def test_nothing_is_lost_whatever_strikes(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    persistent, program = seed % 2 == 0, PROGRAMS[seed // 2 % 2]
    how = f"{program} {'with' if persistent else 'without'} persistence"
    tell(f"\nseed {seed}, {how}")
    async with cluster(tmp_path, seed, program, persistent=persistent) as made:
        for number, kind in enumerate(schedule(rng, ROUNDS), 1):
            made.load(on=True)
            await trio.sleep(rng.uniform(0.5, 1.5))
            made.losses += kind.loses
            details = await kind.strike(made, rng)
            await trio.sleep(rng.uniform(0.0, 0.5))
            seconds = await made.settle()
            violations = await made.audit()
            tell(
                f"{number:3} {kind.name:16} {details:44} all answered in {seconds:5.2f} s; "
                f"{made.figures.total()} requests, {len(violations)} promises broken"
            )
            assert not violations, "\n".join(map(str, violations))
    tell(f"    {dict(made.figures)}")
