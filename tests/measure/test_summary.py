"""The report, as it looks in a terminal, in a file, and to programs."""

from __future__ import annotations

import io
import re
from functools import partial

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from rich.console import Console

from scalab.measure.aggregate import Aggregate
from scalab.measure.sections import MAX_ERRORS, MAX_PLACES
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.measure.summary import format_plain, print_summary, to_json
from scalab.measure.tally import Tally
from scalab.protocol.messages import Reply

EMPTY = Aggregate().statistics(0.0)


def a_run() -> Statistics:
    """Two nodes of which one is slower, a few failures, one request lost on its way."""
    tally = Tally(0.0)
    tally.sent(n=127)
    for n in range(120):
        slow = n % 3 == 0
        reply = Reply(
            node="gpu-node-2" if slow else "gpu-node-1",
            pod=f"backend-7d9f8b6c5d-{n % 3}",
            device="/dev/dri/renderD128",
            runtime_s=(0.180 if slow else 0.100) + n / 10_000,
            waittime_s=n / 100_000,
            attempts=2 if n == 7 else 1,
            outcome="success",
        )
        if n in (3, 5):
            reply = attrs.evolve(reply, outcome="timeout", error="timed out after 2 s")
        tally.completed(reply, reply.runtime_s + reply.waittime_s + 0.0005, n / 10)
    for _ in range(3):
        tally.completed(Reply(outcome="rejected", error="queue 'gpu' is full"), 0.0002, 12.0)
    tally.unanswered("disconnected", "connection reset", 12.0)
    return tally.current()[""].statistics(12.0, tally.outstanding[0])


AT_100_COLUMNS = """\
  completed    123  10.2/s over 12.0 s · 9.83/s succeeded
  failed         6  4.84 % · rejected 3 · timeout 2 · disconnected 1
  outstanding    3
  attempts       2  at most, for one request

Time per request
               min    mean     p50      p90      p95      p99    p99.9      max
  wait         0 s  595 µs  590 µs  1.07 ms  1.13 ms  1.18 ms  1.19 ms  1.19 ms
  run       100 ms  133 ms  109 ms   188 ms   190 ms   191 ms   192 ms   192 ms
  overhead  500 µs  500 µs  500 µs   500 µs   500 µs   500 µs   500 µs   500 µs
  total     200 µs  130 ms  110 ms   189 ms   191 ms   193 ms   193 ms   193 ms
  total: of all 123 replies; the others: of the 120 that ran

Nodes (2)
              served   share  failed  run p50     p95     max  run times
  gpu-node-1      80  66.7 %       1   106 ms  111 ms  112 ms  ██▁
  gpu-node-2      40  33.3 %       1   186 ms  191 ms  192 ms            ▂█
  gpu-node-2: runs take 1.75x as long as on the others (median 186 ms, usual 106 ms)
  fairness 0.90 (1 = all served alike)

Devices
                       served  share  failed  run p50     p95     max  run times
  /dev/dri/renderD128     120  100 %       2   109 ms  190 ms  192 ms  ██▁       ▂▇

Pods (3)
                        served   share  failed  run p50     p95     max  run times
  backend-7d9f8b6c5d-0      40  33.3 %       1   186 ms  191 ms  192 ms            ▂█
  backend-7d9f8b6c5d-1      40  33.3 %       0   106 ms  111 ms  112 ms  ██▁
  backend-7d9f8b6c5d-2      40  33.3 %       1   106 ms  111 ms  112 ms  ██▁
  backend-7d9f8b6c5d-0: runs take 1.75x as long as on the others (median 186 ms, usual 106 ms)
  fairness 1.00 (1 = all served alike)

Errors
  3  queue 'gpu' is full
  2  timed out after 2 s
  1  connection reset
"""

AT_64_COLUMNS = """\
gpu ────────────────────────────────────────────────────────────
  completed    123  10.2/s over 12.0 s · 9.83/s succeeded
  failed         6  4.84 % · rejected 3 · timeout 2
                    disconnected 1
  outstanding    3
  attempts       2  at most, for one request

Time per request
              min   mean    p50     p95     p99     max
  wait        0 s 595 µs 590 µs 1.13 ms 1.18 ms 1.19 ms
  run      100 ms 133 ms 109 ms  190 ms  191 ms  192 ms
  overhead 500 µs 500 µs 500 µs  500 µs  500 µs  500 µs
  total    200 µs 130 ms 110 ms  191 ms  193 ms  193 ms
  total: of all 123 replies; the others: of the 120 that ran
"""


def printed(statistics: Statistics, title: str = "", **options: object) -> str:
    buffer = io.StringIO()
    options = {"force_terminal": True, "color_system": None, **options}
    print_summary(Console(file=buffer, **options), statistics, title)  # type: ignore[arg-type]
    return buffer.getvalue()


def place(name: str, served: int = 1, p50_s: float = 0.1, **fields: object) -> Place:
    run = Spread(served, *[p50_s] * 8)
    return Place(name, served, 0, run, ((0.1, 0.2, served),), **fields)  # type: ignore[arg-type]


