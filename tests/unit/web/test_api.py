"""The API says what it is: its description, its health, its documents."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import lading
from lading.ledger import documents, model
from lading.ledger.ledger import Ledger
from lading.web import answers
from lading.web.api import ALWAYS
from lading.web.problems import KINDS
from tests.unit.web.serving import NOW, Client, lasting_client, make_client

RUN = model.Run(
    run_id="20261121T203000-0123456789",
    kind="publish",
    project="maps",
    state="completed",
    created_at=NOW,
    ended_at=NOW + timedelta(minutes=1),
    result={"release_url": "u", "asset_count": 1, "published_at": "2026-11-21T20:31:00.000Z"},
    steps=(model.Step(task="build", state="done"),),
    targets=(model.Target(task="upload:a-b", kind="upload"),),
    receipts=(
        model.ReceiptRow(
            task="upload:a-b",
            place="a",
            manifest_sha256="",
            proved_at=NOW,
            objects=1,
            size_bytes=1,
            facts={"a": "b"},
        ),
    ),
)
LINE = model.LogLine(number=1, at=NOW, level=20, task="", text="line")
RELEASE = model.ReleaseRow(
    project="maps",
    channel="staging",
    tag="7",
    environment="staging",
    manifest_sha256="0" * 64,
    published_at=NOW,
    run_id=RUN.run_id,
)
VERSION = model.VersionRow(project="maps", version="7", state="ready")


@pytest.mark.parametrize(
    ("form", "table"),
    [
        (answers.RunBody, documents.run_table(RUN)),
        (answers.RunList, documents.runs_table([RUN], 1)),
        (answers.JobBody, answers.job_body(RUN, [LINE])),
        (answers.JobRow, answers.job_row(RUN)),
        (answers.LogBody, documents.log_table(LINE)),
        (answers.ReleaseBody, documents.release_table(RELEASE)),
        (answers.VersionBody, documents.version_table(VERSION)),
        (answers.ProjectBody, answers.project_body(model.ProjectRow(slug="maps"), None)),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_documents_are_as_they_are_described(form: type[BaseModel], table: dict[str, Any]) -> None:
    """What the commands and the API write has the fields of its model: no more and no fewer."""
    form.model_validate(table)
    assert set(table) == set(form.model_fields)


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


def operations(client: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each operation of the description."""
    described = client.get("/openapi.json", headers={"Authorization": ""}).json()
    assert described["paths"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_is_described(steady: Client) -> None:
    """All that the issue asks for is there; each says what it is, and what may go wrong."""
    found = dict(operations(steady))
    assert {
        "POST /projects/{slug}/versions/{version}/publish",
        "GET /jobs",
        "GET /jobs/{job_id}",
        "GET /jobs/{job_id}/logs",
        "GET /jobs/{job_id}/events",
        "POST /jobs/{job_id}/cancel",
        "POST /jobs/{job_id}/retry",
        "GET /projects",
        "GET /projects/{slug}",
        "GET /projects/{slug}/versions",
        "GET /projects/{slug}/releases",
        "GET /healthz",
    } <= set(found)
    always = {str(int(KINDS[code].status)) for code in ALWAYS}
    for name, operation in found.items():
        assert operation["summary"], name
        assert always <= set(operation["responses"]), name


def test_every_problem_that_is_described_is_a_problem(steady: Client) -> None:
    """Each error has the media type and the form of RFC 9457, and pages are not described."""
    for name, operation in operations(steady):
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")):
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
    described = steady.get("/openapi.json").json()
    assert "Problem" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    assert not {"/", "/runs", "/runs/{run_id}"} & set(described["paths"])


def test_all_parameters_and_fields_are_explained(steady: Client) -> None:
    """No field of a document is without a line that says what it is."""
    schemas = steady.get("/openapi.json").json()["components"]["schemas"]
    for name, schema in schemas.items():
        for field, each in schema.get("properties", {}).items():
            assert each.get("description"), (name, field)


def test_the_server_is_well_where_its_ledger_is(ledger: Ledger, tmp_path: Path) -> None:
    """It needs no token to say so."""
    answer = make_client(ledger, tmp_path).get("/healthz", headers={"Authorization": ""})
    assert answer.json() == {"status": "ok", "version": lading.__version__}


def test_a_ledger_that_is_away_is_told_everywhere(
    sqlite_ledger: Ledger, sqlite_url: str, tmp_path: Path
) -> None:
    """Health, lists and requests are 503 with a time to ask again, and no trace of why."""
    client = make_client(sqlite_ledger, tmp_path)
    assert client.get("/jobs").status_code == 200
    sqlite_ledger.close()
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()
    Path(sqlite_url.removeprefix("sqlite:///")).mkdir()
    for answer in (client.get("/healthz"), client.get("/jobs"), client.publish()):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/ledger-away")
        assert int(answer.headers["Retry-After"]) > 0
        assert "ledger.db" not in answer.text
