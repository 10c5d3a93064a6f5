"""No message is longer than its reader allows, whatever its texts are; what is cut shows it."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import assume, example, given, strategies as st

from scalab.protocol.codec import (
    decode_classic,
    decode_frame,
    encode_classic,
    encode_frame,
    item_too_long,
)
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ENVELOPE, MAX_MESSAGE
from scalab.protocol.messages import (
    MAX_ID,
    MAX_SECONDS,
    Hello,
    Message,
    Refusal,
    Reply,
    Request,
    Welcome,
    WorkItem,
)
from tests.protocol.classic import read_classic, without_session_fields
from tests.strategies import fields_of, long_texts, messages, texts

CUT = ("error", "device", "pod", "node")


def assert_cut_visibly(sent: Message, received: Message) -> None:
    """All is there, but error text and names may end early, in an ellipsis."""
    for name in fields_of(type(sent)):
        before, after = getattr(sent, name), getattr(received, name)
        if name in CUT and before != after:
            assert after.endswith("…")
            assert before.startswith(after[:-1])
        else:
            assert before == after, name


LONG = "\0" * 1500
TINY = 2.2250738585072014e-308
WORST = Reply(
    "\0" * MAX_ID, LONG, LONG, LONG, LONG, TINY, TINY, TINY, -(2**63), 2**63 - 1, retry=True
)


@given(messages(Reply, long_texts))
@example(WORST)
def test_a_reply_always_fits(reply: Reply) -> None:
    """Whatever a backend's texts are, the client can read its reply, and sees if it was cut."""
    reply.outcome, reply.reason = "disconnected", ""  # the frontend's own words

    line = encode_frame(reply)
    assert len(line) <= MAX_MESSAGE + 1
    received = decode_frame(line)
    assert isinstance(received, Reply)
    assert_cut_visibly(reply, received)

    data = encode_classic(reply)
    assert len(data) <= MAX_MESSAGE
    received = decode_classic(read_classic(data), Reply)
    assert_cut_visibly(without_session_fields(reply), received)


@given(long_texts)
def test_a_refusal_always_fits(text: str) -> None:
    refusal = Refusal(text)
    line = encode_frame(refusal)
    assert len(line) <= MAX_MESSAGE + 1
    assert_cut_visibly(refusal, decode_frame(line))

    item = WorkItem(error=text, empty=True)
    data = encode_classic(item)
    assert len(data) <= MAX_MESSAGE
    assert_cut_visibly(item, decode_classic(read_classic(data), WorkItem))


@given(long_texts, long_texts)
def test_a_hello_always_fits(node: str, pod: str) -> None:
    hello = Hello(1, "backend", "a queue", 16, node=node, pod=pod)

    line = encode_frame(hello)

    assert len(line) <= MAX_MESSAGE + 1
    assert_cut_visibly(hello, decode_frame(line))


@pytest.mark.parametrize("char", ["e", "é", "€", "😀", "\0"])
def test_a_long_error_is_cut_before_the_names_are(char: str) -> None:
    reply = Reply("r1", "pod", "node", "device", error=char * 2000, retcode=1)

    received = decode_frame(encode_frame(reply))

    assert isinstance(received, Reply)
    assert len(encode_frame(reply)) > MAX_MESSAGE - 16, "no more is cut than has to be"
    assert (received.pod, received.node, received.device) == ("pod", "node", "device")


@pytest.mark.parametrize("size", [MAX_MESSAGE - 1, MAX_MESSAGE, MAX_MESSAGE + 1])
def test_nothing_is_cut_that_just_fits(size: int) -> None:
    frame = Reply("r1", error="e" * (size - len('{"Kind":"reply","Id":"r1","Error":""}')))
    classic = Reply(error="e" * (size - len('{"Error":""}')))

    line, data = encode_frame(frame), encode_classic(classic)

    assert (decode_frame(line) == frame) == (size <= MAX_MESSAGE)
    assert (decode_classic(read_classic(data), Reply) == classic) == (size <= MAX_MESSAGE)
    assert len(line) <= MAX_MESSAGE + 1
    assert len(data) <= MAX_MESSAGE


