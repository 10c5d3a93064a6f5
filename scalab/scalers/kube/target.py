"""Which workload is meant, and where the API has it."""

from __future__ import annotations

import re
import shlex
from typing import Final, Self

import attrs

from scalab.errors import ConfigError
from scalab.protocol.text import printable

_NAMES: Final = {
    "deployment": ("deploy", "deployments"),
    "statefulset": ("sts", "statefulsets"),
    "replicaset": ("rs", "replicasets"),
}
_KINDS: Final = {name: kind for kind, names in _NAMES.items() for name in (kind, *names)}
# RFC 1123, as the API takes it: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_CUSTOM: Final = re.compile(r"([a-z0-9-]+)\.(v[0-9][a-z0-9]*)\.([a-z0-9.-]+)")


@attrs.frozen
class Target:
    """A workload that has a number of replicas."""

    namespace: str
    """"" = that of the kubeconfig's context, or the pod's own."""
    kind: str
    """``deployment``, ``statefulset``, ``replicaset``, or ``PLURAL.VERSION.GROUP``."""
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``[NAMESPACE/][KIND/]NAME``; without a kind, a Deployment is meant.

        A kind is written as for kubectl: ``statefulset``, ``sts``, or for one that an operator
        has added ``PLURAL.VERSION.GROUP``. Of two parts, the first is taken for a kind if there
        is such a kind.

        Raises:
            ConfigError: It is nothing of the kind.
        """
        *front, name = text.split("/")
        kind = front.pop() if front and (len(front) == 2 or _kind(front[-1])) else "deployment"
        known = _kind(kind)
        if len(front) > 1 or not known or not all(map(_NAME.fullmatch, [*front, name])):
            raise ConfigError(
                f"'{printable(text, 100)}' is no workload: write [NAMESPACE/][KIND/]NAME, for"
                " example media/scalab-backend or media/statefulset/scalab-backend"
            )
        return cls(front[0] if front else "", known, name)

    def __str__(self) -> str:
        kind = () if self.kind == "deployment" else (self.kind,)
        return "/".join((*filter(None, [self.namespace]), *kind, self.name))

    @property
    def path(self) -> str:
        """Where the API has the object."""
        group, version, plural = "apps", "v1", f"{self.kind}s"
        if custom := _CUSTOM.fullmatch(self.kind):
            plural, version, group = custom.groups()
        return f"/apis/{group}/{version}/namespaces/{self.namespace}/{plural}/{self.name}"

    @property
    def words(self) -> str:
        """What people call it: ``deployment media/scalab-backend``."""
        return f"{self.kind} {self.namespace}/{self.name}"

    def command(self, replicas: int, context: str) -> str:
        """Return the command that gives it so many replicas, for people to type."""
        words = ["kubectl", *(("--context", context) if context else ())]
        words += ["-n", self.namespace, "scale", f"{self.kind}/{self.name}"]
        return shlex.join([*words, f"--replicas={replicas}"])


def _kind(word: str) -> str:
    """Return the kind that a word stands for, "" if none."""
    return word if _CUSTOM.fullmatch(word) else _KINDS.get(word, "")
