"""A client that runs elsewhere as the load engine, driven over its control port."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
import trio

from scalab.access.access import Access
from scalab.errors import ConfigError, UnreachableError
from scalab.measure.aggregate import HISTOGRAMS, Aggregate
from scalab.measure.interval import Interval
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.measure.window import Window
from scalab.protocol.text import printable
from scalab.runtime.fetch import HttpPeer
from scalab.runtime.net import Address
from scalab.verdict.checks import Facts, run_checks
from scalab.verdict.results import Checked

POLL_S: Final = 0.2
_COUNTS = ("sent", "completed", "succeeded")
_TIMES = ("wait", "run", "overhead", "total")


class RemoteEngine:
    """A running ``scalab client`` in a closed loop.

    It is asked for its statistics now and then; what was added since the last time makes an
    interval. Counts and sums of times are exact. Distributions within an interval aren't told, so
    the window's percentiles mean nothing: those shown are the client's own.

    Args:
        control: Its control port.
        access: Our token, and whether with TLS.
    """

    def __init__(self, control: Address, access: Access | None = None) -> None:
        self._client = HttpPeer(control, "the client", access, "control")
        self._url = self._client.url
        self._window = Window()
        self._last = Statistics.empty()
        self._queue = ""

    @property
    def in_flight(self) -> int:
        """Requests without an answer, when it was last asked."""
        return self._last.outstanding

    @property
    def window(self) -> Window:
        """What was measured since the last reset, up to the last ``look``."""
        return self._window

    async def set_parallel(self, n: int) -> None:
        """Ask for so many requests in parallel.

        Raises:
            ConfigError: Its --parallel-max is lower.
        """
        answer = await self._ask(f"/parallel?type=json&value={n}")
        if answer.get("result") != n:
            result = printable(str(answer.get("result")), 40)
            raise ConfigError(
                f"the client at {self._url} can't have {n} requests in parallel, but {result}: "
                "start it with a higher --parallel-max, in a closed loop"
            )
        await self._begin()

    async def reset(self) -> None:
        """Begin to measure."""
        await self._ask("/reset?type=json")
        await self._begin()

    async def _begin(self) -> None:
        self._window, self._last = Window(), Statistics.empty()
        await self.look()

    async def until_idle(self) -> None:
        """Wait until nothing is in flight."""
        while True:
            await self.look()
            if not self.in_flight:
                return
            await trio.sleep(POLL_S)

    async def look(self) -> None:
        """Bring ``window`` up to date."""
        answer = await self._ask("/api/stats")
        try:
            self._queue = str(answer["queue"])
            now = read_statistics(answer["statistics"])
        except (KeyError, TypeError, ValueError) as exc:
            raise UnreachableError(f"{self._url} is no client of ours: {exc!r}") from None
        if now.window_s < self._last.window_s:  # somebody else has reset it
            raise ConfigError(f"somebody else has changed the client at {self._url} meanwhile")
        if now.window_s > self._last.window_s:
            self._window.add(difference(self._last, now, self._queue))
        self._last = now

    async def statistics(self) -> Statistics:
        """Return what was measured, with places, as the client tells it."""
        return self._last

    def checks(self) -> tuple[Checked, ...]:
        """Return what the self-checks find that counts suffice for."""
        return run_checks(Facts(window=self._window, open_loop=False))

    async def _ask(self, path: str) -> dict[str, Any]:
        text = await self._client.get(path)
        try:
            answer = json.loads(text)
        except ValueError as exc:
            raise UnreachableError(f"{self._url}{path} is no client of ours: {exc}") from None
        if not isinstance(answer, dict):
            raise UnreachableError(f"{self._url}{path} is no client of ours")
        return answer


def difference(before: Statistics, after: Statistics, queue: str) -> Interval:
    """Return what was added from one look to the next.

    The times of an interval are all counted as their mean.
    """
    aggregate = Aggregate()
    for name in _COUNTS:
        setattr(aggregate, name, getattr(after, name) - getattr(before, name))
    for kind, n in after.failures.items():
        if more := n - before.failures.get(kind, 0):
            aggregate.failures[kind] = more
    for name in _TIMES:
        old, new = getattr(before, name), getattr(after, name)
        count = new.count - old.count
        if count > 0:
            total_s = new.mean_s * new.count - old.mean_s * old.count
            getattr(aggregate, name).record(total_s / count, count)
    return Interval(
        from_s=before.window_s,
        to_s=after.window_s,
        outstanding=after.outstanding,
        queues={queue: aggregate},
    )


def read_statistics(fields: dict[str, Any]) -> Statistics:
    """Return statistics of what ``scalab.measure.summary.to_json`` makes of them.

    Raises:
        KeyError, TypeError, ValueError: They aren't.
    """
    known = {field.name for field in attrs.fields(Statistics)}
    values = {name: value for name, value in fields.items() if name in known}
    for name in HISTOGRAMS:
        if name in values:
            values[name] = Spread(**values[name])
    for kind in ("nodes", "devices", "pods"):
        values[kind] = tuple(_place(place) for place in values[kind])
    values["errors"] = _errors(values["errors"])
    return Statistics(**values)


def _place(fields: dict[str, Any]) -> Place:
    steps = fields["histogram"]
    return Place(
        name=str(fields["name"]),
        served=int(fields["served"]),
        failed=int(fields["failed"]),
        run=Spread(**fields["run"]),
        histogram=tuple((step["from_s"], step["to_s"], step["count"]) for step in steps),
        devices=tuple(fields["devices"]),
        pods=tuple(fields["pods"]),
        errors=_errors(fields["errors"]),
    )


def _errors(found: list[dict[str, Any]]) -> tuple[ErrorCount, ...]:
    return tuple(ErrorCount(str(error["text"]), int(error["count"])) for error in found)
