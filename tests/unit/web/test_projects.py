"""Projects are those that are served and those that the ledger knows."""

from datetime import timedelta
from pathlib import Path

import pytest

from lading.ledger import record
from lading.ledger.ledger import Ledger
from lading.ledger.model import ReleaseRow, VersionRow, VersionState
from lading.web.catalog import merge
from tests.unit.web.serving import NOW, add_job, make_client


def test_projects_of_here_and_of_the_ledger_are_listed(ledger: Ledger, tmp_path: Path) -> None:
    """One that is served without a run is there; one that only the ledger knows is there too."""
    client = make_client(ledger, tmp_path)
    add_job(ledger, project="tides")
    body = client.get("/projects").json()
    assert body == {
        "projects": [
            {
                "slug": "maps",
                "title": "Maps of the coast",
                "runs": 0,
                "environments": ["staging", "production"],
                "is_served": True,
            },
            {"slug": "tides", "title": "", "runs": 1, "environments": [], "is_served": False},
        ],
        "total": 2,
    }
    assert client.get("/projects/tides").json() == body["projects"][1]
    answer = client.get("/projects/mapps")
    assert (answer.status_code, "did you mean 'maps'" in answer.text) == (404, True)


def test_what_only_the_ledger_knows_cannot_be_published(ledger: Ledger, tmp_path: Path) -> None:
    """Its versions are shown; a publish of it is 404."""
    client = make_client(ledger, tmp_path)
    add_job(ledger, project="tides")
    assert client.get("/projects/tides/versions").status_code == 200
    answer = client.post(
        "/projects/tides/versions/1/publish", json={"target_environment": "staging"}
    )
    assert answer.status_code == 404


def test_versions_are_those_of_the_source_and_of_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """Newest first: drafts with why, ready ones, published ones; then those that are gone."""
    client = make_client(ledger, tmp_path)
    for version in ("5", "6"):
        row = VersionRow(project="maps", version=version, state="published", changed_at=NOW)
        record.write_version(ledger, row)
    body = client.get("/projects/maps/versions").json()
    states = {each["version"]: each["state"] for each in body["versions"]}
    assert states == {"8": "draft", "7": "ready", "6": "published", "5": "published"}
    assert list(states) == ["8", "7", "6", "5"]
    assert body["total"] == 4
    assert body["versions"][0]["detail"].startswith("no success at")


@pytest.mark.parametrize(
    ("found", "told", "state"),
    [
        ("ready", "published", "published"),
        ("ready", "failed", "failed"),
        ("ready", "draft", "ready"),
        ("draft", "published", "draft"),
        (None, "published", "published"),
    ],
)
def test_a_version_is_what_stands_unless_more_is_known(
    found: VersionState | None, told: VersionState, state: VersionState
) -> None:
    """What is at the source counts, and what the ledger adds to one that is ready."""
    here = VersionRow(project="maps", version="7", state=found) if found else None
    merged = merge(here, VersionRow(project="maps", version="7", state=told, changed_at=NOW))
    assert (merged.state, merged.changed_at) == (state, NOW)


def test_releases_are_listed_newest_first(ledger: Ledger, tmp_path: Path) -> None:
    """By environment where it is asked for; an unknown project is 404."""
    client = make_client(ledger, tmp_path)
    for number, environment in enumerate(("staging", "production", "staging")):
        run = add_job(ledger, "completed", version=str(number), environment=environment)
        digest = str(number) * 64
        record.write_manifest(ledger, run.run_id, digest, [])
        record.write_release(
            ledger,
            ReleaseRow(
                project="maps",
                channel=environment,
                tag=str(number),
                environment=environment,
                manifest_sha256=digest,
                published_at=NOW + timedelta(minutes=number),
                run_id=run.run_id,
            ),
        )
    found = client.get("/projects/maps/releases").json()["releases"]
    assert [each["tag"] for each in found] == ["2", "1", "0"]
    staged = client.get("/projects/maps/releases?environment=staging&limit=1").json()["releases"]
    assert [each["tag"] for each in staged] == ["2"]
    assert client.get("/projects/other/releases").status_code == 404
