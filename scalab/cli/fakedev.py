"""``scalab fakedev``: simulated devices."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import typer

from .access import access_options
from .options import Format, Quiet, Verbose, set_up_logging

_DEVICES = "Devices"
_SHARING = "Sharing"
_METRICS = "Metrics"
_LISTEN = "Listen"

app = typer.Typer(
    help="Simulated devices, and the workload that runs on them: no GPU is needed.",
    no_args_is_help=True,
)


def _option(panel: str, text: str, metavar: str, default: str = "") -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        help=text, metavar=metavar, rich_help_panel=panel, show_default=default or False
    )
    return option


@app.command()
@access_options(connects=False)
def exporter(
    config: Annotated[
        str, _option(_DEVICES, "Describes the devices; options go before it.", "FILE.toml")
    ] = "",
    devices: Annotated[int | None, _option(_DEVICES, "How many.", "N", "4")] = None,
    first: Annotated[
        str | None,
        _option(_DEVICES, "Name of the first; others count up.", "NAME", "renderD128"),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TEXT",
            envvar="SCALAB_FAKEDEV_EXPORTER_TYPE",
            help="Of each.",
            show_default="gpu",
            rich_help_panel=_DEVICES,
        ),
    ] = None,
    memory: Annotated[float | None, _option(_DEVICES, "Of each.", "MIB", "16384")] = None,
    power: Annotated[
        str | None, _option(_DEVICES, "Idle and busy.", "WATTS:WATTS", "15:150")
    ] = None,
    frequency: Annotated[
        str | None, _option(_DEVICES, "Idle and busy.", "MHZ:MHZ", "300:2100")
    ] = None,
    temperature: Annotated[
        str | None, _option(_DEVICES, "Idle and busy.", "CELSIUS:CELSIUS", "35:85")
    ] = None,
    speed: Annotated[
        float | None, _option(_DEVICES, "Seconds of work done in a second.", "FACTOR", "1")
    ] = None,
    failure_rate: Annotated[
        float | None, _option(_DEVICES, "Share of workloads that fail.", "0..1", "0")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            envvar="SCALAB_FAKEDEV_EXPORTER_SET",
            metavar="DEVICE.KEY=VALUE",
            help="What one device is like, e.g. renderD129.speed=0.5; may be repeated.",
            rich_help_panel=_DEVICES,
        ),
    ] = None,
    seed: Annotated[
        int | None, _option(_DEVICES, "The same seed makes the same failures.", "N", "0")
    ] = None,
    make_files: Annotated[
        str,
        _option(_DEVICES, "Make a file for each device there, for --glob, while it runs.", "DIR"),
    ] = "",
    slots: Annotated[
        int | None,
        _option(_SHARING, "Workloads on a device at once; others wait. 0 = any number.", "N", "0"),
    ] = None,
    sigma: Annotated[
        float | None,
        _option(_SHARING, "Contention on a device; 1 = equal shares of it.", "0..", "1"),
    ] = None,
    kappa: Annotated[
        float | None, _option(_SHARING, "What each pair on a device costs.", "0..", "0")
    ] = None,
    node_sigma: Annotated[
        float | None, _option(_SHARING, "Contention between busy devices.", "0..", "0")
    ] = None,
    node_kappa: Annotated[
        float | None, _option(_SHARING, "What each pair of busy devices costs.", "0..", "0")
    ] = None,
    socket: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            envvar=["SCALAB_FAKEDEV_EXPORTER_SOCKET", "SCALAB_FAKEDEV_SOCKET"],
            help="For workloads; default: in XDG_RUNTIME_DIR or /tmp.",
            rich_help_panel=_LISTEN,
        ),
    ] = "",
    socket_mode: Annotated[
        str,
        typer.Option(metavar="OCTAL", help="Who may use the socket.", rich_help_panel=_LISTEN),
    ] = "0600",
    metrics_addr: Annotated[
        str,
        typer.Option(metavar="[HOST]:PORT", help="For HTTP: /metrics.", rich_help_panel=_LISTEN),
    ] = "localhost:9995",
    preset: Annotated[
        Literal["scalab", "xpum", "dcgm"] | None,
        typer.Option(
            help="Names as of: this tool, Intel XPU manager, NVIDIA DCGM.",
            rich_help_panel=_METRICS,
            show_default="scalab",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUANTITY=NAME[*SCALE]",
            help="Another name, e.g. utilization=my_gpu_percent*100; may be repeated.",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTRIBUTE=NAME",
            help="A label, e.g. device=gpu; may be repeated.",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar=["SCALAB_FAKEDEV_EXPORTER_NODE", "NODE_NAME"],
            help="Of the node, in metrics.",
            rich_help_panel=_METRICS,
            show_default="the host's",
        ),
    ] = None,
    *,
    access: Any,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_format: Format = "human",
) -> int:
    """Simulate the devices of a node, and export their metrics."""
    import platform

    import trio

    from scalab.fakedev.config import make_naming, make_node, read_config
    from scalab.fakedev.exporter import ExporterSettings, run_exporter
    from scalab.fakedev.workload import default_socket
    from scalab.runtime.limits import raise_open_files
    from scalab.runtime.net import Address
    from scalab.runtime.service import run_stoppable

    set_up_logging(verbose, quiet, log_format)
    file = read_config(config) if config else {}
    if devices is None and "devices" not in file:
        devices = 4
    if node is None and "name" not in file:
        node = platform.node()
    settings = ExporterSettings(
        access=access,
        node=make_node(
            file,
            devices=_given(
                count=devices, name=first, type=type_, memory=memory, power=power,
                frequency=frequency, temperature=temperature, speed=speed,
                failure_rate=failure_rate, slots=slots, sigma=sigma, kappa=kappa,
            ),
            overrides=set_ or (),
            node=_given(name=node, seed=seed, sigma=node_sigma, kappa=node_kappa),
        ),
        naming=make_naming(file, preset or "", metric or (), label or ()),
        socket=socket or default_socket(),
        socket_mode=_mode(socket_mode),
        metrics_addr=Address.parse(metrics_addr),
        files=make_files,
        most_workloads=min(4096, raise_open_files() - 100),
        verbose=verbose,
    )  # fmt: skip
    return trio.run(run_stoppable, partial(run_exporter, settings)) or 0


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _mode(text: str) -> int:
    from scalab.errors import ConfigError

    try:
        return int(text, 8)
    except ValueError:
        raise ConfigError("--socket-mode must be like 0600") from None


@app.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    }
)
def workload(context: typer.Context) -> int:
    """Take a simulated device for as long as it needs for some work.

    It starts without all this (see scalab/__main__.py): what stands here is only listed.
    """
    from scalab.fakedev.workload import main

    return main(context.args)
