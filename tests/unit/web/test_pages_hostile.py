"""Every word of a ledger may be an attack: pages show it as it is."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from lading.ledger import record
from lading.ledger.ledger import Ledger
from lading.ledger.model import ArtifactRow, Progress, ReceiptRow, ReleaseRow, Step, StepState
from tests.unit.web.asking import get, serve
from tests.unit.web.filled import (
    FIRST_NIGHT,
    digest_of,
    make_file,
    make_start,
    make_targets,
)
from tests.unit.web.reading import read_page

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"' onmouseover=alert(1) x=\"'><img src=x onerror=alert(1)>",
    "style": "</style></title></textarea><svg/onload=alert(1)>",
    "template": "{{ 7 * 7 }}{% raw %}",
    "comment": "<!-- --!> ]]> &lt;b&gt;",
    "rtl": "fdp.\u202e\u2066exe\u2028",
    "emoji": "🦆" * 40,
    "long": "x" * 10_000,
    "link": "javascript:alert(1)",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_filters_are_text(sqlite_ledger: Ledger, text: str) -> None:
    """Whatever an address asks for, it is shown as it is and finds nothing."""
    answer = serve(sqlite_ledger).get(
        "/runs", params={"tag": text, "project": text, "state": text, "kind": text}
    )
    assert answer.status_code == 200
    assert "No such run" in read_page(answer.text).text


def write_hostile(ledger: Ledger, text: str) -> tuple[str, str]:
    """Write a run and a release of which every word is somebody else's; return their names."""
    at, run_id, manifest = FIRST_NIGHT, "20250101T000000-00000000ee", digest_of(text)
    name = text.replace("/", "|")  # what names a place is a part of an address
    target = replace(
        make_targets("done", at)[2], task=text, kind=text, destination=text, name=text,
        url=text, note=text,
    )  # fmt: skip
    record.begin_run(
        ledger,
        make_start(
            run_id, at, kind=text, project=name, title=text, channel=name, tag=text,
            environment=name, command=text, tool_version=text, commit=text, config_sha256=text,
            ci_url=text, owner=text, targets=(target, replace(target, task="b", kind="promote")),
        ),
    )  # fmt: skip
    states: tuple[StepState, ...] = ("failed", "skipped", "running")
    for position, state in enumerate(states):
        step = Step(
            task=f"{text}{position}", state=state, detail=text, started_at=at,
            ended_at=at + timedelta(seconds=position), progress=Progress(percent=50),
        )  # fmt: skip
        record.write_step(ledger, run_id, 1, position, step, at)
    record.write_logs(ledger, run_id, [(at, 40, f"{text}0", text), (at, 20, "", text)])
    file = make_file(text, 1, text, {text: 3})
    file = replace(file, media_type=text, kind=text, role=text, url=text)
    record.write_manifest(ledger, run_id, manifest, [file], doi=text)
    release = ReleaseRow(
        project=name, channel=name, tag=text, environment=name, manifest_sha256=manifest,
        published_at=at, run_id=run_id, url=text, files=1, size_bytes=1, doi=text, commit=text,
    )  # fmt: skip
    older = [replace(file, rows={f"{text}2": 1}, sha256="0" * 64), replace(file, key=f"{text}gone")]
    write_older(ledger, release, older)
    record.write_release(ledger, release)
    record.write_receipts(
        ledger,
        run_id,
        [
            ReceiptRow(
                task=text, place=text, manifest_sha256="0" * 64, proved_at=at, objects=1,
                size_bytes=1, facts={text: text},
            )
        ],
    )  # fmt: skip
    return run_id, manifest


def write_older(ledger: Ledger, release: ReleaseRow, files: list[ArtifactRow]) -> None:
    """Write what stood there before."""
    run_id, manifest = "20250100T000000-00000000ee", "e" * 64
    at = release.published_at - timedelta(days=1)
    start = make_start(run_id, at, project=release.project, channel=release.channel, tag="old")
    record.begin_run(ledger, replace(start, environment=release.environment))
    record.write_manifest(ledger, run_id, manifest, files)
    record.write_release(
        ledger,
        replace(release, tag="old", manifest_sha256=manifest, published_at=at, run_id=run_id),
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("state", ["failed", "running"])
def test_no_text_becomes_markup(sqlite_ledger: Ledger, text: str, state: str) -> None:
    """Every word of a ledger may be an attack: each page shows it as it is."""
    run_id, manifest = write_hostile(sqlite_ledger, text)
    if state == "failed":
        record.end_run(
            sqlite_ledger, run_id, state=state, exit_code=1, failed_at=text, error=text,
            at=FIRST_NIGHT + timedelta(seconds=9),
        )  # fmt: skip
    client = serve(sqlite_ledger)
    pages = {path: get(client, path) for path in ("/", "/runs", f"/runs/{run_id}")}
    hrefs = pages["/"].values("href")
    pages |= {path: get(client, path) for path in hrefs if path.startswith(("/rel", "/hist"))}
    assert f"/releases/{manifest}" in " ".join(pages)
    assert len([path for path in pages if path.startswith("/history")]) == 1
    shown = "x" * 4000 if text == HOSTILE["long"] else text
    shown = shown if text != HOSTILE["rtl"] else "fdp.\\u202e\\u2066exe\\u2028"
    for path, read in pages.items():
        assert " ".join(shown.split()) in read.text, path
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", read.text)
