"""Google Cloud Storage's JSON API on loopback, with the rules that emulators leave out.

Kept here: conditions judged again at an upload's end, enforced holds, declared checksums refused
where they are wrong, the arithmetic of resumable sessions, rewrites of several calls, paging,
requester pays, refused permissions. ``gcs_fields.json`` holds the names of the real API.

As a process of its own: ``python -m tests.fakes.gcs --folder DIR`` prints its URL.
"""

import argparse
import hashlib
import itertools
import json
import math
import os
import re
import ssl
import struct
import tempfile
import threading
import time
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.parse import quote, unquote

import google_crc32c
import numpy as np

from tests.fakes.http_server import (
    PIECE_BYTES,
    BadRequestError,
    Body,
    CutBodyError,
    FileRange,
    HttpServer,
    Reply,
    Request,
    parse_head,
    serve_until_closed,
)

Resource = dict[str, Any]
Hook = Callable[[str, str], None]

QUANTUM_BYTES = 256 << 10
MAX_NAME_BYTES = 1024
MAX_BATCH_CALLS = 100
MAX_COMPOSED = 32
MAX_PAGE = 1000
JSON_HEADERS = {"Content-Type": "application/json; charset=UTF-8"}

WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "kmsKeyName",
    "metadata",
    "storageClass",
    "temporaryHold",
)
HOLDS = {"temporaryHold": "Temporary", "eventBasedHold": "Event-Based"}

_CONDITIONS = (
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
)
_SOURCE = tuple(f"ifSource{name.removeprefix('if')}" for name in _CONDITIONS)
_EVERYWHERE = frozenset({"userProject", "alt", "uploadType"})
READS: Mapping[str, frozenset[str]] = {
    "objects.insert": frozenset({"name", "kmsKeyName", "contentEncoding", *_CONDITIONS}),
    "objects.get": frozenset({"generation", *_CONDITIONS}),
    "objects.list": frozenset(
        {
            "delimiter",
            "endOffset",
            "includeTrailingDelimiter",
            "maxResults",
            "pageToken",
            "prefix",
            "startOffset",
            "versions",
        }
    ),
    "objects.delete": frozenset({"generation", *_CONDITIONS}),
    "objects.patch": frozenset({"generation", *_CONDITIONS}),
    "objects.rewrite": frozenset(
        {
            "destinationKmsKeyName",
            "maxBytesRewrittenPerCall",
            "rewriteToken",
            "sourceGeneration",
            *_CONDITIONS,
            *_SOURCE,
        }
    ),
    "objects.copy": frozenset(
        {"destinationKmsKeyName", "sourceGeneration", *_CONDITIONS, *_SOURCE}
    ),
    "objects.compose": frozenset({"kmsKeyName", "ifGenerationMatch", "ifMetagenerationMatch"}),
    "buckets.testIamPermissions": frozenset({"permissions"}),
}
SAME_PARAMETERS = {
    "objects.getMedia": "objects.get",
    "resumable.start": "objects.insert",
}

# gcloud writes single quotes
_BOUNDARY = re.compile(r"""boundary=["']?([^"';]+)""")

REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    408: "uploadBrokenConnection",
    410: "gone",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    501: "notImplemented",
}


class RefusedError(Exception):
    """A request that the service refuses, with its status, reason and message."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or REASONS.get(status, "backendError")

    def reply(self) -> Reply:
        """Return Google's JSON shape of it."""
        if self.status == 304:
            return Reply(304)
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        return _json({"error": error}, self.status)


SMALL_BYTES = 1 << 16
"""Bodies up to this size are kept also where others are thrown away: locks, documents."""


