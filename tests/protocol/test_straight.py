"""The straight-line code of the hot path understands and writes exactly what cattrs does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, strategies as st

from scalab.protocol.codec import encode_frame, frame_from
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import MAX_MESSAGE
from scalab.protocol.messages import (
    MAX_ID,
    MAX_SECONDS,
    Reply,
    Request,
    WorkItem,
    wire_name,
)
from scalab.protocol.session import Sender, Session, State
from scalab.protocol.straight import make_decoder, make_encoder
from tests.strategies import fields_of, json_values, messages

SENDERS: dict[type, Sender] = {
    Request: "client",
    WorkItem: "frontend to backend",
    Reply: "backend",
}
HOT = tuple(SENDERS)

# Values at which one of the two might decide otherwise, beside any other.
edges: st.SearchStrategy[object] = st.sampled_from(
    (
        *(None, "", "7", True, False, 0, 1, -1, 0.0, -0.0, -0.5, 5, 2.5, [], ["a"], [None], [1]),
        *(MAX_SECONDS, MAX_SECONDS + 1, int(MAX_SECONDS), 10**18, 1e300, {}),
        *("x" * MAX_ID, "x" * (MAX_ID + 1)),
    )
)


def by_cattrs(fields: dict[str, Any]) -> object:
    try:
        return frame_from(fields)
    except ProtocolError as exc:
        return str(exc)


@st.composite
def near_messages(draw: st.DrawFn, cls: type) -> dict[str, Any]:
    """Fields of a message, some of them missing, some with values that may be wrong."""
    keys = [wire_name(name) for name in fields_of(cls)]
    some = draw(st.dictionaries(st.sampled_from([*keys, "Else"]), st.one_of(edges, json_values)))
    right = orjson.loads(encode_frame(draw(messages(cls))))
    return {**right, **some, "Kind": cls.kind}  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", HOT)
@given(st.data())
def test_both_understand_the_same(cls: type, data: st.DataObject) -> None:
    fields = data.draw(near_messages(cls))
    message = make_decoder(cls, wire_name)(fields)
    if message is not None:
        assert message == by_cattrs(fields)
        for name, type_ in fields_of(cls).items():
            assert type(getattr(message, name)) is (list if type_ == list[str] else type_)


@pytest.mark.parametrize("cls", HOT)
@given(st.data())
def test_what_we_send_ourselves_needs_no_cattrs(cls: type, data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    fields = orjson.loads(encode_frame(message))
    assert make_decoder(cls, wire_name)(fields) == message
    assert make_encoder(cls, wire_name)(message) == fields


@pytest.mark.parametrize("cls", HOT)
@given(st.data())
@example(data=None)
def test_a_line_is_decoded_or_refused_as_by_cattrs(cls: type, data: st.DataObject | None) -> None:
    fields = {"Kind": cls.kind} if data is None else data.draw(near_messages(cls))  # type: ignore[attr-defined]
    expected = by_cattrs(fields)
    line = orjson.dumps(fields) + b"\n"
    session = Session(SENDERS[cls], State.OPEN)
    if isinstance(expected, str):
        with pytest.raises(ProtocolError) as caught:
            session.receive(line)
        assert str(caught.value) == expected
    elif len(line) <= MAX_MESSAGE:
        assert session.receive(line) == [expected]
