"""The self-checks: can the figures of a run be trusted?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from .client_checks import CLIENT_CHECKS
from .facts import Check, Facts
from .place_checks import PLACE_CHECKS
from .results import Checked
from .window_checks import WINDOW_CHECKS

__all__ = ["CHECKS", "Check", "Facts", "Trust", "overall", "run_checks"]

Trust = Literal["valid", "caveats", "invalid"]

CHECKS: Final[tuple[Check, ...]] = (*CLIENT_CHECKS, *WINDOW_CHECKS, *PLACE_CHECKS)
"""All of them, in the order in which they are shown."""


def run_checks(facts: Facts) -> tuple[Checked, ...]:
    """Return what each check finds."""
    found = ((check.name, *check.find(facts)) for check in CHECKS)
    return tuple(Checked(name=name, state=state, text=text) for name, state, text in found)


def overall(checks: Iterable[Checked]) -> Trust:
    """Return what all checks together come to: the worst of them."""
    states = {check.state for check in checks}
    if "invalid" in states:
        return "invalid"
    return "caveats" if "caveat" in states else "valid"
