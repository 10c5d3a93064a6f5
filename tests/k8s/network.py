"""Who can reach whom: Services, and what NetworkPolicies let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from .manifests import Build, Object, Pod, all_pods, of_kind, selects


@attrs.frozen
class Peer:
    """Something with an address: a pod of ours, or of others."""

    namespace: str
    labels: Mapping[str, str]
    ours: bool = False

    @classmethod
    def of(cls, pod: Pod) -> Peer:
        """A pod of the manifests."""
        return cls(pod.namespace, pod.labels, ours=True)


PROMETHEUS = Peer("monitoring", {"app.kubernetes.io/name": "prometheus"})
INGRESS = Peer("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"})
KEDA = Peer("keda", {"app": "keda-operator"})
STRANGER = Peer("default", {"app.kubernetes.io/name": "prometheus", "app": "keda-operator"})
IMPOSTOR = Peer("default", {"app.kubernetes.io/name": "scalab"})


def may_reach(build: Build, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies of both ends let a connection through."""
    leaves, enters = sides(build, source, target, port, protocol)
    return leaves and enters


def sides(
    build: Build, source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> tuple[bool, bool]:
    """Whether the policies of the one end let a connection out, and those of the other end in."""
    policies = of_kind(build, "NetworkPolicy")
    to = {"port": port, "protocol": protocol}
    return (
        _allowed(policies, source, target, "Egress", to),
        _allowed(policies, target, source, "Ingress", to),
    )


def _allowed(policies: Sequence[Object], at: Peer, other: Peer, way: str, port: Object) -> bool:
    applying = [
        policy["spec"]
        for policy in policies
        if at.ours
        and policy["metadata"]["namespace"] == at.namespace
        and selects(policy["spec"]["podSelector"], at.labels)
        and way in policy["spec"]["policyTypes"]
    ]
    if not applying:
        return True
    rules = [rule for spec in applying for rule in spec.get(way.lower(), ())]
    side = "from" if way == "Ingress" else "to"
    return any(
        (side not in rule or any(_is_meant(peer, at, other) for peer in rule[side]))
        and ("ports" not in rule or port in rule["ports"])
        for rule in rules
    )


def _is_meant(peer: Object, at: Peer, other: Peer) -> bool:
    if "namespaceSelector" in peer:
        labels = {"kubernetes.io/metadata.name": other.namespace}
        if not selects(peer["namespaceSelector"], labels):
            return False
    elif other.namespace != at.namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def behind(build: Build, address: str) -> list[tuple[Pod, int]]:
    """Return the pods and ports that a Service's ``HOST:PORT`` leads to."""
    host, _, number = address.rpartition(":")
    name, *namespace = host.split(".")
    (service,) = [s for s in of_kind(build, "Service") if s["metadata"]["name"] == name]
    assert not namespace or namespace == [service["metadata"]["namespace"], "svc"]
    (port,) = [p for p in service["spec"]["ports"] if p["port"] == int(number)]
    selector = {"matchLabels": service["spec"]["selector"]}
    found = [pod for pod in all_pods(build) if selects(selector, pod.labels)]
    return [(pod, pod.ports[port["targetPort"]]) for pod in found]
