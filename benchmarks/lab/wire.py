"""Session peers that do as little as possible, any number of them in one thread.

Workers answer each item at once, and pings; clients count their replies, and may send a request
for each. They are plain sockets without an event loop's tasks, so that one process can play ten
thousand of them and most of the machine is left to the frontend that is measured.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Self

import orjson

from scalab.runtime.net import Address

PATIENCE_S = 60.0
"""For anything that one waits for; only a frontend that hangs takes so long."""

_PONG = b'{"Kind":"pong"}\n'


class Wire:
    """One connection."""

    def __init__(self, address: Address, hello: dict[str, object]) -> None:
        self.socket = socket.create_connection((address.host, address.port), PATIENCE_S)
        self.welcomed = False
        self.pongs = 0
        self._rest = b""
        self.say([orjson.dumps({"Kind": "hello", "Version": 1, **hello}) + b"\n"])

    def say(self, lines: Iterable[bytes]) -> None:
        """Send lines."""
        if data := b"".join(lines):
            self.socket.sendall(data)

    def heard(self) -> None:
        """Read what there is, and act on it."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit("the frontend has closed a session")
        *lines, self._rest = (self._rest + data).split(b"\n")
        answers = [answer for line in lines if (answer := self._answer(orjson.loads(line)))]
        self.say(answers)

    def _answer(self, frame: dict[str, object]) -> bytes:
        kind = frame["Kind"]
        if kind == "ping":
            return _PONG
        if kind == "welcome":
            self.welcomed = True
        elif kind == "pong":
            self.pongs += 1
        elif kind in ("error", "bye", "drain"):
            raise SystemExit(f"the frontend says {frame}")
        else:
            return self.answer(frame)
        return b""

    def answer(self, frame: dict[str, object]) -> bytes:
        """Return what is to be said to a frame that is no heartbeat."""
        raise NotImplementedError


class Worker(Wire):
    """A backend that has run an item as soon as it is handed it."""

    def __init__(self, address: Address, queue: str, slots: int = 1) -> None:
        super().__init__(address, {"Role": "backend", "Queue": queue, "Slots": slots, "Pod": "p"})
        self._held: list[bytes] | None = None

    def answer(self, frame: dict[str, object]) -> bytes:
        """Reply to an item."""
        reply = b'{"Kind":"reply","Id":"%s","Runtime":0.001}\n' % str(frame["Id"]).encode()
        if self._held is None:
            return reply
        self._held.append(reply)
        return b""

    def pause(self) -> None:
        """Hold replies back, and so all slots."""
        self._held = []

    def go_on(self) -> None:
        """Give the replies that were held back."""
        held, self._held = self._held or [], None
        self.say(held)


class Client(Wire):
    """Sends requests and counts the replies."""

    def __init__(self, address: Address, queue: str) -> None:
        super().__init__(address, {"Role": "client"})
        self.replies = 0
        self.to_send = 0
        """For so many replies to come, a further request is sent."""
        self.pending: dict[int, None] = {}
        """Requests without a reply, the oldest first."""
        self._sent = 0
        self._tail = b'","Queue":"%s"}\n' % queue.encode()

    def request(self, count: int) -> None:
        """Send so many requests in one write."""
        self.say([self._line() for _ in range(count)])

    def cancel(self, ids: Iterable[int]) -> None:
        """Cancel some of those that are pending."""
        self.say([b'{"Kind":"cancel","Id":"%d"}\n' % number for number in ids])

    def ping(self) -> None:
        """Ask for a pong, which comes when all before it was read."""
        self.say([b'{"Kind":"ping"}\n'])

    def _line(self) -> bytes:
        self._sent += 1
        self.pending[self._sent] = None
        return b'{"Kind":"request","Id":"%d%s' % (self._sent, self._tail)

    def answer(self, frame: dict[str, object]) -> bytes:
        """Count a reply."""
        self.replies += 1
        del self.pending[int(str(frame["Id"]))]
        if self.to_send:
            self.to_send -= 1
            return self._line()
        return b""


class Peers:
    """Any number of connections, served by whoever calls ``serve``. A context manager."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._wires: dict[int, Wire] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._wires.values():
            wire.socket.close()
        self._poll.close()

    def add(self, wire: Wire) -> None:
        """Serve one more."""
        self._wires[wire.socket.fileno()] = wire
        self._poll.register(wire.socket, select.EPOLLIN)

    def serve(self, timeout_s: float = 0.0) -> None:
        """Act once on whatever has arrived, or arrives within the time."""
        for descriptor, _ in self._poll.poll(timeout_s, 1024):
            self._wires[descriptor].heard()

    def until(self, done: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Serve until something is so."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise SystemExit(f"the frontend does nothing more for {seconds:g} s")
            self.serve(0.1)

    def rest(self, seconds: float) -> None:
        """Serve for a while."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            self.serve(left_s)

    def in_line(self, client: Client) -> None:
        """Wait until the frontend has acted on all that a client has sent."""
        before = client.pongs
        client.ping()
        self.until(lambda: client.pongs > before)
