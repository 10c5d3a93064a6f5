"""Tables of a TOML document, taken apart key by key: what stands there wrongly is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from scalab.errors import ConfigError
from scalab.protocol.text import printable

from .fields import FieldError, nearest
from .units import parse_duration

T = TypeVar("T")
D = TypeVar("D")


@contextmanager
def under(*path: str | int) -> Iterator[None]:
    """Tell where a field stands whose error is raised within."""
    try:
        yield
    except FieldError as exc:
        raise exc.under(*path) from None
    except ConfigError as exc:
        # What units and stages say begins with what they are for, and that is in the path.
        raise FieldError(path, str(exc).removeprefix(": ")) from None


class Table:
    """The values of a table by key, with hyphens; an unknown key is an error."""

    def __init__(self, value: object, known: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"must be a table, not {shown(value)}")
        self._values: dict[str, Any] = {}
        for spelled, content in value.items():
            key = spelled.replace("_", "-")
            if key not in known:
                raise FieldError((spelled,), f"there is no such key; {nearest(key, tuple(known))}")
            if key in self._values:
                raise FieldError((spelled,), "it is there twice, with - and with _")
            self._values[key] = content

    def get(self, key: str, convert: Callable[[Any], T], default: D) -> T | D:
        """Return a value in the form that is needed, or the default if it isn't there."""
        return self.need(key, convert) if key in self._values else default

    def need(self, key: str, convert: Callable[[Any], T]) -> T:
        """Return a value that is there in the form that is needed."""
        with under(key):
            return convert(self._values[key])

    def there(self, keys: Sequence[str]) -> list[str]:
        """Return which of ``keys`` it has."""
        return [key for key in keys if key in self._values]

    def one_of(self, keys: Sequence[str]) -> str:
        """Return which of ``keys`` it has, which must be one."""
        match self.there(keys):
            case [key]:
                return key
            case [first, second, *_]:
                raise FieldError((second,), f"there is {first}, too; leave one of them out")
            case _:
                raise ConfigError(f"say one of {', '.join(keys)}")


def as_text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ConfigError(f"must be a text in quotes, not {shown(value)}")
    return value


def as_word(value: object) -> str:
    """Return an argument. Whole numbers may do without quotes; others might be written anew."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def _list_of(convert: Callable[[object], str], value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f'must be a list such as ["a", "b"], not {shown(value)}')
    texts = []
    for i, element in enumerate(value):
        with under(i):
            texts.append(convert(element))
    return tuple(texts)


def as_texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list."""
    return _list_of(as_text, value)


def as_words(value: object) -> tuple[str, ...]:
    """Return the arguments of a list."""
    return _list_of(as_word, value)


def as_integer(value: object) -> int:
    """Return a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"must be a whole number, not {shown(value)}")
    return value


def as_number(value: object) -> float:
    """Return a number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"must be a number, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{shown(value)} is too large") from None


def as_seconds(value: object) -> float:
    """Return a time: a number of seconds, or a text such as ``5m``."""
    if isinstance(value, str):
        return parse_duration(value, "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return as_number(value)
    raise ConfigError(f'must be a time such as "30s", not {shown(value)}')


def shown(value: object) -> str:
    """Return a value as it may stand in the file, on one line and not too long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return printable(text.lower() if isinstance(value, bool) else text, 60)
