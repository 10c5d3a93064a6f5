"""Bytes to messages: the segments in which they come must never matter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import (
    MAX_MESSAGE,
    LineReader,
    ObjectReader,
    object_end,
    parse_object,
)
from tests.strategies import json_objects, segmented

OBJECTS = [
    {},
    {"Queue": "sleep"},
    {"Queue": "sleep", "Args": ["1.5", "-x"], "Limit": 3},
    {"Args": ["{", "}", "}}{{", "[{]"]},
    {"Args": ['"', '\\"', '"}', '\\"}']},
    {"Args": ["\\", "\\\\", "ends in \\", "}\\"]},
    {'{"}': {'}"{': {"\\": "}"}}},
    {"Error": "tabs\tand\nlines\r\n"},
    {"Node": "ü€😀", "Retcode": -1},
]


def feed_all(reader: ObjectReader, segments: list[bytes]) -> tuple[dict[str, Any] | None, bytes]:
    """Feed segments until an object is there; return it and the bytes that followed it."""
    for i, segment in enumerate(segments):
        found = reader.feed(segment)
        if found is not None:
            return found, reader.rest + b"".join(segments[i + 1 :])
    return None, b""


def verdict(segments: list[bytes]) -> object:
    """What a reader makes of segments: an object and its rest, None, or an error's reason."""
    try:
        return feed_all(ObjectReader(), segments)
    except ProtocolError as exc:
        return exc.reason


