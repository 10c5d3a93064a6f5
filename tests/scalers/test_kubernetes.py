"""The Kubernetes scaler, against a stand-in for the API that has the real one's objects."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st

from scalab.errors import ConfigError, ExitCode
from scalab.scalers.errors import ScalerError
from scalab.scalers.kube import access
from scalab.scalers.kube.access import InCluster, find_access
from scalab.scalers.kube.kubectl import KubectlProxy
from scalab.scalers.kube.objects import pick, time_of
from scalab.scalers.kube.pods import PodLife, is_leaving, is_ready, life, lives, trouble
from scalab.scalers.kube.target import Target
from scalab.scalers.kubernetes import KubernetesScaler, KubernetesWatch
from tests.helpers import CancelAtStep, cancel_at_every_step

from .stub_api import (
    NOW_S,
    Certificates,
    Fault,
    Json,
    StubApi,
    answers,
    autoscaler,
    closes,
    fails,
    hangs,
    in_memory,
    is_cut_short,
    over_tls,
    pod,
    unschedulable,
    waiting,
)

TARGET = "media/backend"


@pytest.fixture
def api() -> StubApi:
    """A cluster with a Deployment of two pods."""
    stub = StubApi()
    stub.add("deployments", "media", "backend")
    return stub


def replicas(api: StubApi, name: str = "backend", plural: str = "deployments") -> int:
    return api.workloads[plural, "media", name].replicas


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("media/backend", "/apis/apps/v1/namespaces/media/deployments/backend"),
        ("media/sts/backend", "/apis/apps/v1/namespaces/media/statefulsets/backend"),
        ("media/deployment/a.b", "/apis/apps/v1/namespaces/media/deployments/a.b"),
        ("deployment/deployment/x", "/apis/apps/v1/namespaces/deployment/deployments/x"),
        ("m/workers.v1.example.com/x", "/apis/example.com/v1/namespaces/m/workers/x"),
    ],
)
def test_a_target_has_a_path(text: str, path: str) -> None:
    assert Target.parse(text).path == path


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("backend", Target("", "deployment", "backend")),
        ("rs/backend", Target("", "replicaset", "backend")),
        ("deployments/backend", Target("", "deployment", "backend")),
    ],
)
def test_a_target_may_leave_the_namespace_out(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "m/pod/x",
        "m/deploy/x/y",
        "M/x",
        "m/..",
        "m/x?y",
        "m/a b",
        "m/x\n",
    ],
)
def test_what_is_no_target_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]* is no workload: write \[NAMESPACE/\]") as info:
        Target.parse(text)
    assert info.value.exit_code is ExitCode.USAGE


def test_the_command_can_be_pasted() -> None:
    target = Target("media", "statefulset", "backend")
    assert target.command(3, "") == "kubectl -n media scale statefulset/backend --replicas=3"
    assert target.command(0, "my ctx").startswith("kubectl --context 'my ctx' -n media scale ")


def test_a_worker_without_a_slot_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one slot, not 0"):
        KubernetesScaler(TARGET, slots=0)


# --- pods -----------------------------------------------------------------------------------------

BACK_OFF = 'Back-off pulling image "scalab:9": ErrImagePull: not found'
NO_NODE = "0/3 nodes are available: 3 Insufficient gpu.intel.com/i915."


def ended(code: int, reason: str = "Error", message: str = "") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("pods", "text"),
    [
        ([], ""),
        ([pod("a")], ""),
        ([waiting("a", "ContainerCreating", ""), waiting("b", "PodInitializing", "")], ""),
        ([waiting("a", "ImagePullBackOff", BACK_OFF)], f"1 pod: ImagePullBackOff: {BACK_OFF}"),
        ([unschedulable("a", NO_NODE)], f"1 pod: Unschedulable: {NO_NODE}"),
        (
            [waiting("a", "CrashLoopBackOff", "back-off 5m0s", lastState=ended(2))],
            "1 pod: CrashLoopBackOff: exit code 2",
        ),
        (
            [waiting("a", "CrashLoopBackOff", "", lastState=ended(137, "OOMKilled"))],
            "1 pod: CrashLoopBackOff: exit code 137 (OOMKilled)",
        ),
        (
            [waiting("a", "CrashLoopBackOff", "", lastState=ended(1, "Error", "one\nthe last\n"))],
            "1 pod: CrashLoopBackOff: exit code 1: the last",
        ),
        (
            [pod("a", ready=False, containerStatuses=[{"state": ended(3, "Error")}])],
            "1 pod: exit code 3",
        ),
        (
            [
                pod(
                    "a",
                    ready=False,
                    phase="Pending",
                    initContainerStatuses=[{"state": {"waiting": {"reason": "ErrImagePull"}}}],
                )
            ],
            "1 pod: ErrImagePull",
        ),
        ([pod("a", ready=False)], "1 pod: running, but not ready"),
        (
            [
                unschedulable("a", NO_NODE),
                waiting("b", "ErrImagePull", "x"),
                waiting("c", "ErrImagePull", "x"),
            ],
            f"2 pods: ErrImagePull: x; 1 pod: Unschedulable: {NO_NODE}",
        ),
        ([waiting("a", "Error", "two\nlines\x1b[2J")], r"1 pod: Error: two\nlines\x1b[2J"),
        # What goes, or has gone, is no trouble.
        ([pod("a", ready=False, leaving=True), pod("b", ready=False, phase="Failed")], ""),
    ],
)
def test_trouble_is_told_in_one_line(pods: list[Json], text: str) -> None:
    assert trouble(pods) == text


@pytest.mark.parametrize(
    ("one", "ready", "leaving"),
    [
        (pod("a"), True, False),
        (pod("a", ready=False), False, False),
        (pod("a", leaving=True), False, True),
        (pod("a", ready=False, leaving=True), False, True),
        (pod("a", phase="Failed"), False, False),
        (pod("a", leaving=True, phase="Succeeded"), False, False),
        (unschedulable("a", ""), False, False),
    ],
)
def test_pods_are_ready_or_leaving_or_neither(one: Json, ready: bool, leaving: bool) -> None:
    assert (is_ready(one), is_leaving(one)) == (ready, leaving)


def test_a_pods_life() -> None:
    there = PodLife(
        name="a", created_s=NOW_S - 40, scheduled_s=NOW_S - 30, ready_s=NOW_S - 20, restarts=0
    )
    assert life(pod("a")) == there
    assert life(pod("a", ready=False)).ready_s is None
    assert life(unschedulable("a", "")).scheduled_s is None
    assert life(pod("a", leaving=True)).leaving
    assert life(waiting("a", "CrashLoopBackOff", "")).restarts == 3
    assert [one.name for one in lives([pod("a"), pod("b", phase="Failed")])] == ["a"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(
            ["metadata", "status", "conditions", "type", "name", "phase", "containerStatuses",
             "state", "waiting", "reason", "message", "terminated", "deletionTimestamp"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["metadata", "status", "x"]), anything)))
def test_nothing_that_an_api_may_send_breaks_it(pods: list[Json]) -> None:
    assert trouble(pods).isprintable()
    for one in pods:
        assert not (is_ready(one) and is_leaving(one))
    assert all(one.name.isprintable() for one in lives(pods))


def test_fields_of_another_type_are_not_there() -> None:
    assert pick({"a": {"b": 3}}, "a.b", 0) == 3
    assert pick({"a": {"b": "3"}}, "a.b", 0) == 0
    assert pick({"a": {"b": True}}, "a.b", 0) == 0
    assert pick({"a": None}, "a.b", 7) == 7
    assert pick([], "a", "none") == "none"


@pytest.mark.parametrize(
    ("text", "at"),
    [("2026-11-24T12:00:00Z", NOW_S), ("2026-11-24T12:00:00", None), ("soon", None), ("", None)],
)
def test_times(text: str, at: float | None) -> None:
    assert time_of(text) == at


# --- scaling --------------------------------------------------------------------------------------


async def test_it_scales_and_restores(api: StubApi) -> None:
    async with in_memory(api) as way:
        scaler = KubernetesScaler("backend", access=way)
        assert scaler.name == "kubernetes backend"
        async with scaler:
            assert scaler.name == "kubernetes media/backend"
            assert (await scaler.readiness()).exact
            for workers in (1, 4, 0, 8):
                await scaler.scale(workers)
                assert replicas(api) == workers
                seen = await scaler.readiness()
                assert (seen.wanted, seen.ready, seen.exact) == (workers, workers, True)
        assert replicas(api) == 2
        assert way.closed


async def test_who_has_changed_nothing_restores_nothing(api: StubApi) -> None:
    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, access=way) as scaler:
            await scaler.readiness()
    assert not [line for line in api.seen if line.startswith("PATCH")]


async def test_other_kinds_are_scaled_alike(api: StubApi) -> None:
    api.add("statefulsets", "media", "backend", kind="StatefulSet", replicas=3)
    async with in_memory(api) as way:
        async with KubernetesScaler("media/sts/backend", access=way) as scaler:
            assert scaler.name == "kubernetes media/statefulset/backend"
            await scaler.scale(5)
            assert replicas(api, plural="statefulsets") == 5
    assert replicas(api, plural="statefulsets") == 3
    assert replicas(api) == 2


async def test_pods_on_their_way_are_seen(api: StubApi) -> None:
    api.follow = False
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        await scaler.scale(3)
        assert not (await scaler.readiness()).exact
        api.pods.append(waiting("c", "ImagePullBackOff", "no such image"))
        seen = await scaler.readiness()
        assert (seen.wanted, seen.ready, seen.leaving) == (3, 2, 0)
        assert seen.trouble == "1 pod: ImagePullBackOff: no such image"
        api.pods[-1] = pod("c")
        assert (await scaler.readiness()).exact

        await scaler.scale(1)
        assert not (await scaler.readiness()).exact, "none of them has been told to go yet"
        # Those that still terminate may take items: it isn't exact before they have gone.
        api.pods[1:] = [pod("b", leaving=True), pod("c", leaving=True)]
        seen = await scaler.readiness()
        assert (seen.ready, seen.leaving, seen.exact) == (1, 2, False)
        del api.pods[1:]
        assert (await scaler.readiness()).exact


async def test_pods_that_are_not_even_made_are_explained(api: StubApi) -> None:
    api.follow = False
    message = (
        'pods "backend-1" is forbidden: exceeded quota: gpus, requested: 1, used: 2, limited: 2'
    )
    failed = {"type": "ReplicaFailure", "status": "True", "message": message}
    api.workloads["deployments", "media", "backend"].conditions = [failed]
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        assert (await scaler.readiness()).trouble == ""
        await scaler.scale(4)
        assert (await scaler.readiness()).trouble == message


@pytest.mark.parametrize(
    ("annotation", "given", "slots"),
    [(None, None, 1), ("2", None, 2), ("2", 4, 4), ("many", None, 1), ("0", None, 1)],
)
async def test_slots(api: StubApi, annotation: str | None, given: int | None, slots: int) -> None:
    annotations = {"annotations": {"scalab/items-per-pod": annotation}} if annotation else {}
    api.workloads["deployments", "media", "backend"].metadata = annotations
    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, slots=given, access=way) as scaler:
            assert scaler.slots_per_worker == slots


async def test_the_changes_of_others_to_the_object_are_no_obstacle(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    stored = api.workloads["deployments", "media", "backend"]
    left = 3

    def status_is_updated(line: str) -> None:
        nonlocal left
        if line.startswith("PATCH") and left:
            left -= 1
            stored.version += 1

    api.before = status_is_updated
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        await scaler.scale(4)
        assert (replicas(api), left) == (4, 0)


async def test_an_object_that_changes_all_the_time_is_given_up(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    stored = api.workloads["deployments", "media", "backend"]

    def changes(line: str) -> None:
        stored.version += line.startswith("PATCH")

    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, access=way) as scaler:
            api.before = changes
            with pytest.raises(ScalerError, match="the object has been modified"):
                await scaler.scale(4)
            api.before = lambda _: None


# --- others who scale -----------------------------------------------------------------------------


async def refusal(api: StubApi, target: str = TARGET) -> str:
    """What is said when it is entered."""
    async with in_memory(api) as way:
        with pytest.raises(ScalerError) as info:
            async with KubernetesScaler(target, access=way):
                raise AssertionError("it was entered")
        assert way.closed
    assert info.value.exit_code is ExitCode.INFRASTRUCTURE
    assert "\n" not in str(info.value)
    return str(info.value)


async def test_an_autoscaler_is_refused_by_name(api: StubApi) -> None:
    api.autoscalers = [autoscaler("other", "frontend"), autoscaler("keda-hpa-x", "backend")]
    assert "is scaled by HorizontalPodAutoscaler keda-hpa-x" in await refusal(api)
    assert not [line for line in api.seen if line.startswith("PATCH")]


async def test_an_autoscaler_of_a_namesake_is_none_of_ours(api: StubApi) -> None:
    api.autoscalers = [autoscaler("x", "backend", kind="StatefulSet")]
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        await scaler.scale(4)


async def test_an_autoscaler_of_another_kind_is_refused(api: StubApi) -> None:
    api.add("statefulsets", "media", "backend", kind="StatefulSet")
    api.autoscalers = [autoscaler("x", "backend", kind="StatefulSet")]
    assert "HorizontalPodAutoscaler x" in await refusal(api, "media/sts/backend")


async def test_the_replica_set_of_a_deployment_is_refused(api: StubApi) -> None:
    owner = {"kind": "Deployment", "name": "backend", "controller": True}
    metadata = {"ownerReferences": [owner]}
    api.add("replicasets", "media", "backend-7d9", kind="ReplicaSet", metadata=metadata)
    said = await refusal(api, "media/rs/backend-7d9")
    assert said.startswith("replicaset media/backend-7d9 belongs to Deployment backend")


async def test_without_a_selector_all_pods_would_count(api: StubApi) -> None:
    api.workloads["deployments", "media", "backend"].selector = ""
    assert "doesn't say which pods are its own" in await refusal(api)


@pytest.mark.parametrize("by", ["", "late"])
async def test_somebody_else_who_scales_is_noticed(api: StubApi, by: str) -> None:
    stored = api.workloads["deployments", "media", "backend"]
    who = f"HorizontalPodAutoscaler {by}" if by else "somebody else"
    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, access=way) as scaler:
            await scaler.scale(4)
            api.autoscalers = [autoscaler(by, "backend")] if by else []
            api.scaled(stored, 3)
            with pytest.raises(ScalerError, match=f"was scaled to 3 replicas by {who}"):
                await scaler.readiness()
            with pytest.raises(ScalerError, match=f"was scaled to 3 replicas by {who}"):
                await scaler.scale(8)
            assert stored.replicas == 3, "it isn't fought over"
    assert stored.replicas == 2


# --- an API that says no, or nothing --------------------------------------------------------------

TRANSIENT: list[tuple[Fault, str]] = [
    (closes, "can't be reached"),
    (is_cut_short, "can't be reached"),
    (hangs, "hasn't answered for 10 s"),
    (fails(500, "etcdserver: leader changed"), "leader changed (500)"),
    (fails(503, "apiserver is shutting down"), "shutting down (503)"),
    (fails(429, "too many requests"), "too many requests (429)"),
    (fails(401, "Unauthorized"), "doesn't take these credentials: Unauthorized (401)"),
    (answers(502, b"<html>Bad\nGateway", "text/html"), r"<html>Bad\nGateway"),
    (answers(500, b"dial tcp 10.0.0.1:6443: connect: refused", "text/plain"), "dial tcp 10.0.0.1"),
]
LASTING: list[tuple[Fault, str]] = [
    (answers(200, b"<html>Please log in", "text/html"), "is no JSON"),
    (answers(200, b"[]"), "is no JSON"),
    (answers(200, b'{"kind": "Pod"}'), "is no Scale"),
    (fails(404, 'deployments.apps "backend" not found'), '"backend" not found'),
    (fails(422, "spec.replicas: Invalid value"), "Invalid value (422)"),
    (fails(403, "may not"), "doesn't allow it: may not"),
]


@pytest.mark.parametrize(("fault", "text"), TRANSIENT, ids=[text for _, text in TRANSIENT])
async def test_at_the_start_each_failure_is_told_at_once(
    api: StubApi, autojump_clock: trio.testing.MockClock, fault: Fault, text: str
) -> None:
    api.faults.append(fault)
    assert text in await refusal(api)
    assert len(api.seen) == 1


@pytest.mark.parametrize(("fault", "text"), TRANSIENT, ids=[text for _, text in TRANSIENT])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_what_may_pass_is_waited_for(
    api: StubApi, autojump_clock: trio.testing.MockClock, fault: Fault, text: str, at: int
) -> None:
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        api.faults.extend([None] * at + [fault] * 2)
        await scaler.scale(4)
        assert replicas(api) == 4
        api.faults.clear()
        api.faults.extend([None] * at + [fault] * 2)
        assert (await scaler.readiness()).exact
        api.faults.clear()


@pytest.mark.parametrize(("fault", "text"), TRANSIENT, ids=[text for _, text in TRANSIENT])
async def test_what_doesnt_pass_is_told(
    api: StubApi, autojump_clock: trio.testing.MockClock, fault: Fault, text: str
) -> None:
    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, access=way) as scaler:
            await scaler.scale(4)
            api.faults.extend([fault] * 500)
            began = trio.current_time()
            with pytest.raises(ScalerError) as info:
                await scaler.readiness()
            assert 20 < trio.current_time() - began < 60
            assert text in str(info.value)
            api.faults.clear()
    assert replicas(api) == 2


@pytest.mark.parametrize(("fault", "text"), LASTING, ids=[text for _, text in LASTING])
async def test_what_lasts_is_told_at_once(api: StubApi, fault: Fault, text: str) -> None:
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        await scaler.scale(3)
        seen = len(api.seen)
        api.faults.append(fault)
        with pytest.raises(ScalerError) as info:
            await scaler.scale(4)
        assert text in str(info.value)
        assert "\n" not in str(info.value)
        assert len(api.seen) == seen + 1
        await scaler.scale(4)
        assert replicas(api) == 4, "whoever tries again may do so"


@pytest.mark.parametrize(
    "what", ["get deployments", "get deployments/scale", "list horizontalpodautoscalers"]
)
async def test_rights_that_are_missing_are_named(api: StubApi, what: str) -> None:
    api.forbidden = {what}
    verb, resource = what.split()
    assert f'cannot {verb} resource "{resource}"' in await refusal(api)


async def test_a_workload_that_isnt_there_is_named(api: StubApi) -> None:
    assert await refusal(api, "media/backed") == (
        'not in this cluster: deployments.apps "backed" not found'
    )


async def test_words_of_the_api_are_bounded_and_on_one_line(api: StubApi) -> None:
    api.faults.append(fails(403, "no\n\x1b[31m" + "x" * 5000))
    said = await refusal(api)
    assert said.isprintable()
    assert len(said) < 700


# --- restoring ------------------------------------------------------------------------------------


async def test_it_restores_after_an_error(api: StubApi) -> None:
    async with in_memory(api) as way:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with KubernetesScaler(TARGET, access=way) as scaler:
                await scaler.scale(8)
                raise ZeroDivisionError
    assert replicas(api) == 2


async def test_it_waits_for_an_api_that_comes_back(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    async with in_memory(api) as way:
        async with KubernetesScaler(TARGET, access=way) as scaler:
            await scaler.scale(8)
            api.faults.extend([closes] * 5)
    assert replicas(api) == 2


@pytest.mark.parametrize("how", [closes, hangs, fails(403, "may not")])
async def test_what_cant_be_restored_is_told_with_the_command(
    api: StubApi, autojump_clock: trio.testing.MockClock, how: Fault
) -> None:
    async with in_memory(api) as way:
        way.context = "lab"
        scaler = KubernetesScaler(TARGET, access=way)
        with pytest.raises(ScalerError) as info:  # noqa: PT012
            async with scaler:
                await scaler.scale(8)
                api.faults.extend([how] * 500)
                began = trio.current_time()
        assert trio.current_time() - began <= 30
        assert way.closed
    said = str(info.value)
    assert said.startswith("deployment media/backend could not be set back to 2 replicas: the Kub")
    assert said.endswith("kubectl --context lab -n media scale deployment/backend --replicas=2")
    assert "\n" not in said


async def test_what_went_wrong_before_isnt_forgotten(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    async with in_memory(api) as way:
        with pytest.raises(ScalerError) as info:  # noqa: PT012
            async with KubernetesScaler(TARGET, access=way) as scaler:
                await scaler.scale(8)
                api.away = True
                raise ScalerError("the first reason")
    assert str(info.value).startswith("the first reason; and then: deployment media/backend could")


async def test_cancelled_without_an_api_it_tells_the_command(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    async with in_memory(api) as way:
        with pytest.raises(ScalerError, match=r"--replicas=2$"):  # noqa: PT012
            with trio.move_on_after(1):
                async with KubernetesScaler(TARGET, access=way) as scaler:
                    await scaler.scale(8)
                    api.away = True
                    await trio.sleep_forever()


async def test_a_change_that_is_cut_short_doesnt_come_after_all(
    api: StubApi, autojump_clock: trio.testing.MockClock
) -> None:
    api.slow_s = 5
    async with in_memory(api) as way:
        with trio.move_on_after(2):
            async with KubernetesScaler(TARGET, access=way) as scaler:
                await scaler.scale(8)
        await trio.sleep(60)
        assert replicas(api) == 2
    assert [line.split()[0] for line in api.seen].count("PATCH") == 2


async def test_it_restores_whenever_it_is_cancelled() -> None:
    async def scenario(cancel: CancelAtStep) -> None:
        api = StubApi()
        api.add("deployments", "media", "backend")
        async with in_memory(api) as way:

            async def steps() -> None:
                async with KubernetesScaler(TARGET, access=way) as scaler:
                    await scaler.scale(1)
                    await scaler.readiness()
                    await scaler.scale(4)

            await cancel.run(steps)
            assert replicas(api) == 2
            assert way.closed
            # Nothing that was cut short comes late.
            await trio.testing.wait_all_tasks_blocked()
            assert replicas(api) == 2

    assert await cancel_at_every_step(scenario) > 40


# --- watching -------------------------------------------------------------------------------------


async def test_it_watches_what_an_autoscaler_does(api: StubApi) -> None:
    api.autoscalers = [autoscaler("hpa", "backend")]
    stored = api.workloads["deployments", "media", "backend"]
    async with in_memory(api) as way:
        async with KubernetesWatch(TARGET, access=way) as watch:
            assert watch.name == "kubernetes media/backend"
            api.follow = False
            api.scaled(stored, 4)
            api.pods += [unschedulable("c", NO_NODE), pod("d", leaving=True)]
            seen = await watch.observe()
        assert (seen.desired, seen.ready, seen.leaving, seen.at_s) == (4, 2, 1, NOW_S)
        assert [one.ready_s for one in seen.pods] == [NOW_S - 20, NOW_S - 20, None, None]
        assert way.closed
    assert {line.split()[0] for line in api.seen} == {"GET"}
    assert stored.replicas == 4


async def test_the_scaler_can_be_watched_too(api: StubApi) -> None:
    async with in_memory(api) as way, KubernetesScaler(TARGET, access=way) as scaler:
        assert (await scaler.observe()).desired == 2


async def test_not_before_it_is_entered(api: StubApi) -> None:
    async with in_memory(api) as way:
        with pytest.raises(RuntimeError, match="entered first"):
            await KubernetesWatch(TARGET, access=way).observe()


# --- from inside a pod ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made once."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is missing")
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def account(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the kubelet mounts it."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "namespace").write_text("media")
    shutil.copy(certificates["ca.crt"], folder)
    monkeypatch.setattr(access, "ACCOUNT", folder)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    return folder


async def test_a_pod_uses_its_account_and_takes_new_tokens(
    api: StubApi, account: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.token = "first"
    async with over_tls(api, certificates) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        async with KubernetesScaler("backend") as scaler:
            assert scaler.name == "kubernetes media/backend"
            await scaler.scale(4)
            (account / "token").write_text("second")
            api.token = "second"
            assert (await scaler.readiness()).exact
    assert replicas(api) == 2
    assert api.users == {"first", "second"}


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_pod_gives_its_token_to_the_api_only(
    api: StubApi,
    account: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    if wrong == "authority":
        shutil.copy(certificates["alice.crt"], account / "ca.crt")
    name = "elsewhere" if wrong == "name" else "server"
    async with over_tls(api, certificates, name) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        with pytest.raises(ScalerError, match="certificate can't be trusted"):
            async with KubernetesScaler("backend"):
                pass
    assert api.seen == []


@pytest.mark.parametrize(("name", "text"), [("token", "service account"), ("ca.crt", "ca.crt")])
async def test_a_pod_without_its_files_says_so(account: Path, name: str, text: str) -> None:
    way = InCluster()
    (account / name).unlink()
    with pytest.raises(ScalerError, match=text):
        async with KubernetesScaler("backend", access=way):
            pass


async def test_a_pod_whose_api_is_away_says_so(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(ScalerError, match="can't be reached: "):
        async with KubernetesScaler("backend"):
            pass


def test_which_way_is_taken(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(find_access(), InCluster)
    assert isinstance(find_access("lab"), KubectlProxy), "a context is one of a kubeconfig"
    monkeypatch.setenv("KUBECONFIG", "/some/file")
    assert isinstance(find_access(), KubectlProxy)
    monkeypatch.delenv("KUBECONFIG")
    (account / "token").unlink()
    assert isinstance(find_access(), KubectlProxy), "the pod has no token"


def test_addresses_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert InCluster().host == "[fd00::1]:443"


# --- by the user's kubeconfig, through the real kubectl -------------------------------------------

EXEC = """#!{python}
import json, os, pathlib, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert asked["apiVersion"] == "client.authentication.k8s.io/v1"
token = pathlib.Path({token!r}).read_text()
if not token:
    sys.exit("the plug-in says no")
