"""What a device's sensors show: exact between two changes of load, and computed only when asked."""

from __future__ import annotations

import math
import random

import attrs

from .settings import DeviceSettings

MIB = float(1 << 20)


@attrs.frozen
class Reading:
    """A device at one moment."""

    utilization: float
    """From 0 to 1, as it fluctuates."""
    memory_used: float
    """Bytes."""
    memory_free: float
    """Bytes."""
    memory_ratio: float
    """From 0 to 1."""
    power: float
    """Watts."""
    energy: float
    """Joules since the start."""
    frequency: float
    """Hertz."""
    temperature: float
    """Degrees Celsius."""
    running: int
    """Workloads that have the device."""
    waiting: int
    """Workloads that wait for a slot of it."""
    success: int
    """Workloads that ended, and so on for the other outcomes."""
    failure: int
    out_of_memory: int
    gone: int


@attrs.define
class Sensors:
    """Energy and temperature, which depend on all the load so far.

    The load is constant between two changes, so that both have a closed form: energy grows
    linearly, and the temperature approaches that of the load exponentially.
    """

    settings: DeviceSettings
    energy_j: float = 0.0
    temperature: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start cold."""
        self.temperature = self.settings.temperature.low

    def advance(self, elapsed_s: float, utilization: float) -> None:
        """Let time pass.

        Args:
            elapsed_s: How long, in seconds.
            utilization: From 0 to 1, all the time.
        """
        settings = self.settings
        self.energy_j += settings.power.at(utilization) * elapsed_s
        target = settings.temperature.at(utilization)
        left = math.exp(-elapsed_s / settings.thermal_s)
        self.temperature = target + (self.temperature - target) * left


def noise(seed: str) -> float:
    """Return a number from -1 to 1 that depends on nothing but the seed."""
    return random.Random(seed).uniform(-1.0, 1.0)  # noqa: S311 - must be repeatable
