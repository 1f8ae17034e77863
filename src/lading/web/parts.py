"""What the operations of the API work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from lading.ledger.ledger import Ledger
from lading.web.auth import Doorkeeper
from lading.web.catalog import Catalog
from lading.web.served import Served
from lading.web.streams import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one application; ``app.state.parts``."""

    served: Served
    """What is served."""
    ledger: Ledger
    """What happened, and what is asked for."""
    catalog: Catalog
    """What can be published."""
    door: Doorkeeper
    """Who may do what."""
    streams: Streams
    """Those who follow a job."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    """The time, aware."""


async def give_parts(request: Request) -> Parts:
    """Give an operation its parts (a dependency of FastAPI)."""
    parts: Parts = request.app.state.parts
    return parts


Here = Annotated[Parts, Depends(give_parts)]
