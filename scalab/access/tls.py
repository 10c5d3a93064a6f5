"""TLS contexts made of files, and what goes wrong with TLS in words that help.

The settings are those of ``ssl.create_default_context``: they are kept up with by who maintains
Python and OpenSSL, not by us.
"""

from __future__ import annotations

import ssl
from typing import Final, Literal

from scalab.errors import ConfigError

Side = Literal["server", "client"]
"""Which one we are."""


def client_context(ca: str = "", cert: str = "", key: str = "") -> ssl.SSLContext:
    """Return what to connect with: the other side has to prove its name.

    Args:
        ca: File with the certificates of the authorities to trust; "" = those of the system.
        cert: File with our own certificate and those between it and an authority; "" = none.
        key: File with its key; "" = in ``cert``, too.

    Raises:
        ConfigError: A file can't be used.
    """
    context = _default(ssl.Purpose.SERVER_AUTH, ca)
    if cert:
        _load_pair(context, cert, key)
    return context


def server_context(
    cert: str, key: str = "", client_ca: str = "", *, ask_only: bool = False
) -> ssl.SSLContext:
    """Return what to listen with.

    Args:
        cert: File with our certificate and those between it and an authority.
        key: File with its key; "" = in ``cert``, too.
        client_ca: File with the certificates of the authorities of those who may connect; "" = they
            need no certificate.
        ask_only: Let those in who have no certificate at all. Whoever serves them looks.

    Raises:
        ConfigError: A file can't be used.
    """
    context = _default(ssl.Purpose.CLIENT_AUTH, client_ca)
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL if ask_only else ssl.CERT_REQUIRED
    _load_pair(context, cert, key)
    return context


def _default(purpose: ssl.Purpose, ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(purpose, cafile=ca or None)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"can't use the authorities in '{ca}': {_file_error(exc)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever the system's configuration says
    return context


def _load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    def ask() -> str:  # OpenSSL would ask the terminal
        raise ConfigError(f"the key in '{key or cert}' is encrypted: give one that is not")

    try:
        context.load_cert_chain(cert, key or None, password=ask)
    except (OSError, ssl.SSLError) as exc:
        files = f"'{cert}'" + (f" and '{key}'" if key else "")
        raise ConfigError(f"can't use the certificate of {files}: {_file_error(exc)}") from None


def _file_error(exc: OSError) -> str:
    """Say what is wrong with a file; OpenSSL's words for it are of no help to most."""
    if not isinstance(exc, ssl.SSLError):
        return exc.strerror or str(exc)
    if exc.reason == "KEY_VALUES_MISMATCH":
        return "they don't belong together"
    return f"no PEM ({exc.reason or exc.args[-1]})"


# --- what goes wrong with a connection -----------------------------------------------------------

_PLAIN: Final = (
    *("HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL"),
    *("PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "BAD_RECORD_TYPE", "UNEXPECTED_MESSAGE"),
)
_DISTRUST: Final = ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")
_WANTS: Final = ("ALERT_CERTIFICATE_REQUIRED", "ALERT_HANDSHAKE_FAILURE")
_OLD: Final = ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "ALERT_PROTOCOL_VERSION")

_HINTS: Final[dict[Side, tuple[tuple[tuple[str, ...], str], ...]]] = {
    "server": (
        (_PLAIN, "it speaks no TLS, and this port does: it needs --tls or --tls-ca, or https://"),
        (
            ("PEER_DID_NOT_RETURN_A_CERTIFICATE",),
            "it shows no certificate: it needs --tls-cert and --tls-key",
        ),
        (_DISTRUST, "it doesn't trust our certificate: see its --tls-ca"),
        (_OLD, "it speaks no TLS from 1.2 on"),
    ),
    "client": (
        (_PLAIN, "it speaks no TLS there: start it with --tls-cert, or connect without --tls"),
        (_WANTS, "it asks for a certificate: give --tls-cert and --tls-key"),
        (_DISTRUST, "it doesn't trust our certificate: see its --tls-client-ca"),
        (("ALERT_CERTIFICATE_EXPIRED",), "our certificate has expired"),
        (_OLD, "it speaks no TLS from 1.2 on"),
    ),
}


def explain(exc: BaseException | None, side: Side) -> str:
    """Return what went wrong with TLS, in a few words; "" if it wasn't TLS.

    Args:
        exc: What was raised, or what caused it.
        side: Which one we are.
    """
    while exc is not None and not isinstance(exc, ssl.SSLError):
        exc = exc.__cause__
    if exc is None:
        return ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate can't be trusted: {exc.verify_message.rstrip('.')}"
    reason: str = getattr(exc, "reason", None) or ""
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLSyscallError) or "EOF" in reason:
        return "it closed in the middle of the handshake"
    for reasons, text in _HINTS[side]:
        if reason.endswith(reasons):
            return text
    return f"TLS failed ({reason.lower().replace('_', ' ') or exc})"
