"""What the demo is told at its start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs

from scalab.errors import ConfigError

BURN = (sys.executable, "-I", "-S", str(Path(__file__).with_name("burn.py")), "1")


@attrs.frozen(kw_only=True)
class DemoSettings:
    """Validated once, never changed."""

    workload: tuple[str, ...] = BURN
    backends: int = attrs.field(factory=lambda: min(2 * (os.cpu_count() or 1), 16))
    """As many as there are in the last step."""
    duration_s: float = 12.0

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not self.workload:
            raise ConfigError("--workload must not be empty")
