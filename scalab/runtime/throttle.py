"""Letting through only so many events of a kind. No I/O, and no clock."""

from __future__ import annotations

from collections.abc import Hashable

import attrs


@attrs.define(eq=False)
class _Kind:
    """How many more events of a kind may pass at once, and what was held back."""

    room: float
    since: float
    held: int = 0


@attrs.define(eq=False)
class Throttle:
    """Passes a burst of each kind of events, and then one every ``period_s``.

    The memory is bounded: kinds beyond ``most_kinds`` share one account, so that nobody gets more
    through by inventing kinds.
    """

    burst: int = 10
    period_s: float = 10.0
    most_kinds: int = 64
    _kinds: dict[Hashable, _Kind] = attrs.field(factory=dict, init=False)

    def passes(self, kind: Hashable, now: float) -> int | None:
        """Say whether an event may pass.

        Args:
            kind: Which events it is one of.
            now: Seconds of a monotonic clock.

        Returns:
            None if it may not. Otherwise how many of its kind did not since one last did.
        """
        if kind not in self._kinds and len(self._kinds) >= self.most_kinds:
            kind = None
        account = self._kinds.setdefault(kind, _Kind(self.burst, now))
        account.room = min(account.room + (now - account.since) / self.period_s, self.burst)
        account.since = now
        if account.room < 1:
            account.held += 1
            return None
        account.room -= 1
        held, account.held = account.held, 0
        return held
