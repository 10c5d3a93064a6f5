from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from scalab.errors import ConfigError
from scalab.fakedev.config import make_naming, make_node, read_config
from scalab.fakedev.presets import DCGM, PRESETS, SCALAB, XPUM, Family
from scalab.fakedev.settings import NodeSettings, Range, Sharing

FILE = """
name = "node-a"
seed = 7
sigma = 0.05
kappa = 0.001

[[devices]]
name = "renderD128"
count = 3
power = [10, 200]
slots = 2

[[devices]]
name = "slow"
speed = 0.5

[metrics]
preset = "xpum"
labels = { device = "gpu", uuid = "" }
"""


def made(text: str = "", *overrides: str, node: Any = None, **devices: Any) -> NodeSettings:
    return make_node(tomllib.loads(text), devices=devices, overrides=overrides, node=node or {})


def test_a_file_describes_a_node() -> None:
    node = made(FILE)
    assert (node.name, node.seed, node.sharing) == ("node-a", 7, Sharing(0.05, 0.001))
    assert [d.name for d in node.devices] == ["renderD128", "renderD129", "renderD130", "slow"]
    assert [d.speed for d in node.devices] == [1, 1, 1, 0.5]
    assert [d.slots for d in node.devices] == [2, 2, 2, 0]
    assert node.devices[0].power == Range(10, 200)


def test_options_go_before_the_file_and_overrides_before_options() -> None:
    node = made(FILE, "renderD129.speed=3", "slow.power=1:2", speed=2.0, node={"seed": 8})
    assert [d.speed for d in node.devices] == [2, 3, 2, 2]
    assert node.devices[3].power == Range(1, 2)
    assert (node.seed, node.name) == (8, "node-a")


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("renderD128", 2, ["renderD128", "renderD129"]),
        ("card", 1, ["card"]),
        ("card", 2, ["card0", "card1"]),
        ("card09", 2, ["card09", "card10"]),
        ("a7b", 2, ["a7b0", "a7b1"]),
        ("99", 2, ["99", "100"]),
    ],
)
def test_names_count_up(name: str, count: int, expected: list[str]) -> None:
    assert [d.name for d in made(name=name, count=count).devices] == expected


def test_without_anything_there_is_one_device() -> None:
    assert [d.name for d in made().devices] == ["renderD128"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1", "the file has no 'x'; known: name, seed"),
        ("devices = 3", "devices must be tables"),
        ("devices = [3]", "devices must be a table"),
        ("[[devices]]\nspeeed = 1", "a device has no 'speeed'; known: name, type"),
        ("[[devices]]\nspeed = 0", "device 'renderD128': speed must be from"),
        ("[[devices]]\ncount = 0", "count must be from 1 to 1024"),
        ("[[devices]]\ncount = 1.5", "count must be from 1 to 1024"),
        ("[[devices]]\n[[devices]]", "there are two devices called 'renderD128'"),
        ("[[devices]]\nname = ''", "'' is no name of a device"),
        ("seed = 'x'", "'x' is not a number"),
        ("sigma = true", "True is not a number"),
    ],
)
def test_what_can_not_be_in_a_file(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("speed=1", "there is no device ''"),
        ("d7.speed=1", "there is no device 'd7'"),
        ("renderD128.name=x", "a device has no 'name'"),
        ("renderD128.x=1", "a device has no 'x'"),
        ("renderD128.speed", "is not of the form NAME=VALUE"),
        ("renderD128.speed=x", "'x' is not a number"),
    ],
)
def test_what_can_not_be_overridden(override: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made("", override)
    assert why in str(caught.value)


def test_a_file_with_devices_leaves_no_say_in_how_many() -> None:
    with pytest.raises(ConfigError, match="the file tells how many"):
        made(FILE, count=3)


def test_names_of_metrics_from_a_file() -> None:
    naming = make_naming(tomllib.loads(FILE))
    assert naming.families == XPUM.families
    assert ("device", "gpu") in naming.labels
    assert "uuid" not in dict(naming.labels)
    file = {"metrics": {"preset": "xpum"}}
    assert make_naming(file, "dcgm") == DCGM


def test_own_families() -> None:
    text = """
    [metrics]
    [[metrics.families]]
    name = "my_percent"
    quantity = "utilization"
    scale = 100
    labels = { engine = "all" }
    """
    naming = make_naming(tomllib.loads(text))
    assert naming.families == (
        Family("my_percent", "utilization", "Simulated utilization", 100, (("engine", "all"),)),
    )
    assert naming.labels == SCALAB.labels


def test_names_of_metrics_from_options() -> None:
    naming = make_naming(
        {}, "xpum", ["utilization=busy_percent*100", "power="], ["node=host", "vendor="]
    )
    found = {family.name: family for family in naming.families}
    assert found["busy_percent"].scale == 100
    assert not {"xpum_engine_ratio", "xpum_engine_group_ratio", "xpum_power_watts"} & set(found)
    assert ("node", "host") in naming.labels
    assert "vendor" not in dict(naming.labels)


def families(*labels: dict[str, str]) -> dict[str, object]:
    made = [{"name": "m", "quantity": "power", "labels": given} for given in labels]
    return {"metrics": {"families": made}}


@pytest.mark.parametrize(
    ("config", "options", "why"),
    [
        ({}, {"preset": "amd"}, "there is no preset 'amd'; known: scalab, xpum, dcgm"),
        ({"metrics": 3}, {}, "metrics must be a table"),
        ({"metrics": {"x": 3}}, {}, "metrics has no 'x'"),
        ({"metrics": {"families": [{"nam": "x"}]}}, {}, "metrics.families has no 'nam'"),
        ({}, {"names": ["speed=x"]}, "there is no quantity 'speed'; known: utilization"),
        ({}, {"names": ["power=a-b"]}, "'a-b' is no name of a metric"),
        ({}, {"names": ["power=a*b"]}, "'b' is not a number"),
        ({}, {"names": ["power"]}, "'power' is not of the form NAME=VALUE"),
        ({}, {"names": ["power=x", "energy=x"]}, "has different labels or types"),
        ({}, {"names": ["power=x", "frequency=x"]}, "the same name and the same labels"),
        ({}, {"labels": ["device=a-b"]}, "'a-b' is no name of a label"),
        ({}, {"labels": ["device=__a"]}, "'__a' is no name of a label"),
        ({}, {"labels": ["color=x"]}, "a device has no 'color'; known: device, node"),
        ({}, {"labels": ["device="]}, "a label must tell the device"),
        ({}, {"labels": ["uuid=state"]}, "has a label twice"),
        ({}, {"labels": ["uuid=node"]}, "has a label twice"),
        (families({"a": "1"}, {"b": "1"}), {}, "has different labels or types"),
        (families({"a-": "1"}), {}, "'a-' is no name of a label"),
    ],
)  # fmt: skip
def test_names_that_can_not_be(config: dict[str, Any], options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_naming(config, **options)
    assert why in str(caught.value)


def test_every_preset_has_every_kind_of_reading() -> None:
    for naming in PRESETS.values():
        quantities = {family.quantity for family in naming.families}
        wanted = {"utilization", "memory_used", "power", "energy", "frequency", "temperature"}
        assert wanted | {"running", "waiting", "success"} <= quantities


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    for name, content, why in (
        ("none", None, "No such file"),
        ("bad", b"x = [", "bad: "),
        ("binary", b"\xff", "binary: "),
        ("long", b"#" * ((1 << 20) + 1), "is longer than"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_config(str(path))
        assert why in str(caught.value)
    path.write_text(FILE)
    assert read_config(str(path)) == tomllib.loads(FILE)
