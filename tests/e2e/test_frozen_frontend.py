"""A frontend that stands still keeps nobody from leaving."""

from __future__ import annotations

from signal import SIGINT

import pytest

from tests.support import alive, processes, promptly, puppet


@pytest.mark.alone
async def test_everybody_can_leave_a_frozen_frontend() -> None:
    """Clients and backends of both kinds: idle, at work, and just about to connect."""
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend("idle")
        idle = [
            await started.backend(frontend, queue="idle"),
            await started.backend(frontend, queue="idle", classic=""),
        ]
        clients = [
            await started.client(frontend, parallel="2"),
            await started.client(frontend, parallel="2", classic="", grace="60"),
        ]
        await frontend.until(waiting=4)
        busy = [
            await started.backend(frontend, *workload.command),
            await started.backend(frontend, *workload.command, classic=""),
        ]
        runs = [await workload.run(), await workload.run()]
        with frontend.frozen():
            late = [
                await started.backend(frontend, queue="idle"),
                await started.backend(frontend, queue="idle", classic=""),
                await started.client(frontend, control_addr="127.0.0.1:0"),
            ]
            await late[2].line("client is ready")
            for process in (*idle, *busy, *clients, *late):
                process.signal(SIGINT)
            with promptly():
                codes = [await p.ended() for p in (*idle, *busy, *clients, *late)]
                for run in runs:
                    await run.killed()
        await frontend.until(running=0, waiting=0)

    assert codes == [0] * 9
    assert not any(alive(run.pid) for run in runs)
    for backend in (*idle, *busy, *late[:2]):
        assert any("backend has ended" in line for line in backend.log)
        assert not any("Traceback" in line for line in backend.log)
    for client in clients:
        assert b"queue q" in client.out
        assert b"given up at the end of the run" in client.out
    for backend in busy:
        assert any("frontend doesn't answer, leaving" in line for line in backend.log)
