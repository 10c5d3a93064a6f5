"""``scalab backend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .access import access_options
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
    from scalab.backend.settings import BackendSettings

_WORKLOAD = "Workload"
_QUEUE = "Queue"
_PLACE = "Place"


@access_options(connects=True)
def backend(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="WORKLOAD [ARG...]",
            help="The program to run for each item: a path, a name on PATH, or 'sleep'. "
            "FILENAME in an argument becomes the device file that --glob matched.",
        ),
    ],
    frontend: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="The frontend.", rich_help_panel=CONNECTION),
    ] = "localhost:9999",
    queue: Annotated[str, typer.Option(help="Its queue.", rich_help_panel=_QUEUE)] = "sleep",
    when_empty: Annotated[
        Literal["exit", "backoff", "wait"],
        typer.Option(
            help="What to do when the queue is empty: end, ask again after growing pauses, or "
            "wait to be handed an item.",
            rich_help_panel=_QUEUE,
        ),
    ] = "exit",
    backoff: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="SECONDS", help="First pause; doubles.", rich_help_panel=_QUEUE
        ),
    ] = 0.1,
    backoff_max: Annotated[
        float,
        typer.Option(min=0.001, metavar="SECONDS", help="Longest pause.", rich_help_panel=_QUEUE),
    ] = 5.0,
    limit: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Run-time limit; a request's own counts if it is shorter. 0 = none.",
            rich_help_panel=_WORKLOAD,
        ),
    ] = 0.0,
    kill_grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time between SIGTERM and SIGKILL at the limit.",
            rich_help_panel=_WORKLOAD,
        ),
    ] = 5.0,
    glob: Annotated[
        str,
        typer.Option(
            metavar="PATTERN", help="Device files, e.g. /dev/dri/renderD*.", rich_help_panel=_PLACE
        ),
    ] = "",
    slots: Annotated[
        int,
        typer.Option(min=1, help="Items run at once, on each device.", rich_help_panel=_PLACE),
    ] = 1,
    node_env: Annotated[
        str,
        typer.Option(help="Variable with the node's name.", rich_help_panel=_PLACE),
    ] = "NODE_NAME",
    pod_env: Annotated[
        str,
        typer.Option(help="Variable with the pod's name.", rich_help_panel=_PLACE),
    ] = "POD_NAME",
    workdir: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Where it runs; default: here.", rich_help_panel=_WORKLOAD
        ),
    ] = "",
    output: Annotated[
        Literal["inherit", "discard", "tail"],
        typer.Option(
            help="Its output: passed on, thrown away, or the end of it logged.",
            rich_help_panel=_WORKLOAD,
        ),
    ] = "inherit",
    stdin: Annotated[
        Literal["inherit", "null"],
        typer.Option(help="Its standard input.", rich_help_panel=_WORKLOAD),
    ] = "null",
    ignore_args: Annotated[
        bool,
        typer.Option(
            "--ignore-args",
            help="Ignore arguments in requests: for clusters that others can reach.",
            rich_help_panel=_WORKLOAD,
        ),
    ] = False,
    allow_args: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Refuse requests with an argument that this regular expression doesn't match as "
            "a whole. May be repeated: one must match.",
            rich_help_panel=_WORKLOAD,
            show_default="all are allowed",
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Run the workload once, without a frontend, and print the reply.",
            rich_help_panel=_WORKLOAD,
        ),
    ] = False,
    classic: Annotated[
        bool,
        typer.Option(
            "--classic",
            help="One connection an item, for the classic frontend.",
            rich_help_panel=CONNECTION,
        ),
    ] = False,
    connect_timeout: ConnectTimeout = 5.0,
    reconnect_timeout: ReconnectTimeout = 300.0,
    metrics_addr: Annotated[
        str,
        typer.Option(
            metavar="[HOST]:PORT", help="For HTTP; default: none.", rich_help_panel=CONNECTION
        ),
    ] = "",
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time that running items have to end after the first signal.",
            rich_help_panel=STOPPING,
        ),
    ] = 20.0,
    *,
    access: Any,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Run a workload for the items of a queue."""
    from scalab.backend.command import Workload
    from scalab.backend.names import discover_names
    from scalab.backend.policy import ArgumentPolicy
    from scalab.backend.runner import RunnerSettings
    from scalab.backend.settings import BackendSettings
    from scalab.runtime.net import Address

    set_up_logging(verbose, quiet, log_format)
    node, pod = discover_names(node_env, pod_env)
    settings = BackendSettings(
        access=access,
        runner=RunnerSettings(
            workload=Workload.parse(command),
            limit_s=limit,
            kill_grace_s=kill_grace,
            output=output,
            stdin=stdin,
            workdir=workdir or None,
            ignore_args=ignore_args,
            allowed_args=ArgumentPolicy(allow_args) if allow_args else None,
            node=node,
            pod=pod,
        ),
        frontend=Address.parse(frontend),
        queue=queue,
        when_empty=when_empty,
        backoff_s=backoff,
        backoff_max_s=backoff_max,
        slots=slots,
        glob=glob,
        grace_s=grace,
        classic=classic,
        connect_timeout_s=connect_timeout,
        reconnect_timeout_s=reconnect_timeout,
        metrics_addr=Address.parse(metrics_addr) if metrics_addr else None,
        verbose=verbose,
    )
    return _run_once(settings) if once else _run(settings)


def _run(settings: BackendSettings) -> int:
    import trio

    from scalab.backend.service import Result, run_backend
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.service import Stop, run_stoppable

    raise_open_files()
    result = Result()

    async def service(stop: Stop) -> None:
        await run_backend(settings, stop, result)

    exit_code = trio.run(run_stoppable, service)
    result.log_summary()
    if result.error is not None:
        raise result.error
    return exit_code or 0


def _run_once(settings: BackendSettings) -> int:
    import trio

    from scalab.backend.once import run_once
    from scalab.errors import ExitCode
    from scalab.protocol.codec import encode_classic

    reply, exit_code = trio.run(run_once, settings)
    print(encode_classic(reply).decode())  # noqa: T201 - what was asked for
    return exit_code or (ExitCode.FAILURES if reply.retcode or reply.error else ExitCode.OK)
