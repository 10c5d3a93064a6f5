"""A run file as a stream of records, whatever its length and however it ends."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .codec import RecordError, decode_record
from .records import Header, Record

MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of a line. An interval of 100 pods at 10 000 requests/s takes 0.4 MB."""

_GZIP = b"\x1f\x8b"
_BEGIN = b'{"type":"run"'
_NO_RUN = 'not a run file of scalab: its first line has no "type": "run"'


class RunFile:
    """The records of a run file in order, the first of which is its only header.

    Iterating opens and closes the file; it may be done again. A file that was packed with gzip is
    unpacked on the way, whatever it is called.

    Args:
        path: The file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = printable(str(path), 200)
        """The path, as it is told in messages."""
        self.line = 0
        """The line that was read last, from 1."""
        self.truncated = False
        """Whether the last line, or the packed file, was found to be cut off."""

    def __iter__(self) -> Iterator[Record]:
        """Yield the records; see ``begin`` for what it may raise."""
        return self._iterate()

    def _iterate(self) -> Generator[Record, None, None]:
        self.line, self.truncated = 0, False
        try:
            with _opened(self.path) as file:
                yield from self._records(file)
        except (OSError, zlib.error) as exc:  # gzip's own error is an OSError
            reason = getattr(exc, "strerror", None) or str(exc)
            raise ConfigError(f"{self.name}: {printable(reason)}") from None

    def error(self, text: str) -> ConfigError:
        """Return an error about the line that was read last."""
        return ConfigError(f"{self.name}:{self.line}: {text}")

    def begin(self) -> tuple[Header, Generator[Record, None, None]]:
        """Return the header, and the records that follow, of which none is a header.

        Raises:
            ConfigError: The file can't be opened or read, or is no run file that this version
                reads: one line, with the number of the file's line. Iterating may raise it, too.
        """
        records = self._iterate()
        header = next(records, None)
        if not isinstance(header, Header):
            raise ConfigError(f"{self.name}: {_NO_RUN}")
        return header, records

    def _records(self, file: IO[bytes] | gzip.GzipFile) -> Iterator[Record]:
        first = True
        for line in self._lines(file):
            record = self._decoded(line)
            if record is None:
                continue
            if first and not isinstance(record, Header):
                raise self.error(_NO_RUN)
            if not first and isinstance(record, Header):
                raise self.error("a second run begins here, but a file holds one run")
            first = False
            yield record
        if first:
            cut = "its first line is cut off, so nothing is known of the run"
            raise ConfigError(f"{self.name}: {cut if self.truncated else _NO_RUN}")

    def _lines(self, file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
        while True:
            try:
                line = file.readline(MAX_LINE + 1)
            except EOFError:  # a packed file that is cut off; whole lines were returned before
                self.truncated = True
                return
            if not line:
                return
            self.line += 1
            if len(line) > MAX_LINE:
                raise self.error(f"a line of more than {MAX_LINE >> 20} MB")
            if not line.isspace():
                yield line

    def _decoded(self, line: bytes) -> Record | None:
        try:
            return decode_record(line)
        except RecordError as exc:
            ours = self.line > 1 or line.startswith(_BEGIN) or _BEGIN.startswith(line)
            if ours and exc.no_json and not line.endswith(b"\n"):
                # Nobody is to blame: the client was killed while it wrote this.
                self.truncated = True
                return None
            raise self.error(str(exc) if ours else _NO_RUN) from None


def iterate(path: Path | str) -> Iterator[Record]:
    """Yield the records of a run file; see ``RunFile.begin`` for what it may raise."""
    return iter(RunFile(path))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as file:
        if file.peek(2)[:2] != _GZIP:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked
