"""Why a server can't do what it was asked to."""

from __future__ import annotations

from scalab.errors import ExitCode, ScalabError
from scalab.protocol.text import printable

PERMANENT = frozenset({"version", "login", "certificate"})
"""Reasons that no waiting can cure."""

LOGIN = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})
DENIED_IN_SCRIPT = ("ERR ACL failure in script", "ERR The user executing the script can't")
"""How errors begin that a script gets instead of NOPERM, which differs by version."""
RECONNECT = frozenset({"READONLY", "MASTERDOWN", "NOAUTH", "MOVED", "CLUSTERDOWN"})
"""Errors after which the same address may lead to another, better server."""


class UnavailableError(ScalabError):
    """A command has no answer. It may have been carried out all the same.

    Args:
        reason: In a word, for counters: ``connect``, ``lost``, ``timeout``, ``protocol``,
            ``overload``, ``version``, ``login``, ``certificate``, or the server's own code in
            small letters, such as ``loading``.
        text: For people, one line.
    """

    exit_code = ExitCode.INFRASTRUCTURE

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def permanent(self) -> bool:
        """Whether no waiting can cure it."""
        return self.reason in PERMANENT


def code_of(error: Exception) -> str:
    """Return the server's code of an error reply, its first word: ``LOADING``."""
    return str(error).partition(" ")[0]


def refused(error: Exception) -> UnavailableError:
    """Return what an error reply means to whoever asked."""
    code = code_of(error)
    denied = code in LOGIN or str(error).startswith(DENIED_IN_SCRIPT)
    reason = "login" if denied else printable(code.lower(), 20)
    return UnavailableError(reason, f"the server refuses: {printable(str(error), 300)}")
