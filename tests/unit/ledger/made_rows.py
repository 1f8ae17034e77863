"""Rows of a small project, as a release writes them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lading.ledger import record
from lading.ledger.ledger import Ledger
from lading.ledger.model import (
    ArtifactRow,
    Progress,
    ReceiptRow,
    ReleaseRow,
    RunStart,
    Step,
    Target,
)

AT = datetime(2025, 2, 5, 20, 30, 12, 345678, tzinfo=UTC)
SHA = "a" * 64
RUN = "20250205T203012-0000000001"
_START = RunStart(
    run_id=RUN,
    kind="distribute",
    project="energy",
    title="Energy tables",
    channel="nightly",
    tag="nightly-2025-02-05",
    environment="production",
    is_release=True,
    command="doit distribute tag=nightly-2025-02-05",
    tool_version="0.1.0",
    commit="c0ffee",
    config_sha256="d" * 64,
    ci_url="https://ci.example.org/1",
    owner="process 1 on there",
    process="elsewhere/1/2",
    started_at=AT,
    targets=(
        Target(task="upload:gcs-nightly", kind="upload", destination="gcs", name="nightly"),
        Target(task="promote:gcs-nightly", kind="promote", destination="gcs", name="nightly"),
    ),
)


def after(seconds: float) -> datetime:
    """Return a moment so many seconds after the beginning."""
    return AT + timedelta(seconds=seconds)


def name_of(number: int) -> str:
    """Return the name of the run of that number."""
    return f"{after(number):%Y%m%dT%H%M%S}-{number:010x}"


def start_of(number: int = 1, **changes: Any) -> RunStart:
    """Return how the run of that number begins: each a second after the last."""
    named = {"run_id": name_of(number), "started_at": after(number)}
    return replace(_START, **{**named, **changes})


def begin(ledger: Ledger, number: int = 1, **changes: Any) -> str:
    """Begin a run; return its name."""
    start = start_of(number, **changes)
    record.begin_run(ledger, start)
    return start.run_id


def step_of(task: str = "upload:gcs-nightly", percent: float = 0.0, **changes: Any) -> Step:
    """Return a step that is running."""
    progress = Progress(percent=percent, done_bytes=int(percent), size_bytes=100)
    step = Step(task=task, state="running", started_at=AT, progress=progress)
    return replace(step, **changes)


def file_of(key: str = "energy.zip", **changes: Any) -> ArtifactRow:
    """Return a public file."""
    row = ArtifactRow(
        key=key,
        size_bytes=1000,
        sha256="b" * 64,
        media_type="application/zip",
        kind="sqlite",
        rows={"plants": 12, "owners": 3},
    )
    return replace(row, **changes)


def receipt_of(task: str = "promote:gcs-nightly", **changes: Any) -> ReceiptRow:
    """Return a receipt."""
    row = ReceiptRow(
        task=task,
        place="gs://bucket/nightly/",
        manifest_sha256=SHA,
        proved_at=after(9),
        objects=3,
        size_bytes=1000,
        facts={"url": "https://example.org"},
    )
    return replace(row, **changes)


def publish(ledger: Ledger, number: int, sha256: str = "", **changes: Any) -> ReleaseRow:
    """Publish a release of its own: its run, its manifest, its row; return the row."""
    sha256 = sha256 or f"{number:064x}"
    start = start_of(number, tag=f"v{number}")
    names = {key: value for key, value in changes.items() if key in {"project", "channel", "tag"}}
    start = replace(start, **names)
    record.begin_run(ledger, start)
    record.write_manifest(ledger, start.run_id, sha256, [file_of(rows={"plants": number})])
    row = ReleaseRow(
        project=start.project,
        channel=start.channel,
        tag=start.tag,
        environment="production",
        manifest_sha256=sha256,
        published_at=after(number + 10),
        run_id=start.run_id,
        url="https://example.org/nightly/release.json",
        files=1,
        size_bytes=1000,
        commit="c0ffee",
    )
    row = replace(row, **changes)
    record.write_release(ledger, row)
    return row
