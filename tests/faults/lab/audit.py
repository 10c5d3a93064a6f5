"""The audit: what clients got, what the workload ran and what the parts count must agree."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import attrs
import trio

from .history import REJECTED, SUCCESS, Account, History, Violation, accounts
from .pages import Page, by_label, connections
from .processes import Lab, Part, now
from .workload import RunLog

SETTLED_S = 30.0
"""In which everything must have been answered once nothing is wrong any more."""
_LEFT_OVER_S = 5.0
"""In which what was cancelled must have ended, and closed connections be gone."""
_SPARE = 4
"""Descriptors that a backend has more at times: for polling, for its guard."""


@attrs.define(eq=False)
class Measured:
    """A client of scalab, and what it counted up to the last audit."""

    part: Part
    page: Page
    parallel: int
    classic: bool = False
    ended: Counter[str] = attrs.Factory(Counter)
    life: str = ""
    losses: int = 0


@attrs.frozen
class Sample:
    """What a process used while nothing was going on."""

    at: float
    resident_bytes: int
    descriptors: int
    """Without those of its peers."""
    tasks: int
    peers: int


@attrs.define
class Figures:
    """What a test has to tell at its end."""

    theirs: Counter[str] = attrs.Factory(Counter)
    """Requests of scalab's own clients, by outcome."""
    unknown: int = 0
    """Ends that frontends counted and whose answer was lost on the way."""


