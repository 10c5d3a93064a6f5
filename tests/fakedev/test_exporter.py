"""The exporter over its socket: run times in virtual time, and what it says to whom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from scalab.fakedev import exporter as module, workload
from scalab.fakedev.exporter import Bound, ExporterSettings
from scalab.fakedev.model import Node
from scalab.fakedev.settings import DeviceSettings, NodeSettings, Sharing
from scalab.runtime import log
from tests.helpers import CancelAtStep, cancel_at_every_step

from .helpers import (
    END,
    PATIENCE_S,
    Wire,
    connected,
    exporter,
    fit_usl,
    names_in,
    settings,
    timed,
    until,
)


async def together(bound: Bound, devices: list[str]) -> list[float]:
    """Run times of workloads that start at once."""
    taken: list[float] = []

    async def one(device: str) -> None:
        taken.append(await timed(bound, 2.0, device))

    async with trio.open_nursery() as nursery:
        for device in devices:
            nursery.start_soon(one, device)
    return taken


# --- run times -----------------------------------------------------------------------------------


async def test_run_times_follow_the_model(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with exporter(tmp_path, settings(sigma=0.1, kappa=0.01, speed=0.5)) as bound:
        for n in (1, 2, 4, 8):
            expected_s = 2 / 0.5 * (1 + 0.1 * (n - 1) + 0.01 * n * (n - 1))
            assert await together(bound, ["d0"] * n) == pytest.approx([expected_s] * n, rel=0.003)


async def test_throughput_over_devices_gives_their_sharing_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with exporter(tmp_path, settings(8, Sharing(0.05, 0.004))) as bound:
        points = {}
        for n in range(1, 9):
            taken = await together(bound, [f"d{i}" for i in range(n)])
            points[n] = sum(2 / run_s for run_s in taken)
    assert fit_usl(points) == pytest.approx((0.05, 0.004), rel=0.03)


async def test_who_comes_later_slows_down_who_was_there(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with exporter(tmp_path, settings()) as bound:
        async with trio.open_nursery() as nursery:
            taken: dict[str, float] = {}

            async def run(name: str, after_s: float, work_s: float) -> None:
                await trio.sleep(after_s)
                taken[name] = await timed(bound, work_s)

            nursery.start_soon(run, "first", 0, 2)
            nursery.start_soon(run, "second", 1, 3)
    assert taken == pytest.approx({"first": 3.0, "second": 4.0}, rel=0.003)


# --- what is said --------------------------------------------------------------------------------


@pytest.fixture
def warnings_logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    log = structlog.get_logger()

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def warning(self, event: str, **fields: object) -> None:
            seen.append(f"{event}: {fields['why']}")

    monkeypatch.setattr(module, "log", Noting())
    return seen


async def test_pings_are_answered_before_and_after_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with exporter(tmp_path, settings()) as bound, connected(bound) as wire:
        await wire.ask()
        await wire.say(Kind="ping")
        assert await wire.next() == {"Kind": "pong"}
        assert await wire.next() == END
        await wire.say(Kind="ping")
        assert await wire.next() == {"Kind": "pong"}


async def test_refusals(
    tmp_path: Path, autojump_clock: MockClock, warnings_logged: list[str]
) -> None:
    async with exporter(tmp_path, settings(12, failure_rate=1.0, memory=100)) as bound:
        for asked, end in (
            (
                {"device": "x\n"},
                (11, "no device 'x\\n'; there are: d0, d1, d2, d3, d4, d5, d6, d7, …"),
            ),
            ({"Memory": 101}, (12, "out of memory: 101 MiB are not free on d0")),
            ({"work_s": 5}, (10, "d0 failed")),
            ({"work_s": -1}, (2, "Work must be a number from 0 to 1e+07")),
        ):
            async with connected(bound) as wire:
                await wire.ask(**asked)
                code, error = end
                assert await wire.next() == {"Kind": "end", "Retcode": code, "Error": error}
        assert bound.node.devices["d0"].ended == {
            "success": 0, "failure": 1, "out_of_memory": 1, "gone": 0,
        }  # fmt: skip
    assert warnings_logged == ["workload refused: Work must be a number from 0 to 1e+07"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"x" * 5000, "message longer than 4096 bytes"),
        (b'{"Kind":"ping"}\n', "a workload first asks for a device"),
        (b'{"Kind":"run"}\n', "Device must be a string"),
        (b"\n", "not valid JSON: "),
        (b"\xff\n", "not valid JSON: "),
    ],
)
async def test_a_bad_beginning(
    tmp_path: Path, warnings_logged: list[str], said: bytes, why: str
) -> None:
    async with exporter(tmp_path, settings()) as bound, connected(bound) as wire:
        await wire.stream.send_all(said)
        end = await wire.next()
        assert end
        assert (end["Kind"], end["Retcode"]) == ("end", workload.USAGE)
        assert str(end["Error"]).startswith(why)
        assert await wire.next() is None
        reading = bound.node.read(trio.current_time())["d0"]
        assert reading.running == reading.gone == 0
    assert len(warnings_logged) == 1


async def test_a_second_request_ends_the_first(tmp_path: Path, warnings_logged: list[str]) -> None:
    async with exporter(tmp_path, settings()) as bound, connected(bound) as wire:
        await wire.ask(work_s=1000)
        await wire.ask(work_s=1000)
        end = await wire.next()
        assert end
        assert end["Error"] == "a workload asks for one device"
        assert await wire.next() is None
        assert bound.node.devices["d0"].ended["gone"] == 1
    assert len(warnings_logged) == 1


async def test_who_never_asks_is_sent_away(
    tmp_path: Path, autojump_clock: MockClock, warnings_logged: list[str]
) -> None:
    async with exporter(tmp_path, settings()) as bound, connected(bound) as wire:
        end = await wire.next()
        assert end
        assert end["Error"] == f"a workload asks within {module.ASK_WITHIN_S:g} s"
        assert trio.current_time() == pytest.approx(module.ASK_WITHIN_S, rel=0.01)
    assert len(warnings_logged) == 1


async def test_who_pings_and_does_not_read_is_sent_away(
    tmp_path: Path, warnings_logged: list[str]
) -> None:
    async with exporter(tmp_path, settings()) as bound, connected(bound) as wire:
        await wire.ask(work_s=1000)
        with trio.fail_after(PATIENCE_S):
            try:
                while True:
                    await wire.stream.send_all(workload.PING * 100)
            except trio.BrokenResourceError:
                pass
        await until(lambda: bound.node.devices["d0"].ended["gone"])
    assert warnings_logged == ["workload refused: a workload reads the answers"]


async def test_the_end_has_room_behind_unread_answers(autojump_clock: MockClock) -> None:
    node = Node(settings(), trio.current_time())
    server = module.Exporter(node, ExporterSettings(node=node.settings))
    ours, theirs = memory_stream_pair()
    ours.send_stream.send_all_hook = trio.sleep_forever  # a frozen workload's buffer is full
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.keep_time)
        nursery.start_soon(server.serve, ours)
        await theirs.send_all(
            b'{"Kind":"run","Device":"d0","Work":1,"Profile":[[100,0,1]]}\n' + workload.PING
        )
        await wait_all_tasks_blocked()  # one answer is being sent
        await theirs.send_all(workload.PING * module._UNREAD)
        await trio.sleep(2)
        assert node.devices["d0"].ended["success"] == 1
        assert len(node.devices["d0"].running) == 1
        nursery.cancel_scope.cancel(reason="seen enough")


async def test_a_workload_that_dies_with_answers_unread_is_no_news(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings()) as bound:
        device = bound.node.devices["d0"]
        async with connected(bound) as wire:
            await wire.ask(work_s=1000)
            await wire.say(Kind="ping")
            await trio.lowlevel.wait_readable(wire.stream.socket)
        await until(lambda: device.ended["gone"])


async def test_there_can_be_too_many(tmp_path: Path, warnings_logged: list[str]) -> None:
    async with exporter(tmp_path, settings(), most_workloads=2) as bound:
        async with connected(bound) as one, connected(bound) as two:
            for wire in (one, two):
                await wire.ask(work_s=1000)
            await until(lambda: len(bound.node.devices["d0"].running) == 2)
            async with connected(bound) as three:
                end = await three.next()
                assert end
                assert end["Error"] == "too many workloads"
        await until(lambda: not bound.node.devices["d0"].running)
        async with connected(bound) as wire:
            await wire.ask(work_s=0)
            assert await wire.next() == END


async def test_who_leaves_before_asking_is_no_news(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings()) as bound:
        async with connected(bound) as wire:
            await wire.stream.send_all(b'{"Kind":')
        assert await timed(bound, 0.0) >= 0


async def test_leaving_frees_the_slot_for_the_next(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with exporter(tmp_path, settings(slots=1)) as bound:
        async with connected(bound) as first, connected(bound) as second:
            await first.ask(work_s=1000)
            await second.ask(work_s=1)
            await trio.sleep(10)
            reading = bound.node.read(trio.current_time())["d0"]
            assert (reading.running, reading.waiting) == (1, 1)
            await first.stream.aclose()
            assert await second.next() == END
            assert trio.current_time() == pytest.approx(11, rel=0.001)


async def test_a_cancelled_connection_is_off_the_books(tmp_path: Path) -> None:
    """Whenever a workload's task ends, its run is off the books."""

    async def scenario(cancel: CancelAtStep) -> None:
        node = Node(settings(memory=10), trio.current_time())
        server = module.Exporter(node, ExporterSettings(node=node.settings))
        ours, theirs = trio.socket.socketpair()
        async with trio.SocketStream(theirs) as stream:
            wire = Wire(stream)
            await wire.ask(work_s=0, Memory=5)
            await wire.say(Kind="ping")
            theirs.shutdown(trio.socket.SHUT_WR)
            await cancel.run(server.serve, trio.SocketStream(ours))
        device = node.devices["d0"]
        assert not device.running
        assert not device.waiting
        assert device.load == device.memory_mib == 0.0

    assert await cancel_at_every_step(scenario) > 3


