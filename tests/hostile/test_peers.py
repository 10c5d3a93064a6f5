"""A hostile frontend: whatever it says, clients and backends end or go on as they should."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import structlog
import trio

from scalab.errors import ScalabError
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from tests.support import backend_run, client_run

from .attack import AT_ONCE, Attack, inputs, say, seed
from .conversations import TO_BACKEND, TO_CLIENT

PER_TARGET = 40
WITHIN_S = 20.0
"""For a peer to end, on a machine that may be busy; nothing but a hang takes so long."""

Peer = Callable[[Address, Stop], Awaitable[object]]

_IMPATIENT = {"connect_timeout_s": 0.2, "reconnect_timeout_s": 0.2}


async def client(frontend: Address, stop: Stop, *, classic: bool) -> None:
    result = await client_run(frontend, stop, parallel=3, requests=6, classic=classic, **_IMPATIENT)
    statistics, run = result.statistics, result.run
    assert statistics is not None
    assert run is not None
    assert run.whole.sent == run.whole.ended + run.whole.aborted
    for spread in (statistics.run, statistics.wait, statistics.total):
        assert 0 <= spread.min_s <= spread.mean_s <= spread.max_s < 1e9
    if result.error is not None:
        raise result.error


async def backend(frontend: Address, stop: Stop, *, classic: bool) -> None:
    result = await backend_run(
        frontend, "sleep", stop=stop, slots=2, limit_s=0.2, grace_s=0.2, classic=classic,
        **_IMPATIENT,
    )  # fmt: skip
    if result.error is not None:
        raise result.error


@pytest.mark.parametrize("classic", [False, True], ids=["session", "classic"])
@pytest.mark.parametrize(
    ("peer", "conversations"),
    [(client, TO_CLIENT), (backend, TO_BACKEND)],
    ids=["client", "backend"],
)
async def test_a_hostile_frontend(
    peer: Callable[..., Awaitable[None]], conversations: tuple[bytes, ...], classic: bool
) -> None:
    attack = Attack(f"{peer.__name__} {classic}", conversations, seed())
    numbers = inputs(PER_TARGET)
    say(f"seed {attack.seed}, inputs {numbers} for a {peer.__name__}")
    slots = trio.CapacityLimiter(AT_ONCE)
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            for i in numbers:
                await slots.acquire_on_behalf_of(i)
                nursery.start_soon(_survives, attack, i, partial(peer, classic=classic), slots)

    assert not [event for event in logs if event["log_level"] in ("error", "critical")]


async def _survives(attack: Attack, i: int, peer: Peer, slots: trio.CapacityLimiter) -> None:
    """Let a peer meet a frontend that says input ``i``; any error must be one line of ours."""
    try:
        with trio.fail_after(WITHIN_S):
            async with attack.listen(i) as address:
                stop = Stop()
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_stop_later, stop)
                        await peer(address, stop)
                        nursery.cancel_scope.cancel(reason="the peer has ended")
                except* ScalabError as group:
                    for error in group.exceptions:
                        assert "\n" not in str(error)
                        assert str(error).isprintable()
    except BaseException as exc:
        exc.add_note(f"input {i} of {attack.name}, seed {attack.seed}: {attack.input(i)[0]!r}")
        raise
    finally:
        slots.release_on_behalf_of(i)


async def _stop_later(stop: Stop) -> None:
    await trio.sleep(1.0)
    stop.requested.set()
