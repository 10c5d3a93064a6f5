"""The devices' Prometheus metrics, computed from the model when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .model import Node
from .presets import Family, Naming, attributes
from .telemetry import Reading


class NodeCollector(Collector):
    """Everything that an exporter exports of its node.

    Args:
        node: Its devices' series are all there from the start.
        naming: Their names.
        clock: Tells the time at which the node is read.
    """

    def __init__(self, node: Node, naming: Naming, clock: Callable[[], float]) -> None:
        self._node = node
        self._clock = clock
        self._metrics: dict[str, list[Family]] = {}
        for family in naming.families:
            self._metrics.setdefault(family.name, []).append(family)
        self._labels = {}
        for index, device in enumerate(node.settings.devices):
            known = attributes(device, index, node.settings.name)
            self._labels[device.name] = {name: known[what] for what, name in naming.labels}

    def collect(self) -> Iterator[Metric]:
        """Read all devices now."""
        readings = self._node.read(self._clock())
        for name, families in self._metrics.items():
            yield self._metric(name, families, readings)

    def _metric(self, name: str, families: list[Family], readings: dict[str, Reading]) -> Metric:
        first = next(iter(families))
        # A counter must end in _total, or the library would make it; some exporters' don't.
        counter = first.counts and name.endswith("_total")
        kind = "counter" if counter else "unknown" if first.counts else "gauge"
        metric = Metric(name.removesuffix("_total") if counter else name, first.help, kind)
        for family in families:
            for device, reading in readings.items():
                labels = {**self._labels[device], **dict(family.labels)}
                metric.add_sample(name, labels, family.scale * getattr(reading, family.quantity))
        return metric
