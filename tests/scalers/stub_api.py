"""A stand-in for the Kubernetes API: its addresses, its objects, its refusals, and its faults.

It speaks HTTP over TLS on a port of this machine, or over memory alone. Its pods follow the
replicas at once, unless a test wants to see them on their way.
"""

from __future__ import annotations

import itertools
import json
import re
import ssl
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import h11
import trio
import trio.testing

Json = dict[str, Any]

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"
NOW_S = 1795521600.0
EARLIER = "2026-11-24T11:59:30Z"
_PATH = re.compile(
    r"/apis/(?P<group>[a-z.]+)/(?P<version>\w+)/namespaces/(?P<namespace>[^/]+)"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?P<sub>/scale)?"
)
_PODS = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods")
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}


# --- objects --------------------------------------------------------------------------------------


def pod(name: str, *, ready: bool = True, leaving: bool = False, **status: Any) -> Json:
    """Return a pod as the API shows it, with a status of its own where one is given."""
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": EARLIER},
        {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": "2026-11-24T11:59:40Z",
        },
    ]
    containers = [{"name": "backend", "ready": ready, "restartCount": 0, "state": {"running": {}}}]
    metadata = {
        "name": name,
        "creationTimestamp": "2026-11-24T11:59:20Z",
        "labels": {"app": "backend"},
        **({"deletionTimestamp": "2026-11-24T12:00:30Z"} if leaving else {}),
    }
    whole = {"phase": "Running", "conditions": conditions, "containerStatuses": containers}
    return {"metadata": metadata, "spec": {}, "status": {**whole, **status}}


def waiting(name: str, reason: str, message: str, **container: Any) -> Json:
    """Return a pod whose container waits for a reason."""
    state = {"waiting": {"reason": reason, "message": message}}
    statuses = [{"name": "backend", "restartCount": 3, "state": state, **container}]
    return pod(name, ready=False, phase="Pending", containerStatuses=statuses)


def unschedulable(name: str, message: str) -> Json:
    """Return a pod for which there is no node."""
    condition = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message
    }  # fmt: skip
    return pod(name, ready=False, phase="Pending", conditions=[condition], containerStatuses=[])


def autoscaler(name: str, target: str, kind: str = "Deployment") -> Json:
    """Return a HorizontalPodAutoscaler."""
    aim = {"apiVersion": "apps/v1", "kind": kind, "name": target}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": aim, "maxReplicas": 8}}


@attrs.define(kw_only=True)
class Stored:
    """A workload in the cluster."""

    kind: str = "Deployment"
    replicas: int = 2
    version: int = 100
    selector: str = "app=backend,app.kubernetes.io/instance=sleep"
    metadata: Json = attrs.Factory(dict)
    conditions: list[Json] = attrs.Factory(list)


class RefusedError(Exception):
    """A request that the API refuses.

    Attributes:
        code: The HTTP status.
        message: In the API's words.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# --- the server -----------------------------------------------------------------------------------

Fault = Callable[[trio.abc.Stream], Any]
"""Answers in place of the API: what it writes is all, and then the connection is closed."""


def answers(code: int, body: bytes = b"", kind: str = "application/json") -> Fault:
    """Return a fault that is an answer."""

    async def fault(stream: trio.abc.Stream) -> None:
        head = f"HTTP/1.1 {code} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all(head.encode() + body)

    return fault


def fails(code: int, message: str) -> Fault:
    """Return a fault that is the API's own kind of failure."""
    return answers(code, json.dumps(failure(code, message)).encode())


async def closes(_stream: trio.abc.Stream) -> None:
    """Close the connection without an answer."""


