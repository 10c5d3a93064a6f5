"""The runs of several clients that loaded the same system at the same time, as one run.

Histograms and counts add up exactly, so merged percentiles are those of all requests. What must be
settled is time: the runs are aligned by when they started, as each client's host tells, and put
together slot by slot (``slots``). So the merged window is what the clients' windows have in common,
in whole intervals. At each of its ends, what is counted of a client may be off by half an interval:
of a minute in intervals of one second at most 1.7 % of its throughput, and nothing when the
intervals begin together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import attrs

from scalab.errors import ConfigError
from scalab.load.scenario import Scenario
from scalab.measure.interval import Interval

from .files import RunFile
from .order import Order
from .reading import Run, RunBuilder, read_run
from .records import End, Environment, Event, Header
from .scenarios import merged_scenario
from .slots import Track, slots

_FEW = 0.8  # of what the client that measured least measured


class _Client:
    """One client's file while it is read: its intervals, and on the way its events and end.

    Args:
        file: The file.
        stack: Closes it.
        add_event: Takes events, with their times those of the merged run.
    """

    def __init__(self, file: RunFile, stack: ExitStack) -> None:
        self.file = file
        self.header, self._records = file.begin()
        stack.enter_context(closing(self._records))
        self.started = datetime.fromisoformat(self.header.started_at)
        self.offset_s = 0.0
        """How much later than the first client it started."""
        self.end: End | None = None
        self.to_s = 0.0

    @property
    def name(self) -> str:
        """What its events are marked with."""
        environment = self.header.environment
        return environment.pod or environment.host or self.header.id

    def intervals(self, add_event: Callable[[Event], None]) -> Iterator[Interval]:
        """Yield its intervals, with the times of the merged run; hand out events on the way."""
        order = Order(self.header)
        for record in self._records:
            try:
                order.check(record)
            except ValueError as exc:
                raise self.file.error(str(exc)) from None
            if isinstance(record, Interval):
                record.from_s += self.offset_s
                record.to_s += self.offset_s
                self.to_s = record.to_s
                yield record
            elif isinstance(record, Event):
                # The level is that of one client, but whoever reads the run's takes it for all.
                at_s, text = record.at_s + self.offset_s, f"{self.name}: {record.text}"
                add_event(attrs.evolve(record, at_s=at_s, text=text, level=None))
            elif isinstance(record, End):
                self.end = record

    def clock(self, at_s: float) -> str:
        """Return a time of the merged run by the wall clock."""
        moment = self.started.timestamp() - self.offset_s + at_s
        return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def merge_runs(paths: Sequence[Path | str]) -> Run:
    """Read the run files of several clients as one run.

    The end of the merged run has no thresholds and checks: they must be judged anew. CPU time is
    that of the client that took most of it. Levels add up.

    Args:
        paths: The files, one of each client. All are open at once.

    Raises:
        ConfigError: A file can't be read, is given twice, or they don't overlap; one line.
    """
    if not paths:
        raise ConfigError("name at least one run file")
    if len(paths) == 1:
        return read_run(paths[0])
    with ExitStack() as stack:
        return _merged([_Client(RunFile(path), stack) for path in paths])


def _merged(clients: list[_Client]) -> Run:
    _check_distinct(clients)
    first = min(clients, key=lambda client: client.started)
    for client in clients:
        client.offset_s = (client.started - first.started).total_seconds()
    scenario, problems = merged_scenario([client.header.scenario for client in clients])
    builder = RunBuilder(_header(clients, first, scenario))
    kind = clients[0].header.scenario.load.kind
    tracks = [
        Track(client.intervals(builder.add), counts_level=client.header.scenario.load.kind == kind)
        for client in clients
    ]
    present = [(client, track) for client, track in zip(clients, tracks, strict=True) if track.next]
    for slot in slots([track for _, track in present]):
        builder.add(slot)
    if end := _end(clients):
        builder.add(end)
    _check_overlap(present)
    run = builder.run(
        truncated=any(client.file.truncated for client in clients),
        problems=[*_notes(clients), *problems],
        parts=[client.header for client in clients],
    )
    return attrs.evolve(run, problems=(*run.problems, *_window_notes(run, present)))


def _check_distinct(clients: Sequence[_Client]) -> None:
    by_id: dict[str, _Client] = {}
    for client in clients:
        other = by_id.setdefault(client.header.id, client)
        if other is not client:
            raise ConfigError(
                f"{client.file.name} is the same run as {other.file.name} ({client.header.id}):"
                " give each client's file once"
            )


def _check_overlap(present: Sequence[tuple[_Client, Track]]) -> None:
    """Refuse runs that were not at the same time."""
    if not present:
        return
    late, begun = max(present, key=lambda pair: pair[1].begun_s)
    early, _ = min(present, key=lambda pair: pair[0].to_s)
    if begun.begun_s >= early.to_s:
        raise ConfigError(
            f"{late.file.name} begins at {late.clock(begun.begun_s)} UTC, when"
            f" {early.file.name} has ended at {early.clock(early.to_s)}: only clients that ran at"
            " the same time can be merged"
        )


def _header(clients: Sequence[_Client], first: _Client, scenario: Scenario) -> Header:
    headers = [client.header for client in clients]
    versions = dict.fromkeys(header.scalab for header in headers)
    hosts = dict.fromkeys(client.name for client in clients)
    return attrs.evolve(
        first.header,
        id=f"{first.header.id}+{len(clients) - 1}",
        scalab=", ".join(versions),
        scenario=scenario,
        environment=Environment(host=", ".join(hosts)),
        interval_s=max(header.interval_s for header in headers),
    )


def _end(clients: Sequence[_Client]) -> End | None:
    """Return the end of all; None if a client has none."""
    ends = [(client, client.end) for client in clients if client.end]
    if len(ends) < len(clients):
        return None
    errors = (f"{client.name}: {end.error}" for client, end in ends if end.error)
    return End(
        at_s=max(end.at_s + client.offset_s for client, end in ends),
        reason=", ".join(dict.fromkeys(end.reason for _, end in ends)),
        error="; ".join(errors),
    )


def _notes(clients: Sequence[_Client]) -> Iterator[str]:
    latest_s = max(client.offset_s for client in clients)
    yield (
        f"Merged from the runs of {len(clients)} clients, which started within {latest_s:.3g} s by"
        " the clocks of their hosts."
    )
    if len({client.header.scenario.load.kind for client in clients}) > 1:
        yield "Some clients ran an open loop and some a closed one: levels are of the first kind."
    for client in clients:
        if client.to_s == 0.0:
            yield f"{client.file.name} holds no intervals, and is left out."
        elif client.end is None:
            yield f"{client.file.name} has no end: its client was killed."


def _window_notes(run: Run, present: Sequence[tuple[_Client, Track]]) -> Iterator[str]:
    """Tell how much of what was measured is in the merged window."""
    least_s = min((track.measured_s for _, track in present), default=0.0)
    if least_s > 0 and run.measured.duration_s < _FEW * least_s:
        yield (
            f"Only {run.measured.duration_s:.3g} s were measured by all clients at the same time,"
            f" of {least_s:.3g} s by the one that measured least."
        )
