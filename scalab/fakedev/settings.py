"""What the simulated devices of a node are like."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

MAX_DEVICES = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}", re.ASCII)


@attrs.frozen
class Range:
    """What a sensor shows when the device is idle, and when it is busy."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return the value ``share`` (0 to 1) of the way up."""
        return self.low + (self.high - self.low) * share


@attrs.frozen
class Sharing:
    """How much longer work takes for each of those who share something.

    This is the Universal Scalability Law: the throughput of n is that of one, times
    n / (1 + sigma (n-1) + kappa n (n-1)). With sigma = 1 and kappa = 0 they get equal shares of
    something that does not become more.
    """

    sigma: float = 0.0
    """Contention: the part of the work that only one can do at a time."""
    kappa: float = 0.0
    """Coherency: what each pair costs."""

    def slowdown(self, n: float) -> float:
        """Return how many times as long work takes; ``n`` need not be an integer."""
        return 1.0 + (n - 1.0) * (self.sigma + self.kappa * n) if n > 1.0 else 1.0


def shown(value: object) -> str:
    """Return ``value`` for an error."""
    return printable(repr(value), 80)


def to_float(value: object) -> float:
    """Return a finite number, which may be given as text.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ConfigError(f"{shown(value)} is not a number")


def to_range(value: object) -> Range:
    """Make a range of ``"15:150"``, of ``[15, 150]``, or of a range.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(value, Range):
        return value
    ends = value.split(":") if isinstance(value, str) else value
    if isinstance(ends, list | tuple) and len(ends) == 2:
        low, high = (to_float(end) for end in ends)
        if low <= high:
            return Range(low, high)
    raise ConfigError(f"{shown(value)} is not of the form LOW:HIGH")


def _to_int(value: object) -> int:
    number = to_float(value)
    if number != int(number):
        raise ConfigError(f"{shown(value)} is not an integer")
    return int(number)


def _to_text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ConfigError(f"{shown(value)} is not a short text")
    return value


def _number(default: float, low: float, high: float) -> Any:
    return attrs.field(default=default, converter=to_float, validator=_within(low, high))


def _within(low: float, high: float) -> Callable[..., None]:
    def check(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
        if not low <= value <= high:
            raise ConfigError(f"{attribute.name} must be from {low:g} to {high:g}, not {value:g}")

    return check


@attrs.frozen(kw_only=True)
class DeviceSettings:
    """One device.

    Raises:
        ConfigError: A value can't be used.
    """

    name: str = attrs.field(converter=_to_text)
    """Of its file, such as ``renderD128``."""
    type: str = attrs.field(default="gpu", converter=_to_text)
    model: str = attrs.field(default="Simulated GPU", converter=_to_text)
    vendor: str = attrs.field(default="scalab", converter=_to_text)
    pci_device: str = attrs.field(default="0x0000", converter=_to_text)
    memory: float = _number(16384.0, 0.0, 1e9)
    """MiB."""
    power: Range = attrs.field(default=Range(15.0, 150.0), converter=to_range)
    """Watts, idle and busy."""
    frequency: Range = attrs.field(default=Range(300.0, 2100.0), converter=to_range)
    """MHz, idle and busy."""
    temperature: Range = attrs.field(default=Range(35.0, 85.0), converter=to_range)
    """Degrees Celsius, after long idleness and after long work."""
    thermal_s: float = _number(20.0, 0.001, 1e6)
    """Seconds in which the temperature goes 63 % of its way."""
    slots: int = attrs.field(default=0, converter=_to_int, validator=_within(0, 1e6))
    """Workloads that have the device at once, others wait for their turn; 0 = any number."""
    speed: float = _number(1.0, 1e-6, 1e6)
    """Seconds of work done in a second, for a single workload."""
    failure_rate: float = _number(0.0, 0.0, 1.0)
    """Share of the workloads that the device fails, somewhere on their way."""
    sigma: float = _number(1.0, 0.0, 100.0)
    """Contention between those on this device; see ``Sharing``."""
    kappa: float = _number(0.0, 0.0, 100.0)

    def __attrs_post_init__(self) -> None:
        """Refuse what is no file's name."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{shown(self.name)} is no name of a device")

    @property
    def sharing(self) -> Sharing:
        """Between the workloads on this device."""
        return Sharing(self.sigma, self.kappa)


@attrs.frozen(kw_only=True)
class NodeSettings:
    """The devices of one node.

    Raises:
        ConfigError: There are none, too many, or two of one name.
    """

    devices: tuple[DeviceSettings, ...]
    name: str = ""
    """Of the node, in its metrics."""
    seed: int = 0
    """What is random depends on this alone, and on the order in which workloads come."""
    sharing: Sharing = Sharing()
    """Between the devices that are busy, for what they have in common: bus, memory, driver."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't be a node."""
        if not 1 <= len(self.devices) <= MAX_DEVICES:
            raise ConfigError(f"a node has from 1 to {MAX_DEVICES} devices")
        names = [device.name for device in self.devices]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"there are two devices called {twice}")
