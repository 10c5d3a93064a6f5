"""Every object is one that a cluster's API would take."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .manifests import BUILDS, Build, Object, objects, of_kind, unique
from .schemas import CUSTOM, errors, newest_versions


@pytest.mark.parametrize("version", newest_versions())
def test_every_object_is_valid(version: str) -> None:
    wrong = [f"{at}: {e}" for at, found in unique(BUILDS) for e in errors(found, version)]
    assert not wrong


def test_kinds_of_operators_are_among_them() -> None:
    kinds = {(found["apiVersion"], found["kind"]) for _, found in unique(BUILDS)}
    assert set(CUSTOM) < kinds


def broken(found: Object, path: str, value: Any) -> Object:
    """A copy of an object with a value changed, or taken out if it is None."""
    result = copy.deepcopy(found)
    *folders, last = path.split(".")
    at: Any = result
    for name in folders:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return result


@pytest.mark.parametrize(
    ("build", "kind", "path", "value"),
    [
        (Build("queues/sleep"), "Deployment", "spec.template.spec.grace", 5),
        (Build("queues/sleep"), "Service", "spec.ports.0.port", "many"),
        (Build("queues/sleep"), "NetworkPolicy", "spec.ingres", []),
        (Build("monitoring"), "ServiceMonitor", "spec.endpoints.0.port", None),
        (Build("monitoring"), "ServiceMonitor", "spec.endpoints.0.intervall", "15s"),
        (Build("monitoring"), "PodMonitor", "spec.podMetricsEndpoints.0.interval", "15"),
        (Build("monitoring"), "PrometheusRule", "spec.groups.0.rules.0.for", 5),
        (Build("queues/sleep", ("scaling/keda-prometheus",)), "ScaledObject",
         "spec.triggers.0.metadata.threshold", 1),
        (Build("queues/sleep", ("scaling/keda-prometheus",)), "ScaledObject",
         "spec.triggers.0.metadata.ignoreNullValues", None),
        (Build("queues/sleep", ("scaling/keda-metrics-api",)), "ScaledObject",
         "spec.triggers.0.metadata.query", "up"),
        (Build("queues/sleep", ("scaling/keda-metrics-api",)), "ScaledObject",
         "spec.minReplicas", 1),
    ],
)  # fmt: skip
def test_a_mistake_is_noticed(build: Build, kind: str, path: str, value: Any) -> None:
    version = newest_versions()[-1]
    found = of_kind(build, kind)[0]
    assert not list(errors(found, version))
    assert list(errors(broken(found, path, value), version))


def test_names_fit_everywhere() -> None:
    """A label's value, which a queue's name and an instance are, has at most 63 characters."""
    for build in BUILDS:
        for found in objects(build):
            for value in found["metadata"].get("labels", {}).values():
                assert isinstance(value, str)
                assert len(value) <= 63
