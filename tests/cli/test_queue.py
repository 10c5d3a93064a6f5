"""``scalab queue`` and ``--store``, as their user sees them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.sharedqueue.servers import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def scalab(*args: str) -> tuple[int, str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "scalab", *args], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_stats_of_a_queue_that_nobody_has_used(server: RedisServer) -> None:
    code, out, complaints = scalab("queue", "stats", "q", "--store", server.url)
    shown = dict(line.rsplit(maxsplit=1) for line in out.splitlines() if not line.endswith(" s"))

    assert (code, complaints) == (0, [])
    assert {shown[name] for name in ("waiting", "running", "frontends", "dead")} == {"0"}


def test_dead_and_purge_with_nothing_there(server: RedisServer) -> None:
    assert scalab("queue", "dead", "q", "--store", server.unix_url) == (0, "", [])
    assert scalab("queue", "purge", "q", "--store", server.unix_url)[1].split() == [
        "cancelled",
        "0",
    ]
    assert scalab("queue", "purge", "--dead", "q", "--store", server.unix_url)[1].split() == [
        "forgotten",
        "0",
    ]


@pytest.mark.parametrize(
    ("args", "code", "complaint"),
    [
        (("queue", "stats", "q"), 2, "name the store of the queue"),
        (("queue", "stats", "q", "--store", "http://x"), 2, "is not a URL of a server"),
        (("queue", "stats", "q", "--store", "redis://127.0.0.1:1"), 7, "can't connect to"),
        (("frontend", "q", "--store", "redis://"), 2, "names no host"),
        (("frontend", "q", "--store", "redis://h", "--lease", "0.5"), 2, "--lease"),
        (("frontend", "q", "--store", "redis://h", "--result-ttl", "1"), 2, "--result-ttl"),
        (("frontend", "q", "--store", "redis://h", "--store-ca", "/ca"), 2, "rediss://"),
    ],
)
def test_one_line_says_what_is_wrong(args: tuple[str, ...], code: int, complaint: str) -> None:
    ended, out, complaints = scalab(*args)

    assert (ended, out, len(complaints)) == (code, "", 1)
    assert complaint in complaints[0]
