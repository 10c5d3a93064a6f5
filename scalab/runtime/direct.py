"""Reads and writes that go straight to the system, for connections that carry many small batches.

Trio's own calls first try, then wait, then try again, and check for a second task that does the
same. For a session that is a system call and some microseconds too many in each batch: a reader
that waits knows that there is nothing yet, and what a peer writes at once must not wait at all.
Connections with TLS have no such short cut.
"""

from __future__ import annotations

import os

import trio

from .streams import Stream


class Direct:
    """One connection; ``read`` is for one task at a time.

    Args:
        stream: Whoever made it closes it.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None

    async def read(self, most: int) -> bytes:
        """Return what has come, at most so many bytes; nothing at the end of the stream.

        Raises:
            trio.BrokenResourceError: The connection is broken.
            trio.ClosedResourceError: We have closed it.
        """
        if self._socket is None:
            return bytes(await self._stream.receive_some(most))
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            data = self.read_now(most)
            if data is not None:  # otherwise it was a false alarm
                return data

    def read_now(self, most: int) -> bytes | None:
        """Return the same if it is known without waiting; otherwise None.

        Raises:
            trio.BrokenResourceError: The connection is broken.
        """
        if self._socket is None:
            return None
        try:
            return os.read(self._socket.fileno(), most)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise trio.BrokenResourceError(str(exc)) from exc

    def write(self, data: bytes) -> int:
        """Write what the system takes without waiting; return how many bytes that were.

        It is 0 also of a broken connection: waiting for room will say why.
        """
        if self._socket is None:
            return 0
        try:
            return os.write(self._socket.fileno(), data)
        except OSError:
            return 0

    async def send(self, data: bytes) -> None:
        """Write all of it; that takes a wait only if there is no room.

        Raises:
            trio.BrokenResourceError: The connection is broken.
            trio.ClosedResourceError: We have closed it.
        """
        written = self.write(data)
        if written < len(data):
            await self._stream.send_all(data[written:])
