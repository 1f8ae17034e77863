"""An S3 server on a free port: moto, and before it the rules of S3 that moto does not keep.

    python -m tests.fakes.s3 --port 0 --bucket NAME

Added here: bodies that differ from their checksum are refused, a multipart upload is compared
with the checksum of the whole object, preconditions hold on copies, deletes and completions and
are taken one after another, parts are listed by number with their checksums.

Moto's own, checked in ``tests/unit/fakes/test_s3.py``: a legal hold refuses to delete the version
it is on; a plain delete puts a marker before it and an overwrite a new version, as on S3. Not
kept: signatures and policies, CRC64NVME, and the checksum S3 gives an object that came with none.
"""

import argparse
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3 import models
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeKey, S3Backend, s3_backends

from tests.fakes import s3_rules as rules
from tests.fakes.s3_moto import Handler, Server, read_request
from tests.fakes.s3_wire import S3Error, S3Request, render_error, verify_body

XML = "application/xml"
MAX_COPY_BYTES = 5 * 1024**3
MIN_PART_BYTES = 5 * 1024**2
PERMISSIONS = {
    "HeadObject": "GetObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
}
"""The permission an operation needs, where it is not called as the operation."""

_CONDITIONAL = {"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"}
Reply = tuple[int, dict[str, str], bytes]


