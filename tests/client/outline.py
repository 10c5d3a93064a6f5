"""Asking a control port, and what a browser makes of the answer."""

from __future__ import annotations

from html.parser import HTMLParser

from scalab.client.control import control_router
from scalab.runtime.routing import Request, Response, Router
from tests.client.controlled import FakeClient

Tag = tuple[str, dict[str, str | None]]


async def ask(
    client: FakeClient | Router, target: str, method: str = "GET", **headers: str
) -> Response:
    """The answer of a client's control port, or of a new one."""
    router = client if isinstance(client, Router) else control_router(client)
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return await router.handle(Request.parse(method, target, pairs))


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


class Outline(HTMLParser):
    """What a browser makes of a page: its elements, and the texts in them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[Tag] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script") and data.strip():
            self.texts.append(data.strip())


def outline(page: str) -> tuple[list[Tag], list[str]]:
    """The elements with their attributes, and the texts."""
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser.tags, parser.texts
