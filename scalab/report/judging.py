"""A report of a run that was recorded, judged as the client did, anew, or by other thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from scalab.errors import ExitCode
from scalab.load.scenario import OpenLoad
from scalab.runfile.reading import Run
from scalab.verdict.checks import Facts, run_checks
from scalab.verdict.results import Checked, Judged
from scalab.verdict.thresholds import Threshold, judge

from .model import Report, make_report


def judged_report(run: Run, thresholds: Sequence[str] = ()) -> Report:
    """Return the report of a recorded run.

    What the client found at the end is taken as it is: it knows more than its file. When there is
    no such end, since the client was killed or the runs of several were merged, the scenario's
    thresholds and the checks are evaluated here.

    Args:
        run: As read or merged.
        thresholds: By which to judge it; none = the scenario's own.

    Raises:
        ConfigError: A threshold is none, or can't be judged by this run.
    """
    as_written = run.end is not None and not run.parts
    anew = thresholds or (() if as_written else run.header.scenario.thresholds)
    return make_report(
        run,
        thresholds=_judge(run, anew) if anew else None,
        checks=None if as_written else _check(run),
    )


def exit_code(report: Report) -> ExitCode:
    """Return what a run's verdict means for whoever started it.

    Without thresholds nothing was asked of the run, so nothing can be wrong with it.
    """
    if not report.thresholds:
        return ExitCode.OK
    codes = {"invalid": ExitCode.INVALID, "failed": ExitCode.FAILURES}
    return codes.get(report.verdict.state, ExitCode.OK)


def _judge(run: Run, texts: Sequence[str]) -> list[Judged]:
    scenario = run.header.scenario
    queues = [queue.name for queue in scenario.queues]
    thresholds = [Threshold.parse(text) for text in texts]
    for threshold in thresholds:
        threshold.check_against(queues, open_loop=isinstance(scenario.load, OpenLoad))
    return [judge(threshold, run.measured) for threshold in thresholds]


def _check(run: Run) -> tuple[Checked, ...]:
    load = run.header.scenario.load
    return run_checks(
        Facts(
            window=run.measured,
            open_loop=isinstance(load, OpenLoad),
            poisson=isinstance(load, OpenLoad) and load.arrival == "poisson",
            # Not the number of clients: a merged run has the CPU time of the busiest one.
            clients=1,
            truncated=run.truncated or run.end is None,
            notes=run.problems,
        )
    )
