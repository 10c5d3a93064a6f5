"""What a service is told of tokens and TLS at its start."""

from __future__ import annotations

import attrs

from scalab.errors import ConfigError


@attrs.frozen(kw_only=True)
class AccessSettings:
    """Files, all of them PEM but the first; "" = none. Validated once, never changed."""

    token_file: str = ""
    """The tokens that peers have to present; those who connect present the first that fits."""
    tls: bool = False
    """Connect with TLS."""
    tls_ca: str = ""
    """Whom to trust when connecting with TLS; "" = the system's authorities."""
    tls_server_name: str = ""
    """The name that a server has to prove; "" = the host that we connect to."""
    tls_cert: str = ""
    """Our certificate: our ports speak TLS with it, and we show it to whom we connect to."""
    tls_key: str = ""
    """Its key; "" = in ``tls_cert``, too."""
    tls_client_ca: str = ""
    """Whoever connects to our ports needs a certificate of these authorities."""

    def __attrs_post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            ConfigError: Names the option.
        """
        if self.tls_key and not self.tls_cert:
            raise ConfigError("--tls-key belongs to a certificate: give --tls-cert, too")
        if self.tls_client_ca and not self.tls_cert:
            raise ConfigError("--tls-client-ca is for ports with TLS: give --tls-cert, too")
        if self.tls_server_name and not self.connects_with_tls:
            raise ConfigError("--tls-server-name is for connecting with TLS: give --tls, too")

    @property
    def connects_with_tls(self) -> bool:
        """Whether what we connect to has to speak TLS."""
        return self.tls or bool(self.tls_ca)
