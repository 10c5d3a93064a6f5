"""The classic exchange: one connection an item, and polling while the queue is empty."""

from __future__ import annotations

from functools import partial

import structlog
import trio

from scalab.errors import ConfigError, ScalabError, UnreachableError
from scalab.protocol.codec import decode_classic, encode_classic
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ObjectReader
from scalab.protocol.messages import Refusal, Reply, WorkItem, WorkRequest
from scalab.protocol.text import printable
from scalab.runtime.net import answers_within, backoff_delays, watch_for_dead_peers
from scalab.runtime.reconnect import Connector, unless_stopped
from scalab.runtime.service import Stop
from scalab.runtime.streams import Stream

from .devices import Slot
from .runner import Runner
from .settings import BackendSettings

ANSWER_WITHIN_S = 0.6
"""A frontend that answers nothing in this time is frozen: the exit doesn't wait for it."""

log = structlog.get_logger()


class ClassicWorker:
    """Runs items of one queue, each slot in a loop and task of its own."""

    def __init__(
        self, settings: BackendSettings, runner: Runner, slots: list[Slot], stop: Stop
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._slots = slots
        self._stop = stop
        self._error: ScalabError | None = None
        self._running: set[trio.CancelScope] = set()
        self._grace_over = False
        self._serving = trio.CancelScope()
        self._answered = False

    @property
    def busy(self) -> int:
        """Slots that run something now."""
        return len(self._running)

    @property
    def ready(self) -> bool:
        """Whether the frontend answered when it was last asked."""
        return self._answered and not self._stop.requested.is_set()

    async def run(self, connector: Connector) -> None:
        """Run items until the stop is requested, or the queue is empty and that ends us.

        Raises:
            UnreachableError: The frontend is away for too long.
            ConfigError: The frontend refuses us.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._finish, connector)
            with self._serving:
                async with trio.open_nursery() as slots:
                    for slot in self._slots:
                        slots.start_soon(self._serve_slot, slot, connector)
            nursery.cancel_scope.cancel(reason="all slots have ended")
        self._stop.requested.set()
        if self._error is not None:
            raise self._error

    async def _finish(self, connector: Connector) -> None:
        """Once we stop, let items end within the grace, if somebody is there for their replies."""
        await self._stop.requested.wait()
        if self.busy:
            log.info("finishing", running=self.busy, grace_s=self._settings.grace_s)
            if not await answers_within(connector.address, ANSWER_WITHIN_S, connector.access):
                log.warning("frontend doesn't answer, leaving", given_up=self.busy)
                self._serving.cancel(reason="the frontend doesn't answer")
        await trio.sleep(self._settings.grace_s)
        self._grace_over = True
        for run in self._running:
            run.cancel(reason="the grace is over")

    async def _serve_slot(self, slot: Slot, connector: Connector) -> None:
        """Take items, one after the other; the first fatal error ends all slots."""
        try:
            await self._loop(slot, connector.another())
        except ScalabError as exc:
            self._error = self._error or exc
            self._stop.requested.set()

    async def _loop(self, slot: Slot, connector: Connector) -> None:
        first_s, most_s = self._settings.backoff_s, self._settings.backoff_max_s
        delays = backoff_delays(first_s, most_s)
        while (stream := await connector.connect()) is not None:
            async with stream:
                try:
                    took_one = await self._exchange(stream, slot, connector)
                except (ProtocolError, trio.BrokenResourceError) as exc:
                    text = f"no exchange with the frontend at {connector.address}: {exc}"
                    connector.failed(UnreachableError(text))
                    continue
            if took_one:
                delays = backoff_delays(first_s, most_s)
            elif self._settings.when_empty == "exit":
                return
            else:
                delay_s = next(delays)
                await unless_stopped(self._stop, partial(trio.sleep, delay_s))

    async def _exchange(self, stream: Stream, slot: Slot, connector: Connector) -> bool:
        """Ask for an item and run it; False if there is none."""
        watch_for_dead_peers(stream)
        await stream.send_all(encode_classic(WorkRequest(self._settings.queue)))
        fields = await unless_stopped(self._stop, partial(_read_object, stream))
        if fields is None:
            return True  # stopping: the loop ends with the next connection
        if fields.get("Kind") == Refusal.kind:  # a frontend of ours has no room for us now
            raise ProtocolError("unexpected", printable(str(fields.get("Error"))))
        connector.exchanged()
        self._answered = True
        item = decode_classic(fields, WorkItem)
        if self._settings.verbose:
            log.debug("from frontend", message=printable(repr(item), 1500))
        if item.empty:
            return False
        if item.error:
            raise ConfigError(f"the frontend refuses: {printable(item.error)}")
        run = trio.CancelScope()
        if self._grace_over:
            run.cancel(reason="the grace is over")
        self._running.add(run)
        try:
            reply = await self._runner.run(item.args, item.limit_s, slot, run)
        finally:
            self._running.remove(run)
        await self._reply(stream, reply)
        return True

    async def _reply(self, stream: Stream, reply: Reply) -> None:
        if self._settings.verbose:
            log.debug("to frontend", message=printable(repr(reply), 1500))
        with trio.move_on_after(5.0):
            await stream.send_all(encode_classic(reply))


async def _read_object(stream: Stream) -> dict[str, object]:
    reader = ObjectReader()
    while data := bytes(await stream.receive_some(4096)):
        fields = reader.feed(data)
        if fields is not None:
            return fields
    reader.feed_eof()
    raise trio.BrokenResourceError("the frontend closed without an answer")
