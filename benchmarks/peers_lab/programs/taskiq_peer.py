"""Taskiq with Redis as broker and result backend; as a program, the client.

Taskiq's clients poll for results. To poll more often is sooner for one request, but takes from what
the machine can do for many: the interval here gives the most requests per second.
"""

from __future__ import annotations

import os
import sys

import uvloop
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from .window import ask_by_tasks, say, window

URL = os.environ["PEERS_REDIS_URL"]
ANSWER_WITHIN_S = 30.0
POLL_S = 0.02

broker = ListQueueBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))


@broker.task(task_name="sleep")
async def sleep(seconds: str) -> None:
    """Do nothing."""


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
def tell_ready(_: TaskiqState) -> None:
    """Say that this worker process starts."""
    say({"mark": "ready"})


async def ask() -> None:
    """Send a request, and wait for its answer."""
    task = await sleep.kiq("0")
    result = await task.wait_result(check_interval=POLL_S, timeout=ANSWER_WITHIN_S)
    result.raise_for_error()


async def main(arguments: list[str]) -> None:
    """Be the client."""
    await broker.startup()
    await ask_by_tasks(window(arguments), ask)
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