class Draft:
    """Bytes on their way into an object's file, with their checksums; the file may stay empty."""

    def __init__(self, path: Path, *, md5: bool, discard: bool = False) -> None:
        self.path = path
        self._discard = discard
        self.size = 0
        self._crc32c = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def write(self, piece: memoryview) -> None:
        """Append a piece."""
        if self._file is None:
            raise CutBodyError("another request has ended this upload")
        if self._md5 is not None:
            self._md5.update(piece)
        # the C function takes no memoryview; an array passes the same bytes without a copy
        if piece:
            self._crc32c = google_crc32c.extend(self._crc32c, np.frombuffer(piece, np.uint8))
            kept = not self._discard or self.size + len(piece) <= SMALL_BYTES
            self.size += os.write(self._file, piece) if kept else len(piece)

    def close(self) -> None:
        """Close the file; what is written stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def discard(self) -> None:
        """Close the file and remove it."""
        self.close()
        self.path.unlink(missing_ok=True)

    @property
    def crc32c(self) -> str:
        """The CRC32C as the API writes it."""
        return b64encode(struct.pack(">I", self._crc32c)).decode()

    @property
    def md5(self) -> str | None:
        """The MD5 as the API writes it; None where it is not computed."""
        return None if self._md5 is None else b64encode(self._md5.digest()).decode()

    def require(self, declared: Mapping[str, str]) -> None:
        """Refuse where a declared ``crc32c`` or ``md5Hash`` is not that of the bytes."""
        given = declared.get("crc32c")
        if given and given != self.crc32c:
            raise RefusedError(
                400, f'Provided CRC32C "{given}" doesn\'t match calculated CRC32C "{self.crc32c}".'
            )
        given = declared.get("md5Hash")
        if given and given != self.md5:
            raise RefusedError(
                400, f'Provided MD5 hash "{given}" doesn\'t match calculated MD5 hash "{self.md5}".'
            )


@dataclass
class Version:
    """One generation of an object."""

    name: str
    generation: int
    path: Path
    size: int
    crc32c: str
    md5: str | None
    fields: Resource
    created: str
    updated: str
    metageneration: int = 1
    components: int | None = None
    deleted: str | None = None


@dataclass
class Bucket:
    """A bucket with the generations of each object, oldest first; the last one may be live."""

    name: str
    versioning: bool = False
    requester_pays: bool = False
    location: str = "US"
    storage_class: str = "STANDARD"
    objects: dict[str, list[Version]] = field(default_factory=dict)

    def live(self, name: str) -> Version | None:
        """Return the live generation of an object."""
        versions = self.objects.get(name)
        return versions[-1] if versions and versions[-1].deleted is None else None

    def find(self, name: str, generation: str | None) -> Version | None:
        """Return one generation of an object, the live one without a number."""
        if generation is None:
            return self.live(name)
        wanted = _integer(generation, "generation")
        return next((v for v in self.objects.get(name, ()) if v.generation == wanted), None)

    def drop(self, version: Version) -> None:
        """Forget a generation and its bytes."""
        versions = self.objects[version.name]
        versions.remove(version)
        if not versions:
            del self.objects[version.name]
        version.path.unlink(missing_ok=True)

    def retire(self, version: Version) -> None:
        """Take a live generation away: archive it where the bucket keeps versions."""
        if self.versioning:
            version.deleted = _now()
        else:
            self.drop(version)


@dataclass
class Session:
    """A resumable upload: what it will become, and what has arrived of it."""

    id: str
    bucket: Bucket
    name: str
    conditions: dict[str, str]
    fields: Resource
    declared: dict[str, str]
    draft: Draft
    state: str = "open"  # then finished, dead, cancelled or expired
    turn: int = 0
    result: Resource | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


@dataclass
class _Rewrite:
    """A rewrite of several calls."""

    key: tuple[str, ...]
    generation: int
    done: int = 0


@dataclass
class _Fault:
    status: int
    times: int
    retry_after: int | None


class Call:
    """A request that is routed; it reads only parameters that ``READS`` names."""

    def __init__(self, request: Request, operation: str, bucket: str = "", name: str = "") -> None:
        self.request = request
        self.operation = operation
        self.bucket = bucket
        self.name = name
        self._query = request.parameters()
        self._reads = READS.get(SAME_PARAMETERS.get(operation, operation), frozenset())

    def get(self, parameter: str) -> str | None:
        """Return a parameter of the query."""
        found = self.every(parameter)
        return found[-1] if found else None

    def every(self, parameter: str) -> list[str]:
        """Return all values of a parameter."""
        if parameter not in self._reads and parameter not in _EVERYWHERE:
            raise KeyError(f"{self.operation} has no parameter {parameter}")
        return self._query.get(parameter, [])

    def is_set(self, parameter: str) -> bool:
        """Whether a parameter is true."""
        return self.get(parameter) == "true"

    def conditions(self, names: Iterable[str] = _CONDITIONS) -> dict[str, str]:
        """Return the conditions of a request."""
        found = {name: self.get(name) for name in names if name in self._reads}
        return {name: value for name, value in found.items() if value is not None}

    def json(self) -> Resource:
        """Return the body as JSON; an empty one is an empty object."""
        return _parse_json(self.request.body.read())


class FakeGcs(HttpServer):
    """Google Cloud Storage's JSON API, in memory and a folder.

    Attributes:
        denied: permissions that nobody has, such as ``storage.objects.create``.
        tokens: the access tokens that are accepted; None accepts every request.
        token_lifetime_s: ``expires_in`` of the tokens that ``POST /token`` gives.
        rewrite_bytes_per_call: a rewrite moves at most so many bytes in one call.
        page_size: entries of a page of a list at most.
        hook: called with operation and object name before a request takes effect; what it raises
            is the answer: RefusedError, or a ConnectionError that cuts the connection.

    Args:
        buckets: names of buckets to begin with.
        folder: where bytes are kept; a temporary one by default, removed on close.
        md5: compute MD5 too; without it resources have no ``md5Hash``.
        discard: hash bodies and throw them away, for the benchmarks of uploads; reading an object
            or composing is then a 501.
        port: 0 for any free one.
        tls: serve HTTPS with this context.
    """

    def __init__(
        self,
        *buckets: str,
        folder: Path | None = None,
        md5: bool = True,
        discard: bool = False,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.denied: set[str] = set()
        self.tokens: set[str] | None = None
        self.token_lifetime_s = 3600
        self.rewrite_bytes_per_call: int | None = None
        self.page_size = MAX_PAGE
        self.hook: Hook | None = None
        self._md5 = md5
        self._discard = discard
        self._folder = folder or Path(tempfile.mkdtemp(prefix="gcs-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._own_folder = folder is None
        self._state = threading.RLock()
        self._buckets: dict[str, Bucket] = {}
        self._sessions: dict[str, Session] = {}
        self._rewrites: dict[str, _Rewrite] = {}
        self._faults: dict[str, list[_Fault]] = {}
        self._lost_replies: dict[str, int] = {}
        self._lost_final_308 = 0
        self._numbers = itertools.count(1)
        self._last_generation = 0
        self._run = f"{os.getpid():x}-{time.time_ns():x}"
        for name in buckets:
            self.create_bucket(name)

    def close(self) -> None:
        """Stop serving; a temporary folder is removed."""
        super().close()
        for session in self._sessions.values():
            session.draft.close()
        if self._own_folder:
            rmtree(self._folder, ignore_errors=True)

    # what a test does without a request

    def create_bucket(
        self,
        name: str,
        *,
        versioning: bool = False,
        requester_pays: bool = False,
        location: str = "US",
        storage_class: str = "STANDARD",
    ) -> Bucket:
        """Add a bucket."""
        with self._state:
            self._buckets[name] = Bucket(
                name, versioning, requester_pays, location.upper(), storage_class
            )
            return self._buckets[name]

    def put(self, bucket: str, name: str, data: bytes, **resource: Any) -> Resource:
        """Store an object, whatever conditions or holds say, and return its resource."""
        draft = self._draft()
        draft.write(memoryview(data))
        draft.close()
        with self._state:
            held = self._buckets[bucket]
            old = held.live(name)
            if old is not None:
                held.retire(old)
            return self._resource(held, self._add(held, name, draft, dict(resource)))

    def names(self, bucket: str) -> list[str]:
        """Return the names of the live objects, sorted."""
        with self._state:
            held = self._buckets[bucket]
            return sorted(name for name in held.objects if held.live(name) is not None)

    def read(self, bucket: str, name: str) -> bytes:
        """Return the bytes of a live object."""
        with self._state:
            return self._live(bucket, name).path.read_bytes()

    def resource(self, bucket: str, name: str) -> Resource:
        """Return the resource of a live object."""
        with self._state:
            return self._resource(self._buckets[bucket], self._live(bucket, name))

    def open_sessions(self) -> dict[str, str]:
        """Return the names of objects with an unfinished resumable upload, by upload id."""
        with self._state:
            return {s.id: s.name for s in self._sessions.values() if s.state == "open"}

    def expire_sessions(self) -> None:
        """Let every unfinished resumable upload answer 410 from now on."""
        with self._state:
            sessions = [s for s in self._sessions.values() if s.state == "open"]
        for session in sessions:
            _end_session(session, "expired")

    def fail_next(
        self, operation: str, status: int, *, times: int = 1, retry_after: int | None = None
    ) -> None:
        """Refuse the next requests of an operation with a status, before they take effect."""
        with self._state:
            fault = _Fault(status, times, retry_after)
            self._faults.setdefault(operation, []).append(fault)

    def lose_reply(self, operation: str, times: int = 1) -> None:
        """Let the next requests of an operation take effect, then cut instead of answering."""
        with self._state:
            self._lost_replies[operation] = self._lost_replies.get(operation, 0) + times

    def lose_final_308(self, times: int = 1) -> None:
        """Answer the next final chunks by a 308 without Range, and keep nothing of them."""
        with self._state:
            self._lost_final_308 += times

    # routes

    def answer(self, request: Request) -> Reply:
        """Answer a request of the JSON API."""
        try:
            return _disguise_308(request, self._route(request))
        except RefusedError as error:
            return error.reply()
        except UnicodeDecodeError:
            return RefusedError(400, "Not a UTF-8 name.").reply()

    def _route(self, request: Request) -> Reply:
        path = request.path
        if path == "/token" and request.method == "POST":
            return self._give_token(Call(request, "token"))
        if path == "/batch/storage/v1":
            return self._batch(Call(request, "batch"))
        for start, serve in (
            ("/storage/v1/b", self._serve_api),
            ("/download/storage/v1/b", self._serve_api),
            ("/upload/storage/v1/b", self._serve_upload),
            ("/resumable/upload/storage/v1/b", self._serve_upload),
        ):
            if path == start or path.startswith(start + "/"):
                parts = [unquote(part, errors="strict") for part in path[len(start) :].split("/")]
                return serve(request, parts[1:])
        raise RefusedError(404, "Not Found")

    def _serve_api(self, request: Request, parts: list[str]) -> Reply:
        method = "GET" if request.method == "HEAD" else request.method
        match method, parts:
            case _, []:
                return self._serve_buckets(request, method)
            case "GET", [bucket, "o"]:
                return self._list(Call(request, "objects.list", bucket))
            case "POST", [bucket, "o", name, "compose"]:
                return self._compose(Call(request, "objects.compose", bucket, name))
            case "POST", [bucket, "o", name, ("rewriteTo" | "copyTo") as verb, "b", *target]:
                return self._serve_copy(request, verb, (bucket, name), target)
            case _, [bucket, "o", name]:
                return self._serve_object(request, method, bucket, name)
            case "GET", [bucket, *parts]:
                return self._serve_bucket(request, bucket, parts)
        raise RefusedError(501, f"The fake has no {request.method} {request.path}")

    def _serve_buckets(self, request: Request, method: str) -> Reply:
        if method == "POST":
            return self._insert_bucket(Call(request, "buckets.insert"))
        return self._list_buckets(Call(request, "buckets.list"))

    def _serve_bucket(self, request: Request, bucket: str, parts: list[str]) -> Reply:
        match parts:
            case []:
                return self._get_bucket(Call(request, "buckets.get", bucket))
            case ["storageLayout"]:
                return self._get_layout(Call(request, "buckets.getStorageLayout", bucket))
            case ["iam", "testPermissions"]:
                return self._test_permissions(Call(request, "buckets.testIamPermissions", bucket))
        raise RefusedError(501, f"The fake has no GET {request.path}")

    def _serve_object(self, request: Request, method: str, bucket: str, name: str) -> Reply:
        match method:
            case "GET" if "media" in request.parameters().get("alt", ()):
                return self._get_media(Call(request, "objects.getMedia", bucket, name))
            case "GET" if request.path.startswith("/download/"):
                return self._get_media(Call(request, "objects.getMedia", bucket, name))
            case "GET":
                return self._get(Call(request, "objects.get", bucket, name))
            case "PATCH":
                return self._patch(Call(request, "objects.patch", bucket, name))
            case "DELETE":
                return self._delete(Call(request, "objects.delete", bucket, name))
        raise RefusedError(501, f"The fake has no {method} of an object")

    def _serve_copy(
        self, request: Request, verb: str, source: tuple[str, str], target: list[str]
    ) -> Reply:
        if len(target) != 3 or target[1] != "o":
            raise RefusedError(404, "Not Found")
        if verb == "copyTo":
            call = Call(request, "objects.copy", target[0], target[2])
            return self._copy(call, *source)
        call = Call(request, "objects.rewrite", target[0], target[2])
        return self._rewrite(call, *source)

    def _serve_upload(self, request: Request, parts: list[str]) -> Reply:
        if len(parts) != 2 or parts[1] != "o":
            raise RefusedError(404, "Not Found")
        query = request.parameters()
        if "upload_id" in query:
            return self._serve_session(request, query["upload_id"][-1])
        kind = (query.get("uploadType") or [""])[-1]
        if kind == "resumable":
            return self._start_session(Call(request, "resumable.start", parts[0]))
        call = Call(request, "objects.insert", parts[0])
        if kind == "media":
            return self._insert_media(call)
        if kind == "multipart":
            return self._insert_multipart(call)
        raise RefusedError(400, f"Invalid upload type: {kind!r}")

    # who may

    def _enter(self, call: Call, permission: str = "", *, authorised: bool = False) -> None:
        """Count a request; refuse it by a fault, a missing token or a denied permission."""
        self.count(call.operation)
        self._apply_fault(call.operation)
        if self.hook is not None:
            self.hook(call.operation, call.name)
        if not authorised:
            self._require_token(call.request)
        if permission:
            self._require_permission(permission)

    def _apply_fault(self, operation: str) -> None:
        with self._state:
            faults = self._faults.get(operation)
            if not faults:
                return
            fault = faults[0]
            fault.times -= 1
            if fault.times <= 0:
                faults.pop(0)
        raise _FaultError(fault.status, fault.retry_after)

    def _require_token(self, request: Request) -> None:
        if self.tokens is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise RefusedError(401, "Invalid Credentials")

    def _require_permission(self, permission: str) -> None:
        if permission in self.denied:
            kind = "bucket" if permission.startswith("storage.buckets") else "object"
            raise RefusedError(
                403,
                f"anonymous caller does not have {permission} access to the Google Cloud Storage "
                f"{kind}. Permission '{permission}' denied on resource (or it may not exist).",
            )

    def _bucket(self, name: str, call: Call) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            raise RefusedError(404, "The specified bucket does not exist.")
        payer = call.get("userProject") or call.request.headers.get("x-goog-user-project")
        if bucket.requester_pays and not payer:
            raise RefusedError(
                400,
                "Bucket is a requester pays bucket but no user project provided.",
                "required",
            )
        return bucket

    def _answered(self, call: Call, reply: Reply) -> Reply:
        with self._state:
            if self._lost_replies.get(call.operation, 0) < 1:
                return reply
            self._lost_replies[call.operation] -= 1
        if reply.file is not None:
            reply.file.file.close()
        raise ConnectionAbortedError("a reply that the test loses")

    def _give_token(self, call: Call) -> Reply:
        self.count(call.operation)
        self._apply_fault(call.operation)
        call.request.body.read()
        token = f"token-{next(self._numbers)}"
        if self.tokens is not None:
            self.tokens.add(token)
        return _json(
            {"access_token": token, "expires_in": self.token_lifetime_s, "token_type": "Bearer"}
        )

    # buckets

    def _list_buckets(self, call: Call) -> Reply:
        self._enter(call, "storage.buckets.list")
        with self._state:
            items = [self._bucket_resource(one) for _, one in sorted(self._buckets.items())]
        return _json({"kind": "storage#buckets", "items": items})

    def _insert_bucket(self, call: Call) -> Reply:
        self._enter(call, "storage.buckets.create")
        given = call.json()
        name = given.get("name", "")
        if not name:
            raise RefusedError(400, "Required", "required")
        with self._state:
            if name in self._buckets:
                raise RefusedError(409, "You already own this bucket.", "conflict")
            bucket = self.create_bucket(
                name,
                versioning=bool(given.get("versioning", {}).get("enabled")),
                requester_pays=bool(given.get("billing", {}).get("requesterPays")),
                location=given.get("location", "US"),
                storage_class=given.get("storageClass", "STANDARD"),
            )
        return _json(self._bucket_resource(bucket))

    def _get_bucket(self, call: Call) -> Reply:
        self._enter(call, "storage.buckets.get")
        with self._state:
            return _json(self._bucket_resource(self._bucket(call.bucket, call)))

    def _get_layout(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.list")
        with self._state:
            bucket = self._bucket(call.bucket, call)
        return _json(
            {
                "kind": "storage#storageLayout",
                "bucket": bucket.name,
                "location": bucket.location,
                "locationType": "multi-region",
                "hierarchicalNamespace": {"enabled": False},
            }
        )

    def _bucket_resource(self, bucket: Bucket) -> Resource:
        resource: Resource = {
            "kind": "storage#bucket",
            "id": bucket.name,
            "selfLink": f"{self.url}/storage/v1/b/{bucket.name}",
            "name": bucket.name,
            "location": bucket.location,
            "locationType": "multi-region",
            "storageClass": bucket.storage_class,
            "metageneration": "1",
            "etag": "CAE=",
        }
        if bucket.versioning:
            resource["versioning"] = {"enabled": True}
        if bucket.requester_pays:
            resource["billing"] = {"requesterPays": True}
        return resource

    def _test_permissions(self, call: Call) -> Reply:
        self._enter(call)
        with self._state:
            self._bucket(call.bucket, call)
        granted = [one for one in call.every("permissions") if one not in self.denied]
        answer: Resource = {"kind": "storage#testIamPermissionsResponse"}
        if granted:
            answer["permissions"] = granted
        return self._answered(call, _json(answer))

    # objects: read, list, change

    def _get(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.get")
        with self._state:
            bucket, version = self._find(call)
            _judge(call.conditions(), version, reading=True)
            return self._answered(call, _json(self._resource(bucket, version)))

    def _get_media(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.get")
        with self._state:
            _, version = self._find(call)
            _judge(call.conditions(), version, reading=True)
            self._require_bytes(version)
            span = _parse_range(call.request.headers.get("range", ""), version.size)
            file = version.path.open("rb")
        start, stop = span or (0, version.size)
        headers = _media_headers(version)
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{version.size}"
        reply = Reply(206 if span else 200, headers, file=FileRange(file, start, stop - start))
        return self._answered(call, reply)

    def _list(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.list")
        most = _integer(call.get("maxResults") or str(MAX_PAGE), "maxResults")
        if most < 1:
            raise RefusedError(400, "Invalid value for maxResults.")
        most = min(most, self.page_size)
        with self._state:
            bucket = self._bucket(call.bucket, call)
            entries = list(itertools.islice(_entries(bucket, call), most + 1))
            page: Resource = {"kind": "storage#objects"}
            items = [self._resource(bucket, v) for _, v in entries[:most] if v is not None]
        prefixes = [key[0] for key, v in entries[:most] if v is None]
        if len(entries) > most:
            page["nextPageToken"] = b64encode(json.dumps(entries[most - 1][0]).encode()).decode()
        if prefixes:
            page["prefixes"] = prefixes
        if items:
            page["items"] = items
        return self._answered(call, _json(page))

    def _patch(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.update")
        given = call.json()
        with self._state:
            bucket, version = self._find(call)
            _judge(call.conditions(), version)
            fields = {key: given[key] for key in WRITABLE if key in given}
            changed = dict(fields.get("metadata") or {})
            if changed:
                fields["metadata"] = _merge(version.fields.get("metadata") or {}, changed)
            version.fields = _merge(version.fields, fields)
            version.metageneration += 1
            version.updated = _now()
            return self._answered(call, _json(self._resource(bucket, version)))

    def _delete(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.delete")
        with self._state:
            bucket, version = self._find(call)
            _judge(call.conditions(), version)
            _require_no_hold(bucket, version)
            if call.get("generation") is None:
                bucket.retire(version)
            else:
                bucket.drop(version)
        return self._answered(call, Reply(204))

    def _find(self, call: Call) -> tuple[Bucket, Version]:
        bucket = self._bucket(call.bucket, call)
        return bucket, self._version(bucket, call.name, call.get("generation"))

    def _version(self, bucket: Bucket, name: str, generation: str | None) -> Version:
        version = bucket.find(name, generation)
        if version is None:
            raise RefusedError(404, f"No such object: {bucket.name}/{name}")
        return version

    def _live(self, bucket: str, name: str) -> Version:
        version = self._buckets[bucket].live(name)
        if version is None:
            raise KeyError(f"no object {name} in {bucket}")
        return version

    # uploads in one request

    def _insert_media(self, call: Call) -> Reply:
        kind = call.request.headers.get("content-type") or "application/octet-stream"
        call.name = call.get("name") or ""
        bucket = self._begin_upload(call)
        declared = _declared(call.request.headers, {})
        fields = self._fields(call, {"contentType": kind})
        return self._store(call, bucket, declared, fields, call.request.body.pieces())

    def _insert_multipart(self, call: Call) -> Reply:
        parts = MultipartRelated(call.request)
        given = parts.metadata
        given.setdefault("contentType", parts.content_type)
        call.name = call.get("name") or given.get("name") or ""
        bucket = self._begin_upload(call)
        declared = _declared(call.request.headers, given)
        return self._store(call, bucket, declared, self._fields(call, given), parts.pieces())

    def _begin_upload(self, call: Call) -> Bucket:
        self._enter(call, "storage.objects.create")
        with self._state:
            bucket = self._bucket(call.bucket, call)
            _require_name(call.name)
            self._judge_write(bucket, call.name, call.conditions())
        return bucket

    def _store(
        self,
        call: Call,
        bucket: Bucket,
        declared: Mapping[str, str],
        fields: Resource,
        pieces: Iterable[memoryview],
    ) -> Reply:
        draft = self._draft(md5="md5Hash" in declared)
        try:
            for piece in pieces:
                draft.write(piece)
            draft.close()
            draft.require(declared)
            resource = self._commit(bucket, call.name, draft, fields, call.conditions())
        except BaseException:
            draft.discard()
            raise
        return self._answered(call, _json(resource))

    def _draft(self, *, md5: bool = False) -> Draft:
        return Draft(self._new_path(), md5=self._md5 or md5, discard=self._discard)

    def _new_path(self) -> Path:
        return self._folder / f"{self._run}-{next(self._numbers):08}"

    def _fields(self, call: Call, given: Mapping[str, Any], kms: str = "kmsKeyName") -> Resource:
        """Return what an object is stored with: the writable fields of a resource."""
        fields = {key: given[key] for key in WRITABLE if given.get(key) is not None}
        if key_name := call.get(kms):
            fields["kmsKeyName"] = key_name
        metadata = fields.get("metadata", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise RefusedError(400, "Invalid argument: metadata must map strings to strings.")
        return fields

    def _judge_write(self, bucket: Bucket, name: str, conditions: Mapping[str, str]) -> None:
        old = bucket.live(name)
        _judge(conditions, old)
        if old is not None:
            self._require_permission("storage.objects.delete")
            _require_no_hold(bucket, old)

    def _commit(
        self,
        bucket: Bucket,
        name: str,
        draft: Draft,
        fields: Resource,
        conditions: Mapping[str, str],
        components: int | None = None,
    ) -> Resource:
        """Make a draft the live generation, where the conditions hold at this moment."""
        with self._state:
            self._judge_write(bucket, name, conditions)
            old = bucket.live(name)
            if old is not None:
                bucket.retire(old)
            return self._resource(bucket, self._add(bucket, name, draft, fields, components))

    def _add(
        self,
        bucket: Bucket,
        name: str,
        draft: Draft,
        fields: Resource,
        components: int | None = None,
    ) -> Version:
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        now = _now()
        fields.setdefault("contentType", "application/octet-stream")
        fields.setdefault("storageClass", bucket.storage_class)
        md5 = draft.md5 if self._md5 and components is None else None
        version = Version(
            name=name,
            generation=self._last_generation,
            path=draft.path,
            size=draft.size,
            crc32c=draft.crc32c,
            md5=md5,
            fields=fields,
            created=now,
            updated=now,
            components=components,
        )
        bucket.objects.setdefault(name, []).append(version)
        return version

    def _resource(self, bucket: Bucket, version: Version) -> Resource:
        path = f"storage/v1/b/{bucket.name}/o/{quote(version.name, safe='')}"
        generation = str(version.generation)
        link = f"{self.url}/download/{path}?generation={generation}&alt=media"
        resource: Resource = {
            "kind": "storage#object",
            "id": f"{bucket.name}/{version.name}/{generation}",
            "selfLink": f"{self.url}/{path}",
            "mediaLink": link,
            "name": version.name,
            "bucket": bucket.name,
            "generation": generation,
            "metageneration": str(version.metageneration),
            "size": str(version.size),
            "crc32c": version.crc32c,
            "md5Hash": version.md5,
            "etag": _etag(version),
            "componentCount": version.components,
            "timeCreated": version.created,
            "updated": version.updated,
            "timeStorageClassUpdated": version.created,
            "timeFinalized": version.created,
            "timeDeleted": version.deleted,
            **version.fields,
        }
        return {key: value for key, value in resource.items() if value is not None}

    # resumable uploads

    def _start_session(self, call: Call) -> Reply:
        given = call.json()
        headers = call.request.headers
        call.name = call.get("name") or given.get("name") or ""
        given.setdefault("contentType", headers.get("x-upload-content-type"))
        bucket = self._begin_upload(call)
        declared = _declared(headers, given)
        session = Session(
            id=f"{self._run}-session-{next(self._numbers)}",
            bucket=bucket,
            name=call.name,
            conditions=call.conditions(),
            fields=self._fields(call, given),
            declared=declared,
            draft=self._draft(md5="md5Hash" in declared),
        )
        with self._state:
            self._sessions[session.id] = session
        location = (
            f"{self.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
            f"&name={quote(call.name, safe='')}&upload_id={session.id}"
        )
        reply = Reply(200, {"Location": location, "X-GUploader-UploadID": session.id})
        return self._answered(call, reply)

    def _serve_session(self, request: Request, upload_id: str) -> Reply:
        with self._state:
            session = self._sessions.get(upload_id)
        span = parse_content_range(request.headers.get("content-range"))
        name = session.name if session is not None else ""
        if request.method == "DELETE":
            operation = "resumable.cancel"
        else:
            operation = "resumable.query" if span.is_query else "resumable.chunk"
        call = Call(request, operation, name=name)
        self._enter(call, authorised=True)
        if session is None:
            raise RefusedError(404, "Not Found")
        reply = _closed(session)
        if reply is None and operation == "resumable.cancel":
            _end_session(session, "cancelled")
            reply = Reply(499)
        elif reply is None and operation == "resumable.query":
            reply = self._query(session, span)
        elif reply is None:
            reply = self._receive(session, span, request)
        return self._answered(call, reply)

    def _query(self, session: Session, span: "ContentRange") -> Reply:
        with session.lock:
            if session.state == "open" and span.total == session.draft.size:
                return self._finish(session, {})
            return _closed(session) or _incomplete(session)

    def _receive(self, session: Session, span: "ContentRange", request: Request) -> Reply:
        """Take a chunk: from what is persisted on, in whole quanta unless it is the last one."""
        body = request.body
        with session.lock:
            session.turn += 1
            turn = session.turn
            skip = session.draft.size - span.start
        if skip < 0:
            # a retry finds out by a status query where to go on
            raise RefusedError(503, "Invalid request. The chunk begins after what is persisted.")
        if span.size is not None and body.length not in (None, span.size):
            raise RefusedError(400, "Invalid request. Content-Range and Content-Length differ.")
        if span.is_final and self._loses_final():
            body.drain()
            return Reply(308)
        skipped = _skip(body, skip)
        for piece in _quanta(body, is_final=span.is_final):
            with session.lock:
                if session.turn != turn or session.state != "open":
                    raise CutBodyError("another request goes on with this upload")
                session.draft.write(piece)
        body.require_whole()
        with session.lock:
            if (closed := _closed(session)) is not None:
                return closed
            total = session.draft.size if span.is_everything and skipped else span.total
            if span.is_final and total == session.draft.size:
                return self._finish(session, request.headers)
            return _incomplete(session)

    def _loses_final(self) -> bool:
        with self._state:
            if self._lost_final_308 < 1:
                return False
            self._lost_final_308 -= 1
            return True

    def _finish(self, session: Session, headers: Mapping[str, str]) -> Reply:
        session.draft.close()
        try:
            session.draft.require(session.declared)
            session.draft.require(_declared(headers, {}))
            session.result = self._commit(
                session.bucket, session.name, session.draft, session.fields, session.conditions
            )
        except RefusedError:
            _end_session(session, "dead")
            raise
        session.state = "finished"
        return _json(session.result)

    # copies

    def _rewrite(self, call: Call, source_bucket: str, source_name: str) -> Reply:
        self._enter(call, "storage.objects.create")
        given = call.json()
        key = (source_bucket, source_name, call.bucket, call.name)
        with self._state:
            source = self._source(call, source_bucket, source_name)
            done = self._advance(call, key, source)
            answer: Resource = {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": str(done),
                "objectSize": str(source.size),
                "done": done == source.size,
            }
            if done == source.size:
                answer["resource"] = self._duplicate(call, source, given)
            else:
                answer["rewriteToken"] = self._note_rewrite(key, source, done)
        return self._answered(call, _json(answer))

    def _copy(self, call: Call, source_bucket: str, source_name: str) -> Reply:
        self._enter(call, "storage.objects.create")
        given = call.json()
        with self._state:
            source = self._source(call, source_bucket, source_name)
            return self._answered(call, _json(self._duplicate(call, source, given)))

    def _source(self, call: Call, bucket: str, name: str) -> Version:
        """Return the source of a copy whose conditions hold; both ends are judged."""
        self._require_permission("storage.objects.get")
        held = self._bucket(bucket, call)
        target = self._bucket(call.bucket, call)
        source = self._version(held, name, call.get("sourceGeneration"))
        conditions = call.conditions(_SOURCE)
        _judge({f"if{one.removeprefix('ifSource')}": v for one, v in conditions.items()}, source)
        _require_name(call.name)
        self._judge_write(target, call.name, call.conditions())
        return source

    def _advance(self, call: Call, key: tuple[str, ...], source: Version) -> int:
        """Return how far a rewrite has come with this call."""
        done = 0
        if token := call.get("rewriteToken"):
            rewrite = self._rewrites.get(token)
            if rewrite is None or (rewrite.key, rewrite.generation) != (key, source.generation):
                raise RefusedError(400, "Invalid rewrite token.")
            done = rewrite.done
        limits = [source.size, self.rewrite_bytes_per_call or source.size]
        if asked := call.get("maxBytesRewrittenPerCall"):
            limit = _integer(asked, "maxBytesRewrittenPerCall")
            if limit < 1 or limit % (1 << 20):
                raise RefusedError(
                    400, "maxBytesRewrittenPerCall must be an integral multiple of 1 MiB (1048576)."
                )
            limits.append(limit)
        return min(done + min(limits), source.size)

    def _note_rewrite(self, key: tuple[str, ...], source: Version, done: int) -> str:
        token = f"{self._run}-rewrite-{next(self._numbers)}"
        self._rewrites[token] = _Rewrite(key, source.generation, done)
        return token

    def _duplicate(self, call: Call, source: Version, given: Resource) -> Resource:
        """Store a copy; fields that are given replace all of the source's, holds never follow."""
        bucket = self._buckets[call.bucket]
        if any(key in given for key in WRITABLE):
            fields = self._fields(call, given, "destinationKmsKeyName")
        else:
            kept = {key: value for key, value in source.fields.items() if key not in HOLDS}
            fields = self._fields(call, kept, "destinationKmsKeyName")
        path = self._new_path()
        os.link(source.path, path)
        old = bucket.live(call.name)
        if old is not None:
            bucket.retire(old)
        version = self._add(bucket, call.name, _Linked(path, source), fields, source.components)
        return self._resource(bucket, version)

    def _compose(self, call: Call) -> Reply:
        self._enter(call, "storage.objects.create")
        given = call.json()
        wanted = given.get("sourceObjects") or []
        if not 0 < len(wanted) <= MAX_COMPOSED:
            raise RefusedError(
                400, f"The number of source components provided ({len(wanted)} > {MAX_COMPOSED})"
            )
        target = given.get("destination") or {}
        draft = self._draft()
        try:
            with self._state:
                bucket = self._bucket(call.bucket, call)
                sources = [self._component(bucket, one) for one in wanted]
                for source in sources:
                    _append_file(draft, source.path)
                draft.close()
                count = sum(source.components or 1 for source in sources)
                fields = self._fields(call, target)
                resource = self._commit(
                    bucket, call.name, draft, fields, call.conditions(), components=count
                )
        except BaseException:
            draft.discard()
            raise
        return self._answered(call, _json(resource))

    def _component(self, bucket: Bucket, wanted: Mapping[str, Any]) -> Version:
        version = self._version(bucket, wanted.get("name", ""), wanted.get("generation"))
        _judge(wanted.get("objectPreconditions") or {}, version)
        self._require_bytes(version)
        return version

    def _require_bytes(self, version: Version) -> None:
        if self._discard and version.size > SMALL_BYTES:
            raise RefusedError(501, "This server throws bodies away.")

    # batches

    def _batch(self, call: Call) -> Reply:
        self._enter(call)
        found = _BOUNDARY.search(call.request.headers.get("content-type", ""))
        if found is None:
            raise RefusedError(400, "Failed to parse batch request, no boundary.")
        parts = _split_batch(call.request.body.read(), found[1].encode())
        if not 0 < len(parts) <= MAX_BATCH_CALLS:
            raise RefusedError(
                400, f"The batch request contains {len(parts)} calls, allowed: {MAX_BATCH_CALLS}."
            )
        boundary = f"batch_{self._run}"
        body = b"".join(self._answer_part(call.request, part, boundary) for part in parts)
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        return self._answered(call, Reply(200, headers, body + f"--{boundary}--\r\n".encode()))

    def _answer_part(self, outer: Request, part: bytes, boundary: str) -> bytes:
        part_head, _, inner = part.partition(b"\r\n\r\n")
        head, _, data = inner.lstrip(b"\r\n").partition(b"\r\n\r\n")
        content_id = re.search(rb"(?im)^content-id:\s*<?(.*?)>?\s*$", part_head)
        try:
            method, path, query, _, headers = parse_head(_with_version(head))
        except BadRequestError as error:
            raise RefusedError(400, f"Failed to parse batch request: {error}") from error
        if "authorization" in outer.headers:
            headers.setdefault("authorization", outer.headers["authorization"])
        reply = self.answer(Request(method, path, query, headers, Body.of_bytes(data)))
        lines = [f"--{boundary}", "Content-Type: application/http"]
        if content_id:
            lines.append(f"Content-ID: <response-{content_id[1].decode()}>")
        lines += ["", f"HTTP/1.1 {reply.status} Answer"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {len(reply.body)}", "", ""]
        return "\r\n".join(lines).encode() + reply.body + b"\r\n"


class _FaultError(RefusedError):
    """A refusal that a test has asked for."""

    def __init__(self, status: int, retry_after: int | None) -> None:
        super().__init__(status, f"A fault that the test asked for: {status}.")
        self.retry_after = retry_after

    def reply(self) -> Reply:
        reply = super().reply()
        if self.retry_after is not None:
            reply.headers["Retry-After"] = str(self.retry_after)
        return reply


class _Linked(Draft):
    """A copy's file: the source's bytes under one more name."""

    def __init__(self, path: Path, source: Version) -> None:
        self.path = path
        self.size = source.size
        self._source = source

    @property
    def crc32c(self) -> str:
        return self._source.crc32c

    @property
    def md5(self) -> str | None:
        return self._source.md5


class MultipartRelated:
    """A multipart/related upload: the metadata at once, the media in pieces.

    Lines may end in CRLF or in LF alone. The media ends at the closing delimiter, which is looked
    for at the end of the body only.
    """

    def __init__(self, request: Request) -> None:
        content_type = request.headers.get("content-type", "")
        found = _BOUNDARY.search(content_type)
        if found is None or not content_type.startswith("multipart/"):
            raise RefusedError(400, "Multipart must have a boundary.")
        mark = b"--" + found[1].encode("latin-1")
        self._body = request.body
        self._view = request.body.scratch
        self._end = self._body.read_into(self._view)
        self._body.require_whole()
        pattern = rb"(?:\r?\n)?%b[ \t]*(\r?\n)(.*?)\r?\n\r?\n(.*?)\r?\n%b[ \t]*\r?\n" % (
            re.escape(mark),
            re.escape(mark),
        )
        pattern += rb"((?:[^\r\n]+\r?\n)*)\r?\n"
        head = re.match(pattern, self._view[: self._end], re.DOTALL)
        if head is None:
            raise RefusedError(400, "Malformed multipart body.")
        self._start = head.end()
        self._closing = bytes(head[1]) + mark + b"--"
        self.metadata = _parse_json(bytes(head[3]))
        kind = re.search(rb"(?im)^content-type:[ \t]*(.*?)\r?$", bytes(head[4]))
        self.content_type = kind[1].decode("latin-1") if kind else "application/octet-stream"

    def pieces(self) -> Iterator[memoryview]:
        """Give the media in pieces; each is valid until the next is asked for."""
        view, start, end = self._view, self._start, self._end
        tail = len(self._closing) + 16
        while True:
            keep = max(end - tail, start)
            if keep > start:
                yield view[start:keep]
            rest = bytes(view[keep:end])
            view[: len(rest)] = rest
            start, end = 0, len(rest)
            got = self._body.read_into(view[end:])
            self._body.require_whole()
            if not got:
                break
            end += got
        closing = rest.rfind(self._closing)
        if closing < 0:
            raise RefusedError(400, "Malformed multipart body.")
        if closing:
            yield view[:closing]


@dataclass(frozen=True)
class ContentRange:
    """What a request to a resumable session says about its bytes."""

    start: int = 0
    size: int | None = None
    total: int | None = None
    is_query: bool = False
    is_everything: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the object ends with this request."""
        if self.is_everything:
            return True
        return self.total is not None and self.start + (self.size or 0) == self.total


def parse_content_range(value: str | None) -> ContentRange:
    """Return what a Content-Range says; without one the body is everything.

    Raises:
        RefusedError: it is none of the forms that the service takes.
    """
    if value is None:
        return ContentRange(is_everything=True)
    found = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\*|\d+)", value)
    if found is None:
        raise RefusedError(400, f"Failed to parse Content-Range header: {value!r}.")
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return ContentRange(total=total, is_query=True)
    start, last = int(found[1]), int(found[2])
    if last < start or (total is not None and last >= total):
        raise RefusedError(400, f"Failed to parse Content-Range header: {value!r}.")
    return ContentRange(start, last - start + 1, total)


def _quanta(body: Body, *, is_final: bool) -> Iterator[memoryview]:
    """Give a chunk in whole quanta; a remainder counts only where the body is whole and final."""
    view = body.scratch[:PIECE_BYTES]
    while got := body.read_into(view):
        whole = got if is_final and not body.cut else got - got % QUANTUM_BYTES
        if whole:
            yield view[:whole]
        if got < PIECE_BYTES:
            break


def _skip(body: Body, count: int) -> bool:
    """Pass over bytes that are persisted already; say whether the body had so many."""
    while count > 0:
        got = body.read_into(body.scratch[: min(count, PIECE_BYTES)])
        if not got:
            return False
        count -= got
    return True


def _incomplete(session: Session) -> Reply:
    size = session.draft.size
    headers = {"Range": f"bytes=0-{size - 1}"} if size else {}
    return Reply(308, {**headers, "X-GUploader-UploadID": session.id})


def _disguise_308(request: Request, reply: Reply) -> Reply:
    """Answer 200 in place of 308 where a client asks for it, as the Go library does."""
    if reply.status != 308 or request.headers.get("x-guploader-no-308") != "yes":
        return reply
    return Reply(200, {**reply.headers, "X-HTTP-Status-Code-Override": "308"})


def _closed(session: Session) -> Reply | None:
    """Return what a session that is not open answers."""
    if session.state == "open":
        return None
    if session.state == "finished":
        return _json(session.result or {})
    if session.state == "cancelled":
        return Reply(499)
    status = 410 if session.state == "expired" else 404
    return RefusedError(status, "The upload session is gone.").reply()


def _end_session(session: Session, state: str) -> None:
    with session.lock:
        if session.state == "open":
            session.state = state
            session.draft.discard()


def _entries(bucket: Bucket, call: Call) -> Iterator[tuple[tuple[str, int], Version | None]]:
    """Give what a list holds in order, each with its key; a prefix comes without a version."""
    prefix, delimiter = call.get("prefix") or "", call.get("delimiter") or ""
    stop = call.get("endOffset") or ""
    token = call.get("pageToken")
    after = _parse_page_token(token) if token else ("", -1)
    names = sorted(bucket.objects)
    last_prefix = None
    for name in names[bisect_left(names, max(prefix, call.get("startOffset") or "", after[0])) :]:
        if not name.startswith(prefix) or (stop and name >= stop):
            break
        versions = [v for v in bucket.objects[name] if v.deleted is None or call.is_set("versions")]
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if versions and cut >= 0:
            common = name[: cut + len(delimiter)]
            if common != last_prefix and (common, 0) > after:
                yield (common, 0), None
            last_prefix = common
            if common != name or not call.is_set("includeTrailingDelimiter"):
                continue
        for version in versions:
            if (name, version.generation) > after:
                yield (name, version.generation), version


def _parse_page_token(token: str) -> tuple[str, int]:
    try:
        name, number = json.loads(b64decode(token, validate=True))
        return str(name), int(number)
    except ValueError as error:
        raise RefusedError(400, "Invalid value for page token.") from error


def _judge(
    conditions: Mapping[str, str], version: Version | None, *, reading: bool = False
) -> None:
    """Refuse where a condition does not hold for what is there; generation 0 is nothing."""
    generation = version.generation if version else 0
    metageneration = version.metageneration if version else math.nan
    for name, value in conditions.items():
        wanted = _integer(value, name)
        is_meta = "Metageneration" in name
        same = wanted == (metageneration if is_meta else generation)
        if name.endswith("NotMatch"):
            if same or (is_meta and version is None):
                status = 304 if reading else 412
                raise RefusedError(status, _UNMET, "conditionNotMet")
        elif not same:
            raise RefusedError(412, _UNMET)


_UNMET = "At least one of the pre-conditions you specified did not hold."


def _require_no_hold(bucket: Bucket, version: Version) -> None:
    for key, kind in HOLDS.items():
        if version.fields.get(key):
            raise RefusedError(
                403,
                f"Object '{bucket.name}/{version.name}' is under active {kind} hold and cannot be "
                "deleted, overwritten or archived until hold is removed.",
            )


def _require_name(name: str) -> None:
    if not name:
        raise RefusedError(400, "Required", "required")
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise RefusedError(
            400, f"The maximum object length is {MAX_NAME_BYTES} bytes, but got a name of {size}."
        )
    if name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise RefusedError(400, f"Invalid object name: {name!r}")
    if "\r" in name or "\n" in name:
        raise RefusedError(400, "Disallowed unicode characters present in object name.")


def _declared(headers: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums that a request declares, by the names of the resource."""
    declared = {key: given[key] for key in ("crc32c", "md5Hash") if given.get(key)}
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind == "crc32c":
            declared["crc32c"] = value
        elif kind == "md5":
            declared["md5Hash"] = value
    if "content-md5" in headers:
        declared["md5Hash"] = headers["content-md5"]
    return declared


def _parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Return start and stop of a Range; None where there is none that the service takes."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", value)
    if found is None or value == "bytes=-":
        return None
    if not found[1]:
        start, stop = max(size - int(found[2]), 0), size
    else:
        start = int(found[1])
        stop = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or stop <= start:
        raise RefusedError(416, "The requested range cannot be satisfied.")
    return start, stop


