"""What hypothesis draws: awkward texts, JSON, messages, and the ways that bytes may be split."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from scalab.protocol.messages import MAX_ID, MAX_SECONDS, Message

M = TypeVar("M", bound=Message)

# Braces, quotes and backslashes for the framing; characters that take 1 to 6 bytes in JSON, that
# break lines, or that turn a terminal's text around.
AWKWARD = 'a{}[]",:\\/ é€😀\0\n\r\t\x1b\x7f\x85\u2028\u202e'

characters = st.one_of(st.sampled_from(AWKWARD), st.characters(codec="utf-8"))


def texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Short texts, awkward ones often."""
    return st.text(characters, max_size=max_size)


long_texts = st.one_of(
    texts(),
    st.builds(lambda char, count: char * count, characters, st.integers(0, 1500)),
    st.builds(lambda text, count: text * count, texts(), st.integers(0, 200)),
)
"""Texts of any length, up to several times that of a message."""

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts(),
)
json_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts(6), inner, max_size=4)
    ),
    max_leaves=8,
)
json_objects = st.dictionaries(texts(6), json_values, max_size=4)


def fields_of(cls: type[M]) -> dict[str, Any]:
    """The fields of a message class, with their types."""
    attrs.resolve_types(cls)
    return {a.name: a.type for a in attrs.fields(cls)}


_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts(),
    list[str]: st.lists(texts(10), max_size=4),
    float: st.floats(0, MAX_SECONDS),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
}


def messages(cls: type[M], text: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[M]:
    """Messages of a class; with the default texts they fit into the size of a message.

    Args:
        cls: The class.
        text: What its strings are drawn from, other than ``Id``.
    """
    by_type = {**_BY_TYPE, **({str: text} if text is not None else {})}
    by_name = {name: by_type[type_] for name, type_ in fields_of(cls).items()}
    if text is not None and "id" in by_name:
        by_name["id"] = texts(MAX_ID)
    if "reason" in by_name:
        by_name["reason"] = texts(MAX_ID)
    return st.builds(cls, **by_name)


def segmented(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The ways in which a connection may deliver ``data``."""
    cuts = st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12)
    return cuts.map(lambda cut: _split(data, sorted(cut)))


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]
