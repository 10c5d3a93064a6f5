"""What holds for all tests: how long hypothesis searches, who runs alone, and no logged errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import turns

# No test judges by the wall clock, so neither does hypothesis.
_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=60, stateful_step_count=40, **_COMMON)
settings.register_profile(
    "ci", max_examples=1500, stateful_step_count=80, print_blob=True, **_COMMON
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    turns.register(config)


@pytest.fixture(autouse=True)
def error_logs() -> Iterator[list[str]]:
    """Fail the test if an error was logged; leave the configuration of logs as it was.

    A test that provokes an error takes this fixture, checks what it holds and clears it.
    """
    errors: list[str] = []

    def note(
        _logger: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if method in ("error", "critical"):
            errors.append(str(event))
        return event

    before = structlog.get_config()
    structlog.configure(**{**before, "processors": [note, *before["processors"]]})
    try:
        yield errors
    finally:
        structlog.configure(**before)
    assert not errors
