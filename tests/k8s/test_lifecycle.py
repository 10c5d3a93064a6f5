"""The containers' commands as local processes: they work together, and leave without a loss."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

from tests.support import Process, ended

from .cluster import RunningPod, cluster, eventually, fetch
from .manifests import tool


async def queue(frontend: RunningPod, name: str) -> dict[str, Any]:
    """A queue, as the frontend shows it."""
    status, text = await fetch(frontend.url("metrics", "/api/queues"))
    assert status == 200
    found: dict[str, Any] = json.loads(text)["queues"][name]
    return found


async def until_ended(frontend: RunningPod, name: str, count: int) -> None:
    """Wait until so many items have ended."""

    async def enough() -> bool:
        return ended(await queue(frontend, name)) >= count

    await eventually(enough)


async def control(client: RunningPod, path: str) -> str:
    """Ask the client's control port, as scripts do."""
    status, text = await fetch(client.url("control", path))
    assert status == 200, text
    return text.strip()


async def statistics(client: RunningPod) -> dict[str, Any]:
    """Everything that the client knows."""
    found: dict[str, Any] = json.loads(await control(client, "/api/stats"))["statistics"]
    return found


def summed_up(client: Process, what: str) -> int:
    """A number of the summary that a client prints at its end."""
    match = re.search(rf"^ +{what} +(\d+)", client.out.decode(), re.MULTILINE)
    assert match
    return int(match[1])


def flawless(found: dict[str, Any]) -> bool:
    """Whether all items of a queue ended well, and at the first attempt."""
    others = {**found["completed"], **found["redelivered"], **found["rejected"]}
    return others.pop("success") > 0 and not any(others.values())


async def test_scaling_down_and_rolling_out_lose_nothing() -> None:
    async with cluster("queues/sleep") as lab:
        frontend = await lab.start("frontend")
        backends = await lab.start_many("backend", 3)
        client = await lab.start("client")
        assert await control(client, "/parallel?type=plain&value=4") == "4"
        await until_ended(frontend, "sleep", 6)

        # An autoscaler takes pods, busy ones, too.
        for backend in backends[:0:-1]:
            assert await backend.terminate() == 0
        await until_ended(frontend, "sleep", ended(await queue(frontend, "sleep")) + 2)
        assert flawless(await queue(frontend, "sleep"))

        # A new version of the frontend: it is ready before the old one has to go.
        newer = await lab.start("frontend")
        assert await frontend.terminate() == 0
        await until_ended(newer, "sleep", 3)
        assert flawless(await queue(newer, "sleep"))

        # A rolling update of the backends: one goes, another comes.
        assert await backends[0].terminate() == 0
        last = await lab.start("backend")
        await until_ended(newer, "sleep", ended(await queue(newer, "sleep")) + 2)

        # What was asked for is answered before the client goes.
        assert await control(client, "/fails?type=plain") == "0"
        assert (await statistics(client))["completed"] >= 4
        assert await client.terminate() == 0
        assert summed_up(client.main, "failed") == 0
        assert b"aborted" not in client.main.out
        found = await queue(newer, "sleep")
        assert (found["demand"], flawless(found)) == (0, True)

        assert await last.terminate() == 0
        assert await newer.terminate() == 0
        for process in lab.processes:
            assert not [line for line in process.log if " error " in line or "Traceback" in line]


async def test_a_job_ends_when_the_queue_is_empty() -> None:
    async with cluster("queues/sleep") as lab:
        frontend = await lab.start("frontend")
        client = await lab.start("client")
        job = await lab.start("backend", SCALAB_BACKEND_WHEN_EMPTY="exit")
        await until_ended(frontend, "sleep", 2)
        assert await control(client, "/parallel?type=plain&value=0") == "0"
        assert await job.main.ended() == 0
        assert (await queue(frontend, "sleep"))["demand"] == 0


async def test_probes_tell_a_draining_frontend_and_a_frozen_one() -> None:
    async with cluster("queues/sleep") as lab:
        frontend = await lab.start("frontend")
        (container,) = frontend.pod.containers
        await lab.start("backend")
        address = frontend.ports["client"]
        long = await lab.run(
            *("scalab", "client", "--queue", "sleep", "--frontend", f"127.0.0.1:{address}"),
            *("--control-addr", "none", "--requests", "1", "--", "2"),
        )

        async def runs() -> bool:
            return bool((await queue(frontend, "sleep"))["running"])

        await eventually(runs)

        frontend.main.signal(signal.SIGSTOP)
        assert await frontend.probe(container, "livenessProbe", timeout_s=0.5) == 0
        frontend.main.signal(signal.SIGCONT)
        assert await frontend.probe(container, "livenessProbe") == 200
        assert await frontend.probe(container, "readinessProbe") == 200

        frontend.main.signal(signal.SIGTERM)
        await frontend.main.line("draining")
        assert await frontend.probe(container, "readinessProbe") == 503
        assert await frontend.probe(container, "livenessProbe") == 200
        assert await frontend.main.ended() == 0
        assert await long.ended() == 0
        assert (summed_up(long, "completed"), summed_up(long, "failed")) == (1, 0)


async def test_a_client_is_ready_only_with_a_frontend() -> None:
    async with cluster("queues/sleep") as lab:
        frontend = await lab.start("frontend")
        client = await lab.start("client")
        (container,) = client.pod.containers
        assert await client.probe(container, "readinessProbe") == 200
        frontend.main.signal(signal.SIGKILL)

        async def unready() -> bool:
            return await client.probe(container, "readinessProbe") == 503

        await eventually(unready)
        assert await client.probe(container, "livenessProbe") == 200


async def test_the_media_tester_transcodes() -> None:
    tool("ffmpeg")
    async with cluster("queues/media", patience_s=100) as lab:
        frontend = await lab.start("frontend")
        backend = await lab.start("backend")
        client = await lab.start("client")
        await until_ended(frontend, "media", 1)
        assert await client.terminate() == 0
        assert await backend.terminate() == 0
        assert flawless(await queue(frontend, "media"))


async def test_simulated_devices_are_each_a_slot() -> None:
    async with cluster("queues/fakedev") as lab:
        frontend = await lab.start("frontend")
        backend = await lab.start("backend")
        assert sorted(backend.processes) == ["backend", "devices"]
        client = await lab.start("client")
        await until_ended(frontend, "fakedev", 4)
        assert (await queue(frontend, "fakedev"))["slots"]["busy"] == 2
        devices = {place["name"] for place in (await statistics(client))["devices"]}
        assert {name.split("/")[-1] for name in devices} == {"renderD128", "renderD129"}
        assert await client.terminate() == 0
        assert await backend.terminate() == 0
        assert flawless(await queue(frontend, "fakedev"))
