"""HTTP requests and responses as values, and the table that leads from one to the other.

No I/O: ``runtime.http`` carries these over a connection, and a test can ask a ``Router`` directly.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import parse_qsl

import attrs
import orjson

from scalab.protocol.text import printable

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"

MAX_PARAMETERS = 16

# An absolute target is what a proxy sends; HTTP/1.1 obliges every server to understand it.
_TARGET = re.compile(
    r"(?:https?://[^/?#]+)?(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?", re.IGNORECASE
)

Send = Callable[[bytes], Awaitable[None]]
"""Sends a piece of a body; raises ``trio.BrokenResourceError`` if the peer is gone or too slow."""

Stream = Callable[[Send], Awaitable[None]]
"""Produces a body piece by piece, such as server-sent events; ends when all is sent.

It is cancelled when the peer leaves and when the service drains, so it may go on for ever.
"""


class HttpError(Exception):
    """Ends the handling of a request with an error status and one line of text."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def response(self) -> Response:
        """Return what the peer is told."""
        return Response.text(str(self), self.status, self.headers)


@attrs.frozen
class Request:
    """A GET or HEAD request without a body."""

    method: str
    path: str
    """As sent: still percent-encoded, so that only the plain spelling of a known path matches."""
    query: tuple[tuple[str, str], ...] = ()
    """Decoded parameters in the order sent."""
    headers: Mapping[str, str] = attrs.Factory(dict)
    """By lower-case name."""

    @classmethod
    def parse(cls, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> Request:
        """Parse the request line's target.

        Args:
            method: ``GET`` or ``HEAD``.
            target: Path and query.
            headers: With lower-case names; those of one name are joined.

        Raises:
            HttpError: 400, the target is malformed.
        """
        match = _TARGET.fullmatch(target)
        if match is None:
            raise HttpError(400, "the request target must be a path")
        joined: dict[str, str] = {}
        for name, value in headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return cls(method, match["path"], _parse_query(match["query"] or ""), joined)

    def parameters(self, *known: str) -> dict[str, str]:
        """Return the parameters of the query.

        Raises:
            HttpError: 400, one is not among ``known``, or given twice.
        """
        given: dict[str, str] = {}
        for name, value in self.query:
            shown = printable(name, 40)
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise HttpError(400, f"unknown parameter '{shown}'; known here: {allowed}")
            if name in given:
                raise HttpError(400, f"parameter '{shown}' is given more than once")
            given[name] = value
        return given

    def require_intent(self) -> None:
        """Refuse to change anything for a request that nobody at this end meant to make.

        A page of another site can make a browser send us any GET, and browsers fetch ahead what
        their user may want next. Browsers tell so by ``Sec-Fetch-Site``, on plain HTTP beyond
        localhost only by ``Referer`` or ``Origin``, which a hostile page can suppress. Programs
        such as curl send none of these, and are let through.

        Raises:
            HttpError: 403 for another site's request and for a prefetch, 405 for HEAD.
        """
        if self.method != "GET":
            raise HttpError(405, "this changes something: use GET", Allow="GET")
        if "prefetch" in self.headers.get("sec-purpose", self.headers.get("purpose", "")):
            raise HttpError(403, "this changes something and can't be fetched ahead")
        site = self.headers.get("sec-fetch-site")
        source = self.headers.get("origin", self.headers.get("referer"))
        if site is None and source is not None:
            ours = source.lower().split("/")[2:3] == [self.headers.get("host", "").lower()]
            site = "same-origin" if ours else "cross-site"
        # Another port of the same host counts as same-site, yet belongs to somebody else.
        if site not in (None, "same-origin", "none"):
            raise HttpError(403, "another site's page can't change anything here")


def _parse_query(query: str) -> tuple[tuple[str, str], ...]:
    if not query:
        return ()
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise HttpError(400, "the query must be of the form name=value&name=value") from None
    return tuple(pairs)


@attrs.frozen
class Response:
    """What a handler returns."""

    body: bytes | Stream
    content_type: str = TEXT
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones; they replace those that the server sets by itself."""

    @classmethod
    def text(
        cls, text: str, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        """Return ``text`` and a line feed as plain text."""
        return cls(f"{text}\n".encode(errors="replace"), TEXT, status, headers)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return ``value`` as a line of JSON."""
        return cls(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), JSON, status)

    @classmethod
    def page(cls, html: str, nonce: str = "", status: int = 200) -> Response:
        """Return a web page that may load nothing but what this server gives it.

        Args:
            html: Self-contained; its ``<style>`` and ``<script>`` elements carry the nonce.
            nonce: Random, new for every response; "" if there are none of these.
            status: Of the response.
        """
        own = f"'nonce-{nonce}'" if nonce else "'none'"
        policy = (
            f"default-src 'none'; style-src {own}; script-src {own}; img-src data:; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return cls(html.encode(), HTML, status, (("Content-Security-Policy", policy),))


Handler = Callable[[Request], Response | Awaitable[Response]]


class Router:
    """The paths that exist, and who answers for each.

    Args:
        routes: Handlers by path. A handler may raise ``HttpError``; anything else that it raises
            is a defect.
    """

    def __init__(self, routes: Mapping[str, Handler]) -> None:
        self._routes = dict(routes)

    async def handle(self, request: Request) -> Response:
        """Return the response to ``request``, 404 if its path is not known."""
        try:
            handler = self._routes.get(request.path)
            if handler is None:
                raise HttpError(404, f"no such path; there are: {' '.join(sorted(self._routes))}")
            response = handler(request)
            return await response if inspect.isawaitable(response) else response
        except HttpError as exc:
            return exc.response()
