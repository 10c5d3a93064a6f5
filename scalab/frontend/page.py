"""The frontend's web page: made on the server, useful without scripts, kept up to date by one.

``panels.html`` is what changes with time: the page contains it, and its script fetches it again.
Everything here is pure, and done in a thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import attrs
from jinja2 import Template

from scalab.protocol.messages import FAILURE, LOST, OUTCOMES, TIMEOUT
from scalab.runtime.routing import Response
from scalab.web.templating import make_environment

from .overview import Only, make_overview
from .seen import Backend, Client
from .snapshot import Snapshot

MAX_NAME = 80
"""Characters of a name that the page shows."""
MAX_ITEMS = 3
"""Running items named in a backend's row."""
MAX_DEVICES = 4
BAD = (FAILURE, TIMEOUT, LOST)
"""Outcomes that are nobody's wish."""
ENDINGS = (
    *("Queue", ">Accepted", *(f">{outcome.capitalize()}" for outcome in OUTCOMES)),
    *(">Rejected", ">Redelivered"),
)
"""Columns of the table of how items ended, those of numbers marked."""
STATES = {"busy": "good", "idle": "dim", "resting": "dim", "draining": "warn"}
_HEIGHT = 24  # of a course's plot, in units of its own


@cache
def _template(name: str) -> Template:
    """Return a template of this package, which is read and compiled once."""
    environment = make_environment("scalab.frontend")
    environment.filters |= {"line": draw_line, "most": _most}
    environment.globals |= {
        "OUTCOMES": OUTCOMES,
        "BAD": BAD,
        "ENDINGS": ENDINGS,
        "STATES": STATES,
        "MAX_NAME": MAX_NAME,
        "MAX_ITEMS": MAX_ITEMS,
        "MAX_DEVICES": MAX_DEVICES,
    }
    return environment.get_template(name)


def render_page(snapshot: Snapshot, only: Only, backends: Sequence[Backend]) -> Response:
    """Return the whole page."""
    nonce = secrets.token_urlsafe(16)
    view = make_overview(snapshot, only, backends)
    html = _template("page.html").render(nonce=nonce, view=view)
    return Response.page(html, nonce)


def render_panels(snapshot: Snapshot, only: Only, backends: Sequence[Backend]) -> Response:
    """Return only what changes with time."""
    view = make_overview(snapshot, only, backends)
    return Response.page(_template("panels.html").render(view=view))


def draw_line(course: Sequence[float]) -> str:
    """Return the path of a course in a plot 100 wide and 24 high, its highest point at the top.

    >>> draw_line((0, 5, 10))
    'M0 23L50 12L100 1'
    """
    highest = max(course, default=0.0)
    if len(course) < 2 or not highest:
        return ""
    step = 100 / (len(course) - 1)
    points = (
        f"{i * step:.3g} {_HEIGHT - 1 - (_HEIGHT - 2) * value / highest:.3g}"
        for i, value in enumerate(course)
    )
    return "M" + "L".join(points)


def _most(devices: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the devices that finished most."""
    return sorted(devices.items(), key=lambda device: -device[1])[:MAX_DEVICES]


# --- the same for programs -----------------------------------------------------------------------


def backend_json(backend: Backend) -> dict[str, Any]:
    """Return what programs are told of a backend."""
    items = [_rounded(item, "running_s", "limit_s") for item in backend.items]
    return {**_rounded(backend, "connected_s"), "items": items}


def client_json(client: Client) -> dict[str, Any]:
    """Return what programs are told of a client's session."""
    return _rounded(client, "connected_s", "oldest_s")


def _rounded(instance: attrs.AttrsInstance, *durations: str) -> dict[str, Any]:
    """Return the fields of an instance, and of them the durations to the millisecond."""
    fields = attrs.asdict(instance, recurse=False)
    return fields | {name: round(fields[name], 3) for name in durations}
