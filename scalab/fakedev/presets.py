"""Under which names a device's readings are exported.

What real exporters call things was taken from their documentation and sources: Intel XPU Manager
(``xpum_*``) and NVIDIA's DCGM exporter (``DCGM_FI_*``).
"""

from __future__ import annotations

import re
import uuid

import attrs

from scalab.errors import ConfigError

from .settings import DeviceSettings, shown, to_float
from .telemetry import Reading

COUNTERS = ("energy", "success", "failure", "out_of_memory", "gone")
QUANTITIES = tuple(field.name for field in attrs.fields(Reading))
"""What can be exported; the units are those of ``Reading``."""

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_DEVICES = uuid.UUID("5ca1ab00-0000-4000-8000-000000000000")
_PERCENT = 100.0
_PER_MIB = 1 / (1 << 20)
_MEGA = 1e-6


def attributes(device: DeviceSettings, index: int, node: str) -> dict[str, str]:
    """Return what labels can tell of a device: values by attribute.

    Args:
        device: The device.
        index: From 0, on its node.
        node: The node's name.
    """
    unique = str(uuid.uuid5(_DEVICES, f"{node}/{device.name}"))
    return {
        "device": device.name,
        "node": node,
        "index": str(index),
        "type": device.type,
        "model": device.model,
        "vendor": device.vendor,
        "uuid": unique,
        "gpu_uuid": f"GPU-{unique}",
        "pci_address": f"0000:{index // 32 + 1:02x}:{index % 32:02x}.0",
        "pci_device": device.pci_device,
    }


ATTRIBUTES = tuple(attributes(DeviceSettings(name="x"), 0, ""))


@attrs.frozen
class Family:
    """A quantity under a name.

    Raises:
        ConfigError: Prometheus has no such names, or there is no such quantity.
    """

    name: str
    quantity: str
    """One of ``QUANTITIES``."""
    help: str = ""
    scale: float = 1.0
    """What the reading is multiplied by: 100 for percent."""
    labels: tuple[tuple[str, str], ...] = ()
    """Fixed ones, beside those of the device."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't be exported."""
        if self.quantity not in QUANTITIES:
            known = ", ".join(QUANTITIES)
            raise ConfigError(f"there is no quantity {shown(self.quantity)}; known: {known}")
        if not _METRIC_NAME.fullmatch(self.name):
            raise ConfigError(f"{shown(self.name)} is no name of a metric")
        for name, _ in self.labels:
            _check_label(name)

    @property
    def counts(self) -> bool:
        """Whether it only ever grows."""
        return self.quantity in COUNTERS


def _check_label(name: str) -> None:
    if not _LABEL_NAME.fullmatch(name):
        raise ConfigError(f"{shown(name)} is no name of a label")


@attrs.frozen
class Naming:
    """Everything that is exported of a device.

    Raises:
        ConfigError: A label means nothing, or two families contradict each other.
    """

    families: tuple[Family, ...]
    """Those of one name together make one metric."""
    labels: tuple[tuple[str, str], ...]
    """Labels of each series: (attribute, name of the label)."""

    def __attrs_post_init__(self) -> None:
        """Refuse what Prometheus would."""
        for attribute, label in self.labels:
            _check_label(label)
            if attribute not in ATTRIBUTES:
                known = ", ".join(ATTRIBUTES)
                raise ConfigError(f"a device has no {shown(attribute)}; known: {known}")
        own = [label for _, label in self.labels]
        seen: dict[str, Family] = {}
        series = set()
        for family in self.families:
            fixed = [label for label, _ in family.labels]
            if len({*own, *fixed}) < len(own) + len(fixed):
                raise ConfigError(f"{family.name} has a label twice")
            first = seen.setdefault(family.name, family)
            if fixed != [label for label, _ in first.labels] or first.counts != family.counts:
                raise ConfigError(f"{family.name} is one metric, but has different labels or types")
            series.add((family.name, family.labels))
        if len(series) < len(self.families):
            raise ConfigError("two quantities have the same name and the same labels")
        if "device" not in dict(self.labels) and "index" not in dict(self.labels):
            raise ConfigError("a label must tell the device: 'device' or 'index'")

    def renamed(self, names: dict[str, str], labels: dict[str, str]) -> Naming:
        """Return this with other names.

        Args:
            names: For quantities: ``NAME`` or ``NAME*SCALE``; empty leaves them out.
            labels: For attributes: names of labels; empty leaves them out.

        Raises:
            ConfigError: They can't be used.
        """
        families = list(self.families)
        for quantity, text in names.items():
            families = [family for family in families if family.quantity != quantity]
            name, star, factor = text.partition("*")
            if name:
                scale = to_float(factor) if star else 1.0
                help_text = f"Simulated {quantity.replace('_', ' ')}"
                families.append(Family(name, quantity, help_text, scale))
        merged = {**dict(self.labels), **labels}
        return Naming(tuple(families), tuple((a, label) for a, label in merged.items() if label))


