"""The example's run script, for real."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_examples import Example, count, places, section


def test_the_example(tmp_path: Path) -> None:
    example = Example(tmp_path)
    output = example.run("fakedev", WORK_S=0.05, REQUESTS=40)
    assert not example.processes()
    assert not list(tmp_path.iterdir())

    rows = re.findall(r"^ +(\d) +(\d\.\d{3}) s +(\d\.\d{3}) s +[-+]", output, re.MULTILINE)
    assert [(int(n), float(model)) for n, _, model in rows] == [
        (1, 0.05), (2, 0.056), (4, 0.071), (8, 0.113),
    ]  # fmt: skip
    assert all(float(measured) > 0 for _, measured, _ in rows)

    devices = places(output, "Devices")
    assert sorted(devices) == ["renderD128", "renderD129", "renderD130", "renderD131"]
    assert sum(served for served, _ in devices.values()) == count(output, "completed") == 40
    failing = devices["renderD130"][1]
    assert failing > 0
    assert sum(failed for _, failed in devices.values()) == failing
    assert devices["renderD129"][0] <= devices["renderD128"][0]  # as it is slow
    assert section(output, "Errors") == [f"  {failing}  scalab fakedev workload: renderD130 failed"]
    ended = 'scalab_device_workloads_ended_total{device="renderD130"'
    assert re.search(rf'{ended}.*outcome="failure".*\}} {failing}\.0$', output, re.MULTILINE)
