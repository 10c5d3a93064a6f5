"""How each system is set up: the processes it consists of, and the client that asks.

Everywhere the work is to do nothing, with one argument, in two worker processes, and the client is
one process in Python. What is special to a system is what makes it fastest, so far as a user of it
would do that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from .processes import Part, Stage, free_port

WORKERS = 2
"""Worker processes of each system."""
SLOTS = 16
"""Of each of scalab's backends."""
ONE = 1


@attrs.frozen(kw_only=True)
class Window:
    """What a client is to do."""

    in_flight: int
    warm_up_s: float
    seconds: float

    @property
    def arguments(self) -> tuple[str, ...]:
        """It, on the command line of a program."""
        return str(self.in_flight), str(self.warm_up_s), str(self.seconds)


Start = Callable[[Stage, Window, Path, str], Part]
"""Starts a system on a stage: for that window, with the Python of the peers, and its server.
Returns the client, which starts to ask at once."""


@attrs.frozen(kw_only=True)
class System:
    """One that is measured."""

    name: str
    start: Start
    in_flight: int
    """With how many requests at once, unless told otherwise."""
    many: bool = False
    """Whether it takes the number that is asked for on the command line."""
    one: bool = False
    """Whether it is measured with one request at a time, too."""
    server: str = ""
    """The program that it needs on PATH."""
    ours: bool = False
    """Whether it is scalab, or a peer."""
    about: str
    """What one has to know of its set-up."""


def program(python: Path | str, name: str, *arguments: str) -> tuple[Path | str, ...]:
    """Return the command of one of ``programs``."""
    return python, "-m", f"{__package__}.programs.{name}", *arguments


# --- scalab ------------------------------------------------------------------------------------


def _frontend(stage: Stage, *, backends: int) -> tuple[str, str]:
    """Start a frontend and backends; return where its clients and its backends connect."""
    local = [f"--{name}-addr=127.0.0.1:0" for name in ("client", "worker", "metrics")]
    frontend = stage.start("broker", sys.executable, "-m", "scalab", "frontend", *local, "sleep")
    stage.ready(frontend, "frontend is ready")
    clients, workers = (_address(frontend.text(), name) for name in ("clients", "backends"))
    options = (f"--frontend={workers}", "--when-empty=wait", f"--slots={SLOTS}")
    for _ in range(backends):
        command = (sys.executable, "-m", "scalab", "backend", *options, "sleep")
        stage.ready(stage.start("worker", *command), "backend starts")
    return clients, workers


def _address(line: str, name: str) -> str:
    return line.partition(f"{name}=")[2].split(maxsplit=1)[0]


def _session(stage: Stage, window: Window, python: Path, server: str) -> Part:  # noqa: ARG001
    clients, _ = _frontend(stage, backends=WORKERS)
    command = program(sys.executable, "scalab_session", clients, *window.arguments)
    return stage.start("client", *command, pipe=True)


def _client(stage: Stage, window: Window, python: Path, server: str) -> Part:  # noqa: ARG001
    clients, _ = _frontend(stage, backends=WORKERS)
    options = {
        "frontend": clients,
        "control-addr": "none",
        "parallel": window.in_flight,
        "warm-up": window.warm_up_s,
        "duration": window.warm_up_s + window.seconds,
        "out": "/dev/stdout",
    }
    command = ("client", "--no-live", *(f"--{name}={value}" for name, value in options.items()))
    return stage.start("client", sys.executable, "-m", "scalab", *command, "0", pipe=True)


def _classic(stage: Stage, window: Window, python: Path, server: str) -> Part:  # noqa: ARG001
    clients, workers = _frontend(stage, backends=0)
    for _ in range(WORKERS):
        worker = stage.start(
            "worker", *program(sys.executable, "scalab_classic", "worker", workers)
        )
        stage.ready(worker, "ready")
    command = program(sys.executable, "scalab_classic", "client", clients, *window.arguments)
    return stage.start("client", *command, pipe=True)


# --- NATS --------------------------------------------------------------------------------------


