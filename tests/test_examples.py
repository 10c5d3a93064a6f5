"""Every example's ``run`` script, for real: what it shows, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.alone

MARK = "SCALAB_EXAMPLE_UNDER_TEST"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/run"))


@attrs.frozen
class Example:
    """Runs an example in a directory of its own, and knows its processes."""

    tmp: Path
    mark: str = attrs.Factory(lambda: uuid.uuid4().hex)

    def start(self, name: str, **settings: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [EXAMPLES / name / "run"],
            env={
                **os.environ,
                "SCALAB": f"{sys.executable} -m scalab",
                "PYTHONPATH": str(EXAMPLES.parent),
                "PYTHON": sys.executable,
                "TMPDIR": str(self.tmp),
                "LC_ALL": "C.UTF-8",
                MARK: self.mark,
                **{key: str(value) for key, value in settings.items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str, **settings: object) -> str:
        """Return what the example prints; it must succeed."""
        process = self.start(name, **settings)
        stdout, stderr = process.communicate(timeout=90)
        assert process.returncode == 0, f"exit code {process.returncode}\n{stdout}\n{stderr}"
        assert not stderr
        return stdout

    def processes(self) -> dict[int, str]:
        """The living processes that the example started, however indirectly."""
        found = {}
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (proc / "environ").read_bytes():
                    found[int(proc.name)] = (proc / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it has ended, or belongs to somebody else
                continue
        return found


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    """An example runner; afterwards there must be no process and no file left."""
    example = Example(tmp_path)
    try:
        yield example
        assert not example.processes()
        assert not list(tmp_path.iterdir())
    finally:
        for pid in example.processes():
            os.kill(pid, signal.SIGKILL)


def section(output: str, title: str) -> list[str]:
    """Return the lines of a section of the statistics, its head left out."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if re.fullmatch(rf"{title}( \(\d+\))?", line))
    rest = lines[start + 1 :]
    end = rest.index("") if "" in rest else len(rest)
    return rest[:end]


def places(output: str, title: str) -> dict[str, tuple[int, int]]:
    """Return what each place served, and how much of it failed, from a table of statistics."""
    rows = [line.split() for line in section(output, title)[1:]]
    return {row[0]: (int(row[1]), int(row[4])) for row in rows if row[3:4] == ["%"]}


def named(output: str, kind: str) -> list[str]:
    """Return the places of a kind that has a line instead of a table."""
    line = re.search(rf"^  {kind} \d+ +(.*(?:\n {{10,}}.*)*)", output, re.MULTILINE)
    assert line, output
    return sorted(part.split()[0] for part in re.split(r" · |\n +", line[1]) if part)


def count(output: str, what: str) -> int:
    match = re.search(rf"^  {what} +(\d+)\b", output, re.MULTILINE)
    assert match, output
    return int(match[1])


def test_every_example_is_listed_and_explained() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for name in NAMES:
        assert f"({name}/README.md)" in listed
        assert f"examples/{name}/run" in (EXAMPLES / name / "README.md").read_text()


def test_tls(example: Example) -> None:
    if shutil.which("openssl") is None:
        if "CI" in os.environ:
            pytest.fail("openssl is missing")
        pytest.skip("openssl is missing")
    output = example.run("tls", REQUESTS=20)

    assert count(output, "completed") == 20
    assert count(output, "failed") == 0
    reasons = re.findall(r"^scalab: .*?: (.*)$", output, re.MULTILINE)
    assert [re.split(r"[:;] ", reason)[0] for reason in reasons] == [
        "it closed",
        "it asks for a certificate",
        "a token is needed",
        "this token is not valid for a client here",
        "its certificate can't be trusted",
    ]
    failures = re.findall(r'auth_failures_total{reason="(\w+)",role="client"} (\S+)', output)
    assert failures == [("missing", "1.0"), ("wrong", "1.0"), ("tls", "3.0")]


def test_transcode(example: Example) -> None:
    if shutil.which("ffmpeg") is None:
        if "CI" in os.environ:
            pytest.fail("ffmpeg is not installed")
        pytest.skip("ffmpeg is not installed")
    output = example.run("transcode", REQUESTS=8, CLIP_S=1)
    assert (count(output, "completed"), count(output, "failed")) == (8, 0)
    # At least one request each, since all four slots are free when the first four come.
    devices = places(output, "Devices")
    assert sorted(devices) == ["clip-0.mp4", "clip-1.mp4"]
    assert sum(served for served, _ in devices.values()) == 8
    assert named(output, "nodes") == ["node-a", "node-b"]
    assert named(output, "pods") == ["transcode-node-a", "transcode-node-b"]
    made = re.findall(
        r" ([1-9]\d*) .* (node-[ab]/clip-[01]\.mp4\.small\.mkv)$", output, re.MULTILINE
    )
    assert len(made) == 4
    assert 'completed_total{outcome="success",queue="transcode"} 8\n' in output