def _media_headers(version: Version) -> dict[str, str]:
    hashes = f"crc32c={version.crc32c}" + (f",md5={version.md5}" if version.md5 else "")
    headers = {
        "Content-Type": version.fields["contentType"],
        "Accept-Ranges": "bytes",
        "ETag": _etag(version),
        "x-goog-generation": str(version.generation),
        "x-goog-metageneration": str(version.metageneration),
        "x-goog-hash": hashes,
        "x-goog-storage-class": version.fields["storageClass"],
        "x-goog-stored-content-encoding": version.fields.get("contentEncoding", "identity"),
        "x-goog-stored-content-length": str(version.size),
    }
    for name, key in (
        ("Cache-Control", "cacheControl"),
        ("Content-Disposition", "contentDisposition"),
        ("Content-Encoding", "contentEncoding"),
    ):
        if key in version.fields:
            headers[name] = version.fields[key]
    return headers


def _split_batch(data: bytes, boundary: bytes) -> list[bytes]:
    """Return the calls of a batch, their lines ending in CRLF."""
    even = re.sub(rb"\r?\n", b"\r\n", b"\n" + data)
    parts = even.split(b"\r\n--" + boundary)[1:]
    return [part.strip() + b"\r\n\r\n" for part in parts if not part.startswith(b"--")]


