"""The shared queues in Redis or Valkey, as one frontend sees them.

One connection carries all: the operations, each a script, and what is told unasked. That is only
ever a hint, since such words get lost with a connection: letters are in a mailbox, which is also
read without a hint from time to time, and whoever could work asks for items now and then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import structlog
import trio

from scalab.protocol.text import printable
from scalab.redis.client import Client
from scalab.redis.errors import UnavailableError, code_of, refused
from scalab.redis.resp import Command, Push, Reply, ReplyError

from .calls import Args, answer_of, call_of, letter_of, micro, milli
from .keys import mail_channel, prefix_of, wake_channel
from .operations import (
    Answer,
    Check,
    Checked,
    Connected,
    Disconnected,
    Enqueue,
    Enqueued,
    Event,
    Operation,
    Wake,
)
from .scripts import Script, load_scripts
from .settings import StoreSettings

NAME = "scalab-frontend"
"""What we are called in the server's list of clients."""
POLL_S = 1.0
"""The mailboxes are read about this often without a hint."""
LETTERS = 100
"""Most letters that are read at once."""

ScriptCall = tuple[str, str, Args]
"""A queue, the name of a script, and arguments of its own."""

log = structlog.get_logger()


class Store:
    """The queues of one frontend, in the store.

    Args:
        settings: Where the store is, and how long it keeps things.
        frontend: Our name, unlike that of any other frontend, ever.
        queues: Their names.
        scripts: Other scripts than the usual ones, for tests that move the server's clock.
    """

    def __init__(
        self,
        settings: StoreSettings,
        frontend: str,
        queues: Sequence[str],
        scripts: Mapping[str, Script] | None = None,
    ) -> None:
        self._frontend = frontend
        self._queues = tuple(queues)
        self._common: Args = (frontend, milli(settings.result_ttl_s), micro(settings.result_ttl_s))
        self._scripts = load_scripts() if scripts is None else scripts
        self._known: set[str] = set()
        """Scripts that the server has, as far as we know."""
        self._wakes = {wake_channel(queue).encode(): queue for queue in queues}
        self._mails = {mail_channel(queue, frontend).encode(): queue for queue in queues}
        self._tell: Callable[[Event], None] = lambda _event: None
        self._letters: dict[str, list[bytes]] = {queue: [] for queue in queues}
        """Letters that were read, by their names, to be thrown away with the next look."""
        self._due: set[str] = set()
        """Queues with mail."""
        self._hint = trio.Event()
        self._client = Client(
            settings.server,
            name=NAME,
            timeout_s=settings.timeout_s,
            channels=[name.decode() for name in (*self._wakes, *self._mails)],
            on_push=self._pushed,
            on_up=self._connected,
            on_down=lambda error: self._tell(Disconnected(str(error))),
        )

    def __repr__(self) -> str:
        return f"<Store {self._client!r}>"

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._client.up

    async def check(self) -> None:
        """Connect once, and disconnect: to tell at the start what will never work.

        Raises:
            UnavailableError: With the reason; ``permanent`` if no waiting helps.
        """
        await self._client.check()

    async def run(self, tell: Callable[[Event], None]) -> None:
        """Keep the connection until cancelled; read the mail.

        Args:
            tell: Called with all that happens. It may not wait.
        """
        self._tell = tell
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_mail)
            nursery.start_soon(self._client.run)

    async def execute(self, queue: str, operations: Sequence[Operation]) -> list[Answer]:
        """Run operations of one queue in their order, in one round trip.

        Raises:
            UnavailableError: Some may have been run, some not. All may be run again.
        """
        replies = await self.run_scripts([(queue, *call_of(op)) for op in operations])
        full = [
            operation
            for operation, reply in zip(operations, replies, strict=True)
            if isinstance(operation, Enqueue) and _is_out_of_memory(reply)
        ]
        known = await self._look_up(queue, full) if full else {}
        return [
            known[operation.id]
            if isinstance(operation, Enqueue) and _is_out_of_memory(reply)
            else _answer(operation, reply)
            for operation, reply in zip(operations, replies, strict=True)
        ]

    async def run_scripts(self, calls: Sequence[ScriptCall]) -> list[Reply]:
        """Run scripts in their order, in one round trip; errors are among the replies.

        Raises:
            UnavailableError: There are not all replies.
        """
        replies = await self._client.call(self._commands(calls))
        if any(isinstance(reply, ReplyError) and code_of(reply) == "NOSCRIPT" for reply in replies):
            # It has forgotten them. All are run again, as the order counts.
            self._known.clear()
            replies = await self._client.call(self._commands(calls))
        return replies

    # --- inside ----------------------------------------------------------------------------

    def _commands(self, calls: Iterable[ScriptCall]) -> list[Command]:
        commands = []
        for queue, name, args in calls:
            script = self._scripts[name]
            command: Command = ("EVALSHA", script.sha)
            if name not in self._known:
                self._known.add(name)
                command = ("EVAL", script.source)
            commands.append((*command, 1, prefix_of(queue), *self._common, *args))
        return commands

    async def _look_up(self, queue: str, new: Sequence[Enqueue]) -> dict[str, Enqueued]:
        """Tell what has become of items that were not let in, as the memory is full."""
        check = Check(tuple((operation.id, operation.session) for operation in new))
        (reply,) = await self.run_scripts([(queue, *call_of(check))])
        checked = _answer(check, reply)
        assert isinstance(checked, Checked)  # noqa: S101 - a defect of ours
        return {
            operation.id: Enqueued("full") if found.state == "unknown" else found
            for operation, found in zip(new, checked.items, strict=True)
        }

    def _connected(self) -> None:
        self._known.clear()
        self._tell(Connected())
        for queue in self._queues:
            self._tell(Wake(queue))

    def _pushed(self, push: Push) -> None:
        if push[0] != b"message":
            return
        if (queue := self._mails.get(push[1])) is not None:
            self._due.add(queue)
            self._hint.set()
        elif (queue := self._wakes.get(push[1])) is not None:
            self._tell(Wake(queue))

    async def _read_mail(self) -> None:
        """Read the mailboxes, when there is a hint or it is time."""
        poll_at = trio.current_time()
        while True:
            with trio.move_on_at(poll_at):
                await self._hint.wait()
            if trio.current_time() >= poll_at:
                poll_at = trio.current_time() + random.uniform(0.5, 1.5) * POLL_S  # noqa: S311
                self._due.update(self._queues)
            due, self._due, self._hint = sorted(self._due), set(), trio.Event()
            if due and self.up:
                # What can't be read now is read when there is a connection again.
                with suppress(UnavailableError):
                    await self._read(due)

    async def _read(self, queues: Sequence[str]) -> None:
        replies = await self.run_scripts(
            [(queue, "mailbox", (LETTERS, *self._letters[queue])) for queue in queues]
        )
        for queue, reply in zip(queues, replies, strict=True):
            if isinstance(reply, ReplyError):
                continue
            self._letters[queue] = [name for name, _ in reply]
            if len(reply) == LETTERS:
                self._due.add(queue)
                self._hint.set()
            for _, letter in reply:
                self._open(queue, letter)

    def _open(self, queue: str, letter: Reply) -> None:
        try:
            event = letter_of(queue, letter)
        except (LookupError, TypeError, ValueError):
            log.warning("mail that nobody of us wrote", text=printable(str(letter), 200))
        else:
            self._tell(event)


def _is_out_of_memory(reply: Reply) -> bool:
    return isinstance(reply, ReplyError) and code_of(reply) == "OOM"


def _answer(operation: Operation, reply: Reply) -> Answer:
    if isinstance(reply, ReplyError):
        raise refused(reply)
    try:
        return answer_of(operation, reply)
    except (LookupError, TypeError, ValueError, AttributeError):
        text = f"the store holds something that nobody of us wrote: {printable(str(reply), 200)}"
        raise UnavailableError("data", text) from None
