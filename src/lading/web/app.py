"""The application: API and page over one ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI

from lading.ledger.ledger import Ledger
from lading.ledger.tokens import Token, find_token
from lading.web import pages
from lading.web.api import Api, add_api
from lading.web.auth import Doorkeeper, admit_reader
from lading.web.catalog import Catalog
from lading.web.limits import BodyLimit, RateLimit, SafeHeaders, SameOrigin
from lading.web.parts import Parts
from lading.web.problems import Safety, add_handlers
from lading.web.rates import Buckets
from lading.web.served import Served
from lading.web.streams import Pace, Streams

THREADS = 24
"""Requests that look at the ledger at one time: fewer than it has connections."""


def create_app(served: Served, ledger: Ledger, *, pace: Pace | None = None) -> FastAPI:
    """Return the ASGI application: API, page, limits, problems.

    Its parts are ``app.state.parts``; ``parts.streams.close()`` ends live streams, which a
    server would else wait for when it ends.

    Args:
        served: what is served.
        ledger: open; the caller closes it.
        pace: of live streams, where not the usual one.
    """
    app = Api(
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_bound_threads,
    )
    app.state.parts = parts = _make_parts(served, ledger, pace)
    add_handlers(app)
    add_api(app)
    pages.add_pages(app, served, ledger, reader=Depends(admit_reader))
    # the last one added is the outermost
    app.add_middleware(BodyLimit, limit_bytes=served.web.max_body_kb * 1000)
    app.add_middleware(SameOrigin)
    reads = Buckets(served.web.reads_per_minute)
    writes = Buckets(served.web.writes_per_minute)
    app.add_middleware(RateLimit, door=parts.door, reads=reads, writes=writes)
    app.add_middleware(Safety)
    app.add_middleware(SafeHeaders)
    return app


def _make_parts(served: Served, ledger: Ledger, pace: Pace | None) -> Parts:
    def find(secret: str) -> Token | None:
        return find_token(ledger, secret)

    return Parts(
        served=served,
        ledger=ledger,
        catalog=Catalog(served, ledger),
        door=Doorkeeper(find, is_open=served.web.open),
        streams=Streams(ledger, served.web.streams, pace),
    )


@asynccontextmanager
async def _bound_threads(app: FastAPI) -> AsyncIterator[None]:
    del app
    current_default_thread_limiter().total_tokens = THREADS
    yield