async def test_the_seed_makes_a_run_repeatable(tmp_path: Path, autojump_clock: MockClock) -> None:
    async def fates(seed: int) -> list[tuple[object, float]]:
        device = DeviceSettings(name="d0", failure_rate=0.4)
        found = []
        async with exporter(tmp_path, NodeSettings(devices=(device,), seed=seed)) as bound:
            for _ in range(30):
                began = trio.current_time()
                async with connected(bound) as wire:
                    await wire.ask()
                    end = await wire.next()
                assert end
                found.append((end["Retcode"], round(trio.current_time() - began, 2)))
        return found

    assert await fates(1) == await fates(1) != await fates(2)


async def test_the_log_tells_what_is_going_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(level=10)
    async with exporter(tmp_path, settings(2), verbose=True) as bound:
        await timed(bound, 0.0)
        await until(lambda: not bound.node.devices["d0"].running)
    err = capsys.readouterr().err
    for expected in (
        rf"exporter is ready  devices=d0,d1 socket={re.escape(bound.socket)} metrics=http://127",
        r"workload starts  device=d0 number=1\n",
        r"workload left  device=d0 number=1 outcome=success\n",
        r"device has ended  device=d0 success=1\n",
    ):
        assert re.search(expected, err)


async def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    async with exporter(tmp_path, settings(), files=str(tmp_path / "dev")):
        assert names_in(tmp_path / "dev") == ["d0"]
        assert names_in(tmp_path) == ["dev", "socket"]
    assert not names_in(tmp_path / "dev")
    assert names_in(tmp_path) == ["dev"]
