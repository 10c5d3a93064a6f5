"""Frontend, backends, client and validation as processes, with tokens and mutual TLS."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import trio

from scalab.frontend.service import Bound
from scalab.runfile.reading import read_run
from tests.support import FrontendProcess, Process, Processes, address_of, flags, processes

from .lab import TOKENS, Pki, ask, figures, text_of, token_file, trusting

VERDICTS = (0, 3, 5)
"""Exit codes of a validation that could measure; on a busy machine anything may come of it."""


BRIEFLY = ("--min-window", "0.5", "--time-budget", "3s")


class Lab:
    """Starts processes with all options on."""

    def __init__(self, started: Processes, pki: Pki, folder: Path) -> None:
        self.started = started
        self.pki = pki
        self.folder = folder
        self.tokens = token_file(folder)

    def listening(self, name: str) -> dict[str, str]:
        """Options of what listens, and has a certificate."""
        return {
            "token_file": self.tokens,
            "tls_cert": self.pki.file(f"{name}.pem"),
            "tls_key": self.pki.file(f"{name}.key"),
            "tls_client_ca": self.pki.ca,
        }

    def connecting(self) -> dict[str, str]:
        """Options of what connects, too."""
        return {**self.listening("peer"), "tls_ca": self.pki.ca}

    async def frontend(self) -> FrontendProcess:
        """Start a frontend."""
        anywhere = dict.fromkeys(("client_addr", "worker_addr", "metrics_addr"), "127.0.0.1:0")
        options = flags({**self.listening("frontend"), **anywhere})
        process = await self.started.start("frontend", "q", "--verbose", *options)
        line = await process.line("frontend is ready")
        addresses = (address_of(line, name) for name in ("clients", "backends", "metrics"))
        return FrontendProcess(process, Bound(*addresses))

    async def get(self, url: str, path: str, role: str) -> str:
        """Ask as somebody who may do that."""
        context = trusting(self.pki.ca, self.pki.file("peer.pem"))
        at = address_of(f" url={url}", "url")
        answer = await ask(at, path, context=context, bearer=TOKENS[role])
        assert answer.status == 200
        return answer.body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_a_client_and_a_backend(pki: Pki, folder: Path) -> None:
    async with processes() as started:
        lab = Lab(started, pki, folder)
        frontend = await lab.frontend()
        backend = await started.backend(
            frontend, metrics_addr="127.0.0.1:0", verbose="", **lab.connecting()
        )
        out = str(folder / "run.jsonl")
        client = await started.client(
            frontend, "0", **lab.connecting(), control_addr="127.0.0.1:0", requests="200",
            parallel="4", no_live="", out=out, verbose="",
        )  # fmt: skip
        assert await client.ended() == 0
        assert re.search(rb"completed +200 ", client.out)
        page = await lab.get(f"https://{frontend.bound.metrics}", "/metrics", "metrics")
        ((_, done),) = figures(page, "scalab_queue_items_completed_total", outcome="success")
        assert done == 200
        for process in (backend, frontend.process):
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
        said = text_of(out)
        for process in started.all:
            said += "\n".join(process.log) + process.out.decode()
        assert "hello" in said.lower()
        assert not [token for token in TOKENS.values() if token in said]
        assert read_run(out).end


async def test_a_client_is_driven_over_its_page(pki: Pki, folder: Path) -> None:
    async with processes() as started:
        lab = Lab(started, pki, folder)
        frontend = await lab.frontend()
        client = await started.client(
            frontend, **lab.connecting(), control_addr="127.0.0.1:0", parallel="0",
            parallel_max="9", no_live="",
        )  # fmt: skip
        ready = await client.line("client is ready")
        url = re.findall(r"page=(\S+)", ready)[0]
        assert url.startswith("https://")
        assert await lab.get(url, "/parallel?type=plain&value=7", "control") == "7\n"
        assert "scalab_client_parallel_requests" in await lab.get(url, "/metrics", "metrics")
        client.signal(signal.SIGTERM)
        assert await client.ended() == 0


@pytest.mark.alone
async def test_a_validation(pki: Pki, folder: Path) -> None:
    """With the load of a client elsewhere, and workers that a command starts."""
    async with processes(patience_s=80) as started:
        lab = Lab(started, pki, folder)
        frontend = await lab.frontend()
        client = await started.client(
            frontend, "0.05", **lab.connecting(), control_addr="127.0.0.1:0", parallel="0",
            parallel_max="16", no_live="",
        )  # fmt: skip
        control = address_of(await client.line("client is ready"), "page")
        wanted = folder / "wanted"
        scale = folder / "scale"
        scale.write_text(f"#!/bin/sh\necho $1 > {wanted}.new && mv {wanted}.new {wanted}\n")
        scale.chmod(0o700)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_workers, lab, frontend, wanted)
            out = str(folder / "run.jsonl")
            validation = await started.start(
                "validate", "--scaler", "command", "--scale-command", f"{scale} {{n}}",
                "--initial", "0", "--steps", "1,2", "--queue", "q", *BRIEFLY,
                "--frontend", str(frontend.bound.clients), "--client", str(control),
                "--frontend-http", str(frontend.bound.metrics), "--out", out,
                *flags(lab.connecting()),
            )  # fmt: skip
            code = await validation.ended()
            nursery.cancel_scope.cancel(reason="the validation is over")
        said = validation.out.decode() + "\n".join(validation.log)
        assert code in VERDICTS, said
        assert read_run(out).steps
        assert not [token for token in TOKENS.values() if token in said + text_of(out)]


def number_in(file: Path) -> int:
    return int(file.read_text()) if file.exists() else 0


async def keep_workers(lab: Lab, frontend: FrontendProcess, wanted: Path) -> None:
    """Have as many backends as a file says, until cancelled."""
    running: list[Process] = []
    while True:
        count = number_in(wanted)
        while len(running) < count:
            running.append(await lab.started.backend(frontend, **lab.connecting()))
        while len(running) > count:
            process = running.pop()
            process.signal(signal.SIGTERM)
            await process.ended()
        await trio.sleep(0.05)


@pytest.mark.alone
async def test_a_validation_on_this_machine_hands_its_tokens_on(folder: Path) -> None:
    tokens, out = token_file(folder), str(folder / "run.jsonl")
    async with processes(patience_s=80) as started:
        validation = await started.start(
            "validate", "--token-file", tokens, "--steps", "1,2", *BRIEFLY,
            "--out", out, "--", "sleep", "0.05",
        )  # fmt: skip
        assert await validation.ended() in VERDICTS, validation.log
    assert read_run(out).steps


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["frontend", "q", "--token-file", "/none"], "can't read token file '/none': No such file"),
        (["frontend", "q", "--tls-key", "/none"], "--tls-key belongs to a certificate: give --tls"),
        (["frontend", "q", "--tls-cert", "/none"], "can't use the certificate of '/none': No such"),
        (
            ["backend", "--tls-ca", "/none", "--", "sleep"],
            "can't use the authorities in '/none': No",
        ),
        (
            ["client", "--tls-server-name", "x"],
            "--tls-server-name is for connecting with TLS: give",
        ),
    ],
)
def test_options_that_can_t_be_used_end_with_one_line(
    command: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from scalab.cli.app import run

    assert run(command) == 2
    complaints = [line for line in capsys.readouterr().err.splitlines() if line[:1] == "s"]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"scalab: {error}")
