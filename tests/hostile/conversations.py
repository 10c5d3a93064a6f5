"""What peers say to one another when all is well, in bytes: the seeds of what is mutated.

All of it is encoded by the program itself, so it follows the protocol as that changes.
"""

from __future__ import annotations

import json

from scalab.protocol.codec import encode_classic, encode_frame
from scalab.protocol.messages import (
    VERSION,
    Bye,
    Cancel,
    Drain,
    Empty,
    Frame,
    Hello,
    Ping,
    Pong,
    Pull,
    Refusal,
    Release,
    Reply,
    Request,
    Welcome,
    WorkItem,
    WorkRequest,
)

REQUEST_ID = b"ID-OF-A-REQUEST"
"""Stands for it in what a frontend says: the client makes it up."""


def lines(*frames: Frame) -> bytes:
    """The bytes of a session."""
    return b"".join(map(encode_frame, frames))


_CLIENT = Hello(VERSION, "client", node="node-a", pod="client-1")
_BACKEND = Hello(VERSION, "backend", "q", 2, node="node-a", pod="media-1")
_WAITING_NOT = Hello(VERSION, "backend", "q", wait=False)

TO_CLIENT_PORT = (
    lines(
        _CLIENT, Request("q", ["-i", "x"], 2.5, "a"), Request("q", [], 0.0, "b"), Ping(),
        Cancel("a"), Cancel("b"), Bye(),
    ),
    lines(_CLIENT, *(Request("q", [], 0.0, str(i)) for i in range(20)), Drain()),
    lines(_CLIENT, Pong(), Request("nosuch", [], 0.0, "a"), Cancel("nothing")),
    encode_classic(Request("q", ["1", "two"], 5.0)),
    json.dumps({"Queue": "q", "Args": ["é", "\u2028"], "Limit": 1}, indent="\t").encode(),
)  # fmt: skip
"""What clients say to a frontend."""

TO_WORKER_PORT = (
    lines(_BACKEND, Ping(), Reply("1", error="", runtime_s=0.5), Pull(), Bye()),
    lines(_BACKEND, Drain(), Release("1"), Ping(), Bye()),
    lines(_WAITING_NOT, Pull(), Pull(), Bye()),
    encode_classic(WorkRequest("q")),
    encode_classic(WorkRequest("q")) + encode_classic(Reply(node="n", runtime_s=1.0)),
)
"""What backends say to a frontend."""

_ID = REQUEST_ID.decode()
TO_CLIENT = (
    lines(
        Welcome(VERSION, 5.0, "scalab"),
        Ping(),
        Reply(_ID, "media-1", "node-a", "renderD128", "", 0.0, 0.25, 0.01, 0, 1, "success"),
        Reply(_ID, error="no", retcode=3, outcome="failure", node="node-a"),
        Drain(),
        Bye(),
    ),
    lines(Welcome(VERSION, 5.0), Reply(_ID, retry=True, outcome="rejected", reason="draining")),
    lines(Refusal("no")),
    encode_classic(Reply("", "pod", "node", "dev", "", 0.0, 0.25, 0.01, 0, 1)),
    encode_classic(Reply(error="queue is full", retcode=1)),
)
"""What a frontend says to a client."""

TO_BACKEND = (
    lines(
        Welcome(VERSION, 5.0, "scalab"), WorkItem(["0"], 1.0, "1"), WorkItem(["0.001"], 0.0, "2"),
        Cancel("1"), Ping(), Empty(), Drain(), Bye(),
    ),
    lines(Welcome(VERSION, 5.0), Empty(), WorkItem(["nonsense"], 0.5, "1"), Pong()),
    lines(Refusal("no", retry=True)),
    encode_classic(WorkItem(["0"], 2.0)),
    encode_classic(WorkItem(error="queue is empty", empty=True)),
)  # fmt: skip
"""What a frontend says to a backend."""


def _get(path: str, *headers: str) -> bytes:
    head = [f"GET {path} HTTP/1.1", "Host: localhost:9998", *headers]
    return "\r\n".join([*head, "", ""]).encode()


_BROWSER = ("User-Agent: Mozilla/5.0", "Accept-Language: en", "Sec-Fetch-Site: same-origin")
TO_HTTP = (
    _get("/", *_BROWSER) + _get("/metrics", "Accept: application/openmetrics-text"),
    _get("/panels?queue=q&node=n", *_BROWSER, "Connection: close"),
    _get("/api/queues") + _get("/api/workers") + _get("/api/clients", "Connection: close"),
    _get("/readyz").replace(b"GET", b"HEAD") + _get("/livez").replace(b"1.1", b"1.0"),
    _get("/api/stats") + _get("/reqs-per-sec?type=plain") + _get("/nodes?type=json"),
    _get("/place?kind=nodes&id=n&part=1", *_BROWSER) + _get("/report.csv"),
    _get("/parallel?type=plain&value=2") + _get("/rate?value=50/s&type=json"),
    _get("/events", *_BROWSER),
)
"""What is asked of HTTP ports; what changes the load is among it, what stops it is not."""
