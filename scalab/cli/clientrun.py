"""What ``scalab client`` runs, and prints in the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from scalab.errors import ExitCode

if TYPE_CHECKING:
    from scalab.client.service import Result
    from scalab.client.settings import ClientSettings
    from scalab.runtime.service import Stop


def live_client(settings: ClientSettings, result: Result, *, live: bool) -> Any:
    """Return the client with its view, to be run until it is stopped."""
    import trio
    from rich.console import Console

    from scalab.client.live import show
    from scalab.client.service import run_client

    async def service(stop: Stop) -> None:
        async with trio.open_nursery() as showing:
            async with trio.open_nursery() as client:
                running = await client.start(run_client, settings, stop, result)
                showing.start_soon(partial(show, running.run, Console(stderr=True), live=live))
            showing.cancel_scope.cancel(reason="the client has ended")

    return service


def print_plan(settings: ClientSettings) -> int:
    """Print what would be done."""
    from scalab.client.requests import check_requests
    from scalab.load.plan import describe

    check_requests(settings.scenario, classic=settings.classic)
    print("\n".join(describe(settings.scenario)))  # noqa: T201 - what was asked for
    return ExitCode.OK


def print_result(result: Result) -> int:
    """Print the summary, if there is anything to sum up; return the exit code that it means."""
    from rich.console import Console

    from scalab.report.judging import exit_code
    from scalab.report.model import make_report
    from scalab.report.text import print_report

    if result.run is None:
        return ExitCode.OK
    report = make_report(result.run)
    if report.timeline:
        print_report(Console(highlight=False), report)
    return exit_code(report)
