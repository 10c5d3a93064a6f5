"""What docs/kubernetes.md tells people to do works, and what it names is there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import trio

from scalab import __version__

from .cluster import Cluster, RunningPod, cluster, fetch
from .commands import parse
from .manifests import BUILDS, K8S, ROOT, Build, load_file, objects, pods, tool
from .pod_security import violations
from .promql import alert_queries
from .schemas import errors, newest_versions

GUIDE = ROOT / "docs" / "kubernetes.md"


def blocks() -> list[str]:
    """The shell commands of the guide."""
    return re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE.read_text())
    assert len(links) > 20
    assert not [link for link in links if not (GUIDE.parent / link).exists()]


def test_folders_that_are_applied_are_built_by_the_tests() -> None:
    applied = set(re.findall(r"kubectl (?:apply|delete) -k k8s/(\S+)", "".join(blocks())))
    assert applied == {"queues/sleep", "monitoring"}
    assert applied <= {build.folder for build in BUILDS}


def test_files_that_are_applied_are_there_and_valid() -> None:
    files = re.findall(r"-f k8s/(\S+)", "".join(blocks()))
    assert len(files) == 2
    for name in files:
        found = load_file(name)
        for version in newest_versions():
            assert not list(errors(found, version))
        if found["kind"] == "Pod":
            assert not list(violations(found["spec"]))
            assert found["spec"]["containers"][0]["image"] == f"scalab-media:{__version__}"


def test_every_component_is_described() -> None:
    text = GUIDE.read_text()
    for build in BUILDS:
        for name in build.components:
            assert f"(../k8s/{name})" in text
        if build.folder.startswith("queues/"):
            assert f"(../k8s/{build.folder})" in text


def test_every_alert_is_described() -> None:
    described = re.findall(r"^\| (Scalab\w+) \|", GUIDE.read_text(), re.MULTILINE)
    assert described == [query.where for query in alert_queries()]


def test_variables_are_read_by_somebody() -> None:
    text = GUIDE.read_text()
    for name in set(re.findall(r"\bSCALAB_(?:BACKEND|CLIENT|FRONTEND)_[A-Z_]+", text)):
        role = name.split("_")[1].lower()
        words = {"backend": ["--", "sleep"], "frontend": ["q"]}.get(role, [])
        values = {"GLOB": "/x/*", "LIMIT": "1", "GRACE": "1", "ALLOW_HOST": "lab.example.org"}
        values["STORE"] = "redis://store"
        value = values[name.removeprefix(f"SCALAB_{role.upper()}_")]
        assert parse(["scalab", role, *words], {name: value}).from_environment == {name}


def test_numbers_are_those_of_the_manifests() -> None:
    text = GUIDE.read_text()
    for queue, limit in (("sleep", 30), ("media", 120)):
        (pod,) = [pod for pod in pods(Build(f"queues/{queue}")) if pod.role == "backend"]
        assert pod.containers[-1].env()["SCALAB_BACKEND_LIMIT"] == str(limit)
        assert f"{limit} s" in text
    (pod,) = [pod for pod in pods(Build("queues/sleep")) if pod.role == "backend"]
    assert f"it takes up to their grace, {pod.spec['terminationGracePeriodSeconds']} s" in text


def test_five_commands() -> None:
    (commands,) = re.findall(
        r"<!-- five commands -->\n```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL
    )
    assert len(commands.splitlines()) == 5
    assert f"-t scalab:{__version__} ." in commands
    names = {found["metadata"]["name"] for found in objects(Build("queues/sleep"))}
    for namespace in re.findall(r"-n (\S+)", commands):
        assert namespace in names
    assert os.access(K8S / "double.sh", os.X_OK)


def test_commands_are_shell() -> None:
    for block in blocks():
        done = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert not done.stderr


# --- k8s/double.sh ------------------------------------------------------------------------------

KUBECTL = """#!{python}
# Stands in for kubectl: what it is asked for, it asks the test for.
import pathlib, sys, time
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "asked").open("a") as asked:
    print(*words, file=asked)
assert words[:2] == ["-n", "scalab-sleep"]
if words[2] == "get":
    print((folder / "wanted").read_text(), end="")
elif words[2] == "scale":
    (folder / "wanted.new").write_text(words[-1])
    (folder / "wanted.new").rename(folder / "wanted")
elif words[2] == "rollout":
    while (folder / "ready").read_text() != (folder / "wanted").read_text():
        time.sleep(0.05)
elif words[2] == "port-forward":
    time.sleep(60)
else:
    sys.exit(f"unknown: {{words}}")
"""


async def follow(lab: Cluster, folder: Path) -> None:
    """Have as many backends as are wanted, as a Deployment does."""
    backends: list[RunningPod] = []
    while True:
        wanted = int((folder / "wanted").read_text())
        while len(backends) < wanted:
            backends.append(await lab.start("backend"))
        while len(backends) > wanted:
            assert await backends.pop().terminate() == 0
        (folder / "ready.new").write_text(str(wanted))
        (folder / "ready.new").rename(folder / "ready")
        await trio.sleep(0.05)


async def test_the_step_test_scales_measures_and_restores(tmp_path: Path) -> None:
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL.format(python=sys.executable, folder=str(tmp_path)))
    kubectl.chmod(stat.S_IRWXU)
    for name in ("wanted", "ready"):
        (tmp_path / name).write_text("2")
    tool("curl")
    async with cluster("queues/sleep") as lab, trio.open_nursery() as nursery:
        await lab.start("frontend")
        client = await lab.start("client")
        nursery.start_soon(follow, lab, tmp_path)
        script = await lab.run(
            *(str(K8S / "double.sh"), "-n", "scalab-sleep", "-s", "1", "1", "3"),
            PATH=f"{kubectl.parent}:{os.environ['PATH']}",
            PORT=str(client.ports["control"]),
            SETTLE="0.6",
        )
        assert await script.ended() == 0, script.log
        status, parallel = await fetch(client.url("control", "/parallel?type=plain"))
        assert (status, parallel) == (200, "2\n")
        nursery.cancel_scope.cancel(reason="the script has ended")
    head, *lines = script.out.decode().splitlines()
    assert head.split() == ["backends", "requests/s", "times"]
    assert [line.split()[0] for line in lines] == ["1", "3"]
    assert lines[0].split()[2] == "-"
    assert float(lines[1].split()[2]) > 0
    asked = (tmp_path / "asked").read_text()
    assert re.findall(r"scale deployment/scalab-backend --replicas (\d+)", asked) == ["1", "3", "2"]
