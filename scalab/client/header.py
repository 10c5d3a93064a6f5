"""The first record of a run: what is asked for, where and when."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import attrs

import scalab
from scalab.load.scenario import Scenario
from scalab.protocol.text import printable
from scalab.runfile.records import Environment, Header

MAX_ARGUMENTS = 200


def make_header(scenario: Scenario, command: Sequence[str], interval_s: float) -> Header:
    """Return the header of a run on this machine; ``begun`` is to tell when it begins."""
    return Header(
        id=secrets.token_hex(4),
        started_at=_now(),
        scalab=scalab.__version__,
        scenario=scenario,
        environment=Environment(
            host=platform.node(),
            node=printable(os.environ.get("NODE_NAME", ""), 253),
            pod=printable(os.environ.get("POD_NAME", ""), 253),
            python=platform.python_version(),
            kernel=platform.release(),
            cpus=len(os.sched_getaffinity(0)),
        ),
        command=tuple(printable(word, 1000) for word in command[:MAX_ARGUMENTS]),
        interval_s=interval_s,
    )


def begun(header: Header) -> Header:
    """Return the header of a run that begins now."""
    return attrs.evolve(header, started_at=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
