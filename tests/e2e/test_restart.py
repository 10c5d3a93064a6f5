"""A frontend that ends, by itself or not, and comes back."""

from __future__ import annotations

import re
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from tests.support import Process, ended, processes, promptly, puppet


def summary(client: Process) -> dict[str, int]:
    """The counts of the report that a client printed."""
    lines = re.findall(r"(?m)^ *(completed|failed|aborted) +(\d+)", client.out.decode())
    return {name: int(count) for name, count in lines}


@pytest.mark.parametrize("how", [SIGKILL, SIGTERM])
async def test_everybody_comes_back_to_a_restarted_frontend(how: int) -> None:
    async with processes() as started:
        frontend = await started.frontend()
        backends = [
            await started.backend(frontend, "sleep", slots="4", reconnect_timeout="20"),
            await started.backend(frontend, "sleep", classic="", backoff_max="0.2"),
        ]
        client = await started.client(
            frontend, "0.01", requests="150", parallel="10", reconnect_timeout="20"
        )
        while ended(await frontend.queue()) < 20:
            pass
        frontend.process.process.send_signal(how)
        code = await frontend.process.ended()
        assert code == (-SIGKILL if how == SIGKILL else 0)
        await client.line("lost the frontend, connecting again")
        again = await started.frontend(bound=frontend.bound)
        assert await client.ended() == 0
        queue = await again.queue()
        assert queue["completed"]["success"] < 150
        for backend in backends:
            assert backend.process.returncode is None
            backend.signal(SIGINT)
            assert await backend.ended() == 0

    assert summary(client) == {"completed": 150, "failed": 0}
    for process in (client, *backends):
        assert not any("Traceback" in line for line in process.log)


async def test_a_classic_client_goes_on_too() -> None:
    """What it had asked for is lost with the frontend, and counted as that."""
    async with processes() as started:
        frontend = await started.frontend()
        client = await started.client(frontend, "0", requests="12", parallel="4", classic="")
        await frontend.until(waiting=4)
        frontend.process.signal(SIGKILL)
        await frontend.process.ended()
        again = await started.frontend(bound=frontend.bound)
        await started.backend(again, "sleep", slots="4")
        assert await client.ended() == 0
        queue = await again.queue()

    counts = summary(client)
    assert counts["completed"] + counts["failed"] == 12
    assert counts["failed"] >= 4
    assert counts["completed"] == queue["completed"]["success"]


async def test_draining_lets_items_end_and_is_not_ready() -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend("--grace", "60")
        backend = await started.backend(frontend, *workload.command)
        runs, waits = await frontend.client(), await frontend.client()
        await runs.frame("request", Id="runs", Queue="q")
        run = await workload.run()
        await waits.frame("request", Id="waits", Queue="q")
        await waits.in_line()
        assert (await frontend.get("/readyz"))[0] == 200
        frontend.process.signal(SIGTERM)
        await frontend.process.line("draining")
        assert (await frontend.get("/readyz"))[0] == 503
        told = [await waits.next(), await waits.next()]
        reply = next(frame for frame in told if frame["Kind"] == "reply")
        assert (reply["Id"], reply["Retry"]) == ("waits", True)
        await run.end()
        await runs.next("drain")
        assert (await runs.next("reply"))["Outcome"] == "success"
        with promptly():
            code = await frontend.process.ended()
        await backend.line("lost the frontend")

    assert code == 0
    assert "accepted=2 success=1 cancelled=1" in frontend.process.log[-1]


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
async def test_a_second_signal_ends_the_drain(signum: int) -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend("--grace", "60")
        await started.backend(frontend, *workload.command, slots="2")
        await frontend.classic_client()  # its item runs on when the client is gone
        client = await started.client(frontend, grace="60")
        await workload.run()
        await workload.run()
        for process in (frontend.process, client):
            process.process.send_signal(signum)
        await frontend.process.line("draining")
        await client.line("stopping")
        for process in (client, frontend.process):
            process.process.send_signal(signum)
            with promptly():
                assert await process.ended() == 128 + signum

    assert summary(client)["aborted"] == 1
