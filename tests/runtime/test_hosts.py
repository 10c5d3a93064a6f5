"""Under which names browsers may ask, and that programs may under any."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, strategies as st

from scalab.runtime.hosts import Hosts
from scalab.runtime.routing import HttpError, Request

BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept-language": "en"}

OURS = [
    *("localhost", "LocalHost:9996", "localhost.", "media.localhost", socket.gethostname()),
    *("127.0.0.1", "127.0.0.1:9996", "192.168.7.9:80", "[::1]", "[::1]:9996", "[fe80::1]:1"),
    *("scalab-client", "scalab-client:9996", "node-a.local", "box.internal", "nas.home.arpa"),
    *("scalab-client.media.svc", "scalab-client.media.svc.cluster.local:9996"),
]
STRANGERS = [
    *(
        "evil.example",
        "evil.example:9996",
        "localhost.evil.example",
        "evil.com.",
        "127.0.0.1.xip.io",
    ),
    *("local.com", "notlocalhost.com", "1.2.3", "[::1", "::1.com", "a b", "", "localhost@evil.com"),
    *("evil.com/localhost", "xn--e1afmkfd.com", "evil.com:80:80", "\x1b[2J.com"),
]


@pytest.mark.parametrize("host", OURS)
def test_names_that_nobody_else_can_own(host: str) -> None:
    Hosts().check(Request("GET", "/", headers={**BROWSER, "host": host}))


@pytest.mark.parametrize("host", STRANGERS)
def test_names_that_a_stranger_may_own(host: str) -> None:
    with pytest.raises(HttpError) as caught:
        Hosts().check(Request("GET", "/", headers={**BROWSER, "host": host}))

    assert caught.value.status == 403
    assert "--allow-host" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "headers",
    [
        {"accept-language": ""},
        {"user-agent": "Mozilla/5.0"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-mode": "no-cors"},
        {"origin": "http://evil.example"},
        {"referer": "http://evil.example/"},
    ],
)
def test_any_sign_of_a_browser_is_enough(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError):
        Hosts().check(Request("GET", "/", headers={**headers, "host": "evil.example"}))
    with pytest.raises(HttpError):
        Hosts().check(Request("GET", "/", headers=headers))


@pytest.mark.parametrize("agent", ["curl/8.5.0", "Prometheus/3.1.0", "Go-http-client/1.1", ""])
def test_programs_may_use_any_name(agent: str) -> None:
    for host in (*OURS, *STRANGERS):
        Hosts().check(Request("GET", "/", headers={"user-agent": agent, "host": host}))


def test_further_names_are_given() -> None:
    hosts = Hosts(("Scalab.Example.org", "lab.example."))

    for host in ("scalab.example.org", "SCALAB.example.org:443", "lab.example"):
        hosts.check(Request("GET", "/", headers={**BROWSER, "host": host}))
    with pytest.raises(HttpError):
        hosts.check(Request("GET", "/", headers={**BROWSER, "host": "x.scalab.example.org"}))


def test_any_name_is_given() -> None:
    for host in STRANGERS:
        Hosts("*").check(Request("GET", "/", headers={**BROWSER, "host": host}))


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_any_host_is_ours_or_refused(host: str) -> None:
    told = ""
    try:
        Hosts().check(Request("GET", "/", headers={**BROWSER, "host": host}))
    except HttpError as exc:
        told = str(exc)
    assert not told or told.isprintable()
