"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

LogFormat = Literal["human", "json"]

LOGGING = "Logging (to stderr)"
CONNECTION = "Connection"
STOPPING = "Stopping"

Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Log every message.", rich_help_panel=LOGGING),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Log warnings and errors only.", rich_help_panel=LOGGING),
]
Format = Annotated[
    LogFormat,
    typer.Option("--log-format", help="One line an event.", rich_help_panel=LOGGING),
]
ConnectTimeout = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Give up if there is no frontend for so long at the start.",
        rich_help_panel=CONNECTION,
    ),
]
ReconnectTimeout = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Give up if the frontend has been away for so long; 0 = never.",
        rich_help_panel=CONNECTION,
    ),
]
ALLOW_HOST = "Serve browsers under this host name, too; '*' = any. May be repeated."
ControlAddr = Annotated[
    str,
    typer.Option(
        metavar="[HOST]:PORT",
        help="For HTTP: the page and the control interface; 'none' = off.",
        rich_help_panel=CONNECTION,
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help=ALLOW_HOST,
        rich_help_panel=CONNECTION,
    ),
]


def set_up_logging(verbose: bool, quiet: bool, log_format: LogFormat) -> None:
    """Configure the log of this process."""
    import logging

    from scalab.runtime import log

    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    log.configure(level, log_format)
