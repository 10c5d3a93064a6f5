"""Certificates of the real openssl, its clients, and services that let not everybody in."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.backend.metrics import Pages, serve_metrics
from scalab.backend.runner import RunCounts
from scalab.client.service import Result, run_client
from scalab.fakedev.exporter import serve_metrics as serve_exporter
from scalab.fakedev.model import Node
from scalab.fakedev.presets import SCALAB
from scalab.fakedev.settings import DeviceSettings, NodeSettings
from scalab.frontend.service import Bound, serve
from scalab.runtime.net import Address, bound_address, open_listeners
from scalab.runtime.service import Stop
from tests.support import ANYWHERE, PATIENCE_S, Frontend, client_settings, frontend_settings

MAKE_CERTS = Path(__file__).parents[2] / "examples" / "tls" / "make-certs"

TOKENS = {role: f"{role}-secret-{role[::-1]}-0123" for role in ("client", "worker", "metrics")}
TOKENS["control"] = "control-secret-lortnoc-0123"
WRONG = "no-secret-of-anybody-0123"


def openssl(*args: str, stdin: bytes = b"", check: bool = True) -> bytes:
    """Run openssl, and return all that it prints."""
    program = shutil.which("openssl")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing")
        pytest.skip("openssl is missing")
    done = subprocess.run(
        [program, *args],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=30,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def make_certs(folder: Path, *parts: str) -> None:
    """Make certificates as the documentation says."""
    openssl("version")
    subprocess.run([MAKE_CERTS, folder, *parts], check=True, timeout=30)


@attrs.frozen
class Pki:
    """An authority and what it has certified, and another authority."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Pki:
        """Make it in an empty folder."""
        made = cls(folder)
        make_certs(folder, "frontend", "peer", "old")
        make_certs(folder / "stranger", "frontend", "peer")
        # Another name only, and a certificate whose time is over.
        made._certify("elsewhere", "subjectAltName=DNS:elsewhere.example", "20500101000000Z")
        made._certify("expired", "subjectAltName=DNS:localhost,IP:127.0.0.1", "20200102000000Z")
        return made

    def file(self, name: str) -> str:
        """The path of a file."""
        return str(self.folder / name)

    @property
    def ca(self) -> str:
        """The authority's certificate."""
        return self.file("ca.pem")

    def server(self, name: str = "frontend", **more: Any) -> AccessSettings:
        """Who listens with a certificate."""
        return AccessSettings(
            tls_cert=self.file(f"{name}.pem"), tls_key=self.file(f"{name}.key"), **more
        )

    def mutual(self, **more: Any) -> AccessSettings:
        """Who wants those that connect to have one."""
        return self.server(tls_client_ca=self.ca, **more)

    def peer(self, name: str = "", **more: Any) -> AccessSettings:
        """Who connects, with a certificate if there is a name."""
        pair = {"tls_cert": self.file(f"{name}.pem"), "tls_key": self.file(f"{name}.key")}
        return AccessSettings(**{"tls_ca": self.ca, **(pair if name else {}), **more})

    def _certify(self, name: str, extension: str, until: str) -> None:
        key, request, config = (self.folder / f"{name}.{end}" for end in ("key", "csr", "cnf"))
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)),
        )
        database = self.folder / f"{name}.db"
        database.touch()
        config.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\nnew_certs_dir={self.folder}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=ext\n"
            f"[any]\ncommonName=supplied\n[ext]\nbasicConstraints=critical,CA:false\n"
            f"authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n{extension}\n"
        )
        openssl(
            *("ca", "-batch", "-notext", "-config", str(config), "-in", str(request)),
            *("-cert", self.ca, "-keyfile", self.file("ca.key"), "-out", self.file(f"{name}.pem")),
            *("-startdate", "20200101000000Z", "-enddate", until),
        )


