"""Tokens and certificates on every HTTP port."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.errors import UnreachableError
from scalab.runtime.fetch import HttpPeer
from scalab.runtime.guard import Guard
from scalab.runtime.routing import HttpError, Request
from tests.support import Json

from .lab import TOKENS, WRONG, Pki, ask, failures_in, http_port, s_client, trusting

PORTS = ("frontend", "backend", "client", "exporter")
every_port = pytest.mark.parametrize("part", PORTS)
NEEDED = "a token is needed: as 'Authorization: Bearer TOKEN', or as the password\n"


def both(token: str) -> tuple[Json, Json]:
    """The two ways to present a token."""
    return {"bearer": token}, {"basic": token}


@every_port
async def test_who_has_no_good_token_is_refused(part: str, tokens: str) -> None:
    async with http_port(part, AccessSettings(token_file=tokens)) as address:
        for path in ("/metrics", "/", "/nosuch", "/reset?x=1", "/livez/"):
            answer = await ask(address, path)
            assert (answer.status, answer.body) == (401, NEEDED)
            assert answer.headers["WWW-Authenticate"].startswith('Basic realm="scalab')
            assert answer.headers["Connection"] == "close"
            for token in (WRONG, TOKENS["client"], TOKENS["worker"]):
                for given in both(token):
                    answer = await ask(address, path, **given)
                    assert answer.status == 401
                    assert answer.body.startswith("this token is not valid for ")


@every_port
async def test_probes_need_nothing(part: str, pki: Pki, tokens: str) -> None:
    async with http_port(part, pki.mutual(token_file=tokens)) as address:
        probe = ssl.create_default_context()
        probe.check_hostname, probe.verify_mode = False, ssl.CERT_NONE  # as the kubelet does
        answer = await ask(address, "/livez", context=probe)
        assert (answer.status, answer.body) == (200, "ok\n")
        if part != "exporter":
            answer = await ask(address, "/readyz", context=probe)
            assert answer.status in (200, 503)
            assert len(answer.body) < 40


@every_port
async def test_metrics_are_for_who_may_read_them(part: str, tokens: str) -> None:
    async with http_port(part, AccessSettings(token_file=tokens)) as address:
        for token in (TOKENS["metrics"], TOKENS["control"]):
            for given in both(token):
                answer = await ask(address, "/metrics", **given)
                assert answer.status == 200
                assert "scalab_auth_failures_total{" in answer.body


async def test_pages_of_the_frontend_are_for_who_may_read_metrics(tokens: str) -> None:
    async with http_port("frontend", AccessSettings(token_file=tokens)) as address:
        for path in ("/", "/api/queues", "/panels"):
            assert (await ask(address, path, basic=TOKENS["metrics"])).status == 200


async def test_a_client_is_for_who_may_control_it(tokens: str) -> None:
    async with http_port("client", AccessSettings(token_file=tokens)) as address:
        for path in ("/", "/api/stats", "/parallel?type=plain&value=1", "/pause", "/events"):
            answer = await ask(address, path, bearer=TOKENS["metrics"])
            assert (answer.status, answer.body) == (
                401,
                "this token is not valid for control here\n",
            )
        answer = await ask(address, "/parallel?type=plain", bearer=TOKENS["control"])
        assert (answer.status, answer.body) == (200, "1\n")
        assert (await ask(address, "/api/stats", basic=TOKENS["control"])).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer  ", "Basic", "Basic !!!", "Basic bWU=", "Basic /w==", "Digest x=y",
        TOKENS["metrics"][:-1], f"Bearer {TOKENS['metrics']}, Bearer {TOKENS['metrics']}",
        "Bearer é", f"Bearer {TOKENS['metrics']} x",
    ],
)  # fmt: skip
def test_headers_that_hold_no_good_token(header: str, tokens: str) -> None:
    guard = Guard(Access(AccessSettings(token_file=tokens)))
    request = Request("GET", "/metrics", headers={"authorization": header})
    with pytest.raises(HttpError) as caught:
        guard.check(request, trio.testing.memory_stream_pair()[0])
    assert caught.value.status == 401


# --- TLS -----------------------------------------------------------------------------------------


@every_port
async def test_with_tls(part: str, pki: Pki) -> None:
    async with http_port(part, pki.server()) as address:
        answer = await ask(address, "/metrics", context=trusting(pki.ca))
        assert answer.status == 200
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            await ask(address, "/metrics", context=trusting(pki.file("stranger/ca.pem")))


@every_port
async def test_with_certificates_of_who_asks(part: str, pki: Pki) -> None:
    async with http_port(part, pki.mutual()) as address:
        context = trusting(pki.ca, pki.file("peer.pem"))
        assert (await ask(address, "/metrics", context=context)).status == 200
        answer = await ask(address, "/metrics", context=trusting(pki.ca))
        assert (answer.status, answer.body) == (403, "a client certificate is needed\n")
        for name, why in (("stranger/peer", "unknown ca"), ("expired", "certificate expired")):
            said = await s_client(
                address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "-CAfile", pki.ca,
                "-cert", pki.file(f"{name}.pem"), "-key", pki.file(f"{name}.key"),
            )  # fmt: skip
            assert f"alert {why}" in said
            assert "HTTP/1.1" not in said
        text = (await ask(address, "/metrics", context=context)).body
        client = {"control/tls": 2, "metrics/tls": 1}
        assert failures_in(text) == (client if part == "client" else {"metrics/tls": 3})


@every_port
async def test_a_certificate_does_not_replace_a_token(part: str, pki: Pki, tokens: str) -> None:
    async with http_port(part, pki.mutual(token_file=tokens)) as address:
        context = trusting(pki.ca, pki.file("peer.pem"))
        assert (await ask(address, "/metrics", context=context)).status == 401
        answer = await ask(address, "/metrics", context=context, bearer=TOKENS["metrics"])
        assert answer.status == 200
        answer = await ask(address, "/metrics", context=trusting(pki.ca), bearer=TOKENS["metrics"])
        assert answer.status == 403


@every_port
async def test_plain_text_where_tls_is_spoken(part: str, pki: Pki) -> None:
    async with http_port(part, pki.server()) as address:
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b"".join([bytes(data) async for data in stream])
        assert len(said) <= 7  # an alert at most
        assert said[:1] in (b"", b"\x15")


@every_port
async def test_tls_where_plain_text_is_spoken(
    part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with http_port(part, AccessSettings()) as address:
        said = await s_client(address, b"", "-quiet")
        assert "wrong version number" in said
        assert (await ask(address, "/livez")).status == 200
    assert "this port speaks no TLS: ask with http://" in capsys.readouterr().out


async def test_old_versions_of_tls_are_refused(pki: Pki) -> None:
    async with http_port("backend", pki.server()) as address:
        said = await s_client(address, b"", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
        assert "alert protocol version" in said
        said = await s_client(address, b"GET /livez HTTP/1.0\r\n\r\n", "-tls1_2", "-CAfile", pki.ca)
        assert "200 OK" in said or "\r\nok\n" in said


async def test_one_who_never_shakes_hands_keeps_nobody_out(pki: Pki) -> None:
    async with http_port("backend", pki.server()) as address:
        silent = [await trio.open_tcp_stream(address.host, address.port) for _ in range(80)]
        assert (await ask(address, "/livez", context=trusting(pki.ca))).status == 200
        for stream in silent:
            await stream.aclose()


# --- our own side --------------------------------------------------------------------------------


def peer(address: object, access: AccessSettings | None = None) -> HttpPeer:
    return HttpPeer(address, "the frontend", Access(access, "metrics"))  # type: ignore[arg-type]


async def test_our_own_questions(pki: Pki, tokens: str) -> None:
    async with http_port("frontend", pki.mutual(token_file=tokens)) as address:
        good = pki.peer("peer", token_file=tokens)
        assert b'"queues"' in await peer(address, good).get("/api/queues")
        named = pki.peer("peer", token_file=tokens, tls_server_name="scalab-frontend")
        assert b'"queues"' in await peer(address, named).get("/api/queues")
        at = f"can't ask the frontend at https://{address}/api/queues: "
        for access, why in (
            (pki.peer("peer"), f"401: {NEEDED.strip()}"),
            (pki.peer(token_file=tokens), "403: a client certificate is needed"),
            (
                pki.peer("peer", tls_server_name="other"),
                "its certificate can't be trusted: Hostname",
            ),
            (pki.peer("peer", tls_ca=pki.file("stranger/ca.pem")), "its certificate can't be tr"),
            (pki.peer("stranger/peer", token_file=tokens), "it doesn't trust our certificate"),
            (pki.peer("expired", token_file=tokens), "our certificate has expired"),
        ):
            with pytest.raises(UnreachableError) as caught:
                await peer(address, access).get("/api/queues")
            assert str(caught.value).startswith(at + why)
    async with http_port("frontend", AccessSettings()) as address:
        with pytest.raises(UnreachableError, match="it speaks no TLS there: start it with --tls-c"):
            await peer(address, pki.peer()).get("/api/queues")
        with pytest.raises(UnreachableError, match="404: no such path"):
            await peer(address).get("/nosuch")
