"""The judge of the fault suites finds what is wrong, and only that."""

from __future__ import annotations

from tests.faults.lab.history import Account, Answer, History, accounts


def history() -> History:
    """One request ``a`` that was sent and answered once, and ran once."""
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.started("a", "1", 0.1)
    made.ended("a", "1", 0.2)
    made.answered("a", Answer(0.3, "f#1", "success", attempts=1))
    return made


def found(made: History, *, max_attempts: int = 3, releases: int = 0) -> list[str]:
    return [v.invariant for v in made.violations(max_attempts=max_attempts, releases=releases)]


def test_all_is_well() -> None:
    assert found(history()) == []
    assert history().outcomes() == {"success": 1}


def test_one_without_an_answer() -> None:
    made = history()
    made.invoke("b", 0.0)
    made.sent("b", 0.0, "f#1")
    assert found(made) == ["I1"]
    made.left("b", 1.0)
    assert found(made) == []


def test_one_answered_twice() -> None:
    made = history()
    made.answered("a", Answer(0.4, "f#1", "success", attempts=1))
    assert found(made) == ["I1"]


def test_told_to_try_again_is_no_answer() -> None:
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.answered("a", Answer(0.1, "f#1", "cancelled", retry=True))
    assert found(made) == ["I1"]


def test_an_answer_that_nobody_asked_for() -> None:
    made = history()
    made.answered("z", Answer(0.4, "f#1", "success", attempts=1))
    made.answered("a", Answer(0.4, "f#2", "success", attempts=1))
    assert found(made) == ["I2", "I2"]


def test_a_run_that_nobody_asked_for() -> None:
    made = history()
    made.started("z", "1", 0.1)
    assert found(made) == ["I2"]


def test_more_runs_than_attempts() -> None:
    made = history()
    made.started("a", "2", 0.25)
    assert found(made) == ["I3"]
    assert found(made, releases=1) == []


def test_a_sending_without_answer_may_have_run() -> None:
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.sent("a", 1.0, "f#2")
    for run in range(4):
        made.started("a", str(run), 1.5)
    made.ended("a", "3", 2.0)
    made.answered("a", Answer(2.0, "f#2", "success", attempts=1))
    assert found(made) == []
    made.started("a", "4", 1.5)
    assert found(made) == ["I3"]


def test_success_that_never_ran() -> None:
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.answered("a", Answer(0.3, "f#1", "success", attempts=1))
    assert found(made) == ["I1"]


def test_too_many_attempts() -> None:
    assert found(history(), max_attempts=0) == ["I4"]


def test_lost_too_early() -> None:
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.answered("a", Answer(0.3, "f#1", "lost", attempts=2))
    assert found(made) == ["I4"]


def test_cancelled_while_it_waited_and_runs() -> None:
    made = History()
    made.invoke("a", 0.0)
    made.sent("a", 0.0, "f#1")
    made.cancel("a", 0.1)
    made.answered("a", Answer(0.2, "f#1", "cancelled"))
    assert found(made) == []
    made.started("a", "1", 0.3)
    assert "I6" in found(made)


def test_accounts_by_frontend() -> None:
    made = history()
    made.invoke("b", 0.0)
    made.sent("b", 0.0, "f#1")
    made.sent("b", 1.0, "g#2")
    made.answered("b", Answer(1.5, "g#2", "failure", attempts=1))
    found = accounts(made)
    assert (found["f"].least, found["f"].unanswered) == ({"success": 1}, 1)
    assert (found["g"].least, found["g"].unanswered) == ({"failure": 1}, 0)


def test_what_was_got_has_to_be_counted() -> None:
    account = Account()
    account.exactly("success", 2)
    assert account.violations({"success": 2, "failure": 0}, "f") == []
    assert len(account.violations({"success": 1}, "f")) == 1


def test_what_is_counted_has_to_be_got() -> None:
    account = Account(unanswered=1)
    account.exactly("success", 2)
    account.perhaps("success", 3)
    assert account.violations({"success": 5, "cancelled": 1}, "f") == []
    assert len(account.violations({"success": 6, "cancelled": 1}, "f")) == 1


def test_what_is_settled_is_forgotten() -> None:
    made = history()
    made.settle()
    assert (made.outcomes(), made.requests) == ({"success": 1}, {})
    made.answered("a", Answer(0.4, "f#1", "success", attempts=1))
    assert found(made) == ["I2"]
    made.settle()
    assert found(made) == []
