"""Clients that change their mind, backends that vanish or stop, and a frontend that drains."""

from __future__ import annotations

import pytest

from scalab.protocol.messages import Reply
from scalab.queueing.dispatch import RejectedError
from scalab.queueing.item import State
from tests.queueing.ports import Client, Frontend

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
