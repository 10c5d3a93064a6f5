"""The backend service: what it takes, when it leaves, and in what order it says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from scalab.backend.classic import ClassicWorker
from scalab.backend.command import Workload
from scalab.backend.devices import find_devices
from scalab.backend.once import run_once
from scalab.backend.runner import Runner
from scalab.backend.service import Result
from scalab.backend.session import SessionWorker
from scalab.errors import ConfigError
from scalab.runtime.net import Address, bound_address
from scalab.runtime.reconnect import Connector
from scalab.runtime.service import Stop
from tests.support import (
    PATIENCE_S,
    Wire,
    alive,
    backend_run,
    backend_settings,
    client_run,
    puppet,
    serving,
    working,
)

either = pytest.mark.parametrize("classic", [False, True])


class FakeFrontend:
    """A frontend's end of sessions, played by the test."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._wires: list[Wire] = []
        self.address = bound_address([listener])

    async def accept(self) -> Wire:
        """The next connection, of which nothing was read."""
        wire = Wire(await self._listener.accept())
        self._wires.append(wire)
        return wire

    async def session(self, heartbeat_s: float = 5.0) -> Wire:
        """The next session."""
        wire = await self.accept()
        await wire.next("hello")
        return await wire.frame("welcome", Version=1, Heartbeat=heartbeat_s)

    async def leave(self) -> None:
        for wire in self._wires:
            await wire.aclose()


@asynccontextmanager
async def fake_frontend(patience_s: float = PATIENCE_S) -> AsyncIterator[FakeFrontend]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    frontend = FakeFrontend(listener)
    with trio.fail_after(patience_s):
        async with listener:
            try:
                yield frontend
            finally:
                with trio.CancelScope(shield=True):
                    await frontend.leave()


# --- an empty queue ----------------------------------------------------------------------------


@either
@pytest.mark.parametrize("slots", [1, 3])
async def test_it_leaves_when_the_queue_is_empty(classic: bool, slots: int) -> None:
    """But not before everything was done that waited."""
    async with serving() as frontend:
        client = await frontend.client()
        for i in range(7):
            await client.frame("request", Id=str(i), Queue="q", Args=["0.01"])
        await client.in_line()
        result = await backend_run(
            frontend.bound.workers, "sleep", when_empty="exit", slots=slots, classic=classic
        )
        done = {(await client.next("reply"))["Id"] for _ in range(7)}

    assert result.error is None
    assert result.counts.outcomes["success"] == 7
    assert done == {str(i) for i in range(7)}


@either
async def test_at_an_empty_queue_it_leaves_at_once(classic: bool) -> None:
    async with serving() as frontend:
        result = await backend_run(
            frontend.bound.workers, "sleep", when_empty="exit", slots=3, classic=classic
        )
    assert result.error is None


@either
@pytest.mark.parametrize("when_empty", ["backoff", "wait"])
async def test_it_stays_for_items_to_come(
    classic: bool, when_empty: str, autojump_clock: MockClock
) -> None:
    async with serving(patience_s=10_000.0) as frontend:
        options: dict[str, Any] = {"classic": classic, "when_empty": when_empty, "slots": 2}
        async with working(frontend.bound.workers, "sleep", **options):
            for _ in range(3):
                await trio.sleep(100)
                sent_at = trio.current_time()
                await client_run(frontend.bound.clients, args=("0",), requests=1)
                waited_s = trio.current_time() - sent_at
                assert waited_s < (1.0 if when_empty == "wait" and not classic else 8.0)


@pytest.mark.parametrize("slots", [1, 4])
async def test_it_asks_less_and_less_often(slots: int, autojump_clock: MockClock) -> None:
    """However many items came in between: there is one pause at a time."""
    pulls: list[float] = []
    async with fake_frontend(patience_s=100_000.0) as frontend, trio.open_nursery() as nursery:
        options: dict[str, Any] = {"when_empty": "backoff", "backoff_s": 0.1, "slots": slots}
        nursery.start_soon(
            partial(backend_run, frontend.address, "sleep", backoff_max_s=10.0, **options)
        )
        wire = await frontend.session()
        for i in range(100):
            await wire.frame("item", Id=str(i), Args=["1"])
            await wire.frame("empty")
            while (await next_word(wire))["Kind"] != "reply":
                await wire.frame("empty")
        started = trio.current_time()
        await wire.frame("empty")
        while trio.current_time() < started + 1000:
            assert (await next_word(wire))["Kind"] == "pull"
            pulls.append(trio.current_time() - started)
            await wire.frame("empty")
        nursery.cancel_scope.cancel()

    in_the_end = [at for at in pulls if at > 100]
    assert 900 / 15 - 1 <= len(in_the_end) <= 900 / 5 + 1


