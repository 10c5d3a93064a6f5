from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scalab.backend.command import Workload
from scalab.backend.outcome import CannotRunError
from scalab.errors import ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with an executable, a text file and a directory."""
    (tmp_path / "work").touch(0o755)
    (tmp_path / "text").touch(0o644)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_absolute_path() -> None:
    workload = Workload.parse([sys.executable, "-c", "pass"])

    assert workload == Workload(sys.executable, ("-c", "pass"))
    assert not workload.built_in


def test_name_on_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is kept absolute even where PATH is not, as runs may be in another directory."""
    monkeypatch.setenv("PATH", f"/nowhere:{here}")
    assert Workload.parse(["work"]).program == f"{here}/work"

    monkeypatch.setenv("PATH", ".")
    assert Workload.parse(["work"]).program == f"{here}/work"


def test_relative_path(here: Path) -> None:
    assert Workload.parse(["./work"]).program == f"{here}/work"


def test_link_is_not_followed(here: Path) -> None:
    """Programs may look at the name by which they are called."""
    (here / "other").symlink_to("work")

    assert Workload.parse([f"{here}/other"]).program == f"{here}/other"


def test_sleep_is_built_in() -> None:
    assert Workload.parse(["sleep", "1"]) == Workload("sleep", ("1",))
    assert Workload.parse(["sleep"]).built_in
    assert not Workload.parse(["/bin/sleep"]).built_in


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ([], "no workload was given"),
        ([""], "no workload was given"),
        (["no-such-program"], "workload 'no-such-program' is not on PATH"),
        (["text"], "workload 'text' is not on PATH"),
        (["/no/such/program"], "workload '/no/such/program' does not exist"),
        (["./text"], r"workload './text' is not executable"),
        (["./folder"], "workload './folder' is a directory"),
        (["no\nprogram"], r"workload 'no\nprogram' is not on PATH"),
    ],
)
def test_what_cannot_run_is_refused(here: Path, argv: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Workload.parse(argv)

    assert str(caught.value) == why


def test_own_arguments_come_first() -> None:
    assert Workload("/x", ("a", "b")).arguments(["c"], "") == ["a", "b", "c"]


def test_filename_anywhere_in_an_argument() -> None:
    workload = Workload("/x", ("--device=FILENAME",))

    args = workload.arguments(["FILENAMEFILENAME", "file"], "/dev/dri/renderD128")

    assert args == ["--device=/dev/dri/renderD128", "/dev/dri/renderD128" * 2, "file"]
    assert workload.args == ("--device=FILENAME",)


def test_filename_without_a_device() -> None:
    with pytest.raises(CannotRunError, match="FILENAME is used, but there is no device") as caught:
        Workload("/x").arguments(["in FILENAME"], "")

    assert caught.value.retcode == 1


@pytest.mark.parametrize(
    ("arg", "why"),
    [("a\0b", "contains a NUL character"), ("\ud800", "can't be encoded")],
)
def test_argument_that_no_program_can_get(arg: str, why: str) -> None:
    with pytest.raises(CannotRunError, match=why):
        Workload("/x").arguments([arg], "")


def test_other_alphabets() -> None:
    assert Workload("/x").arguments(["käse", "\udcff"], "") == ["käse", "\udcff"]
