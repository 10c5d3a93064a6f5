"""``scalab frontend``."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from .options import STOPPING, Format, Quiet, Verbose, set_up_logging

_LISTEN = "Listen"
_QUEUES = "Queues"


def frontend(
    queues: Annotated[
        list[str], typer.Argument(metavar="QUEUE...", help="Names of the queues to serve.")
    ],
    client_addr: Annotated[
        str,
        typer.Option(metavar="[HOST]:PORT", help="For clients.", rich_help_panel=_LISTEN),
    ] = "localhost:9997",
    worker_addr: Annotated[
        str,
        typer.Option(metavar="[HOST]:PORT", help="For backends.", rich_help_panel=_LISTEN),
    ] = "localhost:9999",
    metrics_addr: Annotated[
        str,
        typer.Option(
            metavar="[HOST]:PORT",
            help="For HTTP: /metrics, /livez, /readyz, /api/queues.",
            rich_help_panel=_LISTEN,
        ),
    ] = "localhost:9998",
    max_connections: Annotated[
        int,
        typer.Option(
            min=1, help="Most connections of clients and backends.", rich_help_panel=_LISTEN
        ),
    ] = 20000,
    queue_max: Annotated[
        int,
        typer.Option(
            min=0, help="Most items that wait in a queue; 0 = unlimited.", rich_help_panel=_QUEUES
        ),
    ] = 0,
    max_attempts: Annotated[
        int,
        typer.Option(
            min=1,
            help="An item whose backend vanished so often is lost.",
            rich_help_panel=_QUEUES,
        ),
    ] = 3,
    on_client_gone: Annotated[
        Literal["cancel", "finish"],
        typer.Option(
            help="What becomes of running items whose client left.", rich_help_panel=_QUEUES
        ),
    ] = "cancel",
    interval: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time between queue statistics in the log; 0 = none.",
            rich_help_panel=_QUEUES,
        ),
    ] = 0.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time that running items have to end after the first signal.",
            rich_help_panel=STOPPING,
        ),
    ] = 25.0,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Serve named queues: requests of clients in, items for backends out."""
    import trio

    from scalab.frontend.service import serve
    from scalab.frontend.settings import FrontendSettings
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.runtime.service import run_stoppable

    set_up_logging(verbose, quiet, log_format)
    settings = FrontendSettings(
        queues=tuple(queues),
        client_addr=Address.parse(client_addr),
        worker_addr=Address.parse(worker_addr),
        metrics_addr=Address.parse(metrics_addr),
        queue_max=queue_max,
        interval_s=interval,
        max_attempts=max_attempts,
        on_client_gone=on_client_gone,
        grace_s=grace,
        max_connections=min(max_connections, raise_open_files() - 100),
        verbose=verbose,
    )
    return trio.run(run_stoppable, partial(serve, settings)) or 0
