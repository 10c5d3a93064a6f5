"""What is fuzzed, in the normal tests: seeds, findings of the past, and a few mutations."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.hostile.mutate import mutated

from .seeds import SEEDS
from .targets import TARGETS, Target

FINDINGS = Path(__file__).with_name("findings")
MUTATIONS = {"runs": 40, "pages": 60}
"""Of targets that take milliseconds; of the others there are more."""

each = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def findings() -> Iterator[tuple[Target, Path]]:
    for name, target in TARGETS.items():
        for path in sorted((FINDINGS / name).glob("*")):
            yield target, path


@each
def test_seeds(target: Target) -> None:
    sound = list(SEEDS[target.__name__]())
    assert sound
    for data in sound:
        target(data)


@pytest.mark.parametrize(
    ("target", "path"), list(findings()), ids=lambda value: getattr(value, "name", "")
)
def test_findings(target: Target, path: Path) -> None:
    target(path.read_bytes())


@each
def test_mutated_seeds(target: Target) -> None:
    sound = list(SEEDS[target.__name__]())
    for i in range(MUTATIONS.get(target.__name__, 200)):
        data = mutated(random.Random(i).choice(sound), random.Random(i), sound)
        try:
            target(data)
        except BaseException as exc:
            exc.add_note(f"input {data!r}")
            raise


@pytest.mark.parametrize(
    "target",
    [t for n, t in TARGETS.items() if n not in ("runs", "pages")],
    ids=lambda t: t.__name__,
)
@given(data=st.binary(max_size=200))
def test_any_bytes(target: Target, data: bytes) -> None:
    target(data)
