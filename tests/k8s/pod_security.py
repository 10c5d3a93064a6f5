"""The restricted pod security standard: what a namespace that enforces it would refuse.

By https://kubernetes.io/docs/concepts/security/pod-security-standards/, with the controls of the
baseline. Fields that only matter to Windows are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from .manifests import Object

VOLUMES = {
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
LISTS = ("initContainers", "containers", "ephemeralContainers")


def violations(pod: Object) -> Iterator[str]:
    """Yield what in a pod's spec the standard forbids."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if not set(volume) <= VOLUMES:
            yield f"volume {volume['name']}"
    context = pod.get("securityContext", {})
    for sysctl in context.get("sysctls", ()):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for kind in LISTS:
        for container in pod.get(kind) or ():
            for what in _of_container(container, context):
                yield f"{container['name']}: {what}"


def _of_container(container: Object, pod: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    linux = both.get("seLinuxOptions", {})
    capabilities = own.get("capabilities", {})
    forbidden = {
        "privileged": own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "runAsNonRoot": both.get("runAsNonRoot") is not True,
        "runAsUser": both.get("runAsUser") == 0,
        "procMount": own.get("procMount", "Default") != "Default",
        "seccompProfile": both.get("seccompProfile", {}).get("type") not in PROFILES,
        "appArmorProfile": both.get("appArmorProfile", {"type": ""})["type"] not in {"", *PROFILES},
        "seLinuxOptions": linux.get("type", "") not in SELINUX_TYPES
        or linux.get("user")
        or linux.get("role"),
        "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
        "capabilities.add": set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"},
        "hostPort": any(port.get("hostPort") for port in container.get("ports", ())),
        "host of a probe": _asks_another_host(container),
    }
    yield from (name for name, found in forbidden.items() if found)


def _asks_another_host(container: Object) -> bool:
    """Whether a probe or a hook is sent elsewhere than to the pod."""
    probes = [container.get(f"{name}Probe", {}) for name in ("startup", "readiness", "liveness")]
    actions = (*probes, *container.get("lifecycle", {}).values())
    kinds = ("httpGet", "tcpSocket")
    return any(action.get(kind, {}).get("host") for action in actions for kind in kinds)
