"""Processes that end while the list of all is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scalab.backend.guard_process import marked
from scalab.backend.procfs import session_members


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all processes but this one, the entry in /proc is there, and what is in it isn't.

    That is what the system tells of a process in the moment of its end.
    """

    own = ("/", "proc", str(os.getpid()))

    def gone_in(real: Callable[..., object]) -> Callable[..., object]:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            if self.parts[:2] == own[:2] and self.parts[:3] != own and len(self.parts) > 3:
                raise ProcessLookupError(3, "No such process", str(self))
            return real(self, *args, **kwargs)

        return call

    for name in ("read_bytes", "stat", "exists"):
        monkeypatch.setattr(Path, name, gone_in(getattr(Path, name)))


@pytest.mark.usefixtures("ending")
def test_they_are_left_out_of_a_session() -> None:
    assert session_members(os.getsid(0)) == {os.getpid(): os.getpgrp()}


@pytest.mark.usefixtures("ending")
def test_they_have_no_mark() -> None:
    environ = Path(f"/proc/{os.getpid()}/environ").read_bytes()
    mark = environ.split(b"\0", 1)[0]
    assert marked(mark) == [os.getpid()]
