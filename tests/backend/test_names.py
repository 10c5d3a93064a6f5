from __future__ import annotations

import os
import socket

import pytest

from scalab.backend.names import discover_names


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_NODE", "node-7")
    monkeypatch.setenv("MY_POD", "pod\n7")

    assert discover_names("MY_NODE", "MY_POD") == ("node-7", r"pod\n7")


@pytest.mark.parametrize("variable", ["", "UNSET", "EMPTY"])
def test_fallback(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("EMPTY", "")
    host = socket.gethostname()

    assert discover_names(variable, variable) == (host, f"{host}-{os.getpid()}")
