"""The device files that work runs on, and the slots that they give."""

from __future__ import annotations

from glob import glob
from pathlib import Path

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

MAX_NAME = 100
"""Characters of a device's name in a reply."""


@attrs.frozen
class Slot:
    """A place where one item runs at a time."""

    index: int
    """From 0, unique in the backend."""
    path: str = ""
    """The device file that replaces ``FILENAME``; empty without a device."""
    name: str = ""
    """What replies call the device, e.g. ``renderD128``."""


def find_devices(pattern: str, slots_per_device: int) -> list[Slot]:
    """Return the slots for the files that match a glob pattern.

    Slots are dealt out round by round, so that filling them in order spreads work over the
    devices before any of them gets a second item. Directories (``/dev/dri/by-path``) are no
    devices.

    Args:
        pattern: A glob pattern; empty for work that needs no device.
        slots_per_device: How many items run on one device at once, at least 1.

    Returns:
        The slots, sorted by path within a round; without a match, ``slots_per_device`` slots that
        have no device.

    Raises:
        ConfigError: ``slots_per_device`` is below 1.
    """
    if slots_per_device < 1:
        raise ConfigError(f"a device needs at least 1 slot, not {slots_per_device}")
    # Path.glob() knows no absolute patterns.
    matches = glob(pattern, recursive=True)  # noqa: PTH207
    paths = sorted(path for path in matches if not Path(path).is_dir())
    rounds = (paths or [""]) * slots_per_device
    return [Slot(i, path, printable(Path(path).name, MAX_NAME)) for i, path in enumerate(rounds)]
