"""The lines of keys, in texts that do their best to confuse."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from scalab.load.located import Path, line_of

KEYS = ["plain", "with-hyphen", "7", '"a b"', "'[x] = 1 # no'", '"\\"q\\u0041"', "'a.b'"]

VALUES: dict[str, dict[Path, int]] = {
    # What stands in the file → how many lines below its first one its parts stand.
    "1": {},
    "-1.5e3 # = [ {": {},
    "1979-05-27 07:32:00": {},
    "true#[": {},
    r'"a # [b] = \" x \\"': {},
    "'c = [ { # \\'": {},
    "''": {},
    '""': {},
    '"""\nplain = 1\n[[tables]]\n\\""" "" \\\\"""': {},
    '"""two quotes at the end: """""': {},
    '""""one on either side""""': {},
    '""""""': {},
    "'''\n[table]\ny = 2 ''#'''''": {},
    '[\n1, # ] "\n\n  2,\n]': {(0,): 1, (1,): 3},
    "[[1], [2,\n[3]], []]": {(0,): 0, (1,): 0, (1, 1): 1, (1, 1, 0): 1, (2,): 1},
    '{ a = 1, b."c d" = "}", e = [\n{ f = 1 }, # }\n{ f = 2 }\n] }': {
        ("a",): 0,
        ("b", "c d"): 0,
        ("e", 0, "f"): 1,
        ("e", 1, "f"): 2,
    },
    "{}": {},
    '["""\n]""", \'\'\',\n\'\'\', "],", 3]': {(0,): 0, (1,): 1, (2,): 2, (3,): 2},
}

gaps = st.lists(st.sampled_from(["", "  ", "# [no]", "\t# k = 1 '''"]), max_size=3)


class Writer:
    """Writes TOML, and notes on which line each key stands."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.lines: list[str] = []
        self.expected: dict[Path, int] = {}
        self.numbers = iter(range(10**6))

    def put(self, text: str) -> int:
        """Add a line, or several, after a gap; return the number of the first."""
        self.lines += self.draw(gaps)
        indent = self.draw(st.sampled_from(["", "  ", "\t"]))
        self.lines += (indent + text).split("\n")
        return len(self.lines) - text.count("\n")

    def key(self) -> tuple[str, str]:
        """Return a key that was not there before: as it is written, and as it is read."""
        written = self.draw(st.sampled_from(KEYS))
        number = next(self.numbers)
        quote = written[-1] if written[-1] in "\"'" else ""
        written = f"{written.removesuffix(quote)}{number}{quote}"
        return written, next(iter(tomllib.loads(f"{written} = 1")))

    def dotted(self) -> tuple[str, Path]:
        keys = [self.key() for _ in range(self.draw(st.integers(1, 3)))]
        dot = self.draw(st.sampled_from([".", " . "]))
        return dot.join(written for written, _ in keys), tuple(read for _, read in keys)

    def pairs(self, table: Path) -> None:
        for _ in range(self.draw(st.integers(0, 3))):
            key, path = self.dotted()
            value = self.draw(st.sampled_from(list(VALUES)))
            equals = self.draw(st.sampled_from(["=", " = "]))
            line = self.put(f"{key}{equals}{value}")
            self.expected[*table, *path] = line
            for below, offset in VALUES[value].items():
                self.expected[*table, *path, *below] = line + offset

    def array_of_tables(self) -> None:
        key, path = self.dotted()
        for i in range(self.draw(st.integers(1, 3))):
            self.expected[*path, i] = self.put(f"[[ {key}]] # ]]")
            self.pairs((*path, i))
            if self.draw(st.booleans()):
                inner, below = self.dotted()
                self.expected[*path, i, *below] = self.put(f"[{key}.{inner}]")
                self.pairs((*path, i, *below))
            if self.draw(st.booleans()):
                for j in range(2):
                    self.expected[*path, i, "sub", j] = self.put(f"[[{key}.sub]]")
                    self.pairs((*path, i, "sub", j))

    def document(self) -> str:
        self.pairs(())
        for _ in range(self.draw(st.integers(0, 3))):
            if self.draw(st.booleans()):
                self.array_of_tables()
            else:
                key, path = self.dotted()
                self.expected[path] = self.put(f"[{key} ]")
                self.pairs(path)
        return "\n".join(self.lines) + self.draw(st.sampled_from(["", "\n", "\n # end"]))


def value_at(document: Mapping[str, Any], path: Path) -> object:
    value: Any = document
    for key in path:
        value = value[key]
    return value


@given(st.data(), st.booleans())
def test_every_key_is_found_on_its_line(data: st.DataObject, crlf: bool) -> None:
    writer = Writer(data)
    text = writer.document()
    text = text.replace("\n", "\r\n") if crlf else text
    document = tomllib.loads(text)

    for path, line in writer.expected.items():
        value_at(document, path)  # the writer meant what it wrote
        assert line_of(text, path) == line


def test_what_is_not_there_is_looked_for_around_it() -> None:
    text = "a = 1\n\n[load]\nrate = 5\n[[queues]]\n[[queues]]\nname = 'x'\n"

    assert line_of(text, ("load", "delay")) == 3
    assert line_of(text, ("load", "rate", 7)) == 4
    assert line_of(text, ("queues", 0, "name")) == 5
    assert line_of(text, ("queues", 1, "weight")) == 6
    assert line_of(text, ("queues", 2)) == 5
    assert line_of(text, ("nowhere",)) is None
    assert line_of(text, ()) is None
    assert line_of("", ("a",)) is None


@pytest.mark.parametrize(("written", "asked"), [("warm_up", "warm-up"), ("warm-up", "warm_up")])
def test_hyphen_and_underscore_are_the_same(written: str, asked: str) -> None:
    assert line_of(f"\n{written} = 1", (asked,)) == 2


def test_dotted_keys_that_begin_alike_have_their_own_lines() -> None:
    text = "a.b = 1\na.c = 2\n[a.d]\nx = 1\n"

    assert [line_of(text, ("a", key)) for key in "bcd"] == [1, 2, 3]
    assert line_of(text, ("a",)) == 1
