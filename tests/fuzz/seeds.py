"""Sound inputs for each target, made by the program itself: where the fuzzer starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import orjson

from scalab.runfile.codec import encode_record
from tests.hostile import conversations as said
from tests.report.sample_runs import CLOSED, EVIL, OPEN, records

_EXAMPLES = Path(__file__).parents[2] / "examples"
_HEADS = (
    b"GET /change?value=1 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n",
    b"GET /change HTTP/1.1\r\nHost: evil.com\r\nAccept-Language: en\r\n\r\n",
    b"GET /change HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://[::1]:80\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
)
_THRESHOLDS = (
    "p95(total) < 2s", "failures < 1%", "rate >= 20/s", "p95(run){queue=thumbs} < 100ms",
    "failures < 20% abort after 5s", 'max(run){device="a b"} <= 1m30s',
)  # fmt: skip
_STAGES = ("0→20/s@5s, 20/s@13s, 0@5s", "8@1m", "1..8@30s, 8@1m30s", "50/s", "3000/min", "1h30m")
_DEMANDS = (
    b'{"Kind":"run","Device":"gpu0","Work":1.5,"Memory":100}',
    b'{"Kind":"ping"}',
    b'{"Kind":"run","Device":"gpu0","Work":1,"Profile":[[0.5,{"compute":1}],[0.5,{}]]}',
)


_SESSIONS = (*said.TO_CLIENT_PORT, *said.TO_WORKER_PORT, *said.TO_CLIENT, *said.TO_BACKEND)


def _runs() -> Iterator[bytes]:
    evil = orjson.dumps(EVIL)[1:-1]
    for load in (CLOSED, OPEN):
        run = b"".join(map(encode_record, records(load, seconds=4, per_second=4)))
        yield run
        yield run.replace(b"renderD129", evil).replace(b"connected to fe:9997", evil)


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "lines": lambda: (b"\x05" + session for session in _SESSIONS),
    "objects": lambda: (b"\x05" + session for session in _SESSIONS),
    "frames": lambda: (line for session in _SESSIONS for line in session.split(b"\n") if line),
    "classic": lambda: _SESSIONS,
    "sessions": lambda: (bytes([i]) + s for s in _SESSIONS for i in (0, 1, 130, 131)),
    "pages": lambda: (b"\x24" + head for head in (*said.TO_HTTP, *_HEADS)),
    "scenarios": lambda: (path.read_bytes() for path in sorted(_EXAMPLES.rglob("*.toml"))),
    "thresholds": lambda: (text.encode() for text in _THRESHOLDS),
    "stages": lambda: (text.encode() for text in _STAGES),
    "demands": lambda: _DEMANDS,
    "runs": _runs,
}
"""Inputs by target; of some the first byte says how the rest is cut."""
