"""What it costs to scrape a frontend with 1 to 1 000 queues.

Each queue has had items, so that it has all the metrics it can have.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack

from .processes import LOCAL, cpu_s, get, part, rss_bytes
from .table import Row, Table
from .wire import Client, Peers, Worker

ITEMS = 10
"""That each queue has had."""
COLUMNS = {
    "queues": ",d", "bytes": ",d", "CPU ms": ".2f", "CPU us/queue": ".0f", "took ms": ".2f",
    "MiB": ".0f",
}  # fmt: skip
NOTES = ("CPU: of the frontend, for one scrape, in slices: others are served between them.",)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many queues there are."""
    parser.add_argument("--queues", type=int, nargs="*", default=[1, 10, 100, 1000], metavar="N")
    parser.add_argument("--scrapes", type=int, default=20)


def measure(options: argparse.Namespace) -> Table:
    """Measure each number of queues."""
    rows = [_row(count, options.scrapes) for count in options.queues]
    return Table("Scrapes of /metrics of the frontend", COLUMNS, rows, NOTES)


def _row(count: int, scrapes: int) -> Row:
    queues = [f"queue-{number}" for number in range(count)]
    with ExitStack() as stack:
        frontend = stack.enter_context(part("frontend", *queues, *LOCAL))
        peers = stack.enter_context(Peers())
        for queue in queues:
            peers.add(Worker(frontend.address("backends"), queue))
            client = Client(frontend.address("clients"), queue)
            peers.add(client)
            client.request(ITEMS)
            peers.until(lambda: not client.pending)  # noqa: B023 - it ends here
        size = len(get(frontend.address("metrics"), "/metrics"))
        used_s, seconds = [], []
        for _ in range(scrapes):
            before_s, began = cpu_s(frontend.pid), time.perf_counter()
            get(frontend.address("metrics"), "/metrics")
            seconds.append(time.perf_counter() - began)
            used_s.append(cpu_s(frontend.pid) - before_s)
            peers.serve()  # heartbeats
        memory = rss_bytes(frontend.pid)
    each_s = statistics.median(used_s)
    return {
        "queues": count,
        "bytes": size,
        "CPU ms": 1e3 * each_s,
        "CPU us/queue": 1e6 * each_s / count,
        "took ms": 1e3 * statistics.median(seconds),
        "MiB": memory / (1 << 20),
    }
