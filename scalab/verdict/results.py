"""What judging a run comes to: one result per threshold, one per self-check."""

from __future__ import annotations

from typing import Literal

import attrs

State = Literal["ok", "caveat", "invalid", "skipped"]
"""What a self-check finds; ``skipped`` when there is nothing to check."""


@attrs.frozen(kw_only=True)
class Judged:
    """What became of a threshold."""

    expression: str
    ok: bool
    value: str
    """What was measured, with its unit; starts with ``no data`` if nothing was."""
    aborts: bool = False
    """Whether the run is to end as soon as it is crossed."""


@attrs.frozen(kw_only=True)
class Checked:
    """What a self-check found."""

    name: str
    state: State
    text: str
    """What was measured, and, if it is not ok, what that means and what to do."""