def token_file(folder: Path, text: str = "", name: str = "tokens") -> str:
    """A file of tokens; by default one for each role."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text or "".join(f"{role} {token}\n" for role, token in TOKENS.items()))
    return str(path)


def text_of(path: str | Path) -> str:
    """What a file holds."""
    return Path(path).read_text()


def put(source: str, target: str) -> None:
    """Let a file hold what another one holds."""
    Path(target).write_bytes(Path(source).read_bytes())


def figures(text: str, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
    """The samples of a metric that have these labels, as they are scraped."""
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def failures_in(text: str) -> dict[str, int]:
    """The failures that were counted, by role and reason: ``{"client/wrong": 1}``."""
    found = figures(text, "scalab_auth_failures_total")
    return {f"{at['role']}/{at['reason']}": int(n) for at, n in found if n}


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until something holds: files are looked at once a second, and nothing tells of that."""
    while True:
        if await condition():
            return
        await trio.sleep(0.05)


# --- services ------------------------------------------------------------------------------------


@asynccontextmanager
async def guarded(access: AccessSettings, **options: Any) -> AsyncIterator[Frontend]:
    """A frontend in this process that lets only some in."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            stop = Stop()
            settings = frontend_settings(access=access, **options)
            bound: Bound = await nursery.start(serve, settings, stop)
            frontend = Frontend(bound, stop)
            try:
                yield frontend
            finally:
                with trio.CancelScope(shield=True):
                    await frontend.leave()
            nursery.cancel_scope.cancel(reason="the test is over")


@asynccontextmanager
async def http_port(part: str, access: AccessSettings) -> AsyncIterator[Address]:
    """The HTTP port of some part of scalab, which lets only some in."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            listeners = []
            if part in ("backend", "exporter"):
                listeners = await open_listeners(ANYWHERE, part)
            opened = Access(access, clock=trio.current_time)
            if part == "frontend":
                settings = frontend_settings(access=access)
                address = (await nursery.start(serve, settings, Stop())).metrics
            elif part == "client":
                nobody = Address("127.0.0.1", 9)
                client = client_settings(
                    nobody, access=access, control_addr=ANYWHERE, connect_timeout_s=1000.0
                )
                address = (await nursery.start(run_client, client, Stop(), Result())).control
            elif part == "backend":
                pages = Pages(RunCounts(), 1, lambda: 0, lambda: True, opened)
                await nursery.start(serve_metrics, pages, listeners)
                address = bound_address(listeners)
            else:
                node = Node(NodeSettings(devices=(DeviceSettings(name="gpu0"),)), 0.0)
                await nursery.start(partial(serve_exporter, node, SCALAB, listeners, opened))
                address = bound_address(listeners)
            yield address
            nursery.cancel_scope.cancel(reason="the test is over")


# --- peers that aren't ours ----------------------------------------------------------------------


@attrs.frozen
class Answer:
    """What an HTTP port said."""

    status: int
    body: str
    headers: dict[str, str]


async def ask(
    address: Address,
    path: str,
    *,
    bearer: str = "",
    basic: str = "",
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Ask by HTTP as Python's own client does.

    Raises:
        OSError: There was no answer.
    """
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    if basic:
        headers["Authorization"] = "Basic " + base64.b64encode(f"me:{basic}".encode()).decode()

    def get() -> Answer:
        connection = (
            http.client.HTTPSConnection(address.host, address.port, timeout=10, context=context)
            if context
            else http.client.HTTPConnection(address.host, address.port, timeout=10)
        )
        try:
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as response:
                body = response.read().decode()
                return Answer(response.status, body, dict(response.getheaders()))
        finally:
            connection.close()

    return await trio.to_thread.run_sync(get)


def trusting(ca: str, cert: str = "") -> ssl.SSLContext:
    """What a browser would connect with."""
    context = ssl.create_default_context(cafile=ca)
    if cert:
        context.load_cert_chain(cert, cert.replace(".pem", ".key"))
    return context


async def s_client(address: Address, said: bytes, *options: str) -> str:
    """What openssl's client has to tell of a connection, on which it says something."""
    return (
        await trio.to_thread.run_sync(
            partial(
                openssl,
                *("s_client", "-connect", str(address), "-ign_eof", "-verify_return_error"),
                *options,
                stdin=said,
                check=False,
            )
        )
    ).decode(errors="replace")