async def next_word(wire: Wire) -> dict[str, Any]:
    """The next frame, with pings answered."""
    while True:
        frame = await wire.next()
        if frame["Kind"] != "pong":
            return frame
        await wire.frame("pong")


# --- the end -----------------------------------------------------------------------------------


@either
async def test_told_to_stop_it_finishes_what_it_runs(classic: bool) -> None:
    async with serving() as frontend, puppet() as workload:
        first, second = await frontend.classic_client(), await frontend.classic_client()
        async with working(frontend.bound.workers, *workload.command, classic=classic) as stop:
            run = await workload.run()
            stop.requested.set()
            await wait_all_tasks_blocked()
            assert (await frontend.queue())["running"] == 1
            await run.end()
            reply = await first.answer()
        queue = await frontend.queue()
        assert (queue["waiting"], queue["slots"]["idle"]) == (1, 0)
        await second.aclose()

    assert (reply["Retcode"], reply["Error"], reply["Attempts"]) == (0, "", 1)


async def test_what_outlasts_the_grace_is_given_back() -> None:
    async with serving(max_attempts=1) as frontend, puppet() as workload:
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        async with working(frontend.bound.workers, *workload.command, grace_s=0.0) as stop:
            run = await workload.run()
            stop.requested.set()
            await run.killed()
        assert not alive(run.pid)
        await wait_all_tasks_blocked()
        assert (await frontend.queue())["redelivered"]["release"] == 1
        async with working(frontend.bound.workers, *workload.command):
            await (await workload.run()).end()
            reply = await client.next("reply")

    assert (reply["Outcome"], reply["Attempts"]) == ("success", 1)


async def test_over_the_classic_exchange_it_is_answered_instead() -> None:
    """There an item can't be given back."""
    async with serving() as frontend, puppet() as workload:
        client = await frontend.classic_client()
        options: dict[str, Any] = {"grace_s": 0.0, "classic": True}
        async with working(frontend.bound.workers, *workload.command, **options) as stop:
            run = await workload.run()
            stop.requested.set()
            await run.killed()
            reply = await client.answer()

    assert (reply["Retcode"], reply["Error"]) == (143, "cancelled")


async def test_the_last_words_are_in_order() -> None:
    """Drain, the reply of what ran, bye; and the frontend may still hand over in between."""
    async with fake_frontend() as frontend, puppet() as workload, trio.open_nursery() as nursery:
        stop = Stop()
        nursery.start_soon(
            partial(backend_run, frontend.address, *workload.command, stop=stop, slots=2)
        )
        wire = await frontend.session()
        await wire.frame("item", Id="before")
        before = await workload.run()
        stop.requested.set()
        await wire.next("drain")
        assert await wire.next("ping")
        await wire.frame("item", Id="crossed")  # sent before the drain was read
        await wire.frame("pong")
        crossed = await workload.run()
        await before.end()
        assert (await wire.next("reply"))["Id"] == "before"
        await crossed.end(3)
        reply = await wire.next("reply")
        await wire.next("bye")
        await wire.gone()

    assert (reply["Id"], reply["Retcode"]) == ("crossed", 3)


async def test_a_frontend_that_hands_an_item_over_twice_is_left() -> None:
    """Its name would stand for two runs; a frontend of ours doesn't do that."""
    async with fake_frontend() as frontend, puppet() as workload, trio.open_nursery() as nursery:
        stop = Stop()
        nursery.start_soon(
            partial(backend_run, frontend.address, *workload.command, stop=stop, slots=2)
        )
        wire = await frontend.session()
        await wire.frame("item", Id="same")
        run = await workload.run()
        await wire.frame("item", Id="same")
        await wire.gone()
        await run.killed()
        again = await frontend.session()
        await again.frame("item", Id="same")
        await (await workload.run()).end()
        assert (await again.next("reply"))["Id"] == "same"
        stop.requested.set()
        nursery.cancel_scope.cancel()


