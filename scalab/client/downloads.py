"""Files to take away from the page: the report of the run so far, and its scenario."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import attrs

from scalab.errors import ConfigError
from scalab.load.written import format_scenario
from scalab.report.html import to_html
from scalab.report.jsonform import to_json
from scalab.report.model import Report
from scalab.report.table import to_csv
from scalab.runfile.records import End
from scalab.runfile.replay import replay
from scalab.runtime.routing import HTML, JSON, TEXT, HttpError, Response

from .scene import Scene


def _scenario(scene: Scene) -> str:
    try:
        return format_scenario(replay(scene.now.run))
    except ConfigError as exc:
        raise HttpError(409, str(exc)) from None


def _so_far(scene: Scene) -> Report:
    """Return the report of a run that goes on, which is not one of a client that was killed."""
    report = scene.report
    if report.end is not None:
        return report
    end = End(
        at_s=scene.now.elapsed_s,
        reason="not yet",
        thresholds=report.thresholds,
        checks=report.checks,
    )
    return attrs.evolve(report, end=end, truncated=False)


FILES: Final[dict[str, tuple[Callable[[Scene], str], str]]] = {
    "report.html": (lambda scene: to_html(_so_far(scene)), HTML),
    "report.json": (lambda scene: to_json(_so_far(scene)), JSON),
    "report.csv": (lambda scene: to_csv(_so_far(scene)), "text/csv; charset=utf-8"),
    "scenario.toml": (_scenario, TEXT),
}
"""What makes each file, and its type."""


def render_file(name: str, scene: Scene) -> Response:
    """Return one of ``FILES``, to be kept rather than shown.

    Raises:
        HttpError: 409, there is no such file of this run yet.
    """
    make, content_type = FILES[name]
    run = re.sub(r"\W", "", scene.now.run_id, flags=re.ASCII)[:40]
    kept = (("Content-Disposition", f'attachment; filename="scalab-{run}-{name}"'),)
    return Response(make(scene).encode(errors="replace"), content_type, headers=kept)
