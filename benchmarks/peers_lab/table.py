"""The rounds of all systems as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import attrs
from lab.table import Row, Table

from .rounds import Sample
from .systems import System

COLUMNS = {
    "system": "", "in flight": "d", "requests/s": ",.0f", "min..max": "",
    "p50 ms": ",.2f", "p99 ms": ",.2f", "CPU s/1000": ",.3f", "broker": ",.3f",
    "memory MiB": ",.0f", "scalab/peer": ".2f", "rounds": "",
}  # fmt: skip
QUIET_CORES = 0.1
"""Others may take so much; to read the figures takes a part of it."""
NOTES = (
    "Requests/s, times, CPU and memory are medians of the rounds.",
    "CPU s/1000: of all processes together, for 1000 requests; broker: that of the server, or of",
    "scalab's frontend, alone. Memory: the most of all together, what they share counted once.",
    "scalab/peer: median of the ratios of requests/s, round by round; with one in flight to the",
    "row 'scalab' with one, otherwise to that with many.",
)


@attrs.define
class Case:
    """A system with some requests in flight, and what became of it; rounds in their order."""

    system: System
    in_flight: int
    samples: list[Sample | None] = attrs.field(factory=list)
    """None for a round that failed."""
    why: str = ""
    """Why it was left out, or why the last round that failed did."""

    @property
    def good(self) -> list[Sample]:
        """The rounds that didn't fail."""
        return [sample for sample in self.samples if sample is not None]

    @property
    def complete(self) -> bool:
        """Whether it was measured in every round."""
        return bool(self.samples) and len(self.good) == len(self.samples)


def make_table(cases: Sequence[Case]) -> Table:
    """Return one row for each case; those that were not measured say why below."""
    rows = [_row(case, _reference(case, cases)) for case in cases]
    incomplete = [case for case in cases if not case.complete]
    notes = [f"{_state(case)} {case.system.name}: {case.why}" for case in incomplete]
    busy = max((sample.others_cores for case in cases for sample in case.good), default=0.0)
    if busy > QUIET_CORES:
        notes.append(f"NOT QUIET: other programs took up to {busy:.2f} cores; measure again.")
    about = [f"{case.system.name}: {case.system.about}." for case in cases]
    title = "The same no-op work through scalab and its peers"
    once = dict.fromkeys([*notes, *NOTES, *about])  # a system may have several rows
    return Table(title, COLUMNS, rows, tuple(once))


def _state(case: Case) -> str:
    if not case.samples:
        return "LEFT OUT"
    return "INCOMPLETE" if case.good else "FAILED"


def ratios(ours: Sequence[Sample | None], theirs: Sequence[Sample | None]) -> list[float]:
    """Return how many times as many requests ours served, for each round that both have."""
    pairs = zip(ours, theirs, strict=False)
    return [
        our.per_s / their.per_s for our, their in pairs if our is not None and their is not None
    ]


def _reference(case: Case, cases: Sequence[Case]) -> Case | None:
    """Find the row of scalab that a peer is compared with."""
    ours = [other for other in cases if other.system.name == "scalab"]
    if case.system.ours or not ours:
        return None
    alone = case.in_flight == 1
    return next((other for other in ours if (other.in_flight == 1) == alone), None)


def _row(case: Case, reference: Case | None) -> Row:
    row: dict[str, object] = {
        "system": case.system.name,
        "in flight": case.in_flight,
        "rounds": f"{len(case.good)}/{len(case.samples)}" if case.samples else "LEFT OUT",
    }
    if not (good := case.good):
        return row

    def middle(figure: Callable[[Sample], float]) -> float:
        return median(map(figure, good))

    rates = [sample.per_s for sample in good]
    row |= {
        "requests/s": median(rates),
        "min..max": f"{min(rates):,.0f}..{max(rates):,.0f}",
        "p50 ms": middle(lambda sample: 1e3 * sample.p50_s),
        "p99 ms": middle(lambda sample: 1e3 * sample.p99_s),
        "CPU s/1000": middle(lambda sample: sum(sample.cpu_s.values())),
        "broker": middle(lambda sample: sample.cpu_s.get("broker", 0.0)),
        "memory MiB": middle(lambda sample: sample.pss_mib),
    }
    if reference and (found := ratios(reference.samples, case.samples)):
        row["scalab/peer"] = median(found)
    return row


def as_json(cases: Sequence[Case]) -> list[Mapping[str, object]]:
    """Return the raw figures of all rounds."""
    return [
        {
            "system": case.system.name,
            "about": case.system.about,
            "in_flight": case.in_flight,
            "why_incomplete": case.why,
            "rounds": [sample and attrs.asdict(sample) for sample in case.samples],
        }
        for case in cases
    ]
