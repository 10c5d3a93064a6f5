"""Options of the fault suites, which are started by nox: they aren't part of the other tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import attrs
import pytest

from tests.faults.lab.network import why_not


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--seed", type=int, help="Of all that is drawn; the default is random.")
    group.addoption("--rounds", type=int, default=30, help="Faults, one after the other.")
    group.addoption("--quick", action="store_true", help="Few faults, in less than 40 s.")
    group.addoption("--minutes", type=float, default=1.0, help="How long the soak takes.")


@attrs.frozen
class Options:
    """What the suite was started with."""

    seed: int
    rounds: int
    quick: bool
    minutes: float


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    given = request.config.option
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    print(f"\nseed {seed}: repeat with --seed {seed}", flush=True)  # noqa: T201
    return Options(seed, 5 if given.quick else given.rounds, given.quick, given.minutes)


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Print a line at once."""
    return lambda line: print(line, flush=True)  # noqa: T201


@pytest.fixture
def namespaces() -> None:
    """Where there can be no network of our own, skip; but not in CI."""
    if reason := why_not():
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