def single_bytes(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def padded(size: int) -> bytes:
    """An object of exactly ``size`` bytes."""
    return b'{"Queue":"' + b"x" * (size - 12) + b'"}'


# --- one object ------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("fields", OBJECTS)
def test_an_object_is_read_whole_bytewise_and_with_trailing_data(
    fields: dict[str, Any], indent: int | str | None
) -> None:
    data = json.dumps(fields, indent=indent).encode()

    assert feed_all(ObjectReader(), [data]) == (fields, b"")
    assert feed_all(ObjectReader(), single_bytes(data)) == (fields, b"")
    for cut in range(1, len(data)):
        assert feed_all(ObjectReader(), [data[:cut], data[cut:]]) == (fields, b"")
    assert feed_all(ObjectReader(), [data + b"\n{next"]) == (fields, b"\n{next")


@given(json_objects, st.sampled_from([None, 1, "\t"]), st.booleans(), st.binary(), st.data())
def test_segments_do_not_matter(
    fields: dict[str, Any],
    indent: int | str | None,
    ascii_only: bool,
    after: bytes,
    data: st.DataObject,
) -> None:
    message = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode()
    segments = data.draw(segmented(message + after))

    if len(message) <= MAX_MESSAGE:
        assert feed_all(ObjectReader(), segments) == (fields, after)
    else:
        assert verdict(segments) == "oversize"


@given(st.data())
def test_nor_do_they_for_what_is_no_object(data: st.DataObject) -> None:
    """Pieces of JSON in any order: much of it is nonsense, and some of it an object after all."""
    piece = st.sampled_from([b"{", b"}", b'"', b"\\", b"a", b":", b"1", b" ", b"\xff", b" " * 600])
    message = b"".join(data.draw(st.lists(piece, max_size=12)))

    whole = verdict([message])

    assert verdict(single_bytes(message)) == whole
    assert verdict(data.draw(segmented(message))) == whole


@given(st.binary())
@example(b"{" * 1024)
@example(b'{"a":' * 400)
@example(b'{"a":' + b"[" * 508 + b"]" * 508 + b"}")
@example(b'{"\\')
@example(b"\xef\xbb\xbf{}")
def test_random_bytes_are_an_object_or_a_protocol_error(data: bytes) -> None:
    reader = ObjectReader()
    try:
        for byte in single_bytes(data):
            reader.feed(byte)
        reader.feed_eof()
    except ProtocolError:
        pass


@pytest.mark.parametrize("depth", [1, 100, 169])
def test_deep_nesting_within_the_size_is_read(depth: int) -> None:
    data = b'{"a":' * depth + b"0" + b"}" * depth

    found: Any
    found, _ = feed_all(ObjectReader(), single_bytes(data))

    for _level in range(depth):
        assert isinstance(found, dict)
        found = found["a"]
    assert found == 0


def test_1024_bytes_are_a_message_and_1025_are_not() -> None:
    assert len(padded(MAX_MESSAGE)) == 1024

    for segments in ([padded(1024)], single_bytes(padded(1024)), [padded(1024) + b"\n" * 2000]):
        found, _ = feed_all(ObjectReader(), segments)
        assert found is not None
    for segments in ([padded(1025)], single_bytes(padded(1025))):
        assert verdict(segments) == "oversize"


def test_an_unfinished_object_is_refused_once_it_is_too_long() -> None:
    reader = ObjectReader()

    assert reader.feed(b'{"Queue":"' + b"x" * 1014) is None
    with pytest.raises(ProtocolError, match="longer than 1024 bytes"):
        reader.feed(b"x")


def test_space_before_an_object_is_allowed_and_counted() -> None:
    assert verdict([b" \t\r\n{}"]) == ({}, b"")
    assert verdict([b" " * 1022 + b"{}"]) == ({}, b"")
    assert verdict([b" " * 1023 + b"{}"]) == "oversize"
    assert verdict(single_bytes(b" " * 1023 + b"{}")) == "oversize"
    assert verdict([b" " * 1023 + b"x"]) == "malformed"
    assert verdict([b" " * 1024 + b"x"]) == verdict(single_bytes(b" " * 1024 + b"x")) == "oversize"


def test_space_only_is_nothing_until_it_is_too_long() -> None:
    reader = ObjectReader()

    assert reader.feed(b" \t\r\n" * 256) is None
    assert not reader.started
    reader.feed_eof()
    with pytest.raises(ProtocolError) as caught:
        reader.feed(b" ")
    assert caught.value.reason == "oversize"


@pytest.mark.parametrize("data", [b"[1]", b'"text"', b"7", b"null", b"}", b"GET / HTTP/1.1\r\n"])
def test_what_can_not_become_an_object_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        ObjectReader().feed(data[:1])

    assert caught.value.reason == "malformed"


@pytest.mark.parametrize(
    "data", [b"{]}", b"{'a':1}", b'{"a":1,}', b'{"a":01}', b'{"a":NaN}', b'{"a":"\xff"}']
)
def test_invalid_json_between_braces_is_malformed(data: bytes) -> None:
    assert verdict([data]) == verdict(single_bytes(data)) == "malformed"


def test_the_end_inside_a_message_is_an_error() -> None:
    reader = ObjectReader()
    reader.feed_eof()  # nothing had begun

    reader.feed(b' {"Queue": "}')

    assert reader.started
    with pytest.raises(ProtocolError) as caught:
        reader.feed_eof()
    assert caught.value.reason == "incomplete"


def test_the_end_after_a_message_is_none() -> None:
    reader = ObjectReader()
    assert reader.feed(b"{}") == {}

    assert not reader.started
    reader.feed_eof()


def test_a_reader_that_is_reused_reads_the_next_object() -> None:
    reader = ObjectReader()

    assert reader.feed(b'{"a":1} {"b"') == {"a": 1}
    assert reader.feed(reader.rest) is None
    assert reader.feed(b":2}") == {"b": 2}
    assert reader.rest == b""


def test_the_end_of_an_object_is_found_past_braces_in_strings() -> None:
    assert object_end(b'{"}":"\\"}"} {}') == 11
    assert object_end(b'{"}":"\\"}') is None
    assert object_end(b'{"a":{}') is None


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"{}"'])
def test_other_json_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_object(data)

    assert caught.value.reason == "malformed"
    assert str(caught.value) == "not a JSON object"


# --- lines -----------------------------------------------------------------------------------

lines_lists = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")))


@given(lines_lists, st.binary(max_size=20), st.data())
def test_lines_are_the_same_for_any_segments(
    lines: list[bytes], partial: bytes, data: st.DataObject
) -> None:
    partial = partial.replace(b"\n", b"")
    message = b"".join(line + b"\n" for line in lines) + partial
    initial, *segments = data.draw(segmented(message)) or [b""]
    reader = LineReader(initial=initial)

    found = [line for segment in (b"", *segments) for line in reader.feed(segment)]

    assert found == lines
    if partial:
        with pytest.raises(ProtocolError, match="inside a message"):
            reader.feed_eof()
    else:
        reader.feed_eof()


@pytest.mark.parametrize("limit", [MAX_MESSAGE, MAX_MESSAGE + 128])
def test_a_line_may_have_exactly_as_many_bytes_as_the_limit(limit: int) -> None:
    most, too_long = b"x" * limit, b"x" * (limit + 1)

    assert LineReader(limit).feed(most + b"\n") == [most]
    reader = LineReader(limit)
    assert [line for byte in single_bytes(most + b"\n") for line in reader.feed(byte)] == [most]

    reader = LineReader(limit)
    assert reader.feed(most) == []
    with pytest.raises(ProtocolError) as caught:
        reader.feed(b"x")
    assert caught.value.reason == "oversize"
    for data in (too_long + b"\n", b"{}\n" + too_long + b"\n", too_long):
        with pytest.raises(ProtocolError, match=f"longer than {limit} bytes"):
            LineReader(limit).feed(data)
