"""Events in the words of OpenLineage."""

import copy
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest

from lading.jobs.audit import AuditStream
from lading.jobs.events import INLINE, EventType, count_objects, make_event
from lading.jobs.outputs import render_listing
from lading.jobs.refs import ObjectRef
from lading.storage import MemoryStore
from tests.unit.jobs.openlineage import RUN_EVENT
from tests.unit.jobs.trails import NOON, facts_of, run_id

VALIDATOR = jsonschema.Draft202012Validator(
    RUN_EVENT, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
REF = ObjectRef(
    store_url="s3://bronze/raw", key="7/a.csv", size_bytes=3, version="v1", crc32c="mnG7TA=="
)


def refs(number: int, store_url: str = "s3://bronze") -> list[ObjectRef]:
    """Return many objects of a store."""
    return [
        ObjectRef(store_url=store_url, key=f"raw/7/{each:05d}", size_bytes=2, version="1")
        for each in range(number)
    ]


@pytest.mark.parametrize("kind", list(EventType))
@pytest.mark.parametrize("parent", ["", run_id(9)])
@pytest.mark.parametrize("number", [0, 1, INLINE + 1])
def test_is_openlineage(kind: EventType, parent: str, number: int) -> None:
    """Every event is a RunEvent of OpenLineage, as it is made and as it stands in a trail."""
    event = make_event(
        kind,
        facts_of(parent=parent),
        NOON,
        inputs=refs(number),
        outputs=[REF, *refs(number)],
        outcome=None if kind is EventType.START else {"exit_code": 65, "message": "bad"},
    )
    store = MemoryStore("memory://a")
    AuditStream(store, "copy").append(event)

    VALIDATOR.validate(event)
    VALIDATOR.validate(next(AuditStream(store, "copy").events()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("eventTime"),
        lambda event: event.update(eventTime="yesterday"),
        lambda event: event.update(eventType="DONE"),
        lambda event: event["run"].update(runId="7"),
        lambda event: event["run"]["facets"]["lading"].pop("_producer"),
        lambda event: event["run"]["facets"]["parent"].pop("job"),
        lambda event: event["run"]["facets"]["errorMessage"].pop("message"),
        lambda event: event["inputs"][0].pop("name"),
        lambda event: event["inputs"][0]["facets"]["lading_content"].pop("_schemaURL"),
    ],
)
def test_schema_refuses(spoil: Callable[[Any], object]) -> None:
    """The schema of these tests is one that refuses what is no RunEvent."""
    event = make_event(EventType.FAIL, facts_of(parent=run_id(9)), NOON, inputs=[REF])
    spoilt = copy.deepcopy(event)
    spoil(spoilt)
    VALIDATOR.validate(event)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(spoilt)


def test_what_a_start_says() -> None:
    """Who runs which job with which arguments, as what try of what work, in what image."""
    moment = datetime(2025, 2, 5, 14, 3, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    event = make_event(EventType.START, facts_of(), moment, inputs=[REF])
    facet = event["run"]["facets"]["lading"]

    assert event["eventTime"] == "2025-02-05T12:03:02.000005Z"
    assert event["job"] == {"namespace": "acme", "name": "copy"}
    assert event["run"]["runId"] == run_id()
    assert {name: facet[name] for name in ("identity", "attempt", "who", "arguments", "image")} == {
        "identity": "0" * 32,
        "attempt": 1,
        "who": "ada on laptop",
        "arguments": ["--agency-id", "7"],
        "image": "",
    }
    assert list(event["run"]["facets"]) == ["lading"]
    assert "outcome" not in facet
    dataset = event["inputs"][0]
    assert (dataset["namespace"], dataset["name"]) == ("s3://bronze/raw", "7/a.csv")
    content = dataset["facets"]["lading_content"]
    assert {name: content[name] for name in content if not name.startswith("_")} == {
        "size_bytes": 3,
        "version": "v1",
        "crc32c": "mnG7TA==",
    }


def test_what_a_failure_says() -> None:
    """A FAIL has its message where readers of OpenLineage look for it; its plan is its parent."""
    outcome = {"exit_code": 65, "message": "three bad rows", "dead_letters": 3}
    event = make_event(EventType.FAIL, facts_of(parent=run_id(9)), NOON, outcome=outcome)
    facets = event["run"]["facets"]

    assert facets["errorMessage"]["message"] == "three bad rows"
    assert facets["lading"]["outcome"] == outcome
    assert facets["parent"]["run"] == {"runId": run_id(9)}
    assert facets["parent"]["job"] == {"namespace": "acme", "name": "copy"}


def test_many_objects_are_told_by_store() -> None:
    """Beyond a thousand a dataset stands for a store: number, bytes, digest of the sorted list."""
    several = [*refs(INLINE), *refs(3, "s3://other"), *refs(1, "s3://other")]
    event = make_event(EventType.COMPLETE, facts_of(), NOON, outputs=several[::-1])

    assert [(each["namespace"], each["name"]) for each in event["outputs"]] == [
        ("s3://bronze", "raw/7"),
        ("s3://other", "raw/7"),
    ]
    content = event["outputs"][1]["facets"]["lading_content"]
    assert (content["objects"], content["size_bytes"]) == (3, 6)
    listing = render_listing(refs(3, "s3://other"))
    assert content["sha256"] == hashlib.sha256(listing).hexdigest()
    assert count_objects(event, "outputs") == INLINE + 3
    assert count_objects(event, "inputs") == 0


def test_a_thousand_objects_are_told_each() -> None:
    """Up to a thousand each object is a dataset; one that was named twice is told once."""
    event = make_event(EventType.COMPLETE, facts_of(), NOON, outputs=[*refs(INLINE), *refs(2)])
    assert len(event["outputs"]) == count_objects(event, "outputs") == INLINE


def test_objects_without_a_common_folder() -> None:
    """Objects that have no folder in common are told of the root."""
    loose = [
        ObjectRef(store_url="s3://a", key=f"{each}", size_bytes=1) for each in range(INLINE + 1)
    ]
    event = make_event(EventType.COMPLETE, facts_of(), NOON, outputs=loose)
    assert event["outputs"][0]["name"] == "/"
