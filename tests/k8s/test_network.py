"""Services lead to somebody who listens, and policies let through who has to, and nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from .commands import parse
from .manifests import SAMPLES, Build, Pod, of_kind, pods, selects
from .network import IMPOSTOR, INGRESS, KEDA, PROMETHEUS, STRANGER, Peer, behind, may_reach, sides


def roles(build: Build) -> dict[str, Pod]:
    return {pod.role: pod for pod in pods(build)}


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_services_lead_to_those_who_listen(build: Build) -> None:
    for service in of_kind(build, "Service"):
        name = service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            ((pod, number),) = behind(build, f"{name}:{port['port']}")
            assert pod.role == service["metadata"]["labels"]["app.kubernetes.io/component"]
            assert number in pod.ports.values()


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_backends_and_clients_find_the_frontend(build: Build) -> None:
    listeners = {"backend": "worker_addr", "client": "client_addr"}
    for pod in pods(build):
        if pod.role not in listeners:
            continue
        own = parse(pod.containers[-1].argv(), pod.containers[-1].env())
        ((frontend, port),) = behind(build, own.options["frontend"])
        other = parse(frontend.containers[-1].argv(), frontend.containers[-1].env())
        assert other.listens()[listeners[pod.role]].port == port
        assert may_reach(build, Peer.of(pod), Peer.of(frontend), port)


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_the_page_is_reached_through_the_ingress(build: Build) -> None:
    for ingress in of_kind(build, "Ingress"):
        (rule,) = ingress["spec"]["rules"]
        assert rule["host"] == f"{ingress['metadata']['namespace']}.localhost"
        (path,) = rule["http"]["paths"]
        target = path["backend"]["service"]
        (service,) = [
            s for s in of_kind(build, "Service") if s["metadata"]["name"] == target["name"]
        ]
        (port,) = [p for p in service["spec"]["ports"] if p["name"] == target["port"]["name"]]
        ((pod, number),) = behind(build, f"{target['name']}:{port['port']}")
        assert (pod.role, number) == ("client", pod.ports["control"])
        assert may_reach(build, INGRESS, Peer.of(pod), number)


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_only_those_who_have_to_reach_a_port(build: Build) -> None:
    ours = pods(build)
    others = {
        "Prometheus": PROMETHEUS, "ingress": INGRESS, "KEDA": KEDA, "stranger": STRANGER,
        "impostor": IMPOSTOR,
    }  # fmt: skip
    peers = [(pod.role, Peer.of(pod)) for pod in ours] + list(others.items())
    allowed = {
        (who, target.role, name): sides(build, peer, Peer.of(target), port)
        for who, peer in peers
        for target in ours
        for name, port in target.ports.items()
    }
    expected = {
        ("backend", "frontend", "worker"),
        ("client", "frontend", "client"),
        ("Prometheus", "frontend", "metrics"),
        ("Prometheus", "backend", "metrics"),
        ("Prometheus", "client", "control"),
    }
    if build.folder == "queues/fakedev":
        expected.add(("Prometheus", "backend", "devices"))
    if of_kind(build, "Ingress"):
        expected.add(("ingress", "client", "control"))
    if "scaling/keda-metrics-api" in build.components:
        expected.add(("KEDA", "frontend", "metrics"))
    assert {way for way, (_, enters) in allowed.items() if enters} == expected
    from_ours = {way for way, (leaves, _) in allowed.items() if leaves} - {
        way for way in allowed if way[0] in others
    }
    assert from_ours == {way for way in expected if way[0] not in others}


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_pods_reach_name_servers_and_nothing_else_outside(build: Build) -> None:
    outside = Peer("kube-system", {})
    for pod in pods(build):
        for protocol in ("UDP", "TCP"):
            assert may_reach(build, Peer.of(pod), outside, 53, protocol)
        assert not may_reach(build, Peer.of(pod), outside, 443)


def test_keda_asks_where_the_frontend_answers() -> None:
    build = Build("queues/sleep", ("scaling/keda-metrics-api",))
    (scaler,) = of_kind(build, "ScaledObject")
    url = urlsplit(scaler["spec"]["triggers"][0]["metadata"]["url"])
    ((pod, port),) = behind(build, url.netloc)
    assert (pod.role, port) == ("frontend", pod.ports["metrics"])


def test_monitors_find_what_they_look_for() -> None:
    """Each of their ports is there in some tester, and nothing with metrics is left out."""
    build = Build("queues/fakedev")
    (services,) = of_kind(Build("monitoring"), "ServiceMonitor")
    found = {
        port["name"]
        for service in of_kind(build, "Service")
        if selects(services["spec"]["selector"], service["metadata"]["labels"])
        for port in service["spec"]["ports"]
    }
    wanted = {endpoint["port"] for endpoint in services["spec"]["endpoints"]}
    assert (wanted, found) == ({"metrics", "control"}, {"metrics", "control", "client", "worker"})

    (monitor,) = of_kind(Build("monitoring"), "PodMonitor")
    (pod,) = [p for p in pods(build) if selects(monitor["spec"]["selector"], p.labels)]
    wanted = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    assert (pod.role, wanted) == ("backend", set(pod.ports))
