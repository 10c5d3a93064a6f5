"""How often the statistics of a run are wrong, by simulation.

    python benchmarks/error_rates.py [--runs 200] [--seed 1] [coverage|compare|steady ...]

Runs of which the truth is known are made up, seconds of them in milliseconds, and judged as real
ones are. Three tables, in Markdown: how often the 95 % interval of the throughput covers the true
one, what ``compare`` says of two runs, and what is called steady. With a seed, the tables are the
same everywhere.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from scalab.measure.batches import Batches
from scalab.measure.histogram import Histogram, record
from scalab.measure.steady import Steady, SteadyState
from scalab.verdict.compare import Batch, Result, compare

# --- how often intervals of the throughput cover the truth ------------------------------------

DRAWS: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda _: 1.0,
    "uniform": lambda rng: rng.uniform(0.7, 1.3),
    "exponential": lambda rng: rng.expovariate(1),
}


@attrs.frozen
class Completions:
    """A load, and the window in which it is measured, by the second."""

    kind: str
    """Of the run times: constant, uniform (±30 %), exponential; or poisson completions."""
    lanes: int
    """In parallel, each starting its next run when one ends; all start together."""
    run_s: float
    """Mean run time; each simulation's own differs from it by up to 10 %."""
    periods: float
    """Length of the window, in mean run times."""
    cold: bool = False
    """Measured from the start, rather than when 5 to 10 run times have passed."""

    def counts(self, run_s: float, rng: random.Random) -> list[int]:
        """Return the completions of each second, given the mean run time."""
        seconds = max(round(self.periods * run_s), 1)
        counts = [0] * seconds
        start_s = 0.0 if self.cold else -rng.uniform(5, 10) * run_s
        poisson = self.kind == "poisson"
        draw = DRAWS["exponential" if poisson else self.kind]
        for _ in range(1 if poisson else self.lanes):
            now = start_s
            while (now := now + self._scaled(draw(rng), run_s)) < seconds:
                if now >= 0:
                    counts[int(now)] += 1
        return counts

    def _scaled(self, drawn: float, run_s: float) -> float:
        return drawn * run_s / (self.lanes if self.kind == "poisson" else 1)


@attrs.frozen
class Coverage:
    """What became of the intervals, as shares."""

    covered: float
    """Of the intervals, those with the truth inside."""
    half_width: float
    """Mean half-width, as a share of the rate."""
    unknown: float
    """Of the windows, those called too short for an interval."""


def coverage(case: Completions, runs: int, seed: int) -> Coverage:
    """Simulate ``runs`` windows."""
    rng = random.Random(f"{seed} {case}")
    covered, widths = 0, []
    for _ in range(runs):
        run_s = case.run_s * rng.uniform(0.9, 1.1)
        batches = Batches()
        for count in case.counts(run_s, rng):
            batches.add(1.0, count)
        found = batches.estimate(min_batch_s=2 * run_s)
        if found.low is None or found.high is None:
            continue
        covered += found.low <= case.lanes / run_s <= found.high
        widths.append(found.half_width_share or 0.0)
    n = len(widths)
    return Coverage(covered / n if n else 1.0, sum(widths) / n if n else 0.0, 1 - n / runs)


# --- what a comparison says -------------------------------------------------------------------

RUN_S, LANES, WINDOW_S, CV = 0.2, 10, 60, 0.2
BATCHES = 15


@attrs.frozen
class Drift:
    """Run times that wander: by the second, AR(1) with a standard deviation as a share."""

    sd: float = 0.0
    follows: float = 0.9
    """Correlation from one second to the next."""

    def factors(self, seconds: int, rng: random.Random) -> list[float]:
        """Return what run times are multiplied by, for each second."""
        x, factors = rng.gauss(0, self.sd), []
        for _ in range(seconds):
            factors.append(max(1 + x, 0.1))
            x = self.follows * x + rng.gauss(0, self.sd * (1 - self.follows**2) ** 0.5)
        return factors


def simulated(rng: random.Random, *, slower: float = 1.0, drift: Drift) -> list[Batch]:
    """Make up a run of 60 s at 50 requests/s: 10 lanes with lognormal run times about 0.2 s."""
    length_s = WINDOW_S / BATCHES
    parts = [{name: Histogram() for name in ("total", "run", "overhead")} for _ in range(BATCHES)]
    counts = [0] * BATCHES
    factors = drift.factors(WINDOW_S, rng)
    for _ in range(LANES):
        now = rng.uniform(0, RUN_S)
        while True:
            factor = slower * factors[int(now)]
            run_s = RUN_S * factor * rng.lognormvariate(-CV * CV / 2, CV)
            now += run_s
            if now >= WINDOW_S:
                break
            part = parts[int(now / length_s)]
            counts[int(now / length_s)] += 1
            record((part["run"],), run_s)
            record((part["overhead"],), 0.001)
            record((part["total"],), run_s + 0.001)
    return [Batch(length_s, n, n, 0, part) for n, part in zip(counts, parts, strict=True)]


