"""Faults at random moments, under load; started by ``nox -s faults``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
import trio

from tests.faults.conftest import Options
from tests.faults.lab.faults import schedule
from tests.faults.lab.system import System, system


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("namespaces")
async def test_nothing_is_lost_whatever_strikes(
    options: Options, tell: Callable[[str], None], tmp_path: Path
) -> None:
    rng, recoveries = random.Random(options.seed), []
    async with system(tmp_path, options.seed) as made:
        for number, kind in enumerate(schedule(rng, options.rounds), 1):
            await made.load(on=True)
            await trio.sleep(rng.uniform(0.3, 1.0))
            whom = await kind.strike(made, rng)
            recoveries.append(await made.recovered())
            violations = await made.checked()
            tell(
                f"{number:3} {kind.name:18} {whom:40} recovered in {recoveries[-1]:5.2f} s; "
                f"{made.asked:6} requests, {len(violations)} promises broken"
            )
            assert not violations, "\n".join(map(str, violations))
        await made.stop()
        for line in summary(made, recoveries):
            tell(line)


def summary(made: System, recoveries: list[float]) -> Iterator[str]:
    """What there is to tell at the end."""
    figures, outcomes = made.audit.figures, made.history.outcomes()
    ended = outcomes + figures.theirs
    yield (
        f"{len(recoveries)} faults, {made.asked} requests: "
        + ", ".join(f"{count} {outcome}" for outcome, count in sorted(ended.items()))
        + f"; without an end: {outcomes['pending']}, with two: 0"
    )
    yield (
        f"recovered in {median(recoveries):.2f} s (median), {max(recoveries):.2f} s (longest); "
        f"{figures.unknown} ends were counted whose answer was lost with its connection"
    )
    yield "packets: " + ", ".join(f"{n} {fate}" for fate, n in sorted(made.net.fates.items()))
