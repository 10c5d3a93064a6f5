"""10 000 connected workers and 1 000 000 waiting items on one frontend: memory, and cost per item.

Its peers are plain sockets, all in this process (wire.py). Cost is CPU time of the frontend per
item, from the request to the reply: with few and with many workers connected, of which each runs
one item at a time; and with few and with many items waiting. In each pair, the two frontends stand
side by side and are measured in turn, several times; the mean counts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from contextlib import ExitStack

from .processes import LOCAL, allow_descriptors, cpu_s, part, rss_bytes
from .table import Row, Table
from .wire import Client, Peers, Worker

QUEUE = "q"
IN_FLIGHT = 32
"""Items that run at a time: by many workers, or by one with so many slots."""
OF_A_CLIENT = 100_000
"""Requests of one session: a frontend takes up to 200 000."""
AT_ONCE = 1000
"""Requests in one write."""
CANCEL_ROUNDS, CANCELS_AT_ONCE = 10, 200
DESCRIPTORS_BESIDE = 100
"""That a process needs besides connections."""
COLUMNS = {
    "frontend with": "", "MiB": ",.0f", "bytes each": ",.0f", "to get there s": ".1f",
    "CPU us each": ",.0f", "idle CPU %": ".1f", "item CPU us": ".1f", "item vs few": ".2f",
    "cancel CPU us": ".1f", "cancel vs few": ".2f",
}  # fmt: skip
NOTES = (
    "Each = a worker that has connected, or an item that waits; idle = heartbeats only.",
    "Item and cancel: CPU time of the frontend for one, without that for heartbeats meanwhile;",
    "vs few: compared with the row above.",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many of everything there are."""
    parser.add_argument("--workers", type=int, nargs=2, default=[100, 10_000], metavar="N")
    parser.add_argument("--waiting", type=int, nargs=2, default=[1000, 1_000_000], metavar="N")
    parser.add_argument("--items", type=int, default=20_000, help="measured at a time (20,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=12.0, metavar="SECONDS")


def measure(options: argparse.Namespace) -> Table:
    """Measure workers, then items."""
    wanted = max(options.workers) + DESCRIPTORS_BESIDE
    if (allowed := allow_descriptors(wanted)) < wanted:
        raise SystemExit(f"only {allowed} open files are allowed: fewer --workers, or ulimit -n")
    rows = _pair(_Connected, options.workers, options) + _pair(_Waiting, options.waiting, options)
    return Table("Capacity of one frontend", COLUMNS, rows, NOTES)


class _Setting:
    """A frontend in some state, and what it costs in it."""

    what = ""
    """What there is many of."""

    def __init__(self, stack: ExitStack, peers: Peers, count: int) -> None:
        connections = f"--max-connections={count + DESCRIPTORS_BESIDE}"
        self.frontend = stack.enter_context(part("frontend", QUEUE, *LOCAL, connections))
        self.peers, self.count = peers, count
        self._idle_share = 0.0
        before, began = self.used(), time.monotonic()
        empty_bytes = rss_bytes(self.frontend.pid)
        self.set_up()
        full_bytes = rss_bytes(self.frontend.pid)
        self.row: dict[str, object] = {
            "frontend with": f"{count:,d} {self.what}",
            "MiB": full_bytes / (1 << 20),
            "bytes each": (full_bytes - empty_bytes) / count,
            "to get there s": time.monotonic() - began,
            "CPU us each": 1e6 * (self.used() - before) / count,
        }

    def used(self) -> float:
        """Return the frontend's CPU seconds so far, without those for idling since it is known."""
        return cpu_s(self.frontend.pid) - self._idle_share * time.monotonic()

    def idle_share(self, share: float) -> None:
        """Note the share of a core that the frontend uses when nothing happens."""
        self._idle_share, self.row["idle CPU %"] = share, 100 * share

    def connect(self) -> Client:
        """Connect a client."""
        client = Client(self.frontend.address("clients"), QUEUE)
        self.peers.add(client)
        return client

    def set_up(self) -> None:
        """Bring the frontend into its state."""
        raise NotImplementedError

    def run(self, items: int) -> float:
        """Let items run; return the frontend's CPU seconds for one, without those for idling."""
        raise NotImplementedError

    def cancel(self) -> float | None:
        """Cancel items that wait; return the frontend's CPU seconds for one."""
        return None


class _Connected(_Setting):
    """Many workers are connected."""

    what = "workers connected"

    def set_up(self) -> None:
        workers = []
        for _ in range(self.count):
            workers.append(Worker(self.frontend.address("backends"), QUEUE))
            self.peers.add(workers[-1])
            self.peers.serve()
        self.peers.until(lambda: all(worker.welcomed for worker in workers))
        self._client = self.connect()

    def run(self, items: int) -> float:
        client, in_flight = self._client, min(items, IN_FLIGHT)
        wanted, before = client.replies + items, self.used()
        client.to_send = items - in_flight
        client.request(in_flight)
        self.peers.until(lambda: client.replies == wanted)
        return (self.used() - before) / items


class _Waiting(_Setting):
    """Many items wait, and keep waiting: for each that has run, one comes."""

    what = "items waiting"

    def set_up(self) -> None:
        self._clients = []
        for start in range(0, self.count, OF_A_CLIENT):
            client = self.connect()
            self._clients.append(client)
            for batch in range(start, min(start + OF_A_CLIENT, self.count), AT_ONCE):
                client.request(min(AT_ONCE, self.count - batch))
                self.peers.serve()
        for client in self._clients:
            self.peers.in_line(client)
        self._worker: Worker | None = None

    def run(self, items: int) -> float:
        wanted, before = self._replies() + items, self.used()
        for client in self._clients:
            client.to_send = items  # whoever is answered
        if self._worker is None:
            self._worker = Worker(self.frontend.address("backends"), QUEUE, IN_FLIGHT)
            self.peers.add(self._worker)
        self._worker.go_on()
        self.peers.until(lambda: self._replies() >= wanted)
        cost_s = (self.used() - before) / items
        self._worker.pause()
        for client in self._clients:
            self.peers.in_line(client)
            client.to_send = 0
        return cost_s

    def cancel(self) -> float:
        client, used_s = self._clients[-1], 0.0
        count = min(CANCELS_AT_ONCE, self.count // 4)
        for _ in range(CANCEL_ROUNDS):
            waiting = list(client.pending)[2 * IN_FLIGHT :]  # the oldest may run
            chosen = random.Random(1).sample(waiting, count)
            wanted, before = client.replies + len(chosen), self.used()
            client.cancel(chosen)
            self.peers.until(lambda: client.replies == wanted)  # noqa: B023 - it ends here
            used_s += self.used() - before
            client.request(len(chosen))
            self.peers.in_line(client)
        return used_s / (CANCEL_ROUNDS * count)

    def _replies(self) -> int:
        return sum(client.replies for client in self._clients)


def _pair(kind: type[_Setting], counts: list[int], options: argparse.Namespace) -> list[Row]:
    """Measure two frontends in turn, so that both meet the same noise."""
    with ExitStack() as stack:
        peers = stack.enter_context(Peers())  # one, as all heartbeats have to be answered
        settings = [kind(stack, peers, count) for count in counts]
        _idle(settings, peers, options.idle)
        items: list[list[float]] = [[] for _ in settings]
        cancels: list[list[float]] = [[] for _ in settings]
        for number in range(options.rounds + 1):
            for index, setting in enumerate(settings):
                cost_s, cancel_s = setting.run(options.items), setting.cancel()
                if number:  # the first warms up
                    items[index].append(cost_s)
                    cancels[index] += [] if cancel_s is None else [cancel_s]
    return [
        {
            **setting.row,
            **_cost("item", items[0], items[index]),
            **_cost("cancel", cancels[0], cancels[index]),
        }
        for index, setting in enumerate(settings)
    ]


def _idle(settings: list[_Setting], peers: Peers, seconds: float) -> None:
    """Note what the frontends use when nothing happens but heartbeats."""
    before = [setting.used() for setting in settings]
    peers.rest(seconds)
    for setting, before_s in zip(settings, before, strict=True):
        setting.idle_share((setting.used() - before_s) / seconds)


def _cost(what: str, few: list[float], costs: list[float]) -> Row:
    """Mean cost, so that what is rare and dear counts, and how it compares to that with few."""
    if not costs:
        return {}
    mean = statistics.mean(costs)
    return {f"{what} CPU us": 1e6 * mean, f"{what} vs few": mean / statistics.mean(few)}
