"""Pods: what the strictest standard asks, what they take, and how they are watched and spread."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .manifests import SAMPLES, SHARED, TESTERS, Build, Container, Object, all_pods, of_kind, pods
from .pod_security import violations


def test_pods_meet_the_restricted_standard() -> None:
    """All of them: a device is no exception."""
    found = [(build, pod) for build in TESTERS for pod in all_pods(build)]
    assert not [f"{build} {pod.name}: {w}" for build, pod in found for w in violations(pod.spec)]


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_the_namespace_enforces_it(build: Build) -> None:
    (namespace,) = of_kind(build, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("hostPID", True, "hostPID"),
        ("hostIPC", True, "hostIPC"),
        ("volumes", [{"name": "v", "hostPath": {"path": "/dev/dri"}}], "volume v"),
        ("securityContext.sysctls", [{"name": "kernel.sem", "value": "1"}], "sysctl kernel.sem"),
        ("securityContext.runAsNonRoot", None, "backend: runAsNonRoot"),
        ("securityContext.runAsUser", 0, "backend: runAsUser"),
        ("securityContext.seccompProfile", None, "backend: seccompProfile"),
        ("securityContext.seccompProfile.type", "Unconfined", "backend: seccompProfile"),
        ("securityContext.appArmorProfile", {"type": "Unconfined"}, "backend: appArmorProfile"),
        ("securityContext.seLinuxOptions", {"type": "spc_t"}, "backend: seLinuxOptions"),
        ("containers.0.securityContext", None, "backend: allowPrivilegeEscalation"),
        ("containers.0.securityContext.privileged", True, "backend: privileged"),
        ("containers.0.securityContext.runAsUser", 0, "backend: runAsUser"),
        ("containers.0.securityContext.runAsNonRoot", False, "backend: runAsNonRoot"),
        ("containers.0.securityContext.procMount", "Unmasked", "backend: procMount"),
        ("containers.0.securityContext.capabilities", None, "backend: capabilities.drop"),
        ("containers.0.securityContext.capabilities.add", ["KILL"], "backend: capabilities.add"),
        ("containers.0.ports.0.hostPort", 9998, "backend: hostPort"),
        ("containers.0.livenessProbe.httpGet.host", "10.0.0.1", "backend: host of a probe"),
    ],
)  # fmt: skip
def test_a_violation_is_noticed(path: str, value: Any, what: str) -> None:
    (pod,) = [pod for pod in pods(Build("queues/sleep")) if pod.role == "backend"]
    spec: Object = copy.deepcopy(pod.spec)
    at: Any = spec
    *folders, last = path.split(".")
    for name in folders:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    assert what in list(violations(spec))


def containers(build: Build) -> list[Container]:
    return [container for pod in pods(build) for container in pod.containers]


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_containers_can_write_to_volumes_only(build: Build) -> None:
    for container in containers(build):
        assert container.spec["securityContext"]["readOnlyRootFilesystem"] is True
        volumes = {volume["name"]: volume for volume in container.pod.spec.get("volumes", ())}
        for mount in container.spec.get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            assert mount.get("readOnly") or "sizeLimit" in volume["emptyDir"]
    for pod in pods(build):
        used = {m["name"] for c in pod.containers for m in c.spec.get("volumeMounts", ())}
        assert used == {volume["name"] for volume in pod.spec.get("volumes", ())}


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_pods_have_no_access_to_the_api(build: Build) -> None:
    accounts = {account["metadata"]["name"] for account in of_kind(build, "ServiceAccount")}
    for pod in pods(build):
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["serviceAccountName"] in accounts


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_no_variables_after_services(build: Build) -> None:
    """Else the Service scalab-frontend sets SCALAB_FRONTEND_PORT, where options are read from."""
    assert all(pod.spec["enableServiceLinks"] is False for pod in pods(build))


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_requests_and_limits(build: Build) -> None:
    for container in containers(build):
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container.spec["resources"][kind])


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_long_running_containers_have_probes(build: Build) -> None:
    """And each is given up only when it is sure to be frozen."""
    for container in containers(build):
        probes = {name for name in container.spec if name.endswith("Probe")}
        if container.init and not container.sidecar:
            assert not probes
            continue
        assert {"startupProbe", "livenessProbe"} <= probes
        assert ("readinessProbe" in probes) == (container.name in READY)
        liveness = container.spec["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 30
        assert liveness["timeoutSeconds"] < liveness["periodSeconds"]


READY = ("frontend", "client", "backend")
"""Those that know when they are not."""


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_pods_are_spread_over_nodes(build: Build) -> None:
    for pod in pods(build):
        constraints = pod.spec["topologySpreadConstraints"]
        keys = {constraint["topologyKey"] for constraint in constraints}
        several = pod.role == "frontend" and SHARED in build.components
        assert keys == {"kubernetes.io/hostname", *(["topology.kubernetes.io/zone"] * several)}
        for constraint in constraints:
            matching = constraint["labelSelector"]["matchLabels"].items()
            assert all(pod.labels[key] == value for key, value in matching)


def test_the_budget_blocks_no_node() -> None:
    (budget,) = of_kind(Build("queues/sleep"), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
