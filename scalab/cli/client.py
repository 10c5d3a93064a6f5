"""``scalab client``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    CONNECTION,
    STOPPING,
    ConnectTimeout,
    Format,
    Quiet,
    ReconnectTimeout,
    Verbose,
    set_up_logging,
)

if TYPE_CHECKING:
    from scalab.client.service import Result

_LOAD = "Load"
_REQUEST = "Request"


def client(
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARG...]", help="Arguments for the workload, with each request."),
    ] = None,
    frontend: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="The frontend.", rich_help_panel=CONNECTION),
    ] = "localhost:9997",
    queue: Annotated[str, typer.Option(help="Its queue.", rich_help_panel=_REQUEST)] = "sleep",
    limit: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Run-time limit of each request; 0 = the backend's own.",
            rich_help_panel=_REQUEST,
        ),
    ] = 0.0,
    parallel: Annotated[
        int,
        typer.Option("--parallel", "-p", min=0, help="Requests at once.", rich_help_panel=_LOAD),
    ] = 1,
    parallel_max: Annotated[
        int,
        typer.Option(
            min=0,
            help="Most requests at once that the control port may ask for; 0 = --parallel.",
            rich_help_panel=_LOAD,
        ),
    ] = 0,
    delay: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time between a reply and the next request.",
            rich_help_panel=_LOAD,
        ),
    ] = 0.0,
    duration: Annotated[
        float,
        typer.Option(
            "--duration",
            "-d",
            min=0,
            metavar="SECONDS",
            help="End after this time; 0 = until stopped.",
            rich_help_panel=_LOAD,
        ),
    ] = 0.0,
    requests: Annotated[
        int,
        typer.Option(
            "--requests", "-n", min=0, help="End after so many; 0 = never.", rich_help_panel=_LOAD
        ),
    ] = 0,
    control_addr: Annotated[
        str,
        typer.Option(
            metavar="[HOST]:PORT",
            help="For HTTP: the page and the control interface; 'none' = off.",
            rich_help_panel=CONNECTION,
        ),
    ] = "localhost:9996",
    classic: Annotated[
        bool,
        typer.Option(
            "--classic",
            help="One connection a request, for the classic frontend.",
            rich_help_panel=CONNECTION,
        ),
    ] = False,
    connect_timeout: ConnectTimeout = 5.0,
    reconnect_timeout: ReconnectTimeout = 300.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time that outstanding requests have to be answered at the end.",
            rich_help_panel=STOPPING,
        ),
    ] = 0.0,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Send requests to a queue all the time, and measure what comes back."""
    import trio

    from scalab.client.service import Result, run_client
    from scalab.client.settings import ClientSettings
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.runtime.service import Stop, run_stoppable

    set_up_logging(verbose, quiet, log_format)
    settings = ClientSettings(
        frontend=Address.parse(frontend),
        queue=queue,
        args=tuple(args or ()),
        limit_s=limit,
        parallel=parallel,
        parallel_max=parallel_max,
        delay_s=delay,
        duration_s=duration,
        requests=requests,
        control_addr=None if control_addr in ("", "none") else Address.parse(control_addr),
        classic=classic,
        grace_s=grace,
        connect_timeout_s=connect_timeout,
        reconnect_timeout_s=reconnect_timeout,
        verbose=verbose,
    )
    raise_open_files()
    result = Result()

    async def service(stop: Stop) -> None:
        await run_client(settings, stop, result)

    exit_code = trio.run(run_stoppable, service)
    _print_result(result, queue)
    if result.error is not None:
        raise result.error
    return exit_code or 0


def _print_result(result: Result, queue: str) -> None:
    """Print the summary, if there is anything to sum up."""
    from rich.console import Console

    from scalab.measure.summary import print_summary

    statistics = result.statistics
    if statistics is None or not (statistics.completed or statistics.failed or result.aborted):
        return
    console = Console(highlight=False)
    print_summary(console, statistics, f"queue {queue}")
