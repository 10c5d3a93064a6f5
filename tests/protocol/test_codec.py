"""Messages from and to JSON: strict in what is read, bounded in what is written."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import assume, example, given, strategies as st

from scalab.protocol.codec import (
    decode_classic,
    decode_frame,
    encode_classic,
    encode_frame,
    frame_from,
    item_too_long,
)
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ENVELOPE, MAX_MESSAGE, ObjectReader
from scalab.protocol.messages import (
    FRAMES,
    MAX_ID,
    Frame,
    Hello,
    Message,
    Refusal,
    Reply,
    Request,
    Welcome,
    WorkItem,
    WorkRequest,
    wire_name,
)
from tests.strategies import fields_of, json_objects, json_values, long_texts, messages, texts

CLASSIC: tuple[type[Request | WorkRequest | WorkItem | Reply], ...] = (
    *(Request, WorkRequest, WorkItem, Reply),
)
SESSION_ONLY = ("id", "outcome", "reason", "retry")
ZERO: dict[Any, object] = {str: "", float: 0.0, int: 0, bool: False, list[str]: []}
REQUIRED: dict[Any, object] = {str: "x", float: 1.0, int: 1}
CUT = ("error", "device", "pod", "node")

# Values that are no value of the type, as Python's equality would have it for some of them.
WRONG: dict[Any, list[object]] = {
    str: [7, 1.5, True, ["x"], {"x": 1}],
    float: ["7", "", True, False, [1], {}],
    int: ["7", 1.0, 1.5, True, False, 10**30, [1]],
    bool: [0, 1, "true", "", []],
    list[str]: ["x", 7, True, {}, {"0": "x"}, [7], ["x", None], ["x", ["y"]], [True]],
}
NAMED = {
    str: "a string",
    float: "a number",
    int: "an integer",
    bool: "true or false",
    list[str]: "a list of strings",
}
ALL = (*FRAMES.values(), WorkRequest)
EACH_FIELD = [(cls, name, type_) for cls in ALL for name, type_ in fields_of(cls).items()]
each_class = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
each_field = pytest.mark.parametrize(
    ("cls", "name", "type_"), EACH_FIELD, ids=[f"{c.__name__}.{n}" for c, n, _ in EACH_FIELD]
)


def minimal(cls: type[Message]) -> dict[str, Any]:
    """The required fields of a message, as on the wire."""
    kind = {} if cls is WorkRequest else {"Kind": cls.kind}  # type: ignore[union-attr]
    return kind | {
        wire_name(a.name): REQUIRED[fields_of(cls)[a.name]]
        for a in attrs.fields(cls)
        if a.default is attrs.NOTHING
    }


def decode(fields: dict[str, Any], cls: type[Message]) -> Message:
    if cls is WorkRequest:
        return decode_classic(fields, cls)
    return decode_frame(json.dumps(fields).encode())


def read_classic(data: bytes) -> dict[str, Any]:
    fields = ObjectReader().feed(data)
    assert fields is not None
    return fields


def without_session_fields(message: Any) -> Any:
    """The message as a classic peer sees it."""
    zeros = {n: ZERO[t] for n, t in fields_of(type(message)).items() if n in SESSION_ONLY}
    return attrs.evolve(message, **zeros)


# --- round trips -----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", FRAMES.values(), ids=FRAMES)
@given(data=st.data())
def test_a_frame_is_what_it_was_after_a_round_trip(cls: type[Frame], data: st.DataObject) -> None:
    frame = data.draw(messages(cls))

    line = encode_frame(frame)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_frame(line) == frame


@pytest.mark.parametrize("cls", CLASSIC, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_a_classic_message_is_what_it_was_without_what_only_sessions_have(
    cls: type[Request | WorkRequest | WorkItem | Reply], data: st.DataObject
) -> None:
    message = data.draw(messages(cls))

    decoded = decode_classic(read_classic(encode_classic(message)), cls)

    assert decoded == without_session_fields(message)


def test_fields_are_named_as_given() -> None:
    assert [wire_name(n) for n in ("limit_s", "waittime_s", "retcode", "pod")] == [
        *("Limit", "Waittime", "Retcode", "Pod"),
    ]
    assert json.loads(encode_classic(Request("q", ["a"], 1.5, "id"))) == {
        "Queue": "q", "Args": ["a"], "Limit": 1.5,
    }  # fmt: skip
    assert json.loads(encode_classic(WorkRequest("q"))) == {"Queue": "q"}
    assert json.loads(encode_classic(WorkItem(error="none", empty=True))) == {
        "Error": "none", "Empty": True, "Args": [], "Limit": 0.0,
    }  # fmt: skip
    assert json.loads(encode_classic(Reply(node="n", runtime_s=0.5))) == {
        "Pod": "", "Node": "n", "Device": "", "Error": "", "Timeout": 0.0, "Runtime": 0.5,
        "Waittime": 0.0, "Retcode": 0, "Attempts": 0,
    }  # fmt: skip


def test_a_frame_says_only_what_differs_from_the_default() -> None:
    assert encode_frame(Reply("r1", node="n")) == b'{"Kind":"reply","Id":"r1","Node":"n"}\n'


# --- strictness ------------------------------------------------------------------------------


@each_field
def test_a_value_of_another_type_is_refused_by_name(
    cls: type[Message], name: str, type_: Any
) -> None:
    for value in WRONG[type_]:
        with pytest.raises(ProtocolError) as caught:
            decode(minimal(cls) | {wire_name(name): value}, cls)
        assert caught.value.reason == "field", value
        assert str(caught.value) == f"{wire_name(name)} must be {NAMED[type_]}"


@each_field
def test_null_is_the_zero_value(cls: type[Message], name: str, type_: Any) -> None:
    message = decode(minimal(cls) | {wire_name(name): None}, cls)

    value = getattr(message, name)
    assert value == ZERO[type_]
    assert value.__class__ is ZERO[type_].__class__


@each_field
def test_a_missing_field_is_its_default_or_named(cls: type[Message], name: str, type_: Any) -> None:
    fields = minimal(cls)
    if fields.pop(wire_name(name), None) is None:
        default = getattr(attrs.fields(cls), name).default
        value = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
        assert getattr(decode(fields, cls), name) == value
    else:
        with pytest.raises(ProtocolError, match=f"^{wire_name(name)} is missing$") as caught:
            decode(fields, cls)
        assert caught.value.reason == "field"


@each_field
def test_negative_times_are_refused_by_name(cls: type[Message], name: str, type_: Any) -> None:
    fields = minimal(cls) | {wire_name(name): -1}
    if type_ is float:
        with pytest.raises(ProtocolError, match=f"^{wire_name(name)} must not be negative$"):
            decode(fields, cls)
    elif type_ is int:
        assert getattr(decode(fields, cls), name) == -1


def test_an_integer_will_do_where_a_number_is_asked() -> None:
    request = decode_classic({"Queue": "q", "Limit": 3}, Request)

    assert request.limit_s == 3.0
    assert request.limit_s.__class__ is float


def test_a_long_id_is_refused() -> None:
    fields = minimal(Request) | {"Id": "x" * MAX_ID}
    assert decode(fields, Request) == Request("x", id="x" * MAX_ID)

    with pytest.raises(ProtocolError, match=r"^Id is longer than 64 characters$"):
        decode(fields | {"Id": "x" * (MAX_ID + 1)}, Request)


@pytest.mark.parametrize("kind", [None, "", "Request", "HELLO", "nonsense", 7, ["item"], {}])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    with pytest.raises(ProtocolError, match=r"^unknown Kind ") as caught:
        frame_from({"Kind": kind})

    assert caught.value.reason == "unexpected"


def test_a_long_kind_is_cut_in_the_error() -> None:
    with pytest.raises(ProtocolError) as caught:
        frame_from({"Kind": "\n" * 500})

    assert len(str(caught.value)) < 80
    assert str(caught.value).isprintable()


@each_class
@given(extra=json_objects)
def test_unknown_fields_are_ignored(cls: type[Message], extra: dict[str, Any]) -> None:
    known = {"kind", *(wire_name(n).lower() for n in fields_of(cls))}
    extra = {key: value for key, value in extra.items() if key.lower() not in known}

    assert decode(minimal(cls) | extra, cls) == decode(minimal(cls), cls)


@each_field
def test_letter_case_matters_in_sessions_only(cls: type[Message], name: str, type_: Any) -> None:
    written = {str: "x", float: 2.0, int: 2, bool: True, list[str]: ["x"]}[type_]
    for variant in (wire_name(name).lower(), wire_name(name).upper()):
        fields = {k: v for k, v in minimal(cls).items() if k != wire_name(name)} | {
            variant: written
        }
        if cls in CLASSIC and name not in SESSION_ONLY:
            assert getattr(decode_classic(fields, cls), name) == written
        if cls is not WorkRequest and wire_name(name) not in minimal(cls):
            assert decode(fields, cls) == decode(minimal(cls), cls)


def test_a_classic_message_can_not_set_what_only_sessions_have() -> None:
    fields = {"Id": "forged", "Outcome": "success", "Retry": True, "id": 7, "Node": "n"}

    assert decode_classic(fields, Reply) == Reply(node="n")
    assert decode_classic({"Queue": "q", "Id": "x" * 100}, Request) == Request("q")


def test_the_last_of_two_spellings_counts() -> None:
    assert decode_classic({"Queue": "a", "QUEUE": "b"}, WorkRequest) == WorkRequest("b")


@each_class
@given(data=st.data())
@example(data=None)
def test_random_objects_are_messages_or_a_protocol_error(
    cls: type[Message], data: st.DataObject | None
) -> None:
    names = [wire_name(name) for name in fields_of(cls)]
    deep: Any = 0
    for _ in range(400):
        deep = [deep]
    fields: dict[str, Any] = dict.fromkeys([*names, "Kind"], deep)
    if data is not None:
        named = st.dictionaries(st.sampled_from([*names, "x"]), json_values)
        fields = data.draw(st.one_of(json_objects, named))
        fields["Kind"] = data.draw(st.one_of(json_values, st.sampled_from(sorted(FRAMES))))
    with suppress(ProtocolError):
        frame_from(fields)
    if cls in CLASSIC:
        with suppress(ProtocolError):
            decode_classic(fields, cls)


@given(st.binary())
def test_random_lines_are_frames_or_a_protocol_error(line: bytes) -> None:
    with suppress(ProtocolError):
        decode_frame(line)


# --- sizes -----------------------------------------------------------------------------------


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


@given(sizeable_args, st.floats(0, allow_infinity=False), st.integers(1, 2**63))
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
