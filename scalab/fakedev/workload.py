"""``scalab fakedev workload``: takes a simulated device for as long as the device needs.

Started once for each item, hundreds at a time, so its start is most of what it costs. It stands
alone, can be run by path as ``python -I -S workload.py``, and imports only what is compiled into
the interpreter: ``socket``, ``json`` or ``re`` would each cost as much again as starting Python.
"""

from __future__ import annotations

import _socket
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SUCCESS = 0
USAGE = 2
NO_EXPORTER = 7
"""There is no exporter, or it ended, or it fell silent."""
FAILURE = 10
"""The device failed, as its failure rate says."""
UNKNOWN_DEVICE = 11
OUT_OF_MEMORY = 12

DONE = b'{"Kind":"end","Retcode":0}'
"""What an exporter says at the end of a run that went well; anything else is looked at closely."""
PING = b'{"Kind":"ping"}\n'

PING_S = 2.0
"""After so much silence the exporter is asked for a sign of life."""
SILENT = 3
"""After so many times of that it is given up."""
MAX_LINE = 4096
_TRIES = 20

MAX_WORK_S = 1e7
MIN_PHASE_S = 0.01
MAX_PHASES = 64
MAX_MIB = 1e9

OPTIONS = ("device", "work", "load", "memory", "profile", "socket")
PREFIX = b"SCALAB_FAKEDEV_WORKLOAD_"
HELP = """\
Usage: scalab fakedev workload --device FILENAME [OPTIONS]

Take a simulated device for as long as it needs for some work.

  --device FILENAME  The device, by name or by path.
  --work SECONDS     What a device of speed 1 needs for it, if nothing else runs there;
                     default: once through the profile.
  --load PERCENT     Of the device, while it runs (100).
  --memory MIB       Of the device's memory (0).
  --profile LOAD:FLUCTUATION:SECONDS[,...]
                     Load in percent that changes as the work proceeds, again and again.
  --socket PATH      Where the exporter listens.
  -v, --verbose      Print how long it took, from the request to the end.
  -h, --help         Print this.

Options can also be given as variables, such as SCALAB_FAKEDEV_WORKLOAD_WORK, and the socket as
SCALAB_FAKEDEV_SOCKET. Exit codes: 0 done, 2 wrong use, 7 no exporter, 10 the device failed,
11 no such device, 12 out of memory.
"""


