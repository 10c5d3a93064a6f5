"""Every metric that a manifest names is exported, with the labels that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scalab.redis.server import Server
from scalab.sharedqueue.settings import StoreSettings
from tests.sharedqueue.servers import redis_server
from tests.support import serving

from .cluster import cluster, fetch
from .manifests import Build, of_kind
from .promql import (
    FOREIGN,
    TARGET_LABELS,
    Query,
    Selector,
    all_queries,
    dashboard,
    dashboard_queries,
    keda_queries,
    selectors,
)

Exported = dict[str, list[dict[str, str]]]
"""The labels of each metric's series, by its name."""


def complaints(queries: Iterable[Query], exported: Exported) -> list[str]:
    """What queries ask for in vain."""
    return [
        f"{query.where}: {complaint}"
        for query in queries
        for selector in selectors(query.text)
        if selector.name not in FOREIGN
        for complaint in _complaints(selector, exported)
    ]


def _complaints(selector: Selector, exported: Exported) -> Iterable[str]:
    series = exported.get(selector.name)
    if series is None:
        yield f"no {selector.name}"
        return
    for label, operator, value in selector.matchers:
        if label in TARGET_LABELS:
            continue
        values = {labels.get(label) for labels in series}
        wanted = value.split("|") if operator in ("=~", "!~") else [value]
        for one in wanted:
            if one not in values:
                yield f"no {selector.name} with {label} {one!r}"


async def exports() -> Exported:
    """Everything that a tester exports."""
    found: Exported = {}
    async with cluster("queues/fakedev") as lab:
        frontend = await lab.start("frontend")
        backend = await lab.start("backend")
        client = await lab.start("client")
        scraped = (
            (frontend, "metrics"), (backend, "metrics"), (backend, "devices"), (client, "control")
        )  # fmt: skip
        for pod, port in scraped:
            status, text = await fetch(pod.url(port, "/metrics"))
            assert status == 200
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(sample.labels)
    with redis_server() as server:
        store = StoreSettings(server=Server.parse(server.unix_url))
        async with serving("fakedev", store=store) as shared:
            _, text = await shared.get("/metrics")
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(sample.labels)
    return found


async def test_metrics_are_exported() -> None:
    queries = all_queries()
    exported = await exports()
    assert not complaints(queries, exported)

    wrong = [
        Query("x", "sum(scalab_queue_itemz)"),
        Query("x", 'up + scalab_queue_items{state="bsy"}'),
    ]
    assert len(complaints(wrong, exported)) == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("time() - a > 0.5e3", ["a"]),
        ('sum by (b, c) (rate(a{x="y,z{}",q=~"1|2"}[5m])) / on (d) group_left (e) f', ["a", "f"]),
        ("histogram_quantile(0.9, sum by (le) (a_bucket)) unless b offset 5m", ["a_bucket", "b"]),
        ("(a and b > 0) or vector(0)", ["a", "b"]),
    ],
)
def test_queries_are_understood(query: str, expected: list[str]) -> None:
    assert [selector.name for selector in selectors(query)] == expected


def test_queries_are_all_found() -> None:
    """A kind of query that the reader missed would go unchecked."""
    wheres = {re.sub(r"[+ ].*", "", query.where) for query in all_queries()}
    assert {"adapter", "KEDA", "ScalabNoWorkers", "Demand"} <= wheres
    assert len(dashboard_queries()) > 40
    assert len(keda_queries()) == 1


def test_autoscalers_ask_for_a_metric_that_the_adapter_has() -> None:
    for component, kind in (("hpa-external", "external"), ("hpa-custom", "object")):
        (scaler,) = of_kind(
            Build("queues/sleep", (f"scaling/{component}",)), "HorizontalPodAutoscaler"
        )
        (metric,) = scaler["spec"]["metrics"]
        assert metric["type"].lower() == kind
        assert metric[kind]["metric"]["name"] == "scalab_queue_demand"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    found = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(found)
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    variables = {variable["name"] for variable in found["templating"]["list"]}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables
    for one in panels:
        for other in panels:
            if one is not other:
                assert not _overlap(one["gridPos"], other["gridPos"])


def _overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    return (
        a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    )
