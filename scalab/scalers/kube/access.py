"""How the API is reached: from a pod by its service account, else through kubectl."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import trio

from scalab.scalers.errors import ScalerError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, and keeps it fresh."""


class Access(Protocol):
    """A way to the API, with the right to use it."""

    context: str
    """The kubeconfig's context that was asked for; "" = the current one, or none."""
    host: str
    """For the header of that name."""

    async def namespace(self) -> str:
        """Return the namespace that is meant when none is named.

        Raises:
            ScalerError: There is no such context, or no kubectl.
        """

    async def connect(self) -> trio.abc.Stream:
        """Open a connection for one request.

        Raises:
            OSError: The API can't be reached.
            ScalerError: The files or programs that are needed for it are no use.
        """

    def headers(self) -> Mapping[str, str]:
        """Return what goes with each request.

        Raises:
            ScalerError: There is no token.
        """

    async def aclose(self) -> None:
        """Give back what it took."""


def find_access(context: str = "") -> Access:
    """Return the way to the API: as kubectl would do it, or from inside a pod by its account.

    Args:
        context: That of the kubeconfig; "" = the current one.
    """
    # Imported here, as each of the two is no use where the other is used.
    from .kubectl import KubectlProxy  # noqa: PLC0415

    named = context or os.environ.get("KUBECONFIG")
    return InCluster() if not named and InCluster.is_there() else KubectlProxy(context)


class InCluster:
    """The service account of the pod that this runs in.

    Token and authority are read anew for each connection: the kubelet replaces them.
    """

    context = ""

    def __init__(self) -> None:
        self._server = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        self._port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        bracketed = f"[{self._server}]" if ":" in self._server else self._server
        self.host = f"{bracketed}:{self._port}"

    @staticmethod
    def is_there() -> bool:
        """Whether this runs in a pod that may use the API."""
        return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (ACCOUNT / "token").exists()

    async def namespace(self) -> str:
        """Return the pod's own namespace."""
        return _read(ACCOUNT / "namespace")

    async def connect(self) -> trio.abc.Stream:
        """Open a connection whose other end is sure to be the API."""
        context = _context(ACCOUNT / "ca.crt")
        stream = await trio.open_tcp_stream(self._server, int(self._port))
        return trio.SSLStream(stream, context, server_hostname=self._server, https_compatible=True)

    def headers(self) -> Mapping[str, str]:
        """Return the token."""
        return {"Authorization": f"Bearer {_read(ACCOUNT / 'token')}"}

    async def aclose(self) -> None:
        """There is nothing to give back."""


def _context(authority: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(authority))
    except (OSError, ssl.SSLError) as exc:
        raise ScalerError(f"{authority}: {exc}; no certificate of the API can be checked") from None
    # From Python 3.13 on this is the default, which refuses the authorities of many clusters: they
    # are made without the identifiers that RFC 5280 wants (no subject or authority key identifier).
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    return context


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as exc:
        raise ScalerError(f"the pod's service account can't be read: {exc}") from None
