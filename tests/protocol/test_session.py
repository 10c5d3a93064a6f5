"""The rules of a session: who may say what, when, in whatever pieces it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from scalab.protocol.codec import encode_frame, frame_from
from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import ENVELOPE, MAX_MESSAGE, ObjectReader
from scalab.protocol.messages import (
    FRAMES,
    VERSION,
    Bye,
    Cancel,
    Drain,
    Empty,
    Frame,
    Hello,
    Ping,
    Pong,
    Pull,
    Refusal,
    Release,
    Reply,
    Request,
    Welcome,
    WorkItem,
)
from scalab.protocol.session import MAY_SEND, Role, Sender, Session, State, check_hello
from tests.strategies import messages, segmented

HELLO = Hello(VERSION, "client")
WELCOME = Welcome(VERSION, 5.0)
ONE_OF_EACH: tuple[Frame, ...] = (
    *(Request("sleep", ["1"], id="r1"), WorkItem(["1"], id="1"), Reply("r1", node="n")),
    *(HELLO, WELCOME, Cancel("r1"), Release("1"), Empty(), Pull()),
    *(Drain(), Bye(), Ping(), Pong(), Refusal("no")),
)
SENDERS: tuple[Sender, ...] = ("client", "backend", "frontend to client", "frontend to backend")

# Written out again, so that a change of the rules needs a change here.
ALLOWED = {
    "client": "request cancel ping pong drain bye",
    "backend": "reply release pull ping pong drain bye",
    "frontend to client": "reply error ping pong drain bye",
    "frontend to backend": "item cancel empty error ping pong drain bye",
}
TALKS = {sender: sorted(MAY_SEND[sender], key=lambda cls: cls.kind) for sender in SENDERS}


def lines(*frames: Frame) -> bytes:
    return b"".join(encode_frame(frame) for frame in frames)


def receive_all(session: Session, segments: list[bytes]) -> list[Frame]:
    return [frame for segment in segments for frame in session.receive(segment)]


def talk(sender: Sender) -> st.SearchStrategy[list[Frame]]:
    """Frames that a sender may send, none of which ends the session."""
    kinds = [cls for cls in TALKS[sender] if cls not in (Bye, Refusal)]
    return st.lists(st.one_of([messages(cls) for cls in kinds]), max_size=8)


# --- who may say what --------------------------------------------------------------------------


def test_the_table_has_one_of_each_frame() -> None:
    assert {frame.kind for frame in ONE_OF_EACH} == set(FRAMES)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("frame", ONE_OF_EACH, ids=lambda frame: frame.kind)
def test_in_open_each_sender_may_send_its_own_frames(sender: Sender, frame: Frame) -> None:
    session = Session(sender, State.OPEN)

    if frame.kind in ALLOWED[sender].split():
        assert session.receive(lines(frame)) == [frame]
        ends = isinstance(frame, (Bye, Refusal))
        assert session.state is (State.CLOSED if ends else State.OPEN)
    else:
        with pytest.raises(ProtocolError, match=f"{sender} may not send {frame.kind}") as caught:
            session.receive(lines(frame))
        assert caught.value.reason == "unexpected"
        assert session.state is State.CLOSED


@pytest.mark.parametrize("sender", ["frontend to client", "frontend to backend"])
@pytest.mark.parametrize("frame", ONE_OF_EACH, ids=lambda frame: frame.kind)
def test_a_frontend_opens_with_welcome_or_error(sender: Sender, frame: Frame) -> None:
    session = Session(sender)

    if isinstance(frame, Welcome):
        assert session.receive(lines(frame)) == [frame]
        assert session.state is State.OPEN
    elif isinstance(frame, Refusal):
        assert session.receive(lines(frame)) == [frame]
        assert session.state is State.CLOSED
    else:
        with pytest.raises(ProtocolError, match=f"expected welcome, got {frame.kind}") as caught:
            session.receive(lines(frame))
        assert caught.value.reason == "unexpected"
        assert session.state is State.CLOSED


def test_a_second_welcome_is_refused() -> None:
    session = Session("frontend to client")

    with pytest.raises(ProtocolError, match="may not send welcome now"):
        session.receive(lines(WELCOME, WELCOME))


@pytest.mark.parametrize("version", [0, 2, -1])
def test_a_frontend_of_another_version_is_refused(version: int) -> None:
    session = Session("frontend to client")

    with pytest.raises(ProtocolError, match=f"speaks version {version}") as caught:
        session.receive(lines(Welcome(version, 5.0)))
    assert caught.value.reason == "version"
    assert session.state is State.CLOSED


# --- hello -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["client", "backend"])
@pytest.mark.parametrize("slots", [1, 65536])
def test_a_hello_that_can_be_served(role: Role, slots: int) -> None:
    check_hello(Hello(VERSION, role, slots=slots), role)


@pytest.mark.parametrize(
    ("hello", "reason", "text"),
    [
        (Hello(2, "client"), "version", "session version 2 is not supported, only 1"),
        (Hello(0, "client"), "version", "session version 0 is not supported, only 1"),
        (Hello(1, "backend"), "unexpected", "this port is for a client, not for 'backend'"),
        (Hello(1, "\x1b[2J"), "unexpected", r"not for '\\x1b[2J'"),
        (Hello(1, ""), "unexpected", "not for ''"),
        (Hello(1, "client", slots=0), "field", "Slots must be from 1 to 65536"),
        (Hello(1, "client", slots=-1), "field", "Slots"),
        (Hello(1, "client", slots=65537), "field", "Slots"),
    ],
)
def test_a_hello_that_can_not_be_served(hello: Hello, reason: str, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_hello(hello, "client")

    assert caught.value.reason == reason
    assert text.replace("\\\\", "\\") in str(caught.value)


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [Bye(), Refusal("no")], ids=lambda frame: frame.kind)
def test_nothing_counts_after_the_last_word(last: Frame) -> None:
    session = Session("frontend to client", State.OPEN)

    assert session.receive(lines(last, Ping()) + b"nonsense\n") == [last]
    assert session.state is State.CLOSED
    assert session.receive(lines(Ping())) == []
    assert session.receive(b"nonsense\n" + b"x" * 5000) == []
    session.receive_eof()


def test_nothing_counts_after_an_error() -> None:
    session = Session("client", State.OPEN)
    with pytest.raises(ProtocolError):
        session.receive(lines(Ping()) + b"nonsense\n")

    assert session.state is State.CLOSED
    assert session.receive(lines(Ping())) == []
    session.receive_eof()


def test_the_end_of_the_stream_between_messages_is_an_end_like_any_other() -> None:
    session = Session("client", State.OPEN)
    session.receive(lines(Ping()))

    session.receive_eof()

    assert session.state is State.CLOSED


def test_the_end_of_the_stream_inside_a_message_is_an_error() -> None:
    session = Session("client", State.OPEN)
    session.receive(lines(Ping())[:-1])

    with pytest.raises(ProtocolError) as caught:
        session.receive_eof()
    assert caught.value.reason == "incomplete"
    assert session.state is State.CLOSED


# --- bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", SENDERS)
@given(data=st.data())
def test_segments_do_not_matter(sender: Sender, data: st.DataObject) -> None:
    sent = data.draw(talk(sender))
    initial, *segments = data.draw(segmented(lines(*sent) or b"\n"))
    session = Session(sender, State.OPEN, initial)

    assert receive_all(session, [b"", *segments]) == sent
    session.receive_eof()


@pytest.mark.parametrize("sender", SENDERS)
@given(st.one_of(st.binary(), st.sampled_from(ONE_OF_EACH).map(lines)), st.booleans())
def test_random_bytes_are_frames_or_a_protocol_error(
    sender: Sender, data: bytes, opening: bool
) -> None:
    session = Session(sender, State.OPENING if opening else State.OPEN)
    try:
        session.receive(data + b"\n")
        session.receive_eof()
    except ProtocolError:
        assert session.state is State.CLOSED


def test_empty_lines_do_no_harm() -> None:
    session = Session("client", State.OPEN, b"\n")

    assert session.receive(b"\r\n\n" + lines(Ping()) + b"\n") == [Ping()]


@pytest.mark.parametrize("sender", SENDERS)
def test_only_items_may_be_longer_than_a_message(sender: Sender) -> None:
    limit = MAX_MESSAGE + (ENVELOPE if sender == "frontend to backend" else 0)
    line = lines(Ping())[:-1]

    assert Session(sender, State.OPEN).receive(line.ljust(limit) + b"\n") == [Ping()]
    with pytest.raises(ProtocolError) as caught:
        Session(sender, State.OPEN).receive(line.ljust(limit + 1) + b"\n")
    assert caught.value.reason == "oversize"


# --- two peers -------------------------------------------------------------------------------


class Frontend:
    """The frontend's end: it reads a hello as it would a classic message, then a session."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        self.session: Session | None = None
        self._opening = ObjectReader()

    def receive(self, data: bytes) -> list[Frame]:
        if self.session is not None:
            return self.session.receive(data)
        fields = self._opening.feed(data)
        if fields is None:
            return []
        hello = frame_from(fields)
        assert isinstance(hello, Hello)
        check_hello(hello, self.role)
        self.session = Session(self.role, State.OPEN, self._opening.rest)
        return [hello, *self.session.receive(b"")]


