"""Commands to bytes, and bytes to replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from scalab.errors import ConfigError

from .errors import UnavailableError

try:
    import hiredis
except ModuleNotFoundError:
    raise ConfigError(
        "a store on Redis needs the package hiredis: pip install 'scalab[redis]'"
    ) from None

Word = str | bytes | int
Command = tuple[Word, ...]
Reply = Any
"""bytes, int, None, a list or dict of replies, or a ``ReplyError`` as a value."""

Push = hiredis.PushNotification
ReplyError = hiredis.ReplyError

_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)  # it is typed for one word only

MAX_REPLY = 4 << 20
"""Bytes of one reply. No answer that we ask for comes near it."""


def encode(commands: Sequence[Command]) -> bytes:
    """Return the bytes of some commands."""
    return b"".join([_pack(command) for command in commands])


class Decoder:
    """Turns what a server sends into replies, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._unread = 0
        """Bytes since the last complete reply."""

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield the replies that are complete now.

        Raises:
            UnavailableError: ``protocol``: it is no reply at all, or too long a one.
        """
        self._reader.feed(data)
        self._unread += len(data)
        while (reply := self._next()) is not _MORE:
            self._unread = self._reader.len()
            yield reply
        if self._unread > MAX_REPLY:
            raise UnavailableError("protocol", f"a reply of more than {MAX_REPLY} bytes")

    def _next(self) -> Reply:
        try:
            return self._reader.gets()
        except hiredis.ProtocolError as exc:
            raise UnavailableError("protocol", f"what answers is no Redis server: {exc}") from None
        except MemoryError:  # it announces a list that nobody could hold
            raise UnavailableError("protocol", "a reply of absurd length") from None


_MORE = object()
