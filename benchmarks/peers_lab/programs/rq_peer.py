"""RQ: ``worker|client [IN_FLIGHT WARM_UP SECONDS]``.

The worker is a SimpleWorker, which runs jobs in its own process: RQ's other one forks for each.
"""

from __future__ import annotations

import os
import sys

from redis import Redis
from rq import Queue, SimpleWorker

from .window import ask_by_threads, say, window

URL = os.environ["PEERS_REDIS_URL"]
ANSWER_WITHIN_S = 30


def sleep(seconds: str) -> None:
    """Do nothing."""


def ask(queue: Queue) -> None:
    """Send a request, and wait for its answer.

    Raises:
        RuntimeError: It failed, or there was none.
    """
    # By name, as this module is called __main__ here.
    result = queue.enqueue(f"{__spec__.name}.sleep", "0").latest_result(timeout=ANSWER_WITHIN_S)
    if result is None or result.type is not result.Type.SUCCESSFUL:
        raise RuntimeError(f"the job did not succeed: {result}")


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    queue = Queue("sleep", connection=Redis.from_url(URL))
    if role == "worker":
        worker = SimpleWorker([queue], connection=queue.connection)
        say({"mark": "ready"})
        worker.work(logging_level="WARNING")
    else:
        ask_by_threads(window(arguments), lambda: ask(queue))
