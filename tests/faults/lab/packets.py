"""As much of IPv4 and TCP as it takes to carry packets, and to reset connections."""

from __future__ import annotations

import socket
import struct

MTU = 1500
_TCP, _RST, _ACK = 6, 0x04, 0x10


def source(packet: bytes) -> str:
    """Who sent an IPv4 packet; "" for anything else."""
    return socket.inet_ntoa(packet[12:16]) if _is_ipv4(packet) else ""


def destination(packet: bytes) -> str:
    """Who is to get an IPv4 packet; "" for anything else."""
    return socket.inet_ntoa(packet[16:20]) if _is_ipv4(packet) else ""


def resets(packet: bytes) -> tuple[bytes, bytes] | None:
    """Return packets that end the connection of this one, for its receiver and for its sender.

    A reset is believed only if its number is the one that is expected next (RFC 5961): that is
    this packet's for the receiver, and what it acknowledges for the sender.

    Returns:
        None if there is nothing to reset.
    """
    if not _is_ipv4(packet) or packet[9] != _TCP:
        return None
    head = (packet[0] & 0x0F) * 4
    flags = packet[head + 13]
    if flags & _RST or not flags & _ACK:
        return None
    here, there = packet[12:16], packet[16:20]
    ports, numbers = packet[head : head + 4], packet[head + 4 : head + 12]
    return (
        _reset(here + there, ports + numbers),
        _reset(there + here, ports[2:] + ports[:2] + numbers[4:] + numbers[:4]),
    )


def _reset(addresses: bytes, opening: bytes) -> bytes:
    """Return a packet that resets; ``opening`` is the first twelve bytes of its TCP header."""
    tcp = opening + struct.pack("!BBHHH", 5 << 4, _RST | _ACK, 0, 0, 0)
    pseudo = addresses + struct.pack("!BBH", 0, _TCP, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, _TCP, 0) + addresses
    return ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:] + tcp


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _is_ipv4(packet: bytes) -> bool:
    return len(packet) >= 20 and packet[0] >> 4 == 4
