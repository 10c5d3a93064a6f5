"""Where a command's result goes: a file that is there as a whole or not at all, or stdout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scalab.errors import ConfigError
from scalab.protocol.text import printable


def write_result(text: str, target: str) -> None:
    """Write a result as UTF-8, whatever the locale.

    Args:
        text: All of it.
        target: A path; ``-`` is standard output.

    Raises:
        ConfigError: It can't be written; what was there before is still there.
    """
    data = text.encode("utf-8")
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        _write(data, Path(target))
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ConfigError(f"can't write '{printable(target, 200)}': {reason}") from None


def _write(data: bytes, path: Path) -> None:
    path = path.resolve()  # a link stays one
    if path.exists() and not path.is_file():  # a device or pipe, or a folder, which is an error
        path.write_bytes(data)
        return
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
