"""TLS on the ports for clients and backends: who gets in, and what everybody else is told."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.access.tls import client_context
from scalab.errors import UnreachableError
from scalab.runtime.net import Address, answers_within
from scalab.runtime.streams import TlsError, start_tls
from tests.support import Frontend, Json, backend_run, client_run, working

from .lab import TOKENS, Pki, ask, failures_in, guarded, s_client, trusting

ROLES = ("client", "backend")
both_ports = pytest.mark.parametrize("role", ROLES)
REQUEST = b'{"Queue": "nosuch"}'


def port(frontend: Frontend, role: str) -> Address:
    return frontend.bound.clients if role == "client" else frontend.bound.workers


async def told(frontend: Frontend, role: str, access: AccessSettings) -> str:
    """What ends one of our own clients or backends."""
    run = client_run if role == "client" else backend_run
    result = await run(port(frontend, role), access=access, connect_timeout_s=0.0)
    assert isinstance(result.error, UnreachableError)
    return str(result.error)


@pytest.mark.parametrize("classic", [False, True])
async def test_clients_and_backends_work_inside_of_tls(pki: Pki, classic: bool) -> None:
    ours = pki.peer("peer")
    async with (
        guarded(pki.mutual()) as frontend,
        working(frontend.bound.workers, access=ours, classic=classic, when_empty="backoff"),
    ):
        result = await client_run(
            frontend.bound.clients, requests=20, parallel=4, access=ours, classic=classic,
            args=("0",),
        )  # fmt: skip
        assert result.error is None
        assert result.statistics
        assert result.statistics.succeeded == 20


async def test_a_classic_peer_needs_no_token_if_it_has_a_certificate(pki: Pki, tokens: str) -> None:
    async with (
        guarded(pki.mutual(token_file=tokens)) as frontend,
        working(frontend.bound.workers, access=pki.peer("peer", token_file=tokens)),
    ):
        options: Json = {"requests": 2, "args": ("0",)}
        result = await client_run(
            frontend.bound.clients, access=pki.peer("peer"), classic=True, **options
        )
        assert result.statistics
        assert result.statistics.succeeded == 2
        result = await client_run(frontend.bound.clients, access=pki.peer("peer"), **options)
        assert "a token is needed" in str(result.error)


@both_ports
@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("stranger/frontend", "its certificate can't be trusted: unable to get local issuer"),
        ("expired", "its certificate can't be trusted: certificate has expired"),
        ("elsewhere", "its certificate can't be trusted: IP address mismatch"),
    ],
)
async def test_a_frontend_that_isn_t_whom_we_trust(
    pki: Pki, role: str, server: str, why: str
) -> None:
    async with guarded(pki.server(server)) as frontend:
        text = await told(frontend, role, pki.peer())
        assert text.startswith(f"can't connect to {port(frontend, role)} with TLS: {why}")


async def test_another_name_than_that_of_the_host(pki: Pki) -> None:
    async with (
        guarded(pki.server("elsewhere")) as frontend,
        working(frontend.bound.workers, access=pki.peer(tls_server_name="elsewhere.example")),
    ):
        ours = pki.peer(tls_server_name="elsewhere.example")
        result = await client_run(frontend.bound.clients, requests=1, access=ours, args=("0",))
        assert result.error is None


@both_ports
@pytest.mark.parametrize(
    ("peer", "why"),
    [
        ("", "it asks for a certificate: give --tls-cert and --tls-key"),
        ("stranger/peer", "it doesn't trust our certificate: see its --tls-client-ca"),
        ("expired", "our certificate has expired"),
    ],
)
async def test_one_who_isn_t_whom_the_frontend_trusts(
    pki: Pki, role: str, peer: str, why: str
) -> None:
    async with guarded(pki.mutual()) as frontend:
        text = await told(frontend, role, pki.peer(peer))
        assert text == f"no session with the frontend at {port(frontend, role)}: {why}"


@both_ports
@pytest.mark.parametrize(
    ("cert", "alert"),
    [
        ("", "alert certificate required"),
        ("stranger/peer", "alert unknown ca"),
        ("expired", "alert certificate expired"),
    ],
)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_gets_an_alert_and_no_further(
    pki: Pki, role: str, cert: str, alert: str, version: str
) -> None:
    pair = ("-cert", pki.file(f"{cert}.pem"), "-key", pki.file(f"{cert}.key")) if cert else ()
    if version == "-tls1_2" and not cert:
        alert = "alert handshake failure"
    async with guarded(pki.mutual()) as frontend:
        said = await s_client(port(frontend, role), REQUEST, "-CAfile", pki.ca, version, *pair)
        assert alert in said
        assert "nosuch" not in said
        token_role = {"client": "client", "backend": "worker"}[role]
        assert await counted(frontend, pki) == {f"{token_role}/tls": 1}


async def counted(frontend: Frontend, pki: Pki) -> dict[str, int]:
    """The failures that the frontend has counted."""
    context = trusting(pki.ca, pki.file("peer.pem"))
    return failures_in((await ask(frontend.bound.metrics, "/metrics", context=context)).body)


@both_ports
async def test_openssl_with_a_certificate_is_served(pki: Pki, role: str) -> None:
    pair = ("-cert", pki.file("peer.pem"), "-key", pki.file("peer.key"))
    async with guarded(pki.mutual()) as frontend:
        said = await s_client(port(frontend, role), REQUEST, "-quiet", "-CAfile", pki.ca, *pair)
        assert "unknown queue 'nosuch'" in said


@both_ports
async def test_openssl_without_a_token_gets_one_refusal(pki: Pki, role: str, tokens: str) -> None:
    async with guarded(pki.server(token_file=tokens)) as frontend:
        hello = json.dumps({"Kind": "hello", "Version": 1, "Role": role, "Queue": "q"}).encode()
        said = await s_client(port(frontend, role), hello + b"\n", "-quiet", "-CAfile", pki.ca)
        frames = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        text = f"a token is needed: start the {role} with --token-file"
        assert frames == [{"Kind": "error", "Error": text}]
        assert TOKENS["client"] not in said


@both_ports
@pytest.mark.parametrize(
    "said",
    [
        b'{"Queue": "q"}',
        b'{"Kind": "hello", "Version": 1, "Role": "client"}\n',
        b"GET / HTTP/1.1\r\n",
    ],
)
async def test_plain_text_where_tls_is_spoken(
    pki: Pki, role: str, said: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with guarded(pki.server()) as frontend:
        at = port(frontend, role)
        async with await trio.open_tcp_stream(at.host, at.port) as stream:
            await stream.send_all(said)
            answer = b"".join([bytes(data) async for data in stream])
        assert len(answer) <= 7  # an alert at most
        assert answer[:1] in (b"", b"\x15")
        await wait_all_tasks_blocked(0.05)  # it has seen us close
        assert "it speaks no TLS, and this port does: it needs --tls or" in capsys.readouterr().out


@both_ports
async def test_our_own_peer_without_tls_is_told_what_may_be_wrong(pki: Pki, role: str) -> None:
    async with guarded(pki.server()) as frontend:
        text = await told(frontend, role, AccessSettings())
        assert text.endswith("it closed; if it speaks TLS, give --tls or --tls-ca")


@both_ports
async def test_tls_where_plain_text_is_spoken(
    pki: Pki, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with guarded(AccessSettings()) as frontend:
        assert "wrong version number" in await s_client(port(frontend, role), REQUEST)
        assert "this port speaks no TLS: connect without it" in capsys.readouterr().out
        text = await told(frontend, role, pki.peer())
        assert text.endswith("it speaks no TLS there: start it with --tls-cert, or connect "
                             "without --tls")  # fmt: skip


@both_ports
async def test_who_does_not_shake_hands_is_closed(pki: Pki, role: str) -> None:
    async with guarded(pki.server(), opening_deadline_s=0.2) as frontend:
        at = port(frontend, role)
        async with await trio.open_tcp_stream(at.host, at.port) as stream:
            assert await stream.receive_some(1) == b""
        async with await trio.open_tcp_stream(at.host, at.port) as stream:
            await stream.send_all(b"\x16\x03\x01")
            assert await stream.receive_some(1) == b""


async def test_whether_somebody_is_awake(pki: Pki) -> None:
    async with guarded(pki.mutual()) as frontend:
        for access, awake in (
            (pki.peer("peer"), True),
            (pki.peer(tls_ca=pki.file("old.pem")), False),
        ):
            assert await answers_within(frontend.bound.clients, 5.0, Access(access)) == awake
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:  # as a process that was stopped: the system accepts for it
        address = Address(*listener.socket.getsockname())
        assert not await answers_within(address, 0.2, Access(pki.peer()))


async def test_a_handshake_that_is_cancelled_leaves_nothing_open(pki: Pki) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stream = await trio.open_tcp_stream(*listener.socket.getsockname())
        context = client_context(pki.ca)
        with trio.move_on_after(0.05) as scope:
            await start_tls(stream, context, "client", "localhost")
        assert scope.cancelled_caught
        assert stream.socket.fileno() == -1
        stream = await trio.open_tcp_stream(*listener.socket.getsockname())
        with pytest.raises(TlsError, match=r"no TLS handshake within 0\.05 s"):
            await start_tls(stream, context, "client", "localhost", deadline_s=0.05)
        assert stream.socket.fileno() == -1
