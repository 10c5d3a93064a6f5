"""What ``scalab validate`` makes of its options, and prints in the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from scalab.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from scalab.runtime.net import Address
    from scalab.scalers.base import Scaler
    from scalab.scalers.kubernetes import KubernetesWatch
    from scalab.scaling.autoscale import AutoscaleReport
    from scalab.validate.autoscale import AutoscaleResult, AutoscaleSettings
    from scalab.validate.service import MakeScaler, Result
    from scalab.validate.settings import ValidateSettings

ScalerName = Literal["local", "kubernetes", "command"]


def parse_steps(text: str) -> tuple[int, ...]:
    """Return the numbers of workers that a list names."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--steps {text[:60]!r}: write numbers of workers, like 1,2,4") from None


def make_scaler(
    name: ScalerName,
    settings: ValidateSettings,
    workload: tuple[str, ...],
    *,
    slots: int,
    **options: Any,
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
    tokens = settings.access.token_file
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
                options=("--token-file", tokens) if tokens else (),
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


def print_plan(settings: ValidateSettings) -> int:
    """Print what would be done."""
    from scalab.validate.plan import describe

    print("\n".join(describe(settings)))  # noqa: T201 - what was asked for
    return ExitCode.OK


def print_result(result: Result, settings: ValidateSettings, html: str) -> int:
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


def run_steps(settings: ValidateSettings, make_scaler: MakeScaler, html: str) -> int:
    """Take the steps, print the verdict, and return the exit code."""
    import trio

    from scalab.runtime.service import Stop, run_stoppable
    from scalab.validate.service import Result, validate

    result = Result()

    async def service(stop: Stop) -> None:
        await validate(settings, make_scaler, stop, result)

    try:
        ended_by = trio.run(run_stoppable, service)
    finally:  # the verdict stands, even if the workers could not be restored
        verdict = print_result(result, settings, html)
    if result.error is not None:
        raise result.error
    return ended_by or verdict


# --- watching an autoscaler ------------------------------------------------------------------


def autoscale_settings(
    settings: ValidateSettings, *, stages: str, slots: int, **options: Any
) -> AutoscaleSettings:
    """Return what an autoscaler run is told, of its options."""
    from scalab.load.options import LoadOptions, make_scenario
    from scalab.load.units import parse_duration
    from scalab.scaling.criteria import Criteria
    from scalab.scaling.observed import Target
    from scalab.validate.autoscale import AutoscaleSettings

    target_within = options["target_within"]
    return AutoscaleSettings(
        scenario=make_scenario(
            queues=(settings.queue,),
            args=settings.args,
            limit_s=settings.limit_s,
            load=LoadOptions(stages=stages),
        ),
        target=Target(items=options["target"], minimum=options["least"], maximum=options["most"]),
        criteria=Criteria(
            react_within_s=parse_duration(options["react_within"], "--react-within"),
            target_within_s=target_within and parse_duration(target_within, "--target-within"),
            lost_max=options["lost_max"],
        ),
        slots=slots,
        sync_s=parse_duration(options["sync"], "--sync"),
        down_after_s=parse_duration(options["down_after"], "--down-after"),
    )


def print_load(wanted: AutoscaleSettings) -> int:
    """Print the load that an autoscaler would be given."""
    from scalab.load.plan import describe

    print("\n".join(describe(wanted.scenario)))  # noqa: T201 - what was asked for
    return ExitCode.OK


def run_autoscale(
    name: ScalerName,
    settings: ValidateSettings,
    wanted: AutoscaleSettings,
    words: tuple[str, ...],
    html: str,
    workers: dict[str, Any],
) -> int:
    """Watch the autoscaler, print what it did, and return the exit code."""
    import trio

    from scalab.runtime.service import Stop, run_stoppable
    from scalab.validate.autoscale import AutoscaleResult, watch_autoscaler

    scaler: MakeScaler | KubernetesWatch
    if name == "kubernetes":
        scaler = _kubernetes_watch(settings, workers)
    else:
        if name == "local" and not workers["layout"]:
            workers["layout"] = "processes"  # a worker's life is that of a pod
        scaler = make_scaler(name, settings, words, **workers)
    result = AutoscaleResult()

    async def service(stop: Stop) -> None:
        await watch_autoscaler(settings, wanted, scaler, stop, result)

    exit_code = trio.run(run_stoppable, service)
    if result.report is None:
        if result.error is not None:
            raise result.error
        return exit_code or ExitCode.OK
    return exit_code or _print_autoscale(result, result.report, html)


def _kubernetes_watch(settings: ValidateSettings, workers: dict[str, Any]) -> KubernetesWatch:
    from scalab.scalers.kube.access import find_access
    from scalab.scalers.kubernetes import KubernetesWatch

    if not workers["deployment"]:
        raise ConfigError("--scaler kubernetes needs --deployment NAMESPACE/NAME")
    _needs_frontend(settings, "kubernetes")
    context = workers["context"]
    access = find_access(context=context) if context else None
    return KubernetesWatch(workers["deployment"], access=access)


def _print_autoscale(result: AutoscaleResult, report: AutoscaleReport, html: str) -> int:
    from rich.console import Console

    from scalab.measure.summary import print_lines
    from scalab.report.html import to_html
    from scalab.report.model import make_report
    from scalab.report.scaling.autoscale import to_fragment
    from scalab.report.scaling.autoscale_text import lines

    from .output import write_result

    console = Console(highlight=False)
    print_lines(console, partial(lines, report))
    if html and result.run is not None:
        write_result(to_html(make_report(result.run), also=to_fragment(report)), html)
    codes = {"FAIL": ExitCode.VERDICT_FAIL, "INCONCLUSIVE": ExitCode.INCONCLUSIVE}
    return codes.get(report.outcome, ExitCode.OK)
