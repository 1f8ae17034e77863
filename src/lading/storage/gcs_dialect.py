"""How Google Cloud Storage is spoken to: who we are, and what an answer means.

gcsfs says who we are and where the service is, with everything that the ecosystem knows of
it (application default credentials, workload identity, service accounts, endpoints). The
requests themselves go over ``wire``.
"""

import json
import os
import re
import threading
from typing import Any
from urllib.parse import quote, urlencode

# gcsfs asks each bucket for its storage layout over gRPC; behind an endpoint of one's own that
# is a minute's silence a call, and nothing here needs the answer. It is read at import.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

import gcsfs
import google.auth.exceptions
import google.auth.transport.requests
from gcsfs.retry import HttpError

from lading.config.models import Destination
from lading.errors import (
    ChecksumError,
    ConditionError,
    MissingObjectError,
    StoreError,
    UnavailableError,
)
from lading.storage.cloud import Bucket
from lading.storage.wire import ExpiredError, Reply, Request

_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_PASSING = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _GONE = 400, 401, 403, 404, 410
_PRECONDITION_FAILED, _OUTSIDE = 412, 416
_LOGIN = "run `gcloud auth application-default login`, or set `anonymous = true`"


class GcsDialect:
    """The dialect of one bucket.

    Args:
        bucket: the bucket.
        options: endpoint, and the project that pays.

    Raises:
        StoreError: there are no credentials.
    """

    def __init__(self, bucket: Bucket, options: Destination) -> None:
        self._bucket = bucket
        self._options = options
        self._lock = threading.Lock()
        try:
            self._filesystem = gcsfs.GCSFileSystem(
                token="anon" if options.anonymous else "google_default",
                endpoint_url=options.endpoint or None,
                skip_instance_cache=True,
            )
        except (google.auth.exceptions.GoogleAuthError, ValueError, OSError) as error:
            words = _first_line(error).partition(". ")[0]
            raise StoreError(
                f"{bucket.url}: expected Google credentials, got: {words}", hint=_LOGIN
            ) from error
        # where gcsfs itself would ask: an endpoint, STORAGE_EMULATOR_HOST, or the cloud's own
        self.base = str(self._filesystem._location).rstrip("/")  # noqa: SLF001

    @property
    def ca_bundle(self) -> str:
        """File of the authorities that the ecosystem trusts, or ""."""
        return os.environ.get("REQUESTS_CA_BUNDLE", "")

    def url_of(self, path: str, query: dict[str, str] | None = None, *, kind: str = "") -> str:
        """Return a URL of the JSON API.

        Args:
            path: below the version, percent-encoded.
            query: parameters.
            kind: "upload/" for bytes, else "".
        """
        given = dict(query or {})
        if self._options.user_project:
            given["userProject"] = self._options.user_project
        parameters = f"?{urlencode(given, quote_via=quote)}" if given else ""
        return f"{self.base}/{kind}storage/v1/{path}{parameters}"

    def authorise(self, request: Request) -> dict[str, str]:
        """Add the token; without credentials on purpose, leave the request as it is."""
        headers = dict(request.headers)
        try:
            self._filesystem.credentials.apply(headers)
        except google.auth.exceptions.TransportError as error:
            raise UnavailableError(
                f"{self._bucket.url}: expected a token, got: {_first_line(error)}"
            ) from error
        except (google.auth.exceptions.GoogleAuthError, HttpError) as error:
            raise StoreError(
                f"{self._bucket.url}: expected a token, got: {_first_line(error)}", hint=_LOGIN
            ) from error
        return headers

    def refresh(self) -> None:
        """Fetch a new token."""
        credentials = self._filesystem.credentials.credentials
        if credentials is None:
            return
        with self._lock:
            try:
                credentials.refresh(google.auth.transport.requests.Request())
            except google.auth.exceptions.GoogleAuthError as error:
                raise StoreError(
                    f"{self._bucket.url}: expected a new token, got: {_first_line(error)}",
                    hint=_LOGIN,
                ) from error

    def judge(self, request: Request, reply: Reply) -> None:
        """Accept an answer, or say what it means."""
        if reply.status in request.accepts:
            is_outside = reply.status == _OUTSIDE  # of the object, as far as the range goes
            if not request.expects or request.expects in reply.headers or is_outside:
                return
            if request.expects in parse_json(reply.data):
                return
            raise UnavailableError(
                f"{request.place}: {request.operation}: expected an answer of GCS, got status"
                f" {reply.status} with {reply.data[:40]!r}"
            )
        reason, message = _read_error(reply)
        words = f"{reply.status}{f' {reason}' if reason else ''}{f': {message}' if message else ''}"
        told = f"{request.place}: {request.operation}: GCS answered {words}"
        if reply.status == _UNAUTHORISED and self._filesystem.credentials.credentials is not None:
            raise ExpiredError(told)
        is_strange = reply.ok  # a success of another call, or of a server in between
        if is_strange or reply.status in _PASSING_STATUS or reason in _PASSING:
            error = UnavailableError(told)
            error.retry_after = reply.retry_after
            raise error
        raise _explain(request, reply.status, reason, message, told)


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse an answer; one that is no JSON object holds nothing."""
    try:
        table = json.loads(data)
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _explain(request: Request, status: int, reason: str, message: str, told: str) -> StoreError:
    is_missing = status in {_NOT_FOUND, _GONE}
    if status == _PRECONDITION_FAILED:
        return ConditionError(told)
    if status == _BAD_REQUEST and re.search("CRC32C|MD5", message, re.IGNORECASE):
        return ChecksumError(told)
    if is_missing and "bucket does not exist" not in message:
        return MissingObjectError(f"{request.place}: expected an object, found none ({reason})")
    return StoreError(told, hint=_advise(request, status, message))


def _advise(request: Request, status: int, message: str) -> str:
    """Say what a person can do about a refusal."""
    if status == _BAD_REQUEST and ("requester pays" in message or "userProject" in message):
        return "set `user_project` in the destination: the project that pays"
    if status in {_NOT_FOUND, _GONE}:
        return "create the bucket, or mend `url` of the destination"
    if status == _FORBIDDEN and "hold" in message:
        return "a person put it on hold; a person lifts it"
    if status in {_UNAUTHORISED, _FORBIDDEN}:
        return f"allow {_permission(request.operation)} here"
    return ""


def _read_error(reply: Reply) -> tuple[str, str]:
    """Return reason and message of an answer that is an error."""
    error = parse_json(reply.data).get("error", {})
    if not isinstance(error, dict):
        return "", str(error)
    errors = error.get("errors") or [{}]
    message = " ".join(str(error.get("message", "")).split())
    if not error:
        message = reply.data[:80].decode("utf-8", "replace").strip().partition("\n")[0]
    return str(errors[0].get("reason", "")), message


def _permission(operation: str) -> str:
    """Name the IAM permission of an operation, e.g. ``storage.objects.create``."""
    names = {"insert": "create", "rewrite": "create", "patch": "update"}
    verb = operation.rpartition(".")[2]
    return f"storage.objects.{names.get(verb, verb)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
