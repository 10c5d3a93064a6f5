from __future__ import annotations

import pytest

from scalab.backend.outcome import RunEnd, last_line, signal_name
from scalab.protocol.messages import Reply


@pytest.mark.parametrize(
    ("end", "outcome", "reply"),
    [
        (RunEnd("exit", 1.5), "success", Reply(runtime_s=1.5)),
        (RunEnd("exit", 1.5, 9.0, stderr=b"just talk"), "success", Reply(runtime_s=1.5)),
        (
            RunEnd("exit", 0.1, 0, 3),
            "failure",
            Reply(error="exit code 3", retcode=3, runtime_s=0.1),
        ),
        (
            RunEnd("exit", 0.1, 0, 3, stderr=b"first\nno device\n\n"),
            "failure",
            Reply(error="no device", retcode=3, runtime_s=0.1),
        ),
        (
            RunEnd("exit", 0.1, 0, -11),
            "failure",
            Reply(error="ended by SIGSEGV", retcode=139, runtime_s=0.1),
        ),
        (
            RunEnd("exit", 0.1, 0, -6, stderr=b"x > 0 failed"),
            "failure",
            Reply(error="ended by SIGABRT: x > 0 failed", retcode=134, runtime_s=0.1),
        ),
        (
            RunEnd("limit", 2.1, 2.0, -15, stderr=b"bye"),
            "timeout",
            Reply(error="run-time limit of 2 s reached", timeout_s=2, retcode=124, runtime_s=2.1),
        ),
        (
            RunEnd("limit", 2.1, 0.25),
            "timeout",
            Reply(
                error="run-time limit of 0.25 s reached", timeout_s=0.25, retcode=124, runtime_s=2.1
            ),
        ),
        (
            RunEnd("cancel", 0.1, 2.0, -15),
            "cancelled",
            Reply(error="cancelled", retcode=143, runtime_s=0.1),
        ),
    ],
)
def test_reply(end: RunEnd, outcome: str, reply: Reply) -> None:
    assert end.outcome() == outcome
    assert end.reply() == reply


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"", ""),
        (b"\n \t\n", ""),
        (b"one\ntwo", "two"),
        (b"10 %\r20 %\r\n", "20 %"),
        (b"bad \xff byte", "bad \ufffd byte"),
        (b"\x1b[31mred\x07", r"\x1b[31mred\x07"),
        (b"x" * 4096, "x" * 199 + "…"),
    ],
)
def test_last_line(output: bytes, line: str) -> None:
    assert last_line(output) == line


def test_signal_without_a_name() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(40) == "signal 40"