async def is_cut_short(stream: trio.abc.Stream) -> None:
    """Begin an answer, and close the connection."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


async def hangs(_stream: trio.abc.Stream) -> None:
    """Never answer."""
    await trio.sleep_forever()


def failure(code: int, message: str) -> Json:
    """Return an object of the kind Status."""
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": _REASONS.get(code, "InternalError"), "code": code,
    }  # fmt: skip


class StubApi:
    """The API, and the cluster behind it.

    Attributes:
        workloads: By plural, namespace and name.
        pods: Those of all namespaces.
        follow: Whether pods come and go with the replicas, at once.
        autoscalers: Those of all namespaces.
        token: What a user without a certificate must show; "" = nothing.
        forbidden: What nobody may do, as ``patch deployments/scale``.
        faults: Of the next requests, each: None = there is none.
        seen: What was asked for, as ``GET /path``.
        away: Whether all requests fail.
        slow_s: Seconds from a change's arrival until it is done, whether or not somebody waits.
        users: Who has been let in: by the name in a certificate, or the token.
        allowed: What was asked for and allowed: verbs and resources, as in a Role.
        before: Called with each request, before it is answered.
    """

    def __init__(self) -> None:
        self.workloads: dict[tuple[str, str, str], Stored] = {}
        self.pods: list[Json] = []
        self.follow = True
        self.autoscalers: list[Json] = []
        self.token = ""
        self.forbidden: set[str] = set()
        self.faults: deque[Fault | None] = deque()
        self.away = False
        self.slow_s = 0.0
        self.seen: list[str] = []
        self.users: set[str] = set()
        self.allowed: set[tuple[str, str]] = set()
        self.before: Callable[[str], object] = lambda _: None
        self._numbers = itertools.count(1)

    def add(self, plural: str, namespace: str, name: str, **fields: Any) -> Stored:
        """Put a workload into the cluster, with its pods."""
        stored = self.workloads[plural, namespace, name] = Stored(**fields)
        if self.follow:
            self._follow(stored)
        return stored

    def scaled(self, stored: Stored, replicas: int) -> None:
        """Have somebody else scale it."""
        stored.replicas = replicas
        stored.version += 1
        if self.follow:
            self._follow(stored)

    def _follow(self, stored: Stored) -> None:
        names = (f"backend-{number}" for number in self._numbers)
        while len(self.pods) < stored.replicas:
            self.pods.append(pod(next(names)))
        del self.pods[stored.replicas :]

    async def serve(self, stream: trio.abc.Stream, user: str = "") -> None:
        """Answer the requests of a connection."""
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._one(stream, connection, user):
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _one(self, stream: trio.abc.Stream, connection: h11.Connection, user: str) -> bool:
        request, body = await _request(stream, connection)
        if request is None:
            return False
        headers = {name.decode(): value.decode() for name, value in request.headers}
        method, target = request.method.decode(), request.target.decode()
        self.seen.append(f"{method} {target}")
        self.before(self.seen[-1])
        fault = self.faults.popleft() if self.faults else None
        if self.away:
            fault = closes
        if fault is not None:
            await fault(stream)
            return False
        if method == "PATCH":
            await trio.sleep(self.slow_s)
        try:
            self._authenticate(headers, user)
            code, answer = 200, self._answer(method, target, headers, body)
        except RefusedError as exc:
            code, answer = exc.code, failure(exc.code, exc.message)
        data = json.dumps(answer).encode()
        head = [("Content-Type", "application/json"), ("Date", DATE)]
        response = h11.Response(
            status_code=code, headers=[*head, ("Content-Length", str(len(data)))]
        )
        pieces = (response, h11.Data(data=data), h11.EndOfMessage())
        await stream.send_all(b"".join(connection.send(piece) or b"" for piece in pieces))
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _authenticate(self, headers: Mapping[str, str], user: str) -> None:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and not user and bearer != self.token:
            raise RefusedError(401, "Unauthorized")
        self.users.add(user or bearer)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Json:
        url = urlsplit(target)
        verb = {"GET": "get", "PATCH": "patch"}[method]
        if match := _PODS.fullmatch(url.path):
            self._allow("list", "pods", match["namespace"])
            (selector,) = parse_qs(url.query)["labelSelector"]
            known = {stored.selector for stored in self.workloads.values()}
            shown = self.pods if selector in known else []
            return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": shown}
        if url.path == "/version":  # some distributions' kubectl looks for one that fits
            return {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
        match = _PATH.fullmatch(url.path)
        assert match, url.path
        if match["plural"] == "horizontalpodautoscalers":
            assert (match["group"], match["version"]) == ("autoscaling", "v2")
            self._allow("list", "horizontalpodautoscalers", match["namespace"])
            return {"kind": "HorizontalPodAutoscalerList", "items": self.autoscalers}
        self._allow(verb, match["plural"] + (match["sub"] or ""), match["namespace"])
        stored = self.workloads.get((match["plural"], match["namespace"], match["name"]))
        if stored is None:
            raise RefusedError(
                404, f'{match["plural"]}.{match["group"]} "{match["name"]}" not found'
            )
        if method == "PATCH":
            assert headers["content-type"] == "application/merge-patch+json"
            assert match["sub"]
            self._patch(stored, match["name"], json.loads(body))
        names = {"name": match["name"], "namespace": match["namespace"]}
        return _scale(stored, names) if match["sub"] else _object(stored, names)

    def _allow(self, verb: str, resource: str, namespace: str) -> None:
        self.allowed.add((verb, resource))
        if f"{verb} {resource}" in self.forbidden:
            raise RefusedError(
                403,
                f'{resource} is forbidden: User "alice" cannot {verb} resource "{resource}" in API'
                f' group "apps" in the namespace "{namespace}"',
            )

    def _patch(self, stored: Stored, name: str, change: Json) -> None:
        assert set(change) == {"metadata", "spec"}
        if change["metadata"]["resourceVersion"] != str(stored.version):
            raise RefusedError(
                409,
                f'Operation cannot be fulfilled on {stored.kind} "{name}": the object has been'
                " modified; please apply your changes to the latest version and try again",
            )
        if stored.replicas != change["spec"]["replicas"]:
            self.scaled(stored, change["spec"]["replicas"])


async def _request(
    stream: trio.abc.Stream, connection: h11.Connection
) -> tuple[h11.Request | None, bytes]:
    """Return the next request and its body; None at the end of the connection."""
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return request, body


def _scale(stored: Stored, names: Json) -> Json:
    # The API leaves out a 0.
    spec = {"replicas": stored.replicas} if stored.replicas else {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {**names, "resourceVersion": str(stored.version)},
        "spec": spec,
        "status": {"replicas": stored.replicas, "selector": stored.selector},
    }


def _object(stored: Stored, names: Json) -> Json:
    return {
        "kind": stored.kind,
        "apiVersion": "apps/v1",
        "metadata": {**names, "resourceVersion": str(stored.version), **stored.metadata},
        "spec": {"replicas": stored.replicas},
        "status": {"conditions": stored.conditions},
    }


# --- ways to it -----------------------------------------------------------------------------------


class InMemory:
    """Access to a stub without a network."""

    context = ""
    host = "stub"

    def __init__(self, api: StubApi, nursery: trio.Nursery) -> None:
        self._api = api
        self._nursery = nursery
        self.closed = False

    async def namespace(self) -> str:
        """Return the namespace of the tests."""
        return "media"

    async def connect(self) -> trio.abc.Stream:
        """Open a connection."""
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._api.serve, theirs)
        return ours

    def headers(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    async def aclose(self) -> None:
        """Note it."""
        await trio.lowlevel.checkpoint()
        self.closed = True


@asynccontextmanager
async def in_memory(api: StubApi) -> AsyncIterator[InMemory]:
    """Give access to a stub, which ends with the block."""
    async with trio.open_nursery() as nursery:
        yield InMemory(api, nursery)
        nursery.cancel_scope.cancel(reason="the test has ended")


@attrs.frozen
class Certificates:
    """An authority of the tests, and what it has signed: for servers, and for alice."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Make them by openssl."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        made = cls(folder)
        _openssl(folder, "req", "-x509", *key, *_out("ca"), "-subj", "/CN=stub", "-days", "2")
        signed = {"server": ("/CN=api", ["-addext", "subjectAltName=IP:127.0.0.1,DNS:api"])}
        signed |= {"elsewhere": ("/CN=api", ["-addext", "subjectAltName=DNS:api"])}
        signed |= {"alice": ("/CN=alice", ["-addext", "extendedKeyUsage=clientAuth"])}
        for name, (subject, more) in signed.items():
            # -CA of `openssl req` needs OpenSSL 3.
            by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2"]
            _openssl(folder, "req", "-x509", *key, *_out(name), "-subj", subject, *more, *by)
        return made

    def server(self, name: str = "server") -> ssl.SSLContext:
        """Return what a server of this name shows, and asks of those who have a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self["ca.crt"]))
        context.load_cert_chain(self[f"{name}.crt"], self[f"{name}.key"])
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


def _out(name: str) -> list[str]:
    return ["-keyout", f"{name}.key", "-out", f"{name}.crt"]


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def over_tls(
    api: StubApi, certificates: Certificates, name: str = "server"
) -> AsyncIterator[int]:
    """Serve a stub on a port of this machine, which the block is given."""
    context = certificates.server(name)

    async def handle(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError):
            await trio.aclose_forcefully(stream)
            return
        subject = dict(part[0] for part in (stream.getpeercert() or {}).get("subject", ()))
        await api.serve(stream, subject.get("commonName", ""))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel(reason="the test has ended")