async def test_a_pong_of_an_earlier_ping_is_not_the_answer(mock_clock: MockClock) -> None:
    """Or else an item that crosses the drain would be dropped, and count as an attempt."""
    async with fake_frontend() as frontend, trio.open_nursery() as nursery:
        stop = Stop()
        nursery.start_soon(partial(backend_run, frontend.address, "sleep", stop=stop))
        wire = await frontend.session(heartbeat_s=5.0)
        await wait_all_tasks_blocked()
        for _ in range(2):
            mock_clock.jump(2.5)
            await wait_all_tasks_blocked()
        await wire.next("ping")
        stop.requested.set()
        await wire.next("drain")
        await wire.next("ping")
        await wire.frame("pong")  # to the first ping
        await wait_all_tasks_blocked()
        await wire.frame("item", Id="crossed", Args=["0"])
        await wire.frame("pong")
        assert (await wire.next("reply"))["Id"] == "crossed"
        await wire.next("bye")


async def test_a_session_that_never_opened_doesn_t_delay_the_end(mock_clock: MockClock) -> None:
    """The clock stands still, so whoever waits for a deadline waits for ever."""
    async with fake_frontend() as frontend:
        for classic in (False, True):
            async with trio.open_nursery() as nursery:
                stop = Stop()
                nursery.start_soon(
                    partial(backend_run, frontend.address, "sleep", stop=stop, classic=classic)
                )
                await frontend.accept()
                await wait_all_tasks_blocked()
                stop.requested.set()


async def test_a_frontend_that_doesn_t_answer_is_left(autojump_clock: MockClock) -> None:
    """With all that runs for it: sessions ask by a ping, the classic exchange by a connection."""
    for classic in (False, True):
        async with fake_frontend() as frontend:
            async with trio.open_nursery() as nursery:
                stop = Stop()
                nursery.start_soon(
                    partial(
                        backend_run, frontend.address, "sleep",
                        stop=stop, classic=classic, grace_s=600.0,
                    )
                )  # fmt: skip
                if classic:
                    wire = await frontend.accept()
                    await wire.message()
                    await wire.say({"Args": ["300"]})
                else:
                    wire = await frontend.session()
                    await wire.frame("item", Id="1", Args=["300"])
                await wait_all_tasks_blocked()
                stopped_at = trio.current_time()
                stop.requested.set()
            assert trio.current_time() - stopped_at < 1.0


# --- losing the frontend -----------------------------------------------------------------------


@either
async def test_a_lost_frontend_ends_what_runs_and_is_looked_for_again(
    classic: bool,
) -> None:
    """Only a session notices at once; a classic exchange tells nothing before its reply."""
    async with fake_frontend() as frontend, puppet() as workload, trio.open_nursery() as nursery:
        result, stop = Result(), Stop()

        async def run() -> None:
            nonlocal result
            result = await backend_run(
                frontend.address, *workload.command, stop=stop, classic=classic
            )

        nursery.start_soon(run)
        if classic:
            wire = await frontend.accept()
            await wire.message()
            await wire.say({"Args": []})
        else:
            wire = await frontend.session()
            await wire.frame("item", Id="1")
        running = await workload.run()
        await wire.aclose()
        if classic:
            await running.end()
        else:
            await running.killed()
        again = await (frontend.accept() if classic else frontend.session())
        stop.requested.set()
        await again.rest()
        await again.aclose()

    assert result.error is None
    assert result.counts.aborted == (0 if classic else 1)


async def test_a_frontend_that_falls_silent_is_lost(autojump_clock: MockClock) -> None:
    """What runs for it is ended: by now another backend has it."""
    with structlog.testing.capture_logs() as logs:
        async with fake_frontend(patience_s=1000.0) as frontend, trio.open_nursery() as nursery:
            nursery.start_soon(partial(backend_run, frontend.address, "sleep"))
            first = await frontend.session()
            await first.frame("item", Id="1", Args=["600"])
            silent_since = trio.current_time()
            second = await frontend.session()
            lost_after_s = trio.current_time() - silent_since
            await second.frame("item", Id="2", Args=["0"])
            assert (await second.next("reply"))["Id"] == "2"
            nursery.cancel_scope.cancel()

    assert 15.0 < lost_after_s < 18.0
    lost = next(line for line in logs if line["event"].startswith("lost the frontend"))
    assert "nothing heard for" in lost["why"]


