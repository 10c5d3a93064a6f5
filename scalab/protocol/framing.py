"""Bytes to messages: JSON objects without terminator (classic), then one per line (sessions).

A classic message has neither length nor terminator, is usually pretty-printed and may come in
several segments, so its end is where its braces close: ``ObjectReader`` counts them, skipping
strings. A message is at most ``MAX_MESSAGE`` bytes, so counting again with every segment stays
cheap even for a peer that sends single bytes.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from .errors import ProtocolError

MAX_MESSAGE = 1024
"""Bytes of one message, classic or session, its line feed not counted."""

ENVELOPE = 128
"""Bytes that the frontend may add around a client's arguments when it hands them to a backend."""

# A string that is still open at the end of the buffer counts as a string: braces in it are text.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[{}]', re.DOTALL)
_SPACE = b" \t\r\n"


def parse_object(data: bytes | bytearray) -> dict[str, Any]:
    """Parse ``data`` as exactly one JSON object.

    Raises:
        ProtocolError: ``malformed``.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise ProtocolError("malformed", f"not valid JSON: {exc.msg} at byte {exc.pos}") from None
    if value.__class__ is not dict:
        raise ProtocolError("malformed", "not a JSON object")
    return value


def object_end(data: bytes | bytearray) -> int | None:
    """Return the index just past the first object in ``data``, None while it is still open."""
    depth = 0
    for token in _TOKEN.finditer(data):
        match token[0]:
            case b"{":
                depth += 1
            case b"}":
                depth -= 1
                if depth <= 0:
                    return token.end()
    return None


class ObjectReader:
    """Collects one JSON object from any number of segments."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rest = b""
        """What followed the object; complete lines of a session, or nothing."""

    def feed(self, data: bytes) -> dict[str, Any] | None:
        """Add a segment; return the object once it is complete, None before.

        Raises:
            ProtocolError: ``malformed`` or ``oversize``.
        """
        self._buffer += data
        begun = self._buffer[:MAX_MESSAGE].lstrip(_SPACE)
        if begun and not begun.startswith(b"{"):
            raise ProtocolError("malformed", "a message must be a JSON object")
        # A segment without a closing brace can't complete an object.
        end = object_end(self._buffer) if b"}" in data else None
        # Space before the object counts, or else the verdict would depend on the segments.
        size = len(self._buffer) if end is None else end
        if size > MAX_MESSAGE:
            raise ProtocolError("oversize", f"message longer than {MAX_MESSAGE} bytes")
        if end is None:
            return None
        message, self.rest = self._buffer[:end], bytes(self._buffer[end:])
        self._buffer.clear()
        return parse_object(message)

    def feed_eof(self) -> None:
        """Say that no more bytes will come.

        Raises:
            ProtocolError: ``incomplete``, if a message had begun and is not complete.
        """
        if self.started:
            raise ProtocolError("incomplete", "connection closed inside a message")

    @property
    def started(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer.strip(_SPACE))


class LineReader:
    """Splits a session's bytes into lines, each of at most ``limit`` bytes."""

    def __init__(self, limit: int = MAX_MESSAGE, initial: bytes = b"") -> None:
        self._limit = limit
        self._partial = initial

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; return the lines that they complete, without their line feeds.

        Raises:
            ProtocolError: ``oversize``; nothing of a line that is too long is returned.
        """
        *lines, self._partial = (self._partial + data).split(b"\n")
        if max(map(len, lines), default=0) > self._limit or len(self._partial) > self._limit:
            raise ProtocolError("oversize", f"message longer than {self._limit} bytes")
        return lines

    def feed_eof(self) -> None:
        """Say that no more bytes will come.

        Raises:
            ProtocolError: ``incomplete``, if a line had begun.
        """
        if self._partial:
            raise ProtocolError("incomplete", "connection closed inside a message")
