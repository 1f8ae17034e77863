"""Who asks: a token of the ledger, as a bearer's or as the password of a browser's own box.

A token is looked up again after ``FRESH_S`` seconds, so that one that is revoked opens nothing
for longer. Tokens themselves are not kept: only their digests.
"""

import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security.http import HTTPBase

from lading.ledger.tokens import Role, Token
from lading.web.problems import Problem, too_many
from lading.web.rates import Buckets, name_address

FRESH_S = 2.0
"""Seconds for which a token is believed without a look at the ledger."""
FAILURES_PER_MINUTE = 30
"""How often an address may be wrong."""
_KNOWN = 1000  # tokens that are remembered
_REALM = 'realm="lading", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """Name of the token; "" of anybody, where reading is open."""
    role: Role
    """What it may do."""


ANYBODY = Caller("", "viewer")


class Doorkeeper:
    """Lets callers in by their tokens. Used from one event loop only.

    Args:
        find: returns the token that a secret is, or None; may wait, is called in a thread.
        is_open: whether reading needs no token.
        now: the time, aware.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        find: Callable[[str], Token | None],
        *,
        is_open: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._is_open = is_open
        self._now = now
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()
        self._failures = Buckets(FAILURES_PER_MINUTE, clock)

    def name_of(self, header: str) -> str:
        """Return the name of the token in a header where it was valid lately, else ""."""
        secret = parse_authorization(header)
        known = self._known.get(_digest(secret)) if secret else None
        return known[0].name if known else ""

    async def admit(self, header: str, host: str, *, is_page: bool = False) -> Caller:
        """Return who asks.

        Args:
            header: value of ``Authorization``, or "".
            host: address that asks.
            is_page: whether a person's browser asks, which has a box for a password.

        Raises:
            Problem: 401 without a valid token; 429 where this address was wrong too often.
            LedgerError: nobody can say whether it is valid.
        """
        if not header and self._is_open:
            return ANYBODY
        if not header:
            raise _unauthorized("expected a token, got none", is_page=is_page, error="")
        secret = parse_authorization(header)
        address = name_address(host)
        known = self._known.get(_digest(secret)) if secret else None
        if known is None:
            self._refuse_guesses(address)
        token = await self._look_up(secret, known) if secret else None
        problem = _fault_of(token, self._now())
        if problem or token is None:
            self._failures.take(address)
            raise _unauthorized(problem, is_page=is_page)
        return Caller(token.name, token.role)

    def _refuse_guesses(self, address: str) -> None:
        wait_s = self._failures.wait_s(address)
        if wait_s:
            raise too_many("expected a valid token, got too many that are not", wait_s)

    async def _look_up(self, secret: str, known: tuple[Token, float] | None) -> Token | None:
        at = self._clock()
        if known and at - known[1] < FRESH_S:
            return known[0]
        token = await run_in_threadpool(self._find, secret)
        digest = _digest(secret)
        if token is None or not token.is_valid(self._now()):
            self._known.pop(digest, None)
            return token
        self._known[digest] = (token, at)
        self._known.move_to_end(digest)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return token


def parse_authorization(header: str) -> str:
    """Return the secret of a header: of a bearer, or a password; "" where there is none."""
    scheme, _, rest = header.strip().partition(" ")
    secret = rest.strip()
    if scheme.lower() == "bearer":
        return secret
    if scheme.lower() != "basic":
        return ""
    try:
        text = base64.b64decode(secret, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return text.partition(":")[2]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _fault_of(token: Token | None, at: datetime) -> str:
    """Say why a token opens nothing, as far as its bearer may know; "" where it does."""
    if token is not None and token.is_valid(at):
        return ""
    if token is not None and token.revoked_at is None and token.expires_at is not None:
        return f"expected a valid token, got one that expired at {token.expires_at:%Y-%m-%dT%H:%MZ}"
    return "expected a valid token, got one that is not known"


def _unauthorized(detail: str, *, is_page: bool, error: str = "invalid_token") -> Problem:
    told = f'Bearer realm="lading"{f", error={error!r}" if error else ""}'.replace("'", '"')
    return Problem(
        "unauthorized",
        detail,
        headers={"WWW-Authenticate": f"Basic {_REALM}" if is_page else told},
    )


_bearer = HTTPBase(scheme="bearer", scheme_name="bearer", auto_error=False)
_basic = HTTPBase(
    scheme="basic", scheme_name="basic", description="The token is the password.", auto_error=False
)


async def admit_reader(
    request: Request,
    bearer: Annotated[object, Depends(_bearer)],
    basic: Annotated[object, Depends(_basic)],
) -> Caller:
    """Let in who may read (a dependency of FastAPI)."""
    del bearer, basic  # they stand in the description; the header is read here
    door: Doorkeeper = request.app.state.parts.door
    return await door.admit(
        request.headers.get("authorization", ""),
        request.client.host if request.client else "",
        is_page="text/html" in request.headers.get("accept", ""),
    )


Reader = Annotated[Caller, Depends(admit_reader)]


async def admit_admin(request: Request, caller: Reader) -> Caller:
    """Let in who may ask for publishing (a dependency of FastAPI)."""
    if caller.role == "admin":
        return caller
    if caller is ANYBODY:
        is_page = "text/html" in request.headers.get("accept", "")
        raise _unauthorized("expected a token, got none", is_page=is_page, error="")
    raise Problem("forbidden", f"expected a token of the role admin, got one of {caller.role}")


Admin = Annotated[Caller, Depends(admit_admin)]
