"""NATS request/reply: ``worker|client URL uvloop|asyncio [IN_FLIGHT WARM_UP SECONDS]``.

Bytes go through as they are: neither side decodes anything, and the answer is empty.
"""

from __future__ import annotations

import asyncio
import sys

import nats
import uvloop
from nats.aio.msg import Msg

from .window import PAYLOAD, ask_by_tasks, say, window

SUBJECT = "sleep"
ANSWER_WITHIN_S = 30.0


async def serve(url: str) -> None:
    """Answer requests until ended; NATS shares them out among the workers of a queue group."""
    connection = await nats.connect(url)

    async def answer(message: Msg) -> None:
        await message.respond(b"")

    await connection.subscribe(SUBJECT, queue="workers", cb=answer)
    await connection.flush()
    say({"mark": "ready"})
    await asyncio.Event().wait()


async def ask(url: str, arguments: list[str]) -> None:
    """Be the client."""
    connection = await nats.connect(url)
    await ask_by_tasks(
        window(arguments),
        lambda: connection.request(SUBJECT, PAYLOAD, timeout=ANSWER_WITHIN_S),
    )
    await connection.close()


if __name__ == "__main__":
    role, url, loop, *arguments = sys.argv[1:]
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(serve(url) if role == "worker" else ask(url, arguments))
