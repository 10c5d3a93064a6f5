"""Texts of peers can't break lines, drive a terminal or grow without bound."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from scalab.protocol.text import clip, printable
from tests.strategies import long_texts

any_text = st.one_of(long_texts, st.text())  # the latter has lone surrogates, too
limits = st.integers(0, 500)


@given(any_text, limits)
def test_printable_is_one_bounded_line_without_control_characters(text: str, limit: int) -> None:
    result = printable(text, limit)

    assert len(result) <= limit
    assert len(result.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in result} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    result.encode()


@given(st.text("abc XYZ 0189 .,:;-_/\\'\"<>& äßñ漢字😀", max_size=400))
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\0", "\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("line\u2028separator", "line\\u2028separator"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_is_not_printable_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_cut_is_visible() -> None:
    assert printable("x" * 401) == "x" * 399 + "…"
    assert printable("x" * 400) == "x" * 400
    assert printable("\n" * 10, 5) == "\\n\\n…"


@given(any_text, limits)
def test_clip_keeps_the_beginning(text: str, limit: int) -> None:
    result = clip(text, limit)

    if len(text) <= limit:
        assert result == text
    else:
        assert len(result) == limit
        assert result == (text[: limit - 1] + "…" if limit else "")
