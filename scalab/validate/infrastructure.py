"""Where the frontend of a validation is: one that runs already, or one of our own."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import attrs

from scalab.runtime.net import Address
from scalab.scalers.process import FrontendProcess

from .settings import ValidateSettings

HTTP_PORT: Final = 9998


@attrs.frozen
class Addresses:
    """Where a frontend listens."""

    clients: Address
    workers: Address | None
    """None = somewhere that only its workers need to know."""
    http: Address


async def find_frontend(settings: ValidateSettings, exits: AsyncExitStack) -> Addresses:
    """Return where the frontend is; one of our own is started, and ends with ``exits``.

    Raises:
        ScalerError: It can't be started.
    """
    if settings.frontend is None:
        own = await exits.enter_async_context(FrontendProcess(settings.queue))
        return Addresses(own.clients, own.workers, own.metrics)
    http = settings.frontend_http or Address(settings.frontend.host, HTTP_PORT)
    return Addresses(settings.frontend, settings.frontend_workers, http)
