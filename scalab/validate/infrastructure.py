"""Where the frontend of a validation is: one that runs already, or one of our own."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import attrs
import trio

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.access.tokens import Role
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
    access: AccessSettings
    """How to get in."""

    def open(self, *roles: Role) -> Access:
        """Return what to get in with, as each of ``roles``.

        Raises:
            ConfigError: A file can't be used, or there is no token for one of them.
        """
        return Access(self.access, *roles, clock=trio.current_time)


async def find_frontend(settings: ValidateSettings, exits: AsyncExitStack) -> Addresses:
    """Return where the frontend is; one of our own is started, and ends with ``exits``.

    Raises:
        ScalerError: It can't be started.
    """
    if settings.frontend is None:
        tokens = settings.access.token_file
        options = ("--token-file", tokens) if tokens else ()
        own = await exits.enter_async_context(FrontendProcess(settings.queue, *options))
        # On this machine alone, so without TLS.
        access = attrs.evolve(settings.access, tls=False, tls_ca="", tls_server_name="")
        return Addresses(own.clients, own.workers, own.metrics, access)
    http = settings.frontend_http or Address(settings.frontend.host, HTTP_PORT)
    return Addresses(settings.frontend, settings.frontend_workers, http, settings.access)
