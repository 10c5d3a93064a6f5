"""Under which names browsers may ask for our pages: DNS rebinding.

Whoever owns a domain can let its name stand for an address of ours. A page of that domain, in the
browser of somebody who reaches us, is then of the same origin as we are: it may read everything
here, and change it. The browser tells by ``Host`` under which name it asked, so names that a
stranger may own are refused.

Programs are let through under any name: they run no strangers' pages, and clusters have names of
all kinds for what is scraped.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final

from scalab.protocol.text import printable

from .routing import HttpError, Request

ANY: Final = "*"
"""The name that stands for all names."""

# Nobody can register a name in these: RFC 2606, 6761, 6762 and 8375, ICANN's .internal, and what
# Kubernetes appends to the names of services. Nor is there anybody to sell a name without a dot.
_NOT_FOR_SALE: Final = ("localhost", "local", "internal", "svc", "test", "home.arpa")

# What browsers say without being asked to, and a page can't keep them from saying.
_OF_BROWSERS: Final = ("accept-language", "sec-fetch-site", "sec-fetch-mode", "origin", "referer")

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+?)\.?(?::[0-9]*)?", re.IGNORECASE)


class Hosts:
    """The names under which browsers may ask.

    Args:
        names: Further ones, such as that of an ingress; ``ANY`` turns the check off.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        wanted = {name.lower().removesuffix(".") for name in names}
        self._any = ANY in wanted
        self._names = frozenset({*wanted, socket.gethostname().lower(), "localhost"})

    def check(self, request: Request) -> None:
        """Refuse a browser that asks for us under a name that a stranger may own.

        Raises:
            HttpError: 403.
        """
        headers = request.headers
        if self._any or not _from_browser(request):
            return
        host = headers.get("host", "")
        match = _HOST.fullmatch(host)
        if match is None or not self.ours(match["name"].lower()):
            shown = printable(match["name"] if match else host, 80) or "none"
            text = f"pages are not served as '{shown}': use an address, or --allow-host {shown}"
            raise HttpError(403, text)

    def ours(self, name: str) -> bool:
        """Whether nobody but us and the owner of our network can own ``name``."""
        if name in self._names or "." not in name:
            return True
        if name.endswith(tuple(f".{domain}" for domain in _NOT_FOR_SALE)):
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


def _from_browser(request: Request) -> bool:
    headers = request.headers
    named_so = headers.get("user-agent", "").startswith("Mozilla/")
    return named_so or any(name in headers for name in _OF_BROWSERS)
