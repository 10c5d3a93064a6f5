"""The lives of workers while an autoscaler is at work: asked for, ready, first item, gone."""

from __future__ import annotations

import attrs

from scalab.measure.interval import Interval
from scalab.scalers.kube.workload import Observation
from scalab.scaling.observed import WorkerLife

MAX_LIVES = 10_000


class Served:
    """When each pod first answered a request, and how many it has answered by now."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first_s: dict[str, float] = {}

    def add(self, interval: Interval) -> None:
        """Take in what was counted."""
        for aggregate in interval.queues.values():
            for name, pod in aggregate.pods.items():
                self.first_s.setdefault(name, interval.to_s)
                self.counts[name] = self.counts.get(name, 0) + pod.served


class NumberedLives:
    """Workers that a scaler numbers: when there are n, they are ``worker-1`` to ``worker-n``.

    A worker begins when so many are asked for, and is gone when fewer are. Which of them are up is
    told by their number alone: they come up in order.

    Args:
        served: By pod, which is called as the worker.
        already: Workers that there are at the start.
    """

    def __init__(self, served: Served, already: int) -> None:
        self._served = served
        self._lives: list[WorkerLife] = []
        self._now: list[int] = []  # of the workers there are to be, where in the list
        self._before: list[int] = []  # what each of them had served when it began
        self._ask(0.0, already)

    def _ask(self, at_s: float, workers: int) -> None:
        while len(self._now) > workers:
            index = self._now.pop()
            self._before.pop()
            self._lives[index] = attrs.evolve(self._lives[index], gone_s=at_s)
        while len(self._now) < workers and len(self._lives) < MAX_LIVES:
            name = f"worker-{len(self._now) + 1}"
            self._now.append(len(self._lives))
            self._before.append(self._served.counts.get(name, 0))
            self._lives.append(WorkerLife(name=name, asked_s=at_s))

    def update(self, at_s: float, desired: int, ready: int) -> None:
        """Take in what is asked for and how many are up."""
        self._ask(at_s, desired)
        for number, (index, before) in enumerate(zip(self._now, self._before, strict=True), 1):
            life = self._lives[index]
            if life.ready_s is None and number <= ready:
                life = attrs.evolve(life, ready_s=at_s)
            if life.first_item_s is None and self._served.counts.get(life.name, 0) > before:
                life = attrs.evolve(life, ready_s=life.ready_s or at_s, first_item_s=at_s)
            self._lives[index] = life

    @property
    def lives(self) -> list[WorkerLife]:
        """All of them so far."""
        return list(self._lives)


class PodLives:
    """Workers that a cluster names, with the times that it tells.

    Args:
        served: By pod.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._lives: dict[str, WorkerLife] = {}
        self._asked: list[tuple[float, int]] = []

    def update(self, at_s: float, seen: Observation) -> None:
        """Take in what the cluster says, at ``at_s`` by the run's clock."""
        if not self._asked or self._asked[-1][1] != seen.desired:
            self._asked.append((at_s, seen.desired))
        offset_s = at_s - seen.at_s if seen.at_s is not None else None
        names = {pod.name for pod in seen.pods}
        for name, life in self._lives.items():
            if name not in names and life.gone_s is None:
                self._lives[name] = attrs.evolve(life, gone_s=at_s)

        def here(cluster_s: float | None) -> float | None:
            known = cluster_s is not None and offset_s is not None
            return max(cluster_s + offset_s, 0.0) if known else None  # type: ignore[operator]

        for pod in seen.pods:
            if pod.name not in self._lives and len(self._lives) >= MAX_LIVES:
                continue
            created_s = here(pod.created_s)
            asked_s = min(self._asked[-1][0], at_s if created_s is None else created_s)
            new = WorkerLife(name=pod.name, asked_s=asked_s, created_s=created_s)
            life = self._lives.get(pod.name, new)
            self._lives[pod.name] = attrs.evolve(
                life,
                scheduled_s=life.scheduled_s or here(pod.scheduled_s),
                ready_s=life.ready_s or here(pod.ready_s),
                first_item_s=life.first_item_s or self._served.first_s.get(pod.name),
            )

    @property
    def lives(self) -> list[WorkerLife]:
        """All of them so far."""
        return list(self._lives.values())
