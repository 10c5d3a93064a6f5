"""Who may come in to a service, and how it gets in elsewhere: its tokens and certificates."""

from __future__ import annotations

import ssl
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, TypeVar

import structlog

from scalab.errors import ConfigError

from .settings import AccessSettings
from .tls import client_context, server_context
from .tokens import ROLES, Problem, Role, Tokens
from .watched import Watched

Reason = Problem | Literal["tls"]
REASONS: Final[tuple[Reason, ...]] = ("missing", "wrong", "role", "tls")
"""Why somebody is not let in; ``tls``: there was no TLS connection, or no certificate."""

MAX_TOKEN_FILE: Final = 1 << 16
"""Bytes."""

_STARTS: Final[dict[Role, str]] = {"client": "client", "worker": "backend"}

T = TypeVar("T")

log = structlog.get_logger()


class Access:
    """The tokens and certificates of one service, always as its files are now.

    Args:
        settings: Validated; by default everybody may come in.
        roles: As what we present a token elsewhere, if there is one.
        clock: Seconds, for how often files are looked at.

    Attributes:
        settings: As given.
        failures: How often somebody was not let in, by role and reason.

    Raises:
        ConfigError: A file can't be used.
    """

    def __init__(
        self,
        settings: AccessSettings | None = None,
        *roles: Role,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = s = settings or AccessSettings()
        self.failures: dict[tuple[Role, Reason], int] = {
            (role, reason): 0 for role in ROLES for reason in REASONS
        }

        def watch(load: Callable[[], T], wanted: object, *paths: str) -> Watched[T] | None:
            return Watched(paths, load, clock) if wanted else None

        pair = (s.tls_cert, s.tls_key)
        self._tokens = watch(lambda: read_tokens(s.token_file, roles), s.token_file, s.token_file)
        self._peers = watch(
            lambda: server_context(*pair, s.tls_client_ca), s.tls_cert, *pair, s.tls_client_ca
        )
        self._http = watch(
            lambda: server_context(*pair, s.tls_client_ca, ask_only=True),
            s.tls_cert, *pair, s.tls_client_ca,
        )  # fmt: skip
        self._connect = watch(
            lambda: client_context(s.tls_ca, *pair), s.connects_with_tls, s.tls_ca, *pair
        )

    # --- who comes ---------------------------------------------------------------------------

    @property
    def needs_token(self) -> bool:
        """Whether who comes has to present a token."""
        return self._tokens is not None

    @property
    def needs_certificate(self) -> bool:
        """Whether who comes has to show a certificate."""
        return bool(self.settings.tls_client_ca)

    def for_peers(self) -> ssl.SSLContext | None:
        """Return what ports for sessions speak TLS with; None = they don't."""
        return self._peers.get() if self._peers else None

    def for_http(self) -> ssl.SSLContext | None:
        """Return what ports for HTTP speak TLS with; None = they don't.

        They let everybody begin, as a kubelet's probe has no certificate.
        """
        return self._http.get() if self._http else None

    def refuses(self, presented: str, role: Role) -> Problem | None:
        """Return why who presents this token is not let in, and count that; None if it is good."""
        problem = self._tokens.get().problem(presented, role) if self._tokens else None
        if problem is not None:
            self.failed(role, problem)
        return problem

    def failed(self, role: Role, reason: Reason) -> None:
        """Count somebody who was not let in."""
        self.failures[role, reason] += 1

    # --- where we go -------------------------------------------------------------------------

    def for_connecting(self) -> ssl.SSLContext | None:
        """Return what to connect with; None = without TLS."""
        return self._connect.get() if self._connect else None

    def own_token(self, role: Role) -> str:
        """Return the token to present as ``role``; "" if we have none."""
        return self._tokens.get().own(role) if self._tokens else ""

    @property
    def scheme(self) -> str:
        """Of our own HTTP ports."""
        return "https" if self._http else "http"

    @property
    def scheme_elsewhere(self) -> str:
        """Of the HTTP ports that we ask."""
        return "https" if self._connect else "http"


def refusal(problem: Problem, role: Role) -> str:
    """Return what a peer is told; it doesn't help to guess."""
    who = _STARTS.get(role, role)
    if problem == "missing":
        return f"a token is needed: start the {who} with --token-file"
    return f"this token is not valid for a {who} here: see its --token-file"


def read_tokens(path: str, roles: Iterable[Role] = ()) -> Tokens:
    """Read a file of tokens with one for each of ``roles``; warn if others can read it, too.

    Raises:
        ConfigError: It can't be read or parsed.
    """
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
            data = file.read(MAX_TOKEN_FILE + 1)
        if len(data) > MAX_TOKEN_FILE:
            raise ConfigError(f"it is larger than {MAX_TOKEN_FILE} bytes")
        tokens = Tokens.parse(data.decode("utf-8"))
        lacking = [role for role in roles if not tokens.own(role)]
        if lacking:
            raise ConfigError(f"it has no token for the role {lacking[0]}")
    except OSError as exc:
        raise ConfigError(f"can't read token file '{path}': {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"token file '{path}' is no text") from None
    except ConfigError as exc:
        raise ConfigError(f"token file '{path}': {exc}") from None
    if mode & stat.S_IROTH:
        log.warning(
            "everybody on this machine can read the token file", file=path, mode=f"{mode:o}"
        )
    return tokens
