"""An autoscaler to try things with where there is no cluster: it scales whatever can be scaled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from scalab.errors import ConfigError
from scalab.scaling.hpa import DOWN, UP, Behavior, HpaDecision, HpaRule
from scalab.scaling.observed import Target

from .base import Scaler

SYNC_S = 15.0
"""The default of Kubernetes (``--horizontal-pod-autoscaler-sync-period``)."""


class SimulatedAutoscaler:
    """Does with a scaler what a HorizontalPodAutoscaler does with a Deployment.

    Like that one, it looks at the demand from time to time, knows nothing of what comes between,
    and changes nothing while the demand can't be read.

    Args:
        scaler: What it scales; already entered.
        read_demand: Returns the items that wait and run, or None if that can't be told now.
        target: What to hold.
        up: How fast to add workers.
        down: How fast to remove them.
        sync_s: Seconds from the end of one look at the demand to the next.
        on_decision: Called with each decision once it is carried out, if it changes anything or
            not.

    Raises:
        ConfigError: ``sync_s`` is not more than 0.
    """

    def __init__(
        self,
        scaler: Scaler,
        read_demand: Callable[[], Awaitable[float | None]],
        target: Target,
        *,
        up: Behavior = UP,
        down: Behavior = DOWN,
        sync_s: float = SYNC_S,
        on_decision: Callable[[HpaDecision], None] = lambda _decision: None,
    ) -> None:
        if not sync_s > 0:
            raise ConfigError(f"sync: every {sync_s:g} s; it must be more than 0")
        self._scaler = scaler
        self._read_demand = read_demand
        self._rule = HpaRule(target, up=up, down=down)
        self._sync_s = sync_s
        self._on_decision = on_decision
        self.missed = 0
        """Looks at the demand that saw none."""

    async def run(self) -> None:
        """Scale until cancelled, at once for the first time.

        Raises:
            ScalerError: The scaler can't do its work.
        """
        while True:
            await self.sync()
            await trio.sleep(self._sync_s)

    async def sync(self) -> None:
        """Look at the demand once, and scale if that is to be."""
        demand = None
        with trio.move_on_after(self._sync_s):  # a demand that takes longer to read is an old one
            demand = await self._read_demand()
        if demand is None:
            self.missed += 1
            return
        # As the real one: by what was asked for, not by what is up.
        current = (await self._scaler.readiness()).wanted
        decision = self._rule.decide(trio.current_time(), current, demand)
        if decision.desired != current:
            await self._scaler.scale(decision.desired)
        self._on_decision(decision)