print(json.dumps({{"kind": "ExecCredential", "apiVersion": asked["apiVersion"],
                  "status": {{"token": token}}}}))
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home folder of a user of kubectl, with nothing in it but what the test puts there."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is missing")
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that TMPDIR is read again
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    return tmp_path


class Config:
    """A kubeconfig in the making: for alice in the namespace media of the stub's cluster."""

    def __init__(self, folder: Path, certificates: Certificates, port: int) -> None:
        self.folder = folder
        self.certificates = certificates
        self.cluster: Json = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority-data": self.data("ca.crt"),
        }
        self.user: Json = {"token": "secret"}
        self.context: Json = {"cluster": "c", "user": "u", "namespace": "media"}

    def data(self, name: str) -> str:
        return base64.b64encode(self.certificates[name].read_bytes()).decode()

    def file(self, name: str) -> str:
        return str(self.certificates[name])

    def write(self, name: str = "config", **only: Any) -> str:
        """Write it to a file, in JSON, which is YAML."""
        whole = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "c", "cluster": self.cluster}],
            "users": [{"name": "u", "user": self.user}],
            "contexts": [{"name": "lab", "context": self.context}],
        }
        path = self.folder / name
        path.write_text(json.dumps(only or whole))
        return str(path)


def by_token_file(config: Config) -> None:
    (config.folder / "token").write_text("secret")
    config.user = {"tokenFile": str(config.folder / "token")}


