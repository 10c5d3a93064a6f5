"""Asking an HTTP server of ours a question now and then."""

from __future__ import annotations

import urllib.request
from typing import Final
from urllib.error import HTTPError, URLError

import trio

from scalab.errors import UnreachableError
from scalab.protocol.text import printable

TIMEOUT_S: Final = 5.0
MAX_ANSWER: Final = 16 << 20


async def fetch(url: str, what: str) -> bytes:
    """Return the answer to a GET.

    In a thread, with the standard library: for what is asked a few times a second at most.

    Args:
        url: Of http.
        what: What is asked, to begin an error with: "the frontend".

    Raises:
        UnreachableError: There was no answer, or it said that something is wrong.
    """
    try:
        with trio.fail_after(2 * TIMEOUT_S):
            return await trio.to_thread.run_sync(_fetch, url, abandon_on_cancel=True)
    except HTTPError as exc:
        reason = f"{exc.code} {exc.reason}"
    except URLError as exc:
        reason = str(exc.reason)
    except trio.TooSlowError:
        reason = "no answer in time"
    except (OSError, ValueError) as exc:
        reason = str(exc)
    raise UnreachableError(f"can't ask {what} at {url}: {printable(reason, 200)}")


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours
        text: bytes = answer.read(MAX_ANSWER)
    return text
