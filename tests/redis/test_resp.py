"""Bytes to replies: the pieces in which they come must never matter."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from scalab.redis.errors import UnavailableError
from scalab.redis.pipeline import Batch, Pipeline
from scalab.redis.resp import MAX_REPLY, Decoder, Push, ReplyError, encode

STREAM = (
    b"+OK\r\n:7\r\n$5\r\nhe\r\no\r\n$-1\r\n_\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n"
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n%1\r\n+k\r\n+v\r\n-LOADING wait\r\n"
)
REPLIES = [b"OK", 7, b"he\r\no", None, None, [b"a", [1]], [b"message", b"c", b""], {b"k": b"v"}]


def received(decoder: Decoder, pieces: list[bytes]) -> list[Any]:
    return [reply for piece in pieces for reply in decoder.feed(piece)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]

    *replies, error = received(Decoder(), pieces)

    assert replies == REPLIES
    assert isinstance(replies[6], Push)
    assert isinstance(error, ReplyError)
    assert received(Decoder(), [STREAM[i : i + 1] for i in range(len(STREAM))])[:-1] == REPLIES


def test_commands_are_binary_safe() -> None:
    assert encode([("SET", b"\x00\r\n", 5), ("GET", "ü")]) == (
        b"*3\r\n$3\r\nSET\r\n$3\r\n\x00\r\n\r\n$1\r\n5\r\n*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xbc\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02P",
        b'{"Error": "no"}',
        b"*-7\r\n",
        b"*1\r\n" * 100_000,
        b"*4000000000\r\n",
        b"*99999999999999999999\r\n",
    ],
)
def test_what_is_no_reply_is_an_error_of_the_server(data: bytes) -> None:
    with pytest.raises(UnavailableError) as caught:
        list(Decoder().feed(data))

    assert caught.value.reason == "protocol"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"$999999999\r\n", b"x"),
        (b"*9999999\r\n", b":1\r\n"),
        (b"%9999999\r\n", b":1\r\n"),
    ],
)
def test_a_reply_has_a_bound(head: bytes, more: bytes) -> None:
    decoder = Decoder()
    pieces = [head, *[more * (10_000 // len(more))] * (MAX_REPLY // 10_000 + 2)]

    with pytest.raises(UnavailableError, match="more than"):
        received(decoder, pieces)


def test_many_short_replies_are_no_long_one() -> None:
    decoder = Decoder()
    piece = b"$4\r\nabcd\r\n" * 100_000

    assert sum(len(list(decoder.feed(piece))) for _ in range(MAX_REPLY // len(piece) + 2)) > 0


def test_without_the_package_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['hiredis'] = None; import scalab.redis.client"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "ConfigError: a store on Redis needs the package hiredis" in run.stderr
    assert "pip install 'scalab[redis]'" in run.stderr


# --- who gets which reply ------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.lists(st.integers(1, 9)))
def test_each_batch_gets_its_own_replies(counts: list[int], sizes: list[int]) -> None:
    pipeline, woken = Pipeline(Decoder()), []
    batches = []
    for index, count in enumerate(counts):
        batches.append(Batch(count, 0.0, lambda index=index: woken.append(index)))  # type: ignore[misc]
        pipeline.add(batches[-1])
    data = b"".join(b":%d\r\n>1\r\n+x\r\n" % number for number in range(sum(counts)))
    pushes = []
    for size in [*sizes, len(data)]:
        pushes += pipeline.receive(data[:size])
        data = data[size:]

    assert [reply for batch in batches for reply in batch.replies] == list(range(sum(counts)))
    assert [len(batch.replies) for batch in batches] == counts
    assert woken == list(range(len(counts)))
    assert len(pushes) == sum(counts)
    assert (pipeline.oldest, pipeline.unanswered) == (None, 0)


def test_the_end_wakes_whoever_waits_once() -> None:
    pipeline, woken = Pipeline(Decoder()), []
    first, second = (Batch(2, 0.0, lambda: woken.append(1)) for _ in range(2))
    pipeline.add(first)
    pipeline.add(second)
    pipeline.receive(b":1\r\n:2\r\n:3\r\n")

    pipeline.fail(error := UnavailableError("lost", "gone"))
    pipeline.fail(error)

    assert (first.error, second.error) == (None, error)
    assert len(woken) == 2


def test_a_reply_to_nothing_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="no command"):
        Pipeline(Decoder()).receive(b"+OK\r\n")
