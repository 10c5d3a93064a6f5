"""The client's session: any number of requests on one lasting connection.

No task per request: replies are counted, and the requests that they make room for are sent, in
the same synchronous step. Requests without an answer outlive their connection; they are sent
again, under the same id, on the next one.
"""

from __future__ import annotations

import os
from functools import partial

import structlog
import trio

from scalab.errors import ConfigError, UnreachableError
from scalab.protocol.codec import encode_frame
from scalab.protocol.messages import UNKNOWN_QUEUE, VERSION, Drain, Frame, Hello, Reply
from scalab.protocol.text import printable
from scalab.runtime.link import Link
from scalab.runtime.reconnect import Connector

from .load import Load
from .requests import Sending

ANSWER_WITHIN_S = 0.5
GOODBYE_S = 0.3
"""Together below a second: a frozen frontend must not delay the exit for longer."""

log = structlog.get_logger()


class SessionDriver:
    """Keeps a load going over sessions."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._pending: dict[str, Sending] = {}
        """Unanswered requests by id."""
        self._link: Link | None = None
        self._draining = False
        self._leaving = False
        self._refused = ""
        self._next_id = 0
        self._run = os.urandom(8).hex()
        self._sessions = 0

    async def run(self, connector: Connector) -> None:
        """Send requests, over as many sessions as it takes, until cancelled or stopped.

        Raises:
            UnreachableError: The frontend is away for too long.
            ConfigError: The frontend refuses us.
        """
        while (stream := await connector.connect()) is not None:
            self._sessions += 1
            hello = Hello(VERSION, "client", run=self._run, session=self._sessions)
            link = Link(stream, hello, connector)
            try:
                why = await link.run(self._handle, partial(self._send, link, connector))
            except UnreachableError as exc:
                connector.failed(exc)
                continue
            finally:
                self._link = None
                if self._load.connections and not self._leaving:
                    self._load.disconnected("the connection to the frontend is gone")
            if self._refused:
                text = f"the frontend at {connector.address} refuses: {self._refused}"
                raise ConfigError(text)
            if self._leaving:
                return
            connector.lost(why or "it closed the session")

    async def _send(self, link: Link, connector: Connector) -> None:
        """Send again what was not answered, then what becomes due."""
        connector.welcomed()
        self._draining = False
        for request_id, sending in self._pending.items():
            link.peer.send(self._load.request(sending, request_id))
        self._link = link
        self._load.connected(str(connector.address))
        while True:
            self._pump(trio.current_time())
            await self._load.wait_due()

    def _pump(self, now: float) -> None:
        """Send as many requests as the load allows."""
        link = self._link
        if link is None or self._draining or not (sendings := self._load.take(now)):
            return
        lines = []
        for sending in sendings:
            self._next_id += 1
            request_id = str(self._next_id)
            self._pending[request_id] = sending
            lines.append(encode_frame(self._load.request(sending, request_id)))
        if self._load.verbose:
            log.debug("to frontend", requests=printable(repr(lines), 1500))
        link.peer.send_line(b"".join(lines))

    def _handle(self, frames: list[Frame]) -> None:
        if self._load.verbose:
            for frame in frames:
                log.debug("from frontend", message=printable(repr(frame), 1500))
        now = trio.current_time()
        for frame in frames:
            if isinstance(frame, Reply):
                if not frame.retry:  # what is to be retried stays pending for the next session
                    self._answered(frame, now)
            elif isinstance(frame, Drain):
                self._draining = True
        self._pump(now)

    def _answered(self, reply: Reply, now: float) -> None:
        sending = self._pending.pop(reply.id, None)
        if sending is not None:  # otherwise it was answered before
            self._load.completed(sending, reply, now)
        if reply.reason == UNKNOWN_QUEUE and self._link is not None:
            self._refused = printable(reply.error)
            self._link.peer.close()

    async def answers(self) -> bool:
        """Whether the frontend is there to answer what is outstanding."""
        link = self._link
        return link is not None and await link.peer.answers_within(ANSWER_WITHIN_S)

    async def say_goodbye(self) -> None:
        """Give up what is outstanding, and close the session; not for longer than a moment."""
        self._leaving = True
        if self._link is not None:
            self._link.peer.close()
            with trio.move_on_after(GOODBYE_S):
                await self._link.ended.wait()

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return len(self._pending)
