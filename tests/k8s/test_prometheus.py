"""A real Prometheus scrapes a tester under load, and every query returns the right number.

What is right is worked out from the raw samples, or from what the services say themselves.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest

from tests.support import ended

from .cluster import Cluster, RunningPod, cluster, eventually, fetch
from .manifests import Build, load_file, of_kind
from .promql import (
    Labels,
    Prometheus,
    Query,
    adapter_queries,
    dashboard_queries,
    keda_queries,
    quantile,
    summed,
    with_values,
)
from .scraping import prometheus

NAMESPACE, QUEUE = "scalab-fakedev", "fakedev"
FAILURES = 5
LAG = "scalab_event_loop_lag_seconds_bucket"


@attrs.frozen
class Scene:
    """A tester that was under load, and now holds still: 4 items run, and 2 wait."""

    server: Prometheus
    window: str
    """How far back the load lies, for rates."""
    frontend: RunningPod
    backends: list[RunningPod]
    client: RunningPod

    def values(self) -> dict[str, str]:
        """What the dashboard's variables stand for; others than the default, where there are."""
        return {
            "__rate_interval": self.window,
            "namespace": NAMESPACE,
            "queue": QUEUE,
            "devices_namespace": ".*",
        }

    async def ask(self, query: Query) -> dict[Labels, float]:
        """The answer to a query, by its labels in the order of their names."""
        found = await self.server.query(with_values(query.text, self.values()))
        return {tuple(s.labels[k] for k in sorted(s.labels)): s.last for s in found}

    async def levels(self, metric: str, *by: str) -> dict[Labels, float]:
        """What a gauge stands at, by labels."""
        return summed(await self.server.query(metric), by)

    async def rates(self, metric: str, *by: str) -> dict[Labels, float]:
        """How fast a counter grew, by labels."""
        return summed(await self.server.query(f"{metric}[{self.window}]"), by, rate=True)


async def queue(frontend: RunningPod) -> dict[str, Any]:
    status, text = await fetch(frontend.url("metrics", "/api/queues"))
    assert status == 200
    found: dict[str, Any] = json.loads(text)["queues"][QUEUE]
    return found


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with cluster("queues/fakedev", patience_s=90) as lab:
        frontend = await lab.start("frontend")
        backends = await lab.start_many("backend", 2)
        client = await lab.start("client", SCALAB_CLIENT_PARALLEL="0")
        async with prometheus(lab, [frontend, *backends, client]) as server:

            async def scraped_since(moment: float) -> bool:
                found = await server.query(f"timestamp(up) > {moment} and up == 1")
                return len(found) == 6

            await eventually(partial(scraped_since, 0))
            started_at = (await server.query("time()"))[0].last
            # The window begins within a second from now, and counters are to be 0 in it at first.
            await eventually(partial(scraped_since, started_at + 1))
            await _load(lab, frontend, client)
            at = await _still(lab, server, frontend)
            window = f"{int(at - started_at)}s"
            yield Scene(attrs.evolve(server, at=at), window, frontend, backends, client)


async def _load(lab: Cluster, frontend: RunningPod, client: RunningPod) -> None:
    """Let items succeed and fail, and then no more."""
    await fetch(client.url("control", "/parallel?type=plain&value=4"))
    bad = await lab.run(
        *("scalab", "client", "--frontend", f"127.0.0.1:{frontend.ports['client']}"),
        *("--queue", QUEUE, "--control-addr", "none", "-n", str(FAILURES), "--", "--work", "much"),
    )

    async def worked() -> bool:
        return ended(await queue(frontend)) >= 24 + FAILURES

    await eventually(worked)
    assert await bad.ended() == 0
    await fetch(client.url("control", "/parallel?type=plain&value=0"))


async def _still(lab: Cluster, server: Prometheus, frontend: RunningPod) -> float:
    """Have items that run for long, and return when Prometheus knows of nothing else."""
    await lab.run(
        *("scalab", "client", "--frontend", f"127.0.0.1:{frontend.ports['client']}"),
        *("--queue", QUEUE, "--control-addr", "none", "-p", "6", "--", "--work", "1000"),
    )
    query = 'min_over_time(scalab_queue_items{state="waiting"}[3s]) == 2'

    async def known() -> bool:
        return bool(await server.query(query))

    await eventually(known)
    return (await server.query("time()"))[0].last


# --- what is right -------------------------------------------------------------------------------

Expected = dict[Labels, float]


