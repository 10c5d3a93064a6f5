"""Who holds back and who fails; above all, who is not accused."""

from __future__ import annotations

import pytest

from scalab.measure.counts import OTHERS
from scalab.measure.statistics import ErrorCount, Place
from scalab.scaling.blame import blame
from tests.scaling.samples import place, placed, step

WELL = [placed(n, [place(f"gpu{i}", 100) for i in range(n)]) for n in (1, 2, 4, 8)]


def test_where_all_is_well_nobody_is_named() -> None:
    assert blame(WELL) == ()
    assert blame([]) == ()
    assert blame([step(1, problem="nobody came"), step(2)]) == ()


def test_who_fails_with_its_share_and_its_error() -> None:
    exited = (ErrorCount("exit code 247", 30), ErrorCount("timed\nout", 2))
    steps = [
        placed(2, [place("gpu0", 100), place("gpu1", 40, failed=32, errors=exited)]),
        placed(4, [place("gpu0", 200, failed=4), place("gpu1", 60, failed=60, errors=exited)]),
    ]
    (told,) = blame(steps)
    assert told == (
        "gpu1: 92.0 % of its 100 requests failed, 95.8 % of all failures; most often: exit code 247"
    )


def test_failures_everywhere_accuse_nobody() -> None:
    error = (ErrorCount("disk full", 5),)
    steps = [placed(2, [place(f"gpu{i}", 100, failed=5, errors=error) for i in range(4)])]
    (told,) = blame(steps)
    assert told == (
        "5.00 % of the requests failed, on no device more often than elsewhere, most often: "
        "disk full, with 2 workers"
    )
    few = [placed(2, [place("gpu0", 1000, failed=5), place("gpu1", 1000, failed=4)])]
    assert blame(few) == ()
    assert blame([placed(1, [place("gpu0", 100, failed=5)])]) == (
        "5.00 % of the requests failed, with 1 worker",
    )


def test_who_is_slower_than_the_others_is_told_once() -> None:
    slow = [
        placed(n, [*(place(f"gpu{i}", 100) for i in range(n - 1)), place("old", 48, 2.1)])
        for n in (4, 8)
    ]
    (told,) = blame(slow)
    assert told == (
        "old: runs take 2.10x as long as on the others (median 2.10 s, usual 1.00 s), with "
        "8 workers"
    )


def test_a_slow_node_is_told_where_no_device_of_it_is() -> None:
    nodes = [place(f"node{i}", 100, devices=(f"gpu{i}",)) for i in range(3)]
    bad = place("node9", 50, 2.0, devices=("gpu9",))
    alike = [place(f"gpu{i}", 5) for i in range(4)]  # too few runs to tell
    (told,) = blame([placed(4, alike, nodes=[*nodes, bad])])
    assert told.startswith("node node9: runs take 2.00x")
    devices = [*(place(f"gpu{i}", 100) for i in range(3)), place("gpu9", 50, 2.0)]
    (told,) = blame([placed(4, devices, nodes=[*nodes, bad])])
    assert told.startswith("gpu9: ")


def test_who_is_shared_gets_slower_over_the_steps() -> None:
    steps = [
        placed(1, [place("renderD129", 40, 2.9)]),
        placed(8, [place("renderD129", 100, 4.1)]),
    ]
    assert blame(steps) == (
        "runs on renderD129 took 2.89 s with 1 worker and 4.10 s with 8: 4.1 of them share it",
    )


def test_who_is_not_shared_gets_slower_by_something_else() -> None:
    steps = [
        placed(1, [place("a", 90, 1.0)]),
        placed(2, [place("a", 70, 1.4), place("b", 70, 1.4)]),
    ]
    (told,) = blame(steps)
    assert told == (
        "runs on a took 1.00 s with 1 worker and 1.40 s with 2: they don't share it, so it must "
        "be something else: CPU, memory, network, power"
    )


def test_when_all_get_slower_it_is_told_once() -> None:
    def devices(n: int, run_s: float) -> list[Place]:
        return [place(f"gpu{i}", 50, run_s * (1 + i / 50)) for i in range(n)]

    steps = [placed(4, devices(4, 1.0), run_s=1.03), placed(8, devices(8, 1.5), run_s=1.55)]
    (told,) = blame(steps)
    assert told == (
        "runs took longer with more workers on 4 of 8 devices: in the median 1.03 s with 4 "
        "workers and 1.55 s with 8; the most on gpu1 (1.50x)"
    )


@pytest.mark.parametrize(
    ("runs", "run_s", "spread"),
    [(100, 1.15, 0.02), (19, 1.5, 0.02), (27, 1.4, 2.0)],
)
def test_a_little_slower_or_by_chance_isn_t_told(runs: int, run_s: float, spread: float) -> None:
    steps = [
        placed(1, [place("a", 100, 1.0, spread=spread)]),
        placed(2, [place("a", runs, run_s, spread=spread)]),
    ]
    assert blame(steps) == ()


def test_the_rest_that_isn_t_told_apart_is_nobody() -> None:
    steps = [placed(1, [place(OTHERS, 100, 1.0)]), placed(2, [place(OTHERS, 100, 3.0)])]
    assert blame(steps) == ()


def test_overhead_that_grew_is_no_device_s_fault() -> None:
    one, two = [place("a", 100)], [place("a", 100), place("b", 100)]
    steps = [placed(1, one, overhead_s=0.01), placed(2, two, overhead_s=0.25)]
    (told,) = blame(steps)
    assert told == (
        "a request took 10.0 ms beside waiting and running with 1 worker and 250 ms with 2, 25.0x "
        "as much: starting processes, network or framework hold back, not the devices"
    )
    assert blame([placed(1, one, overhead_s=0.01), placed(2, two, overhead_s=0.1)]) == ()
    assert blame([placed(1, one, overhead_s=0.2), placed(2, two, overhead_s=0.25)]) == ()


def test_unfairness_is_told_where_nobody_stands_out() -> None:
    pods = [place("a", 300, 0.2), place("b", 130, 0.24)]
    (told,) = blame([placed(2, pods=pods, window_s=100)])
    assert told == (
        "work was shared out unevenly (Jain's index 0.86): a served 300, b 130, with 2 workers"
    )


def test_strangers_names_are_made_printable_and_the_rest_is_nobody() -> None:
    evil = place("x\n\x1b[2J" + "y" * 100, 50, failed=50, errors=(ErrorCount("e\n" * 200, 50),))
    found = blame([placed(3, [place("a", 100), evil, place(OTHERS, 100, failed=100)])])
    assert found
    for text in found:
        assert text.isprintable()
        assert len(text) < 400


def test_there_is_an_end_to_it() -> None:
    devices = [place(f"good{i}", 100) for i in range(40)]
    devices += [place(f"bad{i}", 50, 3.0 + i) for i in range(12)]
    found = blame([placed(52, devices)])
    assert len(found) == 9
    assert found[-1] == "and 4 more such findings"
