"""Every command in the manifests is one that the program understands, and they fit together."""

from __future__ import annotations

import re

import pytest

from .commands import Command, parse, parse_workload
from .manifests import SAMPLES, Build, Container, Pod, of_kind, pods


def commands(pod: Pod) -> dict[str, Command]:
    """The commands of a pod's containers that run ``scalab``."""
    return {
        container.name: parse(container.argv(), container.env())
        for container in pod.containers
        if container.argv()[0] == "scalab"
    }


def by_role(build: Build) -> dict[str, list[tuple[Pod, Command]]]:
    found: dict[str, list[tuple[Pod, Command]]] = {}
    for pod in pods(build):
        found.setdefault(pod.role, []).append((pod, commands(pod)[pod.role]))
    return found


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_commands_are_understood(build: Build) -> None:
    for pod in pods(build):
        names = {name: command.name for name, command in commands(pod).items()}
        expected = {pod.role: pod.role}
        if build.folder == "queues/fakedev" and pod.role == "backend":
            expected["devices"] = "fakedev exporter"
        assert names == expected


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["backend", "--no-such", "--", "sleep"], {}),
        (["backend"], {}),
        (["frontend"], {}),
        (["clint"], {}),
        (["client"], {"SCALAB_CLIENT_PARALEL": "1"}),
        (["client"], {"SCALAB_CLIENT_PARALLEL": "many"}),
        (["client"], {"SCALAB_BACKEND_GRACE": "1"}),
        (["frontend", "q"], {"SCALAB_FRONTEND_PORT": "tcp://10.0.0.1:9997"}),
    ],
)
def test_a_mistake_is_noticed(args: list[str], env: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r".*"):
        parse(["scalab", *args], env)


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_clients_ask_for_what_the_workload_understands(build: Build) -> None:
    roles = by_role(build)
    for _, client in roles["client"]:
        (queue,) = client.options["queue"]
        (backend,) = [b for _, b in roles["backend"] if b.options["queue"] == queue]
        args = [] if backend.options["ignore_args"] else client.options["args"] or []
        parse_workload([*backend.workload(), *args])


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_all_speak_of_the_same_queues(build: Build) -> None:
    roles = by_role(build)
    ((_, frontend),) = roles["frontend"]
    served = sorted(frontend.options["queues"])
    for role in ("backend", "client"):
        queues = [(pod, queue_of(command)) for pod, command in roles[role]]
        assert sorted(queue for _, queue in queues) == served
        for pod, queue in queues:
            assert pod.labels["app.kubernetes.io/instance"] == queue


def queue_of(command: Command) -> str:
    """The queue of a backend, or the only one of a client."""
    queue = command.options["queue"]
    return str(queue if isinstance(queue, str) else queue[0])


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_ports_are_those_that_are_listened_on(build: Build) -> None:
    for pod in pods(build):
        found = commands(pod)
        for container in pod.containers:
            command = found.get(container.name)
            listens = command.listens() if command else {}
            assert all(address.host == "" for address in listens.values()), "from other pods, too"
            assert sorted(a.port for a in listens.values()) == sorted(container.ports.values())
        assert len(set(pod.ports.values())) == sum(len(c.ports) for c in pod.containers)


