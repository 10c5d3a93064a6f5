"""What an item costs the frontend by the size of its arguments.

Messages are at most 1 024 bytes, so arguments can't grow beyond that.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack

import orjson

from .processes import LOCAL, Part, cpu_s, part
from .table import Row, Table
from .wire import Client, Peers, Worker

QUEUE, SLOTS, IN_FLIGHT = "q", 32, 64
COLUMNS = {"bytes of arguments": ",d", "item CPU us": ".1f", "to the first": ".2f"}
NOTES = (f"CPU: of the frontend, for one item; {IN_FLIGHT} are in flight, {SLOTS} slots run them.",)


class _Sized(Client):
    """Sends requests with arguments of one size."""

    def __init__(self, frontend: Part, size: int) -> None:
        super().__init__(frontend.address("clients"), QUEUE)
        args = orjson.dumps([size * "x"])
        self._tail = b'","Queue":"%s","Args":%s}\n' % (QUEUE.encode(), args)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which sizes there are."""
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 100, 400, 900], metavar="BYTES")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: argparse.Namespace) -> Table:
    """Measure the sizes in turn, round by round."""
    used: dict[int, list[float]] = {size: [] for size in options.sizes}
    with ExitStack() as stack:
        frontend = stack.enter_context(part("frontend", QUEUE, *LOCAL))
        peers = stack.enter_context(Peers())
        peers.add(Worker(frontend.address("backends"), QUEUE, SLOTS))
        for _ in range(options.rounds):
            for size in options.sizes:
                used[size].append(_item_s(frontend, peers, size, options.items))
    first_s = statistics.median(next(iter(used.values())))
    return Table("Size of messages", COLUMNS, [_row(n, s, first_s) for n, s in used.items()], NOTES)


def _item_s(frontend: Part, peers: Peers, size: int, items: int) -> float:
    client = _Sized(frontend, size)
    peers.add(client)
    client.to_send = items - IN_FLIGHT
    before_s = cpu_s(frontend.pid)
    client.request(IN_FLIGHT)
    peers.until(lambda: client.replies == items)
    return (cpu_s(frontend.pid) - before_s) / items


def _row(size: int, used_s: list[float], first_s: float) -> Row:
    median_s = statistics.median(used_s)
    return {
        "bytes of arguments": size,
        "item CPU us": 1e6 * median_s,
        "to the first": median_s / first_s,
    }
