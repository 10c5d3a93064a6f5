"""Counts what a service does for an item: no clock, no chance, the same figures on every run.

The service runs in this process on a clock that stands still, so that no timer fires. Its peers
are a script: a generator that uses plain sockets, and yields to let the service act on what it has
sent. It goes on when the event loop has nothing left to do. While the script runs, nothing is
counted.
"""

from __future__ import annotations

import cProfile
import gc
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import attrs
import trio

Script = Generator[None, None, None]

LOOK_S = 0.02
"""The script looks again after this real time, should the loop wait for what will not come."""

_OURS = (
    __file__,
    str(Path(__file__).with_name("scripts.py")),
    str(Path(trio.__file__).parent / "_core" / "_instrumentation.py"),
)
"""Code that is there only to count."""
_SOCKET = (
    *("_accept", "bind", "close", "connect", "connect_ex", "getpeername", "getsockname"),
    *("getsockopt", "listen", "recv", "recv_into", "recvfrom", "recvmsg", "send", "sendall"),
    *("sendmsg", "sendto", "setblocking", "setsockopt", "shutdown"),
)
_SYSCALLS = {
    *(f"<method '{name}' of '_socket.socket' objects>" for name in _SOCKET),
    *(f"<method '{name}' of 'select.epoll' objects>" for name in ("modify", "poll", "register")),
    "<method 'unregister' of 'select.epoll' objects>",
    "<built-in method _socket.close>",
    "<built-in method _socket.dup>",
    *(f"<built-in method posix.{name}>" for name in ("close", "read", "write", "open", "stat")),
}
"""Calls of which each is a call of the system, as a profile names them."""


@attrs.frozen
class Found:
    """What one scenario has come to."""

    figures: dict[str, float]
    """By what was counted, for one item."""
    functions: dict[str, float] = attrs.field(factory=dict)
    """Calls for one item, by function."""


class Standing(trio.abc.Clock):
    """A clock that stands still."""

    def start_clock(self) -> None:
        """Do nothing."""

    def current_time(self) -> float:
        """Return always the same."""
        return 1000.0

    def deadline_to_sleep_time(self, deadline: float) -> float:  # noqa: ARG002
        """Return how long the loop may wait for sockets."""
        return LOOK_S


class Meter(trio.abc.Instrument):
    """Runs the script whenever the loop has nothing to do, and counts what the loop does."""

    def __init__(self) -> None:
        self.received = 0
        """Bytes that have reached the script."""
        self.found: Found | None = None
        self.error: Exception | None = None
        self.scope = trio.CancelScope()
        """Of the service; cancelled when the script has ended."""
        self._script: Script | None = None
        self._profile = cProfile.Profile()
        self._steps = 0

    def play(self, script: Script) -> None:
        """Begin the script when the loop is idle."""
        self._script = script

    @contextmanager
    def counting(self, items: int) -> Iterator[None]:
        """Count what is done for so many items."""
        before, steps, received = self._calls(), self._steps, self.received
        yield
        steps, received = self._steps - steps, self.received - received
        calls = self._calls()
        calls.subtract(before)
        found = {
            "calls": calls.total(),
            "syscalls": sum(count for name, count in calls.items() if name in _SYSCALLS),
            "task steps": steps,
            "bytes sent": received,
        }
        self.found = Found(
            {name: count / items for name, count in found.items()},
            {name: count / items for name, count in calls.items()},
        )

    @contextmanager
    def weighing(self, items: int) -> Iterator[None]:
        """Weigh what so many items that stay occupy."""
        gc.collect()
        tracemalloc.start()
        try:
            yield
            gc.collect()
            held = tracemalloc.take_snapshot().filter_traces(
                [tracemalloc.Filter(inclusive=False, filename_pattern=name) for name in _OURS]
            )
        finally:
            tracemalloc.stop()
        size = sum(each.size for each in held.traces)
        self.found = Found({"bytes held": size / items})

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Count a step."""
        self._steps += 1

    def before_io_wait(self, timeout: float) -> None:
        """Let the script go on if the loop would wait."""
        if timeout <= 0 or self._script is None:
            return
        self._profile.disable()
        try:
            next(self._script)
        except StopIteration:
            self._end()
        except Exception as exc:  # noqa: BLE001 - Trio would only log it
            self.error = exc
            self._end()
        if self._script is not None:
            self._profile.enable()

    def _end(self) -> None:
        self._script = None
        self.scope.cancel(reason="the script has ended")

    def _calls(self) -> Counter[str]:
        """Return the calls so far by function."""
        calls: Counter[str] = Counter()
        for entry in self._profile.getstats():
            calls[_name(entry.code)] += entry.callcount
        del calls[""]
        return calls


def _name(code: CodeType | str) -> str:
    """Return how a function is called in lists; "" if it is only there to count."""
    if isinstance(code, str):
        return "" if "_lsprof" in code else code
    if code.co_filename in _OURS:
        return ""
    path = Path(code.co_filename)
    where = "/".join(path.parts[-3:]) if path.is_absolute() else code.co_filename
    return f"{where}:{code.co_name}"


def metered(service: Callable[[Meter], Awaitable[None]]) -> Found:
    """Run a service and its script; return what was done for one item.

    Args:
        service: Serves until it is cancelled; it hands its script to ``Meter.play``.
    """
    meter = Meter()

    async def main() -> None:
        with meter.scope:
            await service(meter)

    trio.run(main, clock=Standing(), instruments=[meter])
    if meter.error is not None:
        raise meter.error
    assert meter.found is not None
    return meter.found
