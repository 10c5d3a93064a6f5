"""The exporter service: a node of simulated devices, its workloads and its metrics."""

from __future__ import annotations

from contextlib import nullcontext

import attrs
import structlog
import trio

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import LineReader
from scalab.protocol.text import printable
from scalab.runtime.accept import accept_connections
from scalab.runtime.guard import Guard
from scalab.runtime.http import HttpServer
from scalab.runtime.metrics import make_registry, metrics_handler
from scalab.runtime.net import Address, bound_address, open_listeners
from scalab.runtime.routing import Response, Router
from scalab.runtime.service import Stop

from . import workload
from .files import device_files, listening_socket
from .metrics import NodeCollector
from .model import Demand, Node, Outcome, Run
from .presets import SCALAB, Naming
from .settings import NodeSettings
from .wire import MAX_LINE, PONG, decode, encode_end

ASK_WITHIN_S = 5.0
"""Within this time after connecting, a workload says what it wants."""
LAST_WORDS_S = 1.0
DEFAULT_METRICS_ADDR = Address("localhost", 9995)
_UNREAD = 8
"""Lines that may wait for a workload to read them."""

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class ExporterSettings:
    """Validated once, never changed."""

    node: NodeSettings
    naming: Naming = SCALAB
    socket: str = attrs.Factory(workload.default_socket)
    """Path of the Unix socket for workloads."""
    socket_mode: int = 0o600
    metrics_addr: Address = DEFAULT_METRICS_ADDR
    files: str = ""
    """Folder in which to make the devices' files; empty = none."""
    most_workloads: int = 4096
    access: AccessSettings = attrs.Factory(AccessSettings)
    verbose: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if not 0 < self.socket_mode <= 0o777:
            raise ConfigError("--socket-mode must be like 0600")


@attrs.frozen
class Bound:
    """A running exporter."""

    socket: str
    metrics: Address
    node: Node


