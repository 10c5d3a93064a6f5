"""``scalab demo``."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Annotated

import typer

from .options import Format, Quiet, Verbose, set_up_logging
from .store import StoreCa, StoreUrl, store_settings


def demo(
    workload: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="What each backend runs, as one string: 'sleep 0.2', 'gzip -k /tmp/x' …; "
            "default: a program that keeps one core busy.",
        ),
    ] = "",
    backends: Annotated[
        int,
        typer.Option(
            min=0, max=256, help="Up to so many; 0 = twice the number of cores, or of devices."
        ),
    ] = 0,
    devices: Annotated[
        int,
        typer.Option(
            min=0, max=64, help="Simulated devices that the backends run on, in turn; 0 = none."
        ),
    ] = 0,
    slow: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE", help="One that is slow: renderD128, renderD129 …"),
    ] = None,
    failing: Annotated[
        list[str] | None, typer.Option(metavar="DEVICE", help="One that fails now and then.")
    ] = None,
    store: StoreUrl = "",
    store_ca: StoreCa = None,
    duration: Annotated[
        float, typer.Option("--duration", "-d", min=1, metavar="SECONDS", help="Of all steps.")
    ] = 12.0,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Run the whole system on this machine, and watch real work being scaled."""
    import trio
    from rich.console import Console

    from scalab.demo.service import Demo
    from scalab.demo.settings import DemoSettings
    from scalab.demo.view import LiveView, print_result
    from scalab.runtime.service import Stop, run_stoppable

    set_up_logging(verbose, quiet or not verbose, log_format)
    options: dict[str, object] = {
        "duration_s": duration,
        "backends": backends,
        "devices": devices,
        "slow": tuple(slow or ()),
        "failing": tuple(failing or ()),
        "store": store_settings(store, store_ca),
    }
    if workload:
        options["workload"] = tuple(shlex.split(workload))
    settings = DemoSettings(**options)  # type: ignore[arg-type]
    console = Console(highlight=False)
    shown: list[Demo] = []

    async def service(stop: Stop) -> None:
        shown.append(Demo(settings, stop))
        await shown[0].run(LiveView(console).show)

    exit_code = trio.run(partial(run_stoppable, service))
    print_result(console, shown[0])
    if shown[0].error is not None:
        raise shown[0].error
    return exit_code or 0
