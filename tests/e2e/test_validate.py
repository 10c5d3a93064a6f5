"""``scalab validate`` as its user runs it: on workloads whose scaling is known beforehand."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

import scalab
from scalab.runfile.reading import Run, read_run
from scalab.scaling.usl import Fit, Point, fit
from tests.support import processes

pytestmark = pytest.mark.alone

SCALAB = [sys.executable, "-m", "scalab"]


@attrs.frozen
class Validated:
    """What a validation printed and recorded."""

    code: int
    text: str
    run: Run

    @property
    def outcomes(self) -> dict[int, str]:
        """What each step came to, by its workers."""
        return {decision.after: decision.outcome for decision in self.run.decisions}

    @property
    def law(self) -> Fit:
        """The law of what was measured."""
        found = fit(
            Point(step.workers, step.throughput.mean, step.throughput.error)
            for step in self.run.steps
        )
        assert isinstance(found, Fit)
        return found


def validate(folder: Path, *args: str) -> Validated:
    out = folder / "run.jsonl"
    command = [*SCALAB, "validate", "--out", str(out), "--quiet", *args]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=110, cwd=folder
    )
    assert "Traceback" not in done.stderr, done.stderr
    found = Validated(done.returncode, " ".join(done.stdout.split()), read_run(out))
    assert f"exit {found.code}" in found.text, done.stdout + done.stderr
    again = subprocess.run(
        [*SCALAB, "report", str(out)], capture_output=True, text=True, check=False
    )
    assert again.returncode == found.code  # the file says the same as the run
    return found


@contextmanager
def devices(folder: Path, *options: str) -> Iterator[list[str]]:
    """Simulated devices; yields the workload that runs on them."""
    socket = folder / "devices.sock"
    command = [
        *SCALAB, "fakedev", "exporter", "--socket", str(socket), "--make-files",
        str(folder / "dri"), "--metrics-addr", "127.0.0.1:0", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as exporter:
        assert exporter.stderr is not None
        line = exporter.stderr.readline()
        assert "ready" in line, line
        workload = Path(scalab.__file__).parent / "fakedev" / "workload.py"
        yield [sys.executable, str(workload), "--socket", str(socket)]
        exporter.terminate()


def test_workers_that_only_wait_pass(tmp_path: Path) -> None:
    found = validate(
        tmp_path, "--steps", "1,2,8", "--ratio", "1.9", "--min-window", "3", "--time-budget", "30s",
        "--", "sleep", "0.2",
    )  # fmt: skip
    assert found.code == 0
    assert found.outcomes == {2: "PASS", 8: "PASS"}
    assert "RESULT PASS Throughput follows the workers from 1 to 8" in found.text
    first, *_, last = (step.throughput.mean / step.workers for step in found.run.steps)
    assert last / first > 0.9  # on a machine that does other things, too


def test_contention_fails_and_is_found_by_its_size(tmp_path: Path) -> None:
    with devices(tmp_path, "--devices", "1", "--sigma", "0.3") as workload:
        found = validate(
            tmp_path, "--max", "4", "--min-window", "3", "--time-budget", "30s", "--",
            *workload, "--device", "renderD128", "--work", "0.3",
        )  # fmt: skip
    assert found.code == 3
    assert found.outcomes[2] == "FAIL"
    assert found.law.sigma.value == pytest.approx(0.3, abs=0.08)
    assert found.law.kappa.value < 0.01
    assert "contention" in found.text


def test_coherency_fails_late_and_is_found_by_its_size(tmp_path: Path) -> None:
    with devices(tmp_path, "--devices", "1", "--sigma", "0", "--kappa", "0.04") as workload:
        found = validate(
            tmp_path, "--steps", "1,2,8", "--ratio", "1.7", "--min-window", "3",
            "--time-budget", "40s", "--",
            *workload, "--device", "renderD128", "--work", "0.3",
        )  # fmt: skip
    assert found.code == 3
    assert found.outcomes[2] == "PASS"
    assert found.outcomes[8] == "FAIL"
    assert found.law.kappa.value == pytest.approx(0.04, abs=0.012)
    assert found.law.sigma.value < 0.1


def test_a_shared_lock_fails_where_it_saturates(tmp_path: Path) -> None:
    """Real processes: 30 % of the time under one lock, so that three and a third keep it busy."""
    lock = tmp_path / "lock"
    work = f"sleep 0.21; exec flock {lock} sleep 0.09"
    found = validate(
        tmp_path, "--steps", "1,2,8", "--min-window", "3", "--time-budget", "30s",
        "--", "sh", "-c", work,
    )  # fmt: skip
    assert found.code == 3
    assert found.outcomes[2] == "PASS"
    assert found.outcomes[8] == "FAIL"
    most = found.run.steps[-1].throughput.mean
    assert most == pytest.approx(1 / 0.09, rel=0.12)
    # The lock is all the contention there is: throughput ends where the law's limit is.
    assert found.run.steps[0].throughput.mean / most == pytest.approx(0.3, abs=0.06)


def test_a_slow_device_is_blamed_by_name(tmp_path: Path) -> None:
    slow = "renderD129.speed=0.3333"
    with devices(tmp_path, "--devices", "3", "--set", slow) as workload:
        # So long that the slow one has run often enough for its median to mean something.
        found = validate(
            tmp_path, "--steps", "1,3", "--glob", str(tmp_path / "dri" / "*"),
            "--min-window", "18", "--time-budget", "45s", "--",
            *workload, "--device", "FILENAME", "--work", "0.2",
        )  # fmt: skip
    assert found.code == 3
    assert found.outcomes[3] == "FAIL"
    assert re.search(r"renderD129: runs take (2\.[2-9]|3\.[0-4])\d?x as long", found.text)
    assert found.run.validation is not None
    assert any("renderD129" in sentence for sentence in found.run.validation.blame)


def test_failing_requests_have_an_exit_code_of_their_own(tmp_path: Path) -> None:
    broken = "import os, sys, time; time.sleep(0.1); os.urandom(1)[0] < 80 and sys.exit('broken')"
    found = validate(
        tmp_path, "--max", "2", "--min-window", "3", "--time-budget", "10s",
        "--failures-max", "5%", "--", sys.executable, "-S", "-c", broken,
    )  # fmt: skip
    assert found.code == 4
    assert "broken" in found.text


def test_what_is_too_noisy_is_not_decided(tmp_path: Path) -> None:
    noisy = "import random, time; time.sleep(min(random.paretovariate(1.2) / 20, 1.5))"
    found = validate(
        tmp_path, "--max", "2", "--ratio", "1.95", "--min-window", "3", "--time-budget", "12s",
        "--", sys.executable, "-S", "-c", noisy,
    )  # fmt: skip
    assert found.code == 5
    assert found.outcomes == {2: "INCONCLUSIVE"}


async def test_workers_that_never_come_up(tmp_path: Path) -> None:
    async with processes() as started:
        frontend = await started.frontend()
        process = await started.start(
            "validate", "--scaler", "command", "--scale-command", "true {n}", "--initial", "0",
            "--queue", "q", "--frontend", str(frontend.bound.clients),
            "--frontend-http", str(frontend.bound.metrics), "--ready-timeout", "2s",
        )  # fmt: skip
        code = await process.ended()
    assert code == 7
    said = " ".join(process.out.decode().split())
    assert "the frontend has 0 slots instead of 1 after 2.00 s" in said
    assert "exit 7" in said


def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    process = subprocess.Popen(
        [*SCALAB, "validate", "--max", "4", "--out", str(out), "--", "sleep", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = ""
    while "ready after" not in line:
        line = process.stderr.readline()
        assert line
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
