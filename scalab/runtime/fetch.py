"""Asking an HTTP server of ours a question now and then."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

import attrs
import trio

from scalab.access.access import Access
from scalab.access.tls import explain
from scalab.access.tokens import Role
from scalab.errors import UnreachableError
from scalab.protocol.text import printable

from .net import Address, os_error

TIMEOUT_S: Final = 5.0
MAX_ANSWER: Final = 16 << 20


class HttpPeer:
    """An HTTP port of ours that is asked a few times a second at most.

    Args:
        address: Where it is.
        what: What is asked, to begin an error with: "the frontend".
        access: Our token, and whether with TLS.
        role: As what we ask.
    """

    def __init__(
        self, address: Address, what: str, access: Access | None = None, role: Role = "metrics"
    ) -> None:
        self._access = access or Access()
        self._address = address
        self._what = what
        self._role: Role = role
        self.url = f"{self._access.scheme_elsewhere}://{address}"

    async def get(self, path: str) -> bytes:
        """Return the answer to a GET, which is made in a thread.

        Raises:
            UnreachableError: There was no answer, or it said that something is wrong.
        """
        token = self._access.own_token(self._role)
        question = _Question(
            self._address,
            path,
            {"Authorization": f"Bearer {token}"} if token else {},
            self._access.for_connecting(),
            self._access.settings.tls_server_name,
        )
        try:
            with trio.fail_after(2 * TIMEOUT_S):
                return await trio.to_thread.run_sync(question.ask, abandon_on_cancel=True)
        except trio.TooSlowError:
            reason = "no answer in time"
        except ssl.SSLError as exc:
            reason = explain(exc, "client")
        except OSError as exc:
            reason = os_error(exc)
        except (HTTPException, ValueError) as exc:
            reason = str(exc) or repr(exc)
        text = f"can't ask {self._what} at {self.url}{path}: {printable(reason, 200)}"
        raise UnreachableError(text)


@attrs.frozen
class _Question:
    """All that a thread needs to ask."""

    address: Address
    path: str
    headers: dict[str, str] = attrs.field(repr=False)
    context: ssl.SSLContext | None
    name: str
    """That the server has to prove; "" = its host."""

    def ask(self) -> bytes:
        """Ask, and return the answer.

        Raises:
            HTTPException: It is none, or an error.
            OSError: There was none.
        """
        connection = self._connection()
        try:
            connection.request("GET", self.path, headers=self.headers)
            with connection.getresponse() as answer:
                text = answer.read(MAX_ANSWER)
                if answer.status != 200:
                    said = text.decode(errors="replace").strip()
                    raise HTTPException(f"{answer.status}: {said}")
                return text
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self.address.host or "localhost", self.address.port
        if self.context is None:
            return HTTPConnection(host, port, timeout=TIMEOUT_S)
        return _Tls(host, port, self.context, self.name or host)


class _Tls(HTTPSConnection):
    """Wants the server to prove a name that may be another one than its host."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S, context=context)
        self._wanted = context, name

    def connect(self) -> None:
        """Connect, and do the handshake."""
        HTTPConnection.connect(self)
        context, name = self._wanted
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