@attrs.define(eq=False)
class Audit:
    """Compares all sides while nothing is on its way.

    A frontend's counts are compared with what its clients got. For each process that answered as a
    frontend there are bounds: what surely came from it, what may have, and how many requests were
    sent to it of whose end nothing is known as their connection broke.
    """

    lab: Lab
    history: History
    run_log: RunLog
    frontend: Part
    pages: dict[Part, Page]
    """Of the frontend and the backends."""
    measured: list[Measured]
    max_attempts: int
    figures: Figures = attrs.Factory(Figures)
    samples: dict[str, list[Sample]] = attrs.Factory(lambda: defaultdict(list))
    """By lives of parts."""
    _accounts: dict[str, Account] = attrs.Factory(lambda: defaultdict(Account))
    _late: Counter[str] = attrs.Factory(Counter)
    """Requests of unknown end in the last round, by whom they were sent to."""
    _audited: str = ""
    """The life of the frontend at the last audit."""
    _farewells: dict[str, Counter[str]] = attrs.Factory(dict)
    _releases: int = 0
    _started: Counter[str] = attrs.Factory(Counter)
    """Runs for scalab's own clients, by the clients' lives."""
    _started_before: Counter[str] = attrs.Factory(Counter)
    """The same, up to the last audit."""
    _ended: Counter[str] = attrs.Factory(Counter)
    """The same, of runs that got to their end."""

    def begin(self) -> None:
        """Take note that the first life of the frontend has begun."""
        self._audited = self.frontend.life

    def may_release(self, runs: int) -> None:
        """Note that so many runs may be given back, which then don't count as attempts."""
        self._releases += runs

    def gone(self, client: Measured) -> None:
        """Note that one of scalab's clients ended, and won't tell what it counted."""
        self._read_runs()
        life = client.part.life
        runs = self._started[life] - self._started_before[life]
        self._accounts[self.frontend.life].unanswered += runs + 2 * client.parallel

    def farewell(self, life: str, line: str) -> None:
        """Note what a frontend said when it had ended in good order."""
        counts = {name: int(count) for name, count in re.findall(r"\b(\w+)=(\d+)", line)}
        accepted = counts.pop("accepted")
        assert accepted == sum(counts.values()), line
        self._farewells[life] = Counter(counts)

    async def check(self) -> list[Violation]:
        """Return what is wrong; no client makes new requests, and all have their answers."""
        with trio.fail_after(SETTLED_S):
            for client in self.measured:
                await self._count(client)
            metrics = await self._quiet()
        self._audited = self.frontend.life
        self._read_runs()
        self._started_before = Counter(self._started)
        found = [
            *self.history.violations(max_attempts=self.max_attempts, releases=self._releases),
            *self._runs_of_theirs(),
            *self._compare(metrics),
        ]
        self.history.settle()
        return found + await self._left_over()

    async def sample(self) -> None:
        """Note what all parts use now; to be called after a check."""
        pages = {**self.pages, **{client.part: client.page for client in self.measured}}
        for part, page in pages.items():
            metrics = await page.metrics()
            peers = connections(metrics) if part is self.frontend else 0
            self.samples[part.life].append(
                Sample(
                    now(),
                    int(metrics["process_resident_memory_bytes"]),
                    int(metrics["process_open_fds"]) - peers,
                    int(metrics["scalab_event_loop_tasks"]),
                    peers,
                )
            )

    # --- counts --------------------------------------------------------------------------------

    async def _count(self, client: Measured) -> None:
        """Wait until one of scalab's clients has all its answers, and note how they ended."""
        while True:
            metrics = await client.page.metrics()
            if not metrics['scalab_client_outstanding_requests{queue="q"}']:
                break
            await trio.sleep(0.05)
        if client.life != client.part.life:
            client.life, client.ended, client.losses = client.part.life, Counter(), 0
        outcomes = by_label(metrics, "scalab_client_requests_ended_total", "outcome")
        new, client.ended = outcomes - client.ended, outcomes
        self.figures.theirs += new
        lost = sum("lost the frontend" in line for line in client.part.process.log)
        restarted = self._audited != self.frontend.life
        one = lost == client.losses and not restarted
        for life in {self.frontend.life, self._audited}:
            account = self._accounts[life]
            for outcome, count in new.items():
                # A classic client takes a broken connection for a failure.
                sure = outcome == SUCCESS or not client.classic
                (account.exactly if one and sure else account.perhaps)(outcome, count)
                account.unanswered += 0 if sure else count
            # What was in flight on a lost connection ended there, too.
            account.unanswered += (lost - client.losses + restarted) * client.parallel
        client.losses = lost

    async def _quiet(self) -> dict[str, float]:
        """Wait until nothing waits or runs, and return the frontend's metrics of then."""
        while True:
            metrics = await self.pages[self.frontend].metrics()
            if not by_label(metrics, "scalab_queue_items", "state").total():
                return metrics
            await trio.sleep(0.05)

    def _compare(self, metrics: dict[str, float]) -> list[Violation]:
        """A frontend counts what its clients got, once each; one that was stopped, too."""
        name = self.frontend.life
        counted = by_label(metrics, "scalab_queue_items_completed_total", "outcome")
        accepted = int(metrics['scalab_queue_items_accepted_total{queue="q"}'])
        if accepted != counted.total():
            text = f"{accepted} accepted, {counted.total()} ended"
            return [Violation("I1", name, text)]
        counted[REJECTED] = by_label(metrics, "scalab_queue_items_rejected_total", "reason").total()
        for life, account in accounts(self.history).items():
            self._accounts[life].add(account)
        found = []
        for life, counts in {**self._farewells, name: counted}.items():
            if life != name:  # the farewell tells nothing of these
                counts[REJECTED] = self._accounts[life].least[REJECTED]
            found += self._settle(life, counts)
        self._farewells.clear()
        return found

    def _settle(self, life: str, counted: Counter[str]) -> list[Violation]:
        """Compare a frontend's counts; from now on they are what is known of it.

        A request on a connection that broke may arrive as late as during the next round, when the
        network sends it again, and not after that.
        """
        account = self._accounts[life]
        self.figures.unknown += (counted - account.most).total()
        lately = account.unanswered
        account.unanswered += self._late[life]
        found = account.violations(counted, life)
        self._late[life] = lately
        self._accounts[life] = Account(+counted, +counted)
        return found

    # --- runs ----------------------------------------------------------------------------------

    def _read_runs(self) -> None:
        self.run_log.read(self.note_start, self.note_end)

    def note_start(self, request_id: str, run: str, at: float) -> None:
        """Take note of a run that began."""
        if request_id.startswith("client-"):
            self._started[request_id.rpartition("-")[0]] += 1
        else:
            self.history.started(request_id, run, at)

    def note_end(self, request_id: str, run: str, at: float) -> None:
        """Take note of a run that got to its end."""
        if request_id.startswith("client-"):
            self._ended[request_id.rpartition("-")[0]] += 1
        else:
            self.history.ended(request_id, run, at)

    def _runs_of_theirs(self) -> list[Violation]:
        """Each success that a client of scalab counted is a run that got to its end."""
        found = []
        for client in self.measured:
            life, successes = client.part.life, client.ended[SUCCESS]
            if self._ended[life] < successes:
                text = f"{successes} successes, but {self._ended[life]} runs got to their end"
                found.append(Violation("I1", life, text))
        return found

    # --- what is left --------------------------------------------------------------------------

    async def _left_over(self) -> list[Violation]:
        """No run goes on, and no part has more descriptors open than at the last audit."""
        found = []
        with trio.move_on_after(_LEFT_OVER_S):
            while self._runs():  # noqa: ASYNC110
                await trio.sleep(0.05)
        if runs := self._runs():
            found.append(Violation("I9", "workload", f"these runs go on: {runs}"))
        for part, page in self.pages.items():
            usual = self.samples.get(part.life)
            if usual and (seen := await self._more_than(usual[0], part, page)):
                text = f"{seen} descriptors open, {usual[0].descriptors} before"
                found.append(Violation("I7", part.life, text))
        await self.sample()
        return found

    def _runs(self) -> list[str]:
        commands = self.lab.left_over().values()
        return [command for command in commands if command.startswith(("sh -c", "sleep "))]

    async def _more_than(self, usual: Sample, part: Part, page: Page) -> int:
        """Return how many descriptors are open, or 0 if that soon is not too many."""
        spare, seen = 0 if part is self.frontend else _SPARE, 0
        with trio.move_on_after(_LEFT_OVER_S):
            while True:
                metrics = await page.metrics()
                peers = connections(metrics) if part is self.frontend else 0
                seen = int(metrics["process_open_fds"]) - peers
                if seen <= usual.descriptors + spare:
                    return 0
                await trio.sleep(0.1)
        return seen
