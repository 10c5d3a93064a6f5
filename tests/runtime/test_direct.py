"""Reads and writes that wait only if they have to."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import assert_no_checkpoints, wait_all_tasks_blocked

from scalab.runtime.direct import Direct


@pytest.fixture
def ends() -> tuple[trio.SocketStream, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    other = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    listener.close()
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted)), other


async def test_what_is_there_is_read_at_once(
    ends: tuple[trio.SocketStream, socket.socket],
) -> None:
    stream, other = ends
    direct = Direct(stream)
    async with stream:
        assert direct.read_now(100) is None

        other.sendall(b"hello")
        await trio.lowlevel.wait_readable(stream.socket)
        assert direct.read_now(100) == b"hello"

        other.close()
        assert await direct.read(100) == b""
        assert direct.read_now(100) == b""


async def test_a_reset_is_a_broken_connection(
    ends: tuple[trio.SocketStream, socket.socket],
) -> None:
    stream, other = ends
    async with stream:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        other.close()
        await trio.lowlevel.wait_readable(stream.socket)

        with pytest.raises(trio.BrokenResourceError):
            Direct(stream).read_now(100)


async def test_a_little_is_sent_without_waiting_and_much_is_sent_whole(
    ends: tuple[trio.SocketStream, socket.socket],
) -> None:
    stream, other = ends
    direct, much = Direct(stream), b"x" * 20_000_000
    with other:
        async with stream:
            with assert_no_checkpoints():
                await direct.send(b"hello")
            assert other.recv(100) == b"hello"

            async with trio.open_nursery() as nursery:
                nursery.start_soon(direct.send, much)
                await wait_all_tasks_blocked()
                received = 0
                while received < len(much):
                    received += len(await trio.to_thread.run_sync(other.recv, 1 << 20))
            assert received == len(much)
