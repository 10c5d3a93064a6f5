"""What the demo is told at its start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs

from scalab.errors import ConfigError
from scalab.sharedqueue.settings import StoreSettings

BURN = (sys.executable, "-I", "-S", str(Path(__file__).with_name("burn.py")), "1")


@attrs.frozen(kw_only=True)
class DemoSettings:
    """Validated once, never changed."""

    workload: tuple[str, ...] = BURN
    backends: int = 0
    """As many as there are in the last step; 0 = twice as many as cores, or as devices."""
    duration_s: float = 12.0
    devices: int = 0
    """Simulated devices that the backends run on, in turn; 0 = they run the workload."""
    slow: tuple[str, ...] = ()
    """Names of devices that are slower than the others."""
    failing: tuple[str, ...] = ()
    """Names of devices that fail now and then."""
    store: StoreSettings | None = None
    """Where two frontends share the queue; None = there is one."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not self.workload:
            raise ConfigError("--workload must not be empty")
        if self.devices and self.workload != BURN:
            raise ConfigError("--devices come with a workload of their own")

    @property
    def most_backends(self) -> int:
        """As many as there are in the last step."""
        return self.backends or min(2 * (self.devices or os.cpu_count() or 1), 16)
