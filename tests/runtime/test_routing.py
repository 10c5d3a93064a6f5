"""Requests, responses and routes as values."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.runtime.routing import HttpError, Request, Response, Router


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ()),
        ("/a/b", "/a/b", ()),
        ("/a?", "/a", ()),
        ("/a?x=1&y=", "/a", (("x", "1"), ("y", ""))),
        ("/a?x=1&x=2", "/a", (("x", "1"), ("x", "2"))),
        ("/a?x=%C3%A9+b&n%3D=%26", "/a", (("x", "é b"), ("n=", "&"))),
        ("/a?x=?/", "/a", (("x", "?/"),)),
        ("/%61", "/%61", ()),
        ("//host/a", "//host/a", ()),
        ("http://host/a?x=1", "/a", (("x", "1"),)),
        ("HTTPS://host:1/a", "/a", ()),
    ],
)
def test_targets(target: str, path: str, query: tuple[tuple[str, str], ...]) -> None:
    request = Request.parse("GET", target)

    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    "target", ["*", "", "a", "host:443", "ftp://host/", "http://host", "/a#b", "/?#", "/?x", "/?&"]
)
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(HttpError) as caught:
        Request.parse("GET", target)

    assert caught.value.status == 400


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_target_is_parsed_or_refused(target: str) -> None:
    try:
        path = Request.parse("GET", target).path
    except HttpError:
        return

    assert path.startswith("/")
    assert path in target


def test_headers_of_one_name_are_joined() -> None:
    request = Request.parse("GET", "/", [("accept", "a"), ("host", "x"), ("accept", "b")])

    assert request.headers == {"accept": "a, b", "host": "x"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),  # curl
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),  # typed in
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "news to us"}, False),
        # What a browser says over plain HTTP beyond localhost:
        ({"referer": "http://node:9996/stats", "host": "node:9996"}, True),
        ({"referer": "http://Node:9996/", "host": "node:9996"}, True),
        ({"referer": "http://node:8080/", "host": "node:9996"}, False),
        ({"referer": "http://evil/node:9996/", "host": "node:9996"}, False),
        ({"referer": "http://evil/"}, False),
        ({"origin": "http://evil", "host": "node"}, False),
        ({"origin": "null", "host": "node"}, False),
        ({"origin": "", "host": ""}, False),
        ({"origin": "http://evil", "referer": "http://node/", "host": "node"}, False),
        ({"sec-fetch-site": "cross-site", "referer": "http://node/", "host": "node"}, False),
        ({"sec-purpose": "prefetch;prerender", "sec-fetch-site": "none"}, False),
        ({"purpose": "prefetch"}, False),
    ],
)
def test_whose_wish_a_request_is(headers: dict[str, str], allowed: bool) -> None:
    request = Request("GET", "/", headers=headers)
    if allowed:
        request.require_intent()
    else:
        with pytest.raises(HttpError) as caught:
            request.require_intent()
        assert caught.value.status == 403


def test_head_changes_nothing() -> None:
    with pytest.raises(HttpError) as caught:
        Request("HEAD", "/").require_intent()

    assert caught.value.response().headers == (("Allow", "GET"),)
    assert caught.value.status == 405


def test_parameters() -> None:
    request = Request.parse("GET", "/?a=1&b=2")

    assert request.parameters("a", "b", "c") == {"a": "1", "b": "2"}
    with pytest.raises(HttpError, match="unknown parameter 'b'; known here: a"):
        request.parameters("a")
    with pytest.raises(HttpError, match="unknown parameter 'a'; known here: none"):
        request.parameters()
    with pytest.raises(HttpError, match="parameter 'a' is given more than once"):
        Request.parse("GET", "/?a=1&a=1").parameters("a")


async def test_a_router_finds_handlers_that_wait_and_that_do_not() -> None:
    async def waits(request: Request) -> Response:
        return Response.text(f"waits for {request.path}")

    def refuses(request: Request) -> Response:
        raise HttpError(403, "not you", Retry_After="1")

    router = Router({"/a": lambda _: Response.text("at once"), "/b": waits, "/c": refuses})

    assert (await router.handle(Request("GET", "/a"))).body == b"at once\n"
    assert (await router.handle(Request("GET", "/b"))).body == b"waits for /b\n"
    refused = await router.handle(Request("GET", "/c"))
    assert (refused.status, refused.body) == (403, b"not you\n")
    assert refused.headers == (("Retry-After", "1"),)
    assert (await router.handle(Request("GET", "/"))).status == 404


def test_a_page_without_scripts_allows_none() -> None:
    [(name, policy)] = Response.page("<p>").headers

    assert name == "Content-Security-Policy"
    assert "script-src 'none'" in policy
