"""The scripts that the store runs: each operation is one, and so happens at once or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import attrs

FOLDER = Path(__file__).parent / "lua"

_FLAGS = {"enqueue": "", "stats": " flags=no-writes", "dead": " flags=no-writes"}
_OTHER_FLAGS = " flags=allow-oom"
"""All but a new item makes room, or takes next to none, and has to work when memory is full."""


@attrs.frozen
class Script:
    """A script, and the name under which the server knows it once it has run."""

    name: str
    source: str = attrs.field(repr=False)
    sha: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Name it."""
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


def load_scripts(clock: str | None = None) -> Mapping[str, Script]:
    """Return the scripts by the names of their files.

    Args:
        clock: What defines ``now()`` instead of the server's clock: tests move time themselves.
    """
    parts = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.lua"))}
    shared = (parts.pop("clock") if clock is None else clock) + parts.pop("common")
    return {
        name: Script(name, f"#!lua{_FLAGS.get(name, _OTHER_FLAGS)}\n{shared}{own}")
        for name, own in parts.items()
    }