@pytest.mark.parametrize("role", ["client", "backend"])
@given(data=st.data())
def test_two_peers_understand_each_other(role: Role, data: st.DataObject) -> None:
    """All that one end says, in whatever segments, is all that the other end hears."""
    to_peer: Sender = "frontend to client" if role == "client" else "frontend to backend"
    peer, frontend = Session(to_peer), Frontend(role)
    asked = [Hello(VERSION, role, slots=4), *data.draw(talk(role)), Bye()]
    answered = [Welcome(VERSION, 5.0), *data.draw(talk(to_peer)), Bye()]

    for segment in data.draw(segmented(lines(*asked))):
        for frame in frontend.receive(segment):
            assert frame == asked.pop(0)
    for segment in data.draw(segmented(lines(*answered))):
        for frame in peer.receive(segment):
            assert frame == answered.pop(0)

    assert asked == answered == []
    assert frontend.session is not None
    assert frontend.session.state is peer.state is State.CLOSED


def test_a_hello_typed_by_hand_is_understood() -> None:
    frontend = Frontend("client")
    typed = b'{ "Kind": "hello",\r\n  "Version": 1, "Role": "client" }\r\n\r\n{"Kind":"ping"}\r\n'

    assert frontend.receive(typed) == [HELLO, Ping()]


@pytest.mark.parametrize("blank", [b"", b"\r", b"   ", b"\t \r"])
def test_blank_lines_do_no_harm(blank: bytes) -> None:
    session = Session("client", State.OPEN)

    assert session.receive(blank + b"\n" + encode_frame(Ping()) + blank + b"\n") == [Ping()]
