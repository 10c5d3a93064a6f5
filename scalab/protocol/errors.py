"""The one exception for everything a peer can get wrong."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "incomplete",  # the peer closed, or fell silent, inside a message
    "malformed",  # not a JSON object
    "oversize",  # longer than a message may be
    "field",  # a field is missing or of the wrong type
    "unexpected",  # a message that this peer may not send now
    "version",  # a session version that we don't speak
    "silent",  # nothing was heard for longer than the heartbeats allow
    "slow",  # the peer doesn't read what it is sent
]

REASONS: tuple[Reason, ...] = Reason.__args__  # type: ignore[attr-defined]


class ProtocolError(Exception):
    """What a peer sent, or failed to send, breaks the protocol.

    Attributes:
        reason: A short word for counting; one of ``REASONS``.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason: Reason = reason
