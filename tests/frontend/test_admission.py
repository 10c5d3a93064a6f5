"""Limits on connections: who is refused, what they are told, and that others don't notice."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from scalab.frontend.admission import Admission
from scalab.frontend.opening import TURN_AWAY_AT_ONCE
from tests.support import PATIENCE_S, Frontend, Wire, backend_run, client_run, serving

OWNER = {
    "10.0.0.1": "10.0.0.1",
    "10.0.0.2": "10.0.0.2",
    "::ffff:10.0.0.1": "10.0.0.1",
    "2001:db8::1": "2001:db8::/64",
    "2001:db8::2": "2001:db8::/64",
    "2001:db8:0:1::1": "2001:db8:0:1::/64",
}


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(sorted(OWNER))), max_size=60),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_nobody_gets_more_than_the_limits(
    events: list[tuple[bool, str]], most: int, most_each: int
) -> None:
    admission = Admission(most, most_each)
    inside: list[str] = []
    for enters, host in events:
        each = Counter(OWNER[h] for h in inside)
        owner = OWNER[host]
        if enters:
            why = admission.enter(host)
            full = len(inside) >= most or (most_each and each[owner] >= most_each)
            assert bool(why) == bool(full)
            inside += [] if why else [host]
        elif host in inside:
            inside.remove(host)
            admission.leave(host)
    for host in inside:
        admission.leave(host)

    assert not admission._each
    assert admission._now == 0


@pytest.mark.parametrize("host", ["", "fe80::1%eth0", "/a/socket"])
def test_any_address_has_an_owner(host: str) -> None:
    admission = Admission(2, 1)

    assert not admission.enter(host)
    assert "too many connections from" in admission.enter(host)
    admission.leave(host)


async def turned_away(wire: Wire) -> str:
    """What any peer is told, in a form that each kind understands."""
    told = json.loads(await wire.rest())
    assert (told["Kind"], told["Retry"], told["Retcode"]) == ("error", True, 1)
    return str(told["Error"])


async def test_connections_over_the_limit_of_an_address_are_told_so() -> None:
    async with serving(connections_per_address=3) as frontend:
        wires = [await frontend.client(), await frontend.backend(), await frontend.to_clients()]
        await wait_all_tasks_blocked()
        over = [await frontend.to_clients(), await frontend.to_backends()]
        told = [await turned_away(wire) for wire in over]
        await wires[0].in_line()
        await wires[2].aclose()
        await wait_all_tasks_blocked()
        await frontend.client()
        metrics = await frontend.metrics()

    assert told == ["too many connections from 127.0.0.1: there are 3, the limit"] * 2
    assert metrics['scalab_connections_refused_total{limit="address"}'] == 2
    assert metrics['scalab_connections_refused_total{limit="total"}'] == 0


async def test_of_a_flood_only_some_are_told_and_nobody_waits() -> None:
    async with serving(max_connections=2) as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        wires = [await frontend.to_clients() for _ in range(4 * TURN_AWAY_AT_ONCE)]
        await client.frame("request", Id="1", Queue="q")
        await backend.frame("reply", Id=(await backend.next("item"))["Id"])
        assert (await client.next("reply"))["Outcome"] == "success"
        told = 0
        for wire in wires:
            with suppress(trio.BrokenResourceError):
                told += bool(await wire.rest())
        metrics = await frontend.metrics()

    assert TURN_AWAY_AT_ONCE <= told < 4 * TURN_AWAY_AT_ONCE
    assert metrics['scalab_connections_refused_total{limit="total"}'] == 4 * TURN_AWAY_AT_ONCE


@pytest.mark.parametrize("classic", [False, True])
async def test_our_own_peers_come_again_until_there_is_room(classic: bool) -> None:
    async with serving(max_connections=1) as frontend:
        in_the_way = await frontend.to_clients()
        await wait_all_tasks_blocked()
        backend = partial(
            backend_run, frontend.bound.workers, "sleep", when_empty="exit", classic=classic
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend)
            await refused(frontend, 2)
            await in_the_way.aclose()


async def test_a_client_of_ours_comes_again_until_there_is_room() -> None:
    async with serving(max_connections=2) as frontend:
        backend, in_the_way = await frontend.backend(), await frontend.to_clients()
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client_run, frontend.bound.clients, requests=1))
            await refused(frontend, 2)
            await in_the_way.aclose()
            await backend.frame("reply", Id=(await backend.next("item"))["Id"])


async def refused(frontend: Frontend, n: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while True:
            metrics = await frontend.metrics()
            if metrics['scalab_connections_refused_total{limit="total"}'] >= n:
                return
            await trio.sleep(0.02)  # nothing tells the outside when it changes
