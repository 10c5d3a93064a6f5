"""Who may connect: limits on the connections of all, and of one address. No I/O."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final, Literal

Limit = Literal["total", "address"]
LIMITS: Final[tuple[Limit, ...]] = ("total", "address")


class Admission:
    """Counts connections, and says which are too many.

    Args:
        most: Connections in all.
        most_each: Connections of one address; 0 = unlimited.
    """

    def __init__(self, most: int, most_each: int = 0) -> None:
        self.refused: dict[Limit, int] = dict.fromkeys(LIMITS, 0)
        """Connections refused so far, by the limit that they were over."""
        self._most = most
        self._most_each = most_each
        self._now = 0
        self._each: Counter[str] = Counter()
        """Connections by who has them; has as many entries as there are connections at most."""

    def enter(self, host: str) -> str:
        """Count a connection that comes from ``host``.

        Returns:
            "" if it may stay: then ``leave`` has to follow. Otherwise why it may not.
        """
        if self._now >= self._most:
            self.refused["total"] += 1
            return f"too many connections: there are {self._most}, the limit"
        if self._most_each:
            owner = _owner(host)
            if self._each[owner] >= self._most_each:
                self.refused["address"] += 1
                return f"too many connections from {owner}: there are {self._most_each}, the limit"
            self._each[owner] += 1
        self._now += 1
        return ""

    def leave(self, host: str) -> None:
        """Forget a connection that had been let in."""
        self._now -= 1
        if self._most_each:
            owner = _owner(host)
            self._each[owner] -= 1
            if not self._each[owner]:
                del self._each[owner]


def _owner(host: str) -> str:
    """Return whose an address is: in IPv6 one peer has a whole /64 of them."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