async def right_answers(scene: Scene) -> dict[str, Expected]:
    """What each query of the dashboard should return, by its name in ``dashboard_queries``."""
    succeeded: Expected = {(QUEUE,): (await outcomes(scene))["success",]}
    ran = sum((await outcomes(scene)).values())
    oldest = (await scene.levels("scalab_queue_oldest_item_timestamp_seconds"))[()]
    runs = await scene.rates("scalab_backend_runs_total", "pod")
    run_s = await scene.rates("scalab_backend_run_seconds_total", "pod")
    assert scene.server.at is not None
    return {
        "Demand 0": {(): 6},
        "Throughput 0": {(): succeeded[QUEUE,]},
        "Failures 0": {(): (await outcomes(scene))["failure",] / ran},
        "Oldest wait 0": {(): scene.server.at - oldest},
        "Slots 0": {(): 4},
        "Slots in use 0": {(): 1},
        "Throughput by queue 0": succeeded,
        "Throughput per slot 0": {(QUEUE,): succeeded[QUEUE,] / 4},
        "Items and slots 0": {(QUEUE,): 4},
        "Items and slots 1": {(QUEUE,): 2},
        "Items and slots 2": {(QUEUE,): 4},
        "Items by how they ended 0": await outcomes(scene),
        **await quantiles(scene),
        "Run times 0": await grown(scene, "scalab_queue_run_seconds_bucket", "le"),
        **await longest(scene),
        "Slots by state 0": {("idle",): 0, ("busy",): 4, ("draining",): 0},
        "Runs by pod 0": runs,
        "Mean run time by pod 0": {pod: run_s[pod] / runs[pod] for pod in runs},
        "Slots in use by pod 0": {(pod.name,): 2 for pod in scene.backends},
        "Failures by pod 0": {
            (outcome, pod): rate
            for (pod, outcome), rate in (
                await scene.rates("scalab_backend_runs_total", "pod", "outcome")
            ).items()
            if rate and outcome != "success"
        },
        "Workloads that had to be killed 0": await scene.rates(
            "scalab_backend_kills_total", "reason", "signal"
        ),
        "Refused 0": await scene.rates("scalab_queue_items_rejected_total", "reason"),
        "Given back 0": await scene.rates("scalab_queue_items_redelivered_total", "reason"),
        "Given back 1": await scene.rates("scalab_queue_items_cancelled_total", "stage"),
        "Frontend 0": {(): quantile(0.99, await grown(scene, LAG, "le"))},
        "Connections 0": {("client",): 2, ("backend",): 2},
        "Protocol errors 0": {},
        "Protocol errors 1": {},
        "CPU of the framework 0": await scene.rates("process_cpu_seconds_total", "job"),
        **await clients(scene),
        **await devices(scene),
    }


async def clients(scene: Scene) -> dict[str, Expected]:
    """The client of the manifests alone: the others are not in the tester."""
    sums = {
        name: (await scene.rates(f"scalab_client_{name}_total", "queue"))[QUEUE,]
        for name in ("requests_ended", "reply_seconds", "run_seconds")
    }
    return {
        "Requests in parallel 0": {(QUEUE,): 0},
        "Requests in parallel 1": {(QUEUE,): 0},
        "Requests by how they ended 0": await scene.rates(
            "scalab_client_requests_ended_total", "outcome"
        ),
        "Mean time of a request 0": {(QUEUE,): sums["reply_seconds"] / sums["requests_ended"]},
        "Mean time of a request 1": {(QUEUE,): sums["run_seconds"] / sums["requests_ended"]},
    }


async def outcomes(scene: Scene) -> Expected:
    return await scene.rates("scalab_queue_items_completed_total", "outcome")


async def grown(scene: Scene, metric: str, *by: str) -> Expected:
    """By how much counters grew."""
    seconds = int(scene.window.removesuffix("s"))
    return {k: v * seconds for k, v in (await scene.rates(metric, *by)).items()}


async def longest(scene: Scene) -> dict[str, Expected]:
    return {
        f"Longest since the last scrape {i}": await scene.levels(f"scalab_queue_{name}_seconds_max")
        for i, name in enumerate(("wait", "run", "request"))
    }


async def quantiles(scene: Scene) -> dict[str, Expected]:
    found: dict[str, Expected] = {}
    for name in ("wait", "run", "request"):
        buckets = await grown(scene, f"scalab_queue_{name}_seconds_bucket", "le")
        for i, q in enumerate((0.5, 0.95, 0.99)):
            found[f"{name.capitalize()} {i}"] = {(): quantile(q, buckets)}
    return found


async def devices(scene: Scene) -> dict[str, Expected]:
    """Each pod is a node, and each of its devices runs a workload with 512 MiB."""
    there = [(f"renderD{n}", pod.name) for pod in scene.backends for n in (128, 129)]
    states = {"running": 1, "waiting": 0}
    measured = {
        "Utilisation 0": "xpum_engine_ratio",
        "Power 0": "xpum_power_watts",
        "Frequency 0": "xpum_frequency_mhz",
        "Temperature 0": "xpum_temperature_celsius",
    }
    return {
        "Memory 0": dict.fromkeys(there, 512 * 2**20),
        "Workloads on simulated devices 0": {
            (*device, state): n for device in there for state, n in states.items()
        },
        **{k: await scene.levels(metric, "dev_file", "node") for k, metric in measured.items()},
    }


# --- the test ------------------------------------------------------------------------------------


async def test_every_query_returns_the_right_number() -> None:
    async with scene() as found:
        await check_targets(found)
        await check_dashboard(found)
        await check_autoscalers(found)
        await check_alerts(found)


