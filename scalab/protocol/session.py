"""The rules of a session, without I/O: bytes in, frames out.

A session is one lasting connection. Its life, seen by either side:

    OPENING ──hello/welcome──▶ OPEN ──bye, error, end of stream──▶ CLOSED

Two rules hold everywhere:

1. In OPENING a client or backend may only send its hello, and the frontend only its welcome or
   an error. In OPEN each role may send just the frames listed for it in ``MAY_SEND``.
2. After CLOSED nothing that arrives has an effect.

``drain`` changes no state here: it tells the other side what to expect, and what follows from it
is for the roles to decide.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from .codec import decode_frame, decode_hot, hot_decoders
from .errors import ProtocolError
from .framing import ENVELOPE, MAX_MESSAGE, LineReader
from .messages import (
    VERSION,
    Bye,
    Cancel,
    Drain,
    Empty,
    Frame,
    Hello,
    Ping,
    Pong,
    Pull,
    Refusal,
    Release,
    Reply,
    Request,
    Welcome,
    WorkItem,
)
from .text import printable

Role = Literal["client", "backend"]
Sender = Literal["client", "backend", "frontend to client", "frontend to backend"]

_LAST = (Bye, Refusal)
_ALWAYS: tuple[type[Frame], ...] = (Ping, Pong, Drain, Bye)
MAY_SEND: dict[Sender, frozenset[type[Frame]]] = {
    "client": frozenset((Request, Cancel, *_ALWAYS)),
    "backend": frozenset((Reply, Release, Pull, *_ALWAYS)),
    "frontend to client": frozenset((Reply, Refusal, *_ALWAYS)),
    "frontend to backend": frozenset((WorkItem, Cancel, Empty, Refusal, *_ALWAYS)),
}


class State(Enum):
    """Where a session is in its life."""

    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """What arrives on one session, checked against the rules.

    Args:
        sender: Who is at the other end.
        state: ``OPEN`` for the frontend, which has read the hello before there is a session.
        initial: Bytes that came after the hello.
    """

    def __init__(self, sender: Sender, state: State = State.OPENING, initial: bytes = b"") -> None:
        self.sender: Sender = sender
        self.state = state
        limit = MAX_MESSAGE + (ENVELOPE if sender == "frontend to backend" else 0)
        self._lines = LineReader(limit, initial)
        self._may_send = MAY_SEND[sender]
        self._hot = hot_decoders(self._may_send) if state is State.OPEN else {}

    def receive(self, data: bytes) -> list[Frame]:
        """Add bytes; return the frames that they complete.

        Raises:
            ProtocolError: Any reason; the session is then CLOSED. Frames before the faulty one
                are lost with it, as the connection is.
        """
        try:
            return self._receive(data)
        except ProtocolError:
            self.state = State.CLOSED
            raise

    def _receive(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self.state is State.CLOSED:
            return frames
        hot = self._hot
        for line in self._lines.feed(data):
            frame = decode_hot(line, hot)
            if frame is None:
                frame = self._other(line)
                if frame is None:
                    continue
                if isinstance(frame, _LAST):
                    self.state = State.CLOSED
                    frames.append(frame)
                    break
            frames.append(frame)
        return frames

    def _other(self, line: bytes) -> Frame | None:
        """Take a line that is not what is sent for each item, or not in the usual form."""
        if not line or line.isspace():
            return None  # it does no harm, and whoever types by hand makes some
        frame = decode_frame(line)
        if self.state is State.OPENING:
            self._open(frame)
        elif frame.__class__ not in self._may_send:
            raise ProtocolError("unexpected", f"a {self.sender} may not send {frame.kind} now")
        return frame

    def receive_eof(self) -> None:
        """Say that the stream ended.

        Raises:
            ProtocolError: ``incomplete``, if it ended inside a message.
        """
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._lines.feed_eof()

    def _open(self, frame: Frame) -> None:
        if isinstance(frame, Welcome):
            if frame.version != VERSION:
                raise ProtocolError("version", f"the frontend speaks version {frame.version}")
            self.state = State.OPEN
            self._hot = hot_decoders(self._may_send)
        elif not isinstance(frame, Refusal):
            raise ProtocolError("unexpected", f"expected welcome, got {frame.kind}")


def check_hello(hello: Hello, role: Role) -> None:
    """Check what the frontend can't serve.

    Args:
        hello: What the peer sent.
        role: Who is served on the port where it was sent.

    Raises:
        ProtocolError: ``version`` or ``field``; its text is for the peer.
    """
    if hello.version != VERSION:
        raise ProtocolError(
            "version", f"session version {hello.version} is not supported, only {VERSION}"
        )
    if hello.role != role:
        raise ProtocolError(
            "unexpected",
            f"this port is for a {role}, not for {printable(repr(hello.role), 40)}",
        )
    if hello.run and not (hello.run.isascii() and hello.run.isalnum()):
        raise ProtocolError("field", "Run must be of letters and digits")
    if not 0 <= hello.session < 1 << 53:
        raise ProtocolError("field", "Session must be from 0 to 2^53 - 1")
    if not 1 <= hello.slots <= 65536:
        raise ProtocolError("field", "Slots must be from 1 to 65536")
