from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from scalab.fakedev import workload
from scalab.fakedev.model import Demand, Phase
from scalab.fakedev.wire import DONE, MAX_LINE, decode, encode_end
from scalab.protocol.errors import ProtocolError

RUN = {"Kind": "run", "Device": "d0", "Work": 2, "Memory": 5, "Profile": [[98, 1, 10]]}


def line(**changes: object) -> bytes:
    return json.dumps({**RUN, **changes}).encode()


def test_what_a_workload_says() -> None:
    assert decode(line()) == Demand("d0", 2.0, (Phase(98.0, 1.0, 10.0),), 5.0)
    assert decode(b'{"Kind":"ping"}') is None


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            "--device=/dev/dri/renderD128 --work 1.5",
            Demand("renderD128", 1.5, (Phase(100, 0, 1.5),)),
        ),
        (
            "--device d --work 1e-5 --load 30 --memory 7",
            Demand("d", 1e-5, (Phase(30, 0, 0.01),), 7.0),
        ),
        (
            "--device d --profile 98:1:10,0:0:0.5,",
            Demand("d", 10.5, (Phase(98, 1, 10), Phase(0, 0, 0.5))),
        ),
        (
            "--device d --profile=98:1:10 --work 3 --load 5 --work 1e7",
            Demand("d", 1e7, (Phase(98, 1, 10),)),
        ),
    ],
)
def test_options_arrive_as_what_they_mean(args: str, expected: Demand) -> None:
    options = workload.parse(args.split())
    assert options is not None
    asked = workload.request(options)
    assert asked.endswith(b"\n")
    assert len(asked) <= MAX_LINE
    assert decode(asked[:-1]) == expected


def test_the_longest_request_fits_a_line() -> None:
    phase = f"{99 + 1 / 3}:{1 / 3}:{1e6 / 3}"
    options = {"device": "d" * 100, "work": str(1e6 / 3), "memory": str(1e6 / 7)}
    asked = workload.request({**options, "profile": ",".join([phase] * workload.MAX_PHASES)})
    assert len(asked) <= MAX_LINE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (line(Kind="stop"), "unknown Kind 'stop'"),
        (line(Kind=None), "unknown Kind None"),
        (line(Device=None), "Device must be a string"),
        (line(Work="1"), "Work must be a number"),
        (line(Work=True), "Work must be a number"),
        (line(Work=-1), "Work must be a number from 0 to 1e+07"),
        (line(Work=10**300), "Work must be a number from 0 to 1e+07"),
        (line(Work=10**400), "infinity"),
        (line(Memory=None), "Memory must be a number"),
        (line(Profile=None), "Profile must be a list of 1 to 64 phases"),
        (line(Profile=[]), "Profile must be a list of 1 to 64 phases"),
        (line(Profile=[[1, 2, 3]] * 65), "Profile must be a list of 1 to 64 phases"),
        (line(Profile=[3]), "a phase is a list of 3 numbers"),
        (line(Profile=[[1, 2]]), "a phase is a list of 3 numbers"),
        (line(Profile=[[101, 0, 1]]), "Profile must be a number from 0 to 100"),
        (line(Profile=[[1, 0, 0]]), "Profile must be a number from 0.01 to 1e+07"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(wrong: bytes, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(wrong)
    assert said in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*RUN, "x"]), json_values), st.booleans())
def test_nothing_breaks_the_decoder(fields: dict[str, object], run: bool) -> None:
    wanted = json.dumps({**RUN, **fields, **({"Kind": "run"} if run else {})}).encode()
    try:
        decoded = decode(wanted)
    except ProtocolError:
        return
    assert decoded is None or decoded.phases


@given(st.binary(max_size=50))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    try:
        decoded = decode(data)
    except ProtocolError:
        return
    assert decoded is None
    assert json.loads(data)["Kind"] == "ping"


def test_ends() -> None:
    assert encode_end(0) == DONE + b"\n"
    assert json.loads(encode_end(0)) == {"Kind": "end", "Retcode": 0}
    refused = json.loads(encode_end(12, 'no "memory"\n' * 200))
    assert (refused["Kind"], refused["Retcode"]) == ("end", 12)
    assert refused["Error"].startswith('no "memory"\n')
    assert len(refused["Error"]) == 400
