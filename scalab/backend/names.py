"""Where this backend runs: the names that its replies carry."""

from __future__ import annotations

import os
import socket

from scalab.protocol.text import printable

MAX_NAME = 253
"""Characters of a name: as many as Kubernetes allows."""


def discover_names(node_env: str, pod_env: str) -> tuple[str, str]:
    """Return the names of the node and of the pod.

    Args:
        node_env: The environment variable that names the node; where it is unset, the node is
            called by the host's name.
        pod_env: The one that names the pod; where it is unset, host name and process id make a
            name that no other backend has.
    """
    host = socket.gethostname()
    node = os.environ.get(node_env) or host
    pod = os.environ.get(pod_env) or f"{host}-{os.getpid()}"
    return printable(node, MAX_NAME), printable(pod, MAX_NAME)
