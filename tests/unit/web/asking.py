"""A client of the pages alone, and what it gets, taken apart."""

from pathlib import Path

from fastapi import FastAPI

from lading.config.ledger import Web
from lading.ledger.ledger import Ledger
from lading.web.pages import add_pages
from lading.web.served import Served
from tests.unit.web.reading import Read, read_page
from tests.unit.web.serving import Client


def serve(ledger: Ledger) -> Client:
    """Make a client of an application that has the pages only."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    served = Served(base=Path(), work=Path(), url="sqlite://", web=Web(), projects={})
    add_pages(app, served, ledger, reader=lambda: None)
    return Client(app)


def get(client: Client, path: str, status: int = 200) -> Read:
    """Get a page, and take it apart."""
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return read_page(answer.text)
