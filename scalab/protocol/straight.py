"""Straight-line code for the messages that are sent for each item, made from their classes.

cattrs calls a function for each field, and attrs one for each check; for three messages of a few
fields that is most of what an item costs. So code without calls is made here, in the way in which
attrs and cattrs make theirs. It takes only what our own peers send: every field of exactly its
type and within its range. Of anything else it says so, and cattrs decides and explains.
tests/protocol/test_straight.py holds that both understand the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import attrs

M = TypeVar("M")

_ZEROS = {str: "''", float: "0.0", int: "0", bool: "False", list[str]: "[]"}


def make_decoder(cls: type[M], wire_name: Callable[[str], str]) -> Callable[[Any], M | None]:
    """Return a function that makes a message of parsed JSON, or returns None if cattrs must.

    Args:
        cls: An attrs class whose defaults are the zero values of their types.
        wire_name: From a field's name to the key in JSON.
    """
    lines = ["def decode(fields):", " get = fields.get", " message = new(cls)"]
    for field in _fields(cls):
        absent = "return None" if field.default is attrs.NOTHING else _zero_of(field)
        tests = [f"v.__class__ is not {_class(field)}", *_tests(field)]
        lines += [
            f" v = get({wire_name(field.name)!r})",
            f" if v is None: {absent}",
            f" elif {' or '.join(tests)}: return None",
            f" else: message.{field.name} = v",
        ]
    return _made(lines, "decode", {"cls": cls, "new": cls.__new__})


def make_encoder(cls: type[M], wire_name: Callable[[str], str]) -> Callable[[M], dict[str, Any]]:
    """Return a function that makes a dict for JSON of a message, zero values left out.

    Args:
        cls: As above; its ``kind`` is the first entry.
        wire_name: From a field's name to the key in JSON.
    """
    required = [f for f in _fields(cls) if f.default is attrs.NOTHING]
    entries = [f"{wire_name(field.name)!r}: message.{field.name}" for field in required]
    kind = f"'Kind': {getattr(cls, 'kind')!r}"  # noqa: B009 - not every class has one
    lines = ["def encode(message):", f" fields = {{{', '.join([kind, *entries])}}}"]
    for field in _fields(cls):
        if field not in required:
            lines += [
                f" v = message.{field.name}",
                f" if v: fields[{wire_name(field.name)!r}] = v",
            ]
    return _made([*lines, " return fields"], "encode", {})


def _fields(cls: type) -> list[attrs.Attribute[Any]]:
    hints = get_type_hints(cls)
    return [field.evolve(type=hints[field.name]) for field in attrs.fields(cls)]


def _class(field: attrs.Attribute[Any]) -> str:
    return "list" if field.type == list[str] else field.type.__name__  # type: ignore[union-attr]


def _tests(field: attrs.Attribute[Any]) -> list[str]:
    """Return conditions under which a value of the right class is not for us."""
    tests = []
    if "most" in field.metadata:
        tests.append(f"not 0.0 <= v <= {field.metadata['most']!r}")
    if "longest" in field.metadata:
        tests.append(f"len(v) > {field.metadata['longest']}")
    if field.type == list[str]:
        tests.append("v and not all_str(v)")
    return tests


def _zero_of(field: attrs.Attribute[Any]) -> str:
    return f"message.{field.name} = {_ZEROS[field.type]}"  # type: ignore[index]


def _all_str(values: list[object]) -> bool:
    for value in values:  # noqa: SIM110 - a generator costs more than the whole message
        if value.__class__ is not str:
            return False
    return True


def _made(lines: list[str], name: str, names: dict[str, Any]) -> Callable[..., Any]:
    names["all_str"] = _all_str
    exec("\n".join([*lines, " return message"] if name == "decode" else lines), names)  # noqa: S102 - made of our own classes
    made: Callable[..., Any] = names[name]
    return made
