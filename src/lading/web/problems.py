"""Everything that is answered with an error: one form, ``application/problem+json`` (RFC 9457).

A problem says what was expected and what was got; which field it is of; and, by its type, what a
program may do about it. What only the operator may know is logged and not answered.
"""

import logging
import math
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lading.config.problems import render_value
from lading.errors import LedgerVersionError
from lading.ledger.faults import AwayError
from lading.services.redaction import redact

MEDIA_TYPE = "application/problem+json"
AWAY_S = 5
"""Seconds after which a ledger that is away may be asked again."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its type is ``/problems/<code>``."""

    status: HTTPStatus
    """Status of the answer."""
    title: str
    """What it is, the same each time."""
    remedy: str
    """What a program can do about it."""


KINDS: Mapping[str, Kind] = {
    "malformed": Kind(HTTPStatus.BAD_REQUEST, "The request cannot be read", "Mend the request."),
    "unauthorized": Kind(HTTPStatus.UNAUTHORIZED, "A valid token is needed", "Send one."),
    "forbidden": Kind(HTTPStatus.FORBIDDEN, "Not allowed", "Ask for a token of the role admin."),
    "other-origin": Kind(
        HTTPStatus.FORBIDDEN, "Asked for by a page of another origin", "Send it from no page."
    ),
    "not-found": Kind(HTTPStatus.NOT_FOUND, "There is no such thing", "Look at the lists."),
    "method-not-allowed": Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Not to be used in this way", "See the header Allow."
    ),
    "not-ready": Kind(
        HTTPStatus.CONFLICT, "The version is not ready", "Finish the version, then ask again."
    ),
    "key-used": Kind(
        HTTPStatus.CONFLICT, "The idempotency key belongs to another request", "Take a new key."
    ),
    "has-ended": Kind(
        HTTPStatus.CONFLICT,
        "The job has ended",
        "Nothing is left to be stopped; it may be retried.",
    ),
    "not-retryable": Kind(
        HTTPStatus.CONFLICT, "The job has neither failed nor been cancelled", "Wait for its end."
    ),
    "too-large": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large", "Send a smaller one."
    ),
    "media-type": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Not a media type that is read", "Send JSON."
    ),
    "invalid": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Values are not valid", "Mend what `errors` names."
    ),
    "too-many-requests": Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "Wait as long as Retry-After says."
    ),
    "too-many-streams": Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many live streams", "Ask /jobs/{id} now and then."
    ),
    "internal": Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR, "A fault of the server", "Tell its operator `instance`."
    ),
    "ledger-away": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be reached", "Ask again later."
    ),
    "source-away": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "The source cannot be read", "Ask again later."
    ),
}
_BY_STATUS = {
    HTTPStatus.BAD_REQUEST: "malformed",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "media-type",
}


class Fault(BaseModel):
    """One value that is not valid, and where it stands."""

    model_config = ConfigDict(extra="forbid")

    detail: str = Field(description="What was expected, and what was got.")
    pointer: str | None = Field(
        default=None, description="Where in the body, as a JSON Pointer in a fragment."
    )
    parameter: str | None = Field(default=None, description="Name in the path or the query.")
    header: str | None = Field(default=None, description="Name of the header.")


