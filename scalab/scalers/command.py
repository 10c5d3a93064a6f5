"""Any command that changes the number of workers, for clusters that nothing else here knows."""

from __future__ import annotations

import shlex
import shutil
from types import TracebackType
from typing import Self

import attrs
import structlog
import trio

from scalab.errors import ConfigError
from scalab.protocol.text import clip, printable

from .base import Readiness
from .child import Child, how_it_ended, last_line
from .errors import ScalerError

_MOST_DIGITS = 9
_SHOWN = 200

log = structlog.get_logger()


@attrs.frozen
class Command:
    """A command line in which ``{n}`` and ``{previous}`` stand for numbers of workers.

    It is split into words as a shell does, and run without one: no pipes, variables or wildcards.
    """

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, what: str) -> Command:
        """Split a command line, and find its program.

        Args:
            text: As it was given.
            what: What it is, for the error.

        Raises:
            ConfigError: It is empty, its quotes don't match, or there is no such program.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as exc:
            raise ConfigError(f"{what}: {str(exc).lower()} in {_shown(text)}") from None
        if not words:
            raise ConfigError(f"{what}: no command was given")
        if shutil.which(words[0]) is None:
            raise ConfigError(f"{what}: {_shown(words[0])} is no program that can be run")
        return cls(words)

    def mentions(self, placeholder: str) -> bool:
        """Whether ``{placeholder}`` is in one of its words."""
        return any(f"{{{placeholder}}}" in word for word in self.words)

    def filled(self, **numbers: int | None) -> list[str]:
        """Return the words with numbers for placeholders; where there is none, it is left."""
        words = list(self.words)
        for name, number in numbers.items():
            if number is not None:
                words = [word.replace(f"{{{name}}}", str(number)) for word in words]
        return words


def _optional(text: str | None, what: str) -> Command | None:
    return Command.parse(text, what) if text else None


class CommandScaler:
    """Workers that commands of the user's start and stop. See ``Scaler``.

    A command has ended well if its exit code is 0; what it leaves running in the background is
    left alone. One that takes too long is ended with its whole process group.

    Args:
        scale: Makes it ``{n}`` workers; ``{previous}`` is how many there were.
        ready: Prints how many workers are ready, as the last word of its last line; nothing at all
            means 0. None = the frontend alone is to be believed.
        restore: Makes it ``{n}`` workers again at the end; None = as ``scale``.
        current: Prints how many workers there are; run once at the start.
        initial: How many there are, if nothing prints it.
        slots_per_worker: How many items a worker runs at once.
        limit_s: Seconds that a command may take.

    Raises:
        ConfigError: A command can't be used, or what to restore at the end isn't known.
    """

    def __init__(
        self,
        scale: str,
        *,
        ready: str | None = None,
        restore: str | None = None,
        current: str | None = None,
        initial: int | None = None,
        slots_per_worker: int = 1,
        limit_s: float = 60.0,
    ) -> None:
        self._scale = Command.parse(scale, "--scale-command")
        if not self._scale.mentions("n"):
            raise ConfigError(f"--scale-command lacks {{n}}: {_shown(scale)}")
        self._ready = _optional(ready, "--ready-command")
        self._restore = _optional(restore, "the command that restores") or self._scale
        self._current = _optional(current, "--current-command")
        if initial is None and current is None and self._restore.mentions("n"):
            raise ConfigError(
                "the number of workers is restored at the end: say what it is by --initial or "
                "--current-command"
            )
        if initial is not None and initial < 0:
            raise ConfigError(f"--initial {initial}: there can't be so many workers")
        self._initial = initial
        self._slots = slots_per_worker
        self._limit_s = limit_s
        self._wanted = initial or 0
        self._previous = initial
        self._touched = False

    @property
    def name(self) -> str:
        """For the report."""
        return "command"

    @property
    def slots_per_worker(self) -> int:
        """How many items a worker runs at once."""
        return self._slots

    async def __aenter__(self) -> Self:
        """Find out how many workers there are.

        Raises:
            ScalerError: The command for it fails.
        """
        if self._current is not None and self._initial is None:
            words = self._current.filled()
            output = await self._run(words)
            self._initial = self._previous = self._wanted = _number(output, words)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore that, if anything was changed.

        Raises:
            ScalerError: The command for it fails, and there was no other error, which is more
                important: then it is logged.
        """
        if not self._touched:
            return
        words = self._restore.filled(n=self._initial, previous=self._previous)
        try:
            with trio.CancelScope(shield=True):  # every command has its limit
                await self._run(words)
        except ScalerError as error:
            text = f"the workers are not as they were; run: {_joined(words)} ({error})"
            if exc is None:
                raise ScalerError(text) from None
            log.error(text)  # noqa: TRY400 - one line is enough

    async def scale(self, workers: int) -> None:
        """Run the command for so many workers, and wait for its end.

        Raises:
            ScalerError: It fails.
        """
        self._touched = True  # whatever becomes of it
        self._wanted = workers
        await self._run(self._scale.filled(n=workers, previous=self._previous))
        self._previous = workers

    async def readiness(self) -> Readiness:
        """Ask how many are up; without a command for it, say that all are.

        Raises:
            ScalerError: The command fails, or prints no number.
        """
        if self._ready is None:
            await trio.lowlevel.checkpoint()
            return Readiness(wanted=self._wanted, ready=self._wanted)
        words = self._ready.filled(n=self._wanted, previous=self._previous)
        output = await self._run(words)
        ready = _number(output, words) if output.strip() else 0
        return Readiness(wanted=self._wanted, ready=ready)

    async def _run(self, words: list[str]) -> str:
        """Run a command, and return the end of its output.

        Raises:
            ScalerError: It can't be started, takes too long, or its exit code isn't 0.
        """
        child = Child(words, keep_stdout=True)
        with trio.move_on_after(self._limit_s) as limit:
            await child.attend()
        if limit.cancelled_caught:
            raise ScalerError(f"{_joined(words)}: not done after {self._limit_s:g} s")
        if child.returncode:
            said = last_line(child.stderr)
            why = how_it_ended(child.returncode) + (f": {said}" if said else "")
            raise ScalerError(f"{_joined(words)}: {why}")
        return child.stdout


def _number(output: str, words: list[str]) -> int:
    """Return the number that a command printed last.

    Raises:
        ScalerError: It printed none.
    """
    line = last_line(output)
    word = line.split()[-1] if line else ""
    if not (word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS):
        what = repr(clip(line, 80)) if line else "nothing"
        raise ScalerError(f"{_joined(words)}: should print a number of workers, not {what}")
    return int(word)


def _joined(words: list[str]) -> str:
    return printable(shlex.join(words), _SHOWN)


def _shown(text: str) -> str:
    return printable(repr(text), _SHOWN)
