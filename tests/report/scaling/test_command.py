"""``scalab report`` of a validation's file: its steps are drawn again, and its verdict counts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest

from scalab.cli.app import run
from scalab.runfile.records import End, Validation
from tests.report.scaling.sample_validations import a_validation, records
from tests.runfile.samples import write

OK, USAGE, VERDICT_FAIL, FAILURES, INCONCLUSIVE = 0, 2, 3, 4, 5


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    return str(write(tmp_path / "v.jsonl", records(a_validation((8, 16)))))


def scalab(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    return run(["report", *args]), *capfd.readouterr()


def test_each_form_is_of_the_steps(capfd: pytest.CaptureFixture[str], recorded: str) -> None:
    code, text, _ = scalab(capfd, recorded)
    assert code == VERDICT_FAIL
    assert text.startswith("scalab validate · run 7f3a91c2 · media")
    assert "RESULT   FAIL" in text
    code, text, _ = scalab(capfd, recorded, "-f", "json")
    assert (code, json.loads(text)["validation"]) == (VERDICT_FAIL, 1)
    code, text, _ = scalab(capfd, recorded, "-f", "junit")
    assert (code, ET.fromstring(text.encode())[0].get("name")) == (VERDICT_FAIL, "media scales")
    code, text, _ = scalab(capfd, recorded, "-f", "csv")
    assert (code, len(list(csv.DictReader(text.splitlines())))) == (VERDICT_FAIL, 4)


def test_html_is_put_beside_the_file(capfd: pytest.CaptureFixture[str], recorded: str) -> None:
    code, text, _ = scalab(capfd, recorded, "-f", "html")
    path = Path(recorded).with_suffix(".html")

    assert (code, text) == (VERDICT_FAIL, f"{path}\n")
    assert '<span class="badge failed">FAIL</span>' in path.read_text()


def test_text_can_go_to_a_file(
    capfd: pytest.CaptureFixture[str], recorded: str, tmp_path: Path
) -> None:
    target = tmp_path / "out.txt"
    code, text, _ = scalab(capfd, recorded, "-o", str(target))

    assert (code, text) == (VERDICT_FAIL, "")
    assert "RESULT   FAIL" in target.read_text()


def test_the_exit_code_is_the_verdict_of_the_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = a_validation((1, 2))
    path = tmp_path / "v.jsonl"

    assert scalab(capfd, str(write(path, records(found))))[0] == OK
    failing = attrs.evolve(found, outcome="FAIL", too_many_failures=True)
    assert scalab(capfd, str(write(path, records(failing))))[0] == FAILURES
    killed = [r for r in records(found) if not isinstance(r, Validation | End)]
    code, text, _ = scalab(capfd, str(write(path, killed)))
    assert code == INCONCLUSIVE
    assert "NOTE" in text


def test_thresholds_are_not_for_a_validation(
    capfd: pytest.CaptureFixture[str], recorded: str
) -> None:
    code, _, err = scalab(capfd, recorded, "-t", "p95(total) < 2")

    assert code == USAGE
    assert err.count("\n") == 1
    assert "a validation is judged by its steps" in err
