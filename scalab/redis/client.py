"""Commands to one server, over one connection that comes back by itself.

Replies come in the order of the commands, so one connection serves any number of callers: what
they send gathers in an outbox, one task writes it, one reads, and a third watches the oldest
command on its way. A caller that is cancelled leaves its replies to be read and dropped. Nothing
is sent twice: whether a command without an answer was carried out is for the caller to care.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from trio.abc import Stream

from scalab.runtime.net import backoff_delays

from .connection import RECEIVE_BYTES, connection
from .errors import RECONNECT, UnavailableError, code_of
from .pipeline import Batch, Pipeline
from .resp import Command, Decoder, Push, Reply, ReplyError, encode
from .server import Server

FIRST_DELAY_S = 0.05
MOST_DELAY_S = 2.0
STEADY_S = 5.0
"""A connection that lasted so long starts the back-off anew."""
PING_AFTER_S = 5.0
MAX_UNANSWERED = 50_000
"""Commands on their way. Whoever has more to ask has to wait for answers first."""


class Client:
    """A server, as its callers see it.

    Args:
        server: Where it is.
        name: What we are called in its list of clients.
        timeout_s: A command that has no answer after so long ends the connection.
        channels: What to subscribe to.
        on_push: Called with what comes unasked, a list that begins with its kind.
        on_up: Called when there is a connection, subscribed to all channels.
        on_down: Called with the reason when there is none any more, or could not be made.
    """

    def __init__(
        self,
        server: Server,
        *,
        name: str,
        timeout_s: float = 2.0,
        channels: Sequence[str] = (),
        on_push: Callable[[Push], None] = lambda _push: None,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[UnavailableError], None] = lambda _error: None,
    ) -> None:
        self.server = server
        self.generation = 0
        """Connections that there were."""
        self._name = name
        self._timeout_s = timeout_s
        self._channels = channels
        self._on_push = on_push
        self._on_up = on_up
        self._on_down = on_down
        self._error = UnavailableError("connect", f"not connected to {server} yet")
        self._pipeline: Pipeline | None = None
        """Of the present connection, if there is one."""
        self._outbox: list[bytes] = []
        self._more = trio.Event()
        """More to write, and to be answered."""
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        state = f"{self._pipeline.unanswered} on their way" if self._pipeline else "not connected"
        return f"<Client {self.server}: {state}>"

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._pipeline is not None

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands, at least one, in one piece; return their replies, errors among them.

        A caller that is cancelled doesn't know whether its commands were carried out.

        Raises:
            UnavailableError: There is no connection, or it was lost before all replies came.
        """
        pipeline = self._pipeline
        if pipeline is None:
            raise UnavailableError(self._error.reason, str(self._error))
        if pipeline.unanswered + len(commands) > MAX_UNANSWERED:
            raise UnavailableError("overload", f"{pipeline.unanswered} commands are on their way")
        done = trio.Event()
        batch = self._send(pipeline, commands, done.set)
        await done.wait()
        if batch.error is not None:
            raise UnavailableError(batch.error.reason, str(batch.error))
        for reply in batch.replies:
            if isinstance(reply, ReplyError) and code_of(reply) in RECONNECT:
                self._drop(pipeline, UnavailableError(code_of(reply).lower(), str(reply)))
        return batch.replies

    def _send(
        self, pipeline: Pipeline, commands: Sequence[Command], wake: Callable[[], None]
    ) -> Batch:
        batch = Batch(len(commands), trio.current_time(), wake)
        pipeline.add(batch)
        self._outbox.append(encode(commands))
        self._more.set()
        return batch

    # --- the connection ----------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection, making it again with growing pauses, until cancelled."""
        delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)
        while True:
            began = trio.current_time()
            await self._connect_once()
            self._on_down(self._error)
            if trio.current_time() - began > STEADY_S:
                delays = backoff_delays(FIRST_DELAY_S, MOST_DELAY_S)
            await trio.sleep(next(delays))

    async def check(self) -> None:
        """Connect once, and disconnect.

        Raises:
            UnavailableError: With the reason why that doesn't work.
        """
        async with connection(self.server, self._name, self._channels):
            pass

    async def _connect_once(self) -> None:
        """Serve one connection until it is lost; leave the reason in ``_error``."""
        try:
            async with connection(self.server, self._name, self._channels) as (stream, decoder):
                await self._serve(stream, decoder)
        except UnavailableError as exc:
            self._error = exc

    async def _serve(self, stream: Stream, decoder: Decoder) -> None:
        pipeline = self._pipeline = Pipeline(decoder)
        self.generation += 1
        self._outbox, self._more = [], trio.Event()
        self._error = UnavailableError("lost", f"the connection to {self.server} was lost")
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    nursery.start_soon(self._read, stream, pipeline)
                    nursery.start_soon(self._watch, pipeline)
                    self._on_up()
        finally:
            self._pipeline = None
            pipeline.fail(self._error)

    def _drop(self, pipeline: Pipeline, error: UnavailableError) -> None:
        """End the connection; whoever still waits for an answer is told why there is none."""
        if pipeline is self._pipeline:
            self._error = error
            self._pipeline = None
            pipeline.fail(error)
            self._scope.cancel(reason=str(error))

    async def _write(self, stream: Stream) -> None:
        try:
            while True:
                await self._more.wait()
                data, self._outbox, self._more = b"".join(self._outbox), [], trio.Event()
                await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader learns why

    async def _read(self, stream: Stream, pipeline: Pipeline) -> None:
        try:
            while data := await stream.receive_some(RECEIVE_BYTES):
                for push in pipeline.receive(bytes(data)):
                    self._on_push(push)
            self._drop(pipeline, self._error)
        except trio.BrokenResourceError:
            self._drop(pipeline, self._error)
        except UnavailableError as exc:
            self._drop(pipeline, exc)

    async def _watch(self, pipeline: Pipeline) -> None:
        """Ping while nothing is asked; end the connection if an answer is overdue."""
        while True:
            oldest = pipeline.oldest
            if oldest is None:
                with trio.move_on_after(PING_AFTER_S) as idle:
                    await self._more.wait()
                if idle.cancelled_caught:
                    self._send(pipeline, [("PING",)], lambda: None)
                continue
            due = max(oldest.since + self._timeout_s, trio.current_time())
            await trio.sleep_until(due)
            # If this process itself stood still, the answer may be there, unread.
            await trio.sleep(min(trio.current_time() - due, self._timeout_s))
            if pipeline.oldest is oldest:
                text = f"{self.server} has not answered for {self._timeout_s:g} s"
                self._drop(pipeline, UnavailableError("timeout", text))