def option_of_port(container: Container, name: str) -> str:
    """The option that a port is listened on for."""
    listens = parse(container.argv(), container.env()).listens()
    (option,) = [k for k, address in listens.items() if address.port == container.ports[name]]
    return option


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_ports_have_the_right_names(build: Build) -> None:
    names = {
        "client": "client_addr", "worker": "worker_addr", "metrics": "metrics_addr",
        "control": "control_addr", "devices": "metrics_addr",
    }  # fmt: skip
    for pod in pods(build):
        for container in pod.containers:
            for name in container.ports:
                assert option_of_port(container, name) == names[name]


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_probes_ask_where_http_is_served(build: Build) -> None:
    for pod in pods(build):
        for container in pod.containers:
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe := container.spec.get(name):
                    assert probe["httpGet"]["port"] in ("metrics", "control", "devices")
                    assert probe["httpGet"]["port"] in container.ports
                    path = "/readyz" if name == "readinessProbe" else "/livez"
                    assert probe["httpGet"]["path"] == path


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_who_has_to_go_has_the_time_for_it(build: Build) -> None:
    """SIGKILL comes after terminationGracePeriodSeconds, in which preStop is included."""
    for pod in pods(build):
        command = commands(pod)[pod.role]
        (container,) = [c for c in pod.containers if c.name == pod.role]
        hook = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        own = command.options["grace"] + command.options.get("kill_grace", 0)
        assert pod.spec["terminationGracePeriodSeconds"] >= hook.get("seconds", 0) + own + 10


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_no_item_outlives_a_grace(build: Build) -> None:
    """So every item that runs when somebody has to go ends by itself."""
    roles = by_role(build)
    longest = max(b.options["limit"] + b.options["kill_grace"] for _, b in roles["backend"])
    assert longest > 0
    for commands_of_role in roles.values():
        for _, command in commands_of_role:
            assert command.options["grace"] >= longest


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_nobody_gives_up(build: Build) -> None:
    """In a cluster, the frontend may start later, and be away for as long as it takes."""
    roles = by_role(build)
    for role in ("backend", "client"):
        for _, command in roles[role]:
            assert command.options["connect_timeout"] >= 60
            assert command.options["reconnect_timeout"] == 0
    kinds = {pod.kind: command.options["when_empty"] for pod, command in roles["backend"]}
    assert kinds in ({"Deployment": "wait"}, {"CronJob": "exit"})


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_devices_are_looked_for_where_they_are(build: Build) -> None:
    gpu = next((name for name in build.components if name.startswith("gpu/")), "")
    expected = {
        "": "/devices/renderD*" if build.folder == "queues/fakedev" else "",
        "gpu/nvidia": "/dev/nvidia[0-9]*",
    }.get(gpu, "/dev/dri/renderD*")
    for pod, command in by_role(build)["backend"]:
        assert command.options["glob"] == expected
        words = " ".join(command.workload())
        assert ("FILENAME" in words) == (expected.endswith("renderD*"))
        if exporter := commands(pod).get("devices"):
            assert expected.startswith(exporter.options["make_files"])
            sockets = {c.env()[k] for c in pod.containers for k in c.env() if k.endswith("_SOCKET")}
            assert sockets == {exporter.options["socket"]}


@pytest.mark.parametrize("build", SAMPLES, ids=str)
def test_files_are_where_a_volume_is(build: Build) -> None:
    for pod in pods(build):
        for container in pod.containers:
            mounts = {mount["mountPath"] for mount in container.spec.get("volumeMounts", ())}
            text = " ".join([*container.argv(), *container.env().values()])
            used = set(re.findall(r"(?:^|\s)(/(?:data|devices|tmp))\b", text))
            assert used <= mounts


def test_the_nested_labels_name_the_queue() -> None:
    """The queue is set by a label alone."""
    for pod in pods(Build("queues/sleep")):
        fields = [
            env["valueFrom"]["fieldRef"]["fieldPath"]
            for env in pod.containers[-1].spec["env"]
            if "QUEUE" in env["name"]
        ]
        assert fields == ["metadata.labels['app.kubernetes.io/instance']"]


def test_backends_tell_where_they_are() -> None:
    for name, node in (("sleep", "node-a"), ("fakedev", "scalab-backend-0")):
        (pod,) = [pod for pod in pods(Build(f"queues/{name}")) if pod.role == "backend"]
        env = pod.containers[-1].env()
        command = commands(pod)["backend"]
        assert env[command.options["node_env"]] == node
        assert env[command.options["pod_env"]] == "scalab-backend-0"


def test_clients_restart_is_no_second_load() -> None:
    strategies = {
        d["metadata"]["name"]: d["spec"]["strategy"]
        for d in of_kind(Build("queues/sleep"), "Deployment")
    }
    assert strategies["scalab-client"] == {"type": "Recreate"}
    assert strategies["scalab-frontend"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
