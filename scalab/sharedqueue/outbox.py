"""What a queue has to tell the store, in order, and what is to be done with the answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .operations import Answer, Cancel, Done, Operation, Release

MAX_BATCH = 500
"""Operations that are on their way at a time."""

_OWED = (Done, Release, Cancel)

Then = Callable[[Any, float], None]
"""Takes the answer, of the kind that the operation has, and the time."""


class Post(NamedTuple):
    """An operation, and who takes the answer."""

    operation: Operation
    then: Then


def ignore(_answer: object, _now: float) -> None:
    """Take an answer that changes nothing."""


class Outbox:
    """Operations in the order in which they were posted.

    One batch is on its way at a time. As long as it has no answer it is what there is to send: the
    store takes a repeated operation as the same one.

    Args:
        wake: Called when there is something to send.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._posts: deque[Post] = deque()
        self._sent: list[Post] = []
        self._wake = wake

    def __len__(self) -> int:
        return len(self._posts) + len(self._sent)

    @property
    def owed(self) -> int:
        """Operations without which others would have to wait for us to be found dead."""
        return sum(
            isinstance(p.operation, _OWED) for part in (self._posts, self._sent) for p in part
        )

    def post(self, operation: Operation, then: Then = ignore) -> None:
        """Have ``operation`` sent after all others."""
        self._posts.append(Post(operation, then))
        self._wake()

    def take(self, last: Callable[[], Post | None]) -> list[Operation]:
        """Return what is to be sent now: a new batch, or once more the one without an answer.

        Args:
            last: Asked for what is decided at the last moment, and sent behind all else.
        """
        if not self._sent:
            count = min(MAX_BATCH, len(self._posts))
            self._sent = [self._posts.popleft() for _ in range(count)]
            post = last()
            if post is not None:
                self._sent.append(post)
        return [post.operation for post in self._sent]

    def answered(self, answers: Sequence[Answer], now: float) -> None:
        """Take the answers to the batch that is on its way, in its order."""
        sent, self._sent = self._sent, []
        for post, answer in zip(sent, answers, strict=True):
            post.then(answer, now)
        if self._posts:
            self._wake()