def by_certificate_data(config: Config) -> None:
    config.user = {
        "client-certificate-data": config.data("alice.crt"),
        "client-key-data": config.data("alice.key"),
    }


def by_certificate_files(config: Config) -> None:
    config.user = {
        "client-certificate": config.file("alice.crt"),
        "client-key": config.file("alice.key"),
    }


def by_exec(config: Config) -> None:
    script, token = config.folder / "plugin", config.folder / "token"
    token.write_text("secret")
    script.write_text(EXEC.format(python=sys.executable, token=str(token)))
    script.chmod(0o700)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",  # relative to the kubeconfig
        "interactiveMode": "IfAvailable",
    }
    config.user = {"exec": plugin}


def authority_in_a_file(config: Config) -> None:
    del config.cluster["certificate-authority-data"]
    config.cluster["certificate-authority"] = config.file("ca.crt")


def without_verification(config: Config) -> None:
    del config.cluster["certificate-authority-data"]
    config.cluster["insecure-skip-tls-verify"] = True


def by_another_name(config: Config) -> None:
    config.cluster["tls-server-name"] = "api"


@asynccontextmanager
async def lab(api: StubApi, home: Path, certificates: Certificates) -> AsyncIterator[Config]:
    """Serve a stub, with a kubeconfig to it, which is yet to be written."""
    async with over_tls(api, certificates) as port:
        yield Config(home, certificates, port)


