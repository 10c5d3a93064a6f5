"""The proxy of the fault suites does to connections what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from tests.faults.lab.proxy import Proxy, proxy


@pytest.fixture
async def made() -> AsyncIterator[Proxy]:
    """In front of a server that sends back what it is sent."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                async for data in stream:
                    await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, echo, listeners)
            port = listeners[0].socket.getsockname()[1]
            async with proxy("127.0.0.1", port, seed=1) as in_front:
                yield in_front
            nursery.cancel_scope.cancel()


async def connect(made: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", made.port)


async def exchange(stream: trio.SocketStream, data: bytes) -> bytes:
    await stream.send_all(data)
    got = b""
    while len(got) < len(data):
        piece = bytes(await stream.receive_some(65536))
        assert piece
        got += piece
    return got


@pytest.mark.parametrize(
    "behaviour", [{}, {"one_byte": True}, {"delay_s": 0.01}, {"bytes_per_s": 1e5}]
)
async def test_everything_gets_across(made: Proxy, behaviour: dict[str, object]) -> None:
    made.change(**behaviour)
    async with await connect(made) as stream:
        assert await exchange(stream, b"x" * 1000) == b"x" * 1000


async def test_a_black_hole_heals(made: Proxy) -> None:
    async with await connect(made) as stream:
        await exchange(stream, b"before")
        made.change(black_hole=True)
        await stream.send_all(b"in it")
        with trio.move_on_after(0.1) as waiting:
            await stream.receive_some(1)
        assert waiting.cancelled_caught
        made.change()
        assert await stream.receive_some(5) == b"in it"


async def test_a_reply_is_cut(made: Proxy) -> None:
    made.change(cut_replies=1.0)
    async with await connect(made) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await exchange(stream, b"x")
    assert made.cut == 1


async def test_connections_are_reset(made: Proxy) -> None:
    async with await connect(made) as stream:
        await exchange(stream, b"x")
        await made.reset_all()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(1)
    made.change(refuse=True)
    async with await connect(made) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(1)