def with_places(*places: Place) -> Statistics:
    served = sum(place.served for place in places)
    return attrs.evolve(
        EMPTY, window_s=1.0, completed=served, succeeded=served, pods=places,
        total=Spread(served), run=Spread(served),
    )  # fmt: skip


def test_the_plain_report() -> None:
    assert format_plain(a_run()) == AT_100_COLUMNS


def test_a_pipe_gets_the_plain_report() -> None:
    out = io.StringIO()
    print_summary(Console(file=out), a_run(), "gpu")
    assert out.getvalue() == f"gpu {'─' * 96}\n{AT_100_COLUMNS}"
    assert out.getvalue() == format_plain(a_run(), "gpu")


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    out = printed(a_run(), "gpu", width=64)
    assert out.startswith(AT_64_COLUMNS)
    assert re.findall("share|max", out) == ["max", "share"]  # of the timings, of the nodes


def test_colours_only_add_to_the_text() -> None:
    coloured = printed(a_run(), width=100, color_system="truecolor")
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == AT_100_COLUMNS


def test_nothing_completed() -> None:
    assert format_plain(EMPTY) == (
        "  completed    0  0/s over 0 s\n"
        "  failed       0\n"
        "  outstanding  0\n"
        "  nothing completed in this window\n"
    )


def test_nothing_but_failures() -> None:
    tally = Tally(0.0)
    tally.sent()
    tally.completed(Reply(outcome="rejected", error="full"), 0.001, 1.0)
    out = format_plain(tally.current()[""].statistics(2.0))
    assert "failed       1  100 % · rejected 1" in out
    assert re.search(r"run +- +- +- +- +- +- +- +-\n", out)
    assert re.search(r"total +1.00 ms", out)
    assert "  1  full\n" in out


def test_the_busiest_pods_are_shown() -> None:
    out = format_plain(with_places(*(place(f"pod-{n:02}", n) for n in range(1, MAX_PLACES + 11))))
    shown = re.findall(r"^  pod-(\d+)", out, re.MULTILINE)
    assert shown == [f"{n:02}" for n in range(30, 10, -1)]
    assert "… and 10 more, which served 11.8 %" in out


def test_the_most_frequent_errors_are_shown() -> None:
    errors = tuple(ErrorCount(f"error {n}", 1000 - n) for n in range(MAX_ERRORS + 2))
    out = format_plain(attrs.evolve(EMPTY, errors=errors))
    assert re.findall(r"^ +([\d,]+)  error (\d+)$", out, re.MULTILINE) == [
        (f"{1000 - n:,}", str(n)) for n in range(MAX_ERRORS)
    ]
    assert "… and 2 more texts, seen 1,979 times" in out


@pytest.mark.parametrize(
    ("places", "hints"),
    [
        ([place("a", 100)], []),
        ([place("a", 100), place("b", 3, 0.3)], []),  # too few to tell
        (
            [place("a", 100), place("b", 105)],
            ["fairness 1.00 (1 = all served alike) · none stands out"],
        ),
        (
            [place("a", 99), place("b", 99), place("c", 99, 0.3)],
            [
                "c: runs take 3.00x as long as on the others (median 300 ms, usual 100 ms)",
                "fairness 1.00 (1 = all served alike)",
            ],
        ),
        (
            [place(f"slow{n}", 100, 0.9) for n in range(5)]
            + [place(f"p{n}", 300) for n in range(8)],
            [
                *(
                    f"slow{n}: runs take 9.00x as long as on the others "
                    "(median 900 ms, usual 100 ms)"
                    for n in range(3)
                ),
                "fairness 0.84 (1 = all served alike) · 2 more stand out",
            ],
        ),
    ],
)
def test_who_holds_it_back_is_told(places: list[Place], hints: list[str]) -> None:
    lines = format_plain(with_places(*places)).splitlines()
    told = [line.strip() for line in lines if re.match(r"  (fairness|\S+: runs|\d+ more)", line)]
    assert told == hints


def test_a_slow_place_is_marked() -> None:
    places = [place(name, 100) for name in "abc"]
    coloured = partial(printed, width=100, color_system="standard")
    assert "\x1b[33m" not in coloured(with_places(*places))
    assert "\x1b[33m" not in coloured(with_places(*places, place("d", 100, 0.12)))
    slow = coloured(with_places(*places, place("d", 100, 0.13)))
    assert re.search(r"d .*\x1b\[33m130 ms\x1b\[0m", slow)


@pytest.mark.parametrize("width", [64, 80, 100])
def test_long_names_are_cut_in_the_middle(width: int) -> None:
    name = "backend-" + "x" * 200 + "-abcde"
    out = printed(with_places(place(name)), width=width)
    (line,) = [line for line in out.splitlines() if "backend" in line]
    assert re.match(r"  backend-x+…x*-abcde ", line)
    assert cell_len(line) <= width