@pytest.mark.parametrize(
    ("change", "user"),
    [
        (lambda _: None, "secret"),
        (by_token_file, "secret"),
        (by_certificate_data, "alice"),
        (by_certificate_files, "alice"),
        (by_exec, "secret"),
        (authority_in_a_file, "secret"),
        (without_verification, "secret"),
        (by_another_name, "secret"),
    ],
    ids=["token", "token file", "certificate", "certificate files", "exec", "authority in a file",
         "without verification", "another name"],
)  # fmt: skip
async def test_each_form_of_a_kubeconfig(
    api: StubApi,
    certificates: Certificates,
    home: Path,
    change: Callable[[Config], None],
    user: str,
) -> None:
    api.token = "secret"
    async with lab(api, home, certificates) as config:
        change(config)
        config.write()
        async with KubernetesScaler("backend") as scaler:
            assert scaler.name == "kubernetes media/backend"
            await scaler.scale(4)
            assert (await scaler.readiness()).exact
            assert (await scaler.observe()).at_s == NOW_S
    assert replicas(api) == 2
    assert api.users == {user}


async def test_several_files_and_a_context(
    api: StubApi,
    certificates: Certificates,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with lab(api, home, certificates) as config:
        contexts = [
            {"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "media"}},
            {"name": "other", "context": {"cluster": "elsewhere", "user": "u"}},
        ]
        files = [
            config.write("one", contexts=contexts, **{"current-context": "other"}),
            config.write("two", clusters=[{"name": "c", "cluster": config.cluster}]),
            config.write("three", users=[{"name": "u", "user": config.user}]),
        ]
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(files))
        async with KubernetesScaler("backend", context="lab") as scaler:
            await scaler.scale(4)
            assert replicas(api) == 4
    assert replicas(api) == 2


async def test_the_file_in_the_home_folder(
    api: StubApi,
    certificates: Certificates,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBECONFIG")
    (home / ".kube").mkdir()
    async with lab(api, home / ".kube", certificates) as config:
        config.write()
        async with KubernetesScaler("backend") as scaler:
            await scaler.scale(4)
            assert replicas(api) == 4


def wrong_authority(config: Config) -> None:
    config.cluster["certificate-authority-data"] = config.data("alice.crt")


def plug_in_fails(config: Config) -> None:
    by_exec(config)
    (config.folder / "token").write_text("")


def wrong_token(config: Config) -> None:
    config.user = {"token": "stolen"}


def no_such_file(config: Config) -> None:
    config.user = {"client-certificate": "/none.crt", "client-key": "/none.key"}


def away(config: Config) -> None:
    config.cluster["server"] = "https://127.0.0.1:1"


def no_such_context(config: Config) -> None:
    config.context = {}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (wrong_authority, "certificate signed by unknown authority"),
        (plug_in_fails, "plugin failed with exit code 1"),
        (wrong_token, "doesn't take these credentials: Unauthorized (401)"),
        (no_such_file, "doesn't start: unable to read client-"),
        (away, "connection refused"),
    ],
)
async def test_what_is_wrong_with_a_kubeconfig_is_told(
    api: StubApi,
    certificates: Certificates,
    home: Path,
    change: Callable[[Config], None],
    text: str,
) -> None:
    api.token = "secret"
    async with lab(api, home, certificates) as config:
        change(config)
        config.write()
        with pytest.raises(ScalerError) as info:
            async with KubernetesScaler("backend"):
                pass
    assert text in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("context", ["none", ""])
