"""``scalab validate``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalab.errors import ConfigError, ExitCode

from .options import CONNECTION, Format, Quiet, Verbose, set_up_logging

if TYPE_CHECKING:
    from scalab.runtime.net import Address
    from scalab.scalers.base import Scaler
    from scalab.validate.service import MakeScaler, Result
    from scalab.validate.settings import ValidateSettings

_STEPS = "Steps"
_VERDICT = "Verdict"
_WORKERS = "Workers"
_LOCAL = "Workers on this machine"
_KUBERNETES = "Workers in Kubernetes"
_COMMAND = "Workers by commands"
_RESULT = "Result"

ScalerName = Literal["local", "kubernetes", "command"]
Layout = Literal["slots", "processes"]


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
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Double the workers, measure each step, and say whether throughput follows."""
    import trio

    from scalab.load.units import parse_duration
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.runtime.service import Stop, run_stoppable
    from scalab.validate.service import Result, validate as run_validation
    from scalab.validate.settings import ValidateSettings, doubled
    from scalab.verdict.quantity import parse_value

    set_up_logging(verbose, quiet, log_format)
    words = tuple(args or ())
    settings = ValidateSettings(
        steps=_steps(steps) if steps is not None else doubled(most),
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
        out=out,
        command=tuple(sys.argv[1:]),
    )
    make_scaler = _make_scaler(
        scaler,
        settings,
        words,
        slots=slots,
        layout=layout,
        glob=glob,
        deployment=deployment,
        context=context,
        scale_command=scale_command,
        ready_command=ready_command,
        current_command=current_command,
        initial=initial,
    )
    if dry_run:
        return _print_plan(settings)
    raise_open_files()
    result = Result()

    async def service(stop: Stop) -> None:
        await run_validation(settings, make_scaler, stop, result)

    exit_code = trio.run(run_stoppable, service)
    verdict = _print_result(result, settings, html)
    if result.error is not None and result.validation is None:
        raise result.error
    return exit_code or verdict


def _steps(text: str) -> tuple[int, ...]:
    """Return the numbers of workers that a list names."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--steps {text[:60]!r}: write numbers of workers, like 1,2,4") from None


def _make_scaler(
    name: ScalerName,
    settings: ValidateSettings,
    workload: tuple[str, ...],
    *,
    slots: int,
    **options: object,
) -> MakeScaler:
    """Return what makes the scaler, of options that belong to it."""
    own = {
        "local": ("layout", "glob"),
        "kubernetes": ("deployment", "context"),
        "command": ("scale_command", "ready_command", "current_command", "initial"),
    }
    for other, names in own.items():
        said = [option for option in names if options[option] not in (None, "")]
        if other != name and said:
            option = said[0].replace("_", "-")
            raise ConfigError(f"--{option} belongs to --scaler {other}")
    given: dict[str, object] = {option: options[option] for option in own[name]}
    makers = {"local": _local, "kubernetes": _kubernetes, "command": _command}
    return makers[name](settings, workload, slots, given)


def _local(
    settings: ValidateSettings, workload: tuple[str, ...], slots: int, given: dict[str, object]
) -> MakeScaler:
    from scalab.backend.command import Workload
    from scalab.scalers.local import LocalScaler, LocalSettings

    Workload.parse(workload)  # what can't be run is refused before anything starts
    layout = given["layout"] or ("processes" if slots > 1 or given["glob"] else "slots")

    def make(workers: Address | None) -> Scaler:
        if workers is None:
            text = "--scaler local starts a frontend of its own: leave --frontend out"
            raise ConfigError(text)
        return LocalScaler(
            LocalSettings(
                frontend=workers,
                queue=settings.queue,
                workload=workload,
                layout=layout,  # type: ignore[arg-type]
                slots=slots,
                glob=str(given["glob"]),
            )
        )

    return make


def _kubernetes(
    settings: ValidateSettings, _args: tuple[str, ...], slots: int, given: dict[str, object]
) -> MakeScaler:
    from scalab.scalers.kube.access import find_access
    from scalab.scalers.kubernetes import KubernetesScaler

    target = given["deployment"]
    if not isinstance(target, str):
        raise ConfigError("--scaler kubernetes needs --deployment NAMESPACE/NAME")
    _needs_frontend(settings, "kubernetes")
    context = given["context"]
    access = find_access(context=str(context)) if context else None
    scaler = KubernetesScaler(target, slots=slots if slots > 1 else None, access=access)
    return lambda _workers: scaler


def _command(
    settings: ValidateSettings, _args: tuple[str, ...], slots: int, given: dict[str, object]
) -> MakeScaler:
    from scalab.scalers.command import CommandScaler

    scale = given["scale_command"]
    if not isinstance(scale, str):
        raise ConfigError("--scaler command needs --scale-command, which makes it {n} workers")
    _needs_frontend(settings, "command")
    scaler = CommandScaler(
        scale,
        ready=given["ready_command"],  # type: ignore[arg-type]
        current=given["current_command"],  # type: ignore[arg-type]
        initial=given["initial"],  # type: ignore[arg-type]
        slots_per_worker=slots,
    )
    return lambda _workers: scaler


def _needs_frontend(settings: ValidateSettings, scaler: str) -> None:
    if settings.frontend is None:
        text = f"--scaler {scaler} needs --frontend HOST:PORT, to which its workers connect"
        raise ConfigError(text)


def _print_plan(settings: ValidateSettings) -> int:
    """Print what would be done."""
    from scalab.validate.plan import describe

    print("\n".join(describe(settings)))  # noqa: T201 - what was asked for
    return ExitCode.OK


def _print_result(result: Result, settings: ValidateSettings, html: str) -> int:
    """Print the verdict and write the page; return the exit code that it means."""
    from rich.console import Console

    from scalab.report.scaling.html import to_html
    from scalab.report.scaling.model import make_scaling_report
    from scalab.report.scaling.text import print_report
    from scalab.scaling.overall import exit_code

    from .output import write_result

    if result.validation is None or result.run is None or not result.run.steps:
        return ExitCode.OK
    code = exit_code(result.validation)
    report = make_scaling_report(result.run, exit_code=code)
    if html:
        write_result(to_html(report), html)
    print_report(Console(highlight=False), report, path=html or settings.out)
    return code
