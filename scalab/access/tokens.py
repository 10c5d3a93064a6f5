"""Tokens: what a file of them says, and whether one that is presented is among them.

A line of the file is a token that may do everything, or the roles that it is for and the token::

    # until the end of the line
    3f1c9a52d07e4b86a5c1
    client,control  9d2e7b60c4f1483f8a77
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Literal

import attrs

from scalab.errors import ConfigError

Role = Literal["client", "worker", "metrics", "control"]
"""What a token lets its holder do: send requests, run them, read HTTP ports, change a client."""
Problem = Literal["missing", "wrong", "role"]
"""Why one is refused; ``role``: it is good for something else."""

ROLES: Final[tuple[Role, ...]] = ("client", "worker", "metrics", "control")
MIN_TOKEN: Final = 16
MAX_TOKEN: Final = 256
"""Characters of a token; a session's first message has to have room for it."""

_TOKEN = re.compile(rf"[\x21-\x7e]{{{MIN_TOKEN},{MAX_TOKEN}}}")


@attrs.frozen
class Token:
    """A secret, and what it is for."""

    secret: str = attrs.field(repr=False)
    roles: frozenset[Role] = frozenset(ROLES)


class Tokens:
    """The tokens of a file, in its order."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)
        self._known = [(_digest(token.secret), token.roles) for token in self._tokens]

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Parse the text of a file.

        Raises:
            ConfigError: Which line is wrong; never what is in it.
        """
        lines = ((n, _words(line)) for n, line in enumerate(text.split("\n"), 1))
        tokens = [_parse_line(words, number) for number, words in lines if words]
        if not tokens:
            raise ConfigError("it has no token")
        return cls(tokens)

    def problem(self, presented: str, role: Role) -> Problem | None:
        """Return why a token isn't good for ``role``; None if it is.

        Takes the same time whichever of them it is, and whether it is one at all.
        """
        if not presented:
            return "missing"
        digest = _digest(presented)
        found, roles = False, frozenset[Role]()
        for known, allowed in self._known:
            same = hmac.compare_digest(known, digest)
            found |= same
            roles |= allowed if same else frozenset()
        if role in roles:
            return None
        return "role" if found else "wrong"

    def own(self, role: Role) -> str:
        """Return the token to present as ``role``: the first that is good for it, or ""."""
        return next((token.secret for token in self._tokens if role in token.roles), "")


def _digest(secret: str) -> bytes:
    """Digests are all of one length, so comparing them tells nothing of that of a secret."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _words(line: str) -> list[str]:
    """Return the words before a comment, which begins with a word of its own."""
    words = line.split()
    return words[: next((i for i, word in enumerate(words) if word.startswith("#")), None)]


def _parse_line(words: list[str], number: int) -> Token:
    *roles, secret = words
    if len(roles) > 1:
        raise ConfigError(f"line {number}: write a token, or ROLE[,ROLE] and a token")
    if not _TOKEN.fullmatch(secret):
        text = f"a token has {MIN_TOKEN} to {MAX_TOKEN} printable ASCII characters, without spaces"
        raise ConfigError(f"line {number}: {text}")
    if not roles:
        return Token(secret)
    named = roles[0].split(",")
    allowed = frozenset(role for role in ROLES if role in named)
    if len(allowed) < len(set(named)):
        raise ConfigError(f"line {number}: unknown role; there are {', '.join(ROLES)}")
    if "control" in allowed:  # who may change a client may also look
        allowed |= {"metrics"}
    return Token(secret, allowed)
