"""Backends that are stopped, killed, or lost again and again while they run an item."""

from __future__ import annotations

from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

import pytest

from tests.support import alive, processes, promptly, puppet


@pytest.mark.parametrize("classic", [False, True])
async def test_told_to_stop_it_finishes_its_item_and_replies(classic: bool) -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend()
        options = {"classic": ""} if classic else {}
        backend = await started.backend(frontend, *workload.command, **options)
        client = await frontend.classic_client(Args=["x"])
        run = await workload.run()
        backend.signal(SIGTERM)
        await backend.line("finishing")
        await run.end(7)
        reply = await client.answer()
        code = await backend.ended()

    assert (reply["Retcode"], reply["Error"], reply["Attempts"]) == (7, "exit code 7", 1)
    assert code == 0
    assert "runs=1 failure=1" in backend.log[-1]


async def test_killed_outright_its_item_goes_to_another_and_nothing_runs_on() -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend()
        backends = [await started.backend(frontend, *workload.command)]
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        first = await workload.run()
        backends.append(await started.backend(frontend, *workload.command))
        backends[0].signal(SIGKILL)
        second = await workload.run()
        await first.killed()
        await second.end()
        reply = await client.next("reply")
        await client.in_line()  # and that is the only one
        queue = await frontend.queue()

    assert (reply["Outcome"], reply["Attempts"]) == ("success", 2)
    assert not alive(first.pid)
    assert queue["redelivered"]["disconnect"] == 1
    assert queue["completed"]["success"] == 1


async def test_an_item_that_no_backend_survives_is_lost() -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend("--max-attempts", "2")
        client = await frontend.classic_client()
        for _ in range(2):
            backend = await started.backend(frontend, *workload.command)
            run = await workload.run()
            backend.signal(SIGKILL)
            await run.killed()
        reply = await client.answer()
        line = await frontend.process.line("given_up=1")

    assert reply["Error"] == "lost: 2 backends vanished while they ran it"
    assert (reply["Retcode"], reply["Attempts"], reply["Node"]) == (1, 2, "")
    assert "queue=q" in line


async def test_what_outlasts_the_grace_is_given_back_and_not_counted() -> None:
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend("--max-attempts", "1")
        client = await frontend.client()
        await client.frame("request", Id="1", Queue="q")
        hasty = await started.backend(frontend, *workload.command, grace="0")
        run = await workload.run()
        hasty.signal(SIGHUP)
        await run.killed()
        code = await hasty.ended()
        await started.backend(frontend, *workload.command)
        await (await workload.run()).end()
        reply = await client.next("reply")
        queue = await frontend.queue()

    assert code == 0
    assert (reply["Outcome"], reply["Attempts"]) == ("success", 1)
    assert queue["redelivered"]["release"] == 1


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
async def test_a_second_signal_ends_it_at_once(signum: int) -> None:
    """Even if its workload ignores SIGTERM."""
    async with processes() as started, puppet() as workload:
        frontend = await started.frontend()
        backend = await started.backend(frontend, *workload.deaf_command)
        await frontend.classic_client()
        run = await workload.run()
        backend.process.send_signal(signum)
        await backend.line("finishing")
        backend.process.send_signal(signum)
        with promptly():
            code = await backend.ended()
            await run.killed()

    assert code == 128 + signum
    assert not alive(run.pid)
    assert "aborted" in backend.log[-1] or "runs=0" in backend.log[-1]
