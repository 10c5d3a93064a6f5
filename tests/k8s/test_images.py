"""The images' recipes, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scalab import __version__

from .manifests import ROOT, Build, pods

Instruction = tuple[str, str]


def instructions(name: str) -> list[Instruction]:
    """The instructions of a Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def stages(name: str) -> list[list[Instruction]]:
    """The instructions of each stage, beginning with its FROM."""
    found: list[list[Instruction]] = []
    for instruction in instructions(name):
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    return [value for instruction, value in stage if instruction == name]


def test_the_image_has_nothing_of_its_build() -> None:
    build, final = stages("Dockerfile")
    assert values(build, "FROM") == ["python:${PYTHON}-slim AS build"]
    assert values(final, "FROM") == ["python:${PYTHON}-slim"]
    assert values(final, "COPY") == ["--from=build /opt/scalab /opt/scalab"]
    assert not values(final, "RUN")


def test_the_list_of_what_is_in_the_image_is_made_as_nox_makes_it() -> None:
    """With the same release of the tool, of the same things, into what the image keeps."""
    *_, installing, making = values(stages("Dockerfile")[0], "RUN")
    noxfile, page = (ROOT / "noxfile.py").read_text(), (ROOT / "docs/dependencies.md").read_text()
    (tool,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["sbom"]
    assert f'install --no-cache-dir --disable-pip-version-check "{tool}"' in making
    *words, output, python = making[making.index("cyclonedx-py") :].split()
    command = ", ".join(f'"{word}"' for word in words)
    assert f"{command}, output, python)" in noxfile
    assert f'f"--python={{python}}", "install", "-q", {installing.split()[-1]})' in noxfile
    assert python == "/opt/scalab/bin/python"
    assert output == "--output-file=/opt/scalab/sbom.cdx.json"
    assert f"cat scalab:{__version__} /opt/scalab/sbom.cdx.json" in page


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.media"])
def test_it_runs_as_nobody(name: str) -> None:
    (pod,) = [pod for pod in pods(Build("queues/media")) if pod.role == "backend"]
    user, group = (pod.spec["securityContext"][key] for key in ("runAsUser", "runAsGroup"))
    assert values(stages(name)[-1], "USER")[-1] == f"{user}:{group}"


def test_scalab_is_process_1() -> None:
    """In exec form: a shell would keep the signals to itself."""
    (entry,) = values(stages("Dockerfile")[-1], "ENTRYPOINT")
    (pod,) = [pod for pod in pods(Build("queues/sleep")) if pod.role == "frontend"]
    assert json.loads(entry) == pod.containers[0].spec["command"] == ["scalab"]
    assert "ENTRYPOINT" not in dict(stages("Dockerfile.media")[-1])


def test_all_ports_are_exposed() -> None:
    (exposed,) = values(stages("Dockerfile")[-1], "EXPOSE")
    used = {port for pod in pods(Build("queues/sleep")) for port in pod.ports.values()}
    assert {int(port) for port in exposed.split()} == used


def test_the_context_is_what_is_copied() -> None:
    """And what is copied is in the context: the ignore file lets nothing else in."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    copied = {
        source for value in values(stages("Dockerfile")[0], "COPY") for source in value.split()[:-1]
    }
    assert allowed == copied
    assert all((ROOT / name).exists() for name in copied)
    cache = Path("scalab/cli/__pycache__")
    assert any(fnmatch(str(cache), pattern) for pattern in patterns[1:])


def test_the_media_image_is_made_of_this_version() -> None:
    assert ("ARG", f"SCALAB=scalab:{__version__}") in instructions("Dockerfile.media")
    for name in ("Dockerfile", "Dockerfile.media"):
        tags = re.findall(r"scalab(?:-media)?:([\d.]+)", (ROOT / name).read_text())
        assert set(tags) == {__version__}