def verdicts(runs: int, seed: int, *, slower: float = 1.0, drift: Drift) -> Iterator[Result]:
    """Compare ``runs`` pairs of runs, the second one slower."""
    rng = random.Random(f"{seed} {slower} {drift}")
    for _ in range(runs):
        a = simulated(rng, drift=drift)
        yield compare(a, simulated(rng, slower=slower, drift=drift))


# --- what is called steady --------------------------------------------------------------------

SHAPES: dict[str, Callable[[float], float]] = {
    "steady": lambda _: 1.0,
    "3 % slower at the end": lambda x: 1 + 0.03 * x,
    "10 % slower at the end": lambda x: 1 + 0.1 * x,
    "20 % slower at the end": lambda x: 1 + 0.2 * x,
    "first tenth 50 % slower": lambda x: 1.5 if x < 0.1 else 1.0,
}


def steadiness(
    runs: int, seed: int, shape: str, *, seconds: int = 60, drift: Drift
) -> Iterator[Steady]:
    """Judge ``runs`` windows with about 50 requests a second."""
    rng = random.Random(f"{seed} {shape} {seconds} {drift}")
    for _ in range(runs):
        state = SteadyState()
        for second, factor in enumerate(drift.factors(seconds, rng)):
            slower = SHAPES[shape]((second + 0.5) / seconds) * factor
            n = round(rng.gauss(50 / slower, 3))
            latency_s = RUN_S * slower * (n + rng.gauss(0, CV * n**0.5))
            state.add(1.0, n, latency_s, n)
        yield state.check()


# --- tables -----------------------------------------------------------------------------------


def coverage_table(runs: int, seed: int) -> None:
    """Print how often intervals cover the truth, and how wide they are."""
    windows = (5, 10, 20, 50, 200)
    print("| run times | lanes | " + " | ".join(f"{w} run times" for w in windows) + " |")
    print("|---|---|" + "---|" * len(windows))
    cases = [(kind, lanes) for kind in (*DRAWS, "poisson") for lanes in (1, 4, 16)]
    for kind, lanes in cases:
        cells = []
        for periods in windows:
            all_of = [
                coverage(Completions(kind, lanes, run_s, periods, cold), runs // 4, seed)
                for run_s in (1.0, 7.0)
                for cold in (False, True)
            ]
            known = [c for c in all_of if c.unknown < 0.5]
            covered, width = (
                sum(figures) / max(len(known), 1)
                for figures in ([c.covered for c in known], [c.half_width for c in known])
            )
            cells.append(f"{covered:.1%}, ±{width:.1%}" if known else "unknown")
        print(f"| {kind} | {lanes} | " + " | ".join(cells) + " |")


def compare_table(runs: int, seed: int) -> None:
    """Print what comparisons say of pairs of runs, and whether any figure at all differs."""
    columns = ("same", "can't tell", "better", "worse")
    print("| drift | second run | " + " | ".join(columns) + " | any figure differs |")
    print("|---|---|" + "---|" * (len(columns) + 1))
    for drift in (Drift(), Drift(0.03), Drift(0.05)):
        for slower in (1.0, 1.03, 1.1):
            found = list(verdicts(runs, seed, slower=slower, drift=drift))
            count = Counter(result.verdict for result in found)
            differs = sum(
                any(c.verdict in {"better", "worse"} for c in result.comparisons)
                for result in found
            )
            cells = [f"{count[column] / runs:.1%}" for column in columns]
            name = "the same" if slower == 1 else f"{slower - 1:.0%} slower"
            cells.append(f"{differs / runs:.1%}")
            print(f"| {_named(drift)} | {name} | " + " | ".join(cells) + " |")


def steady_table(runs: int, seed: int) -> None:
    """Print how often windows of several shapes are called what."""
    print("| drift | window of 60 s | steady | a trend | warm-up not over |")
    print("|---|---|---|---|---|")
    for drift in (Drift(), Drift(0.03)):
        for shape in SHAPES:
            found = list(steadiness(runs, seed, shape, drift=drift))
            steady = sum(s.ok is True for s in found)
            warm_up = sum("warm-up" in s.text for s in found)
            parts = (steady, runs - steady - warm_up, warm_up)
            cells = " | ".join(f"{part / runs:.1%}" for part in parts)
            print(f"| {_named(drift)} | {shape} | {cells} |")


def _named(drift: Drift) -> str:
    return f"{drift.sd:.0%}" if drift.sd else "none"


TABLES = {"coverage": coverage_table, "compare": compare_table, "steady": steady_table}


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description="How often a run's statistics are wrong.")
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], help="default: all")
    parser.add_argument("--runs", type=int, default=200, help="simulations per cell (200)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in args.tables or TABLES:
        print(f"\n{name}\n")
        TABLES[name](args.runs, args.seed)


if __name__ == "__main__":
    main()
