"""Certificates and authorities that are renewed under load: no request is lost."""

from __future__ import annotations

import ssl
from pathlib import Path

import attrs
import pytest
import trio

from scalab.access.settings import AccessSettings
from scalab.client.service import Result, Running, run_client
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from tests.support import client_settings, working

from .lab import Pki, ask, eventually, guarded, make_certs, openssl, put, text_of, trusting


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


async def serial(address: Address, ca: str) -> int:
    """The serial number of the certificate that is shown now."""

    def look() -> int:
        pem = ssl.get_server_certificate(
            (address.host, address.port), ca_certs=ca, timeout=10
        ).encode()
        return int(openssl("x509", "-noout", "-serial", stdin=pem).split(b"=")[1], 16)

    return await trio.to_thread.run_sync(look)


async def until_another(address: Address, ca: str, than: int) -> int:
    """Wait until a new certificate is shown."""
    found = than

    async def another() -> bool:
        nonlocal found
        found = await serial(address, ca)
        return found != than

    await eventually(another)
    return found


@attrs.define(eq=False)
class Load:
    """Clients at work, each with a connection that it keeps."""

    nursery: trio.Nursery
    clients: Address
    access: AccessSettings
    results: list[Result] = attrs.Factory(list)
    stops: list[Stop] = attrs.Factory(list)

    async def start(self) -> None:
        """Start one more client, and wait until it is being served."""
        result, stop = Result(), Stop()
        self.results.append(result)
        self.stops.append(stop)
        settings = client_settings(
            self.clients, parallel=4, access=self.access, args=("0",), grace_s=10.0
        )
        running: Running = await self.nursery.start(run_client, settings, stop, result)

        async def served() -> bool:
            return running.run.load.totals[0].ended["success"] > 0

        await eventually(served)

    def end(self) -> None:
        """End all of them in good order."""
        for stop in self.stops:
            stop.requested.set()

    async def ended(self) -> bool:
        """Whether all of them have ended."""
        return all(result.statistics for result in self.results)


async def answered(address: Address, context: ssl.SSLContext) -> bool:
    """Whether both sides of a connection trust each other."""
    try:
        return (await ask(address, "/metrics", context=context)).status == 200
    except OSError:
        return False


async def until(address: Address, context: ssl.SSLContext, *, trusted: bool) -> None:
    """Wait until both sides of a connection do, or no longer do."""

    async def as_wanted() -> bool:
        return await answered(address, context) == trusted

    await eventually(as_wanted)


async def test_certificates_renewed_under_load(tmp_path: Path) -> None:
    """The frontend's certificate, those of its peers, and then the authority itself."""
    make_certs(tmp_path, "frontend", "peer")
    make_certs(tmp_path / "next", "frontend", "peer")
    pki, following = Pki(tmp_path), Pki(tmp_path / "next")
    ours = pki.peer("peer")
    async with guarded(pki.mutual()) as frontend, trio.open_nursery() as nursery:
        http, load = frontend.bound.metrics, Load(nursery, frontend.bound.clients, ours)
        async with working(frontend.bound.workers, access=ours, slots=4):
            await load.start()
            seen = await serial(http, pki.ca)
            for _ in range(2):
                make_certs(tmp_path, "frontend", "peer")
                seen = await until_another(http, pki.ca, seen)
                await load.start()
            # A new authority: first trusted by everybody, then used, then the only one.
            old, new = map(text_of, (pki.ca, following.ca))
            before = trusting(pki.ca, pki.file("peer.pem"))
            after = trusting(following.ca, following.file("peer.pem"))
            write(pki.ca, old + new)
            await until(http, trusting(pki.ca, following.file("peer.pem")), trusted=True)
            for name in ("frontend", "peer"):
                for end in ("key", "pem"):
                    put(following.file(f"{name}.{end}"), pki.file(f"{name}.{end}"))
            await until(http, after, trusted=True)
            await load.start()
            put(following.ca, pki.ca)
            await until(http, before, trusted=False)
            await load.start()
            load.end()
            await eventually(load.ended)
    for result in load.results:
        assert result.error is None
        assert result.aborted == 0
        assert result.statistics
        assert result.statistics.failed == 0
    assert len(load.results) == 5


async def test_a_bad_new_pair_keeps_the_old_one(tmp_path: Path, error_logs: list[str]) -> None:
    make_certs(tmp_path, "frontend", "other")
    pki = Pki(tmp_path)
    async with guarded(pki.server()) as frontend:
        before = await serial(frontend.bound.metrics, pki.ca)
        (tmp_path / "other.key").replace(tmp_path / "frontend.key")
        while not error_logs:
            assert await serial(frontend.bound.metrics, pki.ca) == before
        assert "they don't belong together" in error_logs[0]
        # Each of the two kinds of ports has its own, and tells once.
        for _ in range(3):
            assert await serial(frontend.bound.metrics, pki.ca) == before
            await trio.sleep(0.5)
        assert len(error_logs) == 1
        error_logs.clear()
        (tmp_path / "other.pem").replace(tmp_path / "frontend.pem")
        await until_another(frontend.bound.metrics, pki.ca, before)


@pytest.mark.parametrize("renewed", ["peer", "nothing"])
async def test_a_peer_connects_again_with_what_its_files_hold_then(
    tmp_path: Path, renewed: str
) -> None:
    """A certificate that ran out is no reason to end if a new one comes in time."""
    make_certs(tmp_path, "frontend", "peer")
    make_certs(tmp_path / "stranger", "peer")
    pki = Pki(tmp_path)
    good = {end: (tmp_path / f"peer.{end}").read_bytes() for end in ("pem", "key")}
    for end in good:
        (tmp_path / "stranger" / f"peer.{end}").replace(tmp_path / f"peer.{end}")
    async with guarded(pki.mutual()) as frontend, trio.open_nursery() as nursery:
        result, stop = Result(), Stop()
        patience_s = 30.0 if renewed == "peer" else 0.5
        settings = client_settings(
            frontend.bound.clients, access=pki.peer("peer"), parallel=1,
            connect_timeout_s=patience_s,
        )  # fmt: skip
        running = await nursery.start(run_client, settings, stop, result)
        if renewed == "peer":
            for end, data in good.items():
                (tmp_path / f"peer.{end}").write_bytes(data)
            await running.run.load.begun.wait()
            stop.requested.set()
    text = str(result.error or "")
    assert ("doesn't trust our certificate" in text) == (renewed == "nothing")
