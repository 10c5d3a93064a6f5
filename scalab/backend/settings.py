"""What a backend is told at its start."""

from __future__ import annotations

from typing import Literal

import attrs

from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.runtime.net import Address

from .runner import RunnerSettings

WhenEmpty = Literal["exit", "backoff", "wait"]
DEFAULT_FRONTEND = Address("localhost", 9999)


@attrs.frozen(kw_only=True)
class BackendSettings:
    """Validated once, never changed."""

    runner: RunnerSettings
    frontend: Address = DEFAULT_FRONTEND
    queue: str = "sleep"
    when_empty: WhenEmpty = "exit"
    backoff_s: float = 0.1
    """First pause after the queue was found empty; it doubles with each further time."""
    backoff_max_s: float = 5.0
    slots: int = 1
    """Items run at once, for each device that ``glob`` matches."""
    glob: str = ""
    """Pattern of the device files that FILENAME in arguments stands for."""
    grace_s: float = 20.0
    """Time that running items have to end when the backend stops."""
    classic: bool = False
    """One connection an item, to work with the classic frontend."""
    connect_timeout_s: float = 5.0
    reconnect_timeout_s: float = 300.0
    metrics_addr: Address | None = None
    access: AccessSettings = attrs.Factory(AccessSettings)
    verbose: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not self.queue:
            raise ConfigError("--queue must not be empty")
        if self.backoff_max_s < self.backoff_s:
            raise ConfigError("--backoff must not be more than --backoff-max")
