"""Files to take away from the page: the report of the run so far, and its scenario."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scalab.errors import ConfigError
from scalab.load.written import format_scenario
from scalab.report.html import to_html
from scalab.report.jsonform import to_json
from scalab.report.table import to_csv
from scalab.runfile.replay import replay
from scalab.runtime.routing import HTML, JSON, TEXT, HttpError, Response

from .scene import Scene


def _scenario(scene: Scene) -> str:
    try:
        return format_scenario(replay(scene.now.run))
    except ConfigError as exc:
        raise HttpError(409, str(exc)) from None


FILES: Final[dict[str, tuple[Callable[[Scene], str], str]]] = {
    "report.html": (lambda scene: to_html(scene.report), HTML),
    "report.json": (lambda scene: to_json(scene.report), JSON),
    "report.csv": (lambda scene: to_csv(scene.report), "text/csv; charset=utf-8"),
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
