"""A cluster of local processes: runs the containers' commands as the manifests have them.

Addresses become loopback ports, one for each port of each pod, and paths of volumes become folders.
Services are forwarders, so a pod that is replaced leaves its peers' addresses as they were.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from tests.support import Process

from .manifests import Build, Container, Pod, of_kind, pods
from .network import behind

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listens on, and that no connection is given for its own end."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


async def fetch(url: str, timeout_s: float = 5.0) -> tuple[int, str]:
    """Get something by HTTP; status 0 if there is no answer.

    Args:
        url: The address.
        timeout_s: For each step of it, in seconds.
    """

    # As a kubelet, which doesn't look at certificates either.
    context = ssl._create_unverified_context() if url.startswith("https") else None  # noqa: S323

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s, context=context) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()
        except OSError:
            return 0, ""

    return await trio.to_thread.run_sync(get)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until something holds: nothing tells the outside when it changes."""
    while True:
        if await condition():
            return
        await trio.sleep(0.05)


class Service:
    """Forwards connections to the pods behind it; the newest gets all of them."""

    def __init__(self) -> None:
        self.ports: dict[int, int] = {}
        """Where it listens, by the port that it has in the cluster."""
        self.targets: dict[int, int] = {}
        """Where connections go at present, likewise."""

    async def serve(
        self, ports: list[int], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Forward until cancelled."""
        async with trio.open_nursery() as nursery:
            for port in ports:
                listeners = await trio.open_tcp_listeners(0, host=HOST)
                self.ports[port] = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, self._handler(port), listeners)
            task_status.started()

    def _handler(self, port: int) -> Callable[[trio.SocketStream], Awaitable[None]]:
        async def handle(stream: trio.SocketStream) -> None:
            try:
                target = await trio.open_tcp_stream(HOST, self.targets[port])
            except (OSError, KeyError):
                return
            async with target, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, stream, target)
                nursery.start_soon(_pump, target, stream)

        return handle


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await source.aclose()
        await sink.aclose()


@attrs.define(eq=False)
class RunningPod:
    """A pod whose containers run."""

    pod: Pod
    name: str
    ports: Mapping[str, int]
    """Loopback ports by the names of the containers' ports."""
    processes: dict[str, Process] = attrs.Factory(dict)

    @property
    def main(self) -> Process:
        """The process of the container that is called like the pod's role."""
        return self.processes[self.pod.role]

    def url(self, port: str, path: str) -> str:
        """Return an address for HTTP."""
        return f"http://{HOST}:{self.ports[port]}{path}"

    async def probe(self, container: Container, kind: str, timeout_s: float = 5.0) -> int:
        """Ask what a probe asks, and return the status; 0 if there is no answer."""
        asked = container.spec[kind]["httpGet"]
        url = self.url(asked["port"], asked["path"])
        if asked.get("scheme") == "HTTPS":
            url = url.replace("http:", "https:")
        return (await fetch(url, timeout_s))[0]

    async def until_probed(self, container: Container, kind: str) -> None:
        """Wait until a probe succeeds."""
        process = self.processes[container.name]
        while await self.probe(container, kind) != 200:
            assert process.process.returncode is None, process.log
            await trio.sleep(0.05)

    async def terminate(self) -> int:
        """End it as the kubelet does, but at once; return the exit code of its main process.

        Native sidecars are told last. The hooks that only wait are left out.
        """
        self.main.signal(signal.SIGTERM)
        code = await self.main.ended()
        for name in reversed(self.processes):
            if name != self.pod.role:
                self.processes[name].signal(signal.SIGTERM)
                assert await self.processes[name].ended() == 0
        return code


class Cluster:
    """Runs the pods of a tester."""

    def __init__(self, build: Build, nursery: trio.Nursery, folder: Path) -> None:
        self.build = build
        self.folder = folder
        self.secrets: dict[str, dict[str, bytes]] = {}
        """Contents of Secrets, by name."""
        self.services: dict[str, Service] = {}
        self.processes: list[Process] = []
        self._nursery = nursery
        self._numbers: dict[str, int] = {}

    def pod(self, role: str) -> Pod:
        """The one pod of a role."""
        (found,) = [pod for pod in pods(self.build) if pod.role == role]
        return found

    async def serve(self) -> None:
        """Start the Services, with nothing behind them yet."""
        for found in of_kind(self.build, "Service"):
            service = self.services[found["metadata"]["name"]] = Service()
            ports = [port["port"] for port in found["spec"]["ports"]]
            await self._nursery.start(service.serve, ports)

    async def run(self, *argv: str, **env: str) -> Process:
        """Start a program; ``scalab`` is the one under test."""
        program, *args = argv
        command = [sys.executable, "-m", "scalab"] if program == "scalab" else [program]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SCALAB_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = Process(
            await trio.lowlevel.open_process(
                [*command, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**clean, "COLUMNS": "200", "PATH": path, **env},
            )
        )
        self.processes.append(process)
        self._nursery.start_soon(process.read_log)
        self._nursery.start_soon(process.read_out)
        return process

    async def start(self, role: str, **changed: str) -> RunningPod:
        """Start a pod, and wait until it is ready.

        Args:
            role: Of its main container.
            changed: Variables of that container that are to have another value.
        """
        pod = self.pod(role)
        number = self._numbers[role] = self._numbers.get(role, -1) + 1
        running = RunningPod(pod, f"{pod.name}-{number}", {name: free_port() for name in pod.ports})
        for container in pod.containers:
            env = changed if container.name == role else {}
            process = await self._run_container(running, container, env)
            if container.init and not container.sidecar:
                assert await process.ended() == 0, process.log
                continue
            running.processes[container.name] = process
            await running.until_probed(container, "startupProbe")
            if "readinessProbe" in container.spec:
                await running.until_probed(container, "readinessProbe")
        self._route(running)
        return running

    async def start_many(self, role: str, count: int) -> list[RunningPod]:
        """Start several pods at once."""
        made: list[RunningPod] = []

        async def start() -> None:
            made.append(await self.start(role))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(start)
        return made

    async def end(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            if process.process.returncode is None:
                process.process.kill()
            await process.process.wait()

    def _route(self, running: RunningPod) -> None:
        """Let the Services that select a pod lead to it."""
        for name, service in self.services.items():
            for port in service.ports:
                for pod, number in behind(self.build, f"{name}:{port}"):
                    if pod.name == running.pod.name:
                        names = {number: name for name, number in pod.ports.items()}
                        service.targets[port] = running.ports[names[number]]

    async def _run_container(
        self, running: RunningPod, container: Container, changed: Mapping[str, str]
    ) -> Process:
        folder = self.folder / running.name
        for mount in container.spec.get("volumeMounts", ()):
            where = folder / mount["mountPath"].lstrip("/")
            where.mkdir(parents=True, exist_ok=True)
            for path, content in self._secret(container, mount["name"]).items():
                (where / path).write_bytes(content)
        first = f"{running.pod.name}-0"  # what the manifests' reader calls every pod
        env = {
            name: running.name if value == first else self._local(value, running, folder)
            for name, value in container.env().items()
        }
        argv = [self._local(text, running, folder) for text in container.argv()]
        return await self.run(*argv, **{**env, **changed})

    def _secret(self, container: Container, volume: str) -> dict[str, bytes]:
        """What a volume shows of a Secret, by path; nothing if it shows none."""
        (found,) = [v for v in container.pod.spec["volumes"] if v["name"] == volume]
        if "secret" not in found:
            return {}
        content = self.secrets[found["secret"]["secretName"]]
        items = found["secret"].get("items", [{"key": key, "path": key} for key in content])
        return {item["path"]: content[item["key"]] for item in items}

    def _local(self, text: str, running: RunningPod, folder: Path) -> str:
        """Put local addresses and paths into a text."""
        if match := re.fullmatch(r":(\d+)", text):
            names = {number: name for name, number in running.pod.ports.items()}
            return f"{HOST}:{running.ports[names[int(match[1])]]}"
        if match := re.fullmatch(r"(scalab-[a-z]+):(\d+)", text):
            return f"{HOST}:{self.services[match[1]].ports[int(match[2])]}"
        return re.sub(
            r"^/(data|devices|tmp|etc/scalab)(?=/|$)", lambda path: f"{folder}{path[0]}", text
        )


@asynccontextmanager
async def cluster(
    folder: str, *components: str, patience_s: float = 60.0
) -> AsyncIterator[Cluster]:
    """A cluster with the Services of a tester, and no pods yet; all that is started ends with it.

    Args:
        folder: Of the tester, under ``k8s``.
        components: Likewise, in this order.
        patience_s: How long all of it may take, in seconds.
    """
    made: Cluster | None = None
    try:
        # A socket's path is short, and pytest's folders aren't.
        with tempfile.TemporaryDirectory(prefix="k8s") as where, trio.fail_after(patience_s):
            async with trio.open_nursery() as nursery:
                made = Cluster(Build(folder, components), nursery, Path(where))
                try:
                    await made.serve()
                    yield made
                finally:
                    with trio.move_on_after(10, shield=True):
                        await made.end()
                nursery.cancel_scope.cancel(reason="the test is over")
    except BaseException as exc:
        for process in made.processes if made else ():
            exc.add_note("\n".join([str(process.process.args), *process.log[-20:]]))
        raise
