"""Clients that write down what they asked for and what they were told.

They share no code with the client of scalab: they speak the protocol by hand, as its documentation
has it. A session that breaks is made anew, and all that was not answered is sent again under the
same id. A classic request whose connection breaks is given up: nobody will know of it.
"""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs
import trio

from .history import CANCELLED, LOST, REJECTED, SUCCESS, Answer, History
from .processes import now

TICK_S = 0.01
RECONNECT_S = 0.1
OPENING_S = 3.0
_LOST_AFTER = 3
LINGER_NOT = struct.pack("ii", 1, 0)

Leaving = Literal["close", "reset", "half-close", "silent"]
BROKEN = (
    OSError,
    ValueError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)


@attrs.frozen
class Target:
    """A frontend, as its clients see it."""

    connect: Callable[[], Awaitable[trio.SocketStream]]
    life: Callable[[], str]
    """The name of the process that answers there now."""
    queue: str = "q"


@attrs.frozen
class Mix:
    """What requests are like, as shares of them; the rest succeed."""

    fails: float = 0.03
    times_out: float = 0.03
    cancelled: float = 0.05
    run_s: tuple[float, float] = (0.01, 0.06)
    """Shortest and longest run time."""

    def draw(self, rng: random.Random, request_id: str) -> tuple[dict[str, Any], float | None]:
        """Return a request's arguments and limit, and after what time it is cancelled."""
        seconds, kind = rng.uniform(*self.run_s), rng.random()
        if kind < self.fails:
            return {"Args": [request_id, f"{seconds:.3f}", "3"]}, None
        kind -= self.fails
        if kind < self.times_out:
            return {"Args": [request_id, "20"], "Limit": 0.05}, None
        kind -= self.times_out
        if kind < self.cancelled:
            # It would run on for long if it were forgotten; a classic backend can't cancel it.
            return {"Args": [request_id, "20"], "Limit": 1.0}, rng.uniform(0.0, 0.8)
        return {"Args": [request_id, f"{seconds:.3f}"]}, None


@attrs.define(eq=False)
class SessionClient:
    """Keeps some requests in flight, over as many sessions as it takes."""

    name: str
    history: History
    target: Target
    rng: random.Random
    parallel: int = 4
    mix: Mix = attrs.Factory(Mix)
    run_name: str = ""
    """Under which frontends that share their queues know it again; "" = they don't."""
    sending: bool = False
    """Whether new requests are made; what is pending is seen through in any case."""
    sessions: int = 0
    _pending: dict[str, bytes] = attrs.Factory(dict)
    _cancels: dict[str, float] = attrs.Factory(dict)
    """When pending requests are cancelled."""
    _cancelled: set[str] = attrs.Factory(set)
    """Those of them that this session was told of."""
    _made: int = 0
    _opened: int = 1
    _stream: trio.SocketStream | None = None
    _via: str = ""
    _outbox: list[bytes] = attrs.Factory(list)
    _heard_at: float = 0.0
    _sent_at: float = 0.0
    _heartbeat_s: float = 5.0
    _leaving: Leaving | None = None
    """In a way that takes some time."""

    @property
    def idle(self) -> bool:
        """Whether nothing is pending."""
        return not self._pending

    async def run(self) -> None:
        """Make sessions until cancelled."""
        while True:
            try:
                await self._session()
            except* BROKEN:
                pass
            finally:
                self._via, self._stream = "", None
            await trio.sleep(RECONNECT_S * self.rng.uniform(0.5, 1.5))

    async def leave(self, how: Leaving) -> None:
        """Go away and forget what is pending; another session follows."""
        for request_id in self._pending:
            self.history.left(request_id, now())
        self._pending.clear()
        self._cancels.clear()
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if how == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        if how in ("half-close", "silent"):
            self._leaving = how
        else:
            await stream.aclose()

    # --- one session ---------------------------------------------------------------------------

    async def _session(self) -> None:
        life = self.target.life()
        with trio.fail_after(OPENING_S) as opening:
            stream = self._stream = await self.target.connect()
            async with stream:
                known = {"Run": self.run_name, "Session": self._opened} if self.run_name else {}
                self._opened += 1
                await stream.send_all(frame_line("hello", Version=1, Role="client", **known))
                lines = Lines(stream)
                welcome = await lines.next()
                if welcome.get("Kind") != "welcome" or life != self.target.life():
                    return  # it isn't known who answered
                opening.deadline = float("inf")
                self._begin(life, welcome)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream, nursery.cancel_scope)
                    while self._leaving != "silent" and (frame := await lines.next()):
                        self._handle(frame)
                    if self._leaving == "silent":
                        await trio.sleep(_LOST_AFTER * self._heartbeat_s + 1)
                    nursery.cancel_scope.cancel()

    def _begin(self, life: str, welcome: dict[str, Any]) -> None:
        self.sessions += 1
        self._via = f"{life}#{self.name}-{self.sessions}"
        self._heartbeat_s = welcome["Heartbeat"]
        self._heard_at = self._sent_at = now()
        self._leaving = None
        self._outbox = []
        self._cancelled.clear()
        for request_id, line in self._pending.items():
            self._give(request_id, line)

    async def _write(self, stream: trio.SocketStream, session: trio.CancelScope) -> None:
        """Send what is due; end the session if nothing is heard."""
        while self._leaving is None:
            self._ask()
            if now() - self._sent_at >= self._heartbeat_s:
                self._outbox.append(frame_line("ping"))
            if self._outbox:
                data, self._outbox = b"".join(self._outbox), []
                self._sent_at = now()
                await stream.send_all(data)
            if now() - self._heard_at > _LOST_AFTER * self._heartbeat_s:
                session.cancel()
            await trio.sleep(TICK_S)
        if self._leaving == "half-close":
            await stream.send_eof()

    def _ask(self) -> None:
        while self.sending and len(self._pending) < self.parallel:
            self._made += 1
            request_id = f"{self.name}-{self._made}"
            fields, cancel_s = self.mix.draw(self.rng, request_id)
            self.history.invoke(request_id, now(), queue=self.target.queue)
            line = frame_line("request", Id=request_id, Queue=self.target.queue, **fields)
            self._pending[request_id] = line
            self._give(request_id, line)
            if cancel_s is not None:
                self._cancels[request_id] = now() + cancel_s
        for request_id, due in self._cancels.items():
            if due <= now() and request_id not in self._cancelled:
                self._cancelled.add(request_id)
                self.history.cancel(request_id, now())
                self._outbox.append(frame_line("cancel", Id=request_id))

    def _give(self, request_id: str, line: bytes) -> None:
        self.history.sent(request_id, now(), self._via)
        self._outbox.append(line)

    def _handle(self, frame: dict[str, Any]) -> None:
        self._heard_at = now()
        if frame["Kind"] == "ping":
            self._outbox.append(frame_line("pong"))
        if frame["Kind"] != "reply":
            return
        request_id = frame["Id"]
        self.history.answered(
            request_id,
            Answer(
                now(), self._via, frame["Outcome"], frame.get("Attempts", 0),
                retry=frame.get("Retry", False),
            ),
        )  # fmt: skip
        if not frame.get("Retry"):
            self._pending.pop(request_id, None)
            self._cancels.pop(request_id, None)


