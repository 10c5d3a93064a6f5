"""Accepting connections, several for each time that the event loop wakes up.

Classic peers make a connection for every message, so its cost is theirs. ``trio.serve_listeners``
takes one connection per turn of the event loop; taking what is there, up to a limit that keeps it
fair to everybody else, saves about a third of the CPU time of a short connection
(benchmarks/quick.py, mode classic).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable

import structlog
import trio

AT_ONCE = 16
"""Connections accepted in one turn of the event loop."""
PAUSE_S = 0.1
"""Before the next try when the system has run out of something."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

log = structlog.get_logger()


async def accept_connections(
    listener: trio.SocketListener,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    nursery: trio.Nursery,
) -> None:
    """Start ``serve(stream)`` in ``nursery`` for each connection, until cancelled.

    Args:
        listener: Closed at the end.
        serve: Closes its stream, and raises nothing.
        nursery: Owns the connections.
    """
    async with listener:
        # The same listening socket, for calls that don't wait.
        with socket.socket(fileno=socket.dup(listener.socket.fileno())) as listening:
            listening.setblocking(False)
            while True:
                await trio.lowlevel.wait_readable(listening)
                try:
                    for _ in range(AT_ONCE):
                        accepted = listening.accept()[0]
                        stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
                        nursery.start_soon(serve, stream)
                except BlockingIOError:
                    pass  # that was all
                except OSError as exc:
                    # Otherwise that one connection failed, before it was ours.
                    if exc.errno in _EXHAUSTED:
                        log.warning("can't accept, waiting", error=exc.strerror)
                        await trio.sleep(PAUSE_S)
