"""What the store is to do, in plain words: one queue, one moment at a time, no Redis."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from scalab.sharedqueue.operations import (
    Answer,
    Beat,
    Beaten,
    Cancel,
    Cancelled,
    Check,
    Checked,
    Done,
    Ending,
    Enqueue,
    Enqueued,
    Finished,
    Kill,
    Leased,
    Leave,
    Left,
    Mailed,
    Operation,
    Pull,
    Pulled,
    Refresh,
    Refreshed,
    Release,
    Released,
)

QUEUE = "q"
GAP_US = 5_000_000
State = Literal["waiting", "running", "ended"]


@attrs.define(eq=False)
class Item:
    """What is known of an item. Times are microseconds."""

    id: str
    body: bytes
    session: int
    origin: str
    place: int
    since: int
    state: State = "waiting"
    waited: int = 0
    attempts: int = 0
    token: str = ""
    holder: str = ""
    until: int = 0
    """The end of its lease."""
    flag: str = ""
    """Why it is to end while it runs."""
    last: str = ""
    """The token of the hand-over that its holder ended last."""
    outcome: str = ""
    reply: bytes = b""
    gone: bool = False
    """It was ended only because its client had gone."""

    @property
    def ending(self) -> Ending:
        return Ending(self.outcome, self.reply, self.attempts, self.waited / 1e6)


class Model:
    """The store, as a book that is kept by one clerk."""

    def __init__(self, orphan_us: int) -> None:
        self.orphan_us = orphan_us
        self.now = 0
        self.lose_all()

    def lose_all(self) -> None:
        """Forget everything."""
        self.items: dict[str, Item] = {}
        self.pulls: dict[str, list[tuple[str, str]]] = {}
        self.alive: dict[str, int] = {}
        """Frontends, and the time until which they are thought alive."""
        self.mail: dict[str, list[Mailed | Kill]] = {}
        self.reports: dict[str, bytes] = {}
        self.said: list[str] = []
        """Hints: ``wake``, or ``mail:`` and a frontend."""
        self.dead: list[tuple[str, int]] = []
        self.number = 0
        self.generation = ""
        self.seen = self.hold = 0
        """When any frontend was here last, and until when nobody is given up."""

    # --- views -------------------------------------------------------------------------------

    def line(self) -> list[Item]:
        """What waits, in order."""
        waiting = [item for item in self.items.values() if item.state == "waiting"]
        return sorted(waiting, key=lambda item: item.place)

    def running(self) -> list[Item]:
        """What is leased, in the order in which leases end."""
        found = [item for item in self.items.values() if item.state == "running"]
        return sorted(found, key=lambda item: (item.until, item.id))

    def owned(self, frontend: str) -> set[str]:
        """Items that have not ended, of a frontend's clients."""
        return {i.id for i in self.items.values() if i.state != "ended" and i.origin == frontend}

    # --- operations --------------------------------------------------------------------------

    def execute(self, me: str, operation: Operation) -> Answer:
        """Do it, and answer."""
        act: Any = getattr(self, f"_{type(operation).__name__.lower()}")
        answer: Answer = act(me, operation)
        return answer

    def _enqueue(self, me: str, op: Enqueue) -> Enqueued:
        item = self.items.get(op.id)
        later = item is not None and op.session > item.session
        if item is not None and op.session < item.session:
            return Enqueued("moved")
        back = item is not None and item.state == "ended" and item.gone and later
        if item is not None and not back:
            if item.state == "ended":
                return Enqueued("ended", ending=item.ending)
            if item.flag == "gone" and later:
                item.flag = ""
            item.session, item.origin = op.session, me
            self.alive.setdefault(me, self.now)
            return Enqueued(item.state)
        if op.limit and not op.again and len(self.line()) >= op.limit:
            return Enqueued("full")
        place = item.place if item is not None and item.place else self._next()
        self.alive.setdefault(me, self.now)
        new = Item(op.id, op.body, op.session, me, place, self.now, state="ended")
        self.items[op.id] = new
        self._line_up(new)
        return Enqueued("waiting", fresh=True)

    def _check(self, me: str, op: Check) -> Checked:
        return Checked(tuple(self._checked(id_, session) for id_, session in op.items))

    def _checked(self, id_: str, session: int) -> Enqueued:
        item = self.items.get(id_)
        if item is None or session > item.session:
            return Enqueued("unknown")
        if session < item.session:
            return Enqueued("moved")
        return Enqueued(item.state, ending=item.ending if item.state == "ended" else None)

    def _cancel(self, me: str, op: Cancel) -> Cancelled:
        item = self.items.get(op.id)
        if item is None:
            item = Item(op.id, b"", op.session, "", 0, 0, state="ended")
            self.items[op.id] = item
            self._end(item, "cancelled", gone=op.gone)
            return Cancelled("cancelled", item.ending)
        if op.session < item.session:
            return Cancelled("moved")
        item.session = op.session
        if item.state == "ended":
            item.gone = item.gone and op.gone
            return Cancelled("ended", item.ending)
        if item.state == "waiting":
            self._end(item, "cancelled", gone=op.gone)
            return Cancelled("cancelled", item.ending)
        if not op.kill:
            return Cancelled("running")
        if item.flag != "client":
            item.flag = "gone" if op.gone else "client"
        self._post(item.holder, Kill(QUEUE, item.id, item.token))
        return Cancelled("killing")

    def _pull(self, me: str, op: Pull) -> Pulled:
        if op.id in self.pulls:
            given = [(self.items.get(id_), token) for id_, token in self.pulls[op.id]]
            still = [item for item, token in given if item and item.token == token]
        else:
            self._reap(op.max_attempts)
            still = []
            for item in self.line():
                if len(still) == op.count:
                    break
                if self._is_orphan(item):
                    del self.items[item.id]
                    continue
                self._stop_waiting(item)
                item.state, item.token, item.holder = "running", str(self._next()), me
                item.until = self.now + round(op.lease_s * 1e6)
                still.append(item)
            if still:
                self.pulls[op.id] = [(item.id, item.token) for item in still]
        leased = (Leased(i.id, i.token, i.body, i.attempts, i.waited / 1e6) for i in still)
        return Pulled(tuple(leased), len(self.line()))

    def _beat(self, me: str, op: Beat) -> Beaten:
        lost, cancelled = [], []
        for id_, token in op.leases:
            item = self._held(id_, token)
            if item is None:
                lost.append(token)
                continue
            item.until = self.now + round(op.lease_s * 1e6)
            if item.flag:
                cancelled.append(token)
        return Beaten(tuple(lost), tuple(cancelled))

    def _done(self, me: str, op: Done) -> Finished:
        item = self.items.get(op.id)
        if item is not None and item.last == op.token != item.token:
            if item.state != "ended":
                return Finished("again")
            return Finished("own" if item.origin == me else "mailed", item.session)
        item = self._held(op.id, op.token)
        if item is None:
            return Finished("stale")
        item.last = op.token
        if op.cancelled and not item.flag:
            self._give_back(item, counted=False, max_attempts=0)
            return Finished("again")
        item.attempts += 1
        self._end(item, "done", op.reply, gone=op.cancelled and item.flag == "gone")
        if item.origin == me:
            return Finished("own", item.session)
        self._post(item.origin, Mailed(QUEUE, item.id, item.session, item.ending))
        return Finished("mailed", item.session)

    def _release(self, me: str, op: Release) -> Released:
        item = self.items.get(op.id)
        if item is None or not item.last == op.token != item.token:
            item = self._held(op.id, op.token)
            if item is None:
                return Released("stale")
            item.last = op.token
            self._give_back(item, counted=op.counted, max_attempts=op.max_attempts)
        return Released("ended" if item.state == "ended" else "waiting")

    def _refresh(self, me: str, op: Refresh) -> Refreshed:
        if self.seen and self.now - self.seen > GAP_US:
            self.hold = self.now + GAP_US
        self.seen = self.now
        self.reports[me] = op.report
        self.alive[me] = self.now + round(op.alive_s * 1e6)
        self._reap(op.max_attempts)
        dead = [f for f, until in self.alive.items() if until + self.orphan_us < self.now]
        for frontend in dead if not self._on_hold() else ():
            for item in self.line():
                if item.origin == frontend:
                    del self.items[item.id]
            del self.alive[frontend]
            self.mail.pop(frontend, None)
            self.reports.pop(frontend, None)
        self.generation = self.generation or str(self.now)
        line = self.line()
        oldest_s = (self.now - line[0].since) / 1e6 if line else 0.0
        alive = sum(until > self.now for until in self.alive.values())
        told = tuple(
            self.reports[frontend]
            for frontend, until in sorted(self.alive.items(), key=lambda pair: (pair[1], pair[0]))
            if until > self.now and self.reports.get(frontend)
        )
        return Refreshed(len(line), len(self.running()), oldest_s, alive, self.generation, told)

    def _leave(self, me: str, op: Leave) -> Left:
        if me in self.alive:
            self.alive[me] = self.now
        self.mail.pop(me, None)
        self.reports.pop(me, None)
        return Left()

    # --- inside ------------------------------------------------------------------------------

    def _next(self) -> int:
        self.number = self.number + 1 if self.number else self.now
        return self.number

    def _post(self, frontend: str, letter: Mailed | Kill) -> None:
        self.mail.setdefault(frontend, []).append(letter)
        self.said.append(f"mail:{frontend}")

    def _held(self, id_: str, token: str) -> Item | None:
        item = self.items.get(id_)
        return item if item is not None and item.token and item.token == token else None

    def _on_hold(self) -> bool:
        """Whether the store was away just now, and all have a moment to come back."""
        return self.now < self.hold or bool(self.seen and self.now - self.seen > GAP_US)

    def _is_orphan(self, item: Item) -> bool:
        if self._on_hold():
            return False
        return self.alive.get(item.origin, -self.orphan_us - 1) + self.orphan_us < self.now

    def _line_up(self, item: Item) -> None:
        if not self.line():
            self.said.append("wake")
        item.state, item.since = "waiting", self.now
        item.token = item.holder = item.flag = ""

    def _stop_waiting(self, item: Item) -> None:
        item.waited += self.now - item.since

    def _end(self, item: Item, outcome: str, reply: bytes = b"", *, gone: bool = False) -> None:
        if item.state == "waiting":
            self._stop_waiting(item)
        item.state, item.outcome, item.reply, item.gone = "ended", outcome, reply, gone
        item.token = item.holder = item.flag = ""

    def _give_back(self, item: Item, *, counted: bool, max_attempts: int) -> None:
        item.attempts += counted
        if item.flag:
            self._end(item, "cancelled", gone=item.flag == "gone")
        elif counted and item.attempts >= max_attempts:
            self.dead.append((item.id, item.attempts))
            self._end(item, "lost")
        elif self._is_orphan(item):
            del self.items[item.id]
            item.state = "ended"
            return
        else:
            self._line_up(item)
            return
        self._post(item.origin, Mailed(QUEUE, item.id, item.session, item.ending))

    def _reap(self, max_attempts: int) -> None:
        for item in self.running() if not self._on_hold() else ():
            if item.until <= self.now:
                item.last = ""
                self._give_back(item, counted=True, max_attempts=max_attempts)
