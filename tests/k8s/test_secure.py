"""The component that lets nobody in without a token and a certificate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
import trio
import yaml

from scalab.access.tokens import Tokens
from scalab.client.service import Result, run_client
from scalab.runtime.net import Address
from scalab.runtime.service import Stop
from tests.access.lab import Answer, ask, trusting
from tests.support import client_settings

from .cluster import HOST, Cluster, RunningPod, cluster
from .commands import parse
from .manifests import K8S, ROOT, SECURE, Build, Container, Object, of_kind, pods, selects, tool

SLEEP = Build("queues/sleep", ("validate", SECURE, f"{SECURE}/monitoring"))
ROLES = {
    "frontend": {"client", "worker", "metrics", "control"},
    "backend": {"worker", "metrics"},
    "client": {"client", "metrics", "control"},
    "validate": {"client", "metrics"},
}
KUBECTL = """#!/bin/sh
# Keeps what would be applied; all else is up to the real one.
case "$*" in *apply*) cat >"$APPLIED" ;; *) exec "$REAL" "$@" ;; esac
"""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The Secret that make-tokens makes, by key."""
    folder = tmp_path_factory.mktemp("kubectl")
    stub = folder / "kubectl"
    stub.write_text(KUBECTL)
    stub.chmod(0o700)
    env = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "REAL": tool("kubectl"),
        "APPLIED": str(folder / "applied"),
        "TMPDIR": str(folder),
    }
    subprocess.run([K8S / SECURE / "make-tokens", "scalab-sleep"], env=env, check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["applied", "kubectl"]
    secret = yaml.safe_load((folder / "applied").read_text())
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "scalab-tokens")
    assert secret["metadata"]["namespace"] == "scalab-sleep"
    decoded: dict[str, bytes] = {
        key: subprocess.run(
            ["base64", "-d"], input=value.encode(), capture_output=True, check=True
        ).stdout
        for key, value in secret["data"].items()
    }
    return decoded


def test_each_part_has_the_tokens_that_it_needs(tokens: dict[str, bytes]) -> None:
    assert tokens.keys() == {*ROLES, "metrics", "control"}
    given = {key: Tokens.parse(tokens[key].decode()) for key in ROLES}
    frontend = given["frontend"]
    for part, roles in ROLES.items():
        lines = tokens[part].decode().splitlines()
        assert {line.split()[0] for line in lines} == roles
        for role in roles:
            assert frontend.problem(given[part].own(role), role) is None  # type: ignore[arg-type]
    for role in ("metrics", "control"):
        assert frontend.problem(tokens[role].decode(), role) is None  # type: ignore[arg-type]
    assert len(set(tokens["frontend"].split())) == 8  # no two are alike


def secure_containers() -> list[Container]:
    return [container for pod in pods(SLEEP) for container in pod.containers]


def test_files_are_in_volumes_of_secrets_that_exist(tokens: dict[str, bytes]) -> None:
    made = {c["spec"]["secretName"] for c in of_kind(SLEEP, "Certificate")}
    for container in secure_containers():
        mounts = {m["name"]: m["mountPath"] for m in container.spec["volumeMounts"]}
        there = set()
        for volume in container.pod.spec["volumes"]:
            if "secret" not in volume:
                continue
            secret = volume["secret"]
            assert secret["defaultMode"] == 0o440
            if secret["secretName"] == "scalab-tokens":
                (item,) = secret["items"]
                assert item["key"] == container.name
                assert item["key"] in tokens
                there.add(f"{mounts[volume['name']]}/{item['path']}")
            else:
                assert secret["secretName"] in made
                names = ("tls.crt", "tls.key", "ca.crt")
                there |= {f"{mounts[volume['name']]}/{name}" for name in names}
        used = {v for v in container.env().values() if v.startswith("/etc/scalab")}
        assert used
        assert used <= there
        assert container.pod.spec["securityContext"]["fsGroup"] == 65534


def test_everything_is_turned_on() -> None:
    for container in secure_containers():
        options = parse(container.argv(), container.env()).options
        on = {name for name in options if name.startswith(("tls", "token")) and options[name]}
        connects = set() if container.name == "frontend" else {"tls_ca"}
        asks = {"tls_client_ca"} if container.name in ("frontend", "backend") else set()
        assert on == {"token_file", "tls_cert", "tls_key", *connects, *asks}
        for name in container.spec:
            if name.endswith("Probe"):
                assert container.spec[name]["httpGet"]["scheme"] == "HTTPS"


def certificates() -> dict[str, Object]:
    return {c["metadata"]["name"]: c["spec"] for c in of_kind(SLEEP, "Certificate")}


