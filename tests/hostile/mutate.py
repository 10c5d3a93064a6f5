"""Broken bytes of sound ones: a small mutator, the same for the same random numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

NASTY = (
    *(b"\0", b"\n", b"\r\n", b"\n\n\n", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"\x1b[2J\x1b]0;owned\x07", b"\x9b31m", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xc2\x85"),
    *(b"2026-01-01T00:00:00.000Z info    forged", b"<script>alert(1)</script>", b"\"'><&"),
    *(b"=cmd|' /C calc'!A1", b"%s%n%x", b"{{7*7}}", b"../../etc/passwd", b"FILENAME", b"$(id)"),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"{" * 600, b"[" * 1500),
    *(b'{"a":' * 200, b"," * 50, b'"Kind":"bye"', b'"Kind":"drain",', b'"Id":"1",', b" " * 1100),
    *(b"A" * 1100, b"A" * 70000, b"\xf0\x9f\x98\x80" * 300, b"\x16\x03\x01\x02\x00\x01\x00"),
    *(b"GET / HTTP/1.1\r\n\r\n", b"Host: evil\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Content-Length: 99999999999\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n"),
    *(b"%00", b"%", b"%ff%fe", b"?value=1e999", b"&" * 40, b"X: " + b"y" * 5000 + b"\r\n"),
)
NUMBERS = (
    *(b"0", b"-0", b"-1", b"1e308", b"-1e308", b"1e309", b"1e-320", b"NaN", b"Infinity"),
    *(b"-Infinity", b"9" * 400, b"18446744073709551615", b"18446744073709551616", b"2147483648"),
    *(b"9223372036854775807", b"-9223372036854775808", b"0x10", b"1_0", b"01", b"1.", b".5"),
    *(b"null", b"true", b'"1"', b"[]", b"{}", b"1e", b"65537"),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TEXT = re.compile(rb'"[^"\\]*"')


def mutated(conversation: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return ``conversation`` with one to four things wrong; now and then with none."""
    data = conversation
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        data = rng.choice(_WAYS)(data, rng, others)
    return data


_Way = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64)))


def _flip(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _insert(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at, _ = _span(data, rng)
    return data[:at] + rng.choice(NASTY) + data[at:]


def _random(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at, end = _span(data, rng)
    return data[:at] + rng.randbytes(end - at) + data[end:]


def _delete(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at, end = _span(data, rng)
    return data[:at] + data[end:]


def _repeat(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at, end = _span(data, rng)
    return data[:end] + data[at:end] * rng.choice((1, 2, 7, 300)) + data[end:]


def _cut(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _lines(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            lines[a:a] = [lines[b]] * rng.choice((1, 3, 100))
        case _:
            del lines[a]
    return b"\n".join(lines)


def _splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _number(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _one_of(_NUMBER, data, rng.choice(NUMBERS), rng)


def _text(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _one_of(_TEXT, data, b'"' + rng.choice(NASTY) + b'"', rng)


def _one_of(pattern: re.Pattern[bytes], data: bytes, new: bytes, rng: random.Random) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + new + data[match.end() :]


_WAYS: tuple[_Way, ...] = (
    *(_flip, _insert, _insert, _random, _delete, _repeat, _cut, _lines, _splice),
    *(_number, _number, _text, _text),
)
