"""The scripts as texts, and the names of keys."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalab.sharedqueue.calls import milli
from scalab.sharedqueue.keys import mail_channel, prefix_of, wake_channel
from scalab.sharedqueue.operations import Operation
from scalab.sharedqueue.scripts import FOLDER, load_scripts
from tests.sharedqueue.servers import redis_server

queue_names = st.text(min_size=1, max_size=64)


def test_each_operation_has_its_script() -> None:
    scripts = load_scripts()
    operations = {kind.__name__.lower() for kind in Operation.__args__}

    assert operations | {"mailbox", "stats", "dead", "forget", "purge"} == set(scripts)
    for script in scripts.values():
        assert script.sha == hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()


def test_only_a_new_item_is_refused_when_memory_is_full() -> None:
    flags = {name: s.source.partition("\n")[0] for name, s in load_scripts().items()}

    assert flags.pop("enqueue") == "#!lua"
    assert flags.pop("stats") == flags.pop("dead") == "#!lua flags=no-writes"
    assert set(flags.values()) == {"#!lua flags=allow-oom"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_all_keys_have_the_prefix_and_nothing_blocks(path: Path) -> None:
    """What is named first in a command is a key, and in a variable if it isn't built there."""
    text = re.sub(r"--.*", "", path.read_text())
    calls = re.findall(r"redis\.call\(\s*'(\w+)'(?:,\s*([^,)]+))?", text)
    names = {"key", "box", "pull", "life", "item.key"}

    for command, first in calls:
        assert not command.startswith("B"), "it would block the server"
        assert command not in {"KEYS", "SCAN", "FLUSHALL", "EVAL"}
        if command != "TIME":
            assert first.strip() in names or first.startswith("prefix .. "), (command, first)


def test_the_scripts_load_everywhere() -> None:
    with redis_server() as server:
        for script in load_scripts().values():
            assert server.ask("SCRIPT", "LOAD", script.source).decode() == script.sha


@given(queue_names, queue_names)
def test_names_of_queues_do_not_run_into_each_other(one: str, other: str) -> None:
    first, second = prefix_of(one), prefix_of(other)

    assert (first == second) == (one == other)
    if one != other:
        assert not first.startswith(second)
    assert re.fullmatch(r"sl:\{[!-z|~]+\}:", first)
    assert not set(first) & set("*?[]\\")
    assert wake_channel(one).startswith(first)
    assert mail_channel(one, "F") == f"{first}mail:F"


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 1), (0.0001, 1), (0.0106, 11), (60.0, 60000)])
def test_nothing_lives_for_no_time(seconds: float, ms: int) -> None:
    assert milli(seconds) == ms
