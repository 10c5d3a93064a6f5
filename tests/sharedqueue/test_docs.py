"""What the documentation says of shared queues."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from scalab.redis.server import Server
from scalab.sharedqueue.settings import StoreSettings
from tests.sharedqueue.servers import RedisServer, redis_server
from tests.sharedqueue.test_frontends import sharing
from tests.sharedqueue.test_store import LEAST
from tests.test_docs import DOCS, documented, exported

PAGE = (DOCS / "shared-queues.md").read_text()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def test_metrics_of_a_frontend_that_shares_its_queues(server: RedisServer) -> None:
    async with sharing(server, 1) as (frontend,):
        client, backend = await frontend.client(), await frontend.backend("q")
        await client.frame("request", Id="a", Queue="q")
        await backend.next("item")

        assert await exported(frontend) == documented("Frontend", "Shared queues", "Every part")


def test_the_least_user_is_the_one_that_is_tried() -> None:
    (block,) = re.findall(r"```\n(ACL SETUSER.*?)```", PAGE, re.DOTALL)
    words = block.replace("ACL SETUSER scalab on >PASSWORD", "").split()

    assert words == list(LEAST)


def test_defaults_are_those_that_are_told() -> None:
    settings = StoreSettings(server=Server.parse("redis://host"))

    assert f"`--lease` ({settings.lease_s:g} s)" in PAGE
    assert f"`--result-ttl` ({settings.result_ttl_s:g} s)" in PAGE
    assert f"no answer within {settings.timeout_s:g} s" in PAGE
