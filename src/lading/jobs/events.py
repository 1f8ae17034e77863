"""Events of the audit trail, in the words of OpenLineage. Pure.

Each is a RunEvent of OpenLineage 2: ``eventType`` START, COMPLETE, FAIL or ABORT, a run, a job,
its inputs and outputs. What OpenLineage has no word for stands in the run facet ``lading``.
Source: OpenLineage specification, "OpenLineage.json" 2-0-2.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lading import __version__
from lading.jobs.outputs import common_folder, latest, render_listing
from lading.jobs.refs import ObjectRef

INLINE = 1000
"""Objects up to which each is a dataset of its own."""
PRODUCER = f"urn:lading:{__version__}"
"""Who makes events, as OpenLineage asks: a URI."""

_SPEC = "https://openlineage.io/spec"
_SCHEMA = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_PARENT = f"{_SPEC}/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet"
_ERROR = f"{_SPEC}/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
_RUN = "urn:lading:facet:run:1"
_CONTENT = "urn:lading:facet:content:1"


class EventType(StrEnum):
    """State of a run, as OpenLineage names it."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What all events of one run have in common."""

    namespace: str
    """The project's name."""
    job: str
    """Name of the job."""
    run_id: str
    """UUID of this try."""
    identity: str
    """Key of the run's identity."""
    attempt: int
    """Number of this try, from 1."""
    who: str
    """Who began it: user, or CI run, and host."""
    arguments: tuple[str, ...]
    """Its arguments, without secrets."""
    image: str
    """Image it runs in (``LADING_IMAGE``), or ""."""
    parent: str = ""
    """Run id of the run that it belongs to (of a plan), or ""."""
    parent_job: str = ""
    """Name of that run's job; "": the same."""


def make_event(
    kind: EventType,
    facts: RunFacts,
    at: datetime,
    *,
    inputs: Sequence[ObjectRef] = (),
    outputs: Sequence[ObjectRef] = (),
    outcome: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make an event, without its place in a chain.

    Args:
        kind: what happened.
        facts: of the run.
        at: when; aware.
        inputs: what was read. Each object is a dataset of its own, up to ``INLINE``; beyond that
            a dataset stands for all objects of a store, with their number, bytes and digest.
        outputs: what was written, likewise.
        outcome: exit code, message, dead letters, ``listing`` (digest of the list of outputs),
            ``heads`` (of the streams of shards: ``Link.table``): JSON.
    """
    return {
        "eventType": str(kind),
        "eventTime": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
        "run": {"runId": facts.run_id, "facets": _run_facets(kind, facts, outcome)},
        "job": {"namespace": facts.namespace, "name": facts.job},
        "inputs": _datasets(inputs),
        "outputs": _datasets(outputs),
    }


def count_objects(event: Mapping[str, Any], side: str) -> int:
    """Return how many objects an event names; ``side`` is ``inputs`` or ``outputs``."""
    contents = [each.get("facets", {}).get("lading_content", {}) for each in event.get(side, ())]
    return sum(int(each.get("objects", 1)) for each in contents)


def _run_facets(
    kind: EventType, facts: RunFacts, outcome: Mapping[str, Any] | None
) -> dict[str, Any]:
    facets = {"lading": _lading_facet(facts, outcome)}
    if facts.parent:
        job = {"namespace": facts.namespace, "name": facts.parent_job or facts.job}
        facets["parent"] = _facet(_PARENT, run={"runId": facts.parent}, job=job)
    if kind is EventType.FAIL:
        message = str((outcome or {}).get("message", ""))
        facets["errorMessage"] = _facet(_ERROR, message=message, programmingLanguage="Python")
    return facets


def _lading_facet(facts: RunFacts, outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    told = {} if outcome is None else {"outcome": dict(outcome)}
    return _facet(
        _RUN,
        identity=facts.identity,
        attempt=facts.attempt,
        who=facts.who,
        arguments=list(facts.arguments),
        image=facts.image,
        **told,
    )


def _datasets(refs: Sequence[ObjectRef]) -> list[dict[str, Any]]:
    chosen = latest(refs)
    if len(chosen) <= INLINE:
        return [_dataset(each.store_url, each.key, _content(each)) for each in chosen]
    by_store: defaultdict[str, list[ObjectRef]] = defaultdict(list)
    for ref in chosen:
        by_store[ref.store_url].append(ref)
    return [_dataset(url, _folder_of(each), _summary(each)) for url, each in by_store.items()]


def _dataset(store_url: str, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    facets = {"lading_content": _facet(_CONTENT, **content)}
    return {"namespace": store_url, "name": name, "facets": facets}


def _content(ref: ObjectRef) -> dict[str, Any]:
    table = ref.table()
    return {name: table[name] for name in table if name not in {"store_url", "key"}}


def _summary(refs: Sequence[ObjectRef]) -> dict[str, Any]:
    return {
        "objects": len(refs),
        "size_bytes": sum(each.size_bytes for each in refs),
        "sha256": hashlib.sha256(render_listing(refs)).hexdigest(),
    }


def _folder_of(refs: Sequence[ObjectRef]) -> str:
    """Name what many objects have in common; "/" is the root, as OpenLineage names it."""
    return common_folder([each.key for each in refs]) or "/"


def _facet(schema: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}
