"""What a scaler is: something that can be asked for so many workers."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import attrs


@attrs.frozen(kw_only=True)
class Readiness:
    """How far a scaler has come with what it was asked for."""

    wanted: int
    ready: int
    """Workers that are up, as far as the scaler itself knows."""
    leaving: int = 0
    """Workers that are on their way out, and may still take work."""
    trouble: str = ""
    """What keeps the missing ones from coming up, in one line: ``ImagePullBackOff``, an exit code
    with the last line of the log; "" if nothing is known."""

    @property
    def exact(self) -> bool:
        """Whether there are exactly as many as wanted."""
        return self.ready == self.wanted and not self.leaving


class Scaler(Protocol):
    """Changes the number of workers.

    Used as an async context manager: entering remembers how many workers there are, leaving
    restores that, whatever happens, also when cancelled (shielded, with a deadline).
    All methods raise ``ScalerError`` with one line for people when they can't do their work.
    """

    @property
    def name(self) -> str:
        """For the report: ``local``, ``kubernetes media/backend``, ``command``."""

    @property
    def slots_per_worker(self) -> int:
        """How many items a worker runs at once."""

    async def __aenter__(self) -> Self:
        """Remember how many workers there are."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore that."""

    async def scale(self, workers: int) -> None:
        """Ask for exactly so many workers; doesn't wait for them."""

    async def readiness(self) -> Readiness:
        """Return how many are up."""
