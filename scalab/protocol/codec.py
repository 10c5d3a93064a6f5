"""Messages from and to JSON, strictly.

What the converter does here, and cattrs' default does not: ``"7"`` is no number, ``true`` is no
number, and ``null`` is the zero value of its field. Unknown fields are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from .errors import ProtocolError
from .framing import ENVELOPE, MAX_MESSAGE, parse_object
from .messages import (
    FRAMES,
    Empty,
    Frame,
    Message,
    Ping,
    Pong,
    Pull,
    Refusal,
    Reply,
    Request,
    WorkItem,
    WorkRequest,
    check,
    wire_name,
)
from .straight import make_decoder, make_encoder
from .text import clip, printable

M = TypeVar("M", bound=Message)


def _str(value: object, _: type) -> str:
    if value.__class__ is str:
        return value
    if value is None:
        return ""
    raise TypeError("a string")


def _float(value: object, _: type) -> float:
    if value.__class__ is float:
        return value
    if value.__class__ is int:
        return float(value)
    if value is None:
        return 0.0
    raise TypeError("a number")


def _int(value: object, _: type) -> int:
    if value.__class__ is int:
        return value
    if value is None:
        return 0
    raise TypeError("an integer")


def _bool(value: object, _: type) -> bool:
    if value.__class__ is bool:
        return value
    if value is None:
        return False
    raise TypeError("true or false")


def _strings(value: object, _: type) -> list[str]:
    if value is None:
        return []
    if value.__class__ is list and all(s.__class__ is str for s in value):
        return value
    raise TypeError("a list of strings")


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(omit_if_default=True, detailed_validation=True)
    for cls, hook in ((str, _str), (float, _float), (int, _int), (bool, _bool)):
        converter.register_structure_hook(cls, hook)
    converter.register_structure_hook_func(lambda t: t == list[str], _strings)
    for message in (*FRAMES.values(), WorkRequest):
        names: dict[str, Any] = {
            a.name: override(rename=wire_name(a.name)) for a in attrs.fields(message)
        }
        converter.register_structure_hook(
            message, make_dict_structure_fn(message, converter, **names)
        )
        converter.register_unstructure_hook(
            message,
            make_dict_unstructure_fn(message, converter, _cattrs_omit_if_default=True, **names),
        )
    return converter


_CONVERTER = _make_converter()
_STRUCTURE: dict[type, Any] = {
    cls: _CONVERTER.get_structure_hook(cls) for cls in (*FRAMES.values(), WorkRequest)
}
_UNSTRUCTURE: dict[type, Any] = {cls: _CONVERTER.get_unstructure_hook(cls) for cls in _STRUCTURE}
_SESSION_ONLY = ("Id", "Outcome", "Reason", "Retry")
_CLASSIC_NAMES: dict[type, list[tuple[str, str]]] = {
    cls: [
        (a.name, wire_name(a.name))
        for a in attrs.fields(cls)
        if wire_name(a.name) not in _SESSION_ONLY
    ]
    for cls in (Request, WorkRequest, WorkItem, Reply)
}
_CLASSIC_FIELDS: dict[type, dict[str, str]] = {
    cls: {wire.lower(): wire for _, wire in names} for cls, names in _CLASSIC_NAMES.items()
}


# What is sent for each item: see straight.py.
_HOT = (Request, WorkItem, Reply)
_HOT_ENCODERS: dict[type, Any] = {cls: make_encoder(cls, wire_name) for cls in _HOT}
_HOT_DECODERS: dict[type, Any] = {cls: make_decoder(cls, wire_name) for cls in _HOT}
HotDecoders = Mapping[Any, Callable[[Any], Frame | None]]


def hot_decoders(classes: Iterable[type[Frame]]) -> HotDecoders:
    """Return what ``decode_hot`` needs for those of ``classes`` that are sent for each item."""
    return {cls.kind: _HOT_DECODERS[cls] for cls in classes if cls in _HOT_DECODERS}


def decode_hot(line: bytes, decoders: HotDecoders) -> Frame | None:
    """Decode one line of a session, if it is of a kind in ``decoders`` and in the usual form.

    Returns:
        None if ``decode_frame`` has to look at it.
    """
    try:
        fields = orjson.loads(line)
        return decoders[fields["Kind"]](fields)
    except (KeyError, TypeError, IndexError, orjson.JSONDecodeError):
        return None


def decode_frame(line: bytes) -> Frame:
    """Decode one line of a session.

    Raises:
        ProtocolError: ``malformed``, ``field``, or ``unexpected`` for an unknown kind.
    """
    plain = _PLAIN.get(line)
    return frame_from(parse_object(line)) if plain is None else plain


def frame_from(fields: dict[str, Any]) -> Frame:
    """Convert a parsed line into the frame that its ``Kind`` names."""
    kind = fields.get("Kind")
    cls = FRAMES.get(kind) if kind.__class__ is str else None
    if cls is None:
        raise ProtocolError("unexpected", f"unknown Kind {printable(repr(kind), 40)}")
    return _structure(fields, cls)


def decode_classic(fields: dict[str, Any], cls: type[M]) -> M:
    """Convert a classic message; its field names may be in any letter case."""
    wanted = _CLASSIC_FIELDS[cls]
    known = {wanted[n]: v for name, v in fields.items() if (n := name.lower()) in wanted}
    return _structure(known, cls)


def _structure(fields: dict[str, Any], cls: type[M]) -> M:
    try:
        message: M = _STRUCTURE[cls](fields, cls)
    except cattrs.BaseValidationError as group:
        raise _field_error(group.exceptions[0]) from None
    check(message)
    return message


def _field_error(exc: BaseException) -> ProtocolError:
    """Turn the first thing that cattrs found wrong into one line."""
    note = (getattr(exc, "__notes__", None) or [None])[0]
    field = wire_name(getattr(note, "name", "") or "")
    if isinstance(exc, KeyError):
        return ProtocolError("field", f"{wire_name(str(exc.args[0]))} is missing")
    return ProtocolError("field", f"{field} must be {exc}")


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame as a line of a session, its line feed included.

    In a line too long for its reader, error texts and names of places are cut, visibly.

    Raises:
        ProtocolError: ``oversize``, if it is too long for what can't be cut: a request's arguments
            or its queue. No item that was accepted is (``item_too_long``). ``malformed``, if such
            a text is no Unicode, as a command line may be.
    """
    hot = _HOT_ENCODERS.get(frame.__class__)
    fields = (
        {"Kind": frame.kind, **_UNSTRUCTURE[frame.__class__](frame)} if hot is None else hot(frame)
    )
    try:
        data = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        data = _dumps(fields) + b"\n"
    if len(data) <= MAX_MESSAGE:
        return data
    limit = MAX_MESSAGE + (ENVELOPE if frame.__class__ is WorkItem else 0)
    return data if len(data) <= limit + 1 else _shortened(fields, limit) + b"\n"


