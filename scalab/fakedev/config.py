"""From options and a TOML file to settings.

A file has a table for each device, or for several that are alike:

    name = "node-a"             # of the node; seed, sigma and kappa stand here, too

    [[devices]]
    name = "renderD128"         # the next ones are called renderD129, renderD130
    count = 3

    [[devices]]
    name = "renderD131"
    speed = 0.5

    [metrics]
    preset = "xpum"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .presets import PRESETS, Family, Naming
from .settings import MAX_DEVICES, DeviceSettings, NodeSettings, Sharing, shown, to_float

DEFAULT_NAME = "renderD128"
"""Of the first device."""

MAX_FILE = 1 << 20
_TOP = ("name", "seed", "sigma", "kappa", "devices", "metrics")
_DEVICE = tuple(a.name for a in attrs.fields(DeviceSettings))
_METRICS = ("preset", "labels", "families")
_FAMILY = tuple(a.name for a in attrs.fields(Family))

Table = Mapping[str, Any]


def read_config(path: str) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: It can't be read, or is no TOML.
    """
    name = printable(path, 200)
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise ConfigError(f"{name} is longer than {MAX_FILE} bytes")
        return tomllib.loads(text.decode())
    except OSError as exc:
        raise ConfigError(f"can't read {name}: {exc.strerror}") from None
    except ValueError as exc:
        raise ConfigError(f"{name}: {exc}") from None


def make_node(
    config: Table,
    *,
    devices: Table,
    overrides: Iterable[str] = (),
    node: Table,
) -> NodeSettings:
    """Make a node of what was given; the later of these counts.

    Args:
        config: What stands in a file.
        devices: Options for all devices, ``count`` and ``name`` among them.
        overrides: ``DEVICE.KEY=VALUE``.
        node: Options for the node, by the keys of the file.

    Raises:
        ConfigError: Something can't be used.
    """
    _check_keys(config, _TOP, "the file")
    groups = _tables(config.get("devices"), "devices")
    if groups and ("count" in devices or "name" in devices):
        raise ConfigError("the file tells how many devices there are and their names")
    tables: dict[str, dict[str, Any]] = {}
    for group in groups or [{}]:
        for table in _device_tables({**group, **devices}):
            if tables.setdefault(table["name"], table) is not table:
                raise ConfigError(f"there are two devices called {shown(table['name'])}")
    for override in overrides:
        _override(tables, override)
    top = {**config, **node}
    return NodeSettings(
        devices=tuple(_device(table) for table in tables.values()),
        name=printable(str(top.get("name", "")), 253),
        seed=int(to_float(top.get("seed", 0))),
        sharing=Sharing(to_float(top.get("sigma", 0.0)), to_float(top.get("kappa", 0.0))),
    )


def make_naming(
    config: Table, preset: str = "", names: Iterable[str] = (), labels: Iterable[str] = ()
) -> Naming:
    """Make the names of metrics of what was given; the later of these counts.

    Args:
        config: What stands in a file.
        preset: One of ``PRESETS``.
        names: ``QUANTITY=NAME`` or ``QUANTITY=NAME*SCALE``.
        labels: ``ATTRIBUTE=NAME``.

    Raises:
        ConfigError: Something can't be used.
    """
    metrics = _table(config.get("metrics", {}), "metrics")
    _check_keys(metrics, _METRICS, "metrics")
    preset = preset or str(metrics.get("preset", "scalab"))
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset {shown(preset)}; known: {', '.join(PRESETS)}")
    naming = PRESETS[preset]
    families = _tables(metrics.get("families"), "metrics.families")
    if families:
        naming = Naming(tuple(_family(table) for table in families), naming.labels)
    given = _table(metrics.get("labels", {}), "metrics.labels")
    return naming.renamed(
        dict(_pair(text) for text in names),
        {**{k: str(v) for k, v in given.items()}, **dict(_pair(text) for text in labels)},
    )


def _device_tables(group: Table) -> Iterator[dict[str, Any]]:
    """Yield a table for each device of a group, with names that count up."""
    _check_keys(group, (*_DEVICE, "count"), "a device")
    table = dict(group)
    count, name = table.pop("count", 1), table.pop("name", DEFAULT_NAME)
    if not isinstance(count, int) or not 1 <= count <= MAX_DEVICES:
        raise ConfigError(f"count must be from 1 to {MAX_DEVICES}")
    match = re.fullmatch(r"(.*?)(\d{0,9})", str(name), re.DOTALL | re.ASCII)
    assert match is not None  # noqa: S101 - the pattern matches any text
    stem, first = match[1], match[2] or "0"
    for i in range(count):
        number = f"{int(first) + i:0{len(first)}}" if match[2] or count > 1 else ""
        yield {**table, "name": f"{stem}{number}"}


def _device(table: Table) -> DeviceSettings:
    try:
        return DeviceSettings(**table)
    except ConfigError as exc:
        raise ConfigError(f"device {shown(table['name'])}: {exc}") from None


def _override(tables: dict[str, dict[str, Any]], text: str) -> None:
    key, value = _pair(text)
    device, _, key = key.rpartition(".")
    if device not in tables:
        raise ConfigError(f"{shown(text)}: there is no device {shown(device)}")
    if key not in _DEVICE or key == "name":
        raise ConfigError(f"{shown(text)}: a device has no {shown(key)}; known: {_listed(_DEVICE)}")
    tables[device][key] = value


def _family(table: Table) -> Family:
    _check_keys(table, _FAMILY, "metrics.families")
    labels = _table(table.get("labels", {}), "labels")
    quantity = str(table.get("quantity", ""))
    return Family(
        str(table.get("name", "")),
        quantity,
        str(table.get("help", "")) or f"Simulated {quantity.replace('_', ' ')}",
        to_float(table.get("scale", 1.0)),
        tuple((name, str(value)) for name, value in labels.items()),
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{shown(text)} is not of the form NAME=VALUE")
    return name.strip(), value.strip()


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table")
    return value


def _tables(value: object, where: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigError(f"{where} must be tables: [[{where}]]")
    return [_table(item, where) for item in value]


def _check_keys(table: Table, known: Iterable[str], where: str) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        raise ConfigError(f"{where} has no {shown(unknown[0])}; known: {_listed(known)}")


def _listed(known: Iterable[str]) -> str:
    return ", ".join(known)
