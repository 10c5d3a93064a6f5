"""The options for tokens and TLS, which many commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final

import typer

ACCESS: Final = "Access"


def _file(text: str) -> Any:
    option = typer.Option(metavar="FILE", help=text, rich_help_panel=ACCESS, show_default="none")
    return Annotated[str, option]


_TOKENS = "Tokens, a line each, with or without roles before it."
_LISTENS: Final[dict[str, tuple[Any, object]]] = {
    "token_file": (_file(f"{_TOKENS} Whoever connects needs one."), ""),
    "tls_cert": (_file("Our certificate: all our ports speak TLS."), ""),
    "tls_key": (_file("Its key, if that is in a file of its own."), ""),
    "tls_client_ca": (_file("Whoever connects needs a certificate of these authorities."), ""),
}
_CONNECTS: Final[dict[str, tuple[Any, object]]] = {
    "token_file": (_file(f"{_TOKENS} For where we connect, and for our own port."), ""),
    "tls": (
        Annotated[
            bool,
            typer.Option(
                "--tls",
                help="Connect with TLS, and trust the system's authorities.",
                rich_help_panel=ACCESS,
            ),
        ],
        False,
    ),
    "tls_ca": (_file("Connect with TLS, and trust these authorities."), ""),
    "tls_server_name": (
        Annotated[
            str,
            typer.Option(
                metavar="NAME",
                help="The name in the certificate of what we connect to.",
                rich_help_panel=ACCESS,
                show_default="its host",
            ),
        ],
        "",
    ),
    "tls_cert": (_file("Our certificate, to show; our own port speaks TLS with it."), ""),
    "tls_key": _LISTENS["tls_key"],
    "tls_client_ca": (
        _file("Whoever connects to our port needs a certificate of these authorities."),
        "",
    ),
}


def access_options(*, connects: bool) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options for tokens and TLS; it gets the ``AccessSettings`` they make.

    Args:
        connects: Whether it connects to services, and not only listens.
    """
    options = _CONNECTS if connects else _LISTENS

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_access(**given: Any) -> int:
            from scalab.access.settings import AccessSettings

            access = AccessSettings(**{name: given.pop(name) for name in options})
            return command(**given, access=access)

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "access"]
        added = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for name, (annotation, default) in options.items()
        ]
        hints = {p.name: p.annotation for p in (*own, *added)}
        with_access.__annotations__ = {**hints, "return": int}
        with_access.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        return with_access

    return decorate
