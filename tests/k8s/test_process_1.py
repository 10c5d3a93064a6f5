"""``scalab`` as process 1 of its container, as the images start it: it reaps orphans."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import attrs
import trio

from tests.support import Process

from .cluster import Cluster, cluster, eventually
from .manifests import missing, tool

UNSHARE = ("--pid", "--fork", "--kill-child", "--mount-proc")


@attrs.frozen(eq=False)
class First:
    """A backend that is the first process of a pid namespace."""

    process: Process
    pid: int
    """Its id outside."""

    @classmethod
    async def start(cls, lab: Cluster, *options: str) -> First:
        unshare = tool("unshare")
        if await (await lab.run(unshare, *UNSHARE, "true")).ended():
            missing("the right to make a pid namespace")
        scalab = (sys.executable, "-m", "scalab")
        process = await lab.run(unshare, *UNSHARE, *scalab, "backend", *options)
        await process.line("backend starts")
        (pid,) = children(process.process.pid)
        return cls(process, pid)


def children(pid: int) -> list[int]:
    """Of a process, zombies included."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def run_items(lab: Cluster, script: str) -> First:
    """Let a backend run some items, each a shell script."""
    frontend = await lab.start("frontend")
    clients, workers = (f"127.0.0.1:{frontend.ports[name]}" for name in ("client", "worker"))
    options = ("--frontend", workers, "--when-empty", "wait", "--", "sh", "-c", script)
    backend = await First.start(lab, *options)
    client = await lab.run(
        *("scalab", "client", "--frontend", clients, "--control-addr", "none", "-n", "5")
    )
    assert await client.ended() == 0
    return backend


async def test_what_a_workload_leaves_in_its_group_is_reaped() -> None:
    async with cluster("queues/sleep") as lab:
        backend = await run_items(lab, "sleep 1000 & exit 0")
        assert len(children(backend.pid)) == 1  # the guard
        os.kill(backend.pid, signal.SIGTERM)
        assert await backend.process.ended() == 0


async def test_what_left_its_session_is_reaped_when_it_ends() -> None:
    async with cluster("queues/sleep") as lab:
        backend = await run_items(lab, "setsid sleep 0.2 & sleep 0.1")

        async def reaped() -> bool:
            await trio.lowlevel.checkpoint()
            return len(children(backend.pid)) == 1

        with trio.fail_after(3):
            await eventually(reaped)
