"""A connection's task may be cancelled at any step: no item is lost, none is answered twice."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import islice

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from scalab.frontend.clients import CLIENT_PORT
from scalab.frontend.hub import Hub
from scalab.frontend.service import _serve_connection
from scalab.frontend.workers import WORKER_PORT
from scalab.protocol.messages import Request
from scalab.queueing.item import Item
from tests.helpers import CancelAtStep, cancel_at_every_step
from tests.support import Wire, conserved, frontend_settings


@attrs.define
class Story:
    """What the peers saw."""

    requests: int = 1
    """Of a session; a classic client has one."""
    handed: int = 0
    answers: list[str] = attrs.Factory(list)


Part = Callable[[Wire, Story], Awaitable[None]]


async def classic_client(wire: Wire, story: Story) -> None:
    await wire.say({"Queue": "q"})
    story.answers += [json.loads(data)["Node"] for data in [await wire.rest()] if data]


async def session_client(wire: Wire, story: Story) -> None:
    hello = '{"Kind": "hello", "Version": 1, "Role": "client"}\n'
    requests = (f'{{"Kind": "request", "Id": "{i}", "Queue": "q"}}\n' for i in range(9))
    # At once: a backend that comes after the first of them must find the others, too.
    await wire.send("".join([hello, *islice(requests, story.requests)]).encode())
    await wire.next("welcome")
    for _ in range(story.requests):
        story.answers.append((await wire.next("reply")).get("Outcome", ""))


async def classic_backend(wire: Wire, story: Story) -> None:
    await wire.say({"Queue": "q"})
    if not (await wire.message())["Empty"]:
        story.handed += 1
        await wire.say({"Node": "n"})
        await wire.gone()


async def session_backend(wire: Wire, story: Story) -> None:
    await wire.frame("hello", Version=1, Role="backend", Queue="q", Slots=2, Wait=False)
    await wire.next("welcome")
    while (frame := await wire.next())["Kind"] == "item":
        story.handed += 1
        await wire.frame("reply", Id=frame["Id"], Node="n")
    await wire.frame("bye")


CLIENTS: dict[str, Part] = {"classic": classic_client, "session": session_client}
BACKENDS: dict[str, Part] = {"classic": classic_backend, "session": session_backend}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("victim", ["client", "backend"])
async def test_cancelled_at_any_step(client: str, backend: str, victim: str) -> None:
    async def scenario(cancel: CancelAtStep) -> None:
        hub = Hub(frontend_settings())
        story = Story(requests=3 if backend == "session" else 1)
        async with trio.open_nursery() as nursery:
            to_client, at_client = _pair()
            to_backend, at_backend = _pair()
            nursery.start_soon(_play, CLIENTS[client], to_client, story)
            if victim == "backend":
                nursery.start_soon(_serve_connection, hub, CLIENT_PORT, at_client)
                await wait_all_tasks_blocked()
                nursery.start_soon(_play, BACKENDS[backend], to_backend, story)
                await cancel.run(_serve_connection, hub, WORKER_PORT, at_backend)
            else:
                come = partial(_play, BACKENDS[backend], to_backend, story)
                nursery.start_soon(_start_backend, hub, at_backend, come, cancel)
                await cancel.run(_serve_connection, hub, CLIENT_PORT, at_client)
            await wait_all_tasks_blocked()
            _check(hub, story, victim)
            nursery.cancel_scope.cancel()
        assert hub.connections == {"client": 0, "backend": 0}
        assert conserved(hub)

    assert await cancel_at_every_step(scenario) >= 5


async def _start_backend(
    hub: Hub,
    at_backend: trio.SocketStream,
    come: Callable[[], Awaitable[None]],
    cancel: CancelAtStep,
) -> None:
    """Come as soon as something waits, or never will."""
    for _ in range(1000):
        if hub.dispatcher.queues["q"].waiting or cancel.fired:
            break
        await trio.lowlevel.checkpoint()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve_connection, hub, WORKER_PORT, at_backend)
        nursery.start_soon(come)


def _pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    near, far = trio.socket.socketpair()
    return trio.SocketStream(near), trio.SocketStream(far)


async def _play(part: Part, stream: trio.SocketStream, story: Story) -> None:
    """Play a part until it ends or the other side is gone."""
    closed = (trio.BrokenResourceError, AssertionError, json.JSONDecodeError)
    async with stream:
        with suppress(*closed):  # while it expected something
            await part(Wire(stream), story)


def _check(hub: Hub, story: Story, victim: str) -> None:
    queue = hub.dispatcher.queues["q"]
    assert conserved(hub)
    counters = queue.counters
    if victim == "client":
        # Nobody is there for an answer, so nothing may wait.
        assert len(queue.waiting) == 0
    else:
        # The client is still there: each item is answered, or waits for another backend.
        assert queue.running == 0
        assert not queue.workers
        assert not queue.idle
        assert counters.completed["success"] == len(story.answers)
        assert counters.accepted == len(story.answers) + len(queue.waiting)
    assert len(story.answers) <= counters.completed["success"]
    assert counters.delivered >= story.handed
    assert counters.completed["lost"] == 0


async def test_cancelling_an_item_at_any_step_of_its_backend() -> None:
    """The client changes its mind while the backend's connection ends."""

    async def scenario(cancel: CancelAtStep) -> None:
        hub = Hub(frontend_settings())
        answers: list[str] = []

        class Client:
            def answer(self, item: Item, reply: object) -> None:
                answers.append(item.id)

        now = trio.current_time()
        item = hub.dispatcher.submit(Client(), Request("q", id="1"), now)
        async with trio.open_nursery() as nursery:
            to_backend, at_backend = _pair()
            nursery.start_soon(_play, session_backend, to_backend, Story())
            await cancel.run(_serve_connection, hub, WORKER_PORT, at_backend)
            hub.dispatcher.cancel(item, trio.current_time())
            nursery.cancel_scope.cancel()
        assert answers == ["1"]
        assert conserved(hub)

    assert await cancel_at_every_step(scenario) >= 5
