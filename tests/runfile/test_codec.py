"""Records as lines: they come back as they were, and nothing else comes through."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

from scalab.load.curve import Stage
from scalab.load.scenario import OpenLoad
from scalab.measure.histogram import MAX_S, Histogram
from scalab.measure.interval import Interval
from scalab.runfile.codec import RecordError, decode_record, encode_record
from scalab.runfile.records import End, Event, Header, Record
from tests.runfile.samples import a_header, an_interval, counted, records
from tests.strategies import json_values

INTERVAL = {"type": "interval", "from_s": 0, "to_s": 1}


@given(records)
def test_records_come_back_as_they_were(record: Record) -> None:
    line = encode_record(record)

    assert decode_record(line) == record
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.startswith(b'{"type":"')


def histogram(*seconds: float) -> Histogram:
    whole = Histogram()
    for value in seconds:
        whole.record(value)
    return whole


def written(run: Histogram) -> Any:
    interval = an_interval(0, n=1)
    interval.queues["media"].run = run
    return orjson.loads(encode_record(interval))["queues"]["media"].get("run")


def test_histograms_are_written_compactly() -> None:
    assert written(histogram()) is None
    assert written(histogram(1.234567)) == {"n": 1, "sum_us": 1234567}
    assert written(histogram(0.001, 0.001, 1.234567)) == {
        "n": 3,
        "sum_us": 1236567,
        "min_us": 1000,
        "max_us": 1234567,
        "b": [1000, 2, 1233920, 1],
    }


def test_what_is_nothing_is_left_out() -> None:
    fields = orjson.loads(encode_record(an_interval(0, n=1)))["queues"]["media"]

    assert fields.keys() == {"sent", "completed", "succeeded", "run", "total", "devices"}
    assert fields["devices"]["renderD128"].keys() == {"served", "run", "pods"}


def test_a_stage_without_end_has_no_duration() -> None:
    header = a_header(OpenLoad(stages=(Stage(0.0, 5.0, 60.0), Stage(5.0, 5.0, math.inf))))
    load = orjson.loads(encode_record(header))["scenario"]["load"]

    assert load["loop"] == "open"
    assert [stage["duration_s"] for stage in load["stages"]] == [60.0, None]


def test_times_are_written_to_the_microsecond() -> None:
    fields = orjson.loads(encode_record(an_interval(1 / 3, 2 / 3, cpu_s=1 / 7)))

    assert (fields["from_s"], fields["to_s"], fields["cpu_s"]) == (0.333333, 0.666667, 0.142857)
    assert orjson.loads(encode_record(End(at_s=1 / 3, reason="")))["at_s"] == 0.333333


def test_arguments_that_are_no_unicode_are_written_as_escapes() -> None:
    header = attrs.evolve(a_header(), command=("scalab", "\udcff", "é"))
    back = decode_record(encode_record(header))

    assert isinstance(back, Header)
    assert back.command == ("scalab", r"\udcff", "é")


def test_texts_for_people_stay_on_one_line() -> None:
    event = Event(at_s=0.0, kind="load", text="a\nb\x1b[2J" + "x" * 5000)
    back = decode_record(encode_record(event))

    assert isinstance(back, Event)
    assert back.text.startswith(r"a\nb\x1b[2Jx")
    assert len(back.text) == 2000


def test_what_later_versions_add_is_ignored() -> None:
    interval = an_interval(1.0, n=3)
    fields = orjson.loads(encode_record(interval))
    fields["new"] = fields["queues"]["media"]["new"] = {"what": "ever"}
    fields["queues"]["media"]["devices"]["renderD128"]["new"] = [1]

    assert decode_record(orjson.dumps(fields)) == interval
    assert decode_record(b'{"type":"weather","sky":"blue"}') is None


def test_what_is_left_out_has_its_default() -> None:
    assert decode_record(orjson.dumps(INTERVAL)) == Interval(from_s=0.0, to_s=1.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "not a line of JSON"),
        (b"\xff\xfe", "not a line of JSON"),
        (b"[" * 3000, "not a line of JSON"),
        (b"[]", 'not an object with a "type"'),
        (b'{"type":7}', 'not an object with a "type"'),
        (b'{"type":"event","kind":"a","text":"b"}', "at_s is missing"),
        (b'{"type":"event","at_s":"1","kind":"a","text":"b"}', "at_s must be a number"),
        (b'{"type":"event","at_s":true,"kind":"a","text":"b"}', "at_s must be a number"),
        (b'{"type":"event","at_s":-1,"kind":"a","text":"b"}', "at_s must be 0 or more"),
        (b'{"type":"event","at_s":1,"kind":null,"text":"b"}', "kind must be a text"),
        (b'{"type":"event","at_s":1,"kind":"","text":"","level":"9"}', "level must be a number"),
        (b'{"type":"interval","from_s":2,"to_s":1}', "to_s is before from_s"),
        (b'{"type":"end","at_s":1,"reason":"","checks":"ok"}', "checks must be a list"),
        (
            b'{"type":"end","at_s":1,"reason":"","thresholds":[{"expression":"","ok":1}]}',
            "thresholds.ok must be true or false",
        ),
    ],
)
def test_what_is_wrong_is_told(line: bytes, message: str) -> None:
    with pytest.raises(RecordError) as error:
        decode_record(line)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("queues", "message"),
    [
        ([], "queues must be an object"),
        ({"media": 1}, "queues.media must be an object"),
        ({"media": {"sent": -1}}, "queues.media.sent must be a count"),
        ({"media": {"sent": 1.0}}, "queues.media.sent must be a count"),
        ({"media": {"sent": True}}, "queues.media.sent must be a count"),
        ({"media": {"failures": {"timeout": "1"}}}, "queues.media.failures must be a count"),
        ({"media": {"failures": {f"k{i}": 1 for i in range(65)}}}, "at most 64 kinds"),
        ({"media": {"pods": {"a": {"devices": [1]}}}}, "media.pods.a.devices must be a text"),
        ({"me\ndia": {"pods": {"\n": {"run": 1}}}}, r"me\ndia.pods.\n.run must be an object"),
    ],
)
def test_wrong_counts_are_told_with_their_place(queues: object, message: str) -> None:
    with pytest.raises(RecordError) as error:
        decode_record(orjson.dumps({**INTERVAL, "queues": queues}))

    assert message in str(error.value)


GOOD = {"n": 3, "sum_us": 9000, "min_us": 1000, "max_us": 4097, "b": [1000, 1, 4096, 2]}


@pytest.mark.parametrize(
    "change",
    [
        {"n": 4},
        {"n": 0, "b": []},
        {"n": "3"},
        {"n": None},
        {"sum_us": 2000},
        {"sum_us": 20000},
        {"min_us": 1001},
        {"max_us": 4100},
        {"max_us": None},
        {"b": [1000, 1, 4096]},
        {"b": [1000, 1, 4096, 2.0]},
        {"b": [1000, 3, 4096, 0]},
        {"b": [1000, 1, 4097, 2]},
        {"b": [4096, 2, 1000, 1], "min_us": 4096, "max_us": 1000},
        {"b": {"1000": 1}},
        {"b": [-1000, 1, 4096, 2], "min_us": -1000},
    ],
)
def test_histograms_agree_with_themselves(change: dict[str, object]) -> None:
    def line(run: dict[str, object]) -> bytes:
        return orjson.dumps({**INTERVAL, "queues": {"media": {"run": run}}})

    decode_record(line(GOOD))

    with pytest.raises(RecordError, match=r"^queues\.media\.run must be "):
        decode_record(line({**GOOD, **change}))


def test_no_duration_is_longer_than_can_be_recorded() -> None:
    longest = int(MAX_S * 1e6)
    for us, wrong in ((longest, False), (longest + 1, True)):
        queues = {"media": {"run": {"n": 1, "sum_us": us}}}
        line = orjson.dumps({**INTERVAL, "queues": queues})
        if wrong:
            with pytest.raises(RecordError):
                decode_record(line)
        else:
            assert isinstance(decode_record(line), Interval)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format":1', b'"format":2', "written by scalab 0.3.0 in format 2; this version reads"),
        (b'"format":1', b'"format":"1"', "format must be 1"),
        (b'"format":1,', b"", "format must be 1"),
        (b'"loop":"closed"', b'"loop":"odd"', "scenario.load.loop must be closed or open"),
        (b'"order":"random"', b'"order":"any"', "order must be random or sequence"),
        (b'"weight":1.0', b'"weight":0', "0 is no weight"),
        (b'"start":4.0', b'"start":-4.0', "scenario.load.stages is wrong: "),
        (b"2026-11-24T", b"2026-11-34T", "started_at must be a time such as"),
        (b".000Z", b".000", "started_at must be a time such as"),
        (b'"args":[]', b'"args":"abc"', "args must be a list"),
        (b'"rows":[]', b'"rows":[{"a":1}]', "a must be a text"),
        (b'"scenario":{', b'"scenario":"",{', "not a line of JSON"),
        (b'"id":"7f3a91c2",', b"", "id is missing"),
    ],
)
def test_wrong_headers_are_refused(old: bytes, new: bytes, message: str) -> None:
    line = encode_record(a_header())
    assert old in line

    with pytest.raises(RecordError) as error:
        decode_record(line.replace(old, new))

    assert message in str(error.value)
    assert "\n" not in str(error.value)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a value in a value."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from paths(item, (*at, i))


LINES = [orjson.loads(encode_record(r)) for r in (a_header(), an_interval(0, n=12))]
PLACES = [(line, path) for line in LINES for path in paths(line)]


@given(st.sampled_from(PLACES), json_values)
def test_any_value_anywhere_is_read_or_refused(place: tuple[Any, Any], value: Any) -> None:
    line, path = place
    fields = orjson.loads(orjson.dumps(line))
    inner = fields
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    wrong = ""
    try:
        decode_record(orjson.dumps(fields))
    except RecordError as exc:
        wrong = str(exc)

    assert wrong.isprintable()
    assert len(wrong) < 700


def test_counting_is_what_is_decoded() -> None:
    interval = an_interval(0, n=500)
    back = decode_record(encode_record(interval))

    assert isinstance(back, Interval)
    back.queues["media"].merge(counted(100, seed=1))
    interval.queues["media"].merge(counted(100, seed=1))
    assert back == interval
