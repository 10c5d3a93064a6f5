"""Hosts of a test on one machine, and a network between them that can be made to fail.

Each host is a network namespace with one TUN device. What its kernel sends arrives here as IP
packets, and this process is the wire: it delivers them, or loses, delays, doubles or resets them.
So TCP is the kernel's own, with its timers and retransmissions, on both sides of the fault; and
unlike with ``netem``, no module of the kernel is needed, and faults are drawn from a seed.

This needs root, ``iproute2`` and ``/dev/net/tun``.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import trio

from .packets import MTU, destination, resets, source

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_AT_ONCE = 64


@attrs.frozen
class Fault:
    """What happens to packets in one direction; the default is nothing."""

    loss: float = 0.0
    """Share that is dropped, without a sign to either side."""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Spread of the delay, which also reorders packets."""
    duplicate: float = 0.0
    blocked: bool = False
    """Everything is dropped."""
    reset: bool = False
    """Connections that say something are reset on both sides, as by a firewall that forgot them."""


CLEAN, PARTITION, RESET = Fault(), Fault(blocked=True), Fault(reset=True)


@attrs.frozen
class Host:
    """A network namespace."""

    name: str
    namespace: str
    address: str
    device: int
    """Descriptor of its TUN device."""

    @property
    def command(self) -> list[str]:
        """What to put before a command so that it runs on this host, under its own process id."""
        return ["nsenter", f"--net={_NAMESPACES / self.namespace}"]

    @contextmanager
    def here(self) -> Iterator[None]:
        """Let this thread make its sockets on this host; nothing may be awaited inside."""
        with open("/proc/thread-self/ns/net", "rb") as before:  # noqa: PTH123 - /proc
            _enter(_NAMESPACES / self.namespace)
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    async def connect(self, address: str, port: int) -> trio.SocketStream:
        """Connect from this host."""
        with self.here():
            sock = trio.socket.socket()
        try:
            await sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)


class Network:
    """Hosts, and the faults between them."""

    def __init__(self, hosts: dict[str, Host], seed: int) -> None:
        self.hosts = hosts
        self.fates: Counter[str] = Counter()
        """What became of packets."""
        self._by_address = {host.address: host for host in hosts.values()}
        self._faults: dict[tuple[str, str], Fault] = {}
        self._random = random.Random(seed)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def between(self, one: str, other: str, there: Fault, back: Fault | None = None) -> None:
        """Let something happen to packets from ``one`` to ``other``, and back."""
        self._faults[one, other] = there
        self._faults[other, one] = there if back is None else back

    def around(self, name: str, fault: Fault, others: Iterable[str] = ()) -> None:
        """Let something happen to all packets of a host, both ways."""
        for other in others or self.hosts:
            if other != name:
                self.between(name, other, fault)

    def heal(self) -> None:
        """Let all packets pass again."""
        self._faults.clear()

    async def run(self) -> None:
        """Be the wire until cancelled."""
        async with trio.open_nursery() as nursery:
            for host in self.hosts.values():
                nursery.start_soon(self._carry, host, nursery)

    async def _carry(self, host: Host, nursery: trio.Nursery) -> None:
        """Pass on what a host sends."""
        while True:
            await trio.lowlevel.wait_readable(host.device)
            for _ in range(_AT_ONCE):
                try:
                    packet = os.read(host.device, MTU + 100)
                except BlockingIOError:
                    break
                receiver = self._by_address.get(destination(packet))
                if receiver is not None and source(packet) == host.address:
                    fault = self._faults.get((host.name, receiver.name), CLEAN)
                    self._apply(fault, packet, host, receiver, nursery)

    def _apply(
        self, fault: Fault, packet: bytes, host: Host, receiver: Host, nursery: trio.Nursery
    ) -> None:
        draw = self._random.random
        if fault.blocked or draw() < fault.loss:
            self.fates["dropped"] += 1
            return
        if fault.reset and (pair := resets(packet)) is not None:
            self.fates["reset"] += 1
            self._deliver(receiver, pair[0])
            self._deliver(host, pair[1])
            return
        for copies in range(1 + (draw() < fault.duplicate)):
            self.fates["doubled" if copies else "delivered"] += 1
            delay_s = fault.delay_s + fault.jitter_s * draw()
            if delay_s:
                self.fates["delayed"] += 1
                nursery.start_soon(self._deliver_later, receiver, packet, delay_s)
            else:
                self._deliver(receiver, packet)

    async def _deliver_later(self, host: Host, packet: bytes, delay_s: float) -> None:
        await trio.sleep(delay_s)
        self._deliver(host, packet)

    def _deliver(self, host: Host, packet: bytes) -> None:
        try:
            os.write(host.device, packet)
        except BlockingIOError:  # its queue is full, as it may be on any network
            self.fates["overrun"] += 1


def why_not() -> str:
    """Why there can be no such network here; "" if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
    return f"{missing[0]} is not installed" if missing else ""


@asynccontextmanager
async def network(*names: str, seed: int) -> AsyncIterator[Network]:
    """Make hosts, and carry packets between them until the end of the block."""
    hosts: dict[str, Host] = {}
    _remove_stale()
    try:
        for number, name in enumerate(names, 1):
            hosts[name] = _make_host(name, number)
        net = Network(hosts, seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(net.run)
            yield net
            nursery.cancel_scope.cancel(reason="the test is over")
    finally:
        for host in hosts.values():
            os.close(host.device)
            _ip("netns", "del", host.namespace)


def _make_host(name: str, number: int) -> Host:
    namespace = f"scalab-{os.getpid()}-{name}"
    host = Host(name, namespace, f"10.231.0.{number}", -1)
    device = f"sl{os.getpid()}x{number}"[:15]
    _ip("netns", "add", namespace)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = _IFF_TUN | _IFF_NO_PI
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
        _ip("link", "set", device, "netns", namespace)
        _ip("-n", namespace, "addr", "add", f"{host.address}/24", "dev", device)
        _ip("-n", namespace, "link", "set", device, "mtu", str(MTU), "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
    except BaseException:
        os.close(fd)
        _ip("netns", "del", namespace)
        raise
    return attrs.evolve(host, device=fd)


def _remove_stale() -> None:
    """Remove the hosts of a test that was killed outright."""
    for path in _NAMESPACES.glob("scalab-*-*"):
        if not Path("/proc", path.name.split("-")[1]).exists():
            _ip("netns", "del", path.name)


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, timeout=10)


def _enter(namespace: Path) -> None:
    with namespace.open("rb") as file:
        _set_namespace(file.fileno())


def _set_namespace(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
