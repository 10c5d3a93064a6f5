"""How often a validation's verdict is wrong, by simulation.

    python benchmarks/verdict_rates.py [--runs N] [--seed N] [--budget N] [coverage|verdicts ...]

Devices of which the truth is known are made up, with workers that run one request after the other
and twice as many requests in flight, and are measured and judged as real ones are. Two tables, in
Markdown: how often the 95 % interval of a step's throughput covers the true one, and what becomes
of whole validations. With a seed, the tables are the same everywhere.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from typing import Final

import attrs

from scalab.measure.aggregate import Aggregate
from scalab.measure.batches import Pool
from scalab.measure.statistics import Spread
from scalab.scaling.model import Decision, StepResult
from scalab.scaling.overall import make_validation
from scalab.scaling.sizing import Sizer
from scalab.scaling.throughput import Row, Throughput, from_rows

DRAWS: Final[dict[str, Callable[[random.Random], float]]] = {
    "constant": lambda _: 1.0,
    "±5 %": lambda rng: rng.gauss(1, 0.05),
    "±30 %": lambda rng: rng.lognormvariate(-0.0431, 0.2936),
    "exponential": lambda rng: rng.expovariate(1),
}
"""Run times of mean 1; the percentages are standard deviations."""
FACTOR: Final = 2
"""Requests in flight per worker."""
STEPS: Final = (1, 2, 4, 8, 16, 32)

_NOTHING = Aggregate().statistics(0.0)


class Devices:
    """Workers that take requests in order, and clients that send the next when one is answered.

    They all start together.

    Args:
        workers: How many.
        run_s: Mean run time, in seconds.
        kind: How run times vary.
        rng: What decides it.
        factor: Requests in flight per worker.
    """

    def __init__(
        self, workers: int, run_s: float, kind: str, rng: random.Random, factor: int = FACTOR
    ) -> None:
        self.parallel = factor * workers
        self._rng, self._draw, self._run_s = rng, DRAWS[kind], run_s
        self._running = [(run_s * self._draw(rng), 0.0) for _ in range(workers)]
        heapify(self._running)
        self._waiting = deque([0.0] * (self.parallel - workers))
        self._now = 0.0
        self._pool = Pool()
        self.completed = 0
        self.window_s = self._latency_s = self._squares = 0.0

    def warm_up(self, seconds: float) -> None:
        """Let time pass that isn't measured."""
        self._now += seconds
        self._advance()

    def measure(self, seconds: float) -> None:
        """Measure by the second."""
        end = self._now + seconds
        while self._now < end - 1e-9:
            step_s = min(1.0, end - self._now)
            self._now += step_s
            n, latency_s, squares = self._advance()
            self._pool.add((step_s, n, latency_s))
            self.completed += n
            self.window_s += step_s
            self._latency_s += latency_s
            self._squares += squares

    def throughput(self) -> Throughput:
        """Estimate it from what was measured."""
        rows = [Row(*row) for row in self._pool.rows()]
        edge_s = self._squares / self._latency_s if self._latency_s else 0.0
        return from_rows(rows, self.parallel, busy_s=self._run_s, edge_s=edge_s)

    @property
    def latency_s(self) -> float:
        """The mean latency of what was measured."""
        return self._latency_s / self.completed if self.completed else 0.0

    def _advance(self) -> tuple[int, float, float]:
        """Go on up to now; return completions, their latencies' sum, and that of the squares."""
        running, waiting, draw, rng = self._running, self._waiting, self._draw, self._rng
        n, latency_s, squares = 0, 0.0, 0.0
        while running[0][0] < self._now:
            ended, sent = running[0]
            waiting.append(ended)
            heapreplace(running, (ended + self._run_s * draw(rng), waiting.popleft()))
            n += 1
            latency_s += ended - sent
            squares += (ended - sent) ** 2
        return n, latency_s, squares


# --- how often intervals of a step's throughput cover the truth -------------------------------


@attrs.frozen
class Coverage:
    """What became of the intervals, as shares."""

    covered: float
    """Of the intervals, those with the truth inside."""
    half_width: float
    """Mean half-width, as a share of the throughput."""
    bias: float
    """Mean relative error of the throughput."""
    by_latency: float
    """Of the windows, those whose throughput was found from latencies."""
    unknown: float
    """Of the windows, those called too short for an interval."""


def coverage(
    kind: str, workers: int, periods: float, runs: int, seed: int, *, factor: int = FACTOR
) -> Coverage:
    """Simulate ``runs`` windows of ``periods`` run times each."""
    rng = random.Random(f"{seed} {kind} {workers} {periods} {factor}")
    covered, by_latency, widths, errors = 0, 0, [], []
    for _ in range(runs):
        run_s = rng.uniform(0.9, 1.1)
        devices = Devices(workers, run_s, kind, rng, factor)
        devices.warm_up(rng.uniform(5, 10) * run_s)
        devices.measure(max(round(periods * run_s), 1))
        found = devices.throughput()
        estimate, truth = found.estimate, workers / run_s
        if estimate.low is None or estimate.high is None:
            continue
        covered += estimate.low <= truth <= estimate.high
        by_latency += found.method == "latency"
        widths.append(estimate.half_width_share or 0.0)
        errors.append(estimate.mean / truth - 1)
    n = max(len(widths), 1)
    unknown = 1 - len(widths) / runs
    return Coverage(covered / n, sum(widths) / n, sum(errors) / n, by_latency / n, unknown)


