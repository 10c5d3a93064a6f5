"""Tests that measure run alone, and the others side by side, in two processes of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

CONFTEST = """
from tests.turns import register

def pytest_configure(config):
    config.addinivalue_line("markers", "alone")
    register(config)
"""

# The first half is for one process, the second for the other.
SUITE = """
import time
from pathlib import Path

import pytest

def wait_for(pattern, limit_s):
    until = time.monotonic() + limit_s
    while not (found := list(Path().glob(pattern))) and time.monotonic() < until:
        time.sleep(0.01)
    return found

def beside(me, other):
    Path(me).touch()
    assert wait_for(other, 30)

def alone():
    try:
        Path("alone").touch(exist_ok=False)
        assert not wait_for("not alone", 0.3)
    except FileExistsError:
        Path("not alone").touch()
        raise
    else:
        Path("alone").unlink()

def test_1(): beside("here", "there")

@pytest.mark.alone
def test_2(): alone()

@pytest.mark.alone
def test_3(): alone()

def test_4(): beside("there", "here")

@pytest.mark.alone
def test_5(): alone()

@pytest.mark.alone
def test_6(): alone()
"""


def test_turns(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "6 passed" in done.stdout, done.stdout
    assert not list(tmp_path.glob("scalab-tests-*"))
