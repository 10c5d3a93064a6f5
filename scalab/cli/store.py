"""Options of the store that frontends share their queues by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scalab.sharedqueue.settings import StoreSettings

_STORE = "Shared queues"

StoreUrl = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Share the queues with other frontends, over Redis or Valkey: redis://HOST, "
        "rediss://USER:PASSWORD@HOST:PORT/DB, unix:///PATH …; default: in memory, for us alone.",
        rich_help_panel=_STORE,
    ),
]
StoreCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Certificates to trust with rediss://; default: the system's.",
        rich_help_panel=_STORE,
    ),
]
Lease = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="Items of a frontend that was silent for so long are handed out again.",
        rich_help_panel=_STORE,
    ),
]
ResultTtl = Annotated[
    float,
    typer.Option(
        min=10,
        metavar="SECONDS",
        help="How long a reply is kept for a client whose frontend is gone.",
        rich_help_panel=_STORE,
    ),
]


def store_settings(
    url: str, ca: Path | None, lease_s: float = 15.0, result_ttl_s: float = 60.0
) -> StoreSettings | None:
    """Return the settings of the store, if one is named.

    Raises:
        ConfigError: The URL is none, or there are certificates without TLS.
    """
    if not url:
        return None
    from scalab.redis.server import Server
    from scalab.sharedqueue.settings import StoreSettings

    server = Server.parse(url, ca=str(ca or ""))
    return StoreSettings(server=server, lease_s=lease_s, result_ttl_s=result_ttl_s)
