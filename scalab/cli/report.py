"""``scalab report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalab.errors import ConfigError, ExitCode
from scalab.protocol.text import printable

if TYPE_CHECKING:
    from scalab.report.model import Report
    from scalab.report.scaling.model import ScalingReport
    from scalab.runfile.reading import Run

Form = Literal["text", "html", "csv", "json", "junit", "scenario"]
Table = Literal["intervals", "stages", "queues", "devices", "nodes", "pods", "errors"]


def report(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Run files; those of several clients that ran together are merged.",
        ),
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            "-f",
            envvar="SCALAB_REPORT_FORMAT",
            help="What to write; 'scenario' is TOML to run it again.",
        ),
    ] = "text",
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to; '-' is standard output.",
            show_default="html: beside FILE; else '-'",
        ),
    ] = "",
    table: Annotated[
        Table | None,
        typer.Option(help="Which one, of --format csv.", show_default="intervals"),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="CONDITION",
            help="Judge the run by this instead, such as 'p95(total)<2'.",
            show_default="none",
        ),
    ] = None,
) -> int:
    """Show a recorded run, and end with what became of its thresholds."""
    from scalab.report.judging import exit_code, judged_report
    from scalab.runfile.merge import merge_runs

    if table is not None and form != "csv":
        raise ConfigError(f"--table is of --format csv; --format {form} has all tables")
    target = _target(files, form, output)
    run = merge_runs(files)
    if form == "scenario":
        _write_scenario(run, target)
        return ExitCode.OK
    if run.steps:
        if threshold:
            text = "--threshold is of a client's run; a validation is judged by its steps"
            raise ConfigError(text)
        return _report_steps(run, form, target, table, tell=not output)
    made = judged_report(run, threshold or ())
    if form == "text" and target == "-":
        _print(made)
    else:
        _write(_written(made, form, table or "intervals"), form, target, tell=not output)
    return exit_code(made)


def _report_steps(run: Run, form: Form, target: str, table: Table | None, *, tell: bool) -> int:
    """Show a validation; return the exit code that its verdict means."""
    from scalab.report.scaling.model import make_scaling_report

    made = make_scaling_report(run)
    if form == "text" and target == "-":
        from rich.console import Console

        from scalab.report.scaling.text import print_report

        print_report(Console(highlight=False), made)
    elif form == "csv":  # the tables are those of any run
        from scalab.report.judging import judged_report

        _write(_written(judged_report(run), form, table or "intervals"), form, target, tell=tell)
    else:
        _write(_written_steps(made, form), form, target, tell=tell)
    return made.exit_code


def _target(files: list[str], form: Form, output: str) -> str:
    """Return where to write to: beside the run file if that is HTML, which no terminal shows."""
    target = output or (_beside(files[0]) if form == "html" else "-")
    if target != "-" and Path(target).resolve() in {Path(file).resolve() for file in files}:
        name = printable(target, 200)
        raise ConfigError(f"'{name}' is the run file itself: give another one with --output")
    return target


def _beside(file: str) -> str:
    """Return the path of the HTML file: ``run.html`` for ``run.jsonl`` and ``run.jsonl.gz``."""
    path = Path(file)
    path = path.with_suffix("") if path.suffix == ".gz" else path
    return str(path.with_suffix(".html"))


def _print(made: Report) -> None:
    from rich.console import Console

    from scalab.report.text import print_report

    print_report(Console(highlight=False), made)


def _write(text: str, form: Form, target: str, *, tell: bool) -> None:
    """Write a report; tell where it is if the user hasn't said so."""
    from .output import write_result

    write_result(text, target)
    if form == "html" and tell:
        print(target)  # noqa: T201 - what was asked for


def _written(made: Report, form: Form, table: Table) -> str:
    if form == "html":
        from scalab.report.html import to_html

        return to_html(made)
    if form == "csv":
        from scalab.report.table import to_csv

        return to_csv(made, table)
    if form == "json":
        from scalab.report.jsonform import to_json

        return to_json(made)
    if form == "junit":
        from scalab.report.junit import to_junit

        return to_junit(made)
    from scalab.report.text import to_text

    return to_text(made)


def _written_steps(made: ScalingReport, form: Form) -> str:
    if form == "html":
        from scalab.report.scaling.html import to_html

        return to_html(made)
    if form == "json":
        from scalab.report.scaling.jsonform import to_json

        return to_json(made)
    if form == "junit":
        from scalab.report.scaling.junit import to_junit

        return to_junit(made)
    from scalab.report.scaling.text import to_text

    return to_text(made)


def _write_scenario(run: Run, target: str) -> None:
    from scalab.load.toml import format_scenario
    from scalab.runfile.replay import replay

    from .output import write_result

    write_result(format_scenario(replay(run)), target)
