"""What happened to each request, as its client and its workload saw it, and what may not happen.

An operation log in the manner of Jepsen: a client notes that it wants something (``invoke``), each
time that it sends it, and each answer; or that it went away and will never know (``left``). The
workload notes each start and end of a run. Nothing here asks the system under test what it thinks.

Pure: times are numbers of one clock that the caller reads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import attrs

CLOCK_S = 0.02
"""The workload's clock shows hundredths of a second."""
REJECTED = "rejected"
SUCCESS, CANCELLED, LOST = "success", "cancelled", "lost"


@attrs.frozen
class Answer:
    """A reply as it came."""

    at: float
    via: str
    outcome: str
    attempts: int = 0
    retry: bool = False
    """The frontend asks for the same request again: no end of it."""


@attrs.define(eq=False)
class Run:
    """One run of the workload."""

    name: str
    began: float
    ended: float | None = None
    """None if it was killed, or still runs."""


@attrs.define(eq=False)
class Request:
    """A request and all that is known of it."""

    id: str
    at: float
    queue: str = "q"
    sent: list[tuple[float, str]] = attrs.Factory(list)
    """When, and by which connection."""
    answers: list[Answer] = attrs.Factory(list)
    cancelled_at: float | None = None
    left_at: float | None = None
    runs: dict[str, Run] = attrs.Factory(dict)

    @property
    def finals(self) -> list[Answer]:
        """The answers that end it; there should be one."""
        return [answer for answer in self.answers if not answer.retry]

    @property
    def pending(self) -> bool:
        """Whether its client still waits for an answer."""
        return self.left_at is None and not self.finals


@attrs.frozen
class Violation:
    """A promise that was not kept."""

    invariant: str
    id: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.id}: {self.text}"


class History:
    """The operations of any number of clients.

    Ids are the clients' own, and unique over all of them. ``via`` names a connection; what comes
    before its last ``#`` names who was connected to, such as ``frontend-2#7``.
    """

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.unexpected: list[Violation] = []
        """Answers and runs that nobody asked for, since the last ``settle``."""
        self.settled: Counter[str] = Counter()
        """Requests that were judged and forgotten, by outcome."""
        self._gone: set[str] = set()
        """Those of them whose client went away; what it had sent may still arrive."""

    # --- what clients note -------------------------------------------------------------------

    def invoke(self, request_id: str, at: float, *, queue: str = "q") -> Request:
        """A client wants something."""
        assert request_id not in self.requests
        request = self.requests[request_id] = Request(request_id, at, queue)
        return request

    def sent(self, request_id: str, at: float, via: str) -> None:
        """A request was given to a connection; it may never arrive."""
        self.requests[request_id].sent.append((at, via))

    def cancel(self, request_id: str, at: float) -> None:
        """Its client asked for its cancellation."""
        self.requests[request_id].cancelled_at = at

    def answered(self, request_id: str, answer: Answer) -> None:
        """A reply came."""
        request = self.requests.get(request_id)
        if request is None:
            self._unasked("I2", request_id, f"{answer.outcome} by {answer.via}")
        elif answer.via not in {via for _, via in request.sent}:
            self._unasked("I2", request_id, f"answered by {answer.via}, which was not asked")
        else:
            request.answers.append(answer)

    def left(self, request_id: str, at: float) -> None:
        """Its client went away: whether it is done will never be known."""
        self.requests[request_id].left_at = at

    # --- what the workload notes ---------------------------------------------------------------

    def started(self, request_id: str, run: str, at: float) -> None:
        """A run began; ``run`` names it and no other one of this request."""
        request = self.requests.get(request_id)
        if request is not None:
            request.runs[run] = Run(run, at)
        elif request_id not in self._gone:
            self._unasked("I2", request_id, "runs, and nobody asked for it")

    def ended(self, request_id: str, run: str, at: float) -> None:
        """A run got to its end by itself."""
        request = self.requests.get(request_id)
        if request is not None and run in request.runs:
            request.runs[run].ended = at

    def _unasked(self, invariant: str, request_id: str, text: str) -> None:
        self.unexpected.append(Violation(invariant, request_id, text))

    # --- judging -------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Request]:
        """The requests whose clients still wait."""
        return [request for request in self.requests.values() if request.pending]

    def violations(self, *, max_attempts: int, releases: int = 0) -> list[Violation]:
        """Return every promise that was not kept; nothing may be on its way any more.

        Args:
            max_attempts: Of the frontends.
            releases: How many runs may have been given back by backends that stopped in good
                order: these are repeated and don't count as attempts.
        """
        found = list(self.unexpected)
        more_runs = 0
        for request in self.requests.values():
            found += _answers_wrong(request, max_attempts)
            found += _runs_wrong(request)
            more_runs += max(0, len(request.runs) - _most_runs(request, max_attempts))
        if more_runs > releases:
            text = f"{more_runs} runs more than attempts told of and {releases} given back"
            found.append(Violation("I3", "all", text))
        return found

    def outcomes(self) -> Counter[str]:
        """How requests ended, ever; ``left`` are those whose client went away."""
        return self.settled + Counter(map(_outcome, self.requests.values()))

    def settle(self) -> None:
        """Forget all requests but how they ended, and what was found; they have been judged.

        What still comes for one is unexpected.
        """
        self.settled = self.outcomes()
        self._gone |= {i for i, request in self.requests.items() if request.left_at is not None}
        self.requests.clear()
        self.unexpected.clear()


