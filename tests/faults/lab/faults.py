"""The faults that strike a system under load, drawn from a seed.

Each takes the system, does its worst, and returns once nothing is wrong any more from outside:
what was killed is started again, what was frozen goes on, the network passes everything.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM

import attrs
import trio

from .clients import Leaving
from .network import CLEAN, PARTITION, RESET, Fault
from .processes import Part
from .system import LOST_AFTER_S, System

SHORT_S, LONG_S = (0.2, 0.8 * LOST_AFTER_S), (1.3 * LOST_AFTER_S, 1.8 * LOST_AFTER_S)
"""Shorter than the time after which a silent peer is lost, and longer."""
CLASSIC, SESSION_ALONE = 1, 2
"""Of the backends: the one without heartbeats, and the one that is alone on its host."""
_BAD_S = (1.0, 2.5)
"""How long a network is bad that still passes something."""


@attrs.frozen
class Kind:
    """A fault by its name."""

    name: str
    strike: Callable[[System, random.Random], Awaitable[str]]
    """Returns whom it struck, and other particulars."""
    weight: int = 1


# --- processes -----------------------------------------------------------------------------------


async def _restart(part: Part, rng: random.Random) -> None:
    if rng.random() < 0.5:
        await trio.sleep(rng.uniform(0.1, 1.0))
    await part.start()


async def kill_frontend(system: System, rng: random.Random) -> str:
    """SIGKILL, and another one after a while."""
    await system.frontend.kill()
    await _restart(system.frontend, rng)
    return system.frontend.life


async def drain_frontend(system: System, rng: random.Random) -> str:
    """SIGTERM: it ends in good order, and says what it counted."""
    life = system.frontend.life
    system.audit.may_release(10)
    await system.frontend.stop(SIGTERM)
    system.audit.farewell(life, system.frontend.process.log[-1])
    await _restart(system.frontend, rng)
    return life


async def freeze_frontend(system: System, rng: random.Random) -> str:
    """SIGSTOP for longer than the others wait for it, or not."""
    return await _freeze(system.frontend, rng)


async def kill_backend(system: System, rng: random.Random) -> str:
    """SIGKILL, in the middle of its runs."""
    part = rng.choice(system.backends)
    await part.kill()
    await _restart(part, rng)
    return part.life


async def stop_backend(system: System, rng: random.Random) -> str:
    """SIGTERM: it finishes or gives back; sometimes a second one at once."""
    part = rng.choice(system.backends)
    system.audit.may_release(4)
    twice = rng.random() < 0.3
    if twice:
        part.expected = {0, 143, -SIGTERM}  # the last: it came when nobody listened any more
        part.signal(SIGTERM)
        await trio.sleep(rng.uniform(0.0, 0.05))
    if part.runs:
        await part.stop(SIGTERM)
    await _restart(part, rng)
    return f"{part.life}{' twice' if twice else ''}"


async def freeze_backend(system: System, rng: random.Random) -> str:
    """SIGSTOP: its items run elsewhere, and its late replies must not count."""
    part, seconds = rng.choice(system.backends), rng.choice([SHORT_S, LONG_S])
    pending = system.unanswered()
    part.signal(SIGSTOP)
    await trio.sleep(rng.uniform(*seconds))
    if seconds is LONG_S and part is not system.backends[CLASSIC]:
        await system.answered(pending)
    part.signal(SIGCONT)
    return f"{part.life} {'long' if seconds is LONG_S else 'short'}"


async def kill_client(system: System, rng: random.Random) -> str:
    """SIGKILL or SIGTERM of a client of scalab: what waited is dropped, what ran is cancelled."""
    client = rng.choice(system.measured)
    signum = rng.choice([SIGKILL, SIGTERM, SIGINT])
    if signum == SIGKILL:
        await client.part.kill()
    else:
        await client.part.stop(signum)
    system.audit.gone(client)
    await _restart(client.part, rng)
    return f"{client.part.life} {signum.name}"


async def freeze_client(system: System, rng: random.Random) -> str:
    """SIGSTOP: it reads nothing, and is lost or not."""
    return await _freeze(rng.choice(system.measured).part, rng)


async def _freeze(part: Part, rng: random.Random) -> str:
    seconds = rng.uniform(*rng.choice([SHORT_S, LONG_S]))
    part.signal(SIGSTOP)
    await trio.sleep(seconds)
    part.signal(SIGCONT)
    return f"{part.life} {seconds:.1f} s"


async def client_leaves(system: System, rng: random.Random) -> str:
    """A client with requests closes, resets, half-closes, or goes silent."""
    ways: list[Leaving] = ["close", "reset", "half-close", "silent"]
    client, how = rng.choice(system.sessions), rng.choice(ways)
    await client.leave(how)
    await trio.sleep(LONG_S[0] if how == "silent" else 0.1)
    return f"{client.name} {how}"


# --- network -------------------------------------------------------------------------------------


async def partition(system: System, rng: random.Random) -> str:
    """All packets between the frontend and a host vanish, without a sign."""
    return await _cut(system, rng, PARTITION, PARTITION)


async def one_way(system: System, rng: random.Random) -> str:
    """Packets vanish in one direction."""
    there, back = rng.choice([(PARTITION, CLEAN), (CLEAN, PARTITION)])
    return await _cut(system, rng, there, back)


async def _cut(system: System, rng: random.Random, there: Fault, back: Fault) -> str:
    """Cut a host off; where only a session ran items, they run elsewhere before it is back."""
    host, seconds = _host(system, rng), rng.choice([SHORT_S, LONG_S])
    pending = system.unanswered()
    system.net.between("frontend", host, there, back)
    await trio.sleep(rng.uniform(*seconds))
    if seconds is LONG_S and host == system.backends[SESSION_ALONE].env["NODE_NAME"]:
        await system.answered(pending)
    system.net.heal()
    return f"{host} {'long' if seconds is LONG_S else 'short'}"


async def split_all(system: System, rng: random.Random) -> str:
    """The frontend is cut off from everybody."""
    seconds = rng.uniform(*rng.choice([SHORT_S, LONG_S]))
    system.net.around("frontend", PARTITION, system.others)
    await trio.sleep(seconds)
    system.net.heal()
    return f"{seconds:.1f} s"


async def lossy(system: System, rng: random.Random) -> str:
    """Packets are lost and doubled."""
    fault = Fault(loss=rng.uniform(0.02, 0.3), duplicate=rng.uniform(0.0, 0.2))
    return await _bad(system, _host(system, rng), fault, fault, rng.uniform(*_BAD_S))


async def slow(system: System, rng: random.Random) -> str:
    """Packets are late, and overtake each other."""
    fault = Fault(delay_s=rng.uniform(0.01, 0.2), jitter_s=rng.uniform(0.0, 0.2))
    return await _bad(system, _host(system, rng), fault, fault, rng.uniform(*_BAD_S))


async def resets(system: System, rng: random.Random) -> str:
    """Every connection that says something is reset."""
    return await _bad(system, _host(system, rng), RESET, RESET, rng.uniform(0.05, 0.5))


def _host(system: System, rng: random.Random) -> str:
    return rng.choice(system.others)


async def _bad(system: System, host: str, there: Fault, back: Fault, seconds: float) -> str:
    system.net.between("frontend", host, there, back)
    await trio.sleep(seconds)
    system.net.heal()
    return f"{host} {seconds:.1f} s"


# --- several at once -----------------------------------------------------------------------------


async def compound(system: System, rng: random.Random) -> str:
    """Two at a time: a backend is killed or frozen while the network is bad."""
    first = rng.choice([kill_backend, freeze_backend, kill_client])
    second = rng.choice([lossy, slow, partition, resets])
    told: list[str] = []

    async def strike(
        one: Callable[[System, random.Random], Awaitable[str]], own: random.Random
    ) -> None:
        told.append(f"{one.__name__}: {await one(system, own)}")

    async with trio.open_nursery() as nursery:
        for one in (first, second):  # which draws first must not matter
            nursery.start_soon(strike, one, random.Random(rng.random()))
    return "; ".join(told)


KINDS = [
    Kind("frontend killed", kill_frontend, 2),
    Kind("frontend drained", drain_frontend, 2),
    Kind("frontend frozen", freeze_frontend, 2),
    Kind("backend killed", kill_backend, 2),
    Kind("backend stopped", stop_backend, 2),
    Kind("backend frozen", freeze_backend, 2),
    Kind("client ended", kill_client),
    Kind("client frozen", freeze_client),
    Kind("client leaves", client_leaves, 2),
    Kind("partition", partition, 2),
    Kind("one-way partition", one_way),
    Kind("frontend cut off", split_all),
    Kind("loss", lossy, 2),
    Kind("delay, reordering", slow, 2),
    Kind("resets", resets, 2),
    Kind("two at once", compound, 3),
]


def schedule(rng: random.Random, rounds: int) -> list[Kind]:
    """Return what strikes, in which order: every kind once, then by weight."""
    first = rng.sample(KINDS, k=min(rounds, len(KINDS)))
    return first + rng.choices(KINDS, [kind.weight for kind in KINDS], k=rounds - len(first))
