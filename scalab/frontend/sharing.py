"""Whether a frontend shares its queues with others, over a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from scalab.errors import ConfigError
from scalab.sharedqueue.dispatcher import SharedDispatcher
from scalab.sharedqueue.holder import LeaseTerms
from scalab.sharedqueue.service import Engine

from .settings import FrontendSettings


def share(settings: FrontendSettings, check_finished: Callable[[], None]) -> Engine | None:
    """Return what shares the queues; None if they are to be in memory.

    Raises:
        ConfigError: The library for it is not installed.
    """
    store = settings.store
    if store is None:
        return None
    try:
        from scalab.sharedqueue.store import Store  # noqa: PLC0415 - its parser is an extra
    except ModuleNotFoundError as exc:
        raise ConfigError(f"--store needs {exc.name}: pip install 'scalab[redis]'") from None
    name = os.urandom(8).hex()
    terms = LeaseTerms(
        lease_s=store.lease_s, keep_s=store.result_ttl_s, max_attempts=settings.max_attempts
    )
    make = partial(
        SharedDispatcher, settings.queues, name, queue_max=settings.queue_max,
        on_client_gone=settings.on_client_gone, terms=terms,
    )  # fmt: skip
    return Engine(Store(store, name, settings.queues), make, check_finished)
