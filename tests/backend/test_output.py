from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from scalab.backend.output import TAIL, OutputPipe, Relay

Pipe = Callable[..., OutputPipe]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Makes pipes whose other end is given as a file, and closes what is still open in the end."""
    with ExitStack() as stack:

        def make(relay: Relay | None = None) -> OutputPipe:
            pipe = OutputPipe(relay)
            stack.callback(pipe.close)
            return pipe

        yield make


@pytest.fixture
def sink() -> Iterator[tuple[int, int]]:
    """A pipe of ours, as (read end, write end)."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        os.close(fd)


def fill(fd: int) -> int:
    """Write to a pipe until it is full; return how much that took."""
    os.set_blocking(fd, False)
    size = 0
    try:
        while True:
            size += os.write(fd, bytes(4096))
    except BlockingIOError:
        os.set_blocking(fd, True)
        return size


async def feed(fd: int, chunks: list[bytes]) -> None:
    async with trio.wrap_file(os.fdopen(fd, "wb", buffering=0)) as file:
        for chunk in chunks:
            await file.write(chunk)


async def test_keeps_the_tail(pipe: Pipe) -> None:
    output = pipe()
    chunks = [b"%06d\n" % i * 1000 for i in range(100)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed, output.child_end, chunks)
        await output.drain()

    assert bytes(output.tail) == b"".join(chunks)[-TAIL:]


async def test_drain_goes_on_where_it_was(pipe: Pipe) -> None:
    output = pipe()
    for text in (b"one ", b"two "):
        os.write(output.child_end, text)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.drain)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    os.write(output.child_end, b"three")

    await output.finish()  # it doesn't wait for the end, which never comes
    os.close(output.child_end)

    assert output.tail == b"one two three"


async def test_finish_is_bounded(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever left the group may go on to write for ever."""
    output = pipe()
    reads = 0

    def endless(_fd: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return bytes(size)

    monkeypatch.setattr("os.read", endless)
    await output.finish()
    os.close(output.child_end)

    assert 1 < reads < 100


async def test_relay_passes_everything_on(pipe: Pipe, sink: tuple[int, int]) -> None:
    """Nothing is lost when draining is cancelled while the sink is full."""
    output = pipe(Relay(sink[1]))
    stuffing = fill(sink[1])
    text = b"".join(b"%06d\n" % i for i in range(3000))
    os.write(output.child_end, text)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.drain)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    os.write(output.child_end, b"end")
    os.close(output.child_end)

    received = bytearray()

    async def receive() -> None:
        while len(received) < stuffing + len(text) + 3:
            await trio.lowlevel.wait_readable(sink[0])
            received.extend(os.read(sink[0], 65536))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await output.finish()

    assert bytes(received[stuffing:]) == text + b"end"


async def test_relay_to_a_stuck_sink_is_given_up(
    pipe: Pipe, sink: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    output = pipe(Relay(sink[1]))
    fill(sink[1])
    os.write(output.child_end, b"nobody will read this")
    os.close(output.child_end)

    await output.finish()

    assert output.tail == b"nobody will read this"
    assert trio.current_time() == 1.0


async def test_relay_keeps_writers_apart(sink: tuple[int, int]) -> None:
    relay = Relay(sink[1])
    stuffing = fill(sink[1])
    texts = [bytes([letter]) * 10000 for letter in b"abc"]
    received = bytearray()
    async with trio.open_nursery() as nursery:
        for text in texts:
            nursery.start_soon(relay.write, bytearray(text))
        while len(received) < stuffing + 30000:
            await trio.lowlevel.wait_readable(sink[0])
            received += os.read(sink[0], 4096)  # makes room for less than is to be written

    runs = received[stuffing:]
    assert sorted(runs[i : i + 10000] for i in (0, 10000, 20000)) == texts


async def test_relay_to_a_file(tmp_path: Path) -> None:
    """A regular file can't be waited for."""
    with (tmp_path / "log").open("wb") as file:
        await Relay(file.fileno()).write(bytearray(b"x" * 9000))

    assert (tmp_path / "log").read_bytes() == b"x" * 9000


async def test_relay_to_nobody() -> None:
    """What can't be written any more is dropped."""
    reader, writer = os.pipe()
    os.close(reader)
    data = bytearray(b"x" * 9000)
    try:
        await Relay(writer).write(data)
    finally:
        os.close(writer)

    assert not data


async def test_relay_to_a_descriptor_that_others_made_non_blocking(
    sink: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may fill it between our look and our write."""
    write, failures = os.write, [BlockingIOError()]

    def full_at_first(fd: int, data: bytes) -> int:
        if failures:
            raise failures.pop()
        return write(fd, data)

    monkeypatch.setattr("os.write", full_at_first)
    await Relay(sink[1]).write(bytearray(b"text"))

    assert os.read(sink[0], 100) == b"text"
