"""What leaves the machine: no secrets, no folders of anybody."""

from pathlib import Path

import pytest

from lading.ledger.model import LogLine, ReceiptRow
from lading.web.hiding import hide_in_line, hide_in_run, make_hide
from tests.unit.ledger.made_runs import NOON, make_run, make_step, make_target

FOLDER = Path("/home/jane/projects/iowa")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("/home/jane/projects/iowa/build/x.zip: no space", "build/x.zip: no space"),
        ("file:///home/jane/projects/iowa/clouds/gcs", "clouds/gcs"),
        ("in /home/jane/projects/iowa, found none", "in , found none"),
        ("/home/jane/.aws/credentials: denied", "…/credentials: denied"),
        ("'/tmp/pytest-1/x.db'", "'…/x.db'"),
        ("(/var/lib/thing/)", "(…/thing)"),
        ("/home/jane/projects/iowa-2/x", "…/x"),
        ("https://example.org/home/jane/x", "https://example.org/home/jane/x"),
        ("gs://bucket/tmp/x", "gs://bucket/tmp/x"),
        ("/parquet/*.parquet: expected one", "/parquet/*.parquet: expected one"),
        ("nightly/out/x.csv", "nightly/out/x.csv"),
        ("3 MB/s and 4/5 files", "3 MB/s and 4/5 files"),
    ],
)
def test_folders_of_a_machine_are_not_shown(text: str, seen: str) -> None:
    """Paths of the project are told from its folder; of others only the name is left."""
    assert make_hide(FOLDER)(text) == seen


def test_secrets_are_taken_out_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process calls secret is not shown, whoever wrote it to the ledger."""
    monkeypatch.setenv("EXAMPLE_TOKEN", "s3cr3t-of-the-house")
    hide = make_hide(FOLDER)
    run = make_run(
        "failed",
        error="401 for s3cr3t-of-the-house",
        command="doit x s3cr3t-of-the-house",
        steps=(make_step("upload:gcs", "failed", "s3cr3t-of-the-house"),),
        targets=(make_target("gcs/nightly", "failed"),),
        receipts=(
            ReceiptRow(
                task="upload:gcs",
                place="https://jane:s3cr3t-of-the-house@example.org/",
                manifest_sha256="",
                proved_at=NOON,
                objects=1,
                size_bytes=1,
                facts={"said": "s3cr3t-of-the-house"},
            ),
        ),
        result={"said": "s3cr3t-of-the-house"},
    )
    line = LogLine(number=1, at=NOON, level=20, task="", text="s3cr3t-of-the-house")
    assert "s3cr3t" not in repr(hide_in_run(run, hide))
    assert hide_in_line(line, hide).text == "***"
