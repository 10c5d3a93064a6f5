"""The decisions of a Kubernetes HorizontalPodAutoscaler, for a metric with a target per worker.

By "Algorithm details" and "Configurable scaling behavior" of the Kubernetes documentation
(https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/) and its
controller (pkg/controller/podautoscaler/horizontal.go and replica_calculator.go): an external or
object metric of the type ``AverageValue``, for which it doesn't matter how many pods are ready.
Here as there, times at the very edge of a window are outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import attrs

from scalab.errors import ConfigError

from .observed import ROUNDING, Target


@attrs.frozen
class Policy:
    """By how much the number of workers may change in a time.

    Raises:
        ConfigError: It says nothing.
    """

    kind: Literal["pods", "percent"]
    value: int
    """Workers, or percent of those there were when the period began."""
    period_s: float = 15.0

    def __attrs_post_init__(self) -> None:
        if self.value < 1 or not self.period_s > 0:
            raise ConfigError(
                f"policy: {self.value} {self.kind} in {self.period_s:g} s; both must be more than 0"
            )


@attrs.frozen(kw_only=True)
class Behavior:
    """How fast the number of workers may change in one direction.

    Raises:
        ConfigError: It can't be followed.
    """

    stabilization_s: float
    """The safest recommendation of so many seconds is followed: the least of them to scale up,
    the highest to scale down; 0 = the newest."""
    policies: tuple[Policy, ...]
    select: Literal["max", "min", "disabled"] = "max"
    """Which policy counts: the one that allows most, least, or none at all."""

    def __attrs_post_init__(self) -> None:
        if not self.stabilization_s >= 0:
            raise ConfigError(f"stabilization: {self.stabilization_s:g} s; it must be 0 or more")
        if not self.policies:
            raise ConfigError("policies: none; give at least one for each direction")


UP: Final = Behavior(stabilization_s=0.0, policies=(Policy("pods", 4), Policy("percent", 100)))
"""The defaults of Kubernetes."""
DOWN: Final = Behavior(stabilization_s=300.0, policies=(Policy("percent", 100),))


@attrs.frozen(kw_only=True)
class HpaDecision:
    """What was decided, and from what."""

    at_s: float
    demand: float
    current: int
    """Workers that were asked for until then."""
    recommended: int
    """By the metric alone."""
    desired: int


class HpaRule:
    """Decides how many workers there are to be. It remembers what it recommended and changed.

    Args:
        target: What to hold.
        up: How fast to add workers.
        down: How fast to remove them.
    """

    def __init__(self, target: Target, *, up: Behavior = UP, down: Behavior = DOWN) -> None:
        self._target = target
        self._up = up
        self._down = down
        self._recommendations: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, current: int, demand: float) -> HpaDecision:
        """Return the decision of one sync; it is taken to be carried out.

        Args:
            now_s: Seconds by any clock that doesn't go back.
            current: Workers asked for so far, whether they are up or not.
            demand: The metric: items waiting and running.
        """
        if not self._recommendations:  # so that what there is at the start is not removed at once
            self._recommendations.append((now_s, current))
        recommended = self._recommend(current, demand)
        if not self._target.minimum <= current <= self._target.maximum:
            desired = min(max(current, self._target.minimum), self._target.maximum)
        else:
            desired = self._limited(now_s, current, self._stabilized(now_s, current, recommended))
        if desired != current:
            self._changes.append((now_s, desired - current))
        self._forget(now_s)
        return HpaDecision(
            at_s=now_s, demand=demand, current=current, recommended=recommended, desired=desired
        )

    def _recommend(self, current: int, demand: float) -> int:
        """Return what holds the target, or what there is if that is near enough."""
        if current:
            ratio = demand / (self._target.items * current)
            if abs(1 - ratio) <= self._target.tolerance + ROUNDING:
                return current
        return self._target.unlimited(demand)

    def _stabilized(self, now_s: float, current: int, recommended: int) -> int:
        """What there is, brought between the least and the highest of recent recommendations."""
        self._recommendations.append((now_s, recommended))

        def recent(window_s: float) -> list[int]:
            past = [n for at_s, n in self._recommendations if at_s > now_s - window_s]
            return [*past, recommended]

        least, most = min(recent(self._up.stabilization_s)), max(recent(self._down.stabilization_s))
        return min(max(current, least), most)

    def _limited(self, now_s: float, current: int, wanted: int) -> int:
        """Keep to the policies and the limits."""
        if wanted > current:
            more = self._room(self._up, now_s, current, lambda n, p: _more(n, p) - current)
            return min(wanted, current + more, self._target.maximum)
        if wanted < current:
            less = self._room(self._down, now_s, current, lambda n, p: current - _less(n, p))
            return max(wanted, current - less, self._target.minimum)
        return current

    def _room(
        self, behavior: Behavior, now_s: float, current: int, step: Callable[[int, Policy], int]
    ) -> int:
        """Return by how many workers the policies of a direction let their number change.

        Args:
            behavior: Of the direction.
            now_s: The time.
            current: Workers.
            step: Returns what one policy allows, given the workers when its period began.
        """
        if behavior.select == "disabled":
            return 0
        steps = []
        for policy in behavior.policies:
            since_s = now_s - policy.period_s
            changed = sum(change for at_s, change in self._changes if at_s > since_s)
            steps.append(step(current - changed, policy))
        return max(max(steps) if behavior.select == "max" else min(steps), 0)

    def _forget(self, now_s: float) -> None:
        """Drop what is older than all windows."""
        window_s = max(self._up.stabilization_s, self._down.stabilization_s)
        # The last one stays, so that the rule knows that it has begun.
        while len(self._recommendations) > 1 and self._recommendations[0][0] <= now_s - window_s:
            self._recommendations.popleft()
        period_s = max(p.period_s for b in (self._up, self._down) for p in b.policies)
        while self._changes and self._changes[0][0] <= now_s - period_s:
            self._changes.popleft()


def _more(start: int, policy: Policy) -> int:
    """Rounded up, or a percentage could never add the first worker."""
    if policy.kind == "pods":
        return start + policy.value
    return -(-start * (100 + policy.value) // 100)


def _less(start: int, policy: Policy) -> int:
    if policy.kind == "pods":
        return start - policy.value
    return start * (100 - policy.value) // 100
