"""A scalab session from a program of one's own: ``CLIENTS-ADDRESS IN_FLIGHT WARM_UP SECONDS``.

What nats-py's client is for NATS: it sends requests, takes their replies, and measures only what
every client here does.
"""

from __future__ import annotations

import sys
import time

import trio

from scalab.protocol.messages import VERSION, Frame, Hello, Refusal, Reply, Request
from scalab.protocol.session import Session
from scalab.runtime.net import Address
from scalab.runtime.peer import Peer

from .window import Window, window


class Asker:
    """Sends a request whenever one is answered.

    Args:
        peer: The frontend.
        window: Counts them.
    """

    def __init__(self, peer: Peer, window: Window) -> None:
        self._peer, self._window = peer, window
        self._sent_at: dict[str, float] = {}
        self._number = 0

    def ask(self) -> None:
        """Send a request."""
        self._number += 1
        request_id = str(self._number)
        self._sent_at[request_id] = time.perf_counter()
        self._peer.send(Request("sleep", ["0"], id=request_id))

    def handle(self, frames: list[Frame]) -> None:
        """Take the replies of a batch, and send as many requests.

        Raises:
            RuntimeError: A request has failed.
            ConnectionRefusedError: The frontend ends the session.
        """
        for frame in frames:
            if isinstance(frame, Reply):
                if frame.outcome != "success":
                    raise RuntimeError(f"a request failed: {frame}")
                self._window.add(self._sent_at.pop(frame.id))
                if not self._window.over:
                    self.ask()
            elif isinstance(frame, Refusal):
                raise ConnectionRefusedError(f"the frontend refuses: {frame.error}")
        if self._window.over and not self._sent_at:
            self._peer.close()


async def main(clients: Address, window: Window) -> None:
    """Be the client."""
    async with await trio.open_tcp_stream(clients.host, clients.port) as stream:
        peer = Peer(stream, Session("frontend to client"))
        peer.send(Hello(VERSION, "client"))
        asker = Asker(peer, window)
        window.start()
        for _ in range(window.in_flight):
            asker.ask()
        await peer.run(asker.handle)
    if not window.over:
        raise RuntimeError(f"the session ended: {peer.error or 'the frontend closed it'}")
    window.report()


if __name__ == "__main__":
    trio.run(main, Address.parse(sys.argv[1]), window(sys.argv[2:]))