async def test_a_context_that_isnt_there_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, context: str
) -> None:
    (home / "config").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(ScalerError, match=r"kubeconfig is no use: .*context"):
        async with KubernetesScaler("backend", context=context):
            pass


async def test_without_kubectl_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ScalerError, match="install it, or run scalab in a pod"):
        async with KubernetesScaler("media/backend", context="lab"):
            pass


async def test_a_kubectl_that_is_lost_is_started_again(
    api: StubApi,
    certificates: Certificates,
    home: Path,
) -> None:
    async with lab(api, home, certificates) as config:
        config.write()
        way = KubectlProxy()
        async with KubernetesScaler("backend", access=way) as scaler:
            await scaler.scale(4)
            (first,) = proxies(home)
            os.kill(first, signal.SIGKILL)
            await gone(first)
            assert (await scaler.readiness()).exact
            (second,) = proxies(home)
            assert second != first
        await gone(second)
    assert not folders(home)
    assert replicas(api) == 2


def proxies(home: Path) -> list[int]:
    """Return the ids of the processes of ``kubectl proxy`` that a test has started."""
    return list(_running(f"HOME={home}"))


def _running(variable: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"kubectl") and variable.encode() in environment:
            yield int(folder.name)


def folders(home: Path) -> list[Path]:
    """Return those in which a ``kubectl proxy`` serves."""
    return list(home.glob("scalab-*"))


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    with trio.fail_after(10):
        while _runs(pid):  # noqa: ASYNC110 (nobody tells)
            await trio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


