"""Templates of pages: everything is escaped, and all pages can use what is shared.

A page's own templates are found by their plain names, those of this package under ``web/``, and
those of a report, which has the style of the charts, under ``report/``.
"""

from __future__ import annotations

from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from scalab.measure.figures import format_count, format_duration, format_rate, format_share
from scalab.protocol.text import printable

SHARED: Final = ("web", "report")
"""Packages whose templates every page may include, by their names and a slash."""


def make_environment(package: str) -> Environment:
    """Return the environment for the templates of a package, which is to be made once.

    Args:
        package: Has a folder ``templates``: ``scalab.client``.

    Returns:
        One that escapes whatever is no markup, and fails for what is not defined. It has the
        filters ``count``, ``rate``, ``duration`` and ``printable``, and the function ``share``.
    """
    shared = PrefixLoader({name: PackageLoader(f"scalab.{name}") for name in SHARED})
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), shared]),
        autoescape=True,  # everything, whatever the templates are called
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": format_count,
        "rate": format_rate,
        "duration": format_duration,
        "printable": printable,
    }
    environment.globals |= {"share": format_share}
    return environment
