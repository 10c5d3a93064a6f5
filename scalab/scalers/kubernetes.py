"""Workers that are the pods of a workload in Kubernetes, of a Deployment say."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import structlog
import trio

from scalab.errors import ConfigError, ScalabError

from .base import Readiness
from .errors import ScalerError
from .kube.access import Access, find_access
from .kube.api import REQUEST_S
from .kube.pods import is_leaving, is_ready, trouble
from .kube.target import Target
from .kube.workload import Observation, Workload, open_workload

RESTORE_S: Final = 30.0
"""How long to try to restore the replicas at the end."""
_LEAVE_S: Final = 5.0

log = structlog.get_logger()


class _OfWorkload:
    """What looks at a workload: found when it is entered."""

    def __init__(self, target: str, *, context: str = "", access: Access | None = None) -> None:
        self._target = Target.parse(target)
        self._access = access or find_access(context)
        self._stack = AsyncExitStack()
        self._workload: Workload | None = None

    @property
    def name(self) -> str:
        """``kubernetes media/scalab-backend``."""
        return f"kubernetes {self._target}"

    async def observe(self) -> Observation:
        """Return how many replicas are wanted and ready, and the life of each pod.

        Raises:
            ScalerError: The API says no, or is away for too long.
        """
        return await self._entered.observe()

    @property
    def _entered(self) -> Workload:
        if self._workload is None:
            raise RuntimeError("it is to be entered first")
        return self._workload

    async def _enter(self, stack: AsyncExitStack) -> Workload:
        opened = open_workload(self._target, self._access)
        workload = await stack.enter_async_context(opened)
        self._target, self._workload = workload.target, workload
        return workload


class KubernetesWatch(_OfWorkload):
    """Looks at a workload, and changes nothing: for a run in which an autoscaler scales.

    Args:
        target: ``[NAMESPACE/][KIND/]NAME``, see ``Target.parse``.
        context: That of the kubeconfig; "" = the current one, or in a pod its service account.
        access: The way to the API, if it is not to be found by ``context``.

    Raises:
        ConfigError: The target isn't of this form.
        ScalerError: When entered: there is no such workload, or no way to the API.
    """

    async def __aenter__(self) -> Self:
        """Find the workload."""
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of it."""
        with trio.move_on_after(_LEAVE_S, shield=True):
            await self._stack.aclose()


class KubernetesScaler(_OfWorkload):
    """Scales a workload, and restores its replicas in the end.

    Args:
        target: ``[NAMESPACE/][KIND/]NAME``, see ``Target.parse``.
        slots: How many items a pod runs at once; None = what the workload's annotation
            ``scalab/items-per-pod`` says, else 1.
        context: That of the kubeconfig; "" = the current one, or in a pod its service account.
        access: The way to the API, if it is not to be found by ``context``.

    Raises:
        ConfigError: An argument can't be used.
        ScalerError: When entered: there is no such workload, no way to the API, or somebody
            else scales it: a HorizontalPodAutoscaler, or what it belongs to.
    """

    def __init__(
        self,
        target: str,
        *,
        slots: int | None = None,
        context: str = "",
        access: Access | None = None,
    ) -> None:
        super().__init__(target, context=context, access=access)
        if slots is not None and slots < 1:
            raise ConfigError(f"a worker has at least one slot, not {slots}")
        self._slots = slots
        self._before = 0
        self._asked = 0
        self._possible: frozenset[int] = frozenset()
        self._touched = False

    @property
    def slots_per_worker(self) -> int:
        """How many items a pod runs at once; known once it is entered."""
        return self._slots or (self._workload.slots_per_pod if self._workload else 1)

    async def __aenter__(self) -> Self:
        """Find the workload, see that nobody else scales it, and remember its replicas."""
        async with AsyncExitStack() as stack:
            workload = await self._enter(stack)
            await _refuse_if_scaled(workload)
            self._before = self._asked = (await workload.scale()).replicas
            self._possible = frozenset({self._before})
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the replicas, for up to ``RESTORE_S``.

        Raises:
            ScalerError: It didn't succeed; with the command that does it, and with what went
                wrong before.
        """
        problem = ""
        try:
            if self._touched:
                problem = f"the Kubernetes API was away for {RESTORE_S:g} s"
                with trio.move_on_after(RESTORE_S, shield=True):
                    problem = await self._restore()
        finally:
            with trio.move_on_after(_LEAVE_S, shield=True):
                await self._stack.aclose()
        if problem:
            first = f"{exc}; and then: " if isinstance(exc, ScalabError) else ""
            command = self._target.command(self._before, self._access.context)
            raise ScalerError(
                f"{first}{self._target.words} could not be set back to {self._before} replicas:"
                f" {problem}; do it by: {command}"
            )

    async def scale(self, workers: int) -> None:
        """Ask for exactly so many pods; doesn't wait for them.

        Raises:
            ScalerError: Somebody else has changed their number; the API says no, or is away for
                too long.
        """
        if workers < 0:
            raise ScalerError(f"there can't be {workers} workers")
        self._touched, self._asked = True, workers
        # If it is cut short, it may have happened or not.
        self._possible |= {workers}
        await self._entered.set_replicas(workers, self._possible)
        self._possible = frozenset({workers})
        log.info("scaled", workload=self._target.words, workers=workers)

    async def readiness(self) -> Readiness:
        """Return how many pods are ready, and what keeps the others back.

        Raises:
            ScalerError: Somebody else has changed their number; the API says no, or is away for
                too long.
        """
        workload = self._entered
        scale = await workload.scale()
        if scale.replicas != self._asked:
            raise await workload.changed_by_others(scale.replicas)
        pods, _ = await workload.pods(scale.selector)
        ready = sum(map(is_ready, pods))
        why = trouble(pods)
        if not why and len(pods) < self._asked:
            why = await workload.why_no_pods()
        leaving = sum(map(is_leaving, pods))
        return Readiness(wanted=self._asked, ready=ready, leaving=leaving, trouble=why)

    async def _restore(self) -> str:
        """Return why it could not be done, "" if it was."""
        # So that it gives up before the deadline, and says why.
        self._entered.api.patience_s = RESTORE_S - REQUEST_S
        try:
            await self._entered.set_replicas(self._before)
        except ScalerError as failure:
            return str(failure)
        log.info("restored", workload=self._target.words, workers=self._before)
        return ""


async def _refuse_if_scaled(workload: Workload) -> None:
    """See that nobody else scales it.

    Raises:
        ScalerError: Who does, and what to do about it.
    """
    words = workload.target.words
    if owner := workload.owner:
        raise ScalerError(f"{words} belongs to {owner}, which sets its replicas: scale that one")
    if name := await workload.autoscaler():
        raise ScalerError(
            f"{words} is scaled by HorizontalPodAutoscaler {name}, which would undo each step:"
            " delete it for the validation (of KEDA's, pause the ScaledObject), or measure it"
            " with --autoscale"
        )
