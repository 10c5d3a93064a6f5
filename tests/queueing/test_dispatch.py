"""What the dispatcher does in the plain cases, as one would tell it.

The machine in test_dispatch_machine.py covers how these combine.
"""

from __future__ import annotations

from typing import Any

import pytest

from scalab.protocol.messages import Reply, Request
from scalab.queueing.dispatch import Dispatcher, RejectedError
from scalab.queueing.item import Item, State
from scalab.queueing.worker import Worker


class Client:
    """Notes the replies that it gets, by request."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}

    def answer(self, item: Item, reply: Reply) -> None:
        assert item.id not in self.replies
        self.replies[item.id] = reply


class Backend:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.items: dict[str, Item] = {}

    def hand(self, item: Item) -> None:
        self.told.append(f"run {item.id}")
        self.items[item.id] = item

    def cancel(self, item: Item) -> None:
        self.told.append(f"cancel {item.id}")

    def empty(self) -> None:
        self.told.append("empty")


class Frontend:
    """A dispatcher and a clock, in short words."""

    def __init__(self, **options: Any) -> None:
        self.dispatcher = Dispatcher(["sleep", "media"], **options)
        self.client = Client()
        self.now = 0.0

    @property
    def counters(self) -> Any:
        return self.dispatcher.queues["sleep"].counters

    def submit(self, *ids: str, client: Client | None = None) -> list[Item]:
        client = client or self.client
        return [
            self.dispatcher.submit(client, Request("sleep", [], id=name), self.now) for name in ids
        ]

    def attach(self, **options: Any) -> tuple[Backend, Worker]:
        backend = Backend()
        return backend, self.dispatcher.attach(backend, "sleep", self.now, **options)

    def finish(self, worker: Worker, item: Item, reply: Reply | None = None) -> None:
        self.dispatcher.finish(worker, item.token, reply or Reply(), self.now)

    def outcome(self, name: str) -> str:
        return self.client.replies[name].outcome


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

    forged = Reply(node="n1", waittime_s=9.0, attempts=9, outcome="rejected", retry=True)
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


# --- clients that change their mind ------------------------------------------------------------


def test_a_waiting_item_is_cancelled_at_once() -> None:
    frontend = Frontend()
    first, second = frontend.submit("r1", "r2")
    frontend.now = 3.0

    frontend.dispatcher.cancel(first, frontend.now)
    backend, _ = frontend.attach()

    assert frontend.client.replies == {
        "r1": Reply(error="cancelled by the client", retcode=1, waittime_s=3.0, outcome="cancelled")
    }
    assert backend.told == ["run r2"]
    assert second.state is State.RUNNING


def test_a_running_item_is_cancelled_by_its_backend() -> None:
    frontend = Frontend()
    backend, worker = frontend.attach()
    (item,) = frontend.submit("r1")

    frontend.dispatcher.cancel(item, 0.0)
    frontend.dispatcher.cancel(item, 0.0)

    assert backend.told == ["run r1", "cancel r1"]
    assert frontend.client.replies == {}
    frontend.finish(worker, item, Reply(retcode=143, error="terminated"))
    assert frontend.outcome("r1") == "cancelled"


def test_a_cancelled_item_that_succeeds_all_the_same_has_succeeded() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    (item,) = frontend.submit("r1")

    frontend.dispatcher.cancel(item, 0.0)
    frontend.finish(worker, item)

    assert frontend.outcome("r1") == "success"


def test_a_cancelled_item_is_not_run_again() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    other, _ = frontend.attach()
    (item,) = frontend.submit("r1")

    frontend.dispatcher.cancel(item, 0.0)
    frontend.dispatcher.detach(worker, "disconnect", 0.0)

    assert frontend.outcome("r1") == "cancelled"
    assert other.told == []


@pytest.mark.parametrize(
    ("policy", "told"), [("cancel", ["run r1", "cancel r1"]), ("finish", ["run r1"])]
)
def test_a_client_that_leaves_takes_its_items_along(policy: str, told: list[str]) -> None:
    frontend = Frontend(on_client_gone=policy)
    backend, worker = frontend.attach()
    other = Client()
    mine = frontend.submit("r1", "r2")
    frontend.submit("r3", client=other)

    frontend.dispatcher.client_gone(mine, 0.0)

    assert backend.told == told
    frontend.finish(worker, mine[0], Reply(retcode=1))
    assert backend.told == [*told, "run r3"]
    assert frontend.client.replies == other.replies == {}
    assert frontend.counters.completed["disconnected"] == 1
    assert frontend.counters.completed["cancelled" if policy == "cancel" else "failure"] == 1


# --- backends that vanish ----------------------------------------------------------------------


def test_the_item_of_a_vanished_backend_goes_to_another_one_before_all_that_wait() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    frontend.submit("r1", "r2")
    frontend.dispatcher.detach(worker, "disconnect", 0.0)

    backend, second = frontend.attach()

    assert backend.told == ["run r1"]
    frontend.finish(second, backend.items["r1"])
    assert frontend.client.replies["r1"].attempts == 2
    assert frontend.counters.redelivered["disconnect"] == 1


def test_it_goes_to_one_that_idles_at_once() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    idle, _ = frontend.attach()
    frontend.submit("r1")

    frontend.dispatcher.detach(worker, "disconnect", 0.0)

    assert idle.told == ["run r1"]


def test_several_items_come_back_in_their_order() -> None:
    """Also if the backend got them in another one, as they had come back before."""
    frontend = Frontend()
    _, first = frontend.attach()
    frontend.submit("r1")
    backend, second = frontend.attach(slots=2)
    frontend.submit("r2")
    frontend.dispatcher.detach(first, "disconnect", 0.0)
    assert backend.told == ["run r2", "run r1"]
    idle, _ = frontend.attach(slots=2)

    frontend.dispatcher.detach(second, "disconnect", 0.0)

    assert idle.told == ["run r1", "run r2"]


def test_waiting_times_add_up() -> None:
    frontend = Frontend()
    frontend.submit("r1")
    frontend.now = 1.0
    _, worker = frontend.attach()
    frontend.now = 5.0
    frontend.dispatcher.detach(worker, "heartbeat", frontend.now)
    frontend.now = 7.0
    backend, worker = frontend.attach()
    frontend.now = 11.0

    frontend.finish(worker, backend.items["r1"])

    assert frontend.client.replies["r1"].waittime_s == 3.0


def test_an_item_that_kills_every_backend_is_lost_after_three() -> None:
    frontend = Frontend(max_attempts=3)
    frontend.submit("r1", "r2")

    for _ in range(3):
        backend, worker = frontend.attach()
        assert backend.told == ["run r1"]
        frontend.dispatcher.detach(worker, "disconnect", 0.0)

    reply = frontend.client.replies["r1"]
    assert reply == Reply(
        error="lost: 3 backends vanished while they ran it", retcode=1, attempts=3, outcome="lost"
    )
    backend, _ = frontend.attach()
    assert backend.told == ["run r2"]


@pytest.mark.parametrize("leaves_at_once", [False, True])
def test_an_item_given_back_counts_as_no_attempt(leaves_at_once: bool) -> None:
    frontend = Frontend(max_attempts=1)
    (item,) = frontend.submit("r1")

    for _ in range(5):
        _, worker = frontend.attach()
        if leaves_at_once:
            frontend.dispatcher.detach(worker, "release", 0.0)
        else:
            frontend.dispatcher.retire(worker)
            frontend.dispatcher.release(worker, item.token, 0.0)
            frontend.dispatcher.detach(worker, "disconnect", 0.0)
    _, worker = frontend.attach()
    frontend.finish(worker, item)

    assert frontend.client.replies["r1"].attempts == 1
    assert frontend.counters.redelivered["release"] == 5


def test_an_item_given_back_goes_to_one_that_idles_at_once() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    idle, _ = frontend.attach()
    (item,) = frontend.submit("r1")
    frontend.dispatcher.retire(worker)

    frontend.dispatcher.release(worker, item.token, 0.0)

    assert idle.told == ["run r1"]


def test_a_retired_backend_finishes_what_it_has_and_gets_no_more() -> None:
    frontend = Frontend()
    backend, worker = frontend.attach(slots=2)
    (item,) = frontend.submit("r1")

    frontend.dispatcher.retire(worker)
    frontend.submit("r2")
    frontend.finish(worker, item)

    assert backend.told == ["run r1"]
    assert frontend.outcome("r1") == "success"
    queue = frontend.dispatcher.queues["sleep"]
    assert queue.slots() == {"idle": 0, "busy": 0, "draining": 0}


# --- backends that do not wait -----------------------------------------------------------------


def test_a_backend_that_does_not_wait_is_told_that_nothing_waits_and_pulls_again() -> None:
    frontend = Frontend()
    backend, worker = frontend.attach(wait=False)
    assert backend.told == ["empty"]

    (item,) = frontend.submit("r1")
    assert backend.told == ["empty"]
    frontend.dispatcher.pull(worker, 0.0)
    assert backend.told == ["empty", "run r1"]
    frontend.finish(worker, item)

    assert backend.told == ["empty", "run r1", "empty"]


def test_a_backend_for_one_item_gets_no_second_one() -> None:
    frontend = Frontend()
    first, _ = frontend.submit("r1", "r2")

    backend, worker = frontend.attach(wait=False, once=True)
    frontend.finish(worker, first)

    assert backend.told == ["run r1"]


# --- the end -----------------------------------------------------------------------------------


def test_draining_sends_waiting_clients_elsewhere_and_lets_items_finish() -> None:
    frontend = Frontend()
    backend, worker = frontend.attach()
    item, _ = frontend.submit("r1", "r2")

    frontend.dispatcher.drain(0.0)

    assert frontend.client.replies == {
        "r2": Reply(error="frontend is shutting down", retcode=1, outcome="cancelled", retry=True)
    }
    with pytest.raises(RejectedError, match="shutting down") as caught:
        frontend.submit("r3")
    assert caught.value.reason == "draining"
    assert frontend.dispatcher.running == 1
    frontend.finish(worker, item)
    assert frontend.outcome("r1") == "success"
    assert backend.told == ["run r1"]
    assert frontend.dispatcher.running == 0


def test_what_a_backend_loses_while_draining_is_not_run_again() -> None:
    frontend = Frontend()
    _, worker = frontend.attach()
    frontend.submit("r1")
    frontend.dispatcher.drain(0.0)

    frontend.dispatcher.detach(worker, "disconnect", 0.0)

    reply = frontend.client.replies["r1"]
    assert (reply.outcome, reply.retry, reply.attempts) == ("cancelled", True, 1)


def test_a_backend_that_comes_while_draining_gets_nothing() -> None:
    frontend = Frontend()
    frontend.dispatcher.drain(0.0)

    backend, worker = frontend.attach(wait=False)
    frontend.dispatcher.pull(worker, 0.0)

    assert backend.told == []
    assert "(draining)" in repr(frontend.dispatcher)


def test_a_backend_can_not_speak_for_the_frontend() -> None:
    dispatcher, client = Dispatcher(["q"]), Client()
    worker = dispatcher.attach(Backend(), "q", 0.0)
    item = dispatcher.submit(client, Request("q", id="a"), 0.0)

    forged = Reply(node="n", retry=True, reason="unknown_queue", outcome="lost")
    dispatcher.finish(worker, item.token, forged, 1.0)

    reply = client.replies["a"]
    assert (reply.retry, reply.reason, reply.outcome) == (False, "", "success")