def test_wide_characters_count_as_wide() -> None:
    statistics = attrs.evolve(with_places(place("漢" * 40)), errors=(ErrorCount("字" * 60, 1),))
    lines = printed(statistics, width=80).splitlines()
    assert f"  1  {'字' * 37}…" in lines
    (line,) = [line for line in lines if "漢" in line]
    assert re.match("  漢{5,} ?…漢{5,} ", line)
    assert cell_len(line) <= 80


def test_times_of_all_replies_need_no_note() -> None:
    assert "that ran" not in format_plain(with_places(place("a")))


def test_peers_cannot_write_markup_or_escapes() -> None:
    evil = "[bold red]x[/] :boom: \x1b[2J\n\u202e"
    statistics = attrs.evolve(
        with_places(place(evil)), errors=(ErrorCount(evil, 1),), failed=1, failures={evil: 1}
    )
    for out in (format_plain(statistics, evil), printed(statistics, evil, width=100)):
        assert out.count(r"[bold red]x[/] :boom: \x1b[2J\n\u202e") == 4
        assert all(line.isprintable() for line in out.splitlines())


texts = st.text(max_size=300)


@given(
    st.lists(st.tuples(texts, st.integers(1, 10**9)), max_size=4),
    st.lists(st.tuples(texts, st.integers(1, 10**9)), max_size=4),
    texts,
    st.integers(50, 140),
)
def test_no_line_is_wider_than_the_terminal(
    places: list[tuple[str, int]], errors: list[tuple[str, int]], title: str, width: int
) -> None:
    statistics = attrs.evolve(
        with_places(*(place(*item) for item in places)),
        errors=tuple(ErrorCount(*item) for item in errors),
        failed=len(errors),
        failures=dict(errors),
    )
    lines = printed(statistics, title, width=width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_an_encoding_that_lacks_characters_is_no_obstacle() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    statistics = attrs.evolve(a_run(), errors=(ErrorCount("naïve 漢", 1),))
    print_summary(Console(file=out), statistics, "gpu · 4")
    out.flush()
    text = raw.getvalue().decode("ascii")
    assert text.startswith(f"gpu - 4 {'-' * 92}\n  completed    123  10.2/s over 12.0 s - 9.83/s")
    assert "595 us" in text
    assert "##_" in text
    assert r"  1  na\xefve \u6f22" in text


def test_json_has_plain_names_and_numbers() -> None:
    statistics = a_run()
    json = orjson.loads(orjson.dumps(to_json(statistics)))
    assert json.keys() == attrs.fields_dict(Statistics).keys()
    assert json["completed"] == 123
    assert json["failures"] == {"rejected": 3, "timeout": 2, "disconnected": 1}
    assert json["run"] == attrs.asdict(statistics.run)
    assert json["run"]["p999_s"] == pytest.approx(0.192, rel=0.01)
    assert json["errors"][0] == {"text": "queue 'gpu' is full", "count": 3}
    node = json["nodes"][1]
    assert node["name"] == "gpu-node-2"
    assert node["pods"] == ["backend-7d9f8b6c5d-0"]
    assert node["run"]["count"] == 40
    assert node["errors"] == [{"text": "timed out after 2 s", "count": 1}]
    assert node["histogram"][-1] == {
        "from_s": pytest.approx(0.1817, rel=0.001),
        "to_s": statistics.run.max_s,
        "count": 34,  # of its runs, those from 0.1818 s on
    }
    assert to_json(EMPTY)["run"]["p50_s"] == 0


def an_open_loop() -> Statistics:
    """Requests that were late, one of them for want of room, and some that were never sent."""
    tally = Tally(0.0)
    tally.sent(n=4)
    for delay_s, held in ((0.001, False), (0.002, False), (0.5, True)):
        tally.delayed(delay_s, held)
        reply = Reply(node="n", runtime_s=0.1, outcome="success")
        tally.completed(reply, 0.1, 1.0, corrected_s=0.1 + delay_s)
    tally.dropped(7)
    tally.aborted()
    return tally.current()[""].statistics(1.0)


def test_what_was_not_sent_as_wanted_is_told() -> None:
    lines = format_plain(an_open_loop()).splitlines()
    assert lines[3:6] == [
        "  dropped      7  arrivals that were wanted and never sent",
        "  held         1  sent late: the limit of requests in flight was reached",
        "  aborted      1  given up at the end of the run, neither failed nor completed",
    ]


def test_times_from_the_intended_time_of_an_open_loop() -> None:
    out = format_plain(an_open_loop())
    assert re.search(r"\n  corrected +101 ms .* 600 ms\n  delay +1.00 ms .* 500 ms\n", out)
    assert "corrected" not in format_plain(a_run())
    json = orjson.loads(orjson.dumps(to_json(an_open_loop())))
    assert (json["sent"], json["dropped"], json["held"], json["aborted"]) == (4, 7, 1, 1)
    counts = [json[name]["count"] for name in ("corrected", "delay", "late")]
    assert counts == [3, 3, 2]
