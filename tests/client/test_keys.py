from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from scalab.client.keys import Controls, Decoder, step

from .watching import FakeRun

# --- what a terminal sends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"+-p", ["+", "-", "p"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),  # cursor keys in application mode
        (b"\x1b[Cq", ["q"]),  # to the right: does nothing
        (b"\x1b[3~q", ["q"]),  # delete
        (b"\x1b[1;5Aq", ["q"]),  # control and up
        (b"\x1b[200~q", ["q"]),
        (b"\x1bpq", ["q"]),  # alt and p is not p
        (b"\x1b\x1b[A", ["up"]),
        ("ä+€".encode(), ["+"]),
        (b"", []),
    ],
)
def test_keys_are_told_apart(data: bytes, keys: list[str]) -> None:
    assert Decoder().feed(data) == keys


pieces = st.sampled_from([b"+", b"q", b"\x1b[A", b"\x1bOB", b"\x1b[3~", b"\x1b[1;5C", b"\xc3\xa4"])


@given(st.lists(pieces, max_size=8).map(b"".join), st.lists(st.integers(0, 40), max_size=6))
def test_it_does_not_matter_how_sequences_are_cut(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    decoder = Decoder()

    keys = [key for a, b in pairwise(places) for key in decoder.feed(data[a:b])]

    assert keys == Decoder().feed(data)


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_any_bytes_are_taken_in_bounded_memory(chunks: list[bytes]) -> None:
    decoder = Decoder()
    for chunk in chunks:
        for key in decoder.feed(chunk):
            assert key in {"up", "down"} or (len(key) == 1 and key.isascii())
        assert len(decoder._rest) <= 32


def test_a_sequence_without_an_end_is_given_up() -> None:
    decoder = Decoder()

    decoder.feed(b"\x1b[" + b"1" * 100)

    assert decoder.feed(b"q") == ["q"]


# --- what keys do ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "levels"),
    [
        (["+"], [51]),
        (["="], [51]),
        (["-", "_"], [49, 48]),
        (["up", "down"], [60, 50]),
        (["down"] * 5, [40, 30, 20, 10, 0]),
    ],
)
def test_steps_in_a_closed_loop(keys: list[str], levels: list[int]) -> None:
    run = FakeRun(level=50)
    controls = Controls(run)

    messages = [controls.press(key) for key in keys]

    assert run.actions == [f"level {level}" for level in levels]
    assert messages == [f"asked for {level} in parallel" for level in levels]


@pytest.mark.parametrize(
    ("level", "key", "asked"),
    [
        (50.0, "+", 52.0),
        (50.0, "-", 48.0),
        (100.0, "up", 150.0),
        (1234.0, "-", 1184.0),
        (0.0, "+", 0.1),
        (0.2, "+", 0.3),
        (0.05, "-", 0.0),
    ],
)
def test_steps_in_an_open_loop(level: float, key: str, asked: float) -> None:
    run = FakeRun(level=level, level_max=10_000, open_loop=True)

    Controls(run).press(key)

    assert run.level == asked
    assert len(run.actions) == 1


@given(st.floats(0, 1e7))
def test_a_step_of_a_rate_is_at_most_5_percent_and_never_too_small(level: float) -> None:
    size = step(level, open_loop=True)

    assert 0.1 <= size <= max(0.05 * level * 1.001, 0.1)
    assert size >= 0.0199 * level


def test_during_a_ramp_steps_start_at_a_whole_number() -> None:
    run = FakeRun(level=12.7)

    Controls(run).press("+")

    assert run.level == 14


def test_the_level_stays_in_its_bounds() -> None:
    run = FakeRun(level=195, level_max=200)
    controls = Controls(run)

    assert controls.press("up") == "asked for 200 in parallel"
    assert controls.press("up") == "200 in parallel is the most"
    run.level = 0
    assert controls.press("-") == "0 in parallel is the least"
    assert run.actions == ["level 200"]


def test_without_a_most_there_is_none() -> None:
    run = FakeRun(level=195, level_max=0)

    Controls(run).press("up")

    assert run.level == 205


def test_p_pauses_and_resumes() -> None:
    run = FakeRun()
    controls = Controls(run)

    assert controls.press("p") == "paused: p resumes"
    assert controls.press("+") == "paused: p resumes"
    assert controls.press("p") == "resumed"
    assert run.actions == ["pause", "resume"]


def test_r_begins_a_new_window() -> None:
    run = FakeRun()

    assert Controls(run).press("r")
    assert run.actions == ["reset"]


def test_q_stops_once_however_long_it_is_held_down() -> None:
    run = FakeRun()
    controls = Controls(run)

    messages = [controls.press("q") for _ in range(10)]

    assert run.actions == ["stop"]
    assert set(messages) == {"stopping; ^C ends at once"}


@pytest.mark.parametrize("key", ["+", "up", "p", "r"])
def test_an_ending_run_is_not_changed(key: str) -> None:
    run, draining = FakeRun(), FakeRun(phase="drain")
    controls = Controls(run)
    controls.press("q")

    assert controls.press(key) == "the run is ending"
    assert Controls(draining).press(key) == "the run is ending"
    assert run.actions == ["stop"]
    assert draining.actions == []


def test_the_help_comes_and_goes() -> None:
    run = FakeRun()
    controls = Controls(run)

    assert controls.help
    assert controls.press("?") == ""
    assert not controls.help
    controls.press("?")
    assert controls.help
    assert run.actions == []


@given(st.characters(exclude_characters="+=-_pqr?"))
def test_other_keys_do_nothing(key: str) -> None:
    run = FakeRun()
    controls = Controls(run)

    assert controls.press(key) == ""
    assert run.actions == []
    assert controls.help


def test_a_refusal_is_told() -> None:
    run = FakeRun(refuses="the rate follows a file")

    assert Controls(run).press("+") == "the rate follows a file"
