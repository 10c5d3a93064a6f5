"""Connections beyond a limit, where TLS is on: the reason comes inside of it."""

from __future__ import annotations

from trio.testing import wait_all_tasks_blocked

from .lab import Pki, guarded, s_client


async def test_the_reason_comes_inside_of_tls(pki: Pki) -> None:
    async with guarded(pki.server(), max_connections=1) as frontend:
        in_the_way = await frontend.to_clients()
        await wait_all_tasks_blocked()
        told = await s_client(frontend.bound.clients, b"", "-CAfile", pki.ca)
        plain = await (await frontend.to_clients()).send(b'{"Queue": "q"}')
        assert b"too many" not in await plain.rest()
        await in_the_way.aclose()

    assert '"Error":"too many connections: there are 1, the limit"' in told