async def run_exporter(
    settings: ExporterSettings,
    stop: Stop,
    *,
    task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Simulate the devices until ``stop`` is requested.

    Their workloads see the connection close at the end, and fail.

    Args:
        settings: Validated.
        stop: Its first request ends this.
        task_status: Told once workloads can come.

    Raises:
        ConfigError: An address or the socket can't be listened on, or files can't be made.
    """
    access = Access(settings.access, clock=trio.current_time)
    node = Node(settings.node, trio.current_time())
    exporter = Exporter(node, settings)
    files = device_files(settings.files, node.devices) if settings.files else nullcontext()
    with files, listening_socket(settings.socket, settings.socket_mode) as listening:
        pages = await open_listeners(settings.metrics_addr, "metrics")
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_metrics, node, settings.naming, pages, access)
            nursery.start_soon(exporter.keep_time)
            nursery.start_soon(accept_connections, listener, exporter.serve, nursery)
            bound = Bound(settings.socket, bound_address(pages), node)
            log.info(
                "exporter is ready", devices=",".join(node.devices), socket=settings.socket,
                metrics=f"{access.scheme}://{bound.metrics}/metrics",
            )  # fmt: skip
            task_status.started(bound)
            await stop.requested.wait()
            nursery.cancel_scope.cancel(reason="the exporter stops")
    _log_totals(node)


class Exporter:
    """Lets a node's time pass, and its workloads come and go."""

    def __init__(self, node: Node, settings: ExporterSettings) -> None:
        self.node = node
        self._settings = settings
        self._timer = trio.CancelScope()
        self._workloads = 0

    async def keep_time(self) -> None:
        """Let happen what happens by itself, when it is due; until cancelled."""
        while True:
            with trio.CancelScope(deadline=self.node.next_at()) as self._timer:
                await trio.sleep_forever()
            self.node.advance(trio.current_time())

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one workload; whatever goes wrong with it, the others go on."""
        self._workloads += 1
        try:
            async with stream:
                await self._serve(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it was killed, and its run is off the books
        except* Exception:  # a defect of ours must not end everybody's connections
            log.exception("defect while serving a workload")
        finally:
            self._workloads -= 1

    async def _serve(self, stream: trio.abc.Stream) -> None:
        lines = LineReader(MAX_LINE)
        try:
            if self._workloads > self._settings.most_workloads:
                raise ProtocolError("unexpected", "too many workloads")
            asked = await _read_lines(stream, lines)
            if not asked:
                return
            demand = decode(asked[0])
            if demand is None:
                raise ProtocolError("unexpected", "a workload first asks for a device")
            if demand.device in self.node.devices:
                await self._run(stream, lines, demand, asked[1:])
            else:
                await _refuse(stream, workload.UNKNOWN_DEVICE, self._unknown(demand))
        except* ProtocolError as group:
            why = str(group.exceptions[0])
            log.warning("workload refused", why=printable(why, 200))
            await _refuse(stream, workload.USAGE, why)

    def _unknown(self, demand: Demand) -> str:
        known = list(self.node.devices)
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        return f"no device {printable(repr(demand.device), 100)}; there are: {shown}"

    async def _run(
        self, stream: trio.abc.Stream, lines: LineReader, demand: Demand, said: list[bytes]
    ) -> None:
        """Keep a workload on the books for as long as its connection lasts.

        Args:
            stream: The connection.
            lines: What was received on it.
            demand: What the workload asks for.
            said: What it said after that already.
        """
        # There is always room for the one line that the model sends.
        outbox, to_send = trio.open_memory_channel[bytes](_UNREAD + 1)
        run = self.node.start(
            demand, lambda run: outbox.send_nowait(_end_of(run)), trio.current_time()
        )
        self._changed()
        if self._settings.verbose:
            log.debug("workload starts", device=demand.device, number=run.number)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, stream, to_send)
                _answer(said, outbox)
                while data := bytes(await stream.receive_some(MAX_LINE)):
                    _answer(lines.feed(data), outbox)
                nursery.cancel_scope.cancel(reason="the workload has left")
        finally:
            self.node.leave(run, trio.current_time())
            self._changed()
            if self._settings.verbose:
                log.debug(
                    "workload left", device=demand.device, number=run.number, outcome=run.outcome
                )

    def _changed(self) -> None:
        """Set the timer anew, as the next thing may come at another time now."""
        self._timer.deadline = self.node.next_at()


def _answer(said: list[bytes], outbox: trio.MemorySendChannel[bytes]) -> None:
    """Answer what a workload says while it runs.

    Raises:
        ProtocolError: There is something that is no ping, or one too many.
    """
    for line in said:
        if decode(line) is not None:
            raise ProtocolError("unexpected", "a workload asks for one device")
        if outbox.statistics().current_buffer_used >= _UNREAD:
            raise ProtocolError("slow", "a workload reads the answers")
        outbox.send_nowait(PONG)


async def _refuse(stream: trio.abc.Stream, retcode: int, why: str) -> None:
    """Send a last line, if the workload takes it."""
    with trio.move_on_after(LAST_WORDS_S):
        await stream.send_all(encode_end(retcode, why))


async def _read_lines(stream: trio.abc.Stream, lines: LineReader) -> list[bytes]:
    """Return the first lines that a workload sends; none if it leaves before that.

    Raises:
        ProtocolError: It says nothing within ``ASK_WITHIN_S``, or too much.
    """
    with trio.move_on_after(ASK_WITHIN_S):
        while data := bytes(await stream.receive_some(MAX_LINE)):
            if complete := lines.feed(data):
                return complete
        return []
    raise ProtocolError("silent", f"a workload asks within {ASK_WITHIN_S:g} s")


async def _send(stream: trio.abc.Stream, lines: trio.MemoryReceiveChannel[bytes]) -> None:
    """Send what there is to send, one after the other, until cancelled."""
    async for line in lines:
        await stream.send_all(line)


_RETCODES: dict[Outcome, int] = {
    "success": workload.SUCCESS,
    "failure": workload.FAILURE,
    "out_of_memory": workload.OUT_OF_MEMORY,
}


def _end_of(run: Run) -> bytes:
    demand, outcome = run.demand, run.outcome
    assert outcome is not None  # noqa: S101 - that is why we are called
    # The same text each time, so that whoever counts errors by their text can.
    error = ""
    if outcome == "failure":
        error = f"{demand.device} failed"
    elif outcome == "out_of_memory":
        error = f"out of memory: {demand.memory_mib:g} MiB are not free on {demand.device}"
    return encode_end(_RETCODES[outcome], error)


async def serve_metrics(  # noqa: ASYNC128 - the server tells task_status
    node: Node,
    naming: Naming,
    listeners: list[trio.SocketListener],
    access: Access | None = None,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``/metrics`` and ``/livez`` until cancelled."""
    metrics = metrics_handler(make_registry(NodeCollector(node, naming, trio.current_time), access))
    router = Router({"/metrics": metrics, "/livez": lambda _request: Response.text("ok")})
    await HttpServer(router, guard=Guard(access)).serve(listeners, task_status=task_status)


def _log_totals(node: Node) -> None:
    for device in node.devices.values():
        ended = {outcome: n for outcome, n in device.ended.items() if n}
        log.info("device has ended", device=device.settings.name, **ended)
