"""``scalab client``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalab.errors import ConfigError

from .access import access_options
from .clientrun import live_client, print_plan, print_result
from .options import (
    CONNECTION,
    STOPPING,
    AllowHost,
    ConnectTimeout,
    ControlAddr,
    Format,
    Quiet,
    ReconnectTimeout,
    Verbose,
    set_up_logging,
)

if TYPE_CHECKING:
    from scalab.load.options import LoadOptions
    from scalab.load.scenario import Scenario

_REQUEST = "Request"
_CLOSED = "Load: closed loop, a request follows when the last one has ended"
_OPEN = "Load: open loop, requests come by the clock"
_LOAD = "Load: over time"
_RESULT = "Result"

SWITCH_S = 0.0005
"""How long a thread may keep others from running; Python's default of 5 ms is a late request."""

Arrival = Literal["constant", "poisson"]


@access_options(connects=True)
def client(
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARG...]", help="Arguments for the workload, with each request."),
    ] = None,
    frontend: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="The frontend.", rich_help_panel=CONNECTION),
    ] = "localhost:9997",
    queue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WEIGHT]",
            help="Its queue; several share the load by weight.",
            rich_help_panel=_REQUEST,
            show_default="sleep",
        ),
    ] = None,
    limit: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Run-time limit of each request; 0 = the backend's own.",
            rich_help_panel=_REQUEST,
        ),
    ] = 0.0,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML file that tells queues, arguments and load instead of options.",
            rich_help_panel=_REQUEST,
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel",
            "-p",
            min=0,
            help="Requests at once.",
            rich_help_panel=_CLOSED,
            show_default="1",
        ),
    ] = None,
    parallel_max: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Most requests at once that may be asked for while it runs; 0 = --parallel.",
            rich_help_panel=_CLOSED,
            show_default="0",
        ),
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time between a reply and the next request.",
            rich_help_panel=_CLOSED,
            show_default="0",
        ),
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time over which the first requests are spread.",
            rich_help_panel=_CLOSED,
            show_default="0",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            "-r",
            metavar="RATE",
            help="Requests per time, such as 50/s or 3000/min, whatever becomes of them.",
            rich_help_panel=_OPEN,
        ),
    ] = None,
    arrival: Annotated[
        Arrival | None,
        typer.Option(
            help="Evenly spaced, or at random as independent users come.",
            rich_help_panel=_OPEN,
            show_default="constant",
        ),
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most requests without an answer; more are held back.",
            rich_help_panel=_OPEN,
            show_default="10000",
        ),
    ] = None,
    catch_up: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How late a request may be sent; later ones are dropped and counted.",
            rich_help_panel=_OPEN,
            show_default="10",
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL@TIME,...",
            help="Levels over time: '0→50/s@60s, 50/s@5m'; without /s, requests at once.",
            rich_help_panel=_LOAD,
        ),
    ] = None,
    warm_up: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time at the start that is left out of the figures.",
            rich_help_panel=_LOAD,
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="For what is drawn at random: the same seed makes the same run.",
            rich_help_panel=_LOAD,
        ),
    ] = 0,
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
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="CONDITION",
            help="What must hold, such as 'p95(total)<2' or 'failures<1% abort'; else exit 4.",
            rich_help_panel=_RESULT,
            show_default="none",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Record the run, for 'scalab report' and 'scalab compare'.",
            rich_help_panel=_RESULT,
            show_default="none",
        ),
    ] = "",
    interval: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            metavar="SECONDS",
            help="How often the counts are recorded and thresholds looked at.",
            rich_help_panel=_RESULT,
        ),
    ] = 1.0,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan, send nothing.", rich_help_panel=_RESULT),
    ] = False,
    no_live: Annotated[
        bool,
        typer.Option(
            "--no-live",
            help="Log a line now and then, instead of a picture in the terminal.",
            rich_help_panel=_RESULT,
        ),
    ] = False,
    control_addr: ControlAddr = "localhost:9996",
    allow_host: AllowHost = None,
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
    *,
    access: Any,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Send requests to a queue all the time, and measure what comes back."""
    import trio

    from scalab.client.service import Result
    from scalab.client.settings import ClientSettings
    from scalab.load.options import LoadOptions
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.runtime.service import run_stoppable

    set_up_logging(verbose, quiet, log_format)
    load = LoadOptions(
        parallel=parallel,
        parallel_max=parallel_max,
        delay_s=delay,
        spread_s=spread,
        rate=rate,
        stages=stages,
        arrival=arrival,
        max_in_flight=max_in_flight,
        catch_up_s=catch_up,
    )
    plan = _scenario(
        scenario,
        queues=queue,
        args=args,
        limit_s=limit,
        load=load,
        warm_up_s=warm_up,
        duration_s=duration,
        requests=requests,
        thresholds=threshold,
        seed=seed,
    )
    settings = ClientSettings(
        access=access,
        scenario=plan,
        frontend=Address.parse(frontend),
        control_addr=None if control_addr in ("", "none") else Address.parse(control_addr),
        allow_hosts=tuple(allow_host or ()),
        classic=classic,
        grace_s=grace,
        connect_timeout_s=connect_timeout,
        reconnect_timeout_s=reconnect_timeout,
        verbose=verbose,
        out=out,
        interval_s=interval,
        command=tuple(sys.argv[1:]),
    )
    if dry_run:
        return print_plan(settings)
    raise_open_files()
    # A thread encodes what is recorded; it must not hold up the load for longer than this.
    sys.setswitchinterval(SWITCH_S)
    result = Result()
    exit_code = trio.run(
        run_stoppable, live_client(settings, result, live=not (no_live or verbose))
    )
    verdict = print_result(result)
    if result.error is not None:
        raise result.error
    return exit_code or verdict


def _scenario(path: str | None, *, load: LoadOptions, **options: Any) -> Scenario:
    """Return what is to be done, from a file or from options."""
    from scalab.load.options import LoadOptions, make_scenario
    from scalab.load.toml import read_scenario
    from scalab.verdict.thresholds import Threshold

    def check_threshold(text: str) -> None:
        Threshold.parse(text)

    given = {name: value for name, value in options.items() if value}
    if path is None:
        scenario = make_scenario(load=load, **given)
    else:
        if load != LoadOptions() or given:
            raise ConfigError(
                "--scenario FILE tells queues, arguments and load: leave these options out, "
                "or change the file"
            )
        scenario = read_scenario(path, check_threshold)
    queues = [queue.name for queue in scenario.queues]
    for text in scenario.thresholds:
        Threshold.parse(text).check_against(queues, open_loop=scenario.load.is_open)
    return scenario
