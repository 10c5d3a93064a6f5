from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from .workloads import Reports


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    reports = Reports(tmp_path / "reports")
    yield reports
    reports.close()


@pytest.fixture
def clock(mock_clock: MockClock) -> MockClock:
    """A clock that goes at the usual rate, as real processes do, and can also jump."""
    mock_clock.rate = 1.0
    return mock_clock
