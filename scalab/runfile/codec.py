"""Records to lines of JSON and back, strictly.

Unknown keys, and records of an unknown type, are ignored, so that a file of a later version that
only adds something can be read. A value of the wrong type or out of its range is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from scalab.errors import ConfigError
from scalab.load.curve import Stage
from scalab.load.scenario import ClosedLoad, OpenLoad, Scenario
from scalab.measure.aggregate import Aggregate
from scalab.measure.batches import Estimate
from scalab.measure.interval import Interval
from scalab.protocol.text import printable

from .counted import (
    WrongError,
    aggregate_from,
    aggregate_json,
    at,
    count_from,
    list_from,
    object_from,
    text_from,
)
from .records import FORMAT, Decision, End, Event, Header, Record, StepResult, Validation
from .steps import Bar, bar_from, batches_from, finite_from

TYPES: Final[dict[str, type[Record]]] = {
    "run": Header,
    "event": Event,
    "interval": Interval,
    "step": StepResult,
    "decision": Decision,
    "validation": Validation,
    "end": End,
}
_NAMES = {cls: name for name, cls in TYPES.items()}
_LOADS: Final[dict[str, type[ClosedLoad | OpenLoad]]] = {"closed": ClosedLoad, "open": OpenLoad}

T = TypeVar("T")


class RecordError(ValueError):
    """A line is no record that can be read; the message says what is wrong with it."""

    def __init__(self, text: str, *, no_json: bool = False) -> None:
        super().__init__(text)
        self.no_json = no_json
        """Whether the line isn't JSON at all, as one that is cut off isn't."""


# --- values ------------------------------------------------------------------------------------


def _number(value: object, _: object = None) -> float:
    if type(value) is int or type(value) is float:
        return float(value)
    raise WrongError("a number")


def _time(value: object, _: object = None) -> float:
    """A time, a duration or a level: none of them is ever negative."""
    number = _number(value)
    if number < 0:
        raise WrongError("0 or more")
    return number


def _integer(value: object, _: object = None) -> int:
    if type(value) is int:
        return value
    raise WrongError("an integer")


def _text(value: object, _: object = None) -> str:
    """A text of the scenario, which must come back as it was; whoever shows it escapes it."""
    if type(value) is str:
        return value
    raise WrongError("a text")


def _flag(value: object, _: object = None) -> bool:
    if type(value) is bool:
        return value
    raise WrongError("true or false")


def _moment(value: object, _: object = None) -> str:
    text = text_from(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise WrongError("a time such as 2026-11-24T11:00:00.123Z")
    return text


def _no_end(duration_s: float) -> float | None:
    """JSON has no infinity: null stands for a stage without end."""
    return None if duration_s == math.inf else duration_s


def _duration(value: object, _: object = None) -> float:
    return math.inf if value is None else _time(value)


def _micro(seconds: float) -> float:
    """Whole microseconds: the digits below would be the clock's noise, in every line."""
    return round(seconds, 6)


# --- the converter -----------------------------------------------------------------------------


def _is(origin: object) -> Callable[[object], bool]:
    return lambda cls: get_origin(cls) is origin


