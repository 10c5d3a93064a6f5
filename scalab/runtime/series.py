"""Metrics that each of many things has, written from templates and in slices.

prometheus_client makes several objects of each sample, and quotes its labels anew each time: 10 us.
A thousand queues have a hundred thousand samples, for which everybody else would wait a second. So
the library writes the series of one thing, and that text serves for all others, with their names
and figures. It is 30 times cheaper, and whatever a scraper may choose is still the library's.

What one thing tells is read in one step. Between slices of them, everybody else has a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

import attrs
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SLICE = 20
"""Things that are done in one go; a queue takes 30 us."""

NAME = "\0"
"""What a thing is called in a template: no name has this, and nothing quotes it."""

Encode = Callable[[Collector], bytes]
"""Writes all metrics of a collector, as the library's ``choose_encoder`` returns it."""

END = b"# EOF\n"
"""What OpenMetrics ends with."""

T = TypeVar("T")


@attrs.frozen
class Family(Generic[T]):
    """A metric of which each thing has the same series."""

    metric: Metric
    """With the samples of one thing, called ``NAME``; what their figures are doesn't matter."""
    read: Callable[[T], Iterable[float]]
    """Returns the figures of a thing, in the order of these samples; quick, as it is one step."""
    others: Callable[[], Metric] | None = None
    """Returns the same metric with samples that belong to no thing."""

    @classmethod
    def of(
        cls,
        metric: GaugeMetricFamily | CounterMetricFamily,
        read: Callable[[T], Iterable[float]],
        values: Iterable[str] = (),
        others: Callable[[], Metric] | None = None,
    ) -> Family[T]:
        """Make one of a metric without samples.

        Args:
            metric: Its first label is for the name of the thing.
            read: Returns the figures of a thing.
            values: Those of the second label; none if there is no such label.
            others: As above.
        """
        for labels in [[NAME, value] for value in values] or [[NAME]]:
            metric.add_metric(labels, 0)
        return cls(metric, read, others)


class Many(Generic[T]):
    """Things that have the same metrics each.

    Args:
        things: Returns them, by name.
        families: What each of them has.
        done: Told of each thing when it was read, in the same step.
    """

    def __init__(
        self,
        things: Callable[[], Mapping[str, T]],
        families: Sequence[Family[T]],
        done: Callable[[T], object] = lambda _thing: None,
    ) -> None:
        self._things = things
        self._families = families
        self._done = done

    async def write(self, encode: Encode) -> list[bytes]:
        """Return the metrics of all of them, in pieces."""
        await trio.lowlevel.checkpoint()
        texts = [_Text(family, encode) for family in self._families]
        things = iter([(_quoted(name), thing) for name, thing in self._things().items()])
        while part := list(islice(things, SLICE)):
            await trio.lowlevel.checkpoint()
            for text in texts:
                text.add(part)
            for _, thing in part:
                self._done(thing)
        return [piece for text in texts for piece in text.pieces]


class _Text(Generic[T]):
    """What is written of a family."""

    def __init__(self, family: Family[T], encode: Encode) -> None:
        about, samples = _lines(family.metric, encode)
        others = _lines(family.others(), encode)[1] if family.others else []
        self.pieces = ["".join((*about, *others)).encode()]
        self._read = family.read
        heads = (sample.rpartition(" ")[0].replace("%", "%%") for sample in samples)
        self._template = "".join(f"{head} %s\n" for head in heads)

    def add(self, things: Iterable[tuple[str, T]]) -> None:
        """Write the samples of some things, by their quoted names."""
        template, read = self._template, self._read
        texts = [(template % tuple(read(thing))).replace(NAME, name) for name, thing in things]
        self.pieces.append("".join(texts).encode())


class _One(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        yield self._metric


def _lines(metric: Metric, encode: Encode) -> tuple[list[str], list[str]]:
    """Return the lines about a metric, and those of its samples."""
    text = encode(_One(metric)).removesuffix(END)
    lines = [f"{line}\n" for line in text.decode().split("\n")[:-1]]
    about = [line for line in lines if line.startswith("#")]
    return about, lines[len(about) :]


def _quoted(name: str) -> str:
    """Return a label's value as all formats have it."""
    return name.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