class FakeS3:
    """Moto's S3 served by a thread; one at a time in a process, for moto's state is global.

    Attributes:
        denied: operations, or the permissions they need, that are refused with AccessDenied.
        region: when set, requests signed for another are AuthorizationHeaderMalformed.
        is_skewed: refuse every request as RequestTimeTooSkewed.
        requester_pays: buckets that deny whoever does not offer to pay.
        valid_keys: access key ids that exist; None for any.
        expired_keys: access key ids whose session is over.
        max_copy_bytes: the largest object that CopyObject takes.
        min_part_bytes: the smallest part but the last.
        page_size: when set, the most keys that a page of ListObjectsV2 holds.
        requests: requests received, by operation, those refused among them.
        received_bytes: bytes of bodies received, without the framing of signed chunks.
    """

    def __init__(self, port: int = 0) -> None:
        self._app = create_backend_app("s3")
        self._count_lock = threading.Lock()
        self._moto_lock = threading.Lock()
        self._server = Server("127.0.0.1", port, self._answer, Handler)
        self._thread = threading.Thread(target=self._serve, name="FakeS3", daemon=True)
        self.reset()

    @property
    def url(self) -> str:
        """Where it listens; buckets are addressed by path."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send every AWS SDK here and keep it from the user's own files."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": self.region or "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/aws-config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws-credentials",
        }

    @property
    def backend(self) -> S3Backend:
        """Moto's state, for what no method here covers."""
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening, cut what is open and forget every bucket."""
        self._server.shutdown()
        self._thread.join()
        self._server.cut_connections()
        self._server.server_close()
        self.backend.reset()

    def reset(self) -> None:
        """Forget buckets, counters, faults and settings."""
        self.backend.reset()
        self.denied: set[str] = set()
        self.region: str | None = None
        self.is_skewed = False
        self.requester_pays: set[str] = set()
        self.valid_keys: set[str] | None = None
        self.expired_keys: set[str] = set()
        self.max_copy_bytes = MAX_COPY_BYTES
        self.min_part_bytes = MIN_PART_BYTES
        self.page_size: int | None = None
        self.requests: Counter[str] = Counter()
        self.received_bytes = 0
        self._started: dict[str, datetime] = {}
        self._faults: defaultdict[str, deque[S3Error]] = defaultdict(deque)

    def create_bucket(
        self, name: str, *, versioning: bool = False, object_lock: bool = False
    ) -> None:
        """Make a bucket; object lock brings versioning with it, as on S3."""
        bucket = self.backend.create_bucket(name, self.region or "us-east-1")
        bucket.object_lock_enabled = object_lock
        if versioning or object_lock:
            self.backend.put_bucket_versioning(name, "Enabled")

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object there without a request, and so without a checksum."""
        self.backend.put_object(bucket, key, data)

    def read(self, bucket: str, key: str) -> bytes:
        """An object's bytes; KeyError where there is none."""
        found = self.backend.get_object(bucket, key)
        if found is None:
            raise KeyError(key)
        return found.value

    def keys(self, bucket: str) -> list[str]:
        """The keys of a bucket's objects, sorted, without deleted ones."""
        keys = self.backend.get_bucket(bucket).keys
        return sorted(key for key in list(keys) if isinstance(keys[key], FakeKey))

    def uploads(self, bucket: str) -> dict[str, str]:
        """The key of every multipart upload that is open, by upload id."""
        uploads = self.backend.get_bucket(bucket).multiparts
        return {upload_id: upload.key_name for upload_id, upload in list(uploads.items())}

    def age_upload(self, upload_id: str, age: timedelta) -> None:
        """Let an upload be that old."""
        self._started[upload_id] = datetime.now(UTC) - age

    def fail_next(
        self,
        operation: str,
        status: int,
        code: str = "SlowDown",
        times: int = 1,
        retry_after: float | None = None,
    ) -> None:
        """Answer the next requests of an operation with an error, without doing them."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        error = S3Error(status, code, "Please reduce your request rate.", headers=headers)
        self._faults[operation].extend([error] * times)

    def lie_next(self, operation: str) -> None:
        """Answer the next request of an operation with status 200 and an error for a body.

        Source: "CopyObject" and "CompleteMultipartUpload", S3 API reference: both can begin a
        reply of status 200 before they fail.
        """
        self.fail_next(operation, 200, "InternalError")

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        resource = environ["PATH_INFO"]
        try:
            status, headers, body = self._respond(environ)
        except S3Error as error:
            status, headers = error.status, {"Content-Type": XML, **error.headers}
            body = render_error(error, resource)
        except MissingBucket:
            missing = S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
            status, headers = 404, {"Content-Type": XML}
            body = render_error(missing, resource)
        except Exception as error:  # noqa: BLE001  what moto cannot do is an answer too
            status, headers = 500, {"Content-Type": XML}
            body = render_error(S3Error(500, "InternalError", repr(error)), resource)
        start(f"{status} {Handler.responses.get(status, ('',))[0]}", list(headers.items()))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _respond(self, environ: WSGIEnvironment) -> Reply:
        request = read_request(environ)
        with self._count_lock:
            self.requests[request.operation] += 1
            self.received_bytes += len(request.body)
            faults = self._faults[request.operation]
            if faults:
                raise faults.popleft()
        self._authorize(request)
        if request.operation != "CompleteMultipartUpload":  # its checksum is the object's
            verify_body(request)
        with self._moto_lock:
            return self._perform(request, environ)

    def _authorize(self, request: S3Request) -> None:
        if self.is_skewed:
            message = "The difference between the request time and the current time is too large."
            raise S3Error(403, "RequestTimeTooSkewed", message)
        key_id, _, region = (*request.credential, "", "", "")[:3]
        if key_id in self.expired_keys:
            raise S3Error(400, "ExpiredToken", "The provided token has expired.")
        if self.valid_keys is not None and key_id and key_id not in self.valid_keys:
            message = "The AWS Access Key Id you provided does not exist in our records."
            raise S3Error(403, "InvalidAccessKeyId", message, {"AWSAccessKeyId": key_id})
        if self.region and region and region != self.region:
            message = (
                f"The authorization header is malformed; the region '{region}' is wrong; "
                f"expecting '{self.region}'"
            )
            headers = {"x-amz-bucket-region": self.region}
            details = {"Region": self.region}
            raise S3Error(400, "AuthorizationHeaderMalformed", message, details, headers)
        is_unpaid = request.headers.get("x-amz-request-payer") != "requester"
        if (request.bucket in self.requester_pays and is_unpaid) or self._is_denied(request):
            raise S3Error(403, "AccessDenied", "Access Denied")

    def _is_denied(self, request: S3Request) -> bool:
        operation = request.operation
        if operation == "DeleteObjects":  # refused key by key
            return operation in self.denied
        return not self.denied.isdisjoint({operation, PERMISSIONS.get(operation, operation)})

    def _perform(self, request: S3Request, environ: WSGIEnvironment) -> Reply:
        """Do what is asked; one request at a time, so that a precondition holds to the end."""
        if (own := self._answer_without_moto(request)) is not None:
            return 200, {"Content-Type": XML}, own
        self._check(request, environ)
        status, headers, body = self._ask_moto(environ)
        if request.method in {"GET", "HEAD"} and request.key:
            if status == 404 and "ListBucket" in self.denied:
                raise S3Error(403, "AccessDenied", "Access Denied")  # nor may it be known
            rules.show_checksum(self.backend, request, headers)
        elif status == 200:
            body = rules.add_checksum(self.backend, request, headers, body)
        if request.operation == "CreateMultipartUpload":
            for upload_id in self.uploads(request.bucket):
                self._started.setdefault(upload_id, datetime.now(UTC))
        return status, headers, body

    def _check(self, request: S3Request, environ: WSGIEnvironment) -> None:
        if request.operation in _CONDITIONAL:
            rules.check_condition(self.backend, request)
            for name in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
                environ.pop(name, None)  # checked
        if request.operation in {"CopyObject", "UploadPartCopy"}:
            rules.check_source(self.backend, request, self.max_copy_bytes)
        elif request.operation == "UploadPart":
            rules.check_part(self.backend, request)
        elif request.operation == "CompleteMultipartUpload":
            rules.check_completion(self.backend, request)
        elif request.operation == "ListObjectsV2" and self.page_size:
            environ["QUERY_STRING"] = f"max-keys={self.page_size}&" + environ["QUERY_STRING"]

    def _answer_without_moto(self, request: S3Request) -> bytes | None:
        if request.operation == "ListParts":
            return rules.list_parts(self.backend, request)
        if request.operation == "ListMultipartUploads":
            return rules.list_uploads(self.backend, request, self._started)
        if request.operation == "DeleteObjects" and "DeleteObject" in self.denied:
            return rules.deny_deletes(request)
        return None

    def _ask_moto(self, environ: WSGIEnvironment) -> Reply:
        status, headers = "500", dict[str, str]()

        def start(line: str, fields: list[tuple[str, str]], error: Any = None) -> Any:
            nonlocal status
            del error
            status = line
            headers.update({name.lower(): value for name, value in fields})

        models.S3_UPLOAD_PART_MIN_SIZE = self.min_part_bytes  # type: ignore[attr-defined]
        chunks = self._app(environ, start)
        return int(status.split(maxsplit=1)[0]), headers, b"".join(chunks)


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", action="append", default=[])
    options = parser.parse_args()
    with FakeS3(options.port) as server:
        for name in options.bucket:
            server.create_bucket(name)
        print(server.url, flush=True)  # noqa: T201  whoever started it waits for this line
        sys.stdin.read()


if __name__ == "__main__":
    main()
