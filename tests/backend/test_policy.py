"""Arguments that a backend doesn't take: refused in time, told, counted, and never run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from scalab.backend.command import Workload
from scalab.backend.policy import ArgumentPolicy, NotAllowedError
from scalab.backend.runner import RunnerSettings
from scalab.errors import ConfigError
from tests.support import backend_run, serving, working


@pytest.mark.parametrize(
    ("patterns", "args", "allowed"),
    [
        (["-v"], [], True),
        (["-v"], ["-v"], True),
        (["-v"], ["-v", "-v"], True),
        (["-v"], ["-vv"], False),
        (["-v"], ["x-v"], False),
        (["-v"], ["-v\n"], False),
        (["-v"], [""], False),
        (["-v|--rate=[0-9]+"], ["-v", "--rate=12"], True),
        (["-v|--rate=[0-9]+"], ["--rate="], False),
        (["-v", "[a-z]+"], ["abc", "-v"], True),
        (["-v", "[a-z]+"], ["abc", "-V"], False),
        ([r"/clips/[\w.-]+(/[\w.-]+)*"], ["/clips/a/b.mp4"], True),
        ([r"/clips/[\w-]+"], ["/clips/../etc/passwd"], False),
        (["FILENAME"], ["FILENAME"], True),
        (["é+"], ["éé"], True),
    ],
)
def test_each_argument_must_match_a_pattern_as_a_whole(
    patterns: list[str], args: list[str], allowed: bool
) -> None:
    policy = ArgumentPolicy(patterns)
    if allowed:
        policy.check(args)
    else:
        with pytest.raises(NotAllowedError, match="argument is not allowed here: "):
            policy.check(args)


@pytest.mark.parametrize(
    ("pattern", "arg"),
    [("(a+)+b", "a" * 1000), ("(.|a)*b", "a" * 1000), (".*.*.*.*.*.*b", "a" * 1000)],
)
def test_a_pattern_that_takes_for_ever_is_not_given_that_time(pattern: str, arg: str) -> None:
    policy = ArgumentPolicy([pattern])
    before = signal.getsignal(signal.SIGVTALRM)

    with pytest.raises(NotAllowedError, match="takes too long"):
        policy.check([arg])

    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    with pytest.raises(NotAllowedError, match="not allowed"):
        policy.check(["c"])


def test_a_refusal_is_one_short_line() -> None:
    with pytest.raises(NotAllowedError) as caught:
        ArgumentPolicy(["x"]).check(["\x1b[2J\n" + 900 * "y"])

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<a", "a{9999999999}", "\\", 9999 * "("])
def test_what_is_no_pattern_is_refused_at_the_start(pattern: str) -> None:
    with pytest.raises(ConfigError, match="--allow-args"):
        ArgumentPolicy([pattern])


def test_to_ignore_and_to_allow_is_a_contradiction() -> None:
    with pytest.raises(ConfigError, match="--ignore-args"):
        RunnerSettings(Workload("sleep"), ignore_args=True, allowed_args=ArgumentPolicy(["x"]))


async def test_a_refused_item_is_answered_and_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    policy = ArgumentPolicy(["-[acm]"])
    async with serving() as frontend:
        async with working(frontend.bound.workers, "touch", str(ran), allowed_args=policy):
            client = await frontend.client()
            await client.frame("request", Id="1", Queue="q", Args=["-a", "/etc/passwd"])
            refused = await client.next("reply")
            ran_then = ran.exists()
            await client.frame("request", Id="2", Queue="q", Args=["-a"])
            taken = await client.next("reply")

    assert (refused["Outcome"], refused["Retcode"]) == ("failure", 1)
    assert refused["Error"] == "argument is not allowed here: '/etc/passwd'"
    assert not ran_then
    assert taken["Outcome"] == "success"
    assert ran.exists()


async def test_refusals_are_counted() -> None:
    policy = ArgumentPolicy(["0"])
    async with serving() as frontend:
        client = await frontend.client()
        for i, arg in enumerate(("0", "1", "00", "0")):
            await client.frame("request", Id=str(i), Queue="q", Args=[arg])
        await client.in_line()
        result = await backend_run(frontend.bound.workers, when_empty="exit", allowed_args=policy)

    assert result.counts.refused == 2
    assert result.counts.outcomes["failure"] == 2
    assert result.counts.outcomes["success"] == 2
