"""One session connection: frames in, frames out, and whether the other side is still there.

``Peer.run`` owns two tasks. The reader hands each batch of frames to a synchronous handler; all
lines that a peer gets by it leave in one write, at once if the connection takes them. What it
doesn't take, and what is sent at other times, is the writer's.
``keep_alive`` is one task for any number of peers: thousands of idle connections need no timer
of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from scalab.protocol.codec import encode_frame
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import Bye, Frame, Ping, Pong, Refusal
from scalab.protocol.session import Session, State

from .direct import Direct
from .streams import Stream

RECEIVE_BYTES = 65536
BACKLOG_BYTES = 1 << 20
"""A peer that has so much unread from us is not listened to until it reads."""
LOST_AFTER = 3
"""Heartbeat times of silence after which a peer is lost."""
BEATS_AT_ONCE = 32
"""Peers whose heartbeats are looked after in one go."""
LAST_WORD_S = 1.0
"""Time that the last lines have to leave, in seconds."""

_PING, _PONG, _BYE = encode_frame(Ping()), encode_frame(Pong()), encode_frame(Bye())


class Batch:
    """The peers that get lines while a batch of frames is handled: each gets them in one write."""

    def __init__(self) -> None:
        self.open = False
        self.peers: list[Peer] = []

    def close(self) -> None:
        """Write what has gathered."""
        self.open = False
        for peer in self.peers:
            peer.write_now()
        self.peers.clear()


class Peer:
    """The other side of a session.

    Args:
        stream: The connection; whoever made it closes it.
        session: Checks what arrives.
        batch: Shared by all peers to which a handler may send; one's own if it sends to no other.
    """

    def __init__(self, stream: Stream, session: Session, batch: Batch | None = None) -> None:
        self.session = session
        self.error: ProtocolError | None = None
        """Why the session ended, if not as it should."""
        self.broken: Exception | None = None
        """What broke the connection, if something did."""
        self._stream = stream
        self._direct = Direct(stream)
        self._batch = Batch() if batch is None else batch
        self._stirred = False
        """Whether what is in the outbox is going to be sent without anybody's doing more."""
        self._outbox: list[bytes] = []
        self._backlog = 0
        self._wake = trio.Event()
        self._flushed = trio.Event()
        self._closing = False
        self._scope = trio.CancelScope()
        now = trio.current_time()
        self._heard_at = self._sent_at = now
        self._unsent_since: float | None = None
        self._unanswered = 0
        """Our pings that no pong has answered yet."""
        self._answered = trio.Event()

    # --- sending -----------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Send a frame soon; never waits."""
        self.send_line(encode_frame(frame))

    def send_line(self, line: bytes) -> None:
        """Send an encoded frame soon; never waits."""
        if self._put(line):
            if self._batch.open:
                self._batch.peers.append(self)
            else:
                self._wake.set()

    def _put(self, line: bytes) -> bool:
        """Add to the outbox; return whether the caller has to see to it that it is sent."""
        if self._closing:
            return False
        self._outbox.append(line)
        self._backlog += len(line)
        if self._stirred:
            return False
        self._stirred = True
        return True

    def write_now(self) -> None:
        """Write what is in the outbox, as far as that needs no waiting; the writer does the rest.

        Waking the writer for each batch of each peer would cost as much as the system call.
        """
        if self._unsent_since is None:  # else the writer is at it
            data = b"".join(self._outbox)
            sent = self._direct.write(data)
            self._backlog -= sent
            if sent == len(data):
                self._outbox.clear()
                self._stirred = False
                self._sent_at = trio.current_time()
                return
            self._outbox = [data[sent:]]
        self._wake.set()

    def close(self, last: Frame | None = None) -> None:
        """Say a last word, ``bye`` by default, send what is left, and end ``run``."""
        self.send_line(_BYE if last is None else encode_frame(last))
        self._closing = True
        self._wake.set()

    def abort(self, error: ProtocolError | None = None) -> None:
        """End ``run`` at once."""
        self.error = self.error or error
        self._scope.cancel(reason=str(error) if error else "aborted")

    # --- life --------------------------------------------------------------------------------

    async def run(self, handle: Callable[[list[Frame]], None]) -> None:
        """Serve the connection until either side ends it.

        A session that ends otherwise than by ``bye`` or the end of the stream leaves the reason
        in ``error``.

        Args:
            handle: Called with each batch of frames; what it raises as ProtocolError ends the
                session.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read(handle)
                # What was sent in answer to the last batch, a refusal perhaps, goes out.
                self._closing = True
                self._wake.set()
                nursery.cancel_scope.relative_deadline = LAST_WORD_S

    async def _read(self, handle: Callable[[list[Frame]], None]) -> None:
        try:
            await self._read_frames(handle)
        except ProtocolError as exc:
            self.error = exc
            if self.session.sender in ("client", "backend"):  # the frontend says why it ends
                self.send(Refusal(str(exc)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.broken = exc
            self.abort()

    async def _read_frames(self, handle: Callable[[list[Frame]], None]) -> None:
        session, read = self.session, self._direct.read
        data = b""  # bytes that came with the opening are already with the session
        while True:
            frames = session.receive(data)
            if frames:
                self._batch.open = True
                try:
                    self._answer_pings(frames)
                    handle(frames)
                finally:
                    self._batch.close()
            if session.state is State.CLOSED or self._closing:
                return
            while self._backlog > BACKLOG_BYTES:
                self._flushed = trio.Event()
                await self._flushed.wait()
            data = await read(RECEIVE_BYTES)
            self._heard_at = trio.current_time()
            if not data:
                session.receive_eof()
                return

    def _answer_pings(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.__class__ is Ping:
                self.send_line(_PONG)
            elif frame.__class__ is Pong and self._unanswered:
                self._unanswered -= 1
                if not self._unanswered:
                    self._answered.set()

    async def _write(self) -> None:
        try:
            while True:
                if not self._outbox:
                    if self._closing:
                        break
                    self._wake = trio.Event()
                    self._stirred = False
                    await self._wake.wait()
                    continue
                data = b"".join(self._outbox)
                self._outbox.clear()
                self._unsent_since = trio.current_time()
                await self._stream.send_all(data)
                self._backlog -= len(data)
                self._sent_at = trio.current_time()
                self._unsent_since = None
                self._flushed.set()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader learns why
        self._scope.cancel(reason="all is sent and the connection closes")

    # --- liveness ----------------------------------------------------------------------------

    def beat(self, now: float, heartbeat_s: float) -> None:
        """Send a ping if nothing else was sent, and give up a peer that is silent or stuck."""
        lost_after_s = LOST_AFTER * heartbeat_s
        # In this order: a peer with too much unread is not listened to, so nothing is heard of it.
        if self._unsent_since is not None and now - self._unsent_since > lost_after_s:
            text = f"reads nothing for {now - self._unsent_since:.1f} s"
            self.abort(ProtocolError("slow", text))
        elif now - self._heard_at > lost_after_s:
            text = f"nothing heard for {now - self._heard_at:.1f} s"
            self.abort(ProtocolError("silent", text))
        elif self._unsent_since is None and now - self._sent_at >= heartbeat_s:
            self._ping()

    def _ping(self) -> None:
        self._unanswered += 1
        if self._put(_PING):
            self.write_now()

    def excuse(self, late_s: float) -> None:
        """Don't blame the peer for a time in which this process itself stood still."""
        self._heard_at += late_s
        if self._unsent_since is not None:
            self._unsent_since += late_s

    async def answers_within(self, seconds: float) -> bool:
        """Whether the peer answers a ping, one sent now, within ``seconds``."""
        answered = self._answered = trio.Event()
        self._ping()
        with trio.move_on_after(seconds):
            await answered.wait()
        return answered.is_set()


async def keep_alive(peers: Callable[[], Iterable[Peer]], heartbeat_s: float) -> None:
    """Keep the heartbeats of ``peers`` until cancelled.

    Args:
        peers: Called at each beat for whoever is connected then.
        heartbeat_s: Each peer is sent something at least about this often.
    """
    step_s = heartbeat_s / 2
    due = trio.current_time()
    while True:
        everyone = list(peers())
        # Ten thousand pings at once would keep everybody waiting: spread them over the step.
        starts = range(0, len(everyone), BEATS_AT_ONCE) or range(1)
        for start in starts:
            due += step_s / len(starts)
            await trio.sleep_until(due)
            now = trio.current_time()
            late_s = now - due
            if late_s > step_s:  # we were stopped, or busy: what was sent to us is still unread
                for peer in peers():
                    peer.excuse(late_s)
                due = now
            for peer in everyone[start : start + BEATS_AT_ONCE]:
                peer.beat(now, heartbeat_s)
