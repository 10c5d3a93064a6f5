"""What workloads and exporter say to each other: a JSON object a line, over a Unix socket.

The workload asks for a device with ``run``, and has it as long as the connection lasts. The
exporter says ``end`` when its work is done, or why it will not be. A workload that has heard
nothing for a while sends ``ping``, and is answered ``pong``; the exporter sends nothing unasked,
so that what a frozen workload doesn't read can't pile up.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from scalab.protocol.errors import ProtocolError
from scalab.protocol.framing import parse_object
from scalab.protocol.text import clip, printable

from .model import Demand, Phase
from .workload import DONE, MAX_LINE, MAX_MIB, MAX_PHASES, MAX_WORK_S, MIN_PHASE_S

__all__ = ["DONE", "MAX_LINE", "PONG", "decode", "encode_end"]

PONG = b'{"Kind":"pong"}\n'


def decode(line: bytes) -> Demand | None:
    """Decode what a workload says; None is a ping.

    Raises:
        ProtocolError: ``malformed``, ``field``, or ``unexpected`` for an unknown kind.
    """
    fields = parse_object(line)
    kind = fields.get("Kind")
    if kind == "ping":
        return None
    if kind != "run":
        raise ProtocolError("unexpected", f"unknown Kind {printable(repr(kind), 40)}")
    device = fields.get("Device")
    if not isinstance(device, str):
        raise ProtocolError("field", "Device must be a string")
    work_s = _number("Work", fields.get("Work"), 0.0, MAX_WORK_S)
    memory_mib = _number("Memory", fields.get("Memory", 0), 0.0, MAX_MIB)
    return Demand(device, work_s, _phases(fields.get("Profile")), memory_mib)


def encode_end(retcode: int, error: str = "") -> bytes:
    """Encode the end of a run.

    Args:
        retcode: Of the workload; 0 = all went well.
        error: What its one line says otherwise.
    """
    if not retcode:
        return DONE + b"\n"
    fields = {"Kind": "end", "Retcode": retcode, "Error": clip(error, 400)}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _phases(value: Any) -> tuple[Phase, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PHASES:
        raise ProtocolError("field", f"Profile must be a list of 1 to {MAX_PHASES} phases")
    phases = []
    for phase in value:
        if not isinstance(phase, list) or len(phase) != 3:
            raise ProtocolError("field", "Profile: a phase is a list of 3 numbers")
        load, fluctuation, work_s = phase
        phases.append(
            Phase(
                _number("Profile", load, 0.0, 100.0),
                _number("Profile", fluctuation, 0.0, 100.0),
                _number("Profile", work_s, MIN_PHASE_S, MAX_WORK_S),
            )
        )
    return tuple(phases)


def _number(name: str, value: Any, low: float, high: float) -> float:
    number = float(value) if type(value) in (int, float) else math.nan
    if not low <= number <= high:
        raise ProtocolError("field", f"{name} must be a number from {low:g} to {high:g}")
    return number