def _with_version(head: bytes) -> bytes:
    """Return the head of a call in a batch, where HTTP/1.1 may be left out."""
    first, newline, rest = head.strip().partition(b"\r\n")
    if not first.endswith((b"HTTP/1.1", b"HTTP/1.0")):
        first += b" HTTP/1.1"
    return first + newline + rest


def _append_file(draft: Draft, path: Path) -> None:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            draft.write(memoryview(piece))


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Resource:
    """Return fields with others laid over them; null takes one away."""
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _parse_json(data: bytes) -> Resource:
    try:
        found = json.loads(data) if data.strip() else {}
    except ValueError as error:
        raise RefusedError(400, "Parse Error", "parseError") from error
    if not isinstance(found, dict):
        raise RefusedError(400, "Parse Error", "parseError")
    return found


def _integer(value: Any, name: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise RefusedError(400, f"Invalid value for {name}: {value!r}.") from error


def _json(value: Resource, status: int = 200) -> Reply:
    return Reply(status, dict(JSON_HEADERS), json.dumps(value).encode())


def _etag(version: Version) -> str:
    return b64encode(f"{version.generation}/{version.metageneration}".encode()).decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """Serve until standard input ends or SIGTERM comes; the URL is printed first."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.gcs")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where bytes are kept; a temporary one")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve HTTPS")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to begin with")
    parser.add_argument("--no-md5", action="store_true", help="compute CRC32C only")
    parser.add_argument("--discard", action="store_true", help="hash bodies, keep none")
    options = parser.parse_args()
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
    server = FakeGcs(
        *options.bucket,
        folder=options.folder,
        md5=not options.no_md5,
        discard=options.discard,
        port=options.port,
        tls=tls,
    )
    serve_until_closed(server)


if __name__ == "__main__":
    main()
