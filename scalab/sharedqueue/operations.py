"""What a frontend asks of the store, and what it is told: values, without I/O.

An operation is atomic in the store, and may be repeated: whoever got no answer sends it again.
All are of one queue and of one frontend, which the store knows. Ids are those of items in the
store, unique for a queue; ``session`` numbers the sessions of a client, so that what an earlier
one did late can't undo what a later one did.
"""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class Ending:
    """How an item ended."""

    outcome: str
    """``done``: a backend replied; ``lost``, ``cancelled`` and ``disconnected``: it ended in the
    store."""
    reply: bytes = b""
    """The holder's own words, for ``done``."""
    attempts: int = 0
    waited_s: float = 0.0


# --- requests of our clients -------------------------------------------------------------------


@attrs.frozen
class Enqueue:
    """Put an item in the line, or find out what has become of it."""

    id: str
    body: bytes
    session: int = 0
    limit: int = 0
    """Most items that may wait; 0 = unlimited."""
    again: bool = False
    """It was accepted before: the limit doesn't apply."""


@attrs.frozen
class Enqueued:
    """The answer to ``Enqueue`` and, for each item, to ``Check``."""

    state: Literal["waiting", "running", "ended", "full", "moved", "unknown"]
    """``moved``: a later session of its client has it; ``unknown`` comes of ``Check`` only."""
    fresh: bool = False
    """It was put in the line by this operation, not known before. (Maybe said twice.)"""
    ending: Ending | None = None
    """If it has ended."""


@attrs.frozen
class Check:
    """Ask what has become of items of ours: pairs of id and session."""

    items: tuple[tuple[str, int], ...]


@attrs.frozen
class Checked:
    """The answer: in the order of the question."""

    items: tuple[Enqueued, ...]


@attrs.frozen
class Cancel:
    """End an item early, unless a later session of its client has it."""

    id: str
    session: int = 0
    gone: bool = False
    """The session has ended, and nobody asked for the end of the item: a later session that
    enqueues it again finds it at its old place."""
    kill: bool = True
    """False: leave it alone if it runs."""


@attrs.frozen
class Cancelled:
    """The answer."""

    state: Literal["cancelled", "killing", "running", "ended", "moved"]
    """``cancelled``: it won't run; ``killing``: it runs, its holder is told, and the reply
    comes as ever; ``running``: it was left alone; ``ended``: it had ended before."""
    ending: Ending | None = None
    """If it was cancelled or has ended."""


# --- items that our backends run ---------------------------------------------------------------


@attrs.frozen
class Pull:
    """Take items, at most ``count``; the same ``id`` again gives the same items."""

    id: str
    count: int
    lease_s: float
    max_attempts: int


@attrs.frozen
class Leased:
    """An item that is ours until the lease ends."""

    id: str
    token: str
    body: bytes
    attempts: int
    """Crashes before."""
    waited_s: float
    """In the line, over all its waits."""


@attrs.frozen
class Pulled:
    """The answer."""

    items: tuple[Leased, ...]
    waiting: int = 0
    """That are left."""


@attrs.frozen
class Beat:
    """Renew leases: pairs of id and token."""

    leases: tuple[tuple[str, str], ...]
    lease_s: float


@attrs.frozen
class Beaten:
    """The answer: tokens of leases that aren't ours any more, and of those to be cancelled."""

    lost: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


@attrs.frozen
class Done:
    """Give in the reply to an item of ours."""

    id: str
    token: str
    reply: bytes
    keep_s: float
    """How long the reply is kept for a client that comes back."""
    cancelled: bool = False
    """The run was ended early by our order; if its client is back, it has to run again."""


@attrs.frozen
class Finished:
    """The answer."""

    state: Literal["mailed", "own", "stale", "again"]
    """``own``: its client is one of ours, tell it; ``stale``: the lease was lost, and the reply
    is void; ``again``: it is back in the line, as its client is back."""
    session: int = 0
    """The session of its client that is to be told."""


@attrs.frozen
class Release:
    """Give an item back to its old place in the line."""

    id: str
    token: str
    counted: bool
    """It was a crash of the backend; too many of them end the item."""
    max_attempts: int
    why: str = ""
    """Kept with an item that this ends."""


@attrs.frozen
class Released:
    """The answer."""

    state: Literal["waiting", "ended", "stale"]


# --- the queue ---------------------------------------------------------------------------------


@attrs.frozen
class Refresh:
    """Say that we are there, end leases that are over, and look at the queue."""

    alive_s: float
    """After so long without another one we are thought dead."""
    max_attempts: int
    report: bytes = b""
    """What we have to tell the others of ourselves."""


@attrs.frozen
class Refreshed:
    """The answer."""

    waiting: int
    running: int
    oldest_s: float
    """How long the head of the line has waited."""
    frontends: int
    generation: str
    """Another one than before: the store has lost its data."""
    reports: tuple[bytes, ...] = ()
    """What the frontends that are alive, we among them, told last."""


@attrs.frozen
class Leave:
    """Say that we are gone."""


@attrs.frozen
class Left:
    """The answer."""


Operation = Enqueue | Check | Cancel | Pull | Beat | Done | Release | Refresh | Leave
Answer = Enqueued | Checked | Cancelled | Pulled | Beaten | Finished | Released | Refreshed | Left


# --- what comes unasked ------------------------------------------------------------------------


@attrs.frozen
class Mailed:
    """An item of one of our clients has ended."""

    queue: str
    id: str
    session: int
    """The session of its client that is to be told; a later one finds out by itself."""
    ending: Ending


@attrs.frozen
class Kill:
    """An item that we hold is to end early."""

    queue: str
    id: str
    token: str


@attrs.frozen
class Wake:
    """Something waits in a queue in which nothing did. A hint: it may get lost."""

    queue: str


@attrs.frozen
class Connected:
    """The store is there, again: what came in between may be lost."""


@attrs.frozen
class Disconnected:
    """The store is away."""

    reason: str


Event = Mailed | Kill | Wake | Connected | Disconnected