# Queues of workloads and how they end are ours to tell: no exporter of real devices knows them.
_WORKLOADS = (
    *(
        Family(
            "scalab_device_workloads",
            state,
            "Workloads on a simulated device, and those that wait for a slot of it",
            labels=(("state", state),),
        )
        for state in ("running", "waiting")
    ),
    *(
        Family(
            "scalab_device_workloads_ended_total",
            outcome,
            "Workloads by how their time on a simulated device ended",
            labels=(("outcome", outcome),),
        )
        for outcome in ("success", "failure", "out_of_memory", "gone")
    ),
)

SCALAB = Naming(
    (
        Family("scalab_device_utilization_ratio", "utilization", "How busy the device is, 0 to 1"),
        Family("scalab_device_memory_used_bytes", "memory_used", "Memory that workloads hold"),
        Family("scalab_device_memory_free_bytes", "memory_free", "Memory that nobody holds"),
        Family("scalab_device_power_watts", "power", "What the device draws"),
        Family("scalab_device_energy_joules_total", "energy", "What the device has drawn so far"),
        Family("scalab_device_frequency_hertz", "frequency", "Clock of the device"),
        Family("scalab_device_temperature_celsius", "temperature", "Temperature of the device"),
        *_WORKLOADS,
    ),
    (("device", "device"), ("type", "type"), ("node", "node")),
)

XPUM = Naming(
    (
        Family("xpum_engine_ratio", "utilization", "GPU active time of the elapsed time"),
        Family(
            "xpum_engine_group_ratio",
            "utilization",
            "Avg utilization of engine group",
            labels=(("type", "compute"),),
        ),
        Family("xpum_memory_used_bytes", "memory_used", "Used GPU memory"),
        Family("xpum_memory_ratio", "memory_ratio", "Used GPU memory / Total GPU memory"),
        Family("xpum_power_watts", "power", "Avg GPU power"),
        Family("xpum_energy_joules_total", "energy", "Total GPU energy consumption"),
        Family(
            "xpum_frequency_mhz",
            "frequency",
            "Avg GPU frequency",
            scale=_MEGA,
            labels=(("location", "gpu"), ("type", "actual")),
        ),
        Family(
            "xpum_temperature_celsius",
            "temperature",
            "Avg GPU temperature",
            labels=(("location", "gpu"),),
        ),
        *_WORKLOADS,
    ),
    (
        ("uuid", "uuid"), ("model", "dev_name"), ("pci_device", "pci_dev"),
        ("vendor", "vendor"), ("pci_address", "pci_bdf"), ("device", "dev_file"),
        ("node", "node"),
    ),
)  # fmt: skip

DCGM = Naming(
    (
        Family("DCGM_FI_DEV_GPU_UTIL", "utilization", "GPU utilization (in %).", _PERCENT),
        Family("DCGM_FI_DEV_FB_USED", "memory_used", "Memory used (in MiB).", _PER_MIB),
        Family("DCGM_FI_DEV_FB_FREE", "memory_free", "Memory free (in MiB).", _PER_MIB),
        Family("DCGM_FI_DEV_POWER_USAGE", "power", "Power draw (in W)."),
        Family(
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "energy", "Total energy (in mJ).", 1000.0
        ),
        Family("DCGM_FI_DEV_SM_CLOCK", "frequency", "SM clock frequency (in MHz).", _MEGA),
        Family("DCGM_FI_DEV_GPU_TEMP", "temperature", "GPU temperature (in C)."),
        *_WORKLOADS,
    ),
    (
        ("index", "gpu"), ("gpu_uuid", "UUID"), ("pci_address", "pci_bus_id"),
        ("device", "device"), ("model", "modelName"), ("node", "Hostname"),
    ),
)  # fmt: skip

PRESETS = {"scalab": SCALAB, "xpum": XPUM, "dcgm": DCGM}
