"""Who may ask for what on an HTTP port: tokens, certificates, and TLS itself."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

import structlog
import trio

from scalab.access.access import Access
from scalab.access.tokens import Role

from .routing import HttpError, Request
from .streams import TlsError, certified, start_tls

OPEN: Final = ("/livez", "/readyz")
"""What everybody may ask for: a kubelet has neither token nor certificate."""

_CHALLENGE: Final = 'Basic realm="scalab: any name, and a token as the password"'

log = structlog.get_logger()


class Guard:
    """Stands before an HTTP port.

    Args:
        access: The service's tokens and certificates.
        role: What a token has to be good for; those for ``metrics`` are enough for ``/metrics``.
    """

    def __init__(self, access: Access | None = None, role: Role = "metrics") -> None:
        self._access = access or Access()
        self._role = role

    @property
    def speaks_tls(self) -> bool:
        """Whether ``secure`` is needed."""
        return self._access.scheme == "https"

    async def secure(self, stream: trio.abc.Stream, who: str) -> trio.abc.Stream | None:
        """Return a connection with TLS; None if there is none to be had.

        Args:
            stream: Accepted just now; closed if this fails.
            who: Where it comes from, for the log.
        """
        context = self._access.for_http()
        if context is None or not isinstance(stream, trio.SocketStream):
            return stream
        try:
            return await start_tls(stream, context, "server")
        except TlsError as exc:
            self._access.failed(self._role, "tls")
            log.warning("HTTP connection refused", reason=str(exc), peer=who)
            return None

    def check(self, request: Request, stream: trio.abc.Stream) -> None:
        """Refuse whoever may not ask for this.

        Raises:
            HttpError: 401 without a good token, 403 without a certificate.
        """
        if request.path in OPEN:
            return
        role = "metrics" if request.path == "/metrics" else self._role
        if self._access.needs_certificate and not certified(stream):
            self._access.failed(role, "tls")
            raise HttpError(403, "a client certificate is needed")
        if not self._access.needs_token:
            return
        problem = self._access.refuses(_presented(request.headers.get("authorization", "")), role)
        if problem is not None:
            text = (
                "a token is needed: as 'Authorization: Bearer TOKEN', or as the password"
                if problem == "missing"
                else f"this token is not valid for {role} here"
            )
            raise HttpError(401, text, WWW_Authenticate=_CHALLENGE)


def _presented(header: str) -> str:
    """Return the token in an ``Authorization`` header, "" if there is none."""
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() == "basic":
        try:
            return b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return rest  # no token, but something that was meant to be one
    return rest