async def check_targets(scene: Scene) -> None:
    """Only ports with metrics are scraped, under the labels that queries rely on."""
    targets = (await scene.server.get("targets?state=active"))["activeTargets"]
    labels = [{k: v for k, v in t["labels"].items() if k != "instance"} for t in targets]
    common = {"namespace": NAMESPACE}
    expected = [
        {
            **common,
            "job": "scalab-frontend",
            "service": "scalab-frontend",
            "pod": scene.frontend.name,
        }
    ]
    service = {"job": "scalab-client", "service": "scalab-client"}
    expected.append({**common, **service, "pod": scene.client.name})
    for pod in scene.backends:
        expected.append(
            {**common, "job": "scalab-backend", "pod": pod.name, "queue": QUEUE, "node": "node-a"}
        )
        expected.append({**common, "job": "scalab-devices", "pod": pod.name})
    assert sorted(labels, key=repr) == sorted(expected, key=repr)


async def check_dashboard(scene: Scene) -> None:
    right = await right_answers(scene)
    queries = {query.where: query for query in dashboard_queries()}
    assert set(right) == set(queries)
    for where, query in queries.items():
        # Rates are extrapolated to both ends of the window, by up to a scrape's interval.
        assert await scene.ask(query) == pytest.approx(right[where], rel=0.15, abs=0.01), where
    # And those that were worked out from samples are not all 0 or the like.
    counts = (await queue(scene.frontend))["completed"]
    assert right["Failures 0"][()] == pytest.approx(FAILURES / sum(counts.values()), rel=0.05)
    assert 0 < right["Run 0"][()] <= right["Run 1"][()] <= right["Run 2"][()]
    assert all(0 < pod < 5 for pod in right["Mean run time by pod 0"].values())


async def check_autoscalers(scene: Scene) -> None:
    """The demand, by every way to ask for it."""
    external, custom = adapter_queries()
    assert await scene.ask(external) == {(NAMESPACE, QUEUE): 6}
    assert await scene.ask(custom) == {("scalab-frontend",): 6}
    (keda,) = keda_queries()
    assert await scene.ask(keda) == {(): 6}

    (scaler,) = of_kind(Build("queues/fakedev", ("scaling/keda-metrics-api",)), "ScaledObject")
    (trigger,) = scaler["spec"]["triggers"]
    _, text = await fetch(scene.frontend.url("metrics", "/api/queues"))
    value = json.loads(text)
    for name in trigger["metadata"]["valueLocation"].split("."):
        value = value[name]
    assert value == 6


async def check_alerts(scene: Scene) -> None:
    """They are evaluated without an error; what they say is for test_alerts.py."""
    (group,) = (await scene.server.get("rules"))["groups"]
    shipped = load_file("monitoring/prometheusrule.yaml")["spec"]["groups"][0]["rules"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in shipped]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}


# --- what Debian's Prometheus can't tell, as it is built without Kubernetes ----------------------

DISCOVERED = {
    "endpointslice": {
        "namespace", "service_name", "pod_name", "endpointslice_port_name",
        "service_label_app_kubernetes_io_name", "service_label_app_kubernetes_io_component",
    },
    "pod": {
        "namespace", "pod_name", "pod_node_name", "pod_phase", "pod_container_port_name",
        "pod_label_app_kubernetes_io_name", "pod_label_app_kubernetes_io_component",
        "pod_label_app_kubernetes_io_instance",
    },
}  # fmt: skip
"""What service discovery tells, by role, as far as it is used."""


def test_relabelling_goes_by_what_is_discovered() -> None:
    for job in load_file("monitoring/scrape-configs.yaml"):
        (discovery,) = job["kubernetes_sd_configs"]
        used = {
            label.removeprefix("__meta_kubernetes_")
            for relabelling in job["relabel_configs"]
            for label in relabelling["source_labels"]
        }
        assert used <= DISCOVERED[discovery["role"]]


def test_monitors_and_scrape_configuration_agree() -> None:
    """The same jobs and labels, with the operator and without it."""
    (monitor,) = of_kind(Build("monitoring"), "PodMonitor")
    jobs = {job["job_name"]: job for job in load_file("monitoring/scrape-configs.yaml")}
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        ours, *others = endpoint["relabelings"]
        job = jobs[ours["replacement"]]
        assert (ours["targetLabel"], job["metrics_path"]) == ("job", endpoint["path"])
        for relabelling in others:
            plain = {
                "source_labels": relabelling["sourceLabels"],
                "target_label": relabelling["targetLabel"],
            }
            assert plain in job["relabel_configs"]
        (keep,) = [r for r in job["relabel_configs"] if r.get("action") == "keep"]
        assert keep["regex"] == f"scalab;backend;{endpoint['port']}"
    # Of a ServiceMonitor's targets, the job is the Service.
    services = of_kind(Build("queues/sleep"), "Service")
    assert {service["metadata"]["name"] for service in services} <= set(jobs)
