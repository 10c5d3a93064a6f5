"""What is told of an autoscaler, by runs made by hand of which all is known."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, strategies as st

from scalab.errors import ConfigError
from scalab.scaling.autoscale import AutoscaleReport, analyse
from scalab.scaling.criteria import Criteria
from scalab.scaling.hpa import Behavior, HpaRule, Policy
from scalab.scaling.losses import ScaleDown
from scalab.scaling.observed import Sample, Target, WorkerLife
from scalab.scaling.rises import Rise, find_rises, reversals
from scalab.scaling.startup import Part, Startup

from .timelines import CLEAN, LIVES, TARGET, sample, timeline


def flags(report: AutoscaleReport) -> set[str]:
    return {flag.name for flag in report.flags}


def rises(samples: list[Sample], target: Target = TARGET) -> tuple[Rise, ...]:
    return find_rises(samples, (), target)


# --- rises -----------------------------------------------------------------------------------


def test_a_rise_that_is_followed() -> None:
    assert find_rises(CLEAN, LIVES, TARGET) == (
        Rise(
            start_s=10,
            until_s=80,
            before=1,
            demand=4,
            needed=4,
            lasted_s=30,
            reacted_after_s=10,
            ready_after_s=19,
            first_item_after_s=21,
            target_after_s=30,
            settled_after_s=30,
            overshoot=0,
            undershoot=0,
            oscillations=0,
        ),
    )


def test_without_lives_new_workers_are_seen_in_samples() -> None:
    (rise,) = rises(CLEAN)

    assert rise.ready_after_s == 20
    assert rise.first_item_after_s is None


def test_a_worker_asked_for_just_before_the_sample_belongs_to_the_rise() -> None:
    lives = [WorkerLife(name="w", asked_s=9.0, ready_s=9.5, first_item_s=12.0)]
    (rise,) = find_rises(timeline([(8, 1, 1), (10, 4, 4), (12, 4, 4)]), lives, TARGET)

    assert rise.reacted_after_s == 0
    assert rise.ready_after_s == 0
    assert rise.first_item_after_s == 2


def test_demand_within_the_tolerance_is_no_rise() -> None:
    assert not rises(timeline([(0, 10, 10), (1, 11, 10), (2, 11, 10)]), Target(items=1, maximum=20))
    assert rises(timeline([(0, 10, 10), (1, 12, 10), (2, 12, 10)]), Target(items=1, maximum=20))


def test_demand_beyond_the_maximum_is_no_rise() -> None:
    assert not rises(timeline([(0, 1, 10), (1, 99, 10)]))


def test_stairs_are_a_rise_each_once_the_last_one_is_met() -> None:
    found = rises(timeline([(0, 1, 1), (1, 3, 1), (2, 3, 3), (3, 6, 3), (4, 6, 6), (5, 6, 6)]))

    assert [(r.start_s, r.before, r.needed, r.until_s) for r in found] == [
        (1, 1, 3, 2),
        (3, 3, 6, 5),
    ]


def test_stairs_that_are_not_met_are_one_rise() -> None:
    found = rises(timeline([(0, 1, 1), (1, 3, 1), (2, 6, 3, 1), (3, 6, 6)]))

    assert [(r.start_s, r.needed, r.reacted_after_s, r.target_after_s) for r in found] == [
        (1, 6, 1, 2)
    ]


def test_workers_taken_away_while_demand_stays_are_no_rise_but_an_undershoot() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 6, 6), (2, 6, 4), (3, 6, 6), (4, 6, 6), (5, 6, 6)]))

    assert rise.undershoot == 2
    assert rise.oscillations == 2
    assert rise.settled_after_s == 2


def test_too_many_workers_are_an_overshoot() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 4, 1), (2, 4, 9), (3, 4, 9), (4, 4, 4), (5, 4, 4)]))

    assert rise.overshoot == 5
    assert rise.oscillations == 1
    assert rise.settled_after_s == 3


def test_a_rise_that_passes_by_itself_reaches_no_target() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 4, 1), (4, 1, 1), (5, 1, 1)]))

    assert rise.lasted_s == 3
    assert rise.reacted_after_s is rise.target_after_s is rise.settled_after_s is None


def test_a_rise_that_is_never_met() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 4, 1), (9, 4, 1)]))

    assert rise.lasted_s == 8
    assert rise.target_after_s is None


def test_workers_that_are_ready_but_not_connected_are_not_enough() -> None:
    late = [sample(0, 1, 1), sample(1, 4, 4, connected=1.0), sample(2, 4, 4, connected=3.5)]
    (rise,) = rises([*late, sample(3, 4, 4)])

    assert rise.target_after_s == 2


def test_after_the_load_falls_desired_may_follow() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 8, 8), (2, 8, 8), (3, 2, 4), (4, 2, 2), (5, 2, 4)]))

    assert rise.oscillations == 0
    assert rise.undershoot == 0
    assert rise.settled_after_s == 0


def test_what_still_changes_at_the_end_has_not_settled() -> None:
    (rise,) = rises(timeline([(0, 1, 1), (1, 4, 4), (2, 4, 4), (3, 4, 5)]))

    assert rise.settled_after_s is None


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([], 0),
        ([5, 5], 0),
        ([5, 3], 0),
        ([5, 3, 5], 1),
        ([1, 2, 3, 2, 3, 2], 3),
        ([20, 21, 20, 22], 0),
        ([10, 20, 18, 17, 19], 2),
    ],
)
def test_reversals(values: list[int], count: int) -> None:
    assert reversals(values, 0.1) == count


# --- losses ----------------------------------------------------------------------------------


def test_what_is_lost_at_a_scale_down_is_put_down_to_it() -> None:
    counts = {
        0: {"completed": 0},
        60: {"completed": 500, "redelivered": 1},
        70: {"completed": 520, "failed": 1, "redelivered": 1, "lost": 1},
        80: {"completed": 540, "failed": 2, "redelivered": 4, "lost": 1},
    }
    told = [attrs.evolve(s, **counts.get(int(s.at_s), {})) for s in CLEAN if s.at_s in counts]
    told.append(attrs.evolve(told[-1], at_s=83, completed=543, redelivered=5))
    told.append(attrs.evolve(told[-1], at_s=90, completed=550, redelivered=9))
    losses = analyse(told, (), TARGET).losses

    assert losses.scale_downs == (
        ScaleDown(
            from_s=60, to_s=83, before=4, after=1, completed=43, failed=2, lost=1, redelivered=4
        ),
    )
    assert losses.lost == 3
    assert losses.rerun == 4
    assert losses.rerun_elsewhere == 5


def test_failures_that_are_usual_are_not_put_down_to_scale_downs() -> None:
    told = [
        sample(0, 4, 4),
        sample(10, 4, 4, completed=100, failed=10),
        sample(20, 1, 1, completed=150, failed=17),
        sample(30, 1, 1, completed=150, failed=17),
    ]
    losses = analyse(told, (), TARGET).losses

    assert losses.usual_failures == pytest.approx(0.1)
    assert losses.lost == 2


def test_scale_downs_that_overlap_are_one_and_others_are_not() -> None:
    told = timeline([(0, 4, 4), (1, 4, 3, 4), (2, 4, 2, 4), (3, 4, 2), (9, 4, 2), (10, 4, 1)])

    assert [
        (d.from_s, d.to_s, d.before, d.after) for d in analyse(told, (), TARGET).losses.scale_downs
    ] == [
        (0, 9, 4, 2),
        (9, 10, 2, 1),
    ]


def test_a_scale_down_lasts_until_workers_are_down_and_disconnected() -> None:
    down = [sample(0, 4, 4), sample(1, 4, 1, 4, connected=1.0), sample(5, 4, 1, connected=3.0)]
    told = [*down, sample(9, 4, 1), sample(15, 4, 1)]

    assert [d.to_s for d in analyse(told, (), TARGET).losses.scale_downs] == [15]
    told[2] = sample(5, 4, 1)
    assert [d.to_s for d in analyse(told, (), TARGET).losses.scale_downs] == [9]


def test_counts_that_begin_anew_are_no_losses() -> None:
    told = [sample(0, 4, 4, failed=90), sample(1, 1, 1, failed=2), sample(5, 1, 1, failed=2)]

    assert analyse(told, (), TARGET).losses.lost == 2


# --- startup and cost ------------------------------------------------------------------------


def test_the_way_to_the_first_item_part_by_part() -> None:
    assert analyse(CLEAN, LIVES, TARGET).startup == Startup(
        (
            Part("asked to created", 2, 1.5, 2),
            Part("asked to ready", 1, 19, 19),
            Part("created to scheduled", 2, 3.5, 5),
            Part("scheduled to ready", 2, 9.5, 12),
            Part("ready to first item", 3, 1, 2),
        )
    )


def test_cost() -> None:
    cost = analyse([attrs.evolve(s, oldest_s=s.at_s / 10) for s in CLEAN], (), TARGET).cost

    assert cost.used_s == 10 * (1 + 1 + 1 + 2 + 4 + 4 + 4 + 4)
    assert cost.ideal_s == 10 * (1 + 4 + 4 + 4 + 4 + 4 + 1 + 1)
    assert cost.short_s == 10 * (3 + 3 + 2)
    assert cost.idle_s == 10 * (3 + 3)
    assert cost.backlog_s == 10 * (3 + 3 + 2)
    assert cost.longest_wait_s == 8


# --- flags -----------------------------------------------------------------------------------


def test_a_clean_run_has_no_flags() -> None:
    assert not flags(analyse(CLEAN, LIVES, TARGET))


def test_an_autoscaler_that_never_reacted() -> None:
    report = analyse(timeline([(0, 1, 1), (10, 40, 1), (100, 40, 1)]), (), TARGET)

    assert flags(report) == {"never-reacted"}
    assert "is its metric there" in report.flags[0].text
    assert report.outcome == "FAIL"


def test_workers_that_never_come() -> None:
    assert flags(analyse(timeline([(0, 1, 1), (10, 4, 4, 1), (99, 4, 4, 1)]), (), TARGET)) == {
        "no-worker-came"
    }


def test_workers_that_don_t_connect() -> None:
    told = [sample(0, 1, 1), sample(10, 4, 4, connected=1.0), sample(50, 4, 4, connected=1.0)]

    assert flags(analyse(told, (), TARGET)) == {"not-connected"}


def test_too_low_a_maximum() -> None:
    low = timeline([(0, 1, 1), (10, 40, 10), (100, 40, 10)])

    assert flags(analyse(low, (), TARGET)) == {"capped"}
    assert not flags(analyse(timeline([(0, 1, 1), (10, 11, 10), (100, 11, 10)]), (), TARGET))


def test_flapping() -> None:
    told = timeline([(0, 1, 1), (1, 6, 6), (2, 6, 4), (3, 6, 6), (4, 6, 6), (5, 6, 6)])

    assert flags(analyse(told, (), TARGET)) == {"flapping"}


def test_workers_that_are_kept() -> None:
    told = timeline([(0, 1, 1), (1, 6, 6), (2, 1, 6), (40, 1, 6)])

    assert flags(analyse(told, (), TARGET)) == {"kept"}
    assert not flags(analyse([*told, sample(41, 1, 1)], (), TARGET))
    falling = timeline([(0, 1, 1), (1, 6, 6), (2, 1, 6), (30, 1, 5), (55, 1, 5), (60, 1, 5)])
    assert not flags(analyse(falling, (), TARGET)), "one is gone, and the next may follow"


# --- the verdict -----------------------------------------------------------------------------


def verdict(samples: list[Sample], **criteria: float) -> str:
    return analyse(samples, (), TARGET, Criteria(**criteria)).outcome  # type: ignore[arg-type]


def test_verdicts_of_the_reaction() -> None:
    assert verdict(CLEAN) == "PASS"
    assert verdict(CLEAN, react_within_s=10) == "PASS"
    assert verdict(CLEAN, react_within_s=9.9) == "FAIL"
    assert verdict(CLEAN, react_within_s=10, target_within_s=30) == "PASS"
    assert verdict(CLEAN, react_within_s=10, target_within_s=29) == "FAIL"


def test_no_verdict_without_a_rise() -> None:
    assert verdict([]) == "INCONCLUSIVE"
    assert verdict(timeline([(0, 1, 1), (9, 1, 1)])) == "INCONCLUSIVE"


def test_no_verdict_when_no_rise_lasts() -> None:
    brief = timeline([(0, 1, 1), (10, 4, 1), (20, 1, 1), (90, 1, 1)])

    assert verdict(brief, react_within_s=15) == "INCONCLUSIVE"
    assert verdict(brief, react_within_s=9) == "FAIL"


def test_verdicts_of_the_losses() -> None:
    told = [attrs.evolve(s, lost=int(s.at_s >= 70), completed=int(s.at_s)) for s in CLEAN]

    assert verdict(told, lost_max=1) == "PASS"
    assert verdict(told, lost_max=0) == "FAIL"
    assert verdict(CLEAN[:7], lost_max=0) == "INCONCLUSIVE"
    assert verdict(told, react_within_s=9) == "FAIL"


def test_reasons() -> None:
    def reasons(samples: list[Sample], **criteria: float) -> tuple[str, ...]:
        return analyse(samples, (), TARGET, Criteria(**criteria)).reasons  # type: ignore[arg-type]

    assert reasons(CLEAN, react_within_s=30, lost_max=0) == (
        "asked for more workers within 10 s of every rise; the limit is 30 s",
        "0 lost at 1 scale-down; the limit is 0",
    )
    assert reasons(CLEAN, react_within_s=5, lost_max=0) == (
        (
            "asked for more workers only 10 s after the rise at 10 s, 30 s long; "
            "the limit is 5 s (1 of 1 rise late)"
        ),
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Target(items=0, maximum=4), "0 items per worker"),
        (lambda: Target(items=float("nan"), maximum=4), "nan items"),
        (lambda: Target(items=1, minimum=5, maximum=4), "at least 5 and at most 4"),
        (lambda: Target(items=1, minimum=0, maximum=0), "at most 0"),
        (lambda: Target(items=1, minimum=-1, maximum=4), "at least -1"),
        (lambda: Target(items=1, maximum=4, tolerance=1), "tolerance: 1"),
        (lambda: Criteria(react_within_s=0), "react within 0 s"),
        (lambda: Criteria(target_within_s=-1), "target within -1 s"),
        (lambda: Criteria(lost_max=-1), "lost at most -1"),
    ],
)
def test_what_can_t_be_asked(make: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()  # type: ignore[operator]


# --- what holds for all runs -----------------------------------------------------------------

rows = st.lists(
    st.tuples(
        st.integers(1, 20),  # seconds since the sample before
        st.integers(0, 60),  # level
        st.integers(0, 60),  # waiting
        st.integers(0, 60),  # running
        st.integers(0, 12),
        st.integers(0, 12),
        st.integers(0, 24),
        st.integers(0, 5),
    ),
    max_size=30,
)


@st.composite
def runs(draw: st.DrawFn) -> list[Sample]:
    at_s, failed, found = 0, 0, []
    for step, level, waiting, running, desired, ready, slots, more in draw(rows):
        at_s += step
        failed += more
        found.append(
            Sample(
                at_s=at_s,
                level=level,
                waiting=waiting,
                running=running,
                desired=desired,
                ready=ready,
                connected=slots / 2,
                completed=2 * failed + at_s,
                failed=failed,
                redelivered=failed,
            )
        )
    return found


targets = st.builds(
    Target,
    items=st.sampled_from([0.5, 1.0, 3.0, 7.0]),
    minimum=st.integers(0, 2),
    maximum=st.integers(2, 15),
)


@given(runs(), targets)
def test_integrals_add_up(samples: list[Sample], target: Target) -> None:
    cost = analyse(samples, (), target).cost

    assert cost.used_s == pytest.approx(cost.ideal_s + cost.idle_s - cost.short_s)
    assert min(attrs.astuple(cost)) >= 0


@given(runs(), targets)
def test_rises_are_in_order_and_their_times_in_their_order(
    samples: list[Sample], target: Target
) -> None:
    found = rises(samples, target)

    for rise, later in pairwise(found):
        assert rise.start_s <= rise.until_s < later.start_s
    for rise in found:
        assert rise.needed > rise.before
        assert 0 <= rise.lasted_s <= rise.until_s - rise.start_s
        assert rise.target_after_s in {None, rise.lasted_s}
        if rise.reacted_after_s is not None:
            assert rise.reacted_after_s <= rise.lasted_s
        if rise.settled_after_s is not None:
            assert rise.settled_after_s >= rise.lasted_s


@given(runs(), targets, st.integers(0, 30))
def test_a_sample_more_that_says_the_same_changes_nothing(
    samples: list[Sample], target: Target, at: int
) -> None:
    """However often one looks: only what happens counts."""
    if at >= len(samples) - 1:
        return
    between = (samples[at].at_s + samples[at + 1].at_s) / 2
    more = [*samples[: at + 1], attrs.evolve(samples[at], at_s=between), *samples[at + 1 :]]
    before, after = analyse(samples, (), target), analyse(more, (), target)

    assert after.cost == before.cost
    assert len(after.rises) == len(before.rises)
    for old, new in zip(before.rises, after.rises, strict=True):
        assert attrs.evolve(new, until_s=0, settled_after_s=None) == attrs.evolve(
            old, until_s=0, settled_after_s=None
        )


@given(runs(), targets, st.randoms())
def test_the_order_of_samples_does_not_matter(
    samples: list[Sample], target: Target, random: object
) -> None:
    mixed = list(samples)
    random.shuffle(mixed)  # type: ignore[attr-defined]

    assert analyse(mixed, (), target) == analyse(samples, (), target)


@given(runs(), targets)
def test_scale_downs_count_nothing_twice(samples: list[Sample], target: Target) -> None:
    losses = analyse(samples, (), target).losses

    failed = samples[-1].failed - samples[0].failed if samples else 0
    assert sum(down.failed for down in losses.scale_downs) <= failed
    assert losses.rerun + losses.rerun_elsewhere == failed
    for down, later in pairwise(losses.scale_downs):
        assert down.from_s < down.to_s <= later.from_s


# --- with the rule of Kubernetes -------------------------------------------------------------


def test_a_queue_that_the_rule_of_kubernetes_scales() -> None:
    """Sixteen requests in parallel, a worker takes two, and 20 s to start."""
    target = Target(items=2.0, maximum=10)
    calm = Behavior(stabilization_s=30, policies=(Policy("percent", 100),))
    rule, desired, ready, starting = HpaRule(target, down=calm), 1, 1, deque[tuple[int, int]]()
    seen = []
    for now in range(200):
        demand = 16 if 20 <= now < 120 else 2
        while starting and starting[0][0] <= now:
            ready += starting.popleft()[1]
        if now % 15 == 0:
            wanted = rule.decide(now, desired, demand).desired
            if wanted > desired:
                starting.append((now + 20, wanted - desired))
            else:
                ready = min(ready, wanted)
            desired = wanted
        seen.append(sample(now, demand, desired, ready))
    report = analyse(seen, (), target, Criteria(react_within_s=15))

    assert report.outcome == "PASS"
    (rise,) = report.rises
    assert (rise.start_s, rise.reacted_after_s, rise.ready_after_s) == (20, 10, 30)
    assert (rise.needed, rise.target_after_s, rise.settled_after_s) == (8, 45, 45)
    assert (rise.overshoot, rise.undershoot, rise.oscillations) == (0, 0, 0)
    assert [(d.before, d.after) for d in report.losses.scale_downs] == [(8, 1)]
    assert not report.flags
