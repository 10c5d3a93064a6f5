"""``scalab frontend``."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import typer

from .access import access_options
from .options import ALLOW_HOST, STOPPING, Format, Quiet, Verbose, set_up_logging
from .store import Lease, ResultTtl, StoreCa, StoreUrl, store_settings

_LISTEN = "Listen"
_QUEUES = "Queues"


@access_options(connects=False)
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
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=ALLOW_HOST, rich_help_panel=_LISTEN),
    ] = None,
    max_connections: Annotated[
        int,
        typer.Option(
            min=1, help="Most connections of clients and backends.", rich_help_panel=_LISTEN
        ),
    ] = 20000,
    heartbeat: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            metavar="SECONDS",
            help="A session is sent something so often; one silent for three times that is lost.",
            rich_help_panel=_LISTEN,
        ),
    ] = 5.0,
    connections_per_address: Annotated[
        int,
        typer.Option(
            min=0,
            help="Most connections of one peer address (IPv6: /64); 0 = unlimited.",
            rich_help_panel=_LISTEN,
        ),
    ] = 0,
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
    store: StoreUrl = "",
    store_ca: StoreCa = None,
    lease: Lease = 15.0,
    result_ttl: ResultTtl = 60.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time that running items have to end after the first signal.",
            rich_help_panel=STOPPING,
        ),
    ] = 25.0,
    *,
    access: Any,
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
        access=access,
        queues=tuple(queues),
        client_addr=Address.parse(client_addr),
        worker_addr=Address.parse(worker_addr),
        metrics_addr=Address.parse(metrics_addr),
        allow_hosts=tuple(allow_host or ()),
        queue_max=queue_max,
        interval_s=interval,
        max_attempts=max_attempts,
        on_client_gone=on_client_gone,
        store=store_settings(store, store_ca, lease, result_ttl),
        grace_s=grace,
        heartbeat_s=heartbeat,
        max_connections=min(max_connections, raise_open_files(reserve=256)),
        connections_per_address=connections_per_address,
        verbose=verbose,
    )
    return trio.run(run_stoppable, partial(serve, settings)) or 0
