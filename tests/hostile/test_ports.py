"""Mutated conversations with every port of a running system.

Whatever comes, the system goes on with its own work, nobody else notices, nothing is left over,
and the log tells of it line by line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from scalab.runtime.net import Address

from .attack import Attack, inputs, say, seed
from .conversations import TO_CLIENT_PORT, TO_HTTP, TO_WORKER_PORT
from .system import GROWTH_MIB, System, running

PER_TARGET = 60
ROUND = 500
"""Inputs between two looks at the system."""


def attacks(system: System, seed_: int) -> list[tuple[Attack, Address]]:
    bound = system.frontend.bound
    return [
        (Attack("clients", TO_CLIENT_PORT, seed_), bound.clients),
        (Attack("workers", TO_WORKER_PORT, seed_), bound.workers),
        (Attack("pages", TO_HTTP, seed_), bound.metrics),
        (Attack("control", TO_HTTP, seed_), system.control),
        (Attack("backend pages", TO_HTTP, seed_), system.backend_http),
    ]


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with running(30 + len(inputs(PER_TARGET)) / 10) as found:
        yield found


async def test_a_system_under_attack_goes_on(system: System) -> None:
    numbers, seed_ = inputs(PER_TARGET), seed()
    say(f"seed {seed_}, inputs {numbers} for each of 5 ports")
    before = await system.quiet()
    settled = {}
    for at in range(0, len(numbers), ROUND):
        part = numbers[at : at + ROUND]
        async with trio.open_nursery() as nursery:
            for attack, address in attacks(system, seed_):
                nursery.start_soon(attack.connect, address, part)
        now = await system.quiet()
        await system.serves()
        system.check_logs()
        if at <= len(numbers) // 3:
            settled = now

    after = await system.quiet()
    well, failed = await system.good_work()
    say(f"our own client meanwhile: {well:g} requests went well, {failed:g} failed")
    say(f"files before {before}, after a third {settled}, at the end {after}")
    for name, footprint in after.items():
        assert footprint.files <= before[name].files + 1, name
        assert footprint.memory_mib <= settled[name].memory_mib + GROWTH_MIB, name
    assert failed == 0
    assert well > 0
