"""The restricted pod security standard: what a namespace that enforces it would refuse.

By https://kubernetes.io/docs/concepts/security/pod-security-standards/, the controls of the baseline
included. Fields that only matter to Windows are left out.
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
SECCOMP = {"RuntimeDefault", "Localhost"}
APPARMOR = {"RuntimeDefault", "Localhost"}
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
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser") == 0:
        yield "runAsUser"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if both.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield "seccompProfile"
    if both.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] not in APPARMOR:
        yield "appArmorProfile"
    linux = both.get("seLinuxOptions", {})
    if linux.get("type", "") not in SELINUX_TYPES or linux.get("user") or linux.get("role"):
        yield "seLinuxOptions"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities.drop"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
    yield from _hosts(container)


def _hosts(container: Object) -> Iterator[str]:
    """Probes and hooks may not be sent elsewhere than to the pod."""
    hooks = container.get("lifecycle", {})
    probes = [container.get(f"{name}Probe", {}) for name in ("startup", "readiness", "liveness")]
    for action in (*probes, *hooks.values()):
        if any(action.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield "host of a probe"