def _tuples(cls: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Read tuples from lists only; cattrs would take a text apart, too."""
    inner = get_args(cls)[0]
    structure = converter.get_structure_hook(inner)
    return lambda value, _: tuple([structure(item, inner) for item in list_from(value)])


def _mappings(cls: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Read dicts from objects only, with the texts that are their keys."""
    texts, inner = map(converter.get_structure_hook, get_args(cls))
    key, item = get_args(cls)
    return lambda value, _: {
        texts(name, key): at(str(name), lambda x: inner(x, item), x)
        for name, x in object_from(value).items()
    }


def _literals(cls: Any, _: cattrs.Converter) -> Callable[[Any, Any], Any]:
    words = get_args(cls)

    def structure(value: object, _: object) -> object:
        if value not in words:
            raise WrongError(" or ".join(words))
        return value

    return structure


def _objects(
    cls: type[T], converter: cattrs.Converter, **overrides: Any
) -> Callable[[Any, Any], T]:
    """Read instances from objects only; cattrs would find every default in a text."""
    structure = make_dict_structure_fn(cls, converter, **overrides)
    return lambda value, _: structure(object_from(value), cls)


def _make_converter(*, exact: bool, detailed: bool) -> cattrs.Converter:
    """Make a converter.

    Args:
        exact: For scenarios, of which texts and numbers come back as they were; in all else texts
            are made printable, and numbers are counts, times and levels.
        detailed: Tell where an error is, which costs time.
    """
    converter = cattrs.Converter(detailed_validation=detailed)
    hooks: tuple[tuple[type, Any], ...] = (
        (str, _text if exact else lambda value, _: text_from(value)),
        (int, _integer if exact else lambda value, _: count_from(value)),
        (float, _number if exact else _time),
        (bool, _flag),
    )
    for cls, hook in hooks:
        converter.register_structure_hook(cls, hook)
    converter.register_structure_hook_factory(attrs.has, _objects)
    converter.register_structure_hook_factory(_is(tuple), _tuples)
    converter.register_structure_hook_factory(_is(dict), _mappings)
    converter.register_structure_hook_factory(_is(Literal), _literals)
    if exact:
        endless = override(struct_hook=_duration, unstruct_hook=_no_end)
        converter.register_structure_hook(Stage, _objects(Stage, converter, duration_s=endless))
        converter.register_unstructure_hook(
            Stage, make_dict_unstructure_fn(Stage, converter, duration_s=endless)
        )
        _register_loads(converter)
    return converter


def _register_loads(converter: cattrs.Converter) -> None:
    """Tell the two kinds of load apart by a key of their own."""
    read = {loop: converter.get_structure_hook(cls) for loop, cls in _LOADS.items()}

    def structure(value: object, _: object) -> ClosedLoad | OpenLoad:
        loop = object_from(value).get("loop")
        if type(loop) is not str or loop not in read:
            raise WrongError("closed or open", "loop")
        load: ClosedLoad | OpenLoad = read[loop](value, _LOADS[loop])
        return load

    converter.register_structure_hook(ClosedLoad | OpenLoad, structure)
    for loop, cls in _LOADS.items():
        write = make_dict_unstructure_fn(cls, converter)
        converter.register_unstructure_hook(cls, _tagged(loop, write))


def _tagged(loop: str, write: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    return lambda load: {"loop": loop, **write(load)}


def _make_steps(*, detailed: bool) -> cattrs.Converter:
    """Make a converter for a validation's records, whose figures are all finite."""
    converter = _make_converter(exact=False, detailed=detailed)
    converter.register_structure_hook(float, lambda value, _: finite_from(value))
    converter.register_structure_hook_func(lambda cls: cls == Bar, lambda value, _: bar_from(value))
    # Infinity is written as null, as JSON has none.
    batches = override(struct_hook=lambda value, _: batches_from(value))
    converter.register_structure_hook(Estimate, _objects(Estimate, converter, batches=batches))
    read: Any = _objects(Validation, converter)
    apart: dict[str, list[Any]] = {"steps": [], "decisions": []}
    converter.register_structure_hook(
        Validation, lambda value, _: read({**object_from(value), **apart}, Validation)
    )
    converter.register_unstructure_hook(
        Validation,
        make_dict_unstructure_fn(
            Validation, converter, steps=override(omit=True), decisions=override(omit=True)
        ),
    )
    return converter


def _make_records(*, detailed: bool) -> cattrs.Converter:
    scenarios = _make_converter(exact=True, detailed=detailed)
    converter = _make_converter(exact=False, detailed=detailed)
    converter.register_structure_hook(Scenario, scenarios.get_structure_hook(Scenario))
    converter.register_unstructure_hook(Scenario, scenarios.get_unstructure_hook(Scenario))
    converter.register_structure_hook(Aggregate, lambda value, _: aggregate_from(value))
    converter.register_unstructure_hook(Aggregate, aggregate_json)
    steps = _make_steps(detailed=detailed)
    for of_steps in (StepResult, Decision, Validation):
        converter.register_structure_hook(of_steps, steps.get_structure_hook(of_steps))
        converter.register_unstructure_hook(of_steps, steps.get_unstructure_hook(of_steps))
    moment = override(struct_hook=_moment)
    converter.register_structure_hook(Header, _objects(Header, converter, started_at=moment))
    micro = override(unstruct_hook=_micro)
    converter.register_unstructure_hook(
        Interval,
        make_dict_unstructure_fn(Interval, converter, from_s=micro, to_s=micro, cpu_s=micro),
    )
    for cls in (Event, End):
        converter.register_unstructure_hook(
            cls,
            make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, at_s=micro),
        )
    return converter


_CONVERTER = _make_records(detailed=False)
_EXPLAINER = _make_records(detailed=True)
_UNSTRUCTURE: dict[type, Any] = {c: _CONVERTER.get_unstructure_hook(c) for c in _NAMES}
_STRUCTURE: dict[type, Any] = {c: _CONVERTER.get_structure_hook(c) for c in _NAMES}


# --- lines -------------------------------------------------------------------------------------


def encode_record(record: Record) -> bytes:
    """Return a record as a line, its line feed included.

    Times are rounded to microseconds. What is no Unicode, as parts of a command line may be, is
    replaced by escapes.
    """
    cls = record.__class__
    fields = {"type": _NAMES[cls], **_UNSTRUCTURE[cls](record)}
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates: how Python keeps bytes of the system that are no UTF-8
        return orjson.dumps(_unicode(fields), option=orjson.OPT_APPEND_NEWLINE)


def decode_record(line: bytes) -> Record | None:
    """Return the record of a line; None if it is of a type that this version doesn't know.

    Raises:
        RecordError: It is no JSON object with a ``type``, or a value in it is wrong.
    """
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise RecordError("not a line of JSON", no_json=True) from None
    name = fields.get("type") if type(fields) is dict else None
    if type(name) is not str:
        raise RecordError('not an object with a "type"')
    cls = TYPES.get(name)
    if cls is None:
        return None
    if cls is Header:
        _check_format(fields)
    return _structure(fields, cls)


def _check_format(fields: dict[str, Any]) -> None:
    """Refuse a file of a later format before anything in it is misread."""
    version = fields.get("format")
    if type(version) is int and version > FORMAT:
        by = printable(str(fields.get("scalab", "?")), 40)
        raise RecordError(
            f"written by scalab {by} in format {version}; this version reads format {FORMAT}:"
            " use that version, or a later one"
        )
    if version != FORMAT:
        raise RecordError(f"format must be {FORMAT}")


def _structure(fields: dict[str, Any], cls: type[Record]) -> Record:
    try:
        record: Record = _STRUCTURE[cls](fields, cls)
    except Exception as exc:  # noqa: BLE001 - cattrs has no class for all that may go wrong
        raise RecordError(_explained(fields, cls, exc)) from None
    if record.__class__ is Interval and record.to_s < record.from_s:
        raise RecordError("to_s is before from_s")
    return record


def _explained(fields: dict[str, Any], cls: type[Record], exc: Exception) -> str:
    """Return what is wrong and where, found out by doing it once more, slowly."""
    try:
        _EXPLAINER.structure(fields, cls)
    except cattrs.BaseValidationError as group:
        return _first(group, "")
    except Exception as slow:  # noqa: BLE001
        exc = slow
    return _first(exc, "")


def _first(exc: BaseException, path: str) -> str:
    """Turn the first thing that was found wrong into one line."""
    if isinstance(exc, cattrs.BaseValidationError):
        inner = exc.exceptions[0]
        note = (getattr(inner, "__notes__", None) or [None])[0]
        key = getattr(note, "name", None) or getattr(note, "index", None)
        return _first(inner, f"{path}.{key}" if path and key else str(key or path))
    if isinstance(exc, WrongError):
        where = ".".join(part for part in (path, exc.at) if part) or "it"
        return f"{printable(where, 200)} must be {exc}"
    if isinstance(exc, KeyError):
        return f"{printable(path or str(exc.args[0]), 200)} is missing"
    if isinstance(exc, ConfigError):
        return printable(str(exc), 400)
    return printable(f"{path or 'it'} is wrong: {exc}", 400)


def _unicode(value: Any) -> Any:
    """Return ``value`` with what is no Unicode in its texts as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unicode(item) for item in value]
    return value
