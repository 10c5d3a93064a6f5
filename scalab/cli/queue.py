"""``scalab queue``: look at shared queues in their store, and clear them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import set_up_logging
from .store import StoreCa, StoreUrl, store_settings

if TYPE_CHECKING:
    from scalab.sharedqueue.admin import Admin

app = typer.Typer(
    help="Look at queues that frontends share, in their store, and clear them.",
    no_args_is_help=True,
)

_Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Its name.")]


@app.command()
def stats(queue: _Queue, store: StoreUrl = "", store_ca: StoreCa = None) -> int:
    """Print what waits and runs in a queue, and what happened in it, over all frontends."""

    async def look(admin: Admin) -> None:
        seen = await admin.stats(queue)
        _print("waiting", seen.waiting)
        _print("running", seen.running)
        _print("oldest wait", f"{seen.oldest_s:.1f} s")
        _print("frontends", seen.frontends)
        _print("dead", seen.dead)
        for name, count in sorted(seen.counts.items()):
            _print(name, count)

    return _administer(store, store_ca, look)


@app.command()
def dead(
    queue: _Queue,
    most: Annotated[int, typer.Option(min=1, max=1000, help="The last so many.")] = 20,
    store: StoreUrl = "",
    store_ca: StoreCa = None,
) -> int:
    """Print the items that were lost, as backends vanished with them too often."""
    from scalab.protocol.text import printable

    async def look(admin: Admin) -> None:
        for item in await admin.dead(queue, most):
            at = datetime.fromtimestamp(item.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            why, body = printable(item.why, 200), item.body.decode("utf-8", "replace").strip()
            print(  # noqa: T201 - what was asked for
                f"{at}  {printable(item.id, 150)}  {item.attempts} attempts, the last: {why}\n"
                f"    {printable(body, 1200)}"
            )

    return _administer(store, store_ca, look)


@app.command()
def purge(
    queue: _Queue,
    what_is_dead: Annotated[
        bool,
        typer.Option("--dead", help="Forget the list of the lost instead of what waits."),
    ] = False,
    store: StoreUrl = "",
    store_ca: StoreCa = None,
) -> int:
    """Cancel all that waits in a queue; its clients are told so."""

    async def clear(admin: Admin) -> None:
        if what_is_dead:
            _print("forgotten", await admin.forget_dead(queue))
        else:
            _print("cancelled", await admin.purge(queue))

    return _administer(store, store_ca, clear)


def _print(name: str, value: object) -> None:
    print(f"{name:12} {value}")  # noqa: T201 - what was asked for


def _administer(url: str, ca: Any, act: Callable[[Admin], Awaitable[None]]) -> int:
    import trio

    from scalab.errors import ConfigError

    set_up_logging(verbose=False, quiet=True, log_format="human")
    settings = store_settings(url, ca)
    if settings is None:
        raise ConfigError("name the store of the queue: --store redis://HOST")
    try:
        from scalab.sharedqueue.admin import administer
    except ModuleNotFoundError as exc:
        raise ConfigError(f"--store needs {exc.name}: pip install 'scalab[redis]'") from None
    trio.run(administer, settings, act)
    return 0
