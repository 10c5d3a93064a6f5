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
from .snapshot import Backend, Client, Snapshot

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


def render_page(snapshot: Snapshot, only: Only) -> Response:
    """Return the whole page."""
    nonce = secrets.token_urlsafe(16)
    html = _template("page.html").render(nonce=nonce, view=make_overview(snapshot, only))
    return Response.page(html, nonce)


def render_panels(snapshot: Snapshot, only: Only) -> Response:
    """Return only what changes with time."""
    return Response.page(_template("panels.html").render(view=make_overview(snapshot, only)))


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


def render_workers(snapshot: Snapshot) -> Response:
    """Return all backends as JSON."""
    workers = [_backend(backend) for backend in snapshot.backends]
    return Response.json({"draining": snapshot.draining, "workers": workers})


def render_clients(snapshot: Snapshot) -> Response:
    """Return all clients as JSON."""
    sessions = [_client(client) for client in snapshot.clients]
    return Response.json({"classic": snapshot.classic_clients, "sessions": sessions})


def _backend(backend: Backend) -> dict[str, Any]:
    return {
        "queue": backend.queue,
        "node": backend.node,
        "pod": backend.pod,
        "address": backend.address,
        "classic": backend.classic,
        "state": backend.state,
        "slots": backend.slots,
        "running": backend.running,
        "connected_s": round(backend.connected_s, 3),
        "finished": backend.finished,
        "failed": backend.failed,
        "devices": backend.devices,
        "items": [
            {**attrs.asdict(item), "running_s": round(item.running_s, 3)} for item in backend.items
        ],
    }


def _client(client: Client) -> dict[str, Any]:
    seconds = {name: round(getattr(client, name), 3) for name in ("connected_s", "oldest_s")}
    return {**attrs.asdict(client), **seconds}
