"""The API by way of ``kubectl proxy``, which knows all that a kubeconfig can say.

kubectl serves on a Unix socket in a folder that only this user can enter: on a TCP port, anybody on
this machine could use the API in the user's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import trio

from scalab.protocol.text import printable
from scalab.scalers.errors import ScalerError

START_S = 15.0
"""For kubectl to serve, or to answer a question about the kubeconfig."""
STOP_S = 2.0

# What keeps kubectl from outliving us, whatever ends us: the shell waits for the end of its
# standard input, whose other end is ours, and then removes the folder and kills its process group.
# It closes its own standard output, so that the end of kubectl is the end of that.
_TETHERED = '"$@" </dev/null & exec >&-; read _; rm -rf "$0"; kill 0'


class KubectlProxy:
    """A ``kubectl proxy`` of our own, started when it is needed first, and again if it is lost."""

    host = "localhost"

    def __init__(self, context: str = "") -> None:
        self.context = context
        self._process: trio.Process | None = None
        self._folder: Path | None = None

    async def namespace(self) -> str:
        """Return the context's namespace, or ``default``."""
        words = ["config", "view", "--minify", "-o", "jsonpath={.contexts[0].context.namespace}"]
        with trio.move_on_after(START_S):
            done = await trio.run_process(
                self._command(*words), capture_stdout=True, capture_stderr=True, check=False
            )
            if done.returncode == 0:
                return done.stdout.decode(errors="replace").strip() or "default"
            raise ScalerError(f"the kubeconfig is no use: {_reason(done.stderr)}")
        raise ScalerError(f"kubectl config view took more than {START_S:g} s")

    async def connect(self) -> trio.abc.Stream:
        """Open a connection to kubectl, which has one to the API."""
        if self._folder is not None:
            # The socket of a kubectl that was killed is still there, and refuses.
            with contextlib.suppress(OSError):
                return await trio.open_unix_socket(str(self._folder / "api"))
            await self.aclose()
        await self._start()
        return await trio.open_unix_socket(f"{self._folder}/api")

    def headers(self) -> Mapping[str, str]:
        """Return nothing: kubectl adds who we are."""
        return {}

    async def aclose(self) -> None:
        """End kubectl, and what it has started."""
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        if process is not None:
            with trio.CancelScope(shield=True):
                for signum in (signal.SIGTERM, signal.SIGKILL):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signum)
                    with trio.move_on_after(STOP_S):
                        await process.wait()
                        break
                await _close_pipes(process)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    async def _start(self) -> None:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="scalab-"))
        proxy = self._command("proxy", f"--unix-socket={folder / 'api'}")
        with (folder / "errors").open("wb") as errors:
            try:
                # A session of its own, so that ^C doesn't take it away before it is needed to
                # restore the replicas.
                self._process = await trio.lowlevel.open_process(
                    ["sh", "-c", _TETHERED, str(folder), *proxy],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as exc:
                raise ScalerError(f"can't start sh for kubectl: {exc}") from None
        if not await _serves(self._process):
            reason = _reason((folder / "errors").read_bytes())
            await self.aclose()
            raise ScalerError(f"kubectl proxy doesn't start: {reason}")

    def _command(self, *words: str) -> list[str]:
        path = shutil.which("kubectl")
        if path is None:
            raise ScalerError(
                "kubectl isn't there, which the Kubernetes scaler needs outside of a cluster:"
                " install it, or run scalab in a pod"
            )
        return [path, *(("--context", self.context) if self.context else ()), *words]


async def _serves(process: trio.Process) -> bool:
    """Whether it says that it serves, which it does in its first line."""
    said = b""
    with trio.move_on_after(START_S):
        while process.stdout and (more := await process.stdout.receive_some()):
            said += more
            if b"\n" in said:
                return True
    return False


async def _close_pipes(process: trio.Process) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            await pipe.aclose()


def _reason(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
    return printable(lines[-1].removeprefix("error: ").removeprefix("* "))
