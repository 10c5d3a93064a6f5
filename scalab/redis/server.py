"""Which server: its URL, and how its connection is secured."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs

from scalab.errors import ConfigError

DEFAULT_PORT = 6379
FORMS = "redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], rediss://… or unix:///PATH[?db=DB]"


@attrs.frozen(kw_only=True)
class Server:
    """Where a server is, and who we are there."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    """Of its Unix socket; there is no host then."""
    user: str = "default"
    password: str = attrs.field(default="", repr=False)
    db: int = 0
    tls: bool = False
    ca: str = ""
    """File with certificates to trust; "" = those that the system trusts."""
    cert: str = ""
    """File with our own certificate, for a server that asks for one."""
    key: str = ""
    """File with its key; "" = in ``cert``, too."""

    @classmethod
    def parse(cls, url: str, *, ca: str = "", cert: str = "", key: str = "") -> Server:
        """Parse a URL of one of ``FORMS``; a user or password may be percent-encoded.

        Raises:
            ConfigError: With what is wrong; the text doesn't hold the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong("has no valid host and port") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise _wrong("is not a URL of a server")
        is_unix = parts.scheme == "unix"
        if is_unix and not parts.path:
            raise _wrong("names no socket")
        if not is_unix and not parts.hostname:
            raise _wrong("names no host")
        tls = parts.scheme == "rediss"
        if not tls and (ca or cert or key):
            raise ConfigError("certificates for the store need a URL that begins with rediss://")
        if key and not cert:
            raise ConfigError("a key for the store needs its certificate, too")
        password = unquote(parts.password or "")
        user = unquote(parts.username or "")
        if user and parts.password is None:
            # Some read one word before the @ as the user, some as the password.
            raise _wrong("has a user but no password: write USER:PASSWORD@, or :PASSWORD@")
        return cls(
            host="" if is_unix else parts.hostname or "",
            port=DEFAULT_PORT if port is None else port,
            path=unquote(parts.path) if is_unix else "",
            user=user or "default",
            password=password,
            db=_db(parts, in_path=not is_unix),
            tls=tls,
            ca=ca,
            cert=cert,
            key=key,
        )

    def __str__(self) -> str:
        user = f"{self.user}@" if self.password else ""
        if self.path:
            return f"unix://{user}{self.path}{f'?db={self.db}' if self.db else ''}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        db = f"/{self.db}" if self.db else ""
        return f"{'rediss' if self.tls else 'redis'}://{user}{host}:{self.port}{db}"

    def __structlog__(self) -> str:
        """Return what is logged; JSON would show the fields otherwise."""
        return str(self)


def _db(parts: SplitResult, *, in_path: bool) -> int:
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(name != "db" for name, _ in query) or parts.fragment:
        raise _wrong("may have db as its only parameter")
    texts = [value for _, value in query]
    if in_path and parts.path.strip("/"):
        texts.append(parts.path.strip("/"))
    if not texts:
        return 0
    text = texts[0]
    if len(texts) > 1 or not text.isascii() or not text.isdigit() or len(text) > 6:
        raise _wrong("must name one database by its number")
    return int(text)


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"the store's URL {what}; it is of the form {FORMS}")
