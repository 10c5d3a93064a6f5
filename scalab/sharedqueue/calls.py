"""Operations as the arguments of their scripts, and what the scripts return as answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .operations import (
    Answer,
    Beat,
    Beaten,
    Cancel,
    Cancelled,
    Check,
    Checked,
    Done,
    Ending,
    Enqueue,
    Enqueued,
    Finished,
    Kill,
    Leased,
    Leave,
    Left,
    Mailed,
    Operation,
    Pull,
    Pulled,
    Refresh,
    Refreshed,
    Release,
    Released,
)

Raw = Any
"""What a script returns: bytes, numbers, and lists of such."""
Args = tuple[str | bytes | int, ...]


def micro(seconds: float) -> int:
    """Return a duration as the scripts want it."""
    return round(seconds * 1e6)


def milli(seconds: float) -> int:
    """Return a time to live, which must not be nothing, as the server wants it."""
    return max(round(seconds * 1e3), 1)


# --- there ---------------------------------------------------------------------------------------

_ARGS: dict[type, Callable[[Any], Args]] = {
    Enqueue: lambda o: (o.id, o.body, o.session, o.limit, int(o.again)),
    Check: lambda o: tuple(word for pair in o.items for word in pair),
    Cancel: lambda o: (o.id, o.session, int(o.gone), int(o.kill)),
    Pull: lambda o: (o.id, o.count, micro(o.lease_s), o.max_attempts),
    Beat: lambda o: (micro(o.lease_s), *(word for pair in o.leases for word in pair)),
    Done: lambda o: (o.id, o.token, o.reply, milli(o.keep_s), int(o.cancelled)),
    Release: lambda o: (o.id, o.token, int(o.counted), o.max_attempts, o.why),
    Refresh: lambda o: (micro(o.alive_s), o.max_attempts, o.report),
    Leave: lambda _: (),
}


def call_of(operation: Operation) -> tuple[str, Args]:
    """Return the name of the script that does an operation, and the arguments of its own."""
    kind = type(operation)
    return kind.__name__.lower(), _ARGS[kind](operation)


# --- and back ------------------------------------------------------------------------------------


def _ending(raw: Raw) -> Ending:
    outcome, reply, attempts, waited = raw
    return Ending(outcome.decode(), reply, attempts, waited / 1e6)


def _enqueued(raw: Raw) -> Enqueued:
    state, fresh, ending = (*raw, 0, None)[:3]
    return Enqueued(state.decode(), bool(fresh), _ending(ending) if ending else None)


def _cancelled(raw: Raw) -> Cancelled:
    return Cancelled(raw[0].decode(), _ending(raw[1]) if len(raw) > 1 else None)


def _pulled(raw: Raw) -> Pulled:
    items = tuple(
        Leased(id_.decode(), token.decode(), body, attempts, waited / 1e6)
        for id_, token, body, attempts, waited in raw[0]
    )
    return Pulled(items, raw[1])


def _beaten(raw: Raw) -> Beaten:
    lost, cancelled = (tuple(token.decode() for token in tokens) for tokens in raw)
    return Beaten(lost, cancelled)


def _refreshed(raw: Raw) -> Refreshed:
    waiting, running, oldest, frontends, generation, reports = raw
    told = tuple(report for report in reports if report)
    return Refreshed(waiting, running, oldest / 1e6, frontends, generation.decode(), told)


_ANSWERS: dict[type, Callable[[Raw], Answer]] = {
    Enqueue: _enqueued,
    Check: lambda raw: Checked(tuple(_enqueued(item) for item in raw)),
    Cancel: _cancelled,
    Pull: _pulled,
    Beat: _beaten,
    Done: lambda raw: Finished(raw[0].decode(), raw[1]),
    Release: lambda raw: Released(raw.decode()),
    Refresh: _refreshed,
    Leave: lambda _: Left(),
}


def answer_of(operation: Operation, raw: Raw) -> Answer:
    """Return the answer to an operation, of what its script returned."""
    return _ANSWERS[type(operation)](raw)


def letter_of(queue: str, raw: Raw) -> Mailed | Kill:
    """Return what a letter in the mailbox says, a list of names and values."""
    words = dict(zip(raw[::2], raw[1::2], strict=True))
    item = words[b"id"].decode()
    if words[b"k"] == b"kill":
        return Kill(queue, item, words[b"tok"].decode())
    fields = (words[b"outcome"], words[b"reply"], int(words[b"att"]), int(words[b"waited"]))
    return Mailed(queue, item, int(words[b"ses"]), _ending(fields))
