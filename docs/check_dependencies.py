"""Compares what is installed in this environment with dependencies.md.

Run by ``nox -s audit``, in an environment that has nothing but scalab and its dependencies.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

PAGE = Path(__file__).with_name("dependencies.md")

ALLOWED = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}
)
"""Licences, by their SPDX names, that scalab's own lets be passed on with it."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages say that don't say their licence in SPDX yet."""

OURS = frozenset({"scalab", "pip", "setuptools"})
"""What is in every environment, or is what we audit."""


def canonical(name: str) -> str:
    """Return a package's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(expression: str) -> frozenset[str]:
    """Return the licences that an SPDX expression names.

    >>> sorted(names_in("MPL-2.0 AND (Apache-2.0 OR MIT)"))
    ['Apache-2.0', 'MIT', 'MPL-2.0']
    """
    return frozenset(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}


def listed(page: str) -> dict[str, frozenset[str]]:
    """Return the licences of each package that the page says is installed."""
    rows = re.findall(r"^\| ([\w.-]+) \|.*\| `([^`]+)` \|$", page, re.MULTILINE)
    return {canonical(name): names_in(licence) for name, licence in rows}


def declared(distribution: Distribution) -> frozenset[str]:
    """Return the licences that a package names; classifiers that we don't know as they are."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return names_in(metadata["License-Expression"])
    classifiers = metadata.get_all("Classifier", [])
    ends = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: OSI ")]
    return frozenset(CLASSIFIERS.get(end, end) for end in ends)


def problems(
    page: Mapping[str, frozenset[str]], installed: Iterable[Distribution]
) -> Iterable[str]:
    """Say in a line each what is installed but not as the page says."""
    for distribution in installed:
        name, licences = canonical(distribution.name), declared(distribution)
        said = ", ".join(sorted(licences)) or "no licence"
        if name in OURS:
            continue
        if name not in page:
            yield f"{name} {distribution.version} ({said}): not on the page; is it needed, and why?"
        elif licences != page[name]:
            expected = ", ".join(sorted(page[name]))
            yield f"{name} {distribution.version}: says {said}, the page says {expected}"
        elif not licences <= ALLOWED:
            yield f"{name} {distribution.version} ({said}): a licence that isn't allowed"


def main() -> int:
    """Print what is wrong, or how much is right; return the exit code."""
    page, installed = listed(PAGE.read_text()), list(distributions())
    wrong = sorted(problems(page, installed))
    count = len({canonical(found.name) for found in installed} - OURS)
    print("\n".join(wrong) or f"{count} packages, all as {PAGE.name} says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
