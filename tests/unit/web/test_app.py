"""The application answers many at one time, and its pages are only for readers."""

import asyncio
from pathlib import Path

from lading.ledger.ledger import Ledger
from tests.unit.web.serving import add_job, make_client


def test_two_hundred_readers_at_once_are_all_answered(ledger: Ledger, tmp_path: Path) -> None:
    """On each kind of ledger: no error, whatever they ask for."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, "running").run_id
    paths = ("/jobs", f"/jobs/{run_id}", "/projects", "/healthz")

    async def ask() -> set[int]:
        asked = [client.ask("GET", paths[number % 4]) for number in range(200)]
        return {each.status_code for each in await asyncio.gather(*asked)}

    assert asyncio.run(ask()) == {200}


def test_pages_are_for_readers(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """A page needs a token as a document does; there is no other page of descriptions."""
    client = make_client(sqlite_ledger, tmp_path)
    assert client.get("/").headers["Content-Type"].startswith("text/html")
    assert client.get("/", headers={"Authorization": ""}).status_code == 401
    assert client.get("/docs").status_code == 404
    assert client.get("/jobs/").status_code == 404
