"""The URL of a server."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.redis.server import Server


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("redis://cache", {"host": "cache"}),
        ("redis://cache:1/", {"host": "cache", "port": 1}),
        ("redis://cache/3", {"host": "cache", "db": 3}),
        ("redis://cache?db=3", {"host": "cache", "db": 3}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://:secret@cache", {"host": "cache", "password": "secret"}),
        ("redis://me:s%40%3A@cache", {"host": "cache", "user": "me", "password": "s@:"}),
        ("rediss://cache", {"host": "cache", "tls": True}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("unix://me:secret@/a%20b", {"path": "/a b", "user": "me", "password": "secret"}),
    ],
)
def test_forms(url: str, fields: dict[str, object]) -> None:
    assert Server.parse(url) == Server(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no URL|not a URL"),
        ("cache:6379", "not a URL"),
        ("http://cache", "not a URL"),
        ("redis://", "names no host"),
        ("unix://", "names no socket"),
        ("redis://cache:http", "no valid host and port"),
        ("redis://cache:70000", "no valid host and port"),
        ("redis://[::1", "no valid host and port"),
        ("redis://cache/x", "one database"),
        ("redis://cache/1/2", "one database"),
        ("redis://cache/1?db=2", "one database"),
        ("redis://cache/-1", "one database"),
        ("redis://cache/\uff19", "one database"),
        ("redis://cache?ssl=1", "only parameter"),
        ("redis://cache#x", "only parameter"),
        ("redis://me@cache", "no password"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Server.parse(url)

    assert "\n" not in str(caught.value)
    assert "redis://[USER" in str(caught.value)


def test_certificates_need_tls() -> None:
    with pytest.raises(ConfigError, match="rediss://"):
        Server.parse("redis://cache", ca="ca.pem")
    with pytest.raises(ConfigError, match="certificate"):
        Server.parse("rediss://cache", key="key.pem")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@cache/3", "redis://me@cache:6379/3"),
        ("rediss://:secret@[::1]:1", "rediss://default@[::1]:1"),
        ("unix://me:secret@/run/s?db=1", "unix://me@/run/s?db=1"),
        ("redis://cache", "redis://cache:6379"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    server = Server.parse(url)

    assert str(server) == server.__structlog__() == shown
    assert "secret" not in repr(server)


@given(st.text(), st.text())
def test_any_text_is_a_server_or_a_clear_error(head: str, tail: str) -> None:
    for url in (head + tail, f"redis://{head}:secret-word@{tail}", f"unix://{head}/{tail}"):
        try:
            shown = str(Server.parse(url))
        except ConfigError as exc:
            shown = str(exc)
        assert "secret-word" not in shown or "secret-word" in head + tail