def test_certificates_are_for_the_names_that_are_connected_to() -> None:
    (namespace,) = of_kind(SLEEP, "Namespace")
    suffix = f"{namespace['metadata']['name']}.svc"
    for service in of_kind(SLEEP, "Service"):
        name = service["metadata"]["name"]
        assert certificates()[name]["dnsNames"] == [name, f"{name}.{suffix}"]
    issuers = {i["metadata"]["name"]: i["spec"] for i in of_kind(SLEEP, "Issuer")}
    for name, spec in certificates().items():
        issuer = issuers[spec["issuerRef"]["name"]]
        assert ("selfSigned" in issuer) == (name == "scalab-authority")
        if "ca" in issuer:
            assert issuer["ca"] == {"secretName": certificates()["scalab-authority"]["secretName"]}
            assert {"server auth", "client auth"} <= set(spec["usages"])


def test_each_port_with_metrics_is_scraped_by_one_monitor() -> None:
    """By those of the tester, and not by those for testers without tokens."""
    plain = Build("monitoring")
    services = [(s["metadata"]["labels"], s["spec"]["ports"]) for s in of_kind(SLEEP, "Service")]
    backends = [
        (p.labels, p.containers[-1].spec["ports"]) for p in pods(SLEEP) if p.role == "backend"
    ]
    for kind, targets in (("ServiceMonitor", services), ("PodMonitor", backends)):
        for labels, ports in targets:
            found = [m for m in of_kind(SLEEP, kind) if selects(m["spec"]["selector"], labels)]
            assert len(found) == 1
            assert not [m for m in of_kind(plain, kind) if selects(m["spec"]["selector"], labels)]
            spec = found[0]["spec"]
            (endpoint,) = [
                e
                for e in spec.get("endpoints", spec.get("podMetricsEndpoints"))
                if e["port"] in {port["name"] for port in ports} and e["port"] != "devices"
            ]
            name = endpoint["tlsConfig"]["serverName"]
            assert name in certificates()[name]["dnsNames"]
            assert endpoint["authorization"]["credentials"]["name"] == "scalab-tokens"
            used = endpoint["tlsConfig"]
            names = {used["ca"]["secret"]["name"], used["cert"]["secret"]["name"]}
            assert names == {certificates()["scalab-prometheus"]["secretName"]}


# --- it works ------------------------------------------------------------------------------------


def make_secrets(lab: Cluster, tokens: dict[str, bytes]) -> None:
    """What cert-manager would make."""
    folder = lab.folder / "certs"
    subprocess.run([ROOT / "examples" / "tls" / "make-certs", folder], check=True)
    lab.secrets["scalab-tokens"] = tokens
    for name in ("frontend", "backend", "client"):
        lab.secrets[f"scalab-{name}-tls"] = {
            "tls.crt": (folder / f"{name}.pem").read_bytes(),
            "tls.key": (folder / f"{name}.key").read_bytes(),
            "ca.crt": (folder / "ca.pem").read_bytes(),
        }


async def scraped(lab: Cluster, pod: RunningPod, port: str, token: bytes) -> Answer:
    """What Prometheus is told by a pod."""
    certs = lab.folder / "certs"
    context = trusting(str(certs / "ca.pem"), str(certs / "validate.pem"))
    at = Address(HOST, pod.ports[port])
    return await ask(at, "/metrics", bearer=token.decode(), context=context)


async def test_a_tester_works_and_a_stranger_is_kept_out(tokens: dict[str, bytes]) -> None:
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("openssl is missing")
    async with cluster("queues/sleep", SECURE) as lab:
        await trio.to_thread.run_sync(make_secrets, lab, tokens)
        frontend = await lab.start("frontend")
        await lab.start("backend")
        client = await lab.start("client")
        while True:
            text = (await scraped(lab, frontend, "metrics", tokens["metrics"])).body
            done = re.search(r'completed_total{.*"success".*} (\d+)', text)
            if done and int(done[1]) >= 3:
                break
            await trio.sleep(0.1)
        text = (await scraped(lab, client, "control", tokens["metrics"])).body
        assert re.search(r'^scalab_client_connected{queue="sleep"} 1(\.0)?$', text, re.MULTILINE)
        assert (await scraped(lab, client, "control", b"no-token-of-anybody")).status == 401
        result = Result()
        stranger = client_settings(
            Address(HOST, frontend.ports["client"]), queue="sleep", requests=1,
            connect_timeout_s=0.0,
        )  # fmt: skip
        await run_client(stranger, Stop(), result)
        assert "it closed; if it speaks TLS" in str(result.error)


def test_the_script_says_how_it_is_used() -> None:
    script = K8S / SECURE / "make-tokens"
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make-tokens NAMESPACE" in done.stderr
    assert f"k8s/{SECURE}/make-tokens" in (ROOT / "docs" / "kubernetes.md").read_text()
