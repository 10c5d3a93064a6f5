"""Messages from and to JSON: the same after a round trip, and strict in what is read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import example, given, strategies as st

from scalab.protocol.codec import (
    decode_classic,
    decode_frame,
    encode_classic,
    encode_frame,
    frame_from,
)
from scalab.protocol.errors import ProtocolError
from scalab.protocol.messages import (
    FRAMES,
    MAX_ID,
    Frame,
    Message,
    Reply,
    Request,
    WorkItem,
    WorkRequest,
    wire_name,
)
from tests.protocol.classic import SESSION_ONLY, ZERO, read_classic, without_session_fields
from tests.strategies import fields_of, json_objects, json_values, messages

CLASSIC: tuple[type[Request | WorkRequest | WorkItem | Reply], ...] = (
    *(Request, WorkRequest, WorkItem, Reply),
)
REQUIRED: dict[Any, object] = {str: "x", float: 1.0, int: 1}

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