def test_a_classic_message_that_is_too_long_with_its_zeros_goes_without_them() -> None:
    reply = Reply(node="n", error="e" * 920)

    fields = json.loads(encode_classic(reply))

    assert fields == {"Node": "n", "Error": "e" * 920}


@pytest.mark.parametrize(
    "message",
    [
        *(Request("q", ["x" * 1100]), Request("q" * 1100)),
        *(WorkItem(["x" * 1200]), Welcome(1, 5.0, "s" * 1100)),
    ],
    ids=["arguments", "queue", "item", "server"],
)
def test_what_can_not_be_cut_is_not_sent(message: Request | WorkItem | Welcome) -> None:
    """The other side would refuse it, and the whole session with it."""
    with pytest.raises(ProtocolError) as caught:
        encode_frame(message)
    assert caught.value.reason == "oversize"

    if not isinstance(message, Welcome):
        with pytest.raises(ProtocolError, match="longer than 1024 bytes"):
            encode_classic(message)


sizeable_args = st.lists(
    st.one_of(
        texts(), st.builds(lambda c, n: c * n, st.sampled_from('\0"a€😀'), st.integers(0, 1000))
    ),
    max_size=12,
)


@given(sizeable_args, st.floats(0, MAX_SECONDS), st.integers(1, 2**63))
@example(["x" * 1001], 0.0, 1)
@example(["x" * 1002], 0.0, 1)
@example(["\0" * 166], 1e-300, 2**63)
@example([""] * 333, 0.0, 1)
@example([""] * 400, 0.0, 1)
@example(["x" * 50] * 10, TINY, 2**63)
def test_an_item_whose_size_was_checked_fits_when_handed_on(
    args: list[str], limit_s: float, token: int
) -> None:
    too_long = item_too_long(args, limit_s)

    assert too_long == (len(orjson.dumps({"Args": args, "Limit": limit_s})) > MAX_MESSAGE)
    assume(not too_long)
    classic = encode_classic(WorkItem(args, limit_s))
    assert len(classic) <= MAX_MESSAGE
    assert decode_classic(read_classic(classic), WorkItem) == WorkItem(args, limit_s)
    line = encode_frame(WorkItem(args, limit_s, str(token)))
    assert len(line) <= MAX_MESSAGE + ENVELOPE + 1
    assert decode_frame(line) == WorkItem(args, limit_s, str(token))


@given(sizeable_args, st.integers(0, 10**6))
def test_a_request_that_was_read_fits_when_handed_on(args: list[str], limit_s: int) -> None:
    """What fits into a request fits into an item, but for how the limit may be written."""
    request = json.dumps({"Queue": "q", "Args": args, "Limit": limit_s}, ensure_ascii=False)
    assume(len(request.encode()) <= MAX_MESSAGE)

    received = decode_classic(read_classic(request.encode()), Request)

    assert not item_too_long(received.args, received.limit_s)


# --- what is no text -------------------------------------------------------------------------


def test_bytes_of_the_system_that_are_no_text_are_shown_as_escapes() -> None:
    """Names of files and nodes may be any bytes; Python keeps them as lone surrogates."""
    reply = Reply("r1", device="/dev/\udcff", error="line\n", retcode=1)

    for received in (
        decode_frame(encode_frame(reply)),
        decode_classic(read_classic(encode_classic(reply)), Reply),
    ):
        assert isinstance(received, Reply)
        assert (received.device, received.error) == ("/dev/\\udcff", "line\\n")


@given(st.integers(0, 1500), st.sampled_from(["\udcff", "\ud800x", "€\udfff"]))
def test_they_fit_too(count: int, text: str) -> None:
    long = text * count
    reply = Reply("\0" * MAX_ID, long, long, long, long)

    assert len(encode_frame(reply)) <= MAX_MESSAGE + 1
    assert len(encode_classic(reply)) <= MAX_MESSAGE


@pytest.mark.parametrize("request_", [Request("q", ["\udcff"]), Request("\udcff")])
def test_arguments_that_are_no_text_are_not_sent(request_: Request) -> None:
    for encode in (encode_frame, encode_classic):
        with pytest.raises(ProtocolError, match="not valid UTF-8") as caught:
            encode(request_)
        assert caught.value.reason == "malformed"
