"""Real processes: frontends that share a queue, and the programs that use them as ever."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest
import trio

from tests.faults.lab.processes import SCALAB, laboratory, until
from tests.faults.lab.proxy import proxy
from tests.sharedqueue.cluster import ports_to_keep
from tests.sharedqueue.servers import RedisServer, redis_server

REQUESTS = 120


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.mark.parametrize("signum", [SIGKILL, SIGTERM], ids=lambda signum: signum.name)
async def test_a_frontend_less_costs_no_request(
    tmp_path: Path, server: RedisServer, signum: Signals
) -> None:
    """Client and backend come back to the same address, behind which there is another one."""
    with ports_to_keep(4) as kept, trio.fail_after(100):
        ports = [(kept[0], kept[1]), (kept[2], kept[3])]
        async with (
            laboratory(tmp_path) as lab,
            proxy("127.0.0.1", ports[0][0], seed=1) as to_clients,
            proxy("127.0.0.1", ports[0][1], seed=1) as to_workers,
        ):
            frontends = []
            for number, (clients, workers) in enumerate(ports):
                args = [
                    *SCALAB, "frontend", "q", "--store", server.unix_url, "--lease", "2",
                    "--grace", "1", "--client-addr", f"127.0.0.1:{clients}",
                    "--worker-addr", f"127.0.0.1:{workers}", "--metrics-addr", "127.0.0.1:0",
                ]  # fmt: skip
                frontends.append(lab.part(f"f{number}", args, ready="frontend is ready"))
                await frontends[-1].start()
            backend = [
                *SCALAB, "backend", "--frontend", f"127.0.0.1:{to_workers.port}", "--queue", "q",
                "--slots", "3", "--when-empty", "wait", "--metrics-addr", "127.0.0.1:0",
                "--", "sleep",
            ]  # fmt: skip
            await lab.part("backend", backend, ready="backend starts").start()
            args = [
                *SCALAB, "client", "--frontend", f"127.0.0.1:{to_clients.port}", "--queue", "q",
                "-p", "6", "--requests", str(REQUESTS), "--control-addr", "none", "--no-live",
                "--", "0.05",
            ]  # fmt: skip
            client = lab.part("client", args)
            await client.start()
            await until(lambda: done(server) > REQUESTS // 4, "some requests")
            to_clients.lead_to("127.0.0.1", ports[1][0])
            to_workers.lead_to("127.0.0.1", ports[1][1])
            frontends[0].signal(signum)
            code = await client.process.ended()
            shown = client.process.out.decode()
            await lab.parts["backend"].stop()
            await frontends[1].stop()

            assert code == 0
            assert not lab.tracebacks()
            for name, count in (("sent", REQUESTS), ("completed", REQUESTS), ("failed", 0)):
                assert re.search(rf"{name} +{count}\b", shown), shown


def done(server: RedisServer) -> int:
    """Replies that the store has taken."""
    count = server.ask("HGET", "sl:{q}:stats", "done")
    return int(count) if isinstance(count, bytes) else 0


def test_the_demo_over_a_store(server: RedisServer) -> None:
    command = [sys.executable, "-m", "scalab", "demo", "--store", server.url, "--duration", "2"]
    command += ["--workload", "sleep 0.02", "--backends", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "Does throughput follow the backends?" in ended.stdout
