"""What docs/dependencies.md says, against pyproject.toml; and the check of what is installed."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CHECK = runpy.run_path(str(ROOT / "docs" / "check_dependencies.py"))


def names(requirements: list[str]) -> set[str]:
    """The packages that are asked for."""
    return {CHECK["canonical"](re.match(r"[\w.-]+", text)[0]) for text in requirements}  # type: ignore[index]


def first_cells(part: str) -> set[str]:
    """The packages of all tables in a part of the page."""
    cells = re.findall(r"^\| ([\w., -]+) \|", part, re.MULTILINE)
    return names([name for cell in cells for name in cell.split(", ")]) - {"package"}


def part(start: str, end: str) -> str:
    return PAGE.split(start, 1)[1].split(end, 1)[0]


def test_every_direct_dependency_has_its_reason() -> None:
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["redis"]
    assert first_cells(part("## What is installed", "What these bring along")) == names(asked)


def test_every_tool_has_its_reason() -> None:
    groups = [*PYPROJECT["dependency-groups"].values(), PYPROJECT["build-system"]["requires"]]
    asked = names([text for group in groups for text in group])
    asked |= names(PROJECT["optional-dependencies"]["test"])
    installed = names(PROJECT["optional-dependencies"]["redis"])
    assert first_cells(part("## What only developers", "## Checks")) == asked - installed


def test_what_comes_along_comes_with_something_listed() -> None:
    listed = CHECK["listed"](PAGE)
    rows = re.findall(
        r"^\| \S+ \| (.*) \| `", part("What these bring", "Files of the"), re.MULTILINE
    )
    assert names([name for row in rows for name in row.split(", ")]) <= set(listed)
    assert len(rows) == len(listed) - len(PROJECT["dependencies"]) - 1


def test_only_licences_that_are_allowed() -> None:
    for name, licences in CHECK["listed"](PAGE).items():
        assert licences, name
        assert licences <= CHECK["ALLOWED"], name


# --- the check -----------------------------------------------------------------------------------

LISTED = {"good": frozenset({"MIT", "Apache-2.0"}), "odd": frozenset({"GPL-3.0-only"})}


def package(folder: Path, name: str, *lines: str) -> Distribution:
    """A package as it is when it is installed."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    metadata = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines]
    (info / "METADATA").write_text("\n".join(metadata) + "\n")
    return PathDistribution(info)


def problems(installed: Distribution, listed: Mapping[str, Any] = LISTED) -> list[str]:
    return list(CHECK["problems"](listed, [installed]))


@pytest.mark.parametrize(
    "lines",
    [
        ["License-Expression: MIT OR Apache-2.0"],
        [
            "Classifier: License :: OSI Approved :: MIT License",
            "Classifier: License :: OSI Approved :: Apache Software License",
            "Classifier: License :: DFSG approved",
        ],
    ],
)
def test_what_is_as_the_page_says_is_no_problem(tmp_path: Path, lines: list[str]) -> None:
    assert problems(package(tmp_path, "Good", *lines)) == []


def test_what_nobody_listed_is_a_problem(tmp_path: Path) -> None:
    found = problems(package(tmp_path, "new_one", "License-Expression: MIT"))
    assert found == ["new-one 1.0 (MIT): not on the page; is it needed, and why?"]


def test_another_licence_than_the_page_says_is_a_problem(tmp_path: Path) -> None:
    found = problems(package(tmp_path, "good", "License-Expression: MIT"))
    assert found == ["good 1.0: says MIT, the page says Apache-2.0, MIT"]


def test_no_licence_is_a_problem(tmp_path: Path) -> None:
    found = problems(package(tmp_path, "good"))
    assert found == ["good 1.0: says no licence, the page says Apache-2.0, MIT"]


def test_a_licence_that_is_not_allowed_is_a_problem_even_if_listed(tmp_path: Path) -> None:
    found = problems(package(tmp_path, "odd", "License-Expression: GPL-3.0-only"))
    assert found == ["odd 1.0 (GPL-3.0-only): a licence that isn't allowed"]
