"""A real Prometheus that scrapes local pods by the shipped configuration.

Service discovery is all that is swapped: what it would find out about the pods is given as targets,
for every port they have, and the shipped relabelling chooses among them and names them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio
import yaml

from .cluster import HOST, Cluster, RunningPod, fetch, free_port
from .manifests import Object, load_file, of_kind, selects, tool
from .promql import Prometheus

INTERVAL = "1s"


@asynccontextmanager
async def prometheus(lab: Cluster, running: Sequence[RunningPod]) -> AsyncIterator[Prometheus]:
    """A server that scrapes pods of ``lab`` every second, and evaluates the shipped alerts."""
    folder = lab.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_config(lab, running)))
    rules = load_file("monitoring/prometheusrule.yaml")["spec"]
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    server = Prometheus(f"http://{HOST}:{free_port()}")
    process = await lab.run(
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={server.url.removeprefix('http://')}",
        "--log.level=warn",
    )
    while (await fetch(f"{server.url}/-/ready"))[0] != 200:
        assert process.process.returncode is None, process.log
        await trio.sleep(0.1)
    yield server


def _config(lab: Cluster, running: Sequence[RunningPod]) -> Object:
    jobs = []
    for shipped in load_file("monitoring/scrape-configs.yaml"):
        (discovery,) = shipped.pop("kubernetes_sd_configs")
        targets = {"endpointslice": _endpoints, "pod": _pods}[discovery["role"]]
        changed = {
            "scrape_interval": INTERVAL,
            "scrape_timeout": INTERVAL,
            "static_configs": list(targets(lab, running)),
        }
        jobs.append({**shipped, **changed})
    return {
        "global": {"evaluation_interval": INTERVAL},
        "rule_files": ["rules.yml"],
        "scrape_configs": jobs,
    }


def _endpoints(lab: Cluster, running: Sequence[RunningPod]) -> Iterator[Object]:
    for service in of_kind(lab.build, "Service"):
        for pod in running:
            if not selects({"matchLabels": service["spec"]["selector"]}, pod.pod.labels):
                continue
            for port in service["spec"]["ports"]:
                about = {
                    "namespace": pod.pod.namespace,
                    "service_name": service["metadata"]["name"],
                    "endpointslice_port_name": port["name"],
                    "pod_name": pod.name,
                    **_labels("service", service["metadata"]["labels"]),
                }
                yield _target(pod.ports[port["targetPort"]], about)


def _pods(_lab: Cluster, running: Sequence[RunningPod]) -> Iterator[Object]:
    for pod in running:
        for name, port in pod.ports.items():
            about = {
                "namespace": pod.pod.namespace,
                "pod_name": pod.name,
                "pod_node_name": "node-a",
                "pod_phase": "Running",
                "pod_container_port_name": name,
                **_labels("pod", pod.pod.labels),
            }
            yield _target(port, about)


def _labels(kind: str, labels: Mapping[str, str]) -> dict[str, str]:
    return {f"{kind}_label_{re.sub(r'[^a-zA-Z0-9_]', '_', k)}": v for k, v in labels.items()}


def _target(port: int, about: dict[str, str]) -> Object:
    labels = {f"__meta_kubernetes_{name}": value for name, value in about.items()}
    return {"targets": [f"{HOST}:{port}"], "labels": labels}