@attrs.define(eq=False)
class ClassicClient:
    """Makes one connection a request."""

    name: str
    history: History
    target: Target
    rng: random.Random
    parallel: int = 2
    mix: Mix = attrs.Factory(lambda: Mix(cancelled=0.0))
    sending: bool = False
    patience_s: float = 10.0
    _made: int = 0
    _pending: int = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is pending."""
        return not self._pending

    async def run(self) -> None:
        """Make requests until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.parallel):
                nursery.start_soon(self._loop)

    async def _loop(self) -> None:
        while True:
            if self.sending:
                self._pending += 1
                try:
                    await self._request()
                finally:
                    self._pending -= 1
            await trio.sleep(TICK_S)

    async def _request(self) -> None:
        self._made += 1
        number, life = self._made, self.target.life()
        request_id, via = f"{self.name}-{number}", f"{life}#{self.name}-{number}"
        fields, _ = self.mix.draw(self.rng, request_id)
        with trio.move_on_after(self.patience_s):
            try:
                async with await self.target.connect() as stream:
                    if life != self.target.life():
                        return
                    self.history.invoke(request_id, now(), queue=self.target.queue)
                    self.history.sent(request_id, now(), via)
                    message = {"Queue": self.target.queue, **fields}
                    await stream.send_all(json.dumps(message).encode())
                    data = b""
                    async for piece in stream:
                        data += piece
                self.history.answered(request_id, _classic_answer(json.loads(data), via))
            except BROKEN:
                await trio.sleep(RECONNECT_S)
        request = self.history.requests.get(request_id)
        if request is not None and request.pending:
            self.history.left(request_id, now())


def _classic_answer(reply: dict[str, Any], via: str) -> Answer:
    """A classic reply has no outcome: tell it by the rest."""
    error, attempts = reply.get("Error", ""), reply.get("Attempts", 0)
    if reply.get("Timeout", 0) > 0:
        outcome = "timeout"
    elif not error and not reply.get("Retcode"):
        outcome = SUCCESS
    elif error.startswith("lost:"):
        outcome = LOST
    elif reply.get("Node"):
        outcome = "failure"
    else:  # what was accepted has waited
        outcome = CANCELLED if reply.get("Waittime") else REJECTED
    return Answer(now(), via, outcome, attempts)


class Lines:
    """The frames that come by a session."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._unread = b""

    async def next(self) -> dict[str, Any]:
        """Return the next one, or nothing at the end."""
        while b"\n" not in self._unread:
            data = await self._stream.receive_some(65536)
            if not data:
                return {}
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        frame: dict[str, Any] = json.loads(line)
        return frame


def frame_line(kind: str, **fields: object) -> bytes:
    """Return a frame as it is sent."""
    return json.dumps({"Kind": kind, **fields}).encode() + b"\n"
