"""The log of real processes: a line an event, whatever peers and workloads send."""

from __future__ import annotations

import json
import re
from signal import SIGTERM

import pytest

from tests.support import address_of, processes

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning) +[a-z]")
HOSTILE = "\x1b[2J\r\n2026-01-01T00:00:00.000Z info    forged\u2028 \u202e\x85 a=b \"c\" 'd' \\"


@pytest.mark.parametrize("log_format", ["human", "json"])
async def test_no_peer_can_forge_a_line(log_format: str) -> None:
    """Of whatever kind it is, with every message logged."""
    options = ("--verbose", "--log-format", log_format)
    async with processes() as started:
        frontend = await started.frontend(*options)
        await (await frontend.classic_client(HOSTILE)).answer()
        await (await (await frontend.to_backends()).say({"Queue": HOSTILE})).answer()
        await (await (await frontend.to_clients()).say({"Queue": HOSTILE + 800 * "x"})).answer()
        client = await frontend.to_clients()
        await client.frame("hello", Version=1, Role="client", Node=HOSTILE, Pod=HOSTILE)
        await client.frame("request", Id=HOSTILE[:60], Queue="q", Args=["1", HOSTILE])
        await client.next("welcome")
        backend = await frontend.backend(Node=HOSTILE, Pod=HOSTILE)
        item = await backend.next("item")
        await backend.frame("reply", Id=item["Id"], Error=HOSTILE, Retcode=1, Runtime=1.5)
        reply = await client.next("reply")
        await client.frame(HOSTILE)
        await client.rest()
        await backend.frame("reply", Id=HOSTILE)
        await backend.rest()
        frontend.process.signal(SIGTERM)
        assert await frontend.process.ended() == 0

    assert reply["Error"] == HOSTILE
    log = frontend.process.log
    if log_format == "json":
        events = [json.loads(line) for line in log]
        assert all({"event", "level", "timestamp"} <= set(event) for event in events)
    else:
        assert all(LINE.match(line) for line in log)
    assert all(line.isprintable() for line in log)
    assert sum("forged" in line for line in log) >= 6
    assert sum("protocol error" in line for line in log) == 2


async def test_what_a_workload_and_a_frontend_say_is_printable_too() -> None:
    shown = {"output": "tail", "verbose": "", "log_format": "json"}
    async with processes() as started:
        frontend = await started.frontend()
        command = ("bash", "-c", 'printf "out\\033[2J\\nforged"; printf "why\\033[2J" >&2; exit 3')
        backend = await started.backend(frontend, *command, **shown)
        client = await started.client(frontend, "x\ny", requests="1", verbose="", log_format="json")
        assert await client.ended() == 0
        backend.signal(SIGTERM)
        assert await backend.ended() == 0

    events = [json.loads(line) for line in (*client.log, *backend.log)]
    assert len(events) > 5
    assert b"why\\x1b[2J" in client.out
    assert b"\x1b" not in client.out
    texts = [event["text"] for event in events if event["event"] == "workload's last output"]
    assert texts == ["out\\x1b[2J\\nforged", "why\\x1b[2J"]
    end = next(event for event in events if event["event"] == "backend has ended")
    assert (end["runs"], end["failure"]) == (1, 1)


async def test_the_environment_sets_options() -> None:
    async with processes() as started:
        frontend = await started.frontend("encode")
        backend = await started.start(
            "backend", "--", "sleep",
            SCALAB_BACKEND_QUEUE="encode", SCALAB_BACKEND_FRONTEND=str(frontend.bound.workers),
            SCALAB_BACKEND_SLOTS="3", SCALAB_BACKEND_WHEN_EMPTY="wait", NODE_NAME="node-9",
        )  # fmt: skip
        line = await backend.line("backend starts")
        client = await started.start(
            "client", "--", "0",
            SCALAB_CLIENT_FRONTEND=str(frontend.bound.clients), SCALAB_CLIENT_QUEUE="encode",
            SCALAB_CLIENT_REQUESTS="5", SCALAB_CLIENT_CONTROL_ADDR="127.0.0.1:0",
        )  # fmt: skip
        assert address_of(await client.line("client is ready"), "page").port
        assert await client.ended() == 0

    assert "queue=encode slots=3 node=node-9" in line
    assert b"node-9" in client.out


async def test_a_second_signal_ends_a_single_run_at_once() -> None:
    async with processes() as started:
        single = await started.start(
            "backend", "--once", "--kill-grace", "60", "--",
            "bash", "-c", "trap '' TERM; echo ready >&2; read -t 100 <> <(:)",
        )  # fmt: skip
        await single.line("ready")
        single.signal(SIGTERM)
        await single.line("stopping")
        single.signal(SIGTERM)
        code = await single.ended()

    assert code == 128 + SIGTERM
    assert json.loads(single.out)["Error"] in ("cancelled", "ended by a signal")
