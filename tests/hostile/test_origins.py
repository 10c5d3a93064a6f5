"""Pages of strangers in somebody's browser: they change nothing here, and read nothing."""

from __future__ import annotations

import trio

from scalab.runtime.net import Address
from tests.support import Processes, Wire, address_of, processes

PATIENCE_S = 100.0
"""Pages are asked for some hundred times, on a machine that may be busy."""
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept-Language": "en"}
STRANGE = [
    {**BROWSER, "Host": "evil.example"},
    {"Accept-Language": "en", "Host": "evil.example", "Referer": "http://evil.example/"},
    {**BROWSER, "Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
]
"""What a browser sends when a stranger's name stands for our address."""
CROSS = [
    {**BROWSER, "Host": "localhost", "Sec-Fetch-Site": "cross-site"},
    {**BROWSER, "Host": "localhost", "Sec-Fetch-Site": "same-site"},
    {**BROWSER, "Host": "localhost", "Origin": "http://evil.example"},
    {**BROWSER, "Host": "localhost", "Referer": "http://evil.example/"},
    {**BROWSER, "Host": "localhost", "Sec-Purpose": "prefetch", "Sec-Fetch-Site": "none"},
]
"""What it sends when a stranger's page asks for our address by its own name."""
OURS = [
    {"Host": "evil.example"},  # a program, which runs no page
    {**BROWSER, "Host": "lab.example.org", "Sec-Fetch-Site": "same-origin"},
    {**BROWSER, "Host": "127.0.0.1", "Sec-Fetch-Site": "none"},
]


async def get(address: Address, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status, and all that came."""
    head = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "Connection: close"]
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all("\r\n".join([*head, "", ""]).encode())
        answer = (await Wire(stream).rest()).decode()
    return int(answer.split()[1]), answer


async def pages(started: Processes) -> tuple[Address, Address]:
    """The control port of a client, and the page of a frontend."""
    named = ("--allow-host", "lab.example.org")
    frontend = await started.frontend(*named)
    client = await started.client(
        frontend, parallel="4", parallel_max="9", control_addr="127.0.0.1:0", no_live="",
        allow_host="lab.example.org",
    )  # fmt: skip
    control = address_of(await client.line("client is ready"), "page")
    return control, frontend.bound.metrics


async def test_what_changes_something() -> None:
    async with processes(PATIENCE_S) as started:
        control, _ = await pages(started)
        for path in ("/parallel?type=plain&value=1", "/pause?type=plain", "/reset?type=plain"):
            for headers in (*STRANGE, *CROSS):
                status, answer = await get(control, path, headers)
                assert status == 403, (path, headers)
                assert answer.count("\n") == answer.count("\r\n") + 1  # the one line of the body
        assert (await get(control, "/parallel?type=plain", {"Host": "x"}))[1].endswith("\r\n4\n")
        for i, headers in enumerate(OURS):
            path = f"/parallel?type=plain&value={i + 5}"
            assert (await get(control, path, headers))[1].endswith(f"\r\n{i + 5}\n")


async def test_what_only_tells() -> None:
    async with processes(PATIENCE_S) as started:
        for address in await pages(started):
            for path in ("/", "/metrics", "/panels", "/livez"):
                for headers in STRANGE:
                    status, answer = await get(address, path, headers)
                    assert status == 403
                    assert "pages are not served as 'evil.example'" in answer
                for headers in OURS:
                    assert (await get(address, path, headers))[0] == 200


async def test_no_page_can_be_framed_or_read_from_elsewhere() -> None:
    async with processes(PATIENCE_S) as started:
        for address in await pages(started):
            for path in ("/", "/metrics", "/panels", "/nosuch", "/livez"):
                _, answer = await get(address, path, {"Host": "x"})
                head = answer.partition("\r\n\r\n")[0].lower()
                assert "frame-ancestors 'none'" in head
                assert "default-src 'none'" in head
                assert "x-content-type-options: nosniff" in head
                assert "cross-origin-resource-policy: same-origin" in head
                assert "access-control-" not in head
