from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from scalab.fakedev.metrics import NodeCollector
from scalab.fakedev.model import Node, Phase
from scalab.fakedev.presets import PRESETS, SCALAB, Naming
from scalab.fakedev.settings import DeviceSettings, NodeSettings
from scalab.runtime.metrics import make_registry
from tests.support import Http

from .helpers import demand, exporter, process, settings, until

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

BUSY = (Phase(60.0, 0.0, 1.0),)


def series(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
        if not sample.name.startswith(("process_", "scalab_build"))
    }


def busy_node() -> Node:
    """d0 with two workloads, one of them waiting; d1 idle. At time 10."""
    devices = (
        DeviceSettings(name="d0", slots=1, memory=1000, power="10:60", frequency="500:1500"),
        DeviceSettings(name="d1", type="npu", model="Model X"),
    )
    node = Node(NodeSettings(devices=devices, name="node-a"), 0.0)
    for _ in range(2):
        node.start(demand(100.0, phases=BUSY, memory_mib=250), lambda _run: None, 0.0)
    return node


def exposed(naming: Naming, node: Node | None = None) -> str:
    node = node or busy_node()
    return generate_latest(make_registry(NodeCollector(node, naming, lambda: 10.0))).decode()


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        if "CI" in os.environ:
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed")
    return path


@pytest.mark.parametrize("preset", ["scalab", "xpum"])
def test_promtool_has_nothing_to_say(promtool: str, preset: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposed(PRESETS[preset]), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_dislikes_what_nvidia_calls_its_labels_and_nothing_else(promtool: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposed(PRESETS["dcgm"]), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    said = (checked.stdout + checked.stderr).splitlines()
    assert said
    assert all("label names should be written in 'snake_case'" in line for line in said)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_openmetrics_is_valid(preset: str) -> None:
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(make_registry(NodeCollector(busy_node(), PRESETS[preset], lambda: 10.0))).decode()
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_an_idle_device_has_the_same_series_as_a_busy_one(preset: str) -> None:
    naming = PRESETS[preset]
    label = dict(naming.labels)["device"]
    told = {name for _, name in naming.labels} - {"type"}  # the xpum metrics have one of their own
    by_device: dict[str, list[tuple[str, frozenset[tuple[str, str]]]]] = {"d0": [], "d1": []}
    for name, labels in series(exposed(naming)):
        rest = frozenset((key, value) for key, value in labels if key not in told)
        if preset == "scalab":
            rest = frozenset(pair for pair in rest if pair[0] != "type")
        by_device[dict(labels)[label]].append((name, rest))
    assert sorted(by_device["d0"], key=repr) == sorted(by_device["d1"], key=repr)
    assert len(by_device["d0"]) > 10


def value(found: Series, name: str, device: str, key: str = "device", **labels: str) -> float:
    wanted = {(key, device), *labels.items()}
    matches = [v for (n, present), v in found.items() if n == name and wanted <= present]
    assert len(matches) == 1
    return matches[0]


def test_values_in_our_own_names() -> None:
    found = series(exposed(SCALAB))
    for name, busy, idle in (
        ("utilization_ratio", 0.6, 0),
        ("memory_used_bytes", 250 * 2**20, 0),
        ("memory_free_bytes", 750 * 2**20, 16384 * 2**20),
        ("power_watts", 40, 15),
        ("energy_joules_total", 400, 150),
        ("frequency_hertz", 1.1e9, 300e6),
    ):
        assert value(found, f"scalab_device_{name}", "d0") == pytest.approx(busy)
        assert value(found, f"scalab_device_{name}", "d1") == pytest.approx(idle)
    assert 35 < value(found, "scalab_device_temperature_celsius", "d0") < 85
    workloads = "scalab_device_workloads"
    assert value(found, workloads, "d0", state="running", node="node-a", type="gpu") == 1
    assert value(found, workloads, "d0", state="waiting") == 1
    assert value(found, workloads, "d1", state="running", type="npu") == 0


def test_values_in_the_names_of_xpu_manager() -> None:
    found = series(exposed(PRESETS["xpum"]))
    for name, busy, labels in (
        ("xpum_engine_ratio", 0.6, {}),
        ("xpum_engine_group_ratio", 0.6, {"type": "compute"}),
        ("xpum_memory_used_bytes", 250 * 2**20, {}),
        ("xpum_memory_ratio", 0.25, {}),
        ("xpum_power_watts", 40, {}),
        ("xpum_energy_joules_total", 400, {}),
        ("xpum_frequency_mhz", 1100, {"location": "gpu", "type": "actual"}),
    ):
        got = value(found, name, "d0", "dev_file", pci_bdf="0000:01:00.0", node="node-a", **labels)
        assert got == pytest.approx(busy)
    assert value(found, "xpum_power_watts", "d1", "dev_file", pci_bdf="0000:01:01.0") == 15


def test_values_in_the_names_of_dcgm() -> None:
    found = series(exposed(PRESETS["dcgm"]))
    for name, busy in (
        ("GPU_UTIL", 60),
        ("FB_USED", 250),
        ("FB_FREE", 750),
        ("POWER_USAGE", 40),
        ("TOTAL_ENERGY_CONSUMPTION", 400_000),
        ("SM_CLOCK", 1100),
    ):
        got = value(found, f"DCGM_FI_DEV_{name}", "d0", gpu="0", Hostname="node-a")
        assert got == pytest.approx(busy)
    idle = value(found, "DCGM_FI_DEV_POWER_USAGE", "d1", gpu="1", modelName="Model X")
    assert idle == 15
    names = {dict(labels)["UUID"] for _, labels in found}
    assert len(names) == 2
    assert all(name.startswith("GPU-") for name in names)


def test_identities_are_the_same_each_time_and_differ_between_nodes() -> None:
    def uuids(node: str) -> set[str]:
        made = Node(NodeSettings(devices=settings(3).devices, name=node), 0.0)
        return {dict(labels)["uuid"] for _, labels in series(exposed(PRESETS["xpum"], made))}

    assert uuids("a") == uuids("a")
    assert len(uuids("a") | uuids("b")) == 6


async def test_gauges_match_what_runs(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings(2, memory=1000)) as bound:
        http = Http(bound.metrics)
        async with process(bound, load=60, memory=250) as running:
            await until(lambda: bound.node.devices["d0"].running)
            found = series((await http.get("/metrics"))[1])
            assert value(found, "scalab_device_workloads", "d0", state="running") == 1
            assert value(found, "scalab_device_utilization_ratio", "d0") == 0.6
            assert value(found, "scalab_device_memory_used_bytes", "d0") == 250 * 2**20
            running.kill()
            await until(lambda: not bound.node.devices["d0"].running)
        found = series((await http.get("/metrics"))[1])
        assert value(found, "scalab_device_workloads", "d0", state="running") == 0
        assert value(found, "scalab_device_workloads_ended_total", "d0", outcome="gone") == 1
        assert value(found, "scalab_device_memory_used_bytes", "d0") == 0
        assert await http.get("/livez") == (200, "ok\n")
        assert (await http.get("/"))[0] == 404