def test_transcode_says_that_ffmpeg_is_missing(example: Example, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "basename", "mktemp", "rm", "sleep", "seq"):
        path = shutil.which(tool)
        assert path
        (tools / tool).symlink_to(path)
    process = example.start("transcode", PATH=tools)
    _, stderr = process.communicate(timeout=30)
    shutil.rmtree(tools)
    assert process.returncode == 1
    assert stderr.startswith("transcode: ffmpeg is needed")


def test_cpu(example: Example) -> None:
    output = example.run("cpu", STEP_S=0.5, SETTLE_S=0.2, UNITS=0.2)
    steps = re.findall(r"^ +(\d+) +(\d+\.\d+) +(-|\d+\.\d\d)$", output, re.MULTILINE)
    assert [backends for backends, _, _ in steps] == ["1", "2", "4"]
    assert all(float(rate) > 0 for _, rate, _ in steps)
    assert [times == "-" for _, _, times in steps] == [True, False, False]
    assert count(output, "failed") == 0
    assert named(output, "pods") == ["burn-1", "burn-2", "burn-3", "burn-4"]


def test_failing(example: Example) -> None:
    output = example.run("failing", REQUESTS=16)
    assert '"Error":"unit-2: self-test failed, sensor 7 out of range"' in output
    assert '"Retcode":3' in output
    assert "exit code 4" in output
    devices = places(output, "Devices")
    assert sorted(devices) == ["unit-0", "unit-1", "unit-2", "unit-3"]
    for device, (served, failed) in devices.items():
        assert failed == (served if device in ("unit-2", "unit-3") else 0)
        assert served > 0
    failures = count(output, "failed")
    assert failures == sum(failed for _, failed in devices.values())
    errors = dict(line.split(maxsplit=1)[::-1] for line in section(output, "Errors"))
    assert errors == {
        "ended by SIGSEGV": str(devices["unit-3"][1]),
        "unit-2: self-test failed, sensor 7 out of range": str(devices["unit-2"][1]),
    }
    assert f'completed_total{{outcome="failure",queue="units"}} {failures}\n' in output


def test_hanging(example: Example) -> None:
    output = example.run("hanging", REQUESTS=2, LIMIT_S=0.5)
    during = output[: output.index("queue hang")]
    assert during.count("hang.py hang-") == 4  # two workloads, and a child of each
    assert re.search(r"failed +2 +100 % · timeout 2$", output, re.MULTILINE)
    assert section(output, "Errors") == ["  2  run-time limit of 0.5 s reached"]
    assert '"Retcode":124' in output
    assert output.endswith("no process is left\n")


# Requests of that length, as a client that once is as late invalidates the figures.
SHORT = """
thresholds = ["rate >= 5/s", "failures < 1%"]
[load]
stages = ["0→20/s@1s", "20/s@2s"]
[[queues]]
name = "media"
args = ["{item}"]
draw = { list = ["0.05", "0.1"] }
[[queues]]
name = "thumbs"
args = ["0.05"]
"""


def test_scenario(example: Example, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scenario")
    (folder / "short.toml").write_text(SHORT)
    output = example.run("scenario", SCENARIO=folder / "short.toml", OUT=folder / "out")
    assert "Load: open loop" in output
    assert "PASSED All 2 thresholds hold" in output
    assert count(output, "failed") == 0
    assert (folder / "out" / "run.jsonl").stat().st_size > 1000
    page = (folder / "out" / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "PASSED" in page.upper()


def test_classic(example: Example) -> None:
    output = example.run("classic")
    for line in (
        """backend < {"Args":[],"Limit":0.0,"Error":"queue 'sleep' is empty","Empty":true}""",
        """"Error":"unknown queue 'nosuch'; known: sleep",""",
        """backend < {"Args":["0.1"],"Limit":0.0,"Error":"","Empty":false}""",
        """client < {"Pod":"by-hand","Node":"here",""",
        """client < {"Pod":"sleep-1","Node":"node-a",""",
    ):
        assert line in output
    assert (count(output, "completed"), count(output, "failed")) == (10, 0)


def test_a_signal_ends_an_example_with_everything_in_it(example: Example) -> None:
    process = example.start("cpu", STEP_S=600)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("backends"):
        assert process.poll() is None
    while not any(
        "burn.py" in args and " -m " not in args for args in example.processes().values()
    ):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
