"""Markers as they stand in a store."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lading.errors import LeaseError
from lading.jobs.audit import Link
from lading.jobs.markers import Marker, load_marker, load_markers, parse_marker, render_marker
from lading.storage import Body, MemoryStore
from tests.unit.jobs.trails import NOON, run_id

MARKER = Marker(
    job="copy",
    identity="1" * 32,
    state="done",
    run_id=run_id(),
    attempt=2,
    owner="process 7 on laptop",
    process="boot.ns/7/9",
    started_at=NOON,
    expires_at=NOON + timedelta(minutes=5),
    exit_code=0,
    message="two done",
    outputs=2,
    outputs_sha256="a" * 64,
    version="1",
    audit=Link(stream="copy", sequence=2, sha256="b" * 64),
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"audit": None},
        {"state": "in progress", "exit_code": None, "outputs_sha256": ""},
        {"state": "failed", "exit_code": 75, "message": "ü\nb"},
    ],
    ids=str,
)
def test_is_read_as_it_was_written(change: dict[str, Any]) -> None:
    """A marker comes back from its text, with the store's version."""
    marker = replace(MARKER, **change)
    assert parse_marker(render_marker(marker), marker.key, "1") == marker


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        render_marker(MARKER).replace(b'"done"', b'"perhaps"'),
        render_marker(MARKER).replace(b"+00:00", b""),
        render_marker(replace(MARKER, job="other")),
        render_marker(MARKER).replace(b'"sequence"', b'"place"'),
    ],
    ids=["empty", "binary", "list", "object", "deep", "state", "zone", "another's", "link"],
)
def test_what_is_no_marker(text: bytes) -> None:
    """Another object under a marker's key is told with its URL, and never taken for one."""
    store = MemoryStore("memory://a")
    store.put(MARKER.key, Body.of_bytes(text))

    with pytest.raises(LeaseError) as caught:
        load_marker(store, MARKER.key)

    assert str(caught.value) == (
        f"memory://a/.lading/jobs/copy/runs/{'1' * 32}.json: expected a marker of Lading, found"
        " another object; look at it, and remove it if nobody runs this job"
    )


def test_markers_of_a_job_and_of_all() -> None:
    """Markers are found by job, among whatever else jobs keep beside them."""
    store = MemoryStore("memory://a")
    markers = [
        replace(MARKER, job=job, identity=identity * 32, version=str(number))
        for number, (job, identity) in enumerate([("copy", "1"), ("copy", "2"), ("move", "1")], 1)
    ]
    for marker in markers:
        store.put(marker.key, Body.of_bytes(render_marker(marker)))
    for key in ("copy/dead/runs/x.json", "listings/runs.jsonl", "copy/runs/x.txt"):
        store.put(f".lading/jobs/{key}", Body.of_bytes(b"{}"))

    assert load_markers(store) == markers
    assert load_markers(store, "copy") == markers[:2]
    assert load_markers(store, "nobody") == []