# --- killed ---------------------------------------------------------------------------------------

PROGRAM = """
import sys, trio
from scalab.runtime.service import run_stoppable
from scalab.scalers.kubernetes import KubernetesScaler

async def service(stop):
    async with KubernetesScaler("backend") as scaler:
        await scaler.scale(8)
        print("scaled", flush=True)
        await stop.requested.wait()

sys.exit(trio.run(run_stoppable, service))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_signals_restore_and_leave_nothing_behind(
    api: StubApi,
    certificates: Certificates,
    home: Path,
    signum: signal.Signals,
) -> None:
    async with lab(api, home, certificates) as config:
        config.write()
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", textwrap.dedent(PROGRAM)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        async with process.stdout:
            said = b""
            while b"scaled" not in said:
                more = await process.stdout.receive_some()
                assert more, "it ended early"
                said += more
            assert replicas(api) == 8
            (proxy,) = proxies(home)
            (folder,) = folders(home)
            assert folder.stat().st_mode & 0o077 == 0, "others could use it in the user's name"
            # As ^C does it: to the whole process group.
            os.killpg(process.pid, signum)
            with trio.fail_after(20):
                code = await process.wait()
        await gone(proxy)
    assert not folder.exists()
    killed = signum == signal.SIGKILL
    assert code == (-signum if killed else 0)
    assert replicas(api) == (8 if killed else 2)
