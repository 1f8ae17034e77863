"""The part of OpenLineage that Lading's events use, as a JSON schema.

Source: OpenLineage specification: "OpenLineage.json" 2-0-2, "ParentRunFacet.json" and
"ErrorMessageRunFacet.json" 1-0-1. Stricter where ours are narrower: states, and no other fields.
"""

from typing import Any

_URI = {"type": "string", "format": "uri", "minLength": 1}
_NAMED = {
    "namespace": {"type": "string", "minLength": 1},
    "name": {"type": "string", "minLength": 1},
}
_UUID = {"type": "string", "format": "uuid"}


def _facet(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    base = {"_producer": _URI, "_schemaURL": _URI}
    return {
        "type": "object",
        "properties": {**base, **properties},
        "required": [*base, *required],
    }


_DATASET = {
    "type": "object",
    "properties": {**_NAMED, "facets": {"type": "object", "additionalProperties": _facet()}},
    "required": ["namespace", "name"],
    "additionalProperties": False,
}
_PARENT = _facet(
    ("run", "job"),
    run={"type": "object", "properties": {"runId": _UUID}, "required": ["runId"]},
    job={"type": "object", "properties": _NAMED, "required": ["namespace", "name"]},
)
_ERROR = _facet(
    ("message", "programmingLanguage"),
    message={"type": "string"},
    programmingLanguage={"type": "string"},
)
_RUN = {
    "type": "object",
    "properties": {
        "runId": _UUID,
        "facets": {
            "type": "object",
            "properties": {"parent": _PARENT, "errorMessage": _ERROR},
            "additionalProperties": _facet(),
        },
    },
    "required": ["runId"],
    "additionalProperties": False,
}

RUN_EVENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": _URI,
        "schemaURL": {
            "const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        },
        "eventType": {"enum": ["START", "COMPLETE", "ABORT", "FAIL"]},
        "run": _RUN,
        "job": {
            "type": "object",
            "properties": _NAMED,
            "required": ["namespace", "name"],
            "additionalProperties": False,
        },
        "inputs": {"type": "array", "items": _DATASET},
        "outputs": {"type": "array", "items": _DATASET},
    },
    "required": ["eventTime", "producer", "schemaURL", "eventType", "run", "job"],
    "additionalProperties": False,
}
