"""The alerts by ``promtool test rules``: when each fires, and when it doesn't.

And the autoscalers' queries, on what a real Prometheus can come across: a frontend that is scraped
twice, two frontends while one replaces the other, and one that can't be scraped.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from .manifests import Object, load_file, tool
from .promql import adapter_queries, alert_queries, keda_queries

Q = 'namespace="ns",queue="q"'
P = f'{Q},pod="p"'
WAITING = f'scalab_queue_items{{{P},state="waiting"}}'
RUNNING = f'scalab_queue_items{{{P},state="running"}}'
IDLE = f'scalab_queue_backends{{{P},state="idle"}}'
BUSY = f'scalab_queue_backends{{{P},state="busy"}}'
DELIVERED = f"scalab_queue_items_delivered_total{{{P}}}"
OLDEST = f"scalab_queue_oldest_item_timestamp_seconds{{{P}}}"
UP_FRONTEND = 'up{namespace="ns",job="scalab-frontend",pod="f"}'
UP_BACKEND = 'up{namespace="ns",job="scalab-backend",pod="b"}'


def completed(outcome: str) -> str:
    return f'scalab_queue_items_completed_total{{{P},outcome="{outcome}"}}'


def redelivered(reason: str) -> str:
    return f'scalab_queue_items_redelivered_total{{{P},reason="{reason}"}}'


def rejected(reason: str) -> str:
    return f'scalab_queue_items_rejected_total{{{P},reason="{reason}"}}'


CONNECTED = f"scalab_client_connected{{{P}}}"


def lag(bound: str) -> str:
    return f'scalab_event_loop_lag_seconds_bucket{{namespace="ns",pod="p",le="{bound}"}}'


@attrs.frozen
class Case:
    """What there is, sampled each minute for an hour, and which alerts there are after it."""

    name: str
    series: Mapping[str, str]
    alerts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


FLOWS = {DELIVERED: "0+5x60", completed("success"): "0+5x60"}
HEALTHY = {
    WAITING: "3x60", RUNNING: "2x60", IDLE: "0x60", BUSY: "2x60", UP_FRONTEND: "1x60",
    UP_BACKEND: "1x60", OLDEST: "0+60x60", completed("failure"): "0x60", completed("lost"): "0x60",
    completed("timeout"): "0x60", redelivered("disconnect"): "0x60",
    redelivered("release"): "0+9x60",
    rejected("full"): "0x60", rejected("draining"): "0+1x60", lag("0.01"): "0+100x60",
    CONNECTED: "1x60", lag("0.5"): "0+100x60", lag("+Inf"): "0+100x60", **FLOWS,
}  # fmt: skip

ENGINE_UP = 'scalab_engine_up{namespace="ns",pod="p"}'
SHARED_OLDEST = f"scalab_shared_queue_oldest_seconds{{{P}}}"
SHARED = {
    WAITING: "0x60", OLDEST: "0x60", SHARED_OLDEST: "9x60",
    f'scalab_shared_queue_items{{{P},state="waiting"}}': "3x60",
    ENGINE_UP: "1x60", ENGINE_UP.replace('"p"', '"p2"'): "1x60",
}  # fmt: skip
"""What else there is if several frontends share the queue."""

CASES = [
    Case("all is well", HEALTHY),
    Case("nothing to do", {**HEALTHY, WAITING: "0x60", RUNNING: "0x60", IDLE: "2x60", BUSY: "0x60",
                           DELIVERED: "7x60", completed("success"): "7x60", OLDEST: "0x60"}),
    Case("no backend", {**HEALTHY, BUSY: "0x60", IDLE: "0x60"}, ("ScalabNoWorkers",)),
    Case("no backend for some minutes", {**HEALTHY, BUSY: "2x56 0x4", IDLE: "0x60"}),
    Case("no backend and no demand", {**HEALTHY, WAITING: "0x60", RUNNING: "0x60", BUSY: "0x60",
                                      DELIVERED: "7x60", completed("success"): "7x60"}),
    Case("stuck", {**HEALTHY, DELIVERED: "0+5x30 150x30", completed("success"): "0+5x30 150x30"},
         ("ScalabQueueStuck",)),
    Case("long items", {**HEALTHY, completed("success"): "7x60"}),
    Case("long wait", {**HEALTHY, OLDEST: "600x60"}, ("ScalabOldestWait",)),
    Case("long wait in the store", {**HEALTHY, **SHARED, SHARED_OLDEST: "700x60"},
         ("ScalabOldestWait",)),
    Case("shared, and all is well", {**HEALTHY, **SHARED}),
    Case("shared, and no backend", {**HEALTHY, **SHARED, BUSY: "0x60", IDLE: "0x60"},
         ("ScalabNoWorkers",)),
    Case("one frontend without its store", {**HEALTHY, **SHARED, ENGINE_UP: "0x60"}),
    Case("no store", {**HEALTHY, **SHARED, ENGINE_UP: "0x60", ENGINE_UP.replace('"p"', '"p2"'):
         "0x60"}, ("ScalabStoreAway",)),
    Case("failures", {**HEALTHY, completed("failure"): "0+1x60"}, ("ScalabFailures",)),
    Case("time-outs", {**HEALTHY, completed("timeout"): "0+1x60"}, ("ScalabFailures",)),
    Case("few failures", {**HEALTHY, completed("success"): "0+100x60",
                          completed("failure"): "0+1x60"}),
    Case("clients that leave", {**HEALTHY, completed("disconnected"): "0+9x60",
                                completed("cancelled"): "0+9x60"}),
    Case("a lost item", {**HEALTHY, completed("lost"): "0x50 1x10"}, ("ScalabItemsLost",)),
    Case("backends vanish", {**HEALTHY, redelivered("disconnect"): "0+1x60"},
         ("ScalabBackendsVanish",)),
    Case("full", {**HEALTHY, rejected("full"): "0+1x60"}, ("ScalabQueueFull",)),
    Case("frontend down", {**HEALTHY, UP_FRONTEND: "1x50 0x10"}, ("ScalabFrontendDown",)),
    Case("frontend gone", {**HEALTHY, UP_FRONTEND: "1x50 stale"}, ("ScalabFrontendDown",)),
    Case("tester gone", {**HEALTHY, UP_FRONTEND: "1x50 stale", UP_BACKEND: "1x50 stale"}),
    Case("one of two frontends down", {**HEALTHY, UP_FRONTEND.replace('"f"', '"f2"'): "0x60"}),
    Case("a client on its own", {**HEALTHY, CONNECTED: "1x50 0x10"}, ("ScalabClientDisconnected",)),
    Case("slow frontend", {**HEALTHY, lag("0.01"): "0+90x60"}, ("ScalabFrontendSlow",)),
]  # fmt: skip


def promtool(folder: Path, tests: list[Object]) -> subprocess.CompletedProcess[str]:
    """Run unit tests of the shipped rules."""
    rules = load_file("monitoring/prometheusrule.yaml")["spec"]
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    case = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(case))
    return subprocess.run(
        [tool("promtool"), "test", "rules", "tests.yml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def as_test(case: Case) -> Object:
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    # An alert's own labels and texts are not what this is about, so it is asked for as a metric.
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in case.alerts]
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": "59m", "exp_samples": firing}],
    }


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    done = promtool(tmp_path, [as_test(case) for case in CASES])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    assert {name for case in CASES for name in case.alerts} == {q.where for q in alert_queries()}


def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    wrong = attrs.evolve(CASES[0], alerts=("ScalabNoWorkers",))
    assert promtool(tmp_path, [as_test(wrong)]).returncode != 0


def test_alerts_say_what_they_are_about(tmp_path: Path) -> None:
    """Every text has its values put in."""
    case = next(case for case in CASES if case.name == "no backend")
    test = as_test(case)
    annotations = {
        "summary": "Queue q of ns has no backend",
        "description": "3 items wait. Are there pods, and are they connected? Pods that stay "
        "Pending lack a device; one that restarts tells why in its log.",
    }
    test["alert_rule_test"] = [
        {
            "eval_time": "59m",
            "alertname": "ScalabNoWorkers",
            "exp_alerts": [
                {
                    "exp_labels": {"severity": "critical", "namespace": "ns", "queue": "q"},
                    "exp_annotations": annotations,
                }
            ],
        }
    ]
    done = promtool(tmp_path, [test])
    assert done.returncode == 0, done.stdout + done.stderr


# --- autoscaling ---------------------------------------------------------------------------------

AT = 'namespace="scalab-fakedev",queue="fakedev",service="scalab-frontend"'


def demand(pod: str, waiting: str, running: str, **more: str) -> dict[str, str]:
    extra = "".join(f',{name}="{value}"' for name, value in more.items())
    return {
        f'scalab_queue_items{{{AT},pod="{pod}",state="{state}"{extra}}}': values
        for state, values in (("waiting", waiting), ("running", running))
    }


def shared(pods: str, waiting: str) -> dict[str, str]:
    return {
        f'scalab_shared_queue_items{{{AT},pod="{pod}",state="{state}"}}': values
        for pod in pods
        for state, values in (("waiting", waiting), ("running", "3x10"))
    }


OTHERS = {
    'scalab_queue_items{namespace="scalab-fakedev",queue="other",pod="a",state="waiting"}': "50x10",
    'scalab_queue_items{namespace="elsewhere",queue="fakedev",pod="a",state="waiting"}': "50x10",
}


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (demand("a", "3x10", "4x10"), 7),
        # What waits is none any more, but all are busy: none of them may be taken away.
        (demand("a", "0x10", "4x10"), 4),
        (demand("a", "0x10", "0x10"), 0),
        # By a monitor and by an annotation: one frontend all the same.
        ({**demand("a", "3x10", "4x10", job="x"), **demand("a", "3x10", "4x10", job="y")}, 7),
        # One replaces another, and both have items.
        ({**demand("a", "0x10", "2x10"), **demand("b", "3x10", "1x10")}, 6),
        # Two that share a queue: what waits is in the store, and both tell it.
        ({**demand("a", "0x10", "2x10"), **demand("b", "1x10", "1x10"), **shared("ab", "3x10")}, 7),
        # It can't be scraped: no answer, and not that there is no demand.
        (demand("a", "3x2 stale", "4x2 stale"), None),
    ],
)
def test_autoscalers_see_the_demand(
    tmp_path: Path, series: Mapping[str, str], expected: int | None
) -> None:
    given = [{"series": n, "values": v} for n, v in {**OTHERS, **series}.items()]
    tests: list[dict[str, Any]] = []
    for query, labels in zip(
        (*adapter_queries(), *keda_queries()),
        (
            '{namespace="scalab-fakedev",queue="fakedev"}',
            '{service="scalab-frontend"}',
            "{}",
        ),
        strict=True,
    ):
        samples = [] if expected is None else [{"labels": labels, "value": expected}]
        tests.append({"expr": query.text, "eval_time": "9m", "exp_samples": samples})
    case = {"interval": "1m", "input_series": given, "promql_expr_test": tests}
    done = promtool(tmp_path, [case])
    assert done.returncode == 0, done.stdout + done.stderr
