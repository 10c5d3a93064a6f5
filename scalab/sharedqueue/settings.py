"""What a frontend is told of the store that it shares its queues by."""

from __future__ import annotations

import attrs

from scalab.errors import ConfigError
from scalab.redis.server import Server

MIN_LEASE_S = 1.0
MIN_KEEP_S = 10.0


@attrs.frozen(kw_only=True)
class StoreSettings:
    """Validated once, never changed. All frontends of a queue should have the same."""

    server: Server
    lease_s: float = 15.0
    """Items of a frontend that was silent for so long are handed out again."""
    result_ttl_s: float = 60.0
    """How long a reply is kept for a client that comes back, and what waits for a client whose
    frontend is dead."""
    timeout_s: float = 2.0
    """A command without an answer for so long makes a new connection."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if self.lease_s < MIN_LEASE_S:
            raise ConfigError(f"--lease must be at least {MIN_LEASE_S:g} s")
        if self.result_ttl_s < MIN_KEEP_S:  # replies must outlast the time until we ask for them
            raise ConfigError(f"--result-ttl must be at least {MIN_KEEP_S:g} s")