# --- what becomes of whole validations --------------------------------------------------------


@attrs.frozen
class Case:
    """A system to validate, and what is asked of it."""

    kind: str
    """How run times vary."""
    ratio: float
    """By which throughput really grows when workers double."""
    required: float
    budget_s: float = 1800.0
    """Of measuring; a run takes 1 s on a single worker."""
    steps: tuple[int, ...] = STEPS

    @property
    def passes(self) -> bool:
        """Whether it should."""
        return self.ratio >= self.required


@attrs.frozen
class Validated:
    """What became of one."""

    outcome: str
    decisions: tuple[Decision, ...]
    seconds: float
    """For which it was measured."""


def validated(case: Case, rng: random.Random) -> Validated:
    """Simulate a validation from its first step to its last."""
    sizer = Sizer(case.steps, required=case.required)
    left_s = case.budget_s
    results, decisions = [], []
    for index, workers in enumerate(case.steps):
        run_s = (2 / case.ratio) ** index * (workers / case.steps[0] / 2**index)
        devices = Devices(workers, run_s, case.kind, rng)
        devices.warm_up(rng.uniform(5, 10) * run_s)
        more_s: float | None = sizer.first_s(FACTOR * run_s)
        while more_s is not None:
            devices.measure(more_s)
            left_s -= more_s
            result = step_of(workers, devices)
            look = sizer.look(result, left_s)
            more_s = look.more_s
        results.append(result)
        if look.decision is not None:
            decisions.append(look.decision)
    validation = make_validation(results, decisions)
    return Validated(validation.outcome, tuple(decisions), case.budget_s - left_s)


def step_of(workers: int, devices: Devices) -> StepResult:
    """Return what was measured so far."""
    statistics = attrs.evolve(
        _NOTHING,
        window_s=devices.window_s,
        completed=devices.completed,
        succeeded=devices.completed,
        total=Spread(count=devices.completed, mean_s=devices.latency_s),
    )
    return StepResult(
        workers=workers,
        parallel=devices.parallel,
        throughput=devices.throughput().estimate,
        statistics=statistics,
    )


@attrs.frozen
class Rates:
    """What becomes of validations, as shares."""

    outcomes: dict[str, float]
    """Of whole ones."""
    steps: dict[str, float]
    """Of their comparisons."""
    wrong: float
    """Of whole ones, those that say PASS and should say FAIL, or the other way round."""
    seconds: float
    """Mean time of measuring."""


def rates(case: Case, runs: int, seed: int) -> Rates:
    """Simulate ``runs`` validations."""
    rng = random.Random(f"{seed} {case}")
    found = [validated(case, rng) for _ in range(runs)]
    outcomes = Counter(each.outcome for each in found)
    steps = Counter(decision.outcome for each in found for decision in each.decisions)
    return Rates(
        outcomes={outcome: n / runs for outcome, n in outcomes.items()},
        steps={outcome: n / sum(steps.values()) for outcome, n in steps.items()},
        wrong=outcomes["FAIL" if case.passes else "PASS"] / runs,
        seconds=sum(each.seconds for each in found) / runs,
    )


# --- tables -----------------------------------------------------------------------------------


def coverage_table(runs: int, seed: int, budget_s: float) -> None:
    """Print how often intervals cover the truth, and how wide they are."""
    del budget_s
    windows = (10, 20, 50, 200)
    _head("run times", "workers", *(f"{w} run times" for w in windows))
    for kind in DRAWS:
        for workers in (1, 4, 16, 64):
            cells = []
            for periods in windows:
                found = coverage(kind, workers, periods, runs, seed)
                cells.append(f"{found.covered:.1%}, ±{found.half_width:.1%}")
            _row(kind, workers, *cells)


def verdict_table(runs: int, seed: int, budget_s: float) -> None:
    """Print what is said of devices whose throughput grows by how much."""
    columns = ("PASS", "FAIL", "INCONCLUSIVE")
    names = [*columns, "wrong", "measured for", "steps decided", "steps wrong"]
    _head("run times", "required", "really", *names)
    for required in (1.8, 1.9):
        for kind in ("±5 %", "±30 %", "exponential"):
            for ratio in (1.7, 1.75, 1.8, 1.85, 1.9, 2.0):
                case = Case(kind, ratio, required, budget_s)
                found = rates(case, runs, seed)
                cells = [f"{found.outcomes.get(name, 0):.1%}" for name in columns]
                cells += [f"{found.wrong:.1%}", f"{found.seconds:,.0f} s"]
                decided = [found.steps.get(name, 0) for name in ("PASS", "FAIL")]
                cells += [f"{sum(decided):.1%}", f"{decided[case.passes]:.1%}"]
                _row(kind, required, ratio, *cells)


def _head(*names: str) -> None:
    _row(*names)
    print("|---" * len(names) + "|")


def _row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


TABLES = {"coverage": coverage_table, "verdicts": verdict_table}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description="How often a validation's verdict is wrong.")
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], help="default: all")
    parser.add_argument("--runs", type=int, default=200, help="simulations per cell (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=1800, help="mean run times (1800)")
    args = parser.parse_args(arguments)
    for name in args.tables or TABLES:
        print(f"\n{name}\n")
        TABLES[name](args.runs, args.seed, args.budget)


if __name__ == "__main__":
    main()
