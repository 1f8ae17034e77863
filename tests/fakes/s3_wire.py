"""S3 on the wire: names of operations, bodies in signed chunks, checksums and errors."""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import google_crc32c

CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: google_crc32c.value(data).to_bytes(4, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
"""What ``x-amz-checksum-*`` may name, less CRC64NVME and those that botocore cannot compute."""

_BUCKET = {
    "uploads": "MultipartUploads",
    "versions": "ObjectVersions",
    "location": "BucketLocation",
    "versioning": "BucketVersioning",
    "object-lock": "ObjectLockConfiguration",
    "policy": "BucketPolicy",
}
_OBJECT = {
    "legal-hold": "ObjectLegalHold",
    "retention": "ObjectRetention",
    "tagging": "ObjectTagging",
    "acl": "ObjectAcl",
    "attributes": "ObjectAttributes",
}
_VERBS = {"GET": "Get", "PUT": "Put", "HEAD": "Head", "DELETE": "Delete", "POST": "Post"}
_PLAIN = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}


class S3Error(Exception):
    """An error as S3 answers it: status, code, message, and what else stands beside them."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class S3Request:
    """A request in S3's terms; header names are in lower case, the body is what is stored."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """The name of the API's operation, such as ``UploadPart``."""
        if not self.bucket:
            return "ListBuckets"
        return self._object_operation() if self.key else self._bucket_operation()

    @property
    def credential(self) -> list[str]:
        """Key id, date, region and service that it is signed with; empty if it is not."""
        signed = re.search(r"Credential=([^,\s]+)", self.headers.get("authorization", ""))
        scope = signed[1] if signed else self.query.get("X-Amz-Credential", "")
        return scope.split("/") if scope else []

    def _bucket_operation(self) -> str:
        if self.method == "POST":
            return "DeleteObjects" if "delete" in self.query else "PostObject"
        for name, what in _BUCKET.items():
            if name in self.query:
                is_list = self.method == "GET" and name in {"uploads", "versions"}
                return ("List" if is_list else _VERBS[self.method]) + what
        if self.method == "GET":
            return "ListObjectsV2" if self.query.get("list-type") == "2" else "ListObjects"
        return _PLAIN.get(self.method, self.method)

    def _object_operation(self) -> str:
        is_copy = "x-amz-copy-source" in self.headers
        if "uploadId" in self.query:
            put = "UploadPartCopy" if is_copy else "UploadPart"
            return {
                "PUT": put,
                "GET": "ListParts",
                "POST": "CompleteMultipartUpload",
                "DELETE": "AbortMultipartUpload",
            }.get(self.method, self.method)
        if self.method == "POST" and "uploads" in self.query:
            return "CreateMultipartUpload"
        for name, what in _OBJECT.items():
            if name in self.query:
                return _VERBS[self.method] + what
        if is_copy and self.method == "PUT":
            return "CopyObject"
        return _VERBS.get(self.method, self.method) + "Object"


def parse_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> S3Request:
    """Read a path-style request; a body in signed chunks is decoded, its trailer made headers."""
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        body, trailer = decode_aws_chunked(body)
        lowered |= trailer
    return S3Request(method, bucket, key, query, lowered, body)


def decode_aws_chunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the bytes and the trailer of an ``aws-chunked`` body.

    Raises:
        S3Error: it ends early.

    Source: "Signature Calculations: Transferring Payload in Multiple Chunks", S3 API reference.
    """
    pieces, at = [], 0
    while True:
        end = body.find(b"\r\n", at)
        if end < 0:
            raise S3Error(400, "IncompleteBody", "The body ends before its last chunk.")
        size = int(body[at:end].split(b";")[0], 16)
        at = end + 2
        if size == 0:
            break
        pieces.append(body[at : at + size])
        at += size + 2
    lines = body[at:].decode("ascii").split("\r\n")
    trailer = dict(line.split(":", 1) for line in lines if ":" in line)
    return b"".join(pieces), {name.lower(): value.strip() for name, value in trailer.items()}


def verify_body(request: S3Request) -> None:
    """Compare a body with every checksum that was sent for it.

    Raises:
        S3Error: one differs, or is none.
    """
    body, headers = request.body, request.headers
    if md5 := headers.get("content-md5"):
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        if len(_decode(md5)) != len(digest):
            raise S3Error(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        if _decode(md5) != digest:
            message = "The Content-MD5 you specified did not match what we received."
            raise S3Error(400, "BadDigest", message)
    signed = headers.get("x-amz-content-sha256", "")
    if re.fullmatch("[0-9a-f]{64}", signed) and signed != hashlib.sha256(body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Error(400, "XAmzContentSHA256Mismatch", message)
    for name, value in sent_checksums(request).items():
        if _decode(value) == b"":
            message = f"Value for x-amz-checksum-{name} header is invalid."
            raise S3Error(400, "InvalidRequest", message)
        if _decode(value) != CHECKSUMS[name](body):
            raise bad_digest(name)


def sent_checksums(request: S3Request) -> dict[str, str]:
    """The values of the ``x-amz-checksum-*`` headers that can be checked here, by name."""
    pairs = ((name, request.headers.get(f"x-amz-checksum-{name}", "")) for name in CHECKSUMS)
    return {name: value for name, value in pairs if value}


def bad_digest(name: str) -> S3Error:
    """The refusal of a checksum that is not that of the bytes."""
    message = f"The {name.upper()} you specified did not match the calculated checksum."
    return S3Error(400, "BadDigest", message)


def encode_crc32c(value: int) -> str:
    """A CRC32C as headers and XML carry it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def render_error(error: S3Error, resource: str = "") -> bytes:
    """An error's XML body."""
    fields = {"Code": error.code, "Message": error.message, **error.details}
    fields |= {"Resource": resource, "RequestId": "4442587FB7D0A2F9"}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""
