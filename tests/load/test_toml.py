"""Scenarios' files: what is read, what is written, and the one line that tells what is wrong."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.placeholders import MAX_ROWS
from scalab.load.rows import MAX_BYTES
from scalab.load.scenario import ClosedLoad, OpenLoad, QueueLoad, Scenario
from scalab.load.toml import format_scenario, parse_scenario, read_scenario

from .strategies import scenarios

MEDIA = """\
name = "media mix"
seed = 7
warm-up = "10s"
thresholds = [
    "p95(total) < 2",
    "failures < 0.1 %",
]

[load]
stages = "0→50/s@60s, 50/s@5m, 0@30s"
arrival = "poisson"

[[queues]]
name = "media"
weight = 3
limit = "30s"
args = ["--size", "{size}", "{file}"]
draw = { csv = "sizes.csv" }

[[queues]]
name = "thumbs"
"""
SIZES = 'size,file\n640,a.mp4\n320,"b, c"\n'


def read_sizes(name: str) -> str:
    assert name == "sizes.csv"
    return SIZES


def parse(text: str, csv: str = SIZES) -> Scenario:
    return parse_scenario(text, "scenario.toml", read_csv=lambda name: csv)


def load(text: str) -> ClosedLoad | OpenLoad:
    return parse(f"[load]\n{text}\n[[queues]]\nname = 'q'\n").load


def error(text: str, csv: str = SIZES) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, csv)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 600
    return line


def broken(old: str, new: str) -> str:
    assert MEDIA.count(old) == 1, "the test would break something else"
    return error(MEDIA.replace(old, new))


# --- what is read --------------------------------------------------------------------------------


def test_a_scenario_is_read() -> None:
    scenario = parse_scenario(MEDIA, "scenario.toml", read_csv=read_sizes)

    assert scenario == Scenario(
        name="media mix",
        seed=7,
        warm_up_s=10,
        thresholds=("p95(total) < 2", "failures < 0.1 %"),
        load=OpenLoad(
            stages=(Stage(0, 50, 60), Stage(50, 50, 300), Stage(50, 0, 30)), arrival="poisson"
        ),
        queues=(
            QueueLoad(
                name="media",
                weight=3,
                limit_s=30,
                args=("--size", "{size}", "{file}"),
                rows=({"size": "640", "file": "a.mp4"}, {"size": "320", "file": "b, c"}),
            ),
            QueueLoad(name="thumbs"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("parallel = 8", ClosedLoad(stages=(Stage(8, 8, inf),))),
        (
            "parallel = 0\nparallel_max = 9\ndelay = 0.5\nspread = '2s'",
            ClosedLoad(stages=(Stage(0, 0, inf),), parallel_max=9, delay_s=0.5, spread_s=2),
        ),
        (
            "stages = ['0→8@60s', '8@1m']",
            ClosedLoad(stages=(Stage(0, 8, 60), Stage(8, 8, 60))),
        ),
        ("rate = 50", OpenLoad(stages=(Stage(50, 50, inf),))),
        (
            "rate = '30/min'\nmax-in-flight = 3\ncatch_up = 0",
            OpenLoad(stages=(Stage(0.5, 0.5, inf),), max_in_flight=3, catch_up_s=0),
        ),
    ],
)
def test_both_kinds_of_load_are_read(text: str, expected: ClosedLoad | OpenLoad) -> None:
    assert load(text) == expected


@pytest.mark.parametrize(
    ("draw", "rows", "order"),
    [
        ("{ list = ['a', 2] }", ({"item": "a"}, {"item": "2"}), "random"),
        ("{ rows = [{ item = 'a' }], order = 'sequence' }", ({"item": "a"},), "sequence"),
        ("{ csv = 'c', order = 'random' }", ({"item": " a"}, {"item": "b\r\nc"}), "random"),
    ],
)
def test_all_sources_of_rows_are_read(
    draw: str, rows: tuple[dict[str, str], ...], order: str
) -> None:
    text = f"[load]\nrate = 1\n[[queues]]\nname = 'q'\nargs = [1, '{{item}}']\ndraw = {draw}\n"

    (queue,) = parse(text, csv=' item \r\n a\r\n\r\n"b\r\nc"\r\n').queues

    assert (queue.rows, queue.order, queue.args) == (rows, order, ("1", "{item}"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_a_csv_file_may_end_in_any_way(end: str) -> None:
    assert parse(MEDIA, SIZES.replace("\n", end)) == parse(MEDIA)


def test_files_are_read_relative_to_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    # As some editors write it: with a byte order mark.
    (tmp_path / "data" / "sizes.csv").write_text("\ufeff" + SIZES)
    file = tmp_path / "it.toml"
    file.write_text(MEDIA.replace("sizes.csv", "data/sizes.csv"))

    assert read_scenario(str(file)) == parse(MEDIA)


@given(scenarios())
def test_what_is_written_reads_back_as_the_same(scenario: Scenario) -> None:
    assert parse(format_scenario(scenario)) == scenario


def test_what_is_written_is_for_people() -> None:
    assert format_scenario(parse(MEDIA)) == (
        'name = "media mix"\n'
        "seed = 7\n"
        'warm-up = "10s"\n'
        "thresholds = [\n"
        '    "p95(total) < 2",\n'
        '    "failures < 0.1 %",\n'
        "]\n"
        "\n"
        "[load]\n"
        'stages = "0/s→50/s@1m, 50/s@5m, 0/s@30s"\n'
        'arrival = "poisson"\n'
        "max-in-flight = 10000\n"
        'catch-up = "10s"\n'
        "\n"
        "[[queues]]\n"
        'name = "media"\n'
        "weight = 3\n"
        'limit = "30s"\n'
        'args = ["--size", "{size}", "{file}"]\n'
        'draw.order = "random"\n'
        "draw.rows = [\n"
        '    { "size" = "640", "file" = "a.mp4" },\n'
        '    { "size" = "320", "file" = "b, c" },\n'
        "]\n"
        "\n"
        "[[queues]]\n"
        'name = "thumbs"\n'
        "weight = 1\n"
    )


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        # values
        ("seed = 7", "seed = 7.5", 2, "seed: must be a whole number, not 7.5"),
        ("seed = 7", "seed = -1", 2, "seed: -1 is out of bounds; give 0 to 9007199254740991"),
        ("seed = 7", "seed = true", 2, "seed: must be a whole number, not true"),
        ('"--size"', "true", 17, "queues[0].args[0]: must be a text in quotes, not true"),
        ('"10s"', "true", 3, 'warm-up: must be a time such as "30s", not true'),
        ('"10s"', "-1", 3, "warm-up: -1.0 s is out of bounds; give 0 to 31536000 s"),
        ('"10s"', "nan", 3, "warm-up: nan s is out of bounds"),
        ('"10s"', '"1O s"', 3, 'warm-up: "1O s" is no duration; write for example 250ms'),
        ('"failures < 0.1 %"', "3", 6, "thresholds[1]: must be a text in quotes, not 3"),
        ('"poisson"', '"poison"', 11, "load.arrival: 'poison' can't be; write constant or poisson"),
        ("50/s@5m", "50/s@5x", 10, 'load.stages: stage 2 "50/s@5x": "5x" is no duration'),
        ("weight = 3", "weight = 0", 15, "queues[0].weight: 0 is no weight; give more than 0"),
        ("weight = 3", "weight = inf", 15, "queues[0].weight: inf is no weight"),
        ("weight = 3", f"weight = 1{400 * '0'}", 15, "…"),
        (
            '"30s"',
            "1979-05-27",
            16,
            'queues[0].limit: must be a time such as "30s", not 1979-05-27',
        ),
        ('"--size"', "0.50", 17, "queues[0].args[0]: must be a text in quotes, not 0.5"),
        ('"--size"', '"\\u0000"', 17, "queues[0].args[0]: no argument can have a NUL"),
        (
            '["--size", ',
            '"x" # [',
            17,
            'queues[0].args: must be a list such as ["a", "b"], not "x"',
        ),
        ('"thumbs"', '""', 21, 'queues[1].name: say which queue it is: name = "sleep"'),
        ('"thumbs"', f'"{65 * "q"}"', 21, "queues[1].name: give 1 to 64 printable characters"),
        ('"thumbs"', '"media"', 21, "queues[1].name: 'media' is there twice"),
        # keys
        ("weight", "wieght", 15, "queues[0].wieght: there is no such key; did you mean weight?"),
        ("arrival", "colour", 11, "load.colour: there is no such key; known: parallel, rate,"),
        ("[load]", "[lod]", 9, "lod: there is no such key; did you mean load?"),
        ("csv =", "cvs =", 18, "queues[0].draw.cvs: there is no such key; did you mean csv?"),
        ("seed = 7", "warm_up = 3", 2, "warm-up: it is there twice, with - and with _"),
        ('name = "thumbs"', "", 20, "queues[1].name: say which queue it is"),
        ("arrival", "rate = 5 #", 10, "load.stages: there is rate, too; leave one of them out"),
        ("stages = ", "# ", 9, "load: say one of parallel, rate, stages"),
        # contradictions
        (
            "arrival",
            "delay = 3 #",
            11,
            "load.delay: is for a closed loop, but stages asks for a rate, an open one",
        ),
        (
            "0→50/s@60s, 50/s@5m",
            "50@6m",
            11,
            "load.arrival: is for an open loop, but stages has levels without /s, a closed one",
        ),
        (
            'stages = "0→50/s@60s, 50/s@5m, 0@30s"',
            "parallel = 3",
            11,
            "load.arrival: is for an open loop, but parallel asks for so many in parallel",
        ),
        ("seed = 7", "duration = 10", 2, "duration: 10s, but the stages last 390s; leave it out"),
        ("seed = 7", "duration = '1h'", 2, "duration: 1h, but the stages last 390s; leave it out"),
        ('"10s"', '"390s"', 3, "warm-up: 390s leave nothing to measure of a run of 390s"),
        # placeholders
        (
            "{size}",
            "{sice}",
            17,
            "queues[0].args[1]: no column for {sice}; did you mean size? (literally: {{sice}})",
        ),
        (
            '"--size", "{size}", "{file}"',
            '"640"',
            18,
            "queues[0].draw: nothing of it is used: write {size} somewhere in args",
        ),
        ('{ csv = "sizes.csv" }', "3", 18, "queues[0].draw: must be a table, not 3"),
        ('{ csv = "sizes.csv" }', "{ }", 18, "queues[0].draw: say one of csv, list, rows"),
        ('csv = "sizes.csv"', "list = []", 18, "queues[0].draw: there is nothing to draw from"),
        ('csv = "sizes.csv"', "rows = 1", 18, "queues[0].draw.rows: must be a list of rows"),
        (
            'csv = "sizes.csv"',
            "rows = [{ size = 1, file = 2 },\n{ size = 1 }]",
            19,
            "queues[0].draw.rows[1]: its columns are size, but those of the first row size, file",
        ),
        (
            '"sizes.csv"',
            '"sizes.csv", order = "any"',
            18,
            "queues[0].draw.order: 'any' can't be; write random or sequence",
        ),
        # the text itself
        ('"media mix"', "media mix", 1, "no TOML: Invalid value (column 8)"),
        ('name = "thumbs"\n', "name = ", 21, "no TOML: Invalid value (at the end)"),
    ],
)
def test_an_error_tells_line_key_and_cure(old: str, new: str, line: int, says: str) -> None:
    if says == "…":
        says = f"queues[0].weight: 1{58 * '0'}… is too large"
    assert broken(old, new).startswith(f"scenario.toml:{line}: {says}")


def test_what_is_missing_is_told() -> None:
    assert error("") == 'scenario.toml: load: it is missing; write [load] and, below, rate = "50/s"'
    assert error("[load]\nrate = 1") == "scenario.toml: queues: give 1 to 100 queues"
    assert error("[load]\nrate=1\n[queues]\n").startswith("scenario.toml:3: queues: must be tables")
    assert error("load = 3").startswith("scenario.toml:1: load: must be a table, not 3")
    many = "[load]\nrate = 1\n" + 101 * "[[queues]]\n"
    assert error(many) == "scenario.toml:3: queues: give at most 100 queues"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("parallel = -1", "load.parallel: -1 is out of bounds; give 0 to 1000000"),
        ("parallel = 1.0", "load.parallel: must be a whole number, not 1.0"),
        ("rate = '50x'", 'load.rate: "50x" is no rate; write for example 50/s or 3000/min'),
        ("rate = inf", "load.rate: inf is out of bounds"),
        (
            "rate = 1e-9",
            "load.rate: 1e-09 is out of bounds; give 0, or 0.000001 to",
        ),
        ("rate = true", "load.rate: must be a number, not true"),
        ("rate = 1\nmax-in-flight = 0", "load.max-in-flight: 0 is out of bounds; give 1 to"),
        ("parallel = 9\nparallel-max = 8", "load.parallel-max: 8 is less than the 9 asked for"),
        ("stages = '1@1s, 2→2, 3@1s'", 'load.stages: stage 2 "2→2": say for how long'),
    ],
)
def test_an_error_of_the_load_is_told(text: str, says: str) -> None:
    assert says in error(f"[load]\n{text}\n[[queues]]\nname = 'q'\n")


@pytest.mark.parametrize(
    ("csv", "says"),
    [
        ("", "sizes.csv: it is empty"),
        ("\n\n", "sizes.csv: it is empty"),
        ("size,file\n", "sizes.csv: there is no row below the names of the columns"),
        (
            "size,file\n1,a\n\n2,b,c\n",
            "sizes.csv:4: 3 values, where the first line names 2 columns",
        ),
        ('size,file\n"1\n1",a\n2\n', "sizes.csv:4: 1 value, where the first line names 2 columns"),
        ("size,size\n1,2\n", "sizes.csv:1: column 'size' is there twice"),
        ("\nsize,\n1,2\n", "sizes.csv:2: '' is no name of a column; use letters, digits and _ . -"),
        ("size,{x}\n1,2\n", "sizes.csv:1: '{x}' is no name of a column"),
        ("size,file\n1,a\0\n", "sizes.csv:2: no argument can have a NUL character in it"),
        ('size,file\n"1"2,a\n', "sizes.csv:2: ',' expected after '\"'"),
        ('size,file\n1,"a\n', "sizes.csv:2: unexpected end of data"),
        (f"size,file\n1,{200_000 * 'a'}\n", "sizes.csv:2: field larger than field limit"),
        ("size,file\n" + (MAX_ROWS + 1) * "1,a\n", "sizes.csv:100002: there are more than 100,000"),
    ],
    ids=range(13),
)
def test_an_error_in_a_csv_file_tells_its_line_too(csv: str, says: str) -> None:
    assert error(MEDIA, csv).startswith(f"scenario.toml:18: queues[0].draw.csv: {says}")


def test_a_threshold_that_is_none_is_told_with_its_line() -> None:
    def check(text: str) -> None:
        if "%" in text:
            raise ConfigError(f"there is no metric {text}")

    with pytest.raises(ConfigError) as caught:
        parse_scenario(MEDIA, "a\nb.toml", read_csv=read_sizes, check=check)

    where = r"a\nb.toml:6: thresholds[1]"
    assert str(caught.value) == f"{where}: there is no metric failures < 0.1 %"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    def told(content: bytes | None) -> str:
        file = tmp_path / "it.toml"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_scenario(str(file))
        return str(caught.value).replace(str(file), "FILE")

    assert told(None) == "can't read FILE: No such file or directory"
    assert told(b"name = 'a'\nseed = '\xff'") == "FILE:2: no UTF-8; save the file in that encoding"
    assert told(bytes(MAX_BYTES + 1)) == "FILE: longer than 16 MiB"
    assert told(MEDIA.encode()) == (
        "FILE:18: queues[0].draw.csv: can't read sizes.csv: No such file or directory"
    )
    nul = MEDIA.replace("sizes.csv", "\\u0000")
    assert "queues[0].draw.csv: can't read \\x00: that is no name" in told(nul.encode())


def test_a_text_that_is_made_to_break_the_parser_does_not() -> None:
    assert error(f"seed = {2000 * '['}") == "scenario.toml: too many brackets in each other"
    digits = error(f"seed = {5000 * '9'}")
    assert digits.startswith("scenario.toml: no TOML: Exceeds the limit (4300 digits)")


@given(
    st.text(max_size=60) | st.sampled_from(MEDIA.splitlines()), st.integers(0, 30), st.booleans()
)
def test_no_text_ends_in_anything_but_one_line(text: str, at: int, replaces: bool) -> None:
    lines = MEDIA.splitlines()
    lines[at : at + replaces] = [text]
    told = "scenario.toml"
    try:
        parse("\n".join(lines))
    except ConfigError as exc:
        told = str(exc)
    assert told.startswith("scenario.toml")
    assert told.isprintable()
