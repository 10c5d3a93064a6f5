"""The messages, as attrs classes.

Classic messages and session frames share classes and field names: a frame is a message that also
has a ``Kind`` and mostly an ``Id``. How they look on the wire is in codec.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from .errors import ProtocolError

VERSION = 1
"""The session protocol's version, carried by the hello."""

MAX_ID = 64
"""Characters of a request's ``Id``."""

SUCCESS, FAILURE, TIMEOUT = "success", "failure", "timeout"
DISCONNECTED, CANCELLED, LOST = "disconnected", "cancelled", "lost"
REJECTED = "rejected"
UNKNOWN_QUEUE = "unknown_queue"
"""A reason of rejection that no waiting can cure."""

OUTCOMES = (SUCCESS, FAILURE, TIMEOUT, DISCONNECTED, CANCELLED, LOST)
"""How an accepted item ends: in exactly one of these."""


def wire_name(name: str) -> str:
    """``limit_s`` → ``Limit``: on the wire, seconds go without saying."""
    return name.removesuffix("_s").removesuffix("_").capitalize().replace("_", "")


def _non_negative(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if value < 0:
        raise ProtocolError("field", f"{wire_name(attribute.name)} must not be negative")


def _bounded(limit: int) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
        if len(value) > limit:
            name = wire_name(attribute.name)
            raise ProtocolError("field", f"{name} is longer than {limit} characters")

    return check


# The decoding cost of a message is paid for each item, so the classes are not frozen (frozen ones
# cost twice as much to make); nothing changes a message after it was decoded, except the
# frontend, which completes a backend's reply before it passes it on.


@attrs.define
class Request:
    """A client asks for one run of a queue's workload."""

    kind: ClassVar[str] = "request"
    queue: str
    args: list[str] = attrs.field(factory=list)
    limit_s: float = attrs.field(default=0.0, validator=_non_negative)
    """Run-time limit in seconds; 0 = the backend's own."""
    id: str = attrs.field(default="", validator=_bounded(MAX_ID))


@attrs.define
class WorkRequest:
    """A classic backend asks for one item."""

    queue: str


@attrs.define
class WorkItem:
    """The frontend hands an item to a backend, or (classic) says why it can't."""

    kind: ClassVar[str] = "item"
    args: list[str] = attrs.field(factory=list)
    limit_s: float = attrs.field(default=0.0, validator=_non_negative)
    id: str = ""
    """Names this hand-over; a redelivered item has another."""
    error: str = ""
    empty: bool = False
    """The error is only that the queue is empty."""


@attrs.define(on_setattr=attrs.setters.NO_OP)  # the frontend completes it on the hot path
class Reply:
    """How a run ended: from the backend to the frontend, and completed by it, to the client."""

    kind: ClassVar[str] = "reply"
    id: str = ""
    pod: str = ""
    node: str = ""
    device: str = ""
    error: str = ""
    timeout_s: float = attrs.field(default=0.0, validator=_non_negative)
    """The run-time limit in seconds, if the workload hit it."""
    runtime_s: float = attrs.field(default=0.0, validator=_non_negative)
    waittime_s: float = attrs.field(default=0.0, validator=_non_negative)
    """Seconds in the queue; the frontend's."""
    retcode: int = 0
    attempts: int = 0
    """Hand-overs that ended in a crash, and the one that gave this reply; the frontend's."""
    outcome: str = ""
    """One of ``OUTCOMES``, or ``REJECTED``; the frontend's, sessions only."""
    reason: str = attrs.field(default="", validator=_bounded(MAX_ID))
    """Why it was rejected, in a word; the frontend's, sessions only."""
    retry: bool = False
    """The frontend is stopping: send the same request to the next one."""


@attrs.define
class Hello:
    """Opens a session; always the first message."""

    kind: ClassVar[str] = "hello"
    version: int
    role: str
    """``client`` or ``backend``."""
    queue: str = ""
    """A backend's queue."""
    slots: int = 1
    """How many items a backend runs at once."""
    wait: bool = True
    """Whether a backend's free slots wait for items; otherwise it is told ``empty``."""
    node: str = ""
    pod: str = ""


@attrs.define
class Welcome:
    """The frontend accepts a hello."""

    kind: ClassVar[str] = "welcome"
    version: int
    heartbeat_s: float = attrs.field(validator=_non_negative)
    """Each side sends something at least this often; after three such times of silence it is
    lost."""
    server: str = ""


@attrs.define
class Cancel:
    """A client no longer wants its request; the frontend tells the backend that runs it."""

    kind: ClassVar[str] = "cancel"
    id: str


@attrs.define
class Release:
    """A backend gives an item back unfinished, because it stops; this counts as no attempt."""

    kind: ClassVar[str] = "release"
    id: str


@attrs.define
class Empty:
    """Nothing waits, and the backend asked not to wait: its free slots rest until it pulls."""

    kind: ClassVar[str] = "empty"


@attrs.define
class Pull:
    """A backend that was told ``empty`` asks again."""

    kind: ClassVar[str] = "pull"


@attrs.define
class Drain:
    """The sender stops: it takes no more work, and finishes what it has."""

    kind: ClassVar[str] = "drain"


@attrs.define
class Bye:
    """The sender has nothing more to say, and closes."""

    kind: ClassVar[str] = "bye"


@attrs.define
class Ping:
    """Are you there? Answered by a pong at once."""

    kind: ClassVar[str] = "ping"


@attrs.define
class Pong:
    """The answer to a ping."""

    kind: ClassVar[str] = "pong"


@attrs.define
class Refusal:
    """The frontend ends the session, and says why."""

    kind: ClassVar[str] = "error"
    error: str


Frame = (
    Request
    | WorkItem
    | Reply
    | Hello
    | Welcome
    | Cancel
    | Release
    | Empty
    | Pull
    | Drain
    | Bye
    | Ping
    | Pong
    | Refusal
)

FRAMES: dict[str, type[Frame]] = {
    cls.kind: cls
    for cls in (
        *(Request, WorkItem, Reply, Hello, Welcome, Cancel, Release, Empty, Pull, Drain, Bye),
        *(Ping, Pong, Refusal),
    )
}

Message = Frame | WorkRequest
