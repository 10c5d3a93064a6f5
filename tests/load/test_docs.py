"""docs/scenarios.md and the example, against what is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scalab.load import toml
from scalab.load.scenario import (
    DEFAULT_CATCH_UP_S,
    DEFAULT_IN_FLIGHT,
    ClosedLoad,
    OpenLoad,
    QueueLoad,
    Scenario,
)
from scalab.load.stages import parse_stages
from scalab.load.toml import parse_scenario, read_scenario
from scalab.load.units import DURATION_MAX_S, RATE_MAX
from scalab.verdict.thresholds import Threshold

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scenarios.md").read_text()
TOML = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def check(text: str) -> None:
    Threshold.parse(text)


def section(title: str) -> str:
    """Return what stands below a heading."""
    after = PAGE.split(f"\n{title}\n", 1)[1]
    return re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0]


def keys(title: str) -> dict[str, list[str]]:
    """Return the rows of a section's tables, by key."""
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {key: [cell.strip() for cell in rest.split("|")] for key, rest in rows}


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("### The file", toml._TOP),
        ("### `[load]`", (*toml._LEVEL, *toml._CLOSED, *toml._OPEN)),
        ("### `[[queues]]`", toml._QUEUE),
        ("### `draw`", (*toml._SOURCES, "order")),
    ],
)
def test_every_key_is_described(title: str, known: tuple[str, ...]) -> None:
    assert list(keys(title)) == list(known)


def test_defaults_are_those_of_the_page() -> None:
    least = parse_scenario(
        "load.rate = 1\n[[queues]]\nname = 'q'", "it.toml", read_csv=lambda name: name
    )

    assert least == Scenario(queues=(QueueLoad(name="q"),), load=least.load)
    assert keys("### The file")["seed"][1] == f"`{least.seed}`"
    load = keys("### `[load]`")
    assert load["max-in-flight"][1] == f"`{DEFAULT_IN_FLIGHT}`"
    assert load["catch-up"][1] == f"`{DEFAULT_CATCH_UP_S:.0f}`"
    assert load["arrival"][1] == "`constant`"
    assert keys("### `[[queues]]`")["weight"][1] == "`1`"


def test_bounds_are_those_of_the_page() -> None:
    assert f"It is at most {DURATION_MAX_S / 86400:.0f} days." in PAGE
    assert f"It is at most {RATE_MAX:,.0f}/s.".replace(",", " ") in PAGE


def test_the_complete_scenario_says_all_that_an_open_loop_can() -> None:
    (text,) = TOML
    scenario = parse_scenario(text, "it.toml", read_csv=lambda _: csv_file(), check=check)

    assert scenario.arrivals_expected == 17_250
    assert [len(queue.rows) for queue in scenario.queues] == [2, 2]


def csv_file() -> str:
    """Return the page's CSV file."""
    match = re.search(r"^```\n(size,file\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def test_the_stages_of_the_page_are_stages() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| .* \|$", section("## Stages"), re.MULTILINE)

    assert len(rows) == 5
    assert [parse_stages(row)[1] for row in rows] == ["open", "open", "open", "closed", "closed"]


def test_the_example_is_one() -> None:
    scenario = read_scenario(str(ROOT / "examples" / "scenario" / "media.toml"), check)

    assert isinstance(scenario.load, OpenLoad)
    assert scenario.end_s == 40
    assert scenario.load.arrival == "poisson"
    queues = [queue.name for queue in scenario.queues]
    for text in scenario.thresholds:
        Threshold.parse(text).check_against(queues, open_loop=True)


def test_the_example_can_be_made_a_closed_loop_as_it_says() -> None:
    folder = ROOT / "examples" / "scenario"
    text = (folder / "media.toml").read_text()
    text = re.sub(r"^stages = .*\n(.*\n){3}", 'stages = "8@30s"\n', text, flags=re.MULTILINE)

    closed = parse_scenario(text, "it", read_csv=lambda name: (folder / name).read_text())

    assert isinstance(closed.load, ClosedLoad)
