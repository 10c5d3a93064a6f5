"""What queries ask for, and what Prometheus answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlencode

import attrs

from .cluster import fetch
from .manifests import BUILDS, K8S, Object, load_file, of_kind

WINDOW = "$__rate_interval"

# Whose values come from where something runs, and not from what it exports.
TARGET_LABELS = {"namespace", "queue", "pod", "service", "job", "node"}
FOREIGN = {"up"}
"""Metrics that Prometheus makes itself."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*"
    r"""(?:\{(?P<matchers>(?:[^"}]|"[^"]*")*)\})?"""
)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}


@attrs.frozen
class Selector:
    """A metric, and what its labels have to be."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()


def selectors(query: str) -> Iterator[Selector]:
    """Yield the metrics that a query asks for."""
    text = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", query))
    for match in _SELECTOR.finditer(text):
        name, matchers = match["name"], match["matchers"]
        before, after = text[: match.start()], text[match.end() :]
        inside_text = len(_STRING.sub("", before).split('"')) % 2 == 0
        is_number = bool(re.search(r"[0-9.]$", before))
        if inside_text or is_number or name in _KEYWORDS or after.lstrip().startswith("("):
            continue
        yield Selector(name, tuple(_MATCHER.findall(matchers or "")))


@attrs.frozen
class Query:
    """A query that is in the manifests."""

    where: str
    text: str


def all_queries() -> list[Query]:
    """Return every query of alerts, dashboard, adapter and autoscalers."""
    return [*dashboard_queries(), *alert_queries(), *adapter_queries(), *keda_queries()]


def dashboard() -> Object:
    """Return the dashboard."""
    found: Object = json.loads((K8S / "monitoring/dashboard.json").read_text())
    return found


def dashboard_queries() -> list[Query]:
    """Return those of the dashboard's panels; each panel's are numbered."""
    return [
        Query(f"{panel['title']} {i}", target["expr"])
        for panel in dashboard()["panels"]
        for i, target in enumerate(panel.get("targets", ()))
    ]


def alert_queries() -> list[Query]:
    """Return those of the alerts."""
    groups = load_file("monitoring/prometheusrule.yaml")["spec"]["groups"]
    return [Query(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def adapter_queries() -> list[Query]:
    """Return those of the adapter's rules, as it asks them for the autoscalers' metrics."""
    rules = load_file("scaling/adapter-values.yaml")["rules"]
    found = []
    for kind, group_by, matchers in (
        ("external", "namespace", {"queue": "fakedev", "namespace": "scalab-fakedev"}),
        (
            "custom",
            "service",
            {"queue": "fakedev", "namespace": "scalab-fakedev", "service": "scalab-frontend"},
        ),
    ):
        (rule,) = rules[kind]
        found.append(Query(f"adapter {kind}", rendered(rule, group_by, matchers)))
    return found


def rendered(rule: Object, group_by: str, matchers: Mapping[str, str]) -> str:
    """Return a rule's query as the prometheus-adapter would make it."""
    series = rule["seriesQuery"].partition("{")[0]
    labels = ",".join(f'{name}="{value}"' for name, value in matchers.items())
    values = {"Series": series, "LabelMatchers": labels, "GroupBy": group_by}
    text: str = rule["metricsQuery"]
    return re.sub(r"<<\.(\w+)>>", lambda match: values[match[1]], text)


def keda_queries() -> list[Query]:
    """Return those of the ScaledObjects."""
    return [
        Query(f"KEDA {build}", trigger["metadata"]["query"])
        for build in BUILDS
        if build.folder == "queues/fakedev"
        for scaler in of_kind(build, "ScaledObject")
        for trigger in scaler["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]


def with_values(query: str, values: Mapping[str, str]) -> str:
    """Put values into a dashboard's query."""
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


# --- Prometheus ----------------------------------------------------------------------------------

Labels = tuple[str, ...]


@attrs.frozen
class Series:
    """A series and its samples: times and values."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def rate(self) -> float:
        """How fast a counter grew, by its first and last sample."""
        (start, first), (end, last) = self.samples[0], self.samples[-1]
        return (last - first) / (end - start)

    @property
    def last(self) -> float:
        """Its value."""
        return self.samples[-1][1]


@attrs.frozen
class Prometheus:
    """A server that answers queries."""

    url: str
    at: float | None = None
    """The time that is asked about; None = now."""

    async def query(self, text: str) -> list[Series]:
        """Return the answer to a query."""
        asked = {"query": text, **({"time": f"{self.at:.3f}"} if self.at else {})}
        status, body = await fetch(f"{self.url}/api/v1/query?{urlencode(asked)}")
        answer = json.loads(body)
        assert status == 200, f"{text}: {answer}"
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [Series({}, [_sample(data["result"])])]
        return [
            Series(found["metric"], [_sample(s) for s in found.get("values", [found.get("value")])])
            for found in data["result"]
        ]

    async def get(self, path: str) -> Object:
        """Return what another endpoint of its API tells."""
        status, body = await fetch(f"{self.url}/api/v1/{path}")
        assert status == 200
        found: Object = json.loads(body)["data"]
        return found


def _sample(sample: Sequence[str | float]) -> tuple[float, float]:
    return float(sample[0]), float(sample[1])


def summed(
    series: Sequence[Series], by: Sequence[str], *, rate: bool = False
) -> dict[Labels, float]:
    """Add series up by some of their labels: their values, or their rates."""
    sums: dict[Labels, float] = {}
    for found in series:
        key = tuple(found.labels.get(label, "") for label in by)
        sums[key] = sums.get(key, 0.0) + (found.rate if rate else found.last)
    return sums


def quantile(q: float, buckets: Mapping[Labels, float]) -> float:
    """Estimate a quantile as Prometheus does, from cumulated buckets by ``le``."""
    ordered = sorted((float(le), count) for (le,), count in buckets.items())
    rank = q * ordered[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in ordered:
        if count >= rank:
            if upper == float("inf"):
                return lower
            return lower + (upper - lower) * (rank - below) / (count - below)
        lower, below = upper, count
    raise AssertionError("a histogram has a bucket for everything")
