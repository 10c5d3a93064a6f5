"""One set of certificates for all tests, as making them takes a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from .lab import Pki, token_file


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority with certificates of all kinds."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """A file with one token for each role."""
    return token_file(tmp_path)
