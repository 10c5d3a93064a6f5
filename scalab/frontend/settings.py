"""What a frontend is told at its start."""

from __future__ import annotations

import attrs

from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.queueing.dispatch import OnClientGone
from scalab.runtime.net import Address
from scalab.sharedqueue.settings import StoreSettings

MAX_QUEUE_NAME = 64
DEFAULT_CLIENT_ADDR = Address("localhost", 9997)
DEFAULT_WORKER_ADDR = Address("localhost", 9999)
DEFAULT_METRICS_ADDR = Address("localhost", 9998)


@attrs.frozen(kw_only=True)
class FrontendSettings:
    """Validated once, never changed."""

    queues: tuple[str, ...]
    client_addr: Address = DEFAULT_CLIENT_ADDR
    worker_addr: Address = DEFAULT_WORKER_ADDR
    metrics_addr: Address = DEFAULT_METRICS_ADDR
    allow_hosts: tuple[str, ...] = ()
    """Further names under which browsers may ask for the page."""
    queue_max: int = 0
    """Most items that may wait in a queue; 0 = unlimited."""
    interval_s: float = 0.0
    """Seconds between queue statistics in the log; 0 = off."""
    max_attempts: int = 3
    on_client_gone: OnClientGone = "cancel"
    grace_s: float = 25.0
    """Time that running items have to end when the frontend stops."""
    heartbeat_s: float = 5.0
    opening_deadline_s: float = 5.0
    """Time that a new connection has to say what it wants."""
    max_connections: int = 20000
    connections_per_address: int = 0
    """Most connections of one peer address; 0 = unlimited."""
    access: AccessSettings = attrs.Factory(AccessSettings)
    store: StoreSettings | None = None
    """Where the queues are if other frontends have them, too; None = in memory."""
    verbose: bool = False
    """Log every message."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not self.queues:
            raise ConfigError("name at least one queue to serve")
        for name in self.queues:
            if not name.isprintable() or not 0 < len(name) <= MAX_QUEUE_NAME:
                text = f"queue name {name!r}: use 1 to {MAX_QUEUE_NAME} printable characters"
                raise ConfigError(text)
            if self.queues.count(name) > 1:
                raise ConfigError(f"queue '{name}' is named twice")
