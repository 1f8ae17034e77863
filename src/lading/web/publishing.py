"""The operation that the rest is for: publish a version of a project to an environment."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lading.ledger import queue
from lading.ledger.queue import JobRequest
from lading.web.answers import JobBody, problems
from lading.web.auth import Admin
from lading.web.catalog import require_environment
from lading.web.jobs import LONGEST, SLUG, accept
from lading.web.parts import Here
from lading.web.problems import Problem, faults_of, invalid, is_malformed

VERSION = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
KEY = r"^[!-~]*$"

Slug = Annotated[str, Path(pattern=SLUG, max_length=LONGEST, description="Slug of the project.")]
Version = Annotated[str, Path(pattern=VERSION, max_length=LONGEST, description="The version.")]


class PublishRequest(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    target_environment: str = Field(
        min_length=1, max_length=LONGEST, description="Environment to publish to."
    )


router = APIRouter(tags=["publish"])


async def read_request(request: Request, caller: Admin) -> PublishRequest:
    """Read what is asked for, once it is known that the caller may ask.

    Raises:
        Problem: it is no JSON, or not of the form that is expected.
    """
    del caller
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if media_type != "application/json" or encoding != "identity":
        got = f"{media_type[:100]!r}" if encoding == "identity" else f"encoding {encoding[:100]!r}"
        raise Problem("media-type", f"expected application/json as it is, got {got}")
    try:
        return PublishRequest.model_validate_json(await request.body(), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if is_malformed(errors):
            told = f"expected a body of JSON, got one that is not: {errors[0]['ctx']['error']}"
            raise Problem("malformed", told) from None
        raise invalid(faults_of(errors)) from None


@router.post(
    "/projects/{slug}/versions/{version}/publish",
    status_code=202,
    response_model=JobBody,
    responses=problems(
        "malformed",
        "forbidden",
        "other-origin",
        "not-found",
        "not-ready",
        "key-used",
        "media-type",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": PublishRequest.model_json_schema()}},
        }
    },
    summary="Publish a version to an environment",
)
def publish(
    parts: Here,
    caller: Admin,
    slug: Slug,
    version: Version,
    wanted: Annotated[PublishRequest, Depends(read_request)],
    idempotency_key: Annotated[
        str,
        Header(
            pattern=KEY,
            max_length=255,
            description="Key of this request: sent again with the same one, it is the same job.",
        ),
    ] = "",
) -> Response:
    """Put a job into the queue that publishes a version; `Location` is where to ask for it."""
    here = parts.catalog.find_served(slug)
    require_environment(here, wanted.target_environment)
    request = JobRequest(
        project=slug,
        version=version,
        environment=wanted.target_environment,
        requested_by=caller.name,
        idempotency_key=idempotency_key,
    )
    try:
        run = queue.find_submitted(parts.ledger, request)
        if run is None:
            parts.catalog.require_ready(here, wanted.target_environment, version)
            run, _ = queue.submit(parts.ledger, request, parts.now())
    except queue.KeyConflict:
        told = "Idempotency-Key: expected a new one, got one that belongs to another request"
        raise Problem("key-used", told) from None
    return accept(run)
