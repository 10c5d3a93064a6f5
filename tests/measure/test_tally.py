"""What the client counts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from scalab.measure import aggregate as aggregate_module, tally as tally_module
from scalab.measure.aggregate import Aggregate, merged
from scalab.measure.counts import OTHERS
from scalab.measure.statistics import ErrorCount, Place, Spread, Statistics
from scalab.measure.tally import MAX_NAME, MAX_TEXT, Tally, outcome_of
from scalab.protocol.messages import Reply

OUTCOMES = ["success", "failure", "timeout", "lost", "cancelled", "rejected", "disconnected"]


def ran(node: str = "n1", run_s: float = 0.1, **fields: object) -> Reply:
    values: dict[str, object] = {
        "node": node, "device": "d1", "pod": "p1", "runtime_s": run_s, "waittime_s": 0.01,
        "attempts": 1, "outcome": "success",
    }  # fmt: skip
    return Reply(**{**values, **fields})  # type: ignore[arg-type]


def counted(tally: Tally, window_s: float = 2.0) -> Statistics:
    whole = merged(list(tally.current().values()))
    return whole.statistics(window_s, sum(tally.outstanding))


def tallied(*replies: Reply, total_s: float = 1.0) -> Statistics:
    tally = Tally(0.0)
    tally.sent(n=len(replies))
    for reply in replies:
        tally.completed(reply, total_s, 1.0)
    return counted(tally)


def names(places: tuple[Place, ...]) -> list[str]:
    return [place.name for place in places]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        *((Reply(outcome=outcome, node="n", retcode=1), outcome) for outcome in OUTCOMES),
        (Reply(node="n"), "success"),
        (Reply(node="n", retcode=3), "failure"),
        (Reply(node="n", error="no such file"), "failure"),
        (Reply(node="n", timeout_s=2, retcode=124, error="timed out"), "timeout"),
        (Reply(timeout_s=2), "timeout"),
        (Reply(error="queue is full", retcode=1), "rejected"),
        (Reply(error="lost: 3 backends vanished", retcode=1, attempts=3), "lost"),
        (Reply(outcome="nonsense", node="n"), "success"),
    ],
)
def test_outcome_is_the_frontends_or_derived(reply: Reply, outcome: str) -> None:
    assert outcome_of(reply) == outcome


def test_a_successful_reply() -> None:
    statistics = tallied(ran(run_s=0.2, waittime_s=0.3), total_s=0.51)
    one = Spread(1, *[0.2] * 8)
    assert (statistics.completed, statistics.succeeded, statistics.failed) == (1, 1, 0)
    assert statistics.failures == {}
    assert statistics.run == one
    assert statistics.wait.max_s == 0.3
    assert statistics.total.max_s == 0.51
    assert statistics.overhead.max_s == 0.01
    assert statistics.nodes == (Place("n1", 1, 0, one, ((0.2, 0.2, 1),), ("d1",), ("p1",)),)
    assert statistics.devices == (Place("d1", 1, 0, one, ((0.2, 0.2, 1),), (), ("p1",)),)
    assert statistics.pods == (Place("p1", 1, 0, one, ((0.2, 0.2, 1),), ("d1",), ()),)
    assert statistics.attempts_max == 1


def test_overhead_below_zero_counts_as_zero() -> None:
    assert tallied(ran(run_s=0.9, waittime_s=0.2), total_s=1.0).overhead == Spread(1)


@pytest.mark.parametrize(
    ("reply", "times"),
    [
        (ran(), True),
        (ran(outcome="timeout", error="timed out"), True),
        (ran(outcome="timeout", node=""), True),
        (ran(outcome="failure", retcode=1), True),
        (ran(outcome="failure", retcode=1, node=""), False),
        (ran(outcome="lost", node=""), False),
        (ran(outcome="cancelled"), False),
        (ran(outcome="rejected", node=""), False),
    ],
)
def test_only_what_ran_has_times_beside_the_total(reply: Reply, times: bool) -> None:
    statistics = tallied(reply)
    assert statistics.total.count == 1
    counts = {s.count for s in (statistics.wait, statistics.run, statistics.overhead)}
    assert counts == {int(times)}
    assert all(place.run.count == times for place in statistics.nodes)


def test_failures_are_told_by_kind_place_and_text() -> None:
    statistics = tallied(
        ran("n1"),
        ran("n1", outcome="failure", error="boom"),
        ran("n2", outcome="failure", error="boom"),
        ran("n2", outcome="timeout", error="timed out after 2 s"),
        Reply(outcome="rejected", error="full"),
        Reply(outcome="lost"),
    )
    assert statistics.failures == {"failure": 2, "timeout": 1, "rejected": 1, "lost": 1}
    assert (statistics.completed, statistics.succeeded, statistics.failed) == (6, 1, 5)
    boom = ErrorCount("boom", 2)
    assert statistics.errors == (
        boom,
        ErrorCount("full", 1),
        ErrorCount("timed out after 2 s", 1),
    )
    n1, n2 = statistics.nodes
    assert (n1.served, n1.failed, n1.errors) == (2, 1, (ErrorCount("boom", 1),))
    assert (n2.served, n2.failed) == (2, 2)
    assert names(statistics.devices) == ["d1"]
    assert statistics.devices[0].errors[0] == boom


def test_ended_without_a_reply() -> None:
    tally = Tally(0.0)
    tally.sent(n=5)
    tally.unanswered("disconnected", "connection reset", 1.0)
    assert tally.aborted() == 4
    statistics = counted(tally)
    assert (statistics.outstanding, statistics.aborted) == (0, 4)
    assert (statistics.completed, statistics.succeeded, statistics.failed) == (0, 0, 1)
    assert statistics.failures == {"disconnected": 1}
    assert statistics.throughput == 0
    assert statistics.errors == (ErrorCount("connection reset", 1),)
    assert tally.recent_rate(1.0) == 0
    assert tally.recent_failure_rate(1.0) == 1


def test_a_cut_starts_an_interval_and_keeps_what_is_outstanding() -> None:
    tally = Tally(10.0)
    tally.sent(n=4)
    tally.completed(ran(attempts=2), 1.0, 11.0)
    tally.completed(ran(outcome="failure", error="boom"), 1.0, 12.0)
    first = tally.cut()[""].statistics(4.0)
    assert (first.sent, first.completed, first.failed, first.throughput) == (4, 2, 1, 0.5)
    assert tally.current() == {"": Aggregate()}
    tally.completed(ran("n2"), 1.0, 17.0)
    statistics = counted(tally, window_s=4.0)
    assert (statistics.outstanding, statistics.completed, statistics.throughput) == (1, 1, 0.25)
    assert names(statistics.nodes) == ["n2"]


def test_a_window_without_length_has_no_throughput() -> None:
    tally = Tally(5.0)
    tally.sent()
    tally.completed(ran(), 0.0, 5.0)
    assert counted(tally, window_s=0.0).throughput == 0


def test_queues_are_counted_apart() -> None:
    tally = Tally(0.0, ["a", "b"])
    tally.sent(0)
    tally.sent(1, 3)
    tally.completed(ran("n1"), 1.0, 1.0, 1)
    tally.unanswered("disconnected", "gone", 1.0, 1)
    tally.dropped(2, 0)
    queues = tally.cut()
    assert (queues["a"].sent, queues["a"].completed, queues["a"].dropped) == (1, 0, 2)
    assert (queues["b"].sent, queues["b"].completed, queues["b"].failed) == (3, 1, 1)
    assert tally.outstanding == [1, 1]
    assert list(queues["a"].nodes) == []


def test_an_open_loop_has_two_latencies_and_tells_who_was_late() -> None:
    tally = Tally(0.0)
    tally.sent(n=3)
    tally.delayed(0.001, held=False)
    tally.delayed(2.0, held=True)
    tally.delayed(0.003, held=False)
    tally.completed(ran(), 0.5, 3.0, corrected_s=2.5)
    statistics = counted(tally)
    assert (statistics.total.max_s, statistics.corrected.max_s) == (0.5, 2.5)
    assert (statistics.delay.count, statistics.delay.max_s, statistics.held) == (3, 2.0, 1)
    assert (statistics.late.count, statistics.late.max_s) == (2, 0.003)


def test_recent_rate_outlives_the_interval() -> None:
    tally = Tally(0.0)
    for n in range(1, 501):
        tally.sent()
        tally.completed(ran(), 0.1, n / 100)
    tally.cut()
    assert tally.recent_rate(5.0) == pytest.approx(100, rel=0.06)


def test_places_share_the_steps_of_the_whole() -> None:
    fast, slow = [ran("fast", 0.1)] * 3, [ran("slow", 1.6)] * 2
    statistics = tallied(*fast, *slow)
    one, other = statistics.nodes
    bounds = [step[:2] for step in one.histogram]
    assert len(bounds) == 12
    assert bounds == [step[:2] for step in other.histogram]
    assert [step[2] for step in one.histogram] == [3, *[0] * 11]
    assert [step[2] for step in other.histogram] == [*[0] * 11, 2]


def test_places_can_be_left_out() -> None:
    tally = Tally(0.0)
    tally.sent()
    tally.completed(ran(), 1.0, 1.0)
    statistics = tally.current()[""].statistics(1.0, places=False)
    assert (statistics.nodes, statistics.devices, statistics.pods) == ((), (), ())
    assert statistics.run.count == 1


def test_a_node_knows_its_devices_and_pods() -> None:
    statistics = tallied(
        ran("n1", device="card1", pod="b"),
        ran("n1", device="card0", pod="a"),
        ran("n1", device="card0", pod="b"),
        ran("n2", device="", pod="c"),
    )
    n1, n2 = statistics.nodes
    assert (n1.devices, n1.pods) == (("card0", "card1"), ("a", "b"))
    assert (n2.devices, n2.pods) == ((), ("c",))
    assert names(statistics.devices) == ["card0", "card1"]
    assert {pod.name: pod.devices for pod in statistics.pods} == {
        "a": ("card0",),
        "b": ("card0", "card1"),
        "c": (),
    }


def test_strings_of_peers_are_made_printable_and_cut() -> None:
    reply = ran("n\n\x1b[2J", pod="p" * 1000, outcome="failure", error="e\x00" + "x" * 1000)
    statistics = tallied(reply)
    assert names(statistics.nodes) == [r"n\n\x1b[2J"]
    assert len(statistics.pods[0].name) == MAX_NAME
    assert statistics.pods[0].name.endswith("…")
    assert len(statistics.errors[0].text) == MAX_TEXT
    assert statistics.errors[0].text.startswith(r"e\x00xx")
    assert statistics.nodes[0].errors == statistics.errors


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in {
        "MAX_PLACES": 5, "MAX_LINKS": 3, "MAX_ERRORS": 4, "MAX_PLACE_ERRORS": 2, "_MAX_ROUTES": 6,
    }.items():  # fmt: skip
        for module in (aggregate_module, tally_module):
            monkeypatch.setattr(module, name, limit, raising=hasattr(module, name))


@pytest.mark.usefixtures("small_limits")
def test_memory_is_bounded_and_nothing_is_uncounted() -> None:
    tally = Tally(0.0)
    tally.sent(n=200)
    for i in range(200):
        name = str(i % 20)
        reply = ran(f"n{name}", pod=f"p{i}", device="d", outcome="failure", error=f"error {i}")
        tally.completed(reply, 1.0, 1.0)
    assert len(tally._routes[0]) == 6
    statistics = counted(tally)
    for places in (statistics.nodes, statistics.pods):
        assert len(places) == 6
        assert places[0].name == OTHERS
        assert sum(place.served for place in places) == 200
        assert sum(place.failed for place in places) == 200
        assert sum(place.run.count for place in places) == 200
    served = {place.name: place.served for place in statistics.nodes}
    assert served == {OTHERS: 150, "n0": 10, "n1": 10, "n2": 10, "n3": 10, "n4": 10}
    assert statistics.devices[0].pods == (OTHERS, "p0", "p1", "p2")
    assert len(statistics.errors) == 5
    assert statistics.errors[0] == ErrorCount(OTHERS, 196)
    assert statistics.nodes[1].errors[0] == ErrorCount(OTHERS, 8)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("completed"),
            st.sampled_from(["success", "failure", "timeout", "lost", "rejected"]),
            st.sampled_from(["", "n1", "n2"]),
            st.sampled_from(["", "p1", "p2", "p3"]),
        ),
        st.tuples(st.sampled_from(["sent", "unanswered", "cut"])),
    ),
    max_size=60,
)


@given(steps)
def test_every_request_is_counted_once(steps: list[tuple[str, ...]]) -> None:
    tally = Tally(0.0)
    sent = ended = 0
    window: list[tuple[str, ...]] = []
    cuts: list[Aggregate] = []
    for i, step in enumerate(steps, 1):
        match step:
            case ("sent",):
                tally.sent(n=2)
                sent += 2
                continue
            case ("cut",):
                cuts.append(tally.cut()[""])
                continue
            case ("unanswered",):
                tally.unanswered("disconnected", "gone", float(i))
                window.append(step)
            case (_, outcome, node, pod):
                reply = Reply(outcome=outcome, node=node, pod=pod, runtime_s=0.1)
                tally.completed(reply, 0.2, float(i))
                window.append(step)
        ended += 1
    whole = Aggregate()
    for cut in [*cuts, *tally.current().values()]:
        whole.merge(cut)
    statistics = whole.statistics(100.0, sum(tally.outstanding))
    replies = [step[1:] for step in window if step[0] == "completed"]
    outcomes = Counter(outcome for outcome, _, _ in replies)
    dropped = len(window) - len(replies)
    assert statistics.outstanding == sent - ended
    assert statistics.completed == len(replies) == statistics.total.count
    assert statistics.succeeded == outcomes["success"]
    assert statistics.succeeded + statistics.failed == len(window)
    assert statistics.failures == {
        **{k: n for k, n in outcomes.items() if k != "success"},
        **({"disconnected": dropped} if dropped else {}),
    }
    assert {p.name: p.served for p in statistics.nodes} == Counter(n for _, n, _ in replies if n)
    assert {p.name: p.served for p in statistics.pods} == Counter(p for _, _, p in replies if p)
    runs = sum(o in ("success", "timeout") or (o == "failure" and n != "") for o, n, _ in replies)
    assert statistics.run.count == statistics.wait.count == statistics.overhead.count == runs
