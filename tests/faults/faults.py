"""Faults at random moments, under load; started by ``nox -s faults``."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.conftest import Options
from tests.faults.lab.faults import schedule
from tests.faults.lab.system import system


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("namespaces")
async def test_nothing_is_lost_whatever_strikes(
    options: Options, tell: Callable[[str], None], tmp_path: Path
) -> None:
    rng = random.Random(options.seed)
    async with system(tmp_path, options.seed) as made:
        for number, kind in enumerate(schedule(rng, options.rounds), 1):
            await made.load(on=True)
            await trio.sleep(rng.uniform(0.3, 1.0))
            whom = await kind.strike(made, rng)
            recovery_s = await made.recovered()
            violations = await made.checked()
            tell(
                f"{number:3} {kind.name:18} {whom:32} recovered in {recovery_s:5.2f} s; "
                f"{made.asked} requests, {len(violations)} promises broken"
            )
            assert not violations, "\n".join(map(str, violations))
        await made.stop()
