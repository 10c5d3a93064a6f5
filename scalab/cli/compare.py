"""``scalab compare``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalab.errors import ConfigError
from scalab.protocol.text import printable

if TYPE_CHECKING:
    from scalab.report.comparison import ComparedRuns

Form = Literal["text", "markdown", "json"]

_SHARE = re.compile(r"(\d{1,4}(?:\.\d{1,9})?|\.\d{1,9})\s*(%?)", re.ASCII)


def compare(
    before: Annotated[
        str,
        typer.Argument(metavar="A", help="Run file of the baseline; 'a1,a2' = several, merged."),
    ],
    after: Annotated[
        str, typer.Argument(metavar="B", help="Run file of what is compared with it; likewise.")
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            "-f",
            envvar="SCALAB_COMPARE_FORMAT",
            help="What to write; Markdown is for a pull request.",
        ),
    ] = "text",
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; '-' is standard output."),
    ] = "-",
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="Changes up to this don't matter, as 5% or 0.05.")
    ] = "5%",
) -> int:
    """Tell whether run B is better or worse than run A, or whether that can't be told."""
    from .output import write_result

    runs = _compared(_files(before), _files(after), _share(tolerance))
    if form == "text" and output in ("", "-"):
        _print(runs)
    else:
        write_result(_written(runs, form), output or "-")
    return runs.result.exit_code


def _compared(before: list[str], after: list[str], tolerance: float) -> ComparedRuns:
    from scalab.report.batches import batches_of
    from scalab.report.comparison import ComparedRuns, why_invalid
    from scalab.report.judging import judged_report
    from scalab.runfile.merge import merge_runs
    from scalab.verdict.compare import compare as compare_batches

    run_a, run_b = merge_runs(before), merge_runs(after)
    a, b = judged_report(run_a), judged_report(run_b)
    result = compare_batches(
        batches_of(run_a), batches_of(run_b), tolerance=tolerance, invalid=why_invalid(a, b)
    )
    return ComparedRuns(a=a, b=b, result=result)


def _files(text: str) -> list[str]:
    """Return the files of one side: a name with commas is a list, unless there is such a file."""
    return [text] if Path(text).exists() else [part for part in text.split(",") if part]


def _share(text: str) -> float:
    match = _SHARE.fullmatch(text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        shown = printable(text, 40)
        raise ConfigError(f"--tolerance '{shown}' is no share between 0 and 1: write 5% or 0.05")
    return value


def _print(runs: ComparedRuns) -> None:
    from rich.console import Console

    from scalab.report.comparison import print_comparison

    print_comparison(Console(highlight=False), runs)


def _written(runs: ComparedRuns, form: Form) -> str:
    from scalab.report import comparison

    write = {
        "text": comparison.to_text,
        "markdown": comparison.to_markdown,
        "json": comparison.to_json,
    }
    return write[form](runs)
