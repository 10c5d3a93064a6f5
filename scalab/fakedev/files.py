"""Files on the disk: those that stand for devices, and the socket."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scalab.errors import ConfigError
from scalab.protocol.text import printable

BACKLOG = 4096


@contextmanager
def device_files(folder: str, names: Iterable[str]) -> Iterator[None]:
    """Make an empty file for each device; at the end, remove those that were not there before.

    Raises:
        ConfigError: One can't be made.
    """
    made: list[Path] = []
    try:
        _make_files(Path(folder), names, made)
        yield
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _make_files(folder: Path, names: Iterable[str], made: list[Path]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name
            if not path.exists():
                path.touch(exist_ok=False)
                made.append(path)
    except OSError as exc:
        shown = printable(str(exc.filename or folder), 200)
        raise ConfigError(f"can't make device files: {shown}: {exc.strerror}") from None


@contextmanager
def listening_socket(path: str, mode: int) -> Iterator[socket.socket]:
    """Listen on a Unix socket, and remove it at the end.

    Args:
        path: A socket that is there and that nobody listens on is replaced.
        mode: Permissions of the socket; it never has more, not even for a moment.

    Raises:
        ConfigError: Somebody else listens there, or nobody can.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        try:
            _remove_stale(path)
            # Linux makes the file with the socket's own mode, less the umask.
            os.fchmod(listener.fileno(), mode & 0o700)
            listener.bind(path)
            ours = os.lstat(path)
            os.chmod(path, mode)  # noqa: PTH101
            listener.listen(BACKLOG)
        except OSError as exc:
            # What is wrong with a path that is too long, no errno tells.
            reason = exc.strerror or str(exc)
            raise ConfigError(f"can't listen on {printable(path, 200)}: {reason}") from None
        try:
            yield listener
        finally:
            _remove(path, ours)


def _remove_stale(path: str) -> None:
    """Remove a socket that its exporter left behind.

    Raises:
        OSError: ``EADDRINUSE``, it is in use, or is no socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EADDRINUSE, "there is a file, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _remove(path, found)
            return
        except BlockingIOError:
            pass  # somebody listens who is too busy to accept
    raise OSError(errno.EADDRINUSE, "another exporter listens there")


def _remove(path: str, known: os.stat_result) -> None:
    """Remove a file, unless another has come in its place."""
    try:
        if os.path.samestat(os.lstat(path), known):
            os.unlink(path)  # noqa: PTH108
    except OSError:
        pass  # it is gone, or the folder no longer ours to write
