"""Who gets what, what is accepted and what is answered, in the plain cases.

The machine in test_dispatch_machine.py covers how these combine.
"""

from __future__ import annotations

import pytest

from scalab.protocol.messages import Reply, Request
from scalab.queueing.dispatch import RejectedError
from scalab.queueing.item import State
from tests.queueing.ports import Backend, Frontend

# --- in turn ---------------------------------------------------------------------------------


def test_what_waits_is_handed_out_in_the_order_in_which_it_came() -> None:
    frontend = Frontend()
    items = frontend.submit("r1", "r2", "r3")

    backend, worker = frontend.attach()
    assert backend.told == ["run r1"]
    frontend.finish(worker, items[0])
    frontend.finish(worker, items[1])

    assert backend.told == ["run r1", "run r2", "run r3"]


def test_an_item_is_handed_out_at_once_if_a_backend_is_free() -> None:
    frontend = Frontend()
    backend, _ = frontend.attach(slots=2)

    frontend.submit("r1", "r2", "r3")

    assert backend.told == ["run r1", "run r2"]
    queues = "sleep: 1 waiting, 2 running, media: 0 waiting, 0 running"
    assert repr(frontend.dispatcher) == f"<Dispatcher {queues}>"


def test_items_spread_over_all_backends_that_are_free() -> None:
    frontend = Frontend()
    backends = [frontend.attach(slots=4)[0] for _ in range(3)]

    frontend.submit("r1", "r2", "r3", "r4", "r5")

    assert [b.told for b in backends] == [["run r1", "run r4"], ["run r2", "run r5"], ["run r3"]]


def test_queues_do_not_mix() -> None:
    frontend = Frontend()
    backend = Backend()
    frontend.dispatcher.attach(backend, "media", 0.0)

    frontend.submit("r1")

    assert backend.told == []


# --- replies ---------------------------------------------------------------------------------


def test_the_reply_says_how_long_the_item_waited_and_where_it_ran() -> None:
    frontend = Frontend()
    (item,) = frontend.submit("r1")
    frontend.now = 2.5
    _, worker = frontend.attach(node="n1", pod="p1")
    frontend.now = 4.0

    frontend.finish(worker, item, Reply(device="d1", runtime_s=1.25))

    reply = frontend.client.replies["r1"]
    assert reply == Reply(
        node="n1", pod="p1", device="d1", runtime_s=1.25, waittime_s=2.5, attempts=1,
        outcome="success",
    )  # fmt: skip
    assert item.state is State.DONE
    counters = frontend.counters
    assert (counters.wait.sum_s, counters.run.sum_s, counters.request.sum_s) == (2.5, 1.25, 4.0)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(), "success"),
        (Reply(retcode=1), "failure"),
        (Reply(retcode=-9), "failure"),
        (Reply(error="could not start"), "failure"),
        (Reply(retcode=124, error="limit", timeout_s=5.0), "timeout"),
        (Reply(timeout_s=5.0), "timeout"),
    ],
)
def test_how_an_item_ends_follows_from_the_reply(reply: Reply, outcome: str) -> None:
    frontend = Frontend()
    (item,) = frontend.submit("r1")
    _, worker = frontend.attach()

    frontend.finish(worker, item, reply)

    assert frontend.outcome("r1") == outcome
    assert {kind: n for kind, n in frontend.counters.completed.items() if n} == {outcome: 1}


def test_a_backend_can_not_say_what_only_the_frontend_knows() -> None:
    frontend = Frontend()
    (item,) = frontend.submit("r1")
    _, worker = frontend.attach()

    forged = Reply(
        node="n1", waittime_s=9.0, attempts=9, outcome="lost", reason="unknown_queue", retry=True
    )
    frontend.finish(worker, item, forged)

    assert frontend.client.replies["r1"] == Reply(node="n1", attempts=1, outcome="success")


def test_a_token_that_is_over_has_no_effect() -> None:
    frontend = Frontend()
    (item,) = frontend.submit("r1")
    _, lost = frontend.attach()
    token = item.token
    frontend.dispatcher.detach(lost, "heartbeat", 0.0)
    _, worker = frontend.attach()

    assert item.token != token
    assert frontend.dispatcher.finish(lost, token, Reply(), 0.0) is None
    assert frontend.dispatcher.finish(worker, token, Reply(), 0.0) is None
    assert frontend.client.replies == {}
    frontend.finish(worker, item)
    assert frontend.outcome("r1") == "success"


# --- what is not accepted ----------------------------------------------------------------------


def test_a_full_queue_refuses_and_says_its_limit() -> None:
    frontend = Frontend(queue_max=2)
    frontend.submit("r1", "r2")

    with pytest.raises(RejectedError, match="queue 'sleep' is full: 2 items wait, the limit"):
        frontend.submit("r3")
    assert frontend.counters.rejected["full"] == 1

    frontend.attach()  # takes one of them
    frontend.submit("r3")


def test_what_comes_back_may_exceed_the_limit() -> None:
    frontend = Frontend(queue_max=1)
    _, worker = frontend.attach()
    frontend.submit("r1", "r2")

    frontend.dispatcher.detach(worker, "disconnect", 0.0)

    queue = frontend.dispatcher.queues["sleep"]
    assert [item.id for item in queue.waiting] == ["r1", "r2"]
    with pytest.raises(RejectedError, match="is full"):
        frontend.submit("r3")


def test_an_unknown_queue_is_refused_and_the_known_ones_are_named() -> None:
    frontend = Frontend()
    text = r"^unknown queue 'sl\\neep'; known: sleep, media$"

    with pytest.raises(RejectedError, match=text) as caught:
        frontend.dispatcher.submit(frontend.client, Request("sl\neep"), 0.0)
    assert caught.value.reason == "unknown_queue"
    with pytest.raises(RejectedError, match=text):
        frontend.dispatcher.attach(Backend(), "sl\neep", 0.0)
    assert frontend.dispatcher.unknown_queue == 2


def test_arguments_that_no_backend_could_be_sent_are_refused() -> None:
    frontend = Frontend()

    with pytest.raises(RejectedError, match="too long for a message of 1024 bytes") as caught:
        frontend.dispatcher.submit(frontend.client, Request("sleep", ["x" * 1024]), 0.0)
    assert caught.value.reason == "too_large"


def test_the_caller_may_refuse_too_and_it_is_counted() -> None:
    frontend = Frontend()

    error = frontend.dispatcher.reject("sleep", "busy", "too many requests")

    assert (error.reason, str(error)) == ("busy", "too many requests")
    assert frontend.counters.rejected["busy"] == 1
