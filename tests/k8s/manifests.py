"""The manifests as a cluster would get them, and what a test asks of them."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest
import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"

QUEUES = ("sleep", "media", "fakedev")
GPUS = ("gpu/intel", "gpu/intel-shared", "gpu/nvidia", "gpu/amd")
SCALING = (
    "scaling/hpa-external",
    "scaling/hpa-custom",
    "scaling/keda-prometheus",
    "scaling/keda-metrics-api",
    "scaling/cronjob",
)


SECURE = "secure"
SHARED = "shared"


@attrs.frozen
class Build:
    """A folder under ``k8s``, with components added in this order."""

    folder: str
    components: tuple[str, ...] = ()
    root: Path = K8S
    """Where the manifests are."""

    def __str__(self) -> str:
        return "+".join((self.folder, *self.components))


def all_builds() -> Iterator[Build]:
    """Every folder that can be applied, with every combination of components that makes sense."""
    yield from map(Build, ("namespace", "base", "queue", "queues/pair", "monitoring"))
    for queue in QUEUES:
        gpus = ("", *GPUS) if queue == "media" else ("",)
        data = ("", "data/pvc") if queue == "media" else ("",)
        for components in itertools.product(gpus, data, ("", *SCALING)):
            yield Build(f"queues/{queue}", tuple(filter(None, components)))
    yield Build("queues/sleep", ("validate",))
    for queue in QUEUES:
        yield Build(f"queues/{queue}", (SHARED,))
    yield Build("queues/sleep", (SHARED, "scaling/keda-metrics-api", SECURE))
    for queue in QUEUES:
        yield Build(f"queues/{queue}", (SECURE,))
    yield Build("queues/sleep", ("validate", SECURE, f"{SECURE}/monitoring"))


BUILDS = tuple(all_builds())
TESTERS = tuple(build for build in BUILDS if build.folder.startswith("queues/"))
PLAIN = tuple(build for build in TESTERS if not build.components)
SAMPLES = tuple(
    build
    for build in TESTERS
    if not build.components
    or build.components in ((SECURE,), (SHARED,))
    or (build.folder == "queues/media" and len(build.components) == 1)
)
"""Each queue and each component once: enough where components don't meet."""


def tool(name: str) -> str:
    """Return the path of a program that the tests need; without it they fail in CI, else skip."""
    path = os.environ.get(name.upper()) or shutil.which(name)
    return path or missing(name)


def missing(what: str) -> NoReturn:
    """Give up a test for the lack of something that CI must have."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@functools.cache
def objects(build: Build) -> tuple[Object, ...]:
    """Return what ``kubectl apply -k`` would send."""
    with tempfile.TemporaryDirectory() as folder:
        where = build.root / build.folder
        if build.components:
            # Kustomize refuses absolute paths.
            names = (build.folder, *build.components)
            paths = [os.path.relpath(build.root / name, folder) for name in names]
            overlay = {"resources": paths[:1], "components": paths[1:]}
            where = Path(folder)
            (where / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        done = subprocess.run(
            [tool("kubectl"), "kustomize", where], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return tuple(load(done.stdout))


def load(text: str) -> list[Any]:
    """Return the documents of a YAML text."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def load_file(path: str) -> Any:
    """Return the one document of a file under ``k8s``."""
    (document,) = load((K8S / path).read_text())
    return document


def of_kind(build: Build, *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [found for found in objects(build) if found["kind"] in kinds]


# --- pods ----------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Container:
    """A container, and the pod that it is in."""

    pod: Pod
    spec: Object
    init: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        """Whether it is a native sidecar."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def ports(self) -> dict[str, int]:
        """Its ports by name."""
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", ())}

    def env(self) -> dict[str, str]:
        """Return its environment as the kubelet would make it."""
        return {env["name"]: self._value(env) for env in self.spec.get("env", ())}

    def _value(self, env: Object) -> str:
        if "value" in env:
            return str(env["value"])
        path = env["valueFrom"]["fieldRef"]["fieldPath"]
        if label := re.fullmatch(r"metadata\.labels\['(.+)'\]", path):
            return str(self.pod.labels[label[1]])
        known = {"metadata.name": f"{self.pod.name}-0", "spec.nodeName": "node-a"}
        return known[path]

    def argv(self) -> list[str]:
        """Return its command line, with variables put in as the kubelet does."""
        env = self.env()

        def expanded(text: str) -> str:
            return re.sub(r"\$\((\w+)\)", lambda match: env[match[1]], text)

        return [expanded(text) for text in (*self.spec["command"], *self.spec.get("args", ()))]


@attrs.frozen(eq=False)
class Pod:
    """A pod that something in the manifests makes."""

    kind: str
    name: str
    labels: Mapping[str, str]
    spec: Object
    namespace: str = ""

    @property
    def containers(self) -> list[Container]:
        """All of them, those that run first first."""
        init = [Container(self, spec, init=True) for spec in self.spec.get("initContainers") or ()]
        return init + [Container(self, spec) for spec in self.spec["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        """Ports of all containers by name."""
        return {name: port for found in self.containers for name, port in found.ports.items()}

    @property
    def role(self) -> str:
        """What it is: frontend, backend or client."""
        return self.labels["app.kubernetes.io/component"]


def pods(build: Build) -> list[Pod]:
    """Return the pods that run scalab."""
    return [_pod(found) for found in of_kind(build, "Deployment", "CronJob", "DaemonSet", "Job")]


def all_pods(build: Build) -> list[Pod]:
    """The same, and those of the store that frontends share a queue by."""
    return [*pods(build), *(_pod(found) for found in of_kind(build, "StatefulSet"))]


def _pod(owner: Object) -> Pod:
    spec = owner["spec"]
    template = spec.get("jobTemplate", owner)["spec"]["template"]
    return Pod(
        owner["kind"],
        owner["metadata"]["name"],
        template["metadata"]["labels"],
        template["spec"],
        owner["metadata"].get("namespace", ""),
    )


def selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything, none nothing."""
    if selector is None:
        return False
    matching = selector.get("matchLabels", {}).items()
    return all(labels.get(k) == v for k, v in matching) and all(
        _holds(requirement, labels) for requirement in selector.get("matchExpressions", ())
    )


def _holds(requirement: Object, labels: Mapping[str, str]) -> bool:
    if requirement["operator"] == "DoesNotExist":
        return requirement["key"] not in labels
    assert requirement["operator"] == "In"
    return labels.get(requirement["key"]) in requirement["values"]


def unique(builds: Iterable[Build]) -> list[tuple[str, Object]]:
    """Return the different objects of many builds, each with where it was found first."""
    seen: dict[str, tuple[str, Object]] = {}
    for build in builds:
        for found in objects(build):
            where = f"{build} {found['kind']} {found['metadata']['name']}"
            seen.setdefault(repr(found), (where, found))
    return list(seen.values())
