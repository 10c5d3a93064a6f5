"""Tokens on the ports for clients and backends."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from scalab.access.settings import AccessSettings
from scalab.errors import ConfigError
from scalab.protocol.codec import encode_frame
from scalab.protocol.messages import Hello
from scalab.runtime.service import Stop
from tests.support import Frontend, Json, Wire, backend_run, client_run, working

from .lab import TOKENS, WRONG, eventually, failures_in, figures, guarded, token_file

ROLES = {"client": "client", "backend": "worker"}
NEEDED = "a token is needed: start the {} with --token-file"
INVALID = "this token is not valid for a {} here: see its --token-file"


@pytest.fixture
def access(tokens: str) -> AccessSettings:
    return AccessSettings(token_file=tokens)


async def port(frontend: Frontend, role: str) -> Wire:
    return await (frontend.to_clients() if role == "client" else frontend.to_backends())


async def failures(frontend: Frontend) -> dict[str, int]:
    """The failures counted so far."""
    return failures_in(await metrics(frontend))


async def metrics(frontend: Frontend) -> str:
    status, text = await frontend.get("/metrics", Authorization=f"Bearer {TOKENS['metrics']}")
    assert status == 200
    return text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("token", "text", "reason"),
    [
        (None, NEEDED, "missing"),
        ("", NEEDED, "missing"),
        (WRONG, INVALID, "wrong"),
        (TOKENS["metrics"], INVALID, "role"),
        (TOKENS["control"], INVALID, "role"),
    ],
)
async def test_who_has_no_good_token_gets_one_refusal(
    access: AccessSettings, role: str, token: str | None, text: str, reason: str
) -> None:
    async with guarded(access) as frontend:
        wire = await port(frontend, role)
        # Everything else is wrong, too; and what follows must have no effect.
        fields: Json = {"Version": 7, "Role": "boss", "Queue": "nosuch", "Slots": 0}
        await wire.frame("hello", **fields, **({} if token is None else {"Token": token}))
        with suppress(trio.BrokenResourceError):
            await wire.frame("request", Id="1", Queue="q")
        said = json.loads(await wire.rest())
        assert said == {"Kind": "error", "Error": text.format(role)}
        assert await failures(frontend) == {f"{ROLES[role]}/{reason}": 1}
        accepted = figures(await metrics(frontend), "scalab_queue_items_accepted_total")
        assert accepted == [({"queue": "q"}, 0.0)]


async def test_the_other_port_s_token_is_not_enough(access: AccessSettings) -> None:
    async with guarded(access) as frontend:
        for role, other in (("client", "worker"), ("backend", "client")):
            wire = await port(frontend, role)
            await wire.frame("hello", Version=1, Role=role, Queue="q", Token=TOKENS[other])
            assert (await wire.next("error"))["Error"] == INVALID.format(role)
            await wire.gone()


@pytest.mark.parametrize("role", ROLES)
async def test_a_classic_peer_can_t_have_a_token(access: AccessSettings, role: str) -> None:
    async with guarded(access) as frontend:
        wire = await (await port(frontend, role)).say(
            {"Queue": "nosuch", "Token": TOKENS["client"]}
        )
        answer = await wire.answer()
        text = f"a token is needed, which a classic {role} can't present: see --tls-client-ca"
        assert answer["Error"] == text
        assert await failures(frontend) == {f"{ROLES[role]}/missing": 1}


async def test_whoever_has_the_right_token_works(access: AccessSettings) -> None:
    async with guarded(access) as frontend, working(frontend.bound.workers, access=access):
        result = await client_run(frontend.bound.clients, requests=5, access=access, args=("0",))
        assert result.error is None
        assert result.statistics
        assert result.statistics.succeeded == 5
        assert await failures(frontend) == {}


async def test_a_frontend_without_tokens_doesn_t_mind_them(access: AccessSettings) -> None:
    async with guarded(AccessSettings()) as frontend, working(frontend.bound.workers):
        result = await client_run(frontend.bound.clients, requests=1, access=access, args=("0",))
        assert result.statistics
        assert result.statistics.succeeded == 1


async def test_a_refused_client_or_backend_ends_with_one_line(
    access: AccessSettings, tmp_path: Path
) -> None:
    wrong = AccessSettings(token_file=token_file(tmp_path, f"{WRONG}\n", "wrong"))
    async with guarded(access) as frontend:
        for settings, text in ((None, NEEDED), (wrong, INVALID)):
            options: Json = {"access": settings} if settings else {}
            client = await client_run(frontend.bound.clients, requests=1, **options)
            backend = await backend_run(frontend.bound.workers, stop=Stop(), **options)
            for result, role, at in (
                (client, "client", frontend.bound.clients),
                (backend, "backend", frontend.bound.workers),
            ):
                assert isinstance(result.error, ConfigError)
                told = text.format(role)
                assert str(result.error) == f"the frontend at {at} refuses: {told}"


async def test_renewed_tokens_need_no_restart(access: AccessSettings, tmp_path: Path) -> None:
    old, new = f"{TOKENS['client']}\n", "a-new-token-of-today\n"
    ours = AccessSettings(token_file=token_file(tmp_path, old))
    assert ours == access  # the same file for everybody

    async def welcome(frontend: Frontend, token: str) -> bool:
        wire = await frontend.to_clients()
        await wire.frame("hello", Version=1, Role="client", Token=token.strip())
        return bool((await wire.next())["Kind"] == "welcome")

    async def until(frontend: Frontend, token: str, welcomed: bool) -> None:
        async def as_wanted() -> bool:
            return await welcome(frontend, token) == welcomed

        await eventually(as_wanted)

    async with guarded(access) as frontend:
        stays = await frontend.to_clients()
        await stays.frame("hello", Version=1, Role="client", Token=old.strip())
        await stays.next("welcome")
        token_file(tmp_path, new + old)
        await until(frontend, new, True)
        assert await welcome(frontend, old)
        token_file(tmp_path, new)
        await until(frontend, old, False)
        assert await welcome(frontend, new)
        await stays.in_line()  # who is in stays in


async def test_no_token_is_ever_shown(
    tokens: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    access, out = AccessSettings(token_file=tokens), tmp_path / "run.jsonl"
    async with (
        guarded(access, verbose=True) as frontend,
        working(frontend.bound.workers, access=access, verbose=True),
    ):
        await client_run(
            frontend.bound.clients,
            requests=3,
            access=access,
            args=("0",),
            verbose=True,
            out=str(out),
            command=("client", "--token-file", tokens),
        )
        for token in (WRONG, "short"):
            wire = await frontend.to_clients()
            await wire.frame("hello", Version=1, Role="client", Token=token)
            await wire.rest()
        wire = await frontend.to_clients()
        await wire.frame("hello", Version="x", Role="client", Token=TOKENS["client"])
        shown = (await wire.rest()).decode() + await metrics(frontend)
        for path in ("/", "/api/clients", "/api/workers", "/api/queues", "/panels"):
            status, text = await frontend.get(path, Authorization=f"Bearer {TOKENS['metrics']}")
            assert status == 200
            shown += text
    logged = capsys.readouterr().out
    assert "hello" in logged.lower()
    assert "token='…'" in logged
    everything = shown + logged + out.read_text()
    assert not [token for token in (*TOKENS.values(), WRONG) if token in everything]


def test_a_hello_s_repr_hides_its_token() -> None:
    hello = Hello(1, "client", token=TOKENS["client"])
    assert "token='…'" in repr(hello)
    assert "token=''" in repr(Hello(1, "client"))
    assert TOKENS["client"].encode() in encode_frame(hello)