class ProblemBody(BaseModel):
    """A problem, as RFC 9457 has it."""

    model_config = ConfigDict(extra="forbid", title="Problem")

    type: str = Field(description="Kind of the problem; a GET of it tells more.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="Status of the answer.")
    detail: str = Field(description="This problem: what was expected, what was got.")
    instance: str | None = Field(
        default=None, description="Name of this very problem in the server's log, where it is told."
    )
    errors: list[Fault] | None = Field(
        default=None, description="Values that are not valid, all of them."
    )


class KindBody(BaseModel):
    """A kind of problem, explained."""

    model_config = ConfigDict(extra="forbid", title="ProblemKind")

    type: str = Field(description="The kind.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="Status of its answers.")
    remedy: str = Field(description="What can be done about it.")


class Problem(HTTPException):
    """A request is answered with a problem.

    Args:
        code: kind of the problem, one of ``KINDS``.
        detail: what was expected and got; never holds a secret.
        errors: the values that are not valid.
        headers: of the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(KINDS[code].status, detail, dict(headers or {}))
        self.code = code
        self.errors = tuple(errors)


def too_many(detail: str, wait_s: float, code: str = "too-many-requests") -> Problem:
    """Return a problem that says when to ask again, in whole seconds from 1 on."""
    return Problem(code, detail, headers={"Retry-After": str(max(math.ceil(wait_s), 1))})


def type_of(code: str) -> str:
    """Return the type of a kind of problem."""
    return f"/problems/{code}"


def answer(
    code: str,
    detail: str,
    *,
    errors: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
    instance: str | None = None,
) -> JSONResponse:
    """Return the answer of a problem."""
    kind = KINDS[code]
    body = ProblemBody(
        type=type_of(code),
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=instance,
        errors=list(errors) or None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=kind.status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def answer_problem(problem: Problem) -> JSONResponse:
    """Return the answer of a problem that was raised."""
    return answer(problem.code, problem.detail, errors=problem.errors, headers=problem.headers)


def faults_of(errors: Sequence[ErrorDetails | Mapping[str, Any]]) -> list[Fault]:
    """Return what pydantic found, in our words: one fault an error, in its order."""
    return [_fault_of(each) for each in errors]


def is_malformed(errors: Sequence[ErrorDetails | Mapping[str, Any]]) -> bool:
    """Say whether a body is no JSON at all."""
    return any(each["type"] == "json_invalid" for each in errors)


def add_handlers(app: FastAPI) -> None:
    """Let every error of an application be answered with a problem."""
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(AwayError, _answer_away)
    app.add_exception_handler(LedgerVersionError, _answer_away)


class Safety:
    """The last resort: what nobody foresaw is logged, and answered without a word about it.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; where it fails before an answer began, with a problem."""
        has_begun = False

        async def note(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if scope["type"] != "http":
                raise
            instance = log_error(error, f"{scope['method']} {scope['path']!r}")
            if not has_begun:
                told = "the request could not be answered; the server's log says why"
                await answer("internal", told, instance=instance)(scope, receive, send)


def log_error(error: BaseException, doing: str) -> str:
    """Log an error without its secrets, and return the name that it has in the log."""
    instance = f"urn:uuid:{uuid.uuid4()}"
    trace = "".join(traceback.format_exception(error))
    _log.error("%s: %s failed:\n%s", instance, doing, redact(trace).rstrip())
    return instance


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Problem):
        return answer_problem(error)
    assert isinstance(error, HTTPException)  # noqa: S101  the handler is of these only
    code = _BY_STATUS.get(HTTPStatus(error.status_code), "malformed")
    if code == "method-not-allowed":
        told = f"expected one of {(error.headers or {}).get('Allow', '')}, got {request.method}"
    elif code == "not-found":
        told = "expected a path that is served, got another; /openapi.json lists them"
    else:
        told = str(error.detail)
    return answer(code, told, headers=error.headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, RequestValidationError)  # noqa: S101  as above
    return answer_problem(invalid(faults_of(error.errors())))


def invalid(faults: Sequence[Fault]) -> Problem:
    """Return the problem of values that are not valid, all of them."""
    return Problem("invalid", "; ".join(each.detail for each in faults), errors=faults)


async def _answer_away(request: Request, error: Exception) -> JSONResponse:
    instance = log_error(error, f"{request.method} {request.url.path!r}")
    told = "expected a ledger that answers, got none"
    retry = {"Retry-After": str(AWAY_S)}
    return answer("ledger-away", told, headers=retry, instance=instance)


def _fault_of(error: ErrorDetails | Mapping[str, Any]) -> Fault:
    place, *rest = error["loc"] or ("body",)
    if place in {"path", "query", "header"}:
        name = str(rest[0]) if rest else str(place)
        found = _found(error)
        if place == "header":
            return Fault(detail=f"{name}: {found}", header=name)
        return Fault(detail=f"{name}: {found}", parameter=name)
    parts = [str(each) for each in ([place, *rest] if place != "body" else rest)]
    steps = [each.replace("~", "~0").replace("/", "~1") for each in parts]
    pointer = "#" + "".join(f"/{each}" for each in steps)
    return Fault(detail=f"{'.'.join(parts) or 'body'}: {_found(error)}", pointer=pointer)


def _found(error: ErrorDetails | Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "missing":
        return "expected a value, got nothing"
    if kind == "extra_forbidden":
        return "expected no such field, got one"
    if kind == "string_pattern_mismatch":
        wanted = f"a text that fits {error['ctx']['pattern']}"
        return f"expected {wanted}, got {redact(render_value(error['input']))}"
    wanted = str(error["msg"]).removeprefix("Input should be ").removeprefix("Input should ")
    wanted = wanted.removeprefix("Value error, ")
    return f"expected {wanted[:1].lower()}{wanted[1:]}, got {redact(render_value(error['input']))}"
