"""How far the pods of a workload have come, and what keeps the others back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from scalab.protocol.text import printable

from .objects import Object, condition, holds, items, name_of, pick, time_of

_STARTING = {"", "ContainerCreating", "PodInitializing"}
"""Reasons for which a container waits that say nothing but that it is early."""
_FINISHED = {"Succeeded", "Failed"}


@attrs.frozen(kw_only=True)
class PodLife:
    """When a pod came to be what. Times are the cluster's, in seconds since 1970, to the second."""

    name: str
    created_s: float | None
    scheduled_s: float | None = None
    """When it was given a node; None = not yet."""
    ready_s: float | None = None
    """When it last became ready; None = it isn't ready."""
    leaving: bool = False
    """Whether it has been told to go, and may still finish what it runs."""
    restarts: int = 0
    """How often its containers have been started again."""


def is_ready(pod: Object) -> bool:
    """Whether it is ready, and is to stay."""
    return not _told_to_go(pod) and not _has_finished(pod) and holds(condition(pod, "Ready"))


def is_leaving(pod: Object) -> bool:
    """Whether it is on its way out, but still there."""
    return _told_to_go(pod) and not _has_finished(pod)


def life(pod: Object) -> PodLife:
    """Return when a pod came to be what."""
    return PodLife(
        name=printable(name_of(pod)),
        created_s=time_of(pick(pod, "metadata.creationTimestamp", "")),
        scheduled_s=_since(condition(pod, "PodScheduled")),
        ready_s=_since(condition(pod, "Ready")) if is_ready(pod) else None,
        leaving=is_leaving(pod),
        restarts=sum(pick(status, "restartCount", 0) for status in _statuses(pod)),
    )


def lives(pods: Sequence[Object]) -> tuple[PodLife, ...]:
    """Return those of all pods that haven't finished."""
    return tuple(life(pod) for pod in pods if not _has_finished(pod))


def trouble(pods: Sequence[Object]) -> str:
    """Return what keeps pods from becoming ready, the most frequent first; "" if nothing does."""
    coming = [pod for pod in pods if not (is_ready(pod) or _told_to_go(pod) or _has_finished(pod))]
    found = Counter(filter(None, map(_trouble, coming)))
    texts = [f"{count} pod{'s' * (count > 1)}: {text}" for text, count in found.most_common(3)]
    return printable("; ".join(texts), 800)


def _trouble(pod: Object) -> str:
    scheduled = condition(pod, "PodScheduled")
    if pick(scheduled, "status", "") == "False":
        return _sentence(pick(scheduled, "reason", ""), pick(scheduled, "message", ""))
    for status in _statuses(pod):
        if text := _of_container(status):
            return text
    if pick(pod, "status.phase", "") == "Running":
        # It may only just have started: whoever waits knows for how long it has been so.
        return "running, but not ready"
    return ""


def _of_container(status: Object) -> str:
    reason = pick(status, "state.waiting.reason", "")
    ended: Object = pick(status, "state.terminated", {})
    last: Object = pick(status, "lastState.terminated", {}) or ended
    if reason == "CrashLoopBackOff" and last:
        return _sentence(reason, _end(last))
    if reason not in _STARTING:
        return _sentence(reason, pick(status, "state.waiting.message", ""))
    return _end(ended) if pick(ended, "exitCode", 0) else ""


def _end(terminated: Object) -> str:
    """``exit code 137 (OOMKilled): the last line of the container's message``."""
    text = f"exit code {pick(terminated, 'exitCode', 0)}"
    if (reason := pick(terminated, "reason", "")) not in ("", "Error"):
        text += f" ({reason})"
    lines = pick(terminated, "message", "").strip().splitlines()
    return _sentence(text, lines[-1] if lines else "")


def _sentence(what: str, why: str) -> str:
    return printable(": ".join(filter(None, [what, why.strip()])))


def _statuses(pod: Object) -> Iterator[Object]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from items(pod, f"status.{kind}")


def _since(found: Object) -> float | None:
    return time_of(pick(found, "lastTransitionTime", "")) if holds(found) else None


def _told_to_go(pod: Object) -> bool:
    return bool(pick(pod, "metadata.deletionTimestamp", ""))


def _has_finished(pod: Object) -> bool:
    """Whether its containers have ended for good: evicted pods stay in the list like this."""
    return pick(pod, "status.phase", "") in _FINISHED
