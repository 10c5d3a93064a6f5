"""Imports run one way, the core is pure, and modules stay small enough to read."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scalab

ROOT = Path(scalab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

PURE = {"protocol", "queueing", "measure", "load", "verdict", "runfile", "report", "scaling", "web"}
IMPURE = {"trio", "socket", "time", "subprocess", "asyncio", "threading", "structlog"}
ROLES = {"frontend", "backend", "client"}
STARTERS = {"cli", "demo", "validate"}
"""What starts roles."""
DRAWN = {
    *("measure/layout.py", "measure/sections.py", "measure/summary.py"),
    *("report/comparison.py", "report/text.py"),
    *("report/scaling/text.py", "report/scaling/autoscale_text.py"),
}
"""What draws for a terminal, and may do so with rich."""
MAX_LINES = 400


def package_of(module: Path) -> str:
    """``scalab/queueing/dispatch.py`` → ``queueing``; a module of scalab itself is its name."""
    return module.relative_to(ROOT).with_suffix("").parts[0]


def absolute(module: Path, node: ast.ImportFrom) -> str:
    """What a ``from … import`` imports from, without leading dots."""
    if node.level == 0:
        return node.module or ""
    above = ("scalab", *module.relative_to(ROOT).parts)[: -node.level]
    return ".".join((*above, *(node.module or "").split("."))).rstrip(".")


def imports_of(module: Path, source: str | None = None) -> Iterator[str]:
    """The dotted names that a module imports, inside functions and for types only, too."""
    for node in ast.walk(ast.parse(module.read_text() if source is None else source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, node)
            # ``from scalab import client`` imports a package, not only a name.
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def packages_used(module: Path, source: str | None = None) -> set[str]:
    """The parts of scalab that a module imports, other than its own."""
    names = (name.split(".") for name in imports_of(module, source))
    used = {parts[1] for parts in names if parts[0] == "scalab" and len(parts) > 1}
    return used - {package_of(module)}


def name_of(module: Path) -> str:
    return str(module.relative_to(ROOT))


each_module = pytest.mark.parametrize("module", MODULES, ids=name_of)


@each_module
def test_imports_run_one_way(module: Path) -> None:
    package, used = package_of(module), packages_used(module)
    parts = {package_of(other) for other in MODULES}

    if package in PURE:
        assert used <= PURE | {"errors"}, "the core knows nothing of what is around it"
    if package == "protocol":
        assert used <= {"errors"}, "the wire is below all else"
    if package == "runtime":
        assert used <= parts - PURE - ROLES - STARTERS | {"protocol"}
    if package in ROLES:
        assert used & ROLES == set(), "roles don't know each other"
    if package not in STARTERS | ROLES:
        assert used & ROLES == set(), "only who starts roles knows them"
    if package != "__main__":
        assert "cli" not in used, "nothing knows the command line"


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) in PURE], ids=name_of)
def test_the_core_is_pure(module: Path) -> None:
    top = {name.split(".")[0] for name in imports_of(module)}

    assert top & IMPURE == set()
    if name_of(module) not in DRAWN:
        assert "rich" not in top


def test_the_core_needs_no_trio_by_way_of_others() -> None:
    core = [
        name_of(m).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for m in MODULES
        if package_of(m) in PURE
    ]
    code = "\n".join(f"import scalab.{name}" for name in core)
    code += "\nimport sys; print(*sorted({'trio', 'structlog', 'asyncio'} & set(sys.modules)))"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []


@each_module
def test_modules_are_short(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


def test_all_kinds_of_imports_are_seen() -> None:
    module = ROOT / "queueing" / "nowhere.py"
    source = """
import time as clock
from .item import Item
from ..runtime.net import connect
from .. import backend
from scalab import client
def f():
    from scalab.cli.app import app
"""

    assert set(imports_of(module, source)) == {
        *("time", "scalab.queueing.item.Item", "scalab.runtime.net.connect"),
        *("scalab.backend", "scalab.client", "scalab.cli.app.app"),
    }
    assert packages_used(module, source) == {"runtime", "backend", "client", "cli"}


# --- simulated devices -------------------------------------------------------------------------

FAKEDEV = [module for module in MODULES if package_of(module) == "fakedev"]
FAKEDEV_SHELL = {"fakedev/exporter.py", "fakedev/files.py", "fakedev/workload.py"}
"""What has to do with the system; all else of simulated devices is pure."""


@pytest.mark.parametrize("module", FAKEDEV, ids=name_of)
def test_simulated_devices_know_only_what_is_below_them(module: Path) -> None:
    assert packages_used(module) <= {"access", "errors", "protocol", "runtime", "__version__"}
    if name_of(module) not in FAKEDEV_SHELL:
        assert {name.split(".")[0] for name in imports_of(module)} & IMPURE == set()
        assert "runtime" not in packages_used(module)


def test_the_workload_of_simulated_devices_stands_alone() -> None:
    module = ROOT / "fakedev" / "workload.py"
    assert not {name for name in imports_of(module) if name.startswith("scalab")}


@each_module
def test_only_who_starts_simulated_devices_knows_them(module: Path) -> None:
    if package_of(module) not in {"cli", "demo", "__main__"}:
        assert "fakedev" not in packages_used(module)


# --- shared queues -----------------------------------------------------------------------------

SHARED = [module for module in MODULES if package_of(module) == "sharedqueue"]
SHARED_SHELL = {"sharedqueue/service.py", "sharedqueue/store.py", "sharedqueue/admin.py"}
"""What talks to the store; all else of shared queues decides, or translates, without I/O."""


@pytest.mark.parametrize("module", SHARED, ids=name_of)
def test_shared_queues_decide_without_io(module: Path) -> None:
    assert "cli" not in packages_used(module)
    if name_of(module) not in SHARED_SHELL:
        assert {name.split(".")[0] for name in imports_of(module)} & IMPURE == set()
        assert packages_used(module) <= {"errors", "protocol", "queueing", "redis"}
        assert "scalab.redis.client.Client" not in imports_of(module)


@pytest.mark.parametrize("module", [m for m in MODULES if package_of(m) == "redis"], ids=name_of)
def test_the_client_of_the_store_knows_nothing_of_queues(module: Path) -> None:
    assert packages_used(module) <= {"access", "errors", "protocol", "runtime"}
