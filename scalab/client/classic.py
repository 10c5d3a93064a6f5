"""The classic exchange: one connection and one task a request."""

from __future__ import annotations

import structlog
import trio

from scalab.errors import UnreachableError
from scalab.protocol.codec import decode_classic, encode_classic
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ObjectReader
from scalab.protocol.messages import DISCONNECTED, Reply
from scalab.protocol.text import printable
from scalab.runtime.net import answers_within, connect, watch_for_dead_peers
from scalab.runtime.reconnect import Connector

from .load import Load
from .requests import Sending

PAUSE_AFTER_ERROR_S = 0.5
"""A lane whose frontend is away doesn't try again at once."""

ANSWER_WITHIN_S = 0.5
"""A frozen frontend must not delay the exit for longer."""

log = structlog.get_logger()


class ClassicDriver:
    """Keeps a load going over one connection a request."""

    def __init__(self, load: Load, connector: Connector) -> None:
        self._load = load
        self._connector = connector
        self._outstanding = 0

    async def run(self, connector: Connector) -> None:
        """Send requests until cancelled or stopped.

        Raises:
            UnreachableError: The frontend could not be reached at the start.
        """
        stream = await connector.connect()  # tells early whether there is anybody
        if stream is None:
            return
        await stream.aclose()
        self._load.connected(str(connector.address))
        async with trio.open_nursery() as nursery:
            while True:
                for sending in self._load.take(trio.current_time()):
                    nursery.start_soon(self._request, sending, connector)
                await self._load.wait_due()

    async def _request(self, sending: Sending, connector: Connector) -> None:
        """Make one request, and count how it ended."""
        load = self._load
        self._outstanding += 1
        try:
            reply = await self._exchange(sending, connector)
        except (UnreachableError, ProtocolError, trio.BrokenResourceError) as exc:
            await trio.sleep(PAUSE_AFTER_ERROR_S)
            load.unanswered(sending, DISCONNECTED, printable(str(exc)), trio.current_time())
        else:
            load.completed(sending, reply, trio.current_time())
        self._outstanding -= 1
        load.wake()

    async def _exchange(self, sending: Sending, connector: Connector) -> Reply:
        request = self._load.request(sending)
        async with await connect(connector.address, connector.access) as stream:
            watch_for_dead_peers(stream)
            await stream.send_all(encode_classic(request))
            reader = ObjectReader()
            while data := bytes(await stream.receive_some(4096)):
                fields = reader.feed(data)
                if fields is not None:
                    reply = decode_classic(fields, Reply)
                    if self._load.verbose:
                        log.debug("from frontend", message=printable(repr(reply), 1500))
                    return reply
            reader.feed_eof()
        raise trio.BrokenResourceError("the frontend closed without a reply")

    async def answers(self) -> bool:
        """Whether the frontend is there to answer what is outstanding."""
        connector = self._connector
        return await answers_within(connector.address, ANSWER_WITHIN_S, connector.access)

    async def say_goodbye(self) -> None:
        """Nothing to say: what is outstanding is given up by closing."""

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return self._outstanding