def _outcome(request: Request) -> str:
    if request.finals:
        return request.finals[0].outcome
    return "pending" if request.left_at is None else "left"


def _answers_wrong(request: Request, max_attempts: int) -> Iterator[Violation]:
    finals = request.finals
    if request.pending:
        yield Violation("I1", request.id, f"never answered; sent {len(request.sent)} times")
    if len(finals) > 1:
        yield Violation("I1", request.id, f"answered {len(finals)} times: {finals}")
    for answer in request.answers:
        if answer.attempts > max_attempts:
            yield Violation("I4", request.id, f"{answer.attempts} attempts of {max_attempts}")
        if answer.outcome == LOST and answer.attempts != max_attempts:
            yield Violation("I4", request.id, f"lost after {answer.attempts} attempts")
        if answer.outcome == SUCCESS and answer.attempts < 1:
            yield Violation("I4", request.id, "success without an attempt")


def _runs_wrong(request: Request) -> Iterator[Violation]:
    final = request.finals[0] if request.finals else None
    if final is None:
        return
    if final.outcome == SUCCESS and not any(run.ended is not None for run in request.runs.values()):
        yield Violation("I1", request.id, "success, but no run got to its end")
    if final.attempts == 0 and len(request.sent) == 1:
        for run in request.runs.values():
            if run.began > final.at + CLOCK_S:
                yield Violation("I6", request.id, f"{final.outcome} while it waited, then it runs")


def _most_runs(request: Request, max_attempts: int) -> int:
    """How many runs the answers account for; an unanswered sending may have had all attempts."""
    told = {answer.via: answer.attempts for answer in request.answers}
    return sum(told.get(via, max_attempts) for _, via in request.sent)


# --- accounts ------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Account:
    """What clients got from one frontend, as bounds: of a lost connection, nobody knows all."""

    least: Counter[str] = attrs.Factory(Counter)
    """Ends by outcome that clients surely got from it; with ``rejected``."""
    most: Counter[str] = attrs.Factory(Counter)
    """The same and those that it may have been."""
    unanswered: int = 0
    """Requests that were sent and of whose end nothing came back by that connection."""

    def exactly(self, outcome: str, count: int = 1) -> None:
        """Note ends that this frontend, and no other, told."""
        self.least[outcome] += count
        self.most[outcome] += count

    def perhaps(self, outcome: str, count: int) -> None:
        """Note ends that were told by this frontend or another one."""
        self.most[outcome] += count

    def add(self, other: Account) -> None:
        """Add what was got at another time, or by others."""
        self.least += other.least
        self.most += other.most
        self.unanswered += other.unanswered

    def violations(self, counted: Mapping[str, int], name: str) -> list[Violation]:
        """Compare with what the frontend counted: everything, once, by the same outcome.

        Args:
            counted: Its ends by outcome, and ``rejected``, when nothing is on its way.
            name: Of the frontend.
        """
        found, unknown = [], 0
        for outcome in {*counted, *self.most}:
            count = counted.get(outcome, 0)
            if count < self.least[outcome]:
                text = f"{count} {outcome} counted, {self.least[outcome]} got"
                found.append(Violation("I8", name, text))
            unknown += max(0, count - self.most[outcome])
        if unknown > self.unanswered:
            text = (
                f"{unknown} ends counted that nobody got, but only {self.unanswered} requests "
                f"have no answer: counted {dict(counted)}, got {dict(self.most)}"
            )
            found.append(Violation("I8", name, text))
        return found


def accounts(history: History) -> dict[str, Account]:
    """Return what the clients of a history got, by who they were connected to."""
    found: dict[str, Account] = defaultdict(Account)
    for request in history.requests.values():
        told = {answer.via: answer for answer in request.answers}
        for _, via in request.sent:
            account = found[via.rpartition("#")[0]]
            if via in told:
                account.exactly(told[via].outcome)
            else:
                account.unanswered += 1
    return found
