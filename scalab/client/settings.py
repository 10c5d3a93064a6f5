"""What a client is told at its start."""

from __future__ import annotations

import attrs

from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.load.scenario import Scenario
from scalab.runtime.net import Address

DEFAULT_FRONTEND = Address("localhost", 9997)
DEFAULT_CONTROL_ADDR = Address("localhost", 9996)


@attrs.frozen(kw_only=True)
class ClientSettings:
    """Validated once, never changed; what changes while it runs is in the load."""

    scenario: Scenario
    frontend: Address = DEFAULT_FRONTEND
    control_addr: Address | None = DEFAULT_CONTROL_ADDR
    allow_hosts: tuple[str, ...] = ()
    """Further names under which browsers may ask for the page."""
    classic: bool = False
    """One connection a request, to work with the classic frontend."""
    grace_s: float = 0.0
    """Time that outstanding requests have to be answered at the end."""
    connect_timeout_s: float = 5.0
    reconnect_timeout_s: float = 300.0
    access: AccessSettings = attrs.Factory(AccessSettings)
    verbose: bool = False
    out: str = ""
    """Where the run file goes; "" = nowhere."""
    interval_s: float = 1.0
    """How often the counts are recorded, and the thresholds that end the run are looked at."""
    command: tuple[str, ...] = ()
    """The command line, for the record."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not 0.1 <= self.interval_s <= 3600:
            raise ConfigError("--interval must be from 0.1 to 3600 seconds")
