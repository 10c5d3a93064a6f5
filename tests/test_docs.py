"""What the documentation claims, against what there is."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from scalab.backend.metrics import Pages, serve_metrics
from scalab.backend.runner import RunCounts
from scalab.client.service import Result, run_client
from scalab.errors import ExitCode
from scalab.frontend.clients import MAX_OUTSTANDING
from scalab.protocol.framing import ENVELOPE, MAX_MESSAGE
from scalab.protocol.messages import FRAMES, MAX_ID, OUTCOMES, REJECTED, wire_name
from scalab.protocol.session import MAY_SEND
from scalab.runtime.net import bound_address, open_listeners
from scalab.runtime.peer import LOST_AFTER
from scalab.runtime.service import Stop
from tests.support import ANYWHERE, Http, Wire, client_settings, serving

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.glob("*.md"), *ROOT.glob("examples/**/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
)
GENERATOR = runpy.run_path(str(DOCS / "generate_options.py"))
PROTOCOL = (DOCS / "protocol.md").read_text()

Row = dict[str, str]


def tables_in(text: str) -> Iterator[list[Row]]:
    """The tables of a text, each a list of rows by column."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        head, _, *body = [[cell.strip() for cell in line] for line in lines]
        yield [dict(zip(head, row, strict=True)) for row in body]


