from __future__ import annotations

import argparse
import re
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False

GROUPS = nox.project.dependency_groups
PYPROJECT = nox.project.load_toml("pyproject.toml")
STARTABLE = "serve,serve_metrics,serve_pages,run_backend,run_client,run_exporter,watch_signals"
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, and flake8-async for what ruff doesn't know of Trio."""
    session.install(*GROUPS(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # It takes a second for a long file, so it gets only those that are async, and none of the
    # tests, for which ruff's rules do. ASYNC9 is off by default, and ASYNC100 ruff has, too.
    files = [file for tree in ("scalab", "benchmarks") for file in Path(tree).rglob("*.py")]
    session.run(
        "flake8",
        "--isolated",
        "--jobs=2",
        "--select=ASYNC",
        "--disable=ASYNC9,ASYNC100",
        f"--startable-in-context-manager={STARTABLE}",
        *(str(file) for file in files if re.search("async|trio", file.read_text())),
    )


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e", ".", *GROUPS(PYPROJECT, "types"), "nox")
    session.run("mypy")


@nox.session
def audit(session: nox.Session) -> None:
    """Is all that scalab brings along on docs/dependencies.md, and does it fit together?"""
    session.install(".[redis]")
    session.run("pip", "check")
    session.run("python", "docs/check_dependencies.py")


@nox.session
def sbom(session: nox.Session) -> None:
    """List what is in the image, as its build does: dist/sbom.cdx.json."""
    session.install(*GROUPS(PYPROJECT, "sbom"))
    image = Path(session.create_tmp()) / "image"
    python = str(image / "bin" / "python")
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(image))
    session.run("pip", f"--python={python}", "install", "-q", ".[redis]")
    target = Path("dist", "sbom.cdx.json")
    target.parent.mkdir(exist_ok=True)
    output = f"--output-file={target}"
    session.run("cyclonedx-py", "environment", "--output-reproducible", output, python)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python that is there; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def guard(session: nox.Session) -> None:
    """Count what an item costs, in operations and not in time: ``nox -s guard -- --renew``."""
    session.install("-e", ".")
    session.run("python", "benchmarks/guard.py", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with coverage, processes that they start included."""
    session.install("-e", ".[test]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def hostile(session: nox.Session) -> None:
    """Mutated conversations with every port: ``nox -s hostile -- --inputs 20000 --seed 7``."""
    given = _options(session, inputs="5000", seed="", first="")
    session.install("-e", ".[test]")
    env = {f"SCALAB_HOSTILE_{name.upper()}": value for name, value in given.items()}
    session.run("pytest", "tests/hostile", "-s", "--timeout=0", env=env)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz parsers, guided by coverage: ``nox -s fuzz -- --seconds 600 --targets runs,pages``."""
    given = _options(session, seconds="60", targets="")
    session.install("-e", ".[test]", "atheris")
    corpus = Path(session.create_tmp())
    source = Path("tests/fuzz/targets.py").read_text()
    targets = re.findall(r"(?m)^def (\w+)\(data: bytes\) -> None:", source)
    for target in given["targets"].split(",") if given["targets"] else targets:
        limit = f"-max_total_time={given['seconds']}"
        session.run("python", "-m", "tests.fuzz", target, str(corpus / target), limit)


@nox.session
def faults(session: nox.Session) -> None:
    """Faults at random, under load: ``nox -s faults -- --seed 7 --rounds 30``, or ``--quick``."""
    session.install("-e", ".[test]")
    suites = ["faults"] if "--quick" in session.posargs else ["faults", "shortages", "overload"]
    files = [f"tests/faults/{suite}.py" for suite in suites]
    session.run("pytest", "-s", *files, *session.posargs)


@nox.session
def shared(session: nox.Session) -> None:
    """Faults to frontends that share queues: ``nox -s shared -- --seeds 20 --seed 1``."""
    given = _options(session, seeds="20", seed="1", rounds="6", only="")
    session.install("-e", ".[test]")
    env = {f"SCALAB_SHARED_{name.upper()}": value for name, value in given.items()}
    session.run("pytest", "-s", "tests/sharedqueue/faults.py", env=env)


@nox.session
def soak(session: nox.Session) -> None:
    """Peers that come and go for a long time: ``nox -s soak -- --minutes 60``."""
    session.install("-e", ".[test]")
    session.run("pytest", "-s", "tests/faults/soak.py", *session.posargs)


def _options(session: nox.Session, **defaults: str) -> dict[str, str]:
    """Return what stands after ``--``."""
    parser = argparse.ArgumentParser(session.name)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default)
    return vars(parser.parse_args(session.posargs))
