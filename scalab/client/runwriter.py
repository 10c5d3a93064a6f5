"""Writes a run file while the run goes on."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path
from typing import IO

import structlog
import trio

from scalab.errors import ConfigError
from scalab.protocol.text import printable
from scalab.runfile.codec import encode_record
from scalab.runfile.records import Record

WRITE_WITHIN_S = 5.0
"""A disk that hangs must not keep the client from ending."""

log = structlog.get_logger()


class RunWriter:
    """Appends records to a file, in a thread, so that a slow disk doesn't disturb the load.

    Each write ends with a whole line and is handed to the operating system: a client that is
    killed leaves a file that can be read.

    Args:
        path: A file, written anew; "" = none.
        unwritten: The records to write; taken from the left.

    Raises:
        ConfigError: It can't be opened for writing.
    """

    def __init__(self, path: str, unwritten: deque[Record]) -> None:
        self._unwritten = unwritten
        self._file: IO[bytes] | None = None
        self._broken = False
        self.lost = 0
        """Records that could not be written."""
        if path:
            try:
                self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - lasts
            except OSError as exc:
                name = printable(path, 200)
                raise ConfigError(f"--out {name}: {exc.strerror}") from None

    async def write(self) -> None:
        """Write what is unwritten; a write that was begun is ended, also when cancelled."""
        records = list(self._unwritten)
        self._unwritten.clear()
        if self._file is None:
            self.lost += len(records) if self._broken else 0
            return
        with trio.move_on_after(WRITE_WITHIN_S) as scope:
            scope.shield = True
            await trio.to_thread.run_sync(self._write, self._file, records, abandon_on_cancel=True)
        if scope.cancelled_caught:  # the thread still has the file, so nobody else may
            self._file = None
            self._failed("the disk takes nothing any more", records)

    def _write(self, file: IO[bytes], records: list[Record]) -> None:
        try:
            data = memoryview(b"".join(map(encode_record, records)))
            while data:
                data = data[file.write(data) :]
        except OSError as exc:
            self.close()
            self._failed(str(exc.strerror), records)

    def _failed(self, why: str, records: list[Record]) -> None:
        self._broken = True
        self.lost += len(records)
        log.error("the run file is not whole, the run goes on", reason=why)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