def _nats(loop: str) -> Start:
    def start(stage: Stage, window: Window, python: Path, server: str) -> Part:
        broker = stage.start("broker", server, "-a", "127.0.0.1", "-p", "-1")
        stage.ready(broker, "Server is ready")
        url = "nats://" + broker.text().partition("client connections on ")[2].split()[0]
        for _ in range(WORKERS):
            worker = stage.start("worker", *program(python, "nats_peer", "worker", url, loop))
            stage.ready(worker, "ready")
        command = program(python, "nats_peer", "client", url, loop, *window.arguments)
        return stage.start("client", *command, pipe=True)

    return start


# --- on Redis ----------------------------------------------------------------------------------


def _redis(stage: Stage, server: str) -> dict[str, str]:
    """Start Redis; return the environment variable that tells where."""
    port = str(free_port())
    options = ("--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
    stage.ready(stage.start("broker", server, *options), "Ready to accept connections")
    return {"PEERS_REDIS_URL": f"redis://127.0.0.1:{port}/0"}


def _celery(stage: Stage, window: Window, python: Path, server: str) -> Part:
    url = _redis(stage, server)
    app = f"{__package__}.programs.celery_peer"
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")
    for number in range(WORKERS):
        command = ("worker", f"--hostname={number}@localhost", "--pool=solo", *options)
        worker = (python, "-m", "celery", "--app", app, *command)
        stage.ready(stage.start("worker", *worker, environment=url), '"ready"')
    client = program(python, "celery_peer", *window.arguments)
    return stage.start("client", *client, pipe=True, environment=url)


def _dramatiq(stage: Stage, window: Window, python: Path, server: str) -> Part:
    url = _redis(stage, server)
    app = f"{__package__}.programs.dramatiq_peer"
    size = ("--processes", str(WORKERS), "--threads", "8")
    worker = stage.start("worker", python, "-m", "dramatiq", *size, app, environment=url)
    stage.ready(worker, "ready for action", WORKERS)
    command = program(python, "dramatiq_peer", *window.arguments)
    return stage.start("client", *command, pipe=True, environment=url)


def _rq(stage: Stage, window: Window, python: Path, server: str) -> Part:
    url = _redis(stage, server)
    for _ in range(WORKERS):
        command = program(python, "rq_peer", "worker")
        stage.ready(stage.start("worker", *command, environment=url), '"ready"')
    command = program(python, "rq_peer", "client", *window.arguments)
    return stage.start("client", *command, pipe=True, environment=url)


def _taskiq(stage: Stage, window: Window, python: Path, server: str) -> Part:
    url = _redis(stage, server)
    app = f"{__package__}.programs.taskiq_peer:broker"
    size = ("--workers", str(WORKERS), "--log-level", "WARNING")
    worker = stage.start("worker", python, "-m", "taskiq", "worker", *size, app, environment=url)
    stage.ready(worker, '"ready"', WORKERS)
    command = program(python, "taskiq_peer", *window.arguments)
    return stage.start("client", *command, pipe=True, environment=url)


SYSTEMS = (
    System(
        name="scalab", start=_session, in_flight=256, many=True, one=True, ours=True,
        about="2 backends with 16 slots; the client is a program with a session",
    ),
    System(
        name="scalab-client", start=_client, in_flight=256, many=True, one=True, ours=True,
        about="likewise; the client is 'scalab client', with all that it measures and records",
    ),
    System(
        name="scalab-classic", start=_classic, in_flight=32, ours=True,
        about="a connection for each exchange; 2 processes with 2 classic workers, in threads",
    ),
    System(
        name="nats", start=_nats("asyncio"), in_flight=256, many=True, one=True,
        server="nats-server", about="request/reply with nats-py, a queue group of 2 processes",
    ),
    System(
        name="nats-uvloop", start=_nats("uvloop"), in_flight=256, many=True, one=True,
        server="nats-server", about="likewise, client and workers on uvloop",
    ),
    System(
        name="celery", start=_celery, in_flight=128, server="redis-server",
        about="2 workers with the solo pool, which saves a hop; the client has one thread",
    ),
    System(
        name="dramatiq", start=_dramatiq, in_flight=32, server="redis-server",
        about="2 processes with 8 threads; the client has a thread for each request in flight",
    ),
    System(
        name="rq", start=_rq, in_flight=8, server="redis-server",
        about="2 SimpleWorkers, which don't fork; the client has threads likewise",
    ),
    System(
        name="taskiq", start=_taskiq, in_flight=64, server="redis-server",
        about="2 processes on uvloop, a list as queue; the client polls for results, each 20 ms",
    ),
)  # fmt: skip
