"""The Job that validates in a cluster: it may do what the scaler does, and reach what it needs."""

from __future__ import annotations

import pytest

from scalab import __version__
from scalab.scalers.kubernetes import KubernetesScaler
from tests.k8s.commands import parse
from tests.k8s.manifests import Build, Object, Pod, objects, of_kind, pods
from tests.k8s.network import STRANGER, Peer, behind, may_reach
from tests.k8s.pod_security import violations
from tests.k8s.schemas import errors, newest_versions

from .stub_api import StubApi, in_memory

BUILDS = tuple(Build(f"queues/{queue}", ("validate",)) for queue in ("sleep", "media", "fakedev"))
SLEEP = BUILDS[0]

each_build = pytest.mark.parametrize("build", BUILDS, ids=str)


def job(build: Build) -> Pod:
    """The pod of the Job."""
    (found,) = of_kind(build, "Job")
    template = found["spec"]["template"]
    labels, spec = template["metadata"]["labels"], template["spec"]
    return Pod("Job", found["metadata"]["name"], labels, spec, found["metadata"]["namespace"])


def added(build: Build) -> list[Object]:
    """What the component adds to a tester."""
    return [found for found in objects(build) if "validate" in found["metadata"]["name"]]


@each_build
@pytest.mark.parametrize("version", newest_versions())
def test_every_object_is_valid(build: Build, version: str) -> None:
    assert not [error for found in objects(build) for error in errors(found, version)]


@each_build
def test_it_is_in_the_testers_namespace_and_of_its_queue(build: Build) -> None:
    queue = build.folder.removeprefix("queues/")
    names = sorted((found["kind"], found["metadata"]["name"]) for found in added(build))
    assert names == [
        ("Job", "scalab-validate"),
        ("NetworkPolicy", "scalab-validate"),
        ("NetworkPolicy", "scalab-validate-frontend"),
        ("Role", "scalab-validate"),
        ("RoleBinding", "scalab-validate"),
        ("ServiceAccount", "scalab-validate"),
    ]
    for found in added(build):
        assert found["metadata"]["namespace"] == f"scalab-{queue}"
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == queue
        assert labels["app.kubernetes.io/managed-by"] == "kustomize"
    assert job(build).labels["app.kubernetes.io/version"] == __version__


@each_build
def test_the_pod_meets_the_restricted_standard(build: Build) -> None:
    pod = job(build)
    assert not list(violations(pod.spec))
    (container,) = pod.containers
    assert container.spec["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"cpu", "memory"} <= set(container.spec["resources"]["limits"])
    assert pod.spec["enableServiceLinks"] is False


@each_build
def test_it_asks_for_what_the_client_asks_for(build: Build) -> None:
    (client,) = [pod for pod in pods(build) if pod.role == "client"]
    (asks,), (container,) = client.containers, job(build).containers
    assert container.spec["image"] == asks.spec["image"] == f"scalab:{__version__}"
    command = parse(container.argv(), container.env())
    assert command.name == "validate"
    assert (command.options["args"] or []) == (parse(asks.argv(), asks.env()).options["args"] or [])
    assert command.options["scaler"] == "kubernetes"
    assert command.options["queue"] == build.folder.removeprefix("queues/")


@each_build
def test_the_client_makes_no_load_meanwhile(build: Build) -> None:
    (client,) = [pod for pod in pods(build) if pod.role == "client"]
    (container,) = client.containers
    assert parse(container.argv(), container.env()).options["parallel"] == 0


def test_a_verdict_is_final() -> None:
    (found,) = of_kind(SLEEP, "Job")
    assert found["spec"]["backoffLimit"] == 0
    assert found["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@each_build
def test_it_reaches_the_frontend_and_the_api_and_nobody_reaches_it(build: Build) -> None:
    pod = job(build)
    (container,) = pod.containers
    frontend = parse(container.argv(), container.env()).options["frontend"]
    ((target, port),) = behind(build, frontend)
    assert (target.role, port) == ("frontend", target.ports["client"])
    ours = Peer.of(pod)
    for name in ("client", "metrics"):
        assert may_reach(build, ours, Peer.of(target), target.ports[name])
    assert not may_reach(build, ours, Peer.of(target), target.ports["worker"])
    outside = Peer("kube-system", {})
    assert may_reach(build, ours, outside, 443)
    assert may_reach(build, ours, outside, 6443)
    assert not may_reach(build, ours, outside, 80)
    assert not may_reach(build, STRANGER, ours, 9996)
    for other in pods(build):
        assert not may_reach(build, Peer.of(other), outside, 443) or other.name == pod.name


@each_build
def test_no_service_and_no_deployment_takes_it_for_its_own(build: Build) -> None:
    selectors = [found["spec"]["selector"] for found in of_kind(build, "Service")]
    selectors += [d["spec"]["selector"]["matchLabels"] for d in of_kind(build, "Deployment")]
    for selector in selectors:
        assert not set(selector.items()) <= set(job(build).labels.items())


async def test_its_rights_are_those_that_the_scaler_uses() -> None:
    """Not one more, and not one less."""
    api = StubApi()
    api.add("deployments", "scalab-sleep", "scalab-backend")
    async with in_memory(api) as way:
        async with KubernetesScaler("scalab-sleep/scalab-backend", access=way) as scaler:
            await scaler.scale(4)
            await scaler.readiness()
            await scaler.observe()
    (role,) = of_kind(SLEEP, "Role")
    granted = {
        (verb, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert api.allowed == granted
    (binding,) = of_kind(SLEEP, "RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = {"kind": "ServiceAccount", "name": "scalab-validate", "namespace": "scalab-sleep"}
    assert binding["subjects"] == [account]
    assert job(SLEEP).spec["serviceAccountName"] == account["name"]
    assert job(SLEEP).spec["automountServiceAccountToken"] is True
