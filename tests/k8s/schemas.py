"""The schemas of Kubernetes' own kinds, from the package kubernetes-validate, and of others'.

Of the kinds that operators add, only the fields that the manifests use are known here, with their
types: whatever else turns up in a manifest is a mistake, or has to be looked up and added.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
from referencing import Registry, Resource

from .manifests import Object

_PACKAGE = resources.files("kubernetes_validate") / "kubernetes-json-schema"


def newest_versions(count: int = 3) -> list[str]:
    """Return the newest minor versions of Kubernetes that the package knows."""
    found = (re.match(r"v([\d.]+)-", path.name) for path in _PACKAGE.iterdir())
    names = {match[1] for match in found if match}
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])[-count:]


def errors(found: Object, version: str) -> Iterator[str]:
    """Yield what is wrong with an object, with unknown fields refused."""
    kind = found["kind"]
    validator = CUSTOM.get((found["apiVersion"], kind)) or _validator(
        version, kind, found["apiVersion"]
    )
    for error in validator.iter_errors(found):
        yield f"{kind} {error.json_path}: {error.message}"


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> Any:
    """Return the validator for a kind of Kubernetes' own.

    Raises:
        FileNotFoundError: There is no such kind in this version.
    """
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    text = (_PACKAGE / f"v{version}-local-strict" / f"{kind.lower()}-{group}.json").read_text()
    schema = json.loads(text)
    registry: Registry[Any] = _definitions(version) @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def _definitions(version: str) -> Resource[Any]:
    text = (_PACKAGE / f"v{version}-local-strict" / "_definitions.json").read_text()
    return Resource.from_contents(json.loads(text))


# --- kinds of operators --------------------------------------------------------------------------

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "string", "pattern": r"^(\d+(ms|s|m|h))+$"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def _object(required: str = "", **properties: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


def _one_of(*values: object) -> Schema:
    return {"enum": list(values)}


def _kind(api_version: str, kind: str, spec: Schema) -> Any:
    metadata = _object("name namespace labels", name=TEXT, namespace=TEXT, labels=TEXTS)
    schema = _object(
        "apiVersion kind metadata spec",
        apiVersion=_one_of(api_version),
        kind=_one_of(kind),
        metadata=metadata,
        spec=spec,
    )
    return jsonschema.Draft202012Validator(schema)


_RELABELING = _object(
    "",
    sourceLabels=_list({"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}),
    targetLabel=TEXT,
    replacement=TEXT,
    regex=TEXT,
    action=_one_of("replace", "keep", "drop"),
)
_SECRET_KEY = _object("name key", name=TEXT, key=TEXT)
_ENDPOINT = _object(
    "port",
    port=TEXT,
    scheme=_one_of("https"),
    authorization=_object("credentials", credentials=_SECRET_KEY),
    tlsConfig=_object(
        "serverName ca cert keySecret",
        serverName=TEXT,
        ca=_object("secret", secret=_SECRET_KEY),
        cert=_object("secret", secret=_SECRET_KEY),
        keySecret=_SECRET_KEY,
    ),
    path={"type": "string", "pattern": "^/"},
    interval=DURATION,
    scrapeTimeout=DURATION,
    relabelings=_list(_RELABELING),
)
_MONITOR = {
    "namespaceSelector": _object("any", any={"type": "boolean"}),
    "selector": _object(
        "matchLabels",
        matchLabels=TEXTS,
        matchExpressions=_list(
            {
                "oneOf": [
                    _object(
                        "key operator values",
                        key=TEXT,
                        operator=_one_of("In"),
                        values=_list(TEXT),
                    ),
                    _object("key operator", key=TEXT, operator=_one_of("DoesNotExist")),
                ]
            }
        ),
    ),
}
_RULE = _object(
    "alert expr labels annotations",
    alert={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
    expr=TEXT,
    labels=_object("severity", severity=_one_of("critical", "warning", "info")),
    annotations=_object("summary description", summary=TEXT, description=TEXT),
    **{"for": DURATION},
)
_BEHAVIOR = _object(
    "stabilizationWindowSeconds policies",
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies=_list(
        _object(
            "type value periodSeconds",
            type=_one_of("Percent", "Pods"),
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        )
    ),
)
# KEDA takes all of a trigger's metadata as text.
_NUMERIC_TEXT: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}
_TRIGGERS = {
    "prometheus": _object(
        "serverAddress query threshold ignoreNullValues",
        serverAddress={"type": "string", "pattern": "^https?://"},
        query=TEXT,
        threshold=_NUMERIC_TEXT,
        activationThreshold=_NUMERIC_TEXT,
        ignoreNullValues=_one_of("false"),
    ),
    "metrics-api": _object(
        "url valueLocation targetValue",
        url={"type": "string", "pattern": "^https?://"},
        valueLocation=TEXT,
        targetValue=_NUMERIC_TEXT,
        activationTargetValue=_NUMERIC_TEXT,
    ),
}
_TRIGGER: Schema = {
    "oneOf": [
        # Only with AverageValue does a fallback work.
        _object(
            "type metricType metadata",
            type=_one_of(name),
            metricType=_one_of("AverageValue"),
            metadata=metadata,
        )
        for name, metadata in _TRIGGERS.items()
    ]
}

CUSTOM: dict[tuple[str, str], Any] = {
    (api_version, kind): _kind(api_version, kind, spec)
    for api_version, kind, spec in (
        (
            "monitoring.coreos.com/v1",
            "ServiceMonitor",
            _object("selector endpoints", endpoints=_list(_ENDPOINT), **_MONITOR),
        ),
        (
            "monitoring.coreos.com/v1",
            "PodMonitor",
            _object(
                "selector podMetricsEndpoints", podMetricsEndpoints=_list(_ENDPOINT), **_MONITOR
            ),
        ),
        (
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            _object("groups", groups=_list(_object("name rules", name=TEXT, rules=_list(_RULE)))),
        ),
        (
            "cert-manager.io/v1",
            "Issuer",
            {
                "oneOf": [
                    _object("selfSigned", selfSigned=_object("")),
                    _object("ca", ca=_object("secretName", secretName=TEXT)),
                ]
            },
        ),
        (
            "cert-manager.io/v1",
            "Certificate",
            _object(
                "secretName issuerRef",
                isCA={"type": "boolean"},
                commonName={"type": "string", "minLength": 1, "maxLength": 64},
                dnsNames=_list({"type": "string", "pattern": r"^[a-z0-9-]+(\.[a-z0-9-]+)*$"}),
                secretName=TEXT,
                duration=DURATION,
                renewBefore=DURATION,
                privateKey=_object(
                    "algorithm size",
                    algorithm=_one_of("ECDSA"),
                    size=_one_of(256, 384, 521),
                    rotationPolicy=_one_of("Always", "Never"),
                ),
                usages=_list(
                    _one_of("digital signature", "key encipherment", "server auth", "client auth")
                ),
                issuerRef=_object("kind name", kind=_one_of("Issuer"), name=TEXT),
            ),
        ),
        (
            "keda.sh/v1alpha1",
            "ScaledObject",
            _object(
                "scaleTargetRef triggers",
                scaleTargetRef=_object("name", name=TEXT),
                pollingInterval=NUMBER,
                cooldownPeriod=NUMBER,
                minReplicaCount=NUMBER,
                maxReplicaCount=NUMBER,
                fallback=_object(
                    "failureThreshold replicas",
                    failureThreshold=NUMBER,
                    replicas=NUMBER,
                    behavior=_one_of(
                        "static", "currentReplicas", "currentReplicasIfHigher",
                        "currentReplicasIfLower",
                    ),
                ),
                advanced=_object(
                    "",
                    horizontalPodAutoscalerConfig=_object(
                        "", behavior=_object("", scaleUp=_BEHAVIOR, scaleDown=_BEHAVIOR)
                    ),
                ),
                triggers=_list(_TRIGGER),
            ),
        ),
    )
}  # fmt: skip
"""Validators by API version and kind."""
