"""A workload of the cluster: its number of replicas, its pods, and who else scales it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from scalab.protocol.text import printable
from scalab.scalers.errors import ScalerError

from .access import Access
from .api import Api, ApiError, Found
from .objects import Object, condition, holds, items, name_of, pick
from .pods import PodLife, is_leaving, is_ready, lives
from .target import Target

PATIENCE_S: Final = 30.0
"""For how long an API that is away is waited for, once it has been there."""
_CLOSE_S: Final = 5.0
_PAUSE_S: Final = 0.1
_PAUSE_MAX_S: Final = 1.0


@attrs.frozen
class Scale:
    """How many replicas are wanted."""

    replicas: int
    version: str
    """That of the object, by which a change of somebody else is noticed."""
    selector: str
    """That of its pods."""


@attrs.frozen(kw_only=True)
class Observation:
    """What the cluster says of a workload at a moment."""

    at_s: float | None
    """When, by the API's clock, in seconds since 1970: what the times of pods are compared with."""
    desired: int
    ready: int
    leaving: int
    pods: tuple[PodLife, ...]


@asynccontextmanager
async def open_workload(target: Target, access: Access) -> AsyncIterator[Workload]:
    """Find a workload in the cluster, and give back what that took at the end.

    Args:
        target: Without a namespace, it is looked for in the default one of ``access``.
        access: The way to the API.

    Raises:
        ScalerError: It isn't there, or may not be looked at.
    """
    try:
        if not target.namespace:
            target = attrs.evolve(target, namespace=await access.namespace())
        api = Api(access)
        found = await api.get(target.path)
        api.patience_s = PATIENCE_S
        yield Workload(api, target, found.body)
    finally:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await access.aclose()


class Workload:
    """Anything that has replicas.

    Attributes:
        api: Where it is.
        target: Its name, with the namespace.
        found: The object as it was found.
    """

    def __init__(self, api: Api, target: Target, found: Object) -> None:
        self.api = api
        self.target = target
        self.found = found

    async def scale(self) -> Scale:
        """Return how many replicas are wanted.

        Raises:
            ScalerError: That can't be found out, or it has none.
        """
        found = (await self.api.get(f"{self.target.path}/scale", "Scale")).body
        selector = pick(found, "status.selector", "")
        if not selector:
            # Without it, all pods of the namespace would count.
            raise ScalerError(f"{self.target.words} doesn't say which pods are its own")
        # 0 is left out by the API.
        replicas = pick(found, "spec.replicas", 0)
        return Scale(replicas, pick(found, "metadata.resourceVersion", ""), selector)

    async def set_replicas(self, replicas: int, expected: Collection[int] | None = None) -> None:
        """Ask for so many replicas.

        The version goes with the change, so that what others change between our look and our
        change isn't overwritten unseen. Most of these are changes of the status: then it is looked
        at again.

        Args:
            replicas: So many.
            expected: One of these is wanted now, unless somebody else scales; None = any.

        Raises:
            ScalerError: Somebody else scales; the API refuses, or is away for too long.
        """
        pause_s, until = _PAUSE_S, trio.current_time() + self.api.patience_s
        while True:
            scale = await self.scale()
            if scale.replicas == replicas:
                return
            if expected is not None and scale.replicas not in expected:
                raise await self.changed_by_others(scale.replicas)
            change = {
                "metadata": {"resourceVersion": scale.version}, "spec": {"replicas": replicas}
            }  # fmt: skip
            try:
                await self.api.patch(f"{self.target.path}/scale", change)
            except ApiError as exc:
                if not (exc.may_pass or exc.status == 409) or trio.current_time() > until:
                    raise
            else:
                return
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def pods(self, selector: str) -> tuple[list[Object], Found]:
        """Return the pods that a selector selects, and the whole answer."""
        path = f"/api/v1/namespaces/{self.target.namespace}/pods"
        found = await self.api.get(path, "PodList", labelSelector=selector)
        return items(found.body, "items"), found

    async def autoscaler(self) -> str:
        """Return the name of the HorizontalPodAutoscaler that scales it, "" if none does.

        KEDA's ScaledObjects each have one, too.
        """
        path = f"/apis/autoscaling/v2/namespaces/{self.target.namespace}/horizontalpodautoscalers"
        found = await self.api.get(path, "HorizontalPodAutoscalerList")
        for scaler in items(found.body, "items"):
            aim: Object = pick(scaler, "spec.scaleTargetRef", {})
            if (pick(aim, "kind", ""), pick(aim, "name", "")) == (self.kind, self.target.name):
                return printable(name_of(scaler))
        return ""

    async def why_no_pods(self) -> str:
        """Return why pods aren't even made: a quota, or what the namespace doesn't admit."""
        found = (await self.api.get(self.target.path)).body
        failure = condition(found, "ReplicaFailure")
        return printable(pick(failure, "message", ""), 600) if holds(failure) else ""

    async def observe(self) -> Observation:
        """Return what there is now."""
        scale = await self.scale()
        pods, found = await self.pods(scale.selector)
        return Observation(
            at_s=found.at_s,
            desired=scale.replicas,
            ready=sum(map(is_ready, pods)),
            leaving=sum(map(is_leaving, pods)),
            pods=lives(pods),
        )

    async def changed_by_others(self, replicas: int) -> ScalerError:
        """Return the error for replicas that somebody else has changed."""
        name = await self.autoscaler()
        who = f"HorizontalPodAutoscaler {name}" if name else "somebody else"
        return ScalerError(
            f"{self.target.words} was scaled to {replicas} replicas by {who}: nobody else may"
            " scale it while it is measured"
        )

    @property
    def kind(self) -> str:
        """What the API calls such an object: ``Deployment``."""
        return pick(self.found, "kind", "")

    @property
    def owner(self) -> str:
        """What sets its replicas by its own: the Deployment of a ReplicaSet; "" if nothing."""
        for owner in items(self.found, "metadata.ownerReferences"):
            if pick(owner, "controller", default=False):
                return printable(f"{pick(owner, 'kind', '')} {pick(owner, 'name', '')}")
        return ""

    @property
    def slots_per_pod(self) -> int:
        """What its annotation says of the slots of a pod, the one for autoscalers, too; else 1."""
        annotations: Object = pick(self.found, "metadata.annotations", {})
        text = annotations.get("scalab/items-per-pod")
        fine = isinstance(text, str) and text.isascii() and text.isdigit()
        return max(1, int(text[:6])) if fine and isinstance(text, str) else 1
