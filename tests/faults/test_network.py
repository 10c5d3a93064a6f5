"""The network of the fault suites does what it says, with the kernel's TCP on both sides."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.faults.lab.network import PARTITION, RESET, Fault, Network, network, why_not
from tests.faults.lab.processes import until

pytestmark = pytest.mark.skipif(
    bool(why_not()) and "CI" not in os.environ, reason=why_not() or "there is one"
)
PORT = 7000
MESSAGE = bytes(range(256)) * 400


@pytest.fixture
async def net() -> AsyncIterator[Network]:
    """Two hosts; ``b`` sends back what it is sent."""
    with trio.fail_after(30):
        async with network("a", "b", seed=1) as made, trio.open_nursery() as nursery:
            with made["b"].here():
                listening = trio.socket.socket()
            await listening.bind((made["b"].address, PORT))
            listening.listen()
            nursery.start_soon(trio.serve_listeners, echo, [trio.SocketListener(listening)])
            yield made
            nursery.cancel_scope.cancel()


async def echo(stream: trio.SocketStream) -> None:
    try:
        async with stream:
            async for data in stream:
                await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def exchange(stream: trio.SocketStream) -> bytes:
    """Send a message, and return what comes back."""
    got = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, MESSAGE)
        while len(got) < len(MESSAGE):
            got += await stream.receive_some(65536)
    return bytes(got)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(),
        Fault(loss=0.1),
        Fault(delay_s=0.01, jitter_s=0.02),
        Fault(duplicate=0.5),
    ],
    ids=["clean", "loss", "reordered", "doubled"],
)
async def test_tcp_gets_everything_across(net: Network, fault: Fault) -> None:
    net.between("a", "b", fault)
    async with await net["a"].connect(net["b"].address, PORT) as stream:
        assert await exchange(stream) == MESSAGE
    for fate, wanted in (
        ("dropped", fault.loss),
        ("delayed", fault.delay_s),
        ("doubled", fault.duplicate),
    ):
        assert (net.fates[fate] > 0) == (wanted > 0)


async def test_a_partition_is_silent_and_heals(net: Network) -> None:
    async with await net["a"].connect(net["b"].address, PORT) as stream:
        net.between("a", "b", PARTITION)
        await stream.send_all(b"x")
        await until(lambda: net.fates["dropped"] > 0, "a packet is dropped")
        with trio.move_on_after(0.1) as waiting:
            await stream.receive_some(1)
        assert waiting.cancelled_caught
        net.heal()
        assert await stream.receive_some(1) == b"x"


async def test_a_reset_ends_both_sides(net: Network) -> None:
    async with await net["a"].connect(net["b"].address, PORT) as stream:
        await stream.send_all(b"x")
        assert await stream.receive_some(1) == b"x"
        net.between("a", "b", RESET)
        await stream.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(1)
        assert net.fates["reset"]


async def test_no_namespace_is_left() -> None:
    async with network("a", "b", seed=1) as net:
        places = [Path(host.command[1].removeprefix("--net=")) for host in net.hosts.values()]
        assert all(place.exists() for place in places)
    assert not any(place.exists() for place in places)
