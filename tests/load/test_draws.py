"""Arguments of requests: how placeholders are filled, and in which order rows come."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from scalab.load.draws import Draw
from scalab.load.fields import FieldError
from scalab.load.placeholders import Template
from scalab.load.scenario import Order, QueueLoad

from .strategies import queue_loads

ROWS = tuple({"size": str(i), "file": f"{i}.mp4"} for i in range(5))


def queue(order: Order, count: int = 5) -> QueueLoad:
    return QueueLoad(name="q", args=("-s", "{size}", "{file}"), rows=ROWS[:count], order=order)


def drawn(draw: Draw, count: int) -> list[str]:
    """Return the sizes of so many requests, each with what belongs to it."""
    sizes = []
    for _ in range(count):
        option, size, file = draw.next()
        assert (option, file) == ("-s", f"{size}.mp4")
        sizes.append(size)
    return sizes


@pytest.mark.parametrize(
    ("arg", "filled"),
    [
        ("{size}", "7"),
        ("{size}x{size}:{file}", "7x7:{size}"),  # what a row puts in is not looked at again
        ("a{{size}}b", "a{size}b"),
        ("{{{size}}}", "{{size}}"),
        ('{"a": {"b": {size}}}', '{"a": {"b": 7}}'),
        ("{} { size } {1} ${size", "{} { size } {1} ${size"),
        ("", ""),
    ],
)
def test_placeholders_are_filled(arg: str, filled: str) -> None:
    assert Template((arg,)).fill({"size": "7", "file": "{size}"}) == (filled,)


def test_an_escaped_placeholder_needs_no_column() -> None:
    load = QueueLoad(name="q", args=("{{print}}", "{size}"), rows=ROWS)

    assert Draw(load, 0).next()[0] == "{print}"


def test_without_rows_arguments_stay_as_they_are() -> None:
    draw = Draw(QueueLoad(name="q", args=("{size}", "{{x}}")), 0)

    assert [draw.next(), draw.next()] == [("{size}", "{{x}}")] * 2
    assert draw.largest() == (("{size}", "{{x}}"), None)


def test_rows_in_sequence_begin_again_after_the_last() -> None:
    assert drawn(Draw(queue("sequence"), 3), 12) == [*"01234", *"01234", *"01"]


def test_random_rows_are_the_same_for_the_same_seed_only() -> None:
    first = drawn(Draw(queue("random"), 3), 50)

    assert drawn(Draw(queue("random"), 3), 50) == first
    assert drawn(Draw(queue("random"), 4), 50) != first


def test_random_rows_are_as_frequent_as_each_other() -> None:
    counts = Counter(drawn(Draw(queue("random"), 0), 10_000))

    # Binomial with n = 10 000, p = 1/5: a standard deviation is 40.
    assert counts.keys() == set("01234")
    assert all(abs(count - 2000) < 4 * 40 for count in counts.values())


def test_a_single_row_is_drawn_again_and_again() -> None:
    assert drawn(Draw(queue("random", count=1), 0), 3) == ["0", "0", "0"]


def test_the_largest_is_measured_in_bytes_on_the_wire() -> None:
    texts = ("aaaaa", "äää", "\x01b", "aaaa")  # on the wire: 5, 6, 7 and 4 bytes
    load = QueueLoad(name="q", args=("{x}",), rows=tuple({"x": text} for text in texts))

    assert Draw(load, 0).largest() == (("\x01b",), 3)


@given(queue_loads(), st.integers(0, 2**64))
def test_every_request_is_made_of_a_row_and_none_is_longer_than_the_largest(
    load: QueueLoad, seed: int
) -> None:
    draw = Draw(load, seed)
    possible = [Template(load.args).fill(row) for row in load.rows] or [load.args]
    largest, row = draw.largest()

    assert all(draw.next() in possible for _ in range(10))
    assert largest == possible[(row or 1) - 1]
    assert (row is None) == (not load.rows)


@pytest.mark.parametrize(
    ("args", "rows", "says"),
    [
        (("a\0b",), (), "args[0]: no argument can have a NUL character in it"),
        (("a", "\udcff"), (), "args[1]: it is no valid UTF-8"),
        (("{x}",), ({"x": "1"}, {"x": "\0"}), "draw.rows[1].x: no argument can have a NUL"),
        (("{x}",), ({"x": "\udcff"},), "draw.rows[0].x: it is no valid UTF-8"),
        (("{x}",), ({},), "draw: give 1 to 100 columns"),
        (("{x}",), ({"x": "1", "a b": "2"},), "draw: 'a b' is no name of a column"),
        (("{x}",), ({"x": "1"}, {"y": "1"}), "draw.rows[1]: its columns are y, but those of the"),
        (("{x}", "{z}"), ({"x": "1"},), "args[1]: no column for {z}; known: x (literally: {{z}})"),
        (("x",), ({"x": "1"},), "draw: nothing of it is used: write {x} somewhere in args"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    args: tuple[str, ...], rows: tuple[dict[str, str], ...], says: str
) -> None:
    with pytest.raises(FieldError) as caught:
        QueueLoad(name="q", args=args, rows=rows)

    assert str(caught.value).startswith(says)