async def test_a_cancelled_item_is_killed_and_its_slot_is_free() -> None:
    async with fake_frontend() as frontend, puppet() as workload, trio.open_nursery() as nursery:
        stop = Stop()
        nursery.start_soon(partial(backend_run, frontend.address, *workload.command, stop=stop))
        wire = await frontend.session()
        await wire.frame("item", Id="1")
        run = await workload.run()
        await wire.frame("cancel", Id="unknown")
        await wire.frame("cancel", Id="1")
        await run.killed()
        reply = await wire.next("reply")
        await wire.frame("item", Id="2")
        await (await workload.run()).end()
        assert (await wire.next("reply"))["Id"] == "2"
        nursery.cancel_scope.cancel()

    assert (reply["Id"], reply["Retcode"], reply["Error"]) == ("1", 143, "cancelled")


async def test_more_items_than_slots_are_given_back() -> None:
    async with fake_frontend() as frontend, puppet() as workload, trio.open_nursery() as nursery:
        nursery.start_soon(partial(backend_run, frontend.address, *workload.command))
        wire = await frontend.session()
        for name in ("1", "2"):
            await wire.frame("item", Id=name)
        assert (await wire.next("release"))["Id"] == "2"
        await (await workload.run()).end()
        assert (await wire.next("reply"))["Id"] == "1"
        nursery.cancel_scope.cancel()


async def test_a_refusal_ends_it() -> None:
    async with serving("encode", "decode") as frontend:
        result = await backend_run(frontend.bound.workers, "sleep", queue="x")
    assert isinstance(result.error, ConfigError)
    assert "unknown queue 'x'; known: encode, decode" in str(result.error)


# --- what it runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("ignored", [False, True])
async def test_arguments_of_requests_are_added_unless_ignored(ignored: bool) -> None:
    async with serving() as frontend, puppet() as workload:
        command = (*workload.command, "own")
        async with working(frontend.bound.workers, *command, ignore_args=ignored):
            client = await frontend.classic_client(Args=["$(touch /tmp/x)", "b"])
            run = await workload.run()
            await run.end()
            await client.answer()

    assert run.args == (["own"] if ignored else ["own", "$(touch", "/tmp/x)", "b"])


async def test_a_device_file_needs_a_match() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving() as frontend:
            command = ("echo", "FILENAME")
            async with working(frontend.bound.workers, *command, glob="/nowhere/*"):
                stats = (await client_run(frontend.bound.clients, requests=1)).statistics

    assert stats is not None
    assert [e.text for e in stats.errors] == ["FILENAME is used, but there is no device file"]
    assert "no file matches" in next(e["event"] for e in logs if e["log_level"] == "warning")


async def test_each_device_has_its_slots(tmp_path: Any) -> None:
    for name in ("card0", "card1"):
        (tmp_path / name).touch()
    async with serving() as frontend, puppet() as workload:
        command = (*workload.command, "FILENAME")
        async with working(frontend.bound.workers, *command, glob=f"{tmp_path}/card*", slots=2):
            clients = [await frontend.classic_client() for _ in range(5)]
            runs = [await workload.run() for _ in range(4)]
            assert (await frontend.queue())["waiting"] == 1
            for run in runs:
                await run.end()
            await (await workload.run()).end()
            devices = [(await client.answer())["Device"] for client in clients]

    assert sorted(run.args[0] for run in runs) == sorted(
        f"{tmp_path}/card{i}" for i in (0, 0, 1, 1)
    )
    assert set(devices) == {"card0", "card1"}


async def test_once_runs_it_without_a_frontend() -> None:
    nowhere = Address("127.0.0.1", 1)
    good, end = await run_once(backend_settings(nowhere, "sleep", "0"))
    bad, _ = await run_once(backend_settings(nowhere, "bash", "-c", "echo why >&2; exit 9"))

    assert end is None
    assert (good.retcode, good.error, good.node) == (0, "", "node")
    assert (bad.retcode, bad.error) == (9, "why")


def test_what_can_t_be_run_is_refused_early(tmp_path: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not executable"):
        Workload.parse([str(tmp_path / "file")])


# --- readiness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SessionWorker, ClassicWorker])
async def test_a_backend_is_ready_from_its_welcome_to_its_stop(
    kind: type[SessionWorker | ClassicWorker],
) -> None:
    async with serving() as frontend:
        settings, stop = backend_settings(frontend.bound.workers), Stop()
        connector = Connector(frontend.bound.workers, stop, 5.0, 5.0)
        async with Runner(settings.runner) as runner, trio.open_nursery() as nursery:
            worker = kind(settings, runner, find_devices("", 1), stop)
            assert not worker.ready

            nursery.start_soon(worker.run, connector)
            await client_run(frontend.bound.clients, args=("0",), requests=1)
            assert worker.ready

            stop.requested.set()
            assert not worker.ready