# Whoever is idle says nothing else.
_PLAIN: dict[bytes, Frame] = {
    encode_frame(frame).rstrip(): frame for frame in (Ping(), Pong(), Pull(), Empty())
}


def encode_classic(message: Request | WorkRequest | WorkItem | Reply) -> bytes:
    """Encode a classic message: at most ``MAX_MESSAGE`` bytes, long texts cut visibly.

    All fields are there, also those with the zero value, unless that makes it too long.

    Raises:
        ProtocolError: ``oversize`` or ``malformed``, as for ``encode_frame``.
    """
    names = _CLASSIC_NAMES[message.__class__]
    fields = {wire: getattr(message, name) for name, wire in names}
    data = _dumps(fields)
    if len(data) > MAX_MESSAGE:
        fields = {name: value for name, value in fields.items() if value or name == "Queue"}
        data = _dumps(fields)
    return data if len(data) <= MAX_MESSAGE else _shortened(fields, MAX_MESSAGE)


def encode_turned_away(why: str) -> bytes:
    """Encode a refusal for a peer of which nobody knows yet whether it is a classic one.

    A session takes it for an ``error``, a classic client for a reply, a classic backend for a
    work item: each ignores the others' fields.
    """
    fields = {"Kind": Refusal.kind, "Error": why, "Retry": True, "Retcode": 1}
    return _shortened(fields, MAX_MESSAGE) + b"\n"


# What may be cut, in this order, and how many characters of it are left. Characters of up to six
# bytes can make even that too long: then a second round leaves one. Zero would be another
# message, as a reply without Node or with an empty Error means something else.
_CUTS = (
    *(("Error", 40), ("Device", 40), ("Pod", 64), ("Node", 64)),
    *(("Error", 1), ("Device", 1), ("Pod", 1), ("Node", 1)),
)


def _shortened(fields: dict[str, Any], limit: int) -> bytes:
    """Encode ``fields`` with the error text, and if need be the names, cut until that fits."""
    fields = dict(fields)
    data = _dumps(fields)
    for name, least in _CUTS:
        text = fields.get(name, "")
        while len(data) > limit and len(text) > least:
            # A character may take up to six bytes ("\u0000"), so approach the limit in steps.
            text = clip(text, max(least, len(text) - math.ceil((len(data) - limit) / 6) - 1))
            fields[name] = text
            data = _dumps(fields)
    if len(data) > limit:
        raise ProtocolError("oversize", f"message longer than {limit} bytes")
    return data


def _dumps(fields: dict[str, Any]) -> bytes:
    """Encode ``fields``; what is no Unicode in texts that are only shown is shown as escapes."""
    try:
        return orjson.dumps(fields)
    except TypeError:  # lone surrogates: how Python keeps bytes of the system that are no UTF-8
        names = {name for name, _ in _CUTS}
        fields = {n: printable(v, MAX_MESSAGE) if n in names else v for n, v in fields.items()}
    try:
        return orjson.dumps(fields)
    except TypeError:
        raise ProtocolError("malformed", "a text is not valid UTF-8") from None


def item_too_long(args: list[str], limit_s: float) -> bool:
    """Whether a request's arguments don't fit into the message that hands them to a backend."""
    # No character takes more than six bytes; this settles nearly all of them.
    if 6 * sum(map(len, args)) + 3 * len(args) < MAX_MESSAGE - 64:
        return False
    return len(orjson.dumps({"Args": args, "Limit": limit_s})) > MAX_MESSAGE
