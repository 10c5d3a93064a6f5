"""HTTP ports of the parts, as a host of the test sees them."""

from __future__ import annotations

from collections import Counter

import trio

from scalab.runtime.net import Address
from tests.support import Http

from .network import Host


class Page(Http):
    """An HTTP port, seen from a host."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        super().__init__(Address(address, port))
        self._host = host

    async def open(self) -> trio.SocketStream:
        """Connect to it."""
        return await self._host.connect(self.address.host, self.address.port)


def by_label(metrics: dict[str, float], name: str, label: str) -> Counter[str]:
    """Return a metric's samples by one of their labels, summed over the others."""
    found: Counter[str] = Counter()
    for sample, value in metrics.items():
        if sample.startswith(f"{name}{{"):
            found[sample.partition(f'{label}="')[2].partition('"')[0]] += int(value)
    return found


def connections(metrics: dict[str, float]) -> int:
    """How many peers a frontend has."""
    return by_label(metrics, "scalab_connections", "role").total()
