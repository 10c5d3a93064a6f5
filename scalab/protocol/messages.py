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

MAX_SECONDS = 1e9
"""Seconds in a message: some thirty years; sums of what a peer may claim stay finite."""

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


def check(message: Message) -> None:
    """Check the ranges of a message's fields; types are the decoder's to check.

    Raises:
        ProtocolError: ``field``.
    """
    for field in attrs.fields(message.__class__):
        if not field.metadata:
            continue
        value, limits = getattr(message, field.name), field.metadata
        if "most" in limits and not 0 <= value <= limits["most"]:
            text = "must not be negative" if value < 0 else f"must not be above {MAX_SECONDS:g}"
            raise ProtocolError("field", f"{wire_name(field.name)} {text}")
        if "longest" in limits and len(value) > limits["longest"]:
            text = f"is longer than {limits['longest']} characters"
            raise ProtocolError("field", f"{wire_name(field.name)} {text}")


def _seconds(default: Any = 0.0) -> Any:
    return attrs.field(default=default, metadata={"most": MAX_SECONDS})


def _name() -> Any:
    return attrs.field(default="", metadata={"longest": MAX_ID})


# The cost of a message is paid for each item, so the classes are not frozen (frozen ones cost
# twice as much to make), and ranges are checked where a message comes in, not where one is made.
# Nothing changes a message after it was decoded, except the frontend, which completes a backend's
# reply before it passes it on.


@attrs.define
class Request:
    """A client asks for one run of a queue's workload."""

    kind: ClassVar[str] = "request"
    queue: str
    args: list[str] = attrs.field(factory=list)
    limit_s: float = _seconds()
    """Run-time limit in seconds; 0 = the backend's own."""
    id: str = _name()


@attrs.define
class WorkRequest:
    """A classic backend asks for one item."""

    queue: str


@attrs.define
class WorkItem:
    """The frontend hands an item to a backend, or (classic) says why it can't."""

    kind: ClassVar[str] = "item"
    args: list[str] = attrs.field(factory=list)
    limit_s: float = _seconds()
    id: str = ""
    """Names this hand-over; a redelivered item has another."""
    error: str = ""
    empty: bool = False
    """The error is only that the queue is empty."""


@attrs.define
class Reply:
    """How a run ended: from the backend to the frontend, and completed by it, to the client."""

    kind: ClassVar[str] = "reply"
    id: str = ""
    pod: str = ""
    node: str = ""
    device: str = ""
    error: str = ""
    timeout_s: float = _seconds()
    """The run-time limit in seconds, if the workload hit it."""
    runtime_s: float = _seconds()
    waittime_s: float = _seconds()
    """Seconds in the queue; the frontend's."""
    retcode: int = 0
    attempts: int = 0
    """Hand-overs that ended in a crash, and the one that gave this reply; the frontend's."""
    outcome: str = ""
    """One of ``OUTCOMES``, or ``REJECTED``; the frontend's, sessions only."""
    reason: str = _name()
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
    run: str = _name()
    """A random name of a client's run, within which its requests' ids are unique: frontends that
    share queues know the requests by it. "" = they are new in each session."""
    session: int = 0
    """Number of this session within the run: higher than all before."""
    token: str = attrs.field(default="", repr=lambda token: "'…'" if token else "''")
    """The secret that lets its sender in; never shown."""


@attrs.define
class Welcome:
    """The frontend accepts a hello."""

    kind: ClassVar[str] = "welcome"
    version: int
    heartbeat_s: float = _seconds(attrs.NOTHING)
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
    retry: bool = False
    """It may be otherwise a little later."""


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
