"""The backend's session: as many items at once as there are slots, one task for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

import attrs
import structlog
import trio

from scalab.errors import UnreachableError
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import (
    VERSION,
    Cancel,
    Drain,
    Empty,
    Frame,
    Hello,
    Pull,
    Release,
    Reply,
    WorkItem,
)
from scalab.protocol.text import printable
from scalab.runtime.link import Link
from scalab.runtime.net import backoff_delays
from scalab.runtime.reconnect import Connector
from scalab.runtime.service import Stop

from .devices import Slot
from .runner import Runner
from .settings import BackendSettings

ANSWER_WITHIN_S = 0.6
"""A frontend that doesn't answer a ping in this time is frozen: the exit doesn't wait for it."""

log = structlog.get_logger()


@attrs.define(eq=False)
class _Run:
    """An item that runs."""

    cancel: trio.CancelScope = attrs.Factory(trio.CancelScope)
    """Ends the workload early."""
    released: bool = False
    """Give the item back instead of replying."""


class SessionWorker:
    """Runs the items of one queue, over as many sessions as it takes."""

    def __init__(
        self, settings: BackendSettings, runner: Runner, slots: list[Slot], stop: Stop
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._slots = len(slots)
        self._free = deque(slots)
        self._stop = stop
        self._running: dict[str, _Run] = {}
        self._ended = trio.Event()
        self._resting = False
        self._rests = 0
        self._welcomed = False
        self._delays: Iterator[float] | None = None

    @property
    def busy(self) -> int:
        """Slots that run something now."""
        return len(self._running)

    @property
    def ready(self) -> bool:
        """Whether the frontend can hand it items."""
        return self._welcomed and not self._stop.requested.is_set()

    async def run(self, connector: Connector) -> None:
        """Run items until the stop is requested, or the queue is empty and that ends us.

        Raises:
            UnreachableError: The frontend is away for too long.
            ConfigError: The frontend refuses us.
        """
        while (stream := await connector.connect()) is not None:
            self._resting = False
            link = Link(stream, self._hello(), connector)
            try:
                why = await link.run(
                    partial(self._handle, link), partial(self._beside, link, connector)
                )
            except UnreachableError as exc:
                connector.failed(exc)
                continue
            finally:
                self._welcomed = False
            connector.lost(why or "it closed the session")

    def _hello(self) -> Hello:
        runner = self._settings.runner
        return Hello(
            VERSION, "backend", self._settings.queue, self._slots,
            self._settings.when_empty == "wait", runner.node, runner.pod,
        )  # fmt: skip

    async def _beside(self, link: Link, connector: Connector) -> None:
        """Wait for the stop, then leave in good order."""
        connector.welcomed()
        self._welcomed = True
        await self._stop.requested.wait()
        link.peer.send(Drain())
        # The answer comes after every item that was handed to us before the drain was read.
        if await link.peer.answers_within(ANSWER_WITHIN_S):
            await self._finish_running()
            link.peer.close()
        else:
            log.warning("frontend doesn't answer, leaving", given_up=self.busy)
            link.peer.abort()

    async def _finish_running(self) -> None:
        """Let items end within the grace; give back what doesn't."""
        if self._running:
            log.info("finishing", running=self.busy, grace_s=self._settings.grace_s)
        with trio.move_on_after(self._settings.grace_s):
            await self._until_idle()
        for run in self._running.values():
            run.released = True
            run.cancel.cancel(reason="the grace is over")
        with trio.move_on_after(self._settings.runner.kill_grace_s + 2):
            await self._until_idle()

    async def _until_idle(self) -> None:
        while self._running:
            self._ended = trio.Event()
            await self._ended.wait()

    # --- items -------------------------------------------------------------------------------

    def _handle(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            if self._settings.verbose:
                log.debug("from frontend", message=printable(repr(frame), 1500))
            if isinstance(frame, WorkItem):
                self._start(link, frame)
            elif isinstance(frame, Cancel):
                run = self._running.get(frame.id)
                if run is not None:
                    run.cancel.cancel(reason="its request is cancelled")
            elif isinstance(frame, Empty):
                self._rest(link)

    def _start(self, link: Link, item: WorkItem) -> None:
        if item.id in self._running:
            text = f"Id {printable(repr(item.id), 40)} names an item that runs already"
            raise ProtocolError("unexpected", text)
        if not self._free:  # more than we have slots for; a frontend of ours doesn't
            link.peer.send(Release(item.id))
            return
        self._delays = None
        slot = self._free.popleft()
        reply = self._runner.run_at_once(item.args, slot)
        if reply is not None:
            self._free.append(slot)
            self._reply(link, item, reply)
            return
        run = self._running[item.id] = _Run()
        link.start_soon(self._work, link, item, slot, run)

    async def _work(self, link: Link, item: WorkItem, slot: Slot, run: _Run) -> None:
        """Run one item, and reply."""
        try:
            reply = await self._runner.run(item.args, item.limit_s, slot, run.cancel)
        finally:
            del self._running[item.id]
            self._free.append(slot)
            self._ended.set()
        if run.released:
            link.peer.send(Release(item.id))
            if self._resting:
                self._pull(link)
        else:
            self._reply(link, item, reply)

    def _reply(self, link: Link, item: WorkItem, reply: Reply) -> None:
        # Where we are, the hello has said.
        reply.id, reply.node, reply.pod = item.id, "", ""
        if self._settings.verbose:
            log.debug("to frontend", message=printable(repr(reply), 1500))
        link.peer.send(reply)
        if self._resting:
            self._pull(link)

    # --- an empty queue ----------------------------------------------------------------------

    def _rest(self, link: Link) -> None:
        """Nothing waits: leave if nothing runs either, or ask again later."""
        self._resting = True
        self._rests += 1
        if self._settings.when_empty == "exit":
            if not self._running:
                log.info("queue is empty", queue=self._settings.queue)
                self._stop.requested.set()
        else:
            settings = self._settings
            delays = self._delays or backoff_delays(settings.backoff_s, settings.backoff_max_s)
            self._delays = delays
            link.start_soon(self._pull_later, link, next(delays), self._rests)

    async def _pull_later(self, link: Link, delay_s: float, rest: int) -> None:
        await trio.sleep(delay_s)
        if self._resting and self._rests == rest:  # and no pull came before
            self._pull(link)

    def _pull(self, link: Link) -> None:
        self._resting = False
        link.peer.send(Pull())
