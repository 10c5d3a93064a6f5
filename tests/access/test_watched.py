"""Files that are read again when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalab.access.access import Access
from scalab.access.settings import AccessSettings
from scalab.access.watched import EVERY_S, Watched
from scalab.errors import ConfigError

from .lab import TOKENS, WRONG, Pki, make_certs, token_file


class Clock:
    """Time that only the test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class File:
    """A file whose reading is counted, and which can be bad."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.clock = Clock()
        self.write("first")
        self.watched = Watched([str(path), ""], self.load, self.clock)

    def write(self, text: str) -> None:
        """Replace it, as who renews files does."""
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.replace(self.path)

    def load(self) -> str:
        """Read it."""
        self.reads += 1
        text = self.path.read_text() if self.path.exists() else "bad: gone"
        if text.startswith("bad"):
            raise ConfigError(text)
        return text

    def after(self, seconds: float) -> str:
        """What there is some time later."""
        self.clock.now += seconds
        return self.watched.get()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "file")


def test_it_is_read_once_while_it_stays_the_same(file: File) -> None:
    for _ in range(10):
        assert file.after(EVERY_S) == "first"
    assert file.reads == 1


def test_a_change_is_seen_within_a_second(file: File) -> None:
    file.write("second")
    assert file.after(EVERY_S / 2) == "first"
    assert file.after(EVERY_S / 2) == "second"
    assert file.reads == 2


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """Kubernetes keeps a volume's files behind a link, and changes that."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        os.utime(tmp_path / name / "file", (1, 1))
    link = tmp_path / "data"
    link.symlink_to("a")
    path, clock = link / "file", Clock()
    watched = Watched([str(path)], path.read_text, clock)
    assert watched.get() == "a"
    link.unlink()
    link.symlink_to("b")
    clock.now += EVERY_S
    assert watched.get() == "b"


def test_a_bad_file_leaves_what_there_was_and_is_one_error(
    file: File, error_logs: list[str]
) -> None:
    file.write("bad: half of it")
    assert file.after(EVERY_S) == "first"
    assert error_logs == []  # it may be just being written
    for _ in range(5):
        assert file.after(EVERY_S) == "first"
    assert len(error_logs) == 1
    assert "keeping what was read before" in error_logs[0]
    assert "bad: half of it" in error_logs[0]
    file.path.unlink()
    assert [file.after(EVERY_S) for _ in range(3)] == ["first"] * 3
    assert len(error_logs) == 2
    error_logs.clear()
    file.write("second")
    assert file.after(EVERY_S) == "second"


def test_two_files_that_don_t_match_for_a_moment_are_no_error(file: File) -> None:
    file.write("bad: the key is of another certificate")
    assert file.after(EVERY_S) == "first"
    file.write("second")
    assert file.after(EVERY_S) == "second"


def test_a_bad_file_at_the_start_is_the_caller_s_to_hear_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read token file"):
        Access(AccessSettings(token_file=str(tmp_path / "none")))


def test_tokens_are_those_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    clock = Clock()
    access = Access(
        AccessSettings(token_file=token_file(tmp_path, f"{TOKENS['client']}\n")), clock=clock
    )
    assert access.refuses(TOKENS["client"], "client") is None
    token_file(tmp_path, f"{TOKENS['client']}\n{TOKENS['worker']}\n")  # both, for a while
    clock.now += EVERY_S
    assert access.refuses(TOKENS["client"], "client") is None
    assert access.refuses(TOKENS["worker"], "client") is None
    token_file(tmp_path, f"{TOKENS['worker']}\n")
    clock.now += EVERY_S
    assert access.refuses(TOKENS["client"], "client") == "wrong"
    assert access.refuses(WRONG, "client") == "wrong"


def test_certificates_are_those_of_the_files_as_they_are_now(tmp_path: Path, pki: Pki) -> None:
    clock = Clock()
    make_certs(tmp_path, "frontend")
    settings = Pki(tmp_path).mutual(tls_ca=pki.ca)
    access = Access(settings, clock=clock)
    before = access.for_peers(), access.for_http(), access.for_connecting()
    clock.now += EVERY_S
    assert (access.for_peers(), access.for_http(), access.for_connecting()) == before
    make_certs(tmp_path, "frontend")
    clock.now += EVERY_S
    after = access.for_peers(), access.for_http(), access.for_connecting()
    assert None not in (*before, *after)
    assert not set(before) & set(after)
