"""The page's panels as they change: made once for all who watch, and only while somebody does.

There is no task for it. Whoever wants the next frame first waits until it is due and makes it; all
others wait for that one, and if it goes away, the next one takes its part. A viewer asks for the
next frame when it has taken the last one: a slow one misses frames, and nothing piles up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import orjson
import trio
from markupsafe import Markup

from scalab.protocol.text import printable
from scalab.report.plots.markup import element
from scalab.runtime.routing import HttpError, Response, Send

from .aside import Aside
from .controlled import Controlled
from .panels import PANELS, Moment
from .scene import Scene
from .snapshot import Snapshots

EVERY_S: Final = 1.0
"""From one frame to the next."""
SHARE: Final = 0.2
"""The most of the time that goes into making frames: with very many places there are fewer."""
RAREST_S: Final = 5.0
"""From one frame to the next at the most: a page that hears nothing for long says so."""
MAX_VIEWERS: Final = 20
"""Streams at a time: far fewer than connections, so that the port stays reachable."""
RETRY_MS: Final = 2000
"""How long a browser waits before it connects again."""


@attrs.frozen
class Piece:
    """A panel as it is."""

    html: Markup
    since: int
    """The number of the frame since which it looks like this."""
    made_at: Moment
    """When it was made, which may be earlier."""


@attrs.frozen(eq=False)
class Frame:
    """All panels at one moment."""

    number: int
    """From 1."""
    scene: Scene
    pieces: Mapping[str, Piece]
    _events: dict[int, bytes] = attrs.field(factory=dict, init=False)

    @property
    def mark(self) -> Markup:
        """An element that names the frame, so that no late answer takes the place of a new one."""
        run = printable(self.scene.now.run_id, 40)
        return element("i", id="frame", data_run=run, data_frame=str(self.number), hidden=True)

    def since(self, number: int) -> str:
        """Return the panels that changed after another frame; after 0, all of them."""
        changed = [piece.html for piece in self.pieces.values() if piece.since > number]
        return "".join([self.mark, *changed])

    def event(self, seen: int) -> bytes:
        """Return a server-sent event for a viewer who has seen an earlier frame, or 0.

        The data is a string of JSON, which has no line feeds. Most viewers have seen the same.
        """
        if seen not in self._events:
            data = orjson.dumps(self.since(seen))
            self._events[seen] = b"event: panels\nid: %d\ndata: %s\n\n" % (self.number, data)
        return self._events[seen]


def make_frame(scene: Scene, before: Frame | None) -> Frame:
    """Return the frame that follows ``before``; may take long, so it is for a thread."""
    number, now = before.number + 1 if before else 1, Moment.of(scene)
    pieces = {}
    for panel in PANELS:
        piece = before.pieces[panel.id] if before else None
        if piece is None or panel.is_due(now, piece.made_at):
            html = Markup(panel.render(scene))  # noqa: S704 - of a template that escapes
            same = piece is not None and piece.html == html
            piece = Piece(html, piece.since if piece and same else number, now)
        pieces[panel.id] = piece
    return Frame(number, scene, pieces)


class Feed:
    """Makes frames of a client for any number of viewers.

    Args:
        client: What is shown.
        aside: Where frames are drawn.

    Attributes:
        viewers: Streams that are open.
    """

    def __init__(self, client: Controlled, aside: Aside) -> None:
        self.viewers = 0
        self._aside = aside
        self._snapshots = Snapshots(client)
        self._frame: Frame | None = None
        self._due = -float("inf")
        self._hurry = trio.Event()
        self._making = trio.Lock()

    def changed(self) -> None:
        """Let the next frame be made at once: somebody changed something and wants to see it."""
        self._due = -float("inf")
        self._hurry.set()

    async def latest(self) -> Frame:
        """Return the frame there is, or the next one if that is due."""
        frame = self._frame
        if frame is not None and trio.current_time() < self._due:
            return frame
        return await self.after(frame.number if frame else 0)

    async def after(self, number: int) -> Frame:
        """Return the latest frame with a higher number, or the next one, once it is due."""
        frame = self._frame
        if frame is not None and frame.number > number:
            return frame
        async with self._making:
            while (frame := self._frame) is None or frame.number <= number:
                await self._until_due()
                await self._make(frame)
        return frame

    async def _until_due(self) -> None:
        while trio.current_time() < self._due:
            self._hurry = trio.Event()
            with trio.move_on_at(self._due):
                await self._hurry.wait()

    async def _make(self, before: Frame | None) -> None:
        start = trio.current_time()
        self._due = start + EVERY_S  # earlier if something is changed from here on
        scene = Scene(await self._snapshots.take())
        frame = await self._aside(make_frame, scene, before)
        cost_s = trio.current_time() - start
        if self._due > start:
            self._due = start + min(max(EVERY_S, cost_s / SHARE), RAREST_S)
        self._frame = frame

    def response(self) -> Response:
        """Return the stream of server-sent events.

        The first one has all panels, so that it doesn't matter what a viewer has missed.

        Raises:
            HttpError: 503, there are too many viewers.
        """
        if self.viewers >= MAX_VIEWERS:
            raise HttpError(503, "too many are watching", Retry_After="30")
        return Response(self._stream, "text/event-stream")

    async def _stream(self, send: Send) -> None:
        self.viewers += 1
        try:
            await send(f"retry: {RETRY_MS}\n\n".encode())
            number = 0
            while True:
                frame = await self.after(number)
                await send(frame.event(number))
                number = frame.number
        finally:
            self.viewers -= 1
