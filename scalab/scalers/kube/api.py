"""Requests to the Kubernetes API, and what their failures mean."""

from __future__ import annotations

import random
import ssl
from typing import Final
from urllib.parse import quote

import attrs
import h11
import orjson
import trio

from scalab.protocol.text import printable
from scalab.scalers.errors import ScalerError

from .access import Access
from .exchange import Answer, exchange
from .objects import Object, pick

REQUEST_S: Final = 10.0
"""For a request and its answer."""
_PAUSE_S: Final = 0.2
_PAUSE_MAX_S: Final = 2.0


class ApiError(ScalerError):
    """The API refused a request, or wasn't there to do so.

    Attributes:
        status: The HTTP status; 0 if there was none.
        may_pass: Whether the same request may succeed later.
    """

    def __init__(self, text: str, *, status: int = 0, may_pass: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.may_pass = may_pass


@attrs.frozen
class Found:
    """An object, and when it was like this."""

    body: Object
    at_s: float | None
    """By the API's clock, in seconds since 1970."""


class Api:
    """The API, by one way of access.

    Attributes:
        patience_s: For so long, requests that failed for a reason that may pass are sent again. 0
            until the first contact, so that a wrong address or password is told at once.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.patience_s = 0.0

    async def get(self, path: str, kind: str = "", **query: str) -> Found:
        """Return an object or a list.

        Args:
            path: Where it is.
            kind: What it must be; "" = anything.
            query: Parameters.

        Raises:
            ApiError: In words for people.
        """
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        found = await self._send("GET", f"{path}?{words}" if words else path)
        if pick(found.body, "kind", kind or "?") != kind and kind:
            raise ApiError(f"the API's answer to GET {path} is no {kind}")
        return found

    async def patch(self, path: str, change: Object) -> None:
        """Merge a change into an object (RFC 7386); isn't cancelled once it has begun.

        Else a change could arrive after the one that undoes it.

        Raises:
            ApiError: In words for people; status 409 if it isn't the version that was meant.
        """
        with trio.CancelScope(shield=True):
            await self._send_once("PATCH", path, orjson.dumps(change))
        await trio.lowlevel.checkpoint()

    async def _send(self, method: str, path: str) -> Found:
        """Send it, and send it again for as long as patience lasts."""
        pause_s, until = _PAUSE_S, trio.current_time() + self.patience_s
        while True:
            try:
                return await self._send_once(method, path)
            except ApiError as exc:
                if not exc.may_pass or trio.current_time() + pause_s > until:
                    raise
            await trio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads load
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _send_once(self, method: str, path: str, body: bytes = b"") -> Found:
        headers = {"Host": self.access.host, "Accept": "application/json", **self.access.headers()}
        if body:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            with trio.fail_after(REQUEST_S):
                stream = await self.access.connect()
                try:
                    answer = await exchange(stream, method, path, headers, body)
                finally:
                    await trio.aclose_forcefully(stream)
        except trio.TooSlowError:
            raise ApiError(
                f"the Kubernetes API hasn't answered for {REQUEST_S:g} s", may_pass=True
            ) from None
        except (OSError, trio.BrokenResourceError, h11.ProtocolError) as exc:
            raise _unreachable(exc) from None
        return _found(answer, method, path)


def _unreachable(exc: Exception) -> ApiError:
    """Return the error for a connection that came to nothing."""
    cause = exc.__cause__ if isinstance(exc.__cause__, ssl.SSLError | OSError) else exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ApiError(
            f"the Kubernetes API's certificate can't be trusted: {printable(cause.verify_message)}"
        )
    text = (cause.strerror if isinstance(cause, OSError) else "") or str(cause)
    reason = printable(text or "the connection was lost")
    return ApiError(f"the Kubernetes API can't be reached: {reason}", may_pass=True)


def _found(answer: Answer, method: str, path: str) -> Found:
    """Return what was found.

    Raises:
        ApiError: Nothing was.
    """
    try:
        body = orjson.loads(answer.body)
    except ValueError:
        body = None
    if answer.status in (200, 201) and isinstance(body, dict):
        return Found(body, answer.at_s)
    if answer.status in (200, 201):
        raise ApiError(f"the answer to {method} {path} is no JSON: is that the Kubernetes API?")
    if body is None and answer.status >= 500:
        # It is kubectl that says so, which got no answer itself.
        text = printable(answer.body.decode(errors="replace").strip() or f"{answer.status}")
        raise ApiError(f"the Kubernetes API can't be reached: {text}", may_pass=True)
    raise _refused(answer.status, pick(body, "message", ""), f"{method} {path}")


def _refused(status: int, message: str, what: str) -> ApiError:
    """Return the error for a request that the API has refused."""
    text = printable(message or f"no reason given for {what}", 600)
    if status == 401:
        # kubectl's plug-ins get a new token after that.
        text = f"the Kubernetes API doesn't take these credentials: {text} (401)"
    elif status == 403:
        text = f"the Kubernetes API doesn't allow it: {text}"
    elif status == 404:
        text = f"not in this cluster: {text}"
    else:
        text = f"the Kubernetes API refuses: {text} ({status})"
    return ApiError(text, status=status, may_pass=status in (401, 429) or status >= 500)
