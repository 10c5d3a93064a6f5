"""TLS files that can't be used, and options that make no sense: one clear line each."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from scalab.access.settings import AccessSettings
from scalab.access.tls import client_context, explain, server_context
from scalab.errors import ConfigError

from .lab import Pki, openssl


def test_defaults_are_modern(pki: Pki) -> None:
    client = client_context(pki.ca)
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    pair = pki.file("frontend.pem"), pki.file("frontend.key")
    server = server_context(*pair)
    assert server.verify_mode is ssl.CERT_NONE
    assert server_context(*pair, pki.ca).verify_mode is ssl.CERT_REQUIRED
    assert server_context(*pair, pki.ca, ask_only=True).verify_mode is ssl.CERT_OPTIONAL
    for context in (client, server, client_context()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert not any(c["name"].startswith(("RC4", "DES")) for c in context.get_ciphers())
    assert client.cert_store_stats()["x509_ca"] == 1  # and not the system's, too


def test_a_key_may_be_with_its_certificate(pki: Pki, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(
        Path(pki.file("frontend.pem")).read_bytes() + Path(pki.file("frontend.key")).read_bytes()
    )
    server_context(str(both))


def test_files_that_can_t_be_used(pki: Pki, tmp_path: Path) -> None:
    pem, key, ca = pki.file("frontend.pem"), pki.file("frontend.key"), pki.ca
    locked, nonsense = str(tmp_path / "locked"), str(tmp_path / "nonsense")
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked)
    Path(nonsense).write_text("nonsense")

    def error(cert: str, key: str = "", ca: str = "") -> str:
        with pytest.raises(ConfigError) as caught:
            server_context(cert, key, ca)
        return str(caught.value)

    none = str(tmp_path / "none")
    assert error(none) == f"can't use the certificate of '{none}': No such file or directory"
    assert error(pem, pki.file("peer.key")).endswith(": they don't belong together")
    assert error(pem, locked) == f"the key in '{locked}' is encrypted: give one that is not"
    assert "no PEM" in error(nonsense, key)
    assert error(pem, key, none).startswith(f"can't use the authorities in '{none}': No such file")
    assert error(pem, key, nonsense).startswith(
        f"can't use the authorities in '{nonsense}': no PEM"
    )
    with pytest.raises(ConfigError, match="can't use the certificate"):
        client_context(ca, nonsense)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tls_key": "k"}, "--tls-key belongs to a certificate: give --tls-cert, too"),
        ({"tls_client_ca": "c"}, "--tls-client-ca is for ports with TLS: give --tls-cert, too"),
        ({"tls_server_name": "n"}, "--tls-server-name is for connecting with TLS: give --tls, too"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, str], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AccessSettings(**options)  # type: ignore[arg-type]
    assert str(caught.value) == error


def test_what_is_not_of_tls_is_not_explained() -> None:
    assert explain(None, "client") == ""
    assert explain(OSError("gone"), "client") == ""
    unknown = ssl.SSLError(1, "something new")
    assert explain(unknown, "client").startswith("TLS failed (")
