"""Dramatiq with Redis as broker and result backend; as a program, the client."""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from .window import ask_by_threads, window

URL = os.environ["PEERS_REDIS_URL"]
ANSWER_WITHIN_MS = 30_000

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="sleep", store_results=True)
def sleep(seconds: str) -> None:
    """Do nothing."""


if __name__ == "__main__":
    ask_by_threads(
        window(sys.argv[1:]),
        lambda: sleep.send("0").get_result(block=True, timeout=ANSWER_WITHIN_MS),
    )
