"""Runs as batches: what there is to compare."""

from __future__ import annotations

from pathlib import Path

from scalab.measure.interval import WARM_UP, Interval
from scalab.report.batches import BATCHES, batches_of
from scalab.runfile.reading import Run, RunBuilder, read_run
from scalab.verdict.compare import SAME, compare
from tests.runfile.samples import a_header, an_interval, counted, write


def a_run(seconds: int, **queues: int) -> Run:
    builder = RunBuilder(a_header(queues=tuple(queues)))
    builder.add(an_interval(0.0, n=1000, phase=WARM_UP))
    for second in range(1, seconds + 1):
        counts = {name: counted(n, seed=second) for name, n in queues.items()}
        builder.add(Interval(from_s=float(second), to_s=second + 1.0, queues=counts))
    return builder.run()


def test_the_measured_window_is_in_the_batches() -> None:
    batches = batches_of(a_run(60, media=30))

    assert len(batches) == BATCHES
    assert {batch.duration_s for batch in batches} == {3.0}
    assert {(b.completed, b.succeeded, b.failed) for b in batches} == {(90, 81, 9)}
    assert {batch.histograms["total"].count for batch in batches} == {90}
    assert batches[0].histograms.keys() == {"total", "run"}, "the rest was not counted"


def test_several_queues_are_compared_on_their_own() -> None:
    (batch, *_) = batches_of(a_run(60, media=30, text=10))

    assert batch.histograms.keys() == {"total", "run", "run in media", "run in text"}
    assert batch.histograms["run in text"].count == 30
    assert batch.histograms["run"].count == 120


def test_a_run_without_a_measured_window_has_none() -> None:
    assert batches_of(a_run(0, media=1)) == []


def test_a_run_is_the_same_as_itself_read_again(tmp_path: Path) -> None:
    intervals = [an_interval(float(i), n=50, seed=i) for i in range(60)]
    run = read_run(write(tmp_path / "run.jsonl", [a_header(), *intervals]))

    result = compare(batches_of(run), batches_of(run))
    verdicts = {comparison.metric: comparison.verdict for comparison in result.comparisons}

    assert verdicts["rate"] == verdicts["total p50"] == SAME
