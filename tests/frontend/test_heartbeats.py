"""Peers that fall silent, and the difference between their silence and our own sleep."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support import Frontend, serving

HEARTBEAT_S = 5.0
for_hours = partial(serving, heartbeat_s=HEARTBEAT_S, patience_s=10_000.0)


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let time pass in small steps, as it does for a process that is awake."""
    for _ in range(round(seconds * 2)):
        clock.jump(0.5)
        await wait_all_tasks_blocked()


async def silent_errors(frontend: Frontend) -> float:
    return (await frontend.metrics())['scalab_protocol_errors_total{reason="silent"}']


async def test_an_idle_session_is_asked_in_time(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        for wire in (await frontend.client(), await frontend.backend()):
            await pass_time(mock_clock, 1.5 * HEARTBEAT_S)
            await wire.next("ping")


async def test_a_silent_backend_is_lost_after_three_heartbeats(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        classic, backend = await frontend.classic_client(), await frontend.backend()
        await backend.next("item")
        await pass_time(mock_clock, 3 * HEARTBEAT_S - 1)
        assert (await frontend.queue())["running"] == 1
        await pass_time(mock_clock, HEARTBEAT_S)
        queue = await frontend.queue()
        assert (queue["running"], queue["waiting"]) == (0, 1)
        assert await silent_errors(frontend) == 1
        other, _ = await frontend.classic_backend()
        await other.say({"Node": "n"})
        reply = await classic.answer()

    assert reply["Attempts"] == 2
    assert queue["redelivered"]["heartbeat"] == 1


async def test_a_silent_client_s_requests_are_dropped(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        await pass_time(mock_clock, 4 * HEARTBEAT_S)
        queue = await frontend.queue()

    assert queue["completed"]["disconnected"] == 1


@pytest.mark.parametrize("word", ["pong", "ping"])
async def test_whoever_says_anything_is_there(word: str, mock_clock: MockClock) -> None:
    """However long a workload runs."""
    async with for_hours() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        item = await backend.next("item")
        for _ in range(20):
            await pass_time(mock_clock, 2.5 * HEARTBEAT_S)
            await client.frame(word)
            await backend.frame(word)
            await wait_all_tasks_blocked()
        await backend.frame("reply", Id=item["Id"])
        while (frame := await client.next())["Kind"] != "reply":
            assert frame["Kind"] == "pong"
        assert await silent_errors(frontend) == 0

    assert frame["Attempts"] == 1


async def test_a_ping_is_answered(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        for wire in (await frontend.client(), await frontend.backend()):
            await wire.in_line()


async def test_classic_peers_may_be_silent_for_hours(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        client = await frontend.classic_client()
        backend, _ = await frontend.classic_backend()
        for _ in range(10):
            mock_clock.jump(360)
            await wait_all_tasks_blocked()
        await backend.say({"Node": "n"})
        assert (await client.answer())["Node"] == "n"


async def test_peers_are_excused_for_the_time_in_which_we_slept(mock_clock: MockClock) -> None:
    """After a SIGSTOP, or a suspended machine, what they said is still unread."""
    async with for_hours() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        item = await backend.next("item")
        for _ in range(3):
            mock_clock.jump(600)
            await wait_all_tasks_blocked()
            await pass_time(mock_clock, 2 * HEARTBEAT_S)
            await client.frame("pong")
            await backend.frame("pong")
            await wait_all_tasks_blocked()
        await backend.frame("reply", Id=item["Id"])
        reply = await client.next("reply")
        assert await silent_errors(frontend) == 0

    assert reply["Attempts"] == 1


async def test_our_sleep_is_no_excuse_for_ever(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        await frontend.backend()
        mock_clock.jump(600)
        await wait_all_tasks_blocked()
        await pass_time(mock_clock, 4 * HEARTBEAT_S)
        assert await silent_errors(frontend) == 1


async def test_what_a_lost_backend_says_afterwards_has_no_effect(mock_clock: MockClock) -> None:
    async with for_hours() as frontend:
        client, backend = await frontend.client(), await frontend.backend()
        await client.frame("request", Id="1", Queue="q")
        item = await backend.next("item")
        for _ in range(8):
            await pass_time(mock_clock, HEARTBEAT_S / 2)
            await client.frame("pong")
        with suppress(trio.BrokenResourceError):
            for _ in range(3):
                await backend.frame("reply", Id=item["Id"], Node="late")
                await wait_all_tasks_blocked()
        other = await frontend.backend()
        again = await other.next("item")
        await other.frame("reply", Id=again["Id"], Node="in time")
        reply = await client.next("reply")
        queue = await frontend.queue()

    assert item["Id"] != again["Id"]
    assert (reply["Node"], reply["Attempts"]) == ("in time", 2)
    assert queue["completed"]["success"] == 1
