"""What docs/security.md says of others works with them: a real Prometheus, and curl."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio
import yaml

from scalab.access.settings import AccessSettings
from scalab.access.tokens import ROLES, Tokens
from tests.k8s.cluster import fetch, free_port
from tests.k8s.manifests import tool

from .lab import TOKENS, WRONG, Pki, guarded, http_port, token_file

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_file_of_tokens_that_is_shown_is_one() -> None:
    (text,) = blocks("text")
    tokens = Tokens.parse(text)
    assert all(tokens.own(role) for role in ROLES)
    assert tokens.own("metrics") == tokens.own("control")


@pytest.mark.parametrize("token", [TOKENS["metrics"], WRONG])
async def test_prometheus_scrapes_as_the_documentation_says(
    pki: Pki, tokens: str, tmp_path: Path, token: str
) -> None:
    (settings,) = map(yaml.safe_load, blocks("yaml"))
    settings["authorization"]["credentials_file"] = token_file(tmp_path, token, "prometheus-token")
    settings["tls_config"] |= {
        "ca_file": pki.ca,
        "cert_file": pki.file("peer.pem"),
        "key_file": pki.file("peer.key"),
    }
    async with (
        guarded(pki.mutual(token_file=tokens)) as frontend,
        trio.open_nursery() as nursery,
    ):
        target = {"targets": [str(frontend.bound.metrics)]}
        job = {"job_name": "scalab", "static_configs": [target], **settings}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        file, port = tmp_path / "prometheus.yml", free_port()
        write(file, yaml.safe_dump(config))
        process = await nursery.start(
            trio.run_process,
            [
                tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
            ],
        )  # fmt: skip
        scraped = await first_scrape(f"http://127.0.0.1:{port}", process)
        assert scraped["health"] == ("up" if token != WRONG else "down")
        if token == WRONG:
            assert "401" in scraped["lastError"]
        nursery.cancel_scope.cancel(reason="the test is over")


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def first_scrape(server: str, process: trio.Process) -> dict[str, str]:
    """How the first scrape of the one target went."""
    while True:
        assert process.returncode is None
        status, text = await fetch(f"{server}/api/v1/targets")
        if status == 200:
            (found,) = json.loads(text)["data"]["activeTargets"] or [{"health": "unknown"}]
            if found["health"] != "unknown":
                return dict(found)
        await trio.sleep(0.1)


async def test_curl_changes_the_load_as_the_documentation_says(tokens: str) -> None:
    (command,) = [line for block in blocks("sh") for line in block.splitlines() if "curl" in line]
    async with http_port("client", AccessSettings(token_file=tokens)) as address:
        command = command.replace("localhost:9996", str(address)).replace("value=8", "value=0")
        done = await trio.run_process(
            ["bash", "-c", f"{command.replace('curl', tool('curl') + ' -s')}"],
            env={"TOKEN": TOKENS["control"]},
            capture_stdout=True,
        )
        assert b"0 requests in parallel" in done.stdout