class WorkloadError(Exception):
    """Ends the workload with one line and an exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def default_socket() -> str:
    """Return where an exporter of this user listens if nothing else is said."""
    environ = posix.environ
    path = environ.get(b"SCALAB_FAKEDEV_SOCKET")
    if path:
        return path.decode(errors="surrogateescape")
    folder = environ.get(b"XDG_RUNTIME_DIR", b"/tmp").decode(errors="surrogateescape")
    return f"{folder}/scalab-fakedev-{posix.getuid()}.sock"


def main(args: Sequence[str]) -> int:
    """Run the workload, and return its exit code."""
    try:
        options = parse(args)
        if options is None:
            sys.stdout.write(HELP)
            return SUCCESS
        asked = request(options)
        started = time.monotonic()
        run(options["socket"], asked)
        if "verbose" in options:
            sys.stdout.write(f"{time.monotonic() - started:.4f} s\n")
    except WorkloadError as error:
        sys.stderr.write(f"scalab fakedev workload: {error}\n")
        return error.code
    except KeyboardInterrupt:
        return 130
    return SUCCESS


# --- options -------------------------------------------------------------------------------------


def parse(args: Sequence[str]) -> dict[str, str] | None:
    """Return the options as texts, the last of each counting; None if help was asked for.

    Raises:
        WorkloadError: ``USAGE``.
    """
    options = {"load": "100", "memory": "0", "socket": default_socket()}
    for name in OPTIONS:
        value = posix.environ.get(PREFIX + name.upper().encode())
        if value:
            options[name] = value.decode(errors="surrogateescape")
    rest = iter(args)
    for arg in rest:
        if arg in ("-h", "--help"):
            return None
        if arg in ("-v", "--verbose"):
            options["verbose"] = "1"
            continue
        name, equals, given = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or name not in OPTIONS:
            raise WorkloadError(USAGE, f"unknown argument {arg!a} (see --help)")
        if not equals:
            given = next(rest, "")
        if not given:
            raise WorkloadError(USAGE, f"--{name} needs a value")
        options[name] = given
    return options


def request(options: dict[str, str]) -> bytes:
    """Return what the exporter is asked for.

    Raises:
        WorkloadError: ``USAGE``.
    """
    device = options.get("device", "").rpartition("/")[2]
    if not device:
        raise WorkloadError(USAGE, "--device is missing")
    if not device.isascii() or not device.isprintable() or '"' in device or "\\" in device:
        raise WorkloadError(USAGE, f"--device: {device!a} is no name of a device")
    profile = (
        [_phase(text) for text in options["profile"].split(",") if text]
        if options.get("profile")
        else []
    )
    if len(profile) > MAX_PHASES:
        raise WorkloadError(USAGE, f"--profile: at most {MAX_PHASES} phases")
    if "work" in options:
        work_s = number("work", options["work"], 0.0, MAX_WORK_S)
    elif profile:
        work_s = sum(phase[2] for phase in profile)
    else:
        raise WorkloadError(USAGE, "give --work, --profile, or both")
    memory = number("memory", options["memory"], 0.0, MAX_MIB)
    if not profile:
        profile = [[number("load", options["load"], 0.0, 100.0), 0.0, max(work_s, MIN_PHASE_S)]]
    # Numbers of Python are numbers of JSON, and the name needs no escaping.
    return (
        f'{{"Kind":"run","Device":"{device}","Work":{work_s!r},"Memory":{memory!r},'
        f'"Profile":{profile!r}}}\n'
    ).encode()


def _phase(text: str) -> list[float]:
    fields = text.split(":")
    if len(fields) != 3:
        raise WorkloadError(USAGE, f"--profile: {text!a} is not LOAD:FLUCTUATION:SECONDS")
    load = number("profile", fields[0], 0.0, 100.0)
    return [
        load,
        number("profile", fields[1], 0.0, 100.0),
        number("profile", fields[2], MIN_PHASE_S, MAX_WORK_S),
    ]


def number(name: str, text: str, low: float, high: float) -> float:
    """Return the number that ``text`` stands for.

    Raises:
        WorkloadError: ``USAGE``, it is none, or not from ``low`` to ``high``.
    """
    try:
        value = float(text)
    except ValueError:
        raise WorkloadError(USAGE, f"--{name}: {text!a} is not a number") from None
    if not low <= value <= high:
        raise WorkloadError(USAGE, f"--{name}: {text!a} is not from {low:g} to {high:g}")
    return value


# --- the exporter --------------------------------------------------------------------------------


def run(path: str, asked: bytes) -> None:
    """Ask for the device, and wait until the exporter says that the work is done.

    No wait is unbounded: the exporter ends, answers, or is given up after ``SILENT * PING_S``.

    Raises:
        WorkloadError: There is no exporter, or the work was not done.
    """
    exporter = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    exporter.settimeout(PING_S)
    try:
        _connect(exporter, path)
        exporter.sendall(asked)
        answer = _wait(exporter)
    except OSError:
        raise WorkloadError(NO_EXPORTER, "the exporter has ended") from None
    finally:
        # The connection is the hold on the device. It ends here rather than with the process.
        exporter.close()
    if answer != DONE:
        raise _refusal(answer)


def _connect(exporter: _socket.socket, path: str) -> None:
    reason = ""
    for _ in range(SILENT * _TRIES):
        try:
            exporter.connect(path)
        except BlockingIOError:
            # Hundreds of others connect at this moment, or nobody accepts them.
            reason = "it accepts no connection"
            time.sleep(PING_S / _TRIES)
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            break
        else:
            return
    raise WorkloadError(NO_EXPORTER, f"no exporter at {path!a}: {reason}")


def _wait(exporter: _socket.socket) -> bytes:
    received = b""
    silent = 0
    while True:
        try:
            data = exporter.recv(MAX_LINE)
        except TimeoutError:
            silent += 1
            if silent >= SILENT:
                text = f"the exporter has been silent for {SILENT * PING_S:g} s"
                raise WorkloadError(NO_EXPORTER, text) from None
            exporter.sendall(PING)
            continue
        if not data:
            raise WorkloadError(NO_EXPORTER, "the exporter has ended")
        silent = 0
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            if b'"Kind":"end"' in line:
                return line
        if len(received) > MAX_LINE:
            raise WorkloadError(NO_EXPORTER, "this is no exporter")


def _refusal(answer: bytes) -> WorkloadError:
    import json  # noqa: PLC0415 - only who fails pays for it

    try:
        end = json.loads(answer)
        code, text = int(end["Retcode"]), str(end["Error"])
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        return WorkloadError(NO_EXPORTER, "this is no exporter")
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return WorkloadError(code if 0 < code < 126 else NO_EXPORTER, shown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
