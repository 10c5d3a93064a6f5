"""Files of tokens, and whether a token is among them. Pure."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.access.access import Access, read_tokens
from scalab.access.settings import AccessSettings
from scalab.access.tokens import MAX_TOKEN, MIN_TOKEN, ROLES, Role, Token, Tokens
from scalab.errors import ConfigError

from .lab import TOKENS, WRONG, token_file

characters = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
secrets = st.text(characters, min_size=MIN_TOKEN, max_size=MAX_TOKEN).filter(
    lambda text: not text.startswith("#")
)
roles = st.sets(st.sampled_from(ROLES), min_size=1)


@given(st.lists(st.tuples(roles, secrets), min_size=1, max_size=5), st.sampled_from(ROLES), secrets)
def test_a_token_is_good_for_what_its_lines_say(
    lines: list[tuple[set[Role], str]], role: Role, other: str
) -> None:
    text = "".join(f"{','.join(sorted(named))} {secret}\n" for named, secret in lines)
    tokens = Tokens.parse(text)
    for presented in [*(secret for _, secret in lines), other]:
        meant = [named for named, secret in lines if secret == presented]
        allowed = {r for named in meant for r in named}
        allowed |= {"metrics"} if "control" in allowed else set()
        problem = None if role in allowed else "role" if meant else "wrong"
        assert tokens.problem(presented, role) == problem


@given(secrets)
def test_a_token_alone_is_good_for_everything(secret: str) -> None:
    tokens = Tokens.parse(f"  {secret}\t# ours\n")
    assert [tokens.problem(secret, role) for role in ROLES] == [None] * 4
    assert [tokens.own(role) for role in ROLES] == [secret] * 4


def test_no_token_is_no_token() -> None:
    tokens = Tokens.parse("client 0123456789abcdef")
    assert tokens.problem("", "client") == "missing"
    assert tokens.problem("0123456789abcde", "client") == "wrong"
    assert tokens.problem("\ud800", "client") == "wrong"  # no text at all
    assert tokens.own("worker") == ""


def test_comments_blank_lines_and_several_tokens_at_a_time() -> None:
    tokens = Tokens.parse(
        "# old one, until Friday\r\n\r\nclient 0123456789abcdef\r\nclient fedcba9876543210 # new\n"
    )
    assert tokens.own("client") == "0123456789abcdef"  # the first is the one that we present
    assert tokens.problem("fedcba9876543210", "client") is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "it has no token"),
        ("# nothing", "it has no token"),
        ("short", "line 1: a token has 16 to 256 printable ASCII characters, without spaces"),
        ("x" * 257, "line 1: a token has 16 to 256 printable ASCII characters, without spaces"),
        ("schlüssel-schlüssel", "line 1: a token has 16 to 256 printable"),
        ("a b 0123456789abcdef", "line 1: write a token, or ROLE[,ROLE] and a token"),
        ("\n\nboss 0123456789abcdef", "line 3: unknown role; there are client, worker, metrics"),
        ("client,,worker 0123456789abcdef", "line 1: unknown role"),
        ("0123456789abcdef client", "line 1: a token has 16 to 256"),
    ],
)
def test_what_is_no_file_of_tokens(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Tokens.parse(text)
    assert str(caught.value).startswith(error)
    assert "0123456789abcdef" not in str(caught.value)


def test_all_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr("scalab.access.tokens.hmac.compare_digest", counting)
    tokens = Tokens(Token(f"0123456789abcdef{n}") for n in range(5))
    for presented in ("0123456789abcdef0", "0123456789abcdef4", WRONG):
        compared.clear()
        tokens.problem(presented, "client")
        assert len(compared) == 5
        assert {len(a) for pair in compared for a in pair} == {32}


def test_secrets_are_not_shown() -> None:
    token = Token("0123456789abcdef")
    assert "0123" not in repr(token) + repr(Tokens([token]))


# --- the file ------------------------------------------------------------------------------------


def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(token_file(tmp_path))
    read_tokens(str(path))
    assert capsys.readouterr().out == ""
    path.chmod(0o644)
    read_tokens(str(path))
    assert "everybody on this machine can read the token file" in capsys.readouterr().out


def test_files_that_can_t_be_used(tmp_path: Path) -> None:
    def error(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read_tokens(str(path))
        return str(caught.value).replace(f"{tmp_path}/", "")

    assert error(tmp_path / "none") == "can't read token file 'none': No such file or directory"
    assert error(tmp_path).startswith("can't read token file '")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    assert error(tmp_path / "binary") == "token file 'binary' is no text"
    (tmp_path / "big").write_text("# " + "x" * 70000)
    assert error(tmp_path / "big") == "token file 'big': it is larger than 65536 bytes"
    (tmp_path / "empty").touch()
    assert error(tmp_path / "empty") == "token file 'empty': it has no token"


def test_who_presents_a_token_needs_one_for_that(tmp_path: Path) -> None:
    path = token_file(tmp_path, f"worker {TOKENS['worker']}\n")
    settings = AccessSettings(token_file=path)
    assert Access(settings, "worker").own_token("worker") == TOKENS["worker"]
    with pytest.raises(ConfigError, match="it has no token for the role client"):
        Access(settings, "client")
    assert Access().own_token("client") == ""


def test_failures_are_counted(tokens: str) -> None:
    access = Access(AccessSettings(token_file=tokens))
    presented = ("", WRONG, TOKENS["client"], TOKENS["worker"])
    problems = [access.refuses(token, "worker") for token in presented]
    assert problems == ["missing", "wrong", "role", None]
    counted = {reason: n for (role, reason), n in access.failures.items() if role == "worker"}
    assert counted == {"missing": 1, "wrong": 1, "role": 1, "tls": 0}
    assert sum(access.failures.values()) == 3
