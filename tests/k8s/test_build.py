"""Every folder and combination of components builds, and makes what it says."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scalab import __version__

from .manifests import (
    BUILDS,
    K8S,
    PLAIN,
    SAMPLES,
    SCALING,
    Build,
    load_file,
    objects,
    of_kind,
    pods,
    selects,
)

LABEL = "app.kubernetes.io/"
CLUSTER_WIDE = ("Namespace",)


def test_everything_builds() -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert all(pool.map(objects, BUILDS))


def test_every_folder_is_built() -> None:
    used = {build.folder for build in BUILDS} | {c for build in BUILDS for c in build.components}
    parts = {"ingress", "scaling/cronjob/copy", "validate/copy"}
    parts |= {f"{build.folder}/settings" for build in PLAIN}
    parts |= {"queues/pair/short", "queues/pair/long"}
    there = {str(path.parent.relative_to(K8S)) for path in K8S.rglob("kustomization.yaml")}
    assert there == used | parts


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_one_namespace_and_no_name_twice(build: Build) -> None:
    (namespace,) = of_kind(build, "Namespace")
    name = namespace["metadata"]["name"]
    found = objects(build)
    assert {o["metadata"]["namespace"] for o in found if o["kind"] not in CLUSTER_WIDE} == {name}
    names = [(o["kind"], o["metadata"]["name"]) for o in found]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_recommended_labels(build: Build) -> None:
    for found in objects(build):
        if found["kind"] in CLUSTER_WIDE:
            continue
        labels = found["metadata"]["labels"]
        assert labels[f"{LABEL}name"] == labels[f"{LABEL}part-of"] == "scalab"
        assert labels[f"{LABEL}managed-by"] == "kustomize"
    for pod in pods(build):
        assert {"name", "component", "instance", "version", "part-of", "managed-by"} >= {
            label.removeprefix(LABEL) for label in pod.labels if label != "scalab/access"
        }
        assert pod.labels[f"{LABEL}version"] == __version__
        # The frontend of several queues is no instance of one.
        assert f"{LABEL}instance" in pod.labels or build.folder == "queues/pair"


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_images_are_of_this_version(build: Build) -> None:
    media = {"backend", "clip"} if build.folder == "queues/media" else set()
    for pod in pods(build):
        for container in pod.containers:
            name = "scalab-media" if container.name in media else "scalab"
            assert container.spec["image"] == f"{name}:{__version__}"


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_deployments_select_their_own_pods_only(build: Build) -> None:
    for deployment in of_kind(build, "Deployment"):
        selected = [
            pod.name for pod in pods(build) if selects(deployment["spec"]["selector"], pod.labels)
        ]
        assert selected == [deployment["metadata"]["name"]]


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_devices_are_asked_for_by_requests_and_limits_alike(build: Build) -> None:
    """Kubernetes refuses extended resources for which they differ."""
    gpu = next((name for name in build.components if name.startswith("gpu/")), "")
    asked = {
        "": set(),
        "gpu/intel": {"gpu.intel.com/i915"},
        "gpu/intel-shared": {
            "gpu.intel.com/i915", "gpu.intel.com/millicores", "gpu.intel.com/memory.max"
        },
        "gpu/nvidia": {"nvidia.com/gpu"},
        "gpu/amd": {"amd.com/gpu"},
    }  # fmt: skip
    for pod in pods(build):
        for container in pod.containers:
            resources = container.spec["resources"]
            devices = {k: v for k, v in resources["limits"].items() if "/" in k}
            assert devices == {k: v for k, v in resources["requests"].items() if "/" in k}
            assert set(devices) == (asked[gpu] if container.name == "backend" else set())


# --- autoscaling ---------------------------------------------------------------------------------


def scaled(queue: str, component: str) -> Build:
    return Build(f"queues/{queue}", (component,))


@pytest.mark.parametrize("component", SCALING[:4])
@pytest.mark.parametrize("queue", ["sleep", "fakedev"])
def test_an_autoscaler_has_the_replicas_for_itself(queue: str, component: str) -> None:
    build = scaled(queue, component)
    (scaler,) = of_kind(build, "HorizontalPodAutoscaler", "ScaledObject")
    target = scaler["spec"]["scaleTargetRef"]["name"]
    (deployment,) = [o for o in of_kind(build, "Deployment") if o["metadata"]["name"] == target]
    assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize(("queue", "items"), [("sleep", "1"), ("fakedev", "2")])
def test_autoscalers_aim_at_as_many_items_as_a_pod_has_slots(queue: str, items: str) -> None:
    external, custom, prometheus, api = (
        of_kind(scaled(queue, component), "HorizontalPodAutoscaler", "ScaledObject")[0]["spec"]
        for component in SCALING[:4]
    )
    assert external["metrics"][0]["external"]["target"]["averageValue"] == items
    assert custom["metrics"][0]["object"]["target"]["averageValue"] == items
    assert prometheus["triggers"][0]["metadata"]["threshold"] == items
    assert api["triggers"][0]["metadata"]["targetValue"] == items


@pytest.mark.parametrize("queue", ["sleep", "media", "fakedev"])
def test_autoscalers_are_told_the_queue(queue: str) -> None:
    external, custom, prometheus, api = (
        of_kind(scaled(queue, component), "HorizontalPodAutoscaler", "ScaledObject")[0]["spec"]
        for component in SCALING[:4]
    )
    selector = {"matchLabels": {"queue": queue}}
    assert external["metrics"][0]["external"]["metric"]["selector"] == selector
    assert custom["metrics"][0]["object"]["metric"]["selector"] == selector
    query = prometheus["triggers"][0]["metadata"]["query"]
    assert f'{{namespace="scalab-{queue}",queue="{queue}"}}' in query
    trigger = api["triggers"][0]["metadata"]
    assert trigger["url"] == f"http://scalab-frontend.scalab-{queue}.svc:9998/api/queues"
    assert trigger["valueLocation"] == f"queues.{queue}.demand"


@pytest.mark.parametrize("queue", ["sleep", "media", "fakedev"])
def test_the_cron_job_runs_what_the_deployment_ran(queue: str) -> None:
    plain = {pod.role: pod for pod in pods(Build(f"queues/{queue}"))}
    cron = {pod.role: pod for pod in pods(scaled(queue, "scaling/cronjob"))}
    assert (plain["backend"].kind, cron["backend"].kind) == ("Deployment", "CronJob")
    before, after = plain["backend"].containers, cron["backend"].containers
    assert [c.argv() for c in after] == [c.argv() for c in before]
    changed = {**before[-1].env(), "SCALAB_BACKEND_WHEN_EMPTY": "exit"}
    assert after[-1].env() == changed
    assert cron["backend"].spec["restartPolicy"] == "Never"


def test_own_clips_take_the_place_of_the_made_one() -> None:
    build = Build("queues/media", ("data/pvc",))
    (pod,) = [pod for pod in pods(build) if pod.role == "backend"]
    assert [container.name for container in pod.containers] == ["backend"]
    (claim,) = of_kind(build, "PersistentVolumeClaim")
    (volume,) = [v for v in pod.spec["volumes"] if v["name"] == "data"]
    assert set(volume) == {"name", "persistentVolumeClaim"}
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


# --- a queue of one's own ------------------------------------------------------------------------


def test_the_settings_are_the_only_place_that_names_a_queue(tmp_path: Path) -> None:
    """A copy of a queue's folder, with three words changed in its settings, is another tester."""
    shutil.copytree(K8S, tmp_path / "k8s")
    folder = shutil.copytree(tmp_path / "k8s/queues/media", tmp_path / "k8s/queues/mine")
    settings = folder / "settings/kustomization.yaml"
    text = settings.read_text()
    for old, new in (
        ("namespace: scalab-media", "namespace: lab"),
        ("instance: media", "instance: mine"),
        ("newName: scalab-media", "newName: registry.example/team/workload"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    settings.write_text(text)
    for component in SCALING:
        found = objects(Build("queues/mine", ("gpu/intel", component), tmp_path / "k8s"))
        assert "media" not in repr(found)
        assert "scalab-sleep" not in repr(found)


def test_the_adapter_has_rules_for_both_kinds_of_metrics() -> None:
    rules = load_file("scaling/adapter-values.yaml")["rules"]
    assert {kind: len(found) for kind, found in rules.items()} == {"external": 1, "custom": 1}
    assert rules["external"][0]["name"] == rules["custom"][0]["name"]
