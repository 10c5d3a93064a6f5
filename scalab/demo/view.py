"""The demo in the terminal: live while it runs, a line a step where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scalab.fakedev.telemetry import Reading
from scalab.measure.figures import format_bars, format_count, format_duration, format_rate
from scalab.measure.statistics import Statistics
from scalab.measure.summary import print_summary

from .devices import odd_ones
from .steps import Step, compare, conclusion

if TYPE_CHECKING:
    from .service import Demo

FRAMES_PER_S = 5
BAR_WIDTH = 20
DEVICE_WIDTH = 16
HISTORY = 60


class LiveView:
    """Redraws itself until cancelled."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates: list[float] = []

    async def show(self, demo: Demo) -> None:
        """Show ``demo`` until cancelled."""
        if not self._console.is_terminal:
            await _print_steps(self._console, demo)
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._render(demo), refresh=True)
                await trio.sleep(1 / FRAMES_PER_S)

    def _render(self, demo: Demo) -> RenderableType:
        assert demo.running is not None  # noqa: S101 - shown only while it runs
        run = demo.running.run
        rate = run.recent_rate
        self._rates = [*self._rates[-(HISTORY - 1) :], rate]
        statistics = run.statistics()
        head = Text.assemble(
            ("scalab demo", "bold"),
            f"  {demo.elapsed_s:4.1f} of {demo.settings.duration_s:g} s   ",
            (f"{demo.backends} backend{'s' * (demo.backends > 1)}", "bold cyan"),
            f"   {statistics.outstanding} in flight",
            f"   run p50 {format_duration(statistics.run.p50_s)}",
        )
        peak = max(*self._rates, 1e-9)
        line = format_bars([round(100 * r / peak) for r in self._rates])
        now = Text.assemble(("now  ", "dim"), (f"{format_rate(rate):>9}  ", "bold"), (line, "cyan"))
        parts: list[RenderableType] = [head, Text(_addresses(demo), "dim"), Text()]
        if demo.devices is not None:
            readings = demo.devices.exporter.node.read(trio.current_time())
            parts += [_devices(readings, statistics), Text()]
        return Group(*parts, _scaling(demo.steps), now)


def _addresses(demo: Demo) -> str:
    assert demo.bound is not None  # noqa: S101 - shown only while it runs
    assert demo.running is not None  # noqa: S101
    text = f"page http://{demo.running.control}/   metrics http://{demo.bound.metrics}/metrics"
    if demo.devices is not None:
        text += f"   devices http://{demo.devices.exporter.metrics}/metrics"
    return text


async def _print_steps(console: Console, demo: Demo) -> None:
    console.print(
        f"scalab demo, {demo.settings.duration_s:g} s   {_addresses(demo)}", soft_wrap=True
    )
    printed = 0
    while True:
        await trio.sleep(1 / FRAMES_PER_S)
        for step in demo.steps[printed:]:
            rate = format_rate(step.statistics.throughput)
            console.print(f"{step.backends:4} backends  {rate:>10}", highlight=False)
        printed = len(demo.steps)


def _scaling(steps: list[Step]) -> RenderableType:
    """Return the table of steps: what was reached, against what was to be had."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("backends", "throughput", "times", "of ideal", "run p50", "wait p50"):
        table.add_column(name, justify="right")
    table.add_column("")
    best = max((s.statistics.throughput for s in steps), default=0.0) or 1.0
    for step, ratio in zip(steps, _ratios(steps), strict=True):
        s, base = step.statistics, steps[0].statistics.throughput
        ideal = s.throughput / (base * step.backends) if base else 0.0
        bar = "█" * round(BAR_WIDTH * s.throughput / best)
        table.add_row(
            str(step.backends), format_rate(s.throughput), ratio, f"{ideal:.0%}",
            format_duration(s.run.p50_s), format_duration(s.wait.p50_s),
            Text(bar, "green" if ideal > 0.9 else "yellow"),
        )  # fmt: skip
    return table


def _devices(readings: Mapping[str, Reading], statistics: Statistics) -> RenderableType:
    """Return a table with a row for each device: what it does, and what it did."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("device")
    table.add_column("busy")
    for name in ("workloads", "watts", "°C", "served", "failed", "run p50"):
        table.add_column(name, justify="right")
    places = {place.name: place for place in statistics.devices}
    for name, reading in readings.items():
        place = places.get(name)
        served, failed = (place.served, place.failed) if place else (0, 0)
        bar = "█" * round(DEVICE_WIDTH * reading.utilization)
        table.add_row(
            name, Text(f"{bar:·<{DEVICE_WIDTH}}", "cyan"), str(reading.running),
            f"{reading.power:.0f}", f"{reading.temperature:.0f}", format_count(served),
            Text(format_count(failed), "red" if failed else ""),
            format_duration(place.run.p50_s) if place else "-",
        )  # fmt: skip
    return table


def _ratios(steps: list[Step]) -> Iterator[Text]:
    """Yield the throughput of each step over that of the step before."""
    by_step = {c.after.backends: c for c in compare(steps)}
    for step in steps:
        comparison = by_step.get(step.backends)
        if comparison is None:
            yield Text("-")
        else:
            style = "green" if comparison.scales else "yellow"
            yield Text(f"{comparison.ratio:.2f}x", style)


def print_result(console: Console, demo: Demo) -> None:
    """Print the summary at the end."""
    if not demo.steps:
        console.print("stopped before the first step was measured")
        return
    last = demo.steps[-1]
    title = f"the last step: {last.backends} backend{'s' * (last.backends > 1)}"
    print_summary(console, last.statistics, title)
    console.print()
    console.print(Text("Does throughput follow the backends?", "bold"))
    console.print(_scaling(demo.steps))
    console.print()
    console.print(Text(conclusion(demo.steps)))
    if demo.devices is not None:
        for sentence in odd_ones(last.statistics.devices):
            console.print(Text(sentence))
