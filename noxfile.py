from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False

GROUPS = nox.project.dependency_groups
PYPROJECT = nox.project.load_toml("pyproject.toml")
# Tests may be async only to run inside Trio, and may wait for what has no event, such as a process.
# (ASYNC9 is what flake8-async leaves out by itself.)
TREES = {
    "scalab": "ASYNC9",
    "benchmarks": "ASYNC9",
    "tests": "ASYNC9,ASYNC100,ASYNC110,ASYNC124",
}
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, and flake8-async for what ruff doesn't know of Trio."""
    session.install(*GROUPS(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    startable = "serve,serve_metrics,serve_pages,run_backend,run_client,run_exporter,watch_signals"
    for tree, disabled in TREES.items():
        session.run(
            "flake8-async",
            f"--startable-in-context-manager={startable}",
            f"--disable={disabled}",
            *map(str, Path(tree).rglob("*.py")),
        )


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e", ".", *GROUPS(PYPROJECT, "types"), "nox")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python that is there; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with coverage, processes that they start included."""
    session.install("-e", ".[test]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")
