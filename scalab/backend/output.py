"""What a workload writes: never left in the pipe, and only its end kept."""

from __future__ import annotations

import os
import select

import trio

TAIL = 4096
"""Bytes that are kept of what was written."""

_CHUNK = 65536
_LAST_CHUNKS = 16
_FLUSH_S = 1.0


class Relay:
    """Passes output on to a descriptor of ours, which may be slow, without blocking the loop.

    The descriptor isn't made non-blocking, as that would befall every process that shares it.
    Instead a write waits until the descriptor is writable, and then is of a size that fits.
    """

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._lock = trio.Lock()

    async def write(self, data: bytearray) -> None:
        """Write ``data``, and remove from it what was written.

        When cancelled, ``data`` holds what is left. If nobody can read it any more, it is dropped.
        """
        async with self._lock:
            while data:
                try:
                    await self._writable()
                    written = os.write(self._fd, data[: select.PIPE_BUF])
                except BlockingIOError:  # another process shares it, made it so, and filled it
                    await trio.sleep(0.01)
                    continue
                except OSError:
                    written = len(data)
                del data[:written]

    async def _writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._fd)
        except PermissionError:  # a regular file always is, and epoll refuses it
            await trio.lowlevel.checkpoint()


class OutputPipe:
    """A pipe from a workload, and the last ``TAIL`` bytes that came through it.

    Args:
        relay: Where to pass on what comes; None to drop it.

    Raises:
        OSError: There are no descriptors left.
    """

    def __init__(self, relay: Relay | None = None) -> None:
        self._fd, self.child_end = os.pipe()
        """The end to start the workload with; whoever does closes it then."""
        os.set_blocking(self._fd, False)
        self.tail = bytearray()
        self._relay = relay
        self._unsent = bytearray()

    async def drain(self) -> None:
        """Read until the end of the stream.

        That may never come, since any process that left the group may hold the other end: whoever
        calls this, cancels it. It may be called again, and then goes on where it was.
        """
        while (data := self._read()) != b"":
            if data is None:
                await trio.lowlevel.wait_readable(self._fd)
            elif self._relay is None:
                await trio.lowlevel.checkpoint()
            else:
                await self._relay.write(self._unsent)

    async def finish(self) -> None:
        """Take what is in the pipe now; bounded in size and in time."""
        for _ in range(_LAST_CHUNKS):
            if not self._read():
                break
        if self._unsent and self._relay is not None:
            with trio.move_on_after(_FLUSH_S):
                await self._relay.write(self._unsent)

    def close(self) -> None:
        """Close our end."""
        os.close(self._fd)

    def _read(self) -> bytes | None:
        """Read what is there: None if nothing is, empty bytes at the end of the stream."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return None
        self.tail += data
        del self.tail[:-TAIL]
        if self._relay is not None:
            self._unsent += data
        return data
