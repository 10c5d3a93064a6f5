"""Celery with Redis as broker and result backend; as a program, the client.

A client that waits for each result with ``get()`` needs a thread for each, and those threads
share one subscription under one lock. Celery is faster with one thread that drains the results
and sends as many requests again; so this one does.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial

from celery import Celery
from celery.result import AsyncResult
from celery.signals import worker_ready

from .window import Window, say, window

URL = os.environ["PEERS_REDIS_URL"]
ANSWER_WITHIN_S = 30.0

app = Celery("peers", broker=URL, backend=URL)


@app.task(name="sleep")
def sleep(seconds: str) -> None:
    """Do nothing."""


@worker_ready.connect
def tell_ready(**_: object) -> None:
    """Say that tasks are taken from now on."""
    say({"mark": "ready"})


def ask(window: Window) -> None:
    """Be the client.

    Raises:
        TimeoutError: No result comes any more.
    """
    in_flight = 0

    def send() -> None:
        nonlocal in_flight
        in_flight += 1
        sent_at = time.perf_counter()
        sleep.delay("0").then(partial(answered, sent_at), on_error=failed)

    def answered(sent_at: float, _: AsyncResult) -> None:
        nonlocal in_flight
        window.add(sent_at)
        in_flight -= 1

    def failed(error: BaseException) -> None:
        raise error

    sleep.delay("0").get(timeout=ANSWER_WITHIN_S)
    window.start()
    heard_at, drain = time.monotonic(), app.backend.result_consumer.drain_events
    while in_flight or not window.over:
        while in_flight < window.in_flight and not window.over:
            send()
        before = in_flight
        drain(timeout=1)
        if in_flight < before:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > ANSWER_WITHIN_S:
            raise TimeoutError(f"no result in {ANSWER_WITHIN_S:g} s")
    window.report()


if __name__ == "__main__":
    ask(window(sys.argv[1:]))
