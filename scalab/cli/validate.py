"""``scalab validate``."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from .access import access_options
from .options import CONNECTION, AllowHost, ControlAddr, Format, Quiet, Verbose, set_up_logging
from .validation import ScalerName

_STEPS = "Steps"
_VERDICT = "Verdict"
_WORKERS = "Workers"
_LOCAL = "Workers on this machine"
_KUBERNETES = "Workers in Kubernetes"
_COMMAND = "Workers by commands"
_RESULT = "Result"
_AUTOSCALE = "Watching an autoscaler"

Layout = Literal["slots", "processes"]


@access_options(connects=True)
def validate(
    args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORKLOAD] [ARG...]",
            help="Local: the workload and its arguments. Otherwise: arguments of each request.",
        ),
    ] = None,
    most: Annotated[
        int,
        typer.Option("--max", min=2, help="Double up to so many workers.", rich_help_panel=_STEPS),
    ] = 8,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="These numbers of workers, instead of doubling.",
            rich_help_panel=_STEPS,
            show_default="1, 2, 4 … --max",
        ),
    ] = None,
    per_slot: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Requests in parallel for each slot of a worker.",
            rich_help_panel=_STEPS,
        ),
    ] = 1.0,
    time_budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="For all steps together, such as 90s, 5m or 1h.",
            rich_help_panel=_STEPS,
        ),
    ] = "5m",
    min_window: Annotated[
        float,
        typer.Option(
            min=0.5,
            metavar="SECONDS",
            help="Measure each step for so long at least.",
            rich_help_panel=_STEPS,
        ),
    ] = 10.0,
    ready_timeout: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="How long workers may take to come up.", rich_help_panel=_STEPS
        ),
    ] = "2m",
    warm_up: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Before each step is measured, at least.",
            rich_help_panel=_STEPS,
        ),
    ] = 1.0,
    ratio: Annotated[
        float,
        typer.Option(
            min=1,
            max=2,
            help="Throughput must grow by so much when the workers double.",
            rich_help_panel=_VERDICT,
        ),
    ] = 1.8,
    confidence: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=0.9999,
            help="How sure a PASS or FAIL has to be.",
            rich_help_panel=_VERDICT,
        ),
    ] = 0.95,
    failures_max: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="Requests that may fail; more end with exit code 4.",
            rich_help_panel=_VERDICT,
        ),
    ] = "1%",
    scaler: Annotated[
        ScalerName,
        typer.Option(help="What changes the number of workers.", rich_help_panel=_WORKERS),
    ] = "local",
    slots: Annotated[
        int,
        typer.Option(min=1, help="Items that a worker runs at once.", rich_help_panel=_WORKERS),
    ] = 1,
    queue: Annotated[
        str, typer.Option(help="The frontend's queue.", rich_help_panel=CONNECTION)
    ] = "validate",
    frontend: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where clients connect.",
            rich_help_panel=CONNECTION,
            show_default="local: one of our own",
        ),
    ] = None,
    frontend_http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the frontend serves its metrics.",
            rich_help_panel=CONNECTION,
            show_default="port 9998 of --frontend",
        ),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Control port of a client that makes the load.",
            rich_help_panel=CONNECTION,
            show_default="a load of our own",
        ),
    ] = None,
    control_addr: ControlAddr = "none",
    allow_host: AllowHost = None,
    limit: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Run-time limit of each request; 0 = the backend's own.",
            rich_help_panel=CONNECTION,
        ),
    ] = 0.0,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="A worker is a slot of few processes, or a process.",
            rich_help_panel=_LOCAL,
            show_default="slots",
        ),
    ] = None,
    glob: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Device files, one for each worker.",
            rich_help_panel=_LOCAL,
            show_default="none",
        ),
    ] = "",
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="[NAMESPACE/][KIND/]NAME",
            help="What to scale.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="Of the kubeconfig.", rich_help_panel=_KUBERNETES, show_default="current"
        ),
    ] = None,
    scale_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Makes it {n} workers; {previous} is how many there were.",
            rich_help_panel=_COMMAND,
        ),
    ] = None,
    ready_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Prints how many workers are ready.",
            rich_help_panel=_COMMAND,
            show_default="ask the frontend alone",
        ),
    ] = None,
    current_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Prints how many workers there are, to restore that at the end.",
            rich_help_panel=_COMMAND,
        ),
    ] = None,
    initial: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many workers there are, to restore that at the end.",
            rich_help_panel=_COMMAND,
        ),
    ] = None,
    autoscale: Annotated[
        bool,
        typer.Option(
            "--autoscale",
            help="Give a load over time, and watch an autoscaler follow; local: a simulated one.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = False,
    stages: Annotated[
        str,
        typer.Option(
            metavar="LEVEL@TIME,...",
            help="The load, as of 'scalab client'.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = "1@30s,16→16@2m,1→1@2m",
    target: Annotated[
        float,
        typer.Option(
            min=0.01,
            help="Waiting and running items per worker that it holds.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = 1.0,
    least: Annotated[
        int,
        typer.Option("--min", min=1, help="Workers at least.", rich_help_panel=_AUTOSCALE),
    ] = 1,
    sync: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How often the simulated one looks at the demand.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = "15s",
    down_after: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How long the simulated one waits until it takes workers away.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = "5m",
    react_within: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="So soon it has to ask for more workers.",
            rich_help_panel=_AUTOSCALE,
        ),
    ] = "60s",
    target_within: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="So soon there have to be enough.",
            rich_help_panel=_AUTOSCALE,
            show_default="whenever",
        ),
    ] = None,
    lost_max: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Requests that may be lost when workers are taken away.",
            rich_help_panel=_AUTOSCALE,
            show_default="any number",
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
    html: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write a page.", rich_help_panel=_RESULT, show_default="none"
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan, do nothing.", rich_help_panel=_RESULT),
    ] = False,
    *,
    access: Any,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Double the workers, measure each step, and say whether throughput follows."""
    from scalab.load.units import parse_duration
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.validate.settings import ValidateSettings, doubled
    from scalab.verdict.quantity import parse_value

    from . import validation

    set_up_logging(verbose, quiet, log_format)
    words = tuple(args or ())
    settings = ValidateSettings(
        access=access,
        steps=validation.parse_steps(steps) if steps is not None else doubled(most),
        ratio=ratio,
        confidence=confidence,
        per_slot=per_slot,
        time_budget_s=parse_duration(time_budget, "--time-budget"),
        ready_timeout_s=parse_duration(ready_timeout, "--ready-timeout"),
        warm_up_s=warm_up,
        min_window_s=min_window,
        failures_max=parse_value(failures_max, "share", "--failures-max"),
        queue=queue,
        args=() if scaler == "local" else words,
        limit_s=limit,
        frontend=None if frontend is None else Address.parse(frontend),
        frontend_http=None if frontend_http is None else Address.parse(frontend_http),
        client=None if client is None else Address.parse(client),
        control_addr=None if control_addr in ("", "none") else Address.parse(control_addr),
        allow_hosts=tuple(allow_host or ()),
        out=out,
        command=tuple(sys.argv[1:]),
    )
    workers: dict[str, Any] = {
        "slots": slots,
        "layout": layout,
        "glob": glob,
        "deployment": deployment,
        "context": context,
        "scale_command": scale_command,
        "ready_command": ready_command,
        "current_command": current_command,
        "initial": initial,
    }
    if autoscale:
        wanted = validation.autoscale_settings(
            settings,
            stages=stages,
            target=target,
            least=least,
            most=most,
            slots=slots,
            sync=sync,
            down_after=down_after,
            react_within=react_within,
            target_within=target_within,
            lost_max=lost_max,
        )
        if dry_run:
            return validation.print_load(wanted)
        raise_open_files()
        return validation.run_autoscale(scaler, settings, wanted, words, html, workers)
    make_scaler = validation.make_scaler(scaler, settings, words, **workers)
    if dry_run:
        return validation.print_plan(settings)
    raise_open_files()
    return validation.run_steps(settings, make_scaler, html)
