"""Send records of silver to an application's API, each once.

Batches go under keys by which the API knows a request that it has had already; what was taken is
remembered, and what is refused becomes a dead letter by itself. An example of a job whose items
are rows, and whose effect is outside of any store.
"""

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lading.config.values import Url
from lading.errors import MisconfiguredError
from lading.jobs.canonical import digest_json
from lading.jobs.refs import ObjectRef, OpenStore
from lading.jobs.run import Run
from lading.jobs.spec import Arguments, JobSpec

if TYPE_CHECKING:
    from lading.jobs.ingest.sending import Ingestion

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*")  # RFC 9110, 5.6.2: token


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    is_url = parts.scheme in {"http", "https"} and parts.hostname and value.isprintable()
    if not is_url or "@" in parts.netloc or parts.query or parts.fragment or " " in value:
        what = "an http(s) URL without user, password or query"
        raise PydanticCustomError("expected", "{what}", {"what": what})
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower() in {"authorization", "content-length", "host"}:
        what = "the name of a header of its own, or ''"
        raise PydanticCustomError("expected", "{what}", {"what": what})
    return value


def _variable(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        # what was given may be the token itself
        raise PydanticCustomError("expected", "{what}", {"what": "a variable's name"})
    return value


class IngestApi(Arguments):
    """Arguments of ``ingest_api``."""

    source: Url = Field(description="Folder of Parquet files, or one file: a path or a URL.")
    url: Annotated[str, AfterValidator(_api_url)] = Field(description="Where records are sent.")
    key: tuple[str, ...] = Field(
        min_length=1, description="Column that identifies a record; several make it together."
    )
    columns: tuple[str, ...] = Field(
        default=(), description="Columns to send, beside those of the key; none given: all."
    )
    batch_size: int = Field(default=500, ge=1, le=100_000, description="Records of a request.")
    method: Literal["POST", "PUT"] = Field(default="POST", description="Method of requests.")
    token_variable: Annotated[str, AfterValidator(_variable)] = Field(
        default="", description="Environment variable that holds the bearer token."
    )
    records_field: str = Field(
        default="records", description="Field of the records; '': the list is all that is sent."
    )
    errors_field: str = Field(
        default="errors", description="Where answers have errors: a path with dots."
    )
    results_field: str = Field(
        default="results", description="Where answers have an entry a record: a path with dots."
    )
    idempotency_header: Annotated[str, AfterValidator(_header)] = Field(
        default="Idempotency-Key", description="Header of the key of a request; '': none."
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="Requests at one time.")
    max_failed: float = Field(
        default=0.0, ge=0, le=1, description="Share of the records that may be refused."
    )
    store: str = Field(
        default="", description="Where it remembers what was sent; '': the first of jobs.stores."
    )


def list_inputs(arguments: IngestApi, open_store: OpenStore) -> Iterator[ObjectRef]:
    """List the files that a run will send.

    Raises:
        MisconfiguredError, StoreError: the place does not exist or cannot be read.
        BadDataError: it holds no Parquet files.
    """
    # pyarrow takes a while to import: whoever lists jobs does not need it
    from lading.jobs.ingest.records import find_files  # noqa: PLC0415

    yield from find_files(arguments.source, open_store)[1]


def ingest_api(arguments: IngestApi, run: Run) -> int:
    """Send records to an API; see ``docs/jobs-builtin.md``.

    Effects: the API has the records; marks of what it has taken, in the store.

    Raises:
        MisconfiguredError: the token is missing, the API refuses all, columns are missing.
        BadDataError: there are no files.
        StoreError: the store cannot be read or written.
    """
    from lading.jobs.ingest.records import find_files  # noqa: PLC0415

    ingestion = _prepare(arguments)
    if run.only is not None:
        report = ingestion.send_again(run)
    else:
        store, files = find_files(arguments.source, run.open_store)
        run.read(*files)
        report = ingestion.send(run, store, files)
    run.log.info("%s: %s", arguments.url, report.describe())
    return report.exit_code


def _prepare(arguments: IngestApi) -> "Ingestion":
    """Return the work that arguments mean.

    Raises:
        MisconfiguredError: the token is missing.
    """
    from lading.jobs.ingest.answers import Shape  # noqa: PLC0415
    from lading.jobs.ingest.api import Protocol  # noqa: PLC0415
    from lading.jobs.ingest.records import Selection  # noqa: PLC0415
    from lading.jobs.ingest.sending import Ingestion  # noqa: PLC0415

    token = os.environ.get(arguments.token_variable, "") if arguments.token_variable else ""
    if arguments.token_variable and not token:
        raise MisconfiguredError(
            f"{arguments.token_variable}: expected the API's token in this variable, found none"
        )
    return Ingestion(
        protocol=Protocol(
            url=arguments.url,
            method=arguments.method,
            records_field=arguments.records_field,
            idempotency_header=arguments.idempotency_header,
            shape=Shape(
                key=arguments.key,
                errors_field=arguments.errors_field,
                results_field=arguments.results_field,
            ),
        ),
        selection=Selection(
            key=arguments.key, columns=arguments.columns, rows_at_once=arguments.batch_size
        ),
        target=digest_json([arguments.url, arguments.method])[:16],
        name=digest_json([arguments.source, arguments.key, arguments.columns])[:16],
        token=token,
        batch_size=arguments.batch_size,
        concurrency=arguments.concurrency,
        max_failed=arguments.max_failed,
    )


JOB = JobSpec(
    entrypoint=ingest_api,
    description="Send records of silver to an HTTP API, each once; refused ones to dead letters.",
    arguments=IngestApi,
    identity=(
        "source",
        "url",
        "key",
        "columns",
        "batch_size",
        "method",
        "records_field",
    ),
    inputs=list_inputs,
    store="store",
    by_item=True,
)