def quoted(text: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- all pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every ``scalab`` command line in code."""
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = [*code.replace("\\\n", " ").splitlines(), *re.findall(r"`([^`\n]+)`", text)]
    for line in lines:
        match = re.search(r"(?:^|[ /])scalab ((?:frontend|backend|client|demo|fakedev) .*)", line)
        if match and not re.match(r"\d{4}-", line):
            lexer = shlex.shlex(match[1], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            yield list(lexer)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_the_options_that_pages_use(page: Path) -> None:
    for words in commands(page.read_text()):
        path = " ".join(words[: 2 if words[0] == "fakedev" else 1])
        known = {flag for option in options().get(path, ()) for flag in option.flags}
        ours = words[: words.index("--")] if "--" in words else words
        if known:
            assert {word for word in ours if word.startswith("-")} <= {*known, "--help"}, words


# --- options -----------------------------------------------------------------------------------


def options() -> dict[str, list[Any]]:
    """The options of every command, by its path."""
    return {path: GENERATOR["options_of"](path, f) for path, f in GENERATOR["commands"]()}


def test_the_page_of_options_is_up_to_date() -> None:
    written = (DOCS / "options.md").read_text()
    assert written == GENERATOR["render"](), "run docs/generate_options.py"


@pytest.mark.parametrize("path", ["frontend", "backend", "client", "demo", "fakedev exporter"])
def test_help_and_the_page_of_options_agree(path: str) -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "scalab", *path.split(), "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"COLUMNS": "300", "TERM": "dumb", "PATH": "", "LC_ALL": "C.UTF-8"},
        cwd=ROOT,
    ).stdout
    page = (DOCS / "options.md").read_text()
    section = re.search(rf"^## scalab {path}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section
    heads = re.findall(r"^│ +(--[a-z-]+)(?: +(-[a-z]))? ", help_text, re.MULTILINE)
    flags = {flag for head in heads for flag in head if flag} - {"--help", "-h"}
    variables = set(re.findall(r"\bSCALAB_[A-Z_]+", help_text))
    assert flags
    assert flags | variables <= set(quoted(section[1]))
    assert set(re.findall(r"\bSCALAB_[A-Z_]+", section[1])) <= variables


# --- exit codes --------------------------------------------------------------------------------


def test_every_exit_code_is_explained() -> None:
    rows = in_section(DOCS / "exit-codes.md", "Of the commands")
    explained = {(row["code"], row["name"]) for row in rows if row["name"]}
    assert explained == {(str(code.value), code.name) for code in ExitCode}
    assert all(row["when"] for row in rows)


# --- what is served over HTTP --------------------------------------------------------------------


@attrs.frozen
class Exported:
    """A metric as it is exported, or as the page tells of it."""

    kind: str
    labels: frozenset[str]
    values: frozenset[str]
    """Of labels that have only certain values."""


FREE = {"queue", "version"}
"""Labels whose values nobody can list."""


async def exported(http: Http) -> dict[str, Exported]:
    """The metrics that a service exports, by name."""
    status, text = await http.get("/metrics")
    assert status == 200
    found: dict[str, Exported] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        samples = re.findall(rf"^{name}(?:_bucket)?{{(.*)}} ", text, re.MULTILINE)
        pairs = {pair for sample in samples for pair in re.findall(r'(\w+)="([^"]*)"', sample)}
        found[name] = Exported(
            kind,
            frozenset(label for label, _ in pairs if label != "le"),
            frozenset(value for label, value in pairs if label not in {"le", *FREE}),
        )
    assert found
    return found


def documented(*sections: str) -> dict[str, Exported]:
    """The metrics of sections of the page, by name."""
    found: dict[str, Exported] = {}
    for section in sections:
        for row in in_section(DOCS / "metrics.md", section):
            # Names, and after a colon the values of the last one; semicolons end that.
            parts = [part.partition(":") for part in row.get("labels", "").split(";")]
            labels = {name for part in parts for name in quoted(part[0])}
            listed = {value for part in parts for value in quoted(part[2])}
            if "as of the frontend" in row.get("labels", ""):
                listed |= set(OUTCOMES)
            for name in quoted(row["metric"]):
                found[name] = Exported(row["type"], frozenset(labels), frozenset(listed))
    return found


def in_section(page: Path, title: str) -> list[Row]:
    """The rows of the first table of a section."""
    text = page.read_text().split(f"\n## {title}\n", 1)[1]
    return next(tables_in(text))


async def test_metrics_of_the_frontend() -> None:
    async with serving("media") as frontend:
        await frontend.classic_client("nosuch")
        assert await exported(frontend) == documented("Frontend", "Every part")


async def test_metrics_of_the_backend(nursery: trio.Nursery) -> None:
    listeners = await open_listeners(ANYWHERE, "metrics")
    pages = Pages(RunCounts(), 1, lambda: 0, lambda: True)
    await nursery.start(serve_metrics, pages, listeners)
    http = Http(bound_address(listeners))
    assert await exported(http) == documented("Backend", "Every part")


async def test_metrics_and_paths_of_the_client(nursery: trio.Nursery) -> None:
    async with serving("media") as frontend:
        settings = client_settings(
            frontend.bound.clients, queue="media", parallel=0, control_addr=ANYWHERE
        )
        stop = Stop()
        running = await nursery.start(run_client, settings, stop, Result())
        http = Http(running.control)
        assert await exported(http) == documented("Client", "Every part")
        assert await paths(http) - {"/", "/panels"} <= set(
            quoted((DOCS / "control.md").read_text())
        )
        stop.requested.set()


async def test_paths_of_the_frontend() -> None:
    async with serving("media") as frontend:
        assert await paths(frontend) - {"/"} <= set(quoted((DOCS / "metrics.md").read_text()))


async def paths(http: Http) -> set[str]:
    """The paths that a service answers for."""
    status, text = await http.get("/nosuch")
    assert status == 404
    return set(re.findall(r" (/\S*)", text))


def test_alert_queries_use_metrics_that_exist() -> None:
    known = documented("Frontend", "Backend", "Client", "Every part")
    queries = "".join(blocks((DOCS / "metrics.md").read_text(), "promql"))
    for name in re.findall(r"\bscalab_\w+", queries):
        assert name in known or re.sub("_(bucket|sum|count)$", "", name) in known, name


# --- the protocol ------------------------------------------------------------------------------


def test_every_frame_and_field_is_explained() -> None:
    rows = {quoted(row["`Kind`"])[0]: row for row in next(tables_in(after("### Frames")))}
    assert rows.keys() == FRAMES.keys()
    for kind, cls in FRAMES.items():
        fields = {wire_name(field.name) for field in attrs.fields(cls)}
        named = [word for word in quoted(rows[kind]["fields"]) if word[0].isupper()]
        assert (set(named), len(named)) == (fields, len(fields)), kind


def test_who_may_send_what() -> None:
    rows = {
        row["sender"]: set(quoted(row["frames"]))
        for row in next(tables_in(after("### Who may send what")))
    }
    everybody = rows.pop("everybody")
    assert {sender: kinds | everybody for sender, kinds in rows.items()} == {
        sender: {frame.kind for frame in frames} for sender, frames in MAY_SEND.items()
    }


def test_outcomes() -> None:
    listed = re.search(r"`Outcome`: (.*?)\.\n", PROTOCOL)
    assert listed
    assert tuple(quoted(listed[1])) == (*OUTCOMES, REJECTED)
    statistics = (DOCS / "statistics.md").read_text()
    outcomes = [
        row["outcome"] for table in tables_in(statistics) for row in table if "outcome" in row
    ]
    assert sorted(outcomes) == sorted((*OUTCOMES, REJECTED))


def test_limits() -> None:
    limits = {row["what"]: row["limit"] for row in next(tables_in(after("### Limits")))}
    assert f"{MAX_MESSAGE} bytes; an `item` {MAX_MESSAGE + ENVELOPE}," in limits["message"]
    assert limits["`Id` of a request"] == f"{MAX_ID} characters"
    assert limits["requests of one client session"].replace(" ", "") == str(MAX_OUTSTANDING)
    assert limits["silence"] == f"{LOST_AFTER} heartbeats"


def after(heading: str) -> str:
    """The text of the protocol's page from a heading on."""
    return PROTOCOL.split(f"\n{heading}\n", 1)[1]


async def test_the_transcript_is_true() -> None:
    """Play both sides of it to a frontend, and get the answers that are written there."""
    lines = "".join(blocks(PROTOCOL, "transcript")).splitlines()
    assert len(lines) > 30
    wires: dict[str, Wire] = {}
    async with serving("media") as frontend:
        connect = {"client": frontend.to_clients, "backend": frontend.to_backends}
        for line in lines:
            name, direction, message = line.split(maxsplit=2)
            if '"Kind":"hello"' in message:
                wires[name] = await connect[name]()
            wire = wires[name]
            if direction == ">":
                await wire.send(f"{message}\n".encode())
            elif message == "(closed)":
                await wire.gone()
            else:
                answer, expected = await wire.next(), json.loads(message)
                if "Waittime" in expected:
                    expected["Waittime"] = answer["Waittime"]
                assert answer == expected, line


# --- the README --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "end"), [("demo", "scalab demo"), ("test", "python -m pytest -n 2 --dist worksteal")]
)
def test_the_readme_has_a_command_that_does_it_all(what: str, end: str) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.findall(rf"<!-- {what} command -->\n```sh\n(.*)\n```\n", readme)
    assert len(found) == 1
    steps = found[0].split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[-1] == f".venv/bin/{end}"
