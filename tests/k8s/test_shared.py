"""The component with several frontends: what the store is, who reaches it, and what it is told."""

from __future__ import annotations

import pytest

from scalab.redis.server import Server

from .commands import parse
from .manifests import QUEUES, SHARED, Build, Pod, all_pods, of_kind, pods
from .network import IMPOSTOR, PROMETHEUS, STRANGER, Peer, behind, may_reach

BUILDS = tuple(Build(f"queues/{queue}", (SHARED,)) for queue in QUEUES)
each_build = pytest.mark.parametrize("build", BUILDS, ids=str)


def store_of(build: Build) -> Pod:
    (store,) = [pod for pod in all_pods(build) if pod.role == "store"]
    return store


@each_build
def test_frontends_and_nobody_else_reach_the_store(build: Build) -> None:
    (frontend,) = [pod for pod in pods(build) if pod.role == "frontend"]
    options = parse(frontend.containers[-1].argv(), frontend.containers[-1].env()).options
    server = Server.parse(options["store"])
    ((store, port),) = behind(build, f"{server.host}:{server.port}")
    peers = [Peer.of(pod) for pod in pods(build) if pod.role != "frontend"]

    assert (store.role, store.namespace) == ("store", frontend.namespace)
    assert may_reach(build, Peer.of(frontend), Peer.of(store), port)
    assert peers
    for peer in (*peers, PROMETHEUS, STRANGER, IMPOSTOR):
        assert not may_reach(build, peer, Peer.of(store), port)


@each_build
def test_there_are_several_frontends_and_one_may_go_at_a_time(build: Build) -> None:
    (deployment,) = [
        found for found in of_kind(build, "Deployment")
        if found["metadata"]["name"] == "scalab-frontend"
    ]  # fmt: skip
    budgets = {b["metadata"]["name"]: b["spec"] for b in of_kind(build, "PodDisruptionBudget")}

    assert deployment["spec"]["replicas"] == 3
    assert budgets["scalab-frontend"]["maxUnavailable"] == 1
    assert budgets["scalab-store"]["maxUnavailable"] == 1
    selector = budgets["scalab-store"]["selector"]["matchLabels"].items()
    assert all(store_of(build).labels[key] == value for key, value in selector)


@each_build
def test_the_store_keeps_what_it_has_and_throws_nothing_away(build: Build) -> None:
    store = store_of(build)
    (container,) = store.containers
    args = container.spec["args"]
    given = dict(zip(args[::2], args[1::2], strict=True))
    limit_mb = 1024 * int(container.spec["resources"]["limits"]["memory"].removesuffix("Gi"))

    assert (given["--appendonly"], given["--maxmemory-policy"]) == ("yes", "noeviction")
    assert int(given["--maxmemory"].removesuffix("mb")) <= 0.6 * limit_mb
    assert given["--dir"] == container.spec["volumeMounts"][0]["mountPath"]
    assert container.spec["securityContext"]["readOnlyRootFilesystem"] is True
    assert store.spec["automountServiceAccountToken"] is False
