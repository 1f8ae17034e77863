"""A cheap S3 for benchmarks: it takes what clients send, and costs little beside them.

    python benchmarks/s3_server.py --port 0 --bucket NAME [--folder DIR | --sink] [--tls CERT KEY]

It prints its URL and serves until standard input ends or SIGTERM comes; then it prints one line
of JSON: requests by operation, bytes received, and its own seconds of processor time. Addressing
is by path. Signatures are not looked at. Every body's CRC32C is computed, and one that was sent
is compared; MD5 too, for ETags, unless ``--no-md5``. Bodies are files, or are thrown away.
"""

import argparse
import hashlib
import json
import os
import ssl
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import google_crc32c
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fakes.http_server import (
    FileRange,
    HttpServer,
    Reply,
    Request,
    serve_until_closed,
)
from tests.fakes.s3_wire import S3Error, S3Request, bad_digest, encode_crc32c, render_error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
PIECE_BYTES = 1 << 20
POLYNOMIAL = 0x82F63B78
KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding")


class Hash(Protocol):
    """What hashlib gives."""

    def update(self, data: memoryview, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the digest."""


SMALL_BYTES = 1 << 16


class Stored:
    """A file of bytes that were received; it goes when nothing refers to it any more."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.data = b""  # of a small body, where bodies are thrown away: locks, documents
        if path is not None:
            weakref.finalize(self, path.unlink, missing_ok=True)


@dataclass(frozen=True)
class Piece:
    """A range of a file, of which an object is made."""

    stored: Stored
    start: int
    size: int
    crc: int
    md5: str


@dataclass(frozen=True)
class Thing:
    """An object."""

    pieces: tuple[Piece, ...]
    size: int
    crc: int
    etag: str
    headers: dict[str, str]
    modified: float = field(default_factory=time.time)


@dataclass
class Upload:
    """A multipart upload that is open."""

    key: str
    headers: dict[str, str]
    parts: dict[int, Piece] = field(default_factory=dict)


class BenchmarkS3(HttpServer):
    """Buckets in memory, bodies in files.

    Args:
        folder: where the files are, or None to throw bodies away.
        md5: whether ETags are MD5.
        port: 0 for any free one.
        tls: serve HTTPS with this context.
    """

    def __init__(
        self, folder: Path | None, *, md5: bool = True, port: int = 0, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(port=port, tls=tls)
        self._folder = folder
        self._md5 = md5
        self._guard = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self.buckets: dict[str, dict[str, Thing]] = {}

    def answer(self, request: Request) -> Reply:
        """Answer as S3 does."""
        bucket, _, key = unquote(request.path).removeprefix("/").partition("/")
        query = {name: values[0] for name, values in request.parameters().items()}
        asked = S3Request(request.method, bucket, key, query, request.headers, b"")
        self.count(asked.operation)
        try:
            return self._perform(asked, request)
        except S3Error as error:
            return _xml(render_error(error, request.path).decode(), error.status)

    def _perform(self, asked: S3Request, request: Request) -> Reply:
        operation = asked.operation
        if operation == "CreateBucket":
            self.buckets.setdefault(asked.bucket, {})
            return Reply(200, {"Location": f"/{asked.bucket}"})
        if operation != "ListBuckets" and asked.bucket not in self.buckets:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
        if operation in {"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"}:
            self._check_condition(asked)
        if operation in {"PutObject", "UploadPart"}:
            return self._receive(asked, request)
        if operation in {"CompleteMultipartUpload", "DeleteObjects"}:
            asked = replace(asked, body=request.body.read())
        routes: dict[str, Callable[[S3Request], Reply]] = {
            "AbortMultipartUpload": self._abort,
            "CompleteMultipartUpload": self._complete,
            "CopyObject": self._copy,
            "CreateMultipartUpload": self._begin,
            "DeleteObject": self._delete_one,
            "DeleteObjects": self._delete,
            "GetBucketLocation": lambda _: _result("LocationConstraint", ""),
            "GetBucketVersioning": lambda _: _result("VersioningConfiguration", ""),
            "GetObject": self._give,
            "HeadBucket": lambda _: Reply(200),
            "HeadObject": self._give,
            "ListBuckets": self._list_buckets,
            "ListMultipartUploads": self._list_uploads,
            "ListObjects": self._list,
            "ListObjectsV2": self._list,
            "ListParts": self._list_parts,
            "UploadPartCopy": self._copy_part,
        }
        if operation not in routes:
            raise S3Error(501, "NotImplemented", f"{operation} is not implemented")
        return routes[operation](asked)

    def _list_buckets(self, asked: S3Request) -> Reply:
        del asked
        names = "".join(f"<Bucket>{_tags(Name=name)}</Bucket>" for name in self.buckets)
        return _result("ListAllMyBucketsResult", f"<Buckets>{names}</Buckets>")

    def _begin(self, asked: S3Request) -> Reply:
        upload_id = uuid.uuid4().hex
        self._uploads[upload_id] = Upload(asked.key, _kept(asked))
        inner = _tags(Bucket=asked.bucket, Key=asked.key, UploadId=upload_id)
        return _result("InitiateMultipartUploadResult", inner)

    def _abort(self, asked: S3Request) -> Reply:
        self._upload(asked)
        self._uploads.pop(asked.query["uploadId"], None)
        return Reply(204)

    def _list_uploads(self, asked: S3Request) -> Reply:
        prefix = asked.query.get("prefix", "")
        found = "".join(
            f"<Upload>{_tags(Key=upload.key, UploadId=upload_id)}</Upload>"
            for upload_id, upload in sorted(self._uploads.items())
            if upload.key.startswith(prefix)
        )
        return _result("ListMultipartUploadsResult", _tags(IsTruncated="false") + found)

    def _list_parts(self, asked: S3Request) -> Reply:
        after = int(asked.query.get("part-number-marker") or 0)
        parts = sorted(self._upload(asked).parts.items())
        page = [(number, piece) for number, piece in parts if number > after][:1000]
        is_truncated = bool(page) and page[-1][0] < parts[-1][0]
        rows = "".join(
            f"<Part>{_tags(PartNumber=str(number), Size=str(piece.size))}"
            f"{_made(self._etag([piece]), piece.crc)}</Part>"
            for number, piece in page
        )
        fields = {
            "IsTruncated": str(is_truncated).lower(),
            "NextPartNumberMarker": str(page[-1][0] if page else 0),
        }
        return _result("ListPartsResult", _tags(**fields) + rows)

    def _upload(self, asked: S3Request) -> Upload:
        upload = self._uploads.get(asked.query.get("uploadId", ""))
        if upload is None:
            raise S3Error(404, "NoSuchUpload", "The specified upload does not exist.")
        return upload

    def _receive(self, asked: S3Request, request: Request) -> Reply:
        trailer: dict[str, str] = {}
        pieces: Iterable[memoryview] = request.body.pieces()
        if asked.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
            pieces = unchunk(request.body.pieces(), trailer)
        piece = self._store(pieces)
        expected = {**asked.headers, **trailer}.get("x-amz-checksum-crc32c")
        if expected not in {None, encode_crc32c(piece.crc)}:
            raise bad_digest("crc32c")
        etag = self._etag([piece])
        if asked.operation == "UploadPart":
            self._upload(asked).parts[int(asked.query["partNumber"])] = piece
        else:
            thing = Thing((piece,), piece.size, piece.crc, etag, _kept(asked))
            self._put(asked, thing)
        return Reply(200, {"ETag": etag, "x-amz-checksum-crc32c": encode_crc32c(piece.crc)})

    def _store(self, pieces: Iterable[memoryview]) -> Piece:
        path = self._folder / uuid.uuid4().hex if self._folder else None
        stored = Stored(path)
        md5: Hash | None = hashlib.md5(usedforsecurity=False) if self._md5 else None
        crc = size = 0
        with ExitStack() as stack:
            file = stack.enter_context(path.open("wb", buffering=0)) if path else None
            for data in pieces:
                # google_crc32c takes no memoryview, and an array without a copy
                crc = google_crc32c.extend(crc, np.frombuffer(data, np.uint8))
                size += len(data)
                if md5 is not None:
                    md5.update(data)
                if file is not None:
                    file.write(data)
                elif size <= SMALL_BYTES:
                    stored.data += bytes(data)
        return Piece(stored, 0, size, crc, md5.hexdigest() if md5 else "")

    def _put(self, asked: S3Request, thing: Thing) -> None:
        with self._guard:
            self.buckets[asked.bucket][asked.key] = thing

    def _find(self, bucket: str, key: str) -> Thing:
        found = self.buckets.get(bucket, {}).get(key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        return found

    def _check_condition(self, asked: S3Request) -> None:
        found = self.buckets[asked.bucket].get(asked.key)
        is_new = asked.headers.get("if-none-match") == "*"
        expected = asked.headers.get("if-match")
        etag = found.etag if found else ""
        if (is_new and found) or (expected and expected.strip('"') not in {"*", etag.strip('"')}):
            message = "At least one of the pre-conditions you specified did not hold"
            raise S3Error(412, "PreconditionFailed", message)

    def _give(self, asked: S3Request) -> Reply:
        thing = self._find(asked.bucket, asked.key)
        headers = dict(thing.headers)
        headers |= {
            "ETag": thing.etag,
            "Last-Modified": formatdate(thing.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        status, start, size = 200, 0, thing.size
        if wanted := asked.headers.get("range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, thing.size - int(last))
            stop = min(int(last) + 1, thing.size) if first and last else thing.size
            if start >= thing.size:
                raise S3Error(416, "InvalidRange", "The requested range is not satisfiable")
            status, size = 206, stop - start
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{thing.size}"
        elif asked.headers.get("x-amz-checksum-mode") == "ENABLED":
            headers["x-amz-checksum-crc32c"] = encode_crc32c(thing.crc)
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        if self._folder is None and asked.method != "HEAD" and size:
            data = thing.pieces[0].stored.data
            if len(thing.pieces) > 1 or len(data) != thing.size:
                raise S3Error(501, "NotImplemented", "Bodies are thrown away here")
            return Reply(status, headers, data[start : start + size])
        file, start = self._range(thing, start, size, asked.method)
        return Reply(status, headers, file=FileRange(file, start, size))

    def _range(self, thing: Thing, start: int, size: int, method: str) -> tuple[BinaryIO, int]:
        """Open what holds a range; several pieces are joined in a file for the occasion."""
        if method == "HEAD" or not size:
            return Path(os.devnull).open("rb"), 0
        if len(thing.pieces) == 1:
            piece = thing.pieces[0]
            assert piece.stored.path is not None
            return piece.stored.path.open("rb"), piece.start + start
        joined = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  the server closes it
        for data in _read(thing.pieces, start, size):
            joined.write(data)
        joined.seek(0)  # which flushes too
        return joined, 0

    def _list(self, asked: S3Request) -> Reply:
        version_2 = asked.operation == "ListObjectsV2"
        query = asked.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("marker") or query.get("start-after") or ""
        after = query.get("continuation-token") or after
        limit = min(int(query.get("max-keys") or 1000), 1000)
        is_encoded = query.get("encoding-type") == "url"
        with self._guard:
            things = dict(self.buckets[asked.bucket])
        rows: dict[str, str] = {}
        is_truncated = False
        last = ""
        for key in sorted(key for key in things if key.startswith(prefix) and key > after):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            folder = prefix + head + delimiter if found else ""
            if folder and (folder in rows or folder <= after):
                continue
            if len(rows) == limit:
                is_truncated = True
                break
            last = folder or key
            rows[last] = (
                _prefix(last, is_encoded=is_encoded)
                if folder
                else _row(key, things[key], is_encoded=is_encoded)
            )
        if is_truncated and delimiter and last.endswith(delimiter):
            last += "\U0010ffff"  # past everything below it
        fields = {
            "Name": asked.bucket,
            "Prefix": quote(prefix) if is_encoded else prefix,
            "MaxKeys": str(limit),
            "KeyCount": str(len(rows)),
            "IsTruncated": str(is_truncated).lower(),
        }
        if is_encoded:
            fields["EncodingType"] = "url"
        if is_truncated:
            token = quote(last) if is_encoded and not version_2 else last
            fields["NextContinuationToken" if version_2 else "NextMarker"] = token
        return _result("ListBucketResult", _tags(**fields) + "".join(rows.values()))

    def _delete_one(self, asked: S3Request) -> Reply:
        with self._guard:
            self.buckets[asked.bucket].pop(asked.key, None)
        return Reply(204)

    def _delete(self, asked: S3Request) -> Reply:
        keys = [_text(entry, "Key") for entry in ET.fromstring(asked.body) if len(entry)]
        with self._guard:
            for key in keys:
                self.buckets[asked.bucket].pop(key, None)
        deleted = "".join(f"<Deleted>{_tags(Key=key)}</Deleted>" for key in keys)
        return _result("DeleteResult", deleted)

    def _source(self, asked: S3Request) -> Thing:
        path = unquote(asked.headers["x-amz-copy-source"].partition("?")[0])
        bucket, _, key = path.removeprefix("/").partition("/")
        thing = self._find(bucket, key)
        expected = asked.headers.get("x-amz-copy-source-if-match", thing.etag)
        if expected.strip('"') != thing.etag.strip('"'):
            message = "At least one of the pre-conditions you specified did not hold"
            raise S3Error(412, "PreconditionFailed", message)
        return thing

    def _copy(self, asked: S3Request) -> Reply:
        source = self._source(asked)
        is_replaced = asked.headers.get("x-amz-metadata-directive") == "REPLACE"
        headers = _kept(asked) if is_replaced else source.headers
        self._put(asked, Thing(source.pieces, source.size, source.crc, source.etag, headers))
        return _result("CopyObjectResult", _made(source.etag, source.crc))

    def _copy_part(self, asked: S3Request) -> Reply:
        source = self._source(asked)
        span = asked.headers.get("x-amz-copy-source-range", f"bytes=0-{source.size - 1}")
        first, last = (int(number) for number in span.removeprefix("bytes=").split("-"))
        size = last + 1 - first
        piece = (
            self._store(memoryview(data) for data in _read(source.pieces, first, size))
            if self._folder is not None
            else _join(source.pieces, first, size)
        )
        self._upload(asked).parts[int(asked.query["partNumber"])] = piece
        return _result("CopyPartResult", _made(self._etag([piece]), piece.crc))

    def _complete(self, asked: S3Request) -> Reply:
        upload = self._upload(asked)
        pieces = []
        for entry in ET.fromstring(asked.body):
            piece = upload.parts.get(int(_text(entry, "PartNumber")))
            if piece is None or self._etag([piece]).strip('"') != _text(entry, "ETag").strip('"'):
                raise S3Error(400, "InvalidPart", "A part could not be found.")
            pieces.append(piece)
        crc = 0
        for piece in pieces:
            crc = combine_crc32c(crc, piece.crc, piece.size)
        is_whole = asked.headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT"
        expected = asked.headers.get("x-amz-checksum-crc32c")
        if is_whole and expected not in {None, encode_crc32c(crc)}:
            raise bad_digest("crc32c")
        etag = self._etag(pieces, is_multipart=True)
        size = sum(piece.size for piece in pieces)
        self._put(asked, Thing(tuple(pieces), size, crc, etag, upload.headers))
        self._uploads.pop(asked.query["uploadId"], None)
        inner = _tags(Bucket=asked.bucket, Key=asked.key) + _made(etag, crc)
        return _result("CompleteMultipartUploadResult", inner)

    def _etag(self, pieces: list[Piece], *, is_multipart: bool = False) -> str:
        if not self._md5:  # must not look like an MD5
            crc = "".join(f"{piece.crc:08x}" for piece in pieces[:3])
            return f'"{crc}-{sum(piece.size for piece in pieces):x}"'
        if not is_multipart:
            return f'"{pieces[0].md5}"'
        joined = b"".join(bytes.fromhex(piece.md5) for piece in pieces)
        return f'"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(pieces)}"'


def unchunk(pieces: Iterator[memoryview], trailer: dict[str, str]) -> Iterator[memoryview]:
    """Give the bytes of an ``aws-chunked`` body as they come, and fill in its trailer."""
    line = bytearray()
    left = 0
    is_trailer = False
    for piece in pieces:
        at = 0
        while at < len(piece):
            if left:
                taken = min(left, len(piece) - at)
                yield piece[at : at + taken]
                left, at = left - taken, at + taken
                continue
            line.append(piece[at])
            at += 1
            if not line.endswith(b"\r\n"):
                continue
            text, line = line[:-2].decode("ascii"), bytearray()
            if is_trailer and ":" in text:
                name, _, value = text.partition(":")
                trailer[name.lower()] = value.strip()
            elif text and not is_trailer:
                left = int(text.partition(";")[0], 16)
                is_trailer = left == 0


def combine_crc32c(first: int, second: int, size: int) -> int:
    """Return the CRC32C of two pieces from theirs and the size of the second.

    Source: ``crc32_combine`` of zlib, with the polynomial of Castagnoli.
    """
    power, square = 1 << 31, 1 << 23  # x^0, and x^8 for a byte
    while size:
        if size & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        size >>= 1
    return _multiply(power, first) ^ second


def _multiply(a: int, b: int) -> int:
    product, mask = 0, 1 << 31
    while mask:
        if a & mask:
            product ^= b
        b = (b >> 1) ^ POLYNOMIAL if b & 1 else b >> 1
        mask >>= 1
    return product


def _read(pieces: Iterable[Piece], start: int, size: int) -> Iterator[bytes]:
    for piece in pieces:
        if start >= piece.size:
            start -= piece.size
            continue
        if piece.stored.path is None:
            raise S3Error(501, "NotImplemented", "Bodies are thrown away here")
        with piece.stored.path.open("rb") as file:
            file.seek(piece.start + start)
            left = min(piece.size - start, size)
            while left and (data := file.read(min(left, PIECE_BYTES))):
                yield data
                left, size = left - len(data), size - len(data)
        start = 0
        if not size:
            return


def _join(pieces: Iterable[Piece], start: int, size: int) -> Piece:
    """Describe a range of bytes that were thrown away; it must begin and end as pieces do."""
    at = crc = taken = 0
    for piece in pieces:
        if at >= start and taken + piece.size <= size:
            crc, taken = combine_crc32c(crc, piece.crc, piece.size), taken + piece.size
        at += piece.size
    if taken != size:
        raise S3Error(501, "NotImplemented", "Bodies are thrown away here")
    return Piece(Stored(None), 0, size, crc, "")


def _kept(asked: S3Request) -> dict[str, str]:
    headers = {
        name: value
        for name, value in asked.headers.items()
        if name in KEPT or name.startswith("x-amz-meta-")
    }
    if headers.get("content-encoding") == "aws-chunked":
        del headers["content-encoding"]
    return {"content-type": "binary/octet-stream", **headers}


def _row(key: str, thing: Thing, *, is_encoded: bool) -> str:
    fields = {
        "Key": quote(key) if is_encoded else key,
        "LastModified": _iso(thing.modified),
        "ETag": thing.etag,
        "Size": str(thing.size),
        "StorageClass": "STANDARD",
    }
    return f"<Contents>{_tags(**fields)}</Contents>"


def _prefix(folder: str, *, is_encoded: bool) -> str:
    shown = _tags(Prefix=quote(folder) if is_encoded else folder)
    return f"<CommonPrefixes>{shown}</CommonPrefixes>"


def _made(etag: str, crc: int) -> str:
    return _tags(ETag=etag, ChecksumCRC32C=encode_crc32c(crc), LastModified=_iso(time.time()))


def _iso(moment: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1000):03}Z"


def _tags(**fields: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in element if child.tag.endswith(name)), "")


def _result(name: str, inner: str) -> Reply:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return _xml(f'{head}<{name} xmlns="{NAMESPACE}">{inner}</{name}>')


def _xml(text: str, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/xml"}, text.encode())


def main() -> None:
    """Serve, and at the end say what it was asked and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the bodies; a temporary one by default")
    parser.add_argument("--sink", action="store_true", help="throw bodies away")
    parser.add_argument("--no-md5", action="store_true", help="make ETags of CRC32C and size")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--bucket", action="append", default=["bench"], help="made at the start")
    options = parser.parse_args()
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = None if options.sink else Path(folder)
        server = BenchmarkS3(place, md5=not options.no_md5, port=options.port, tls=tls)
        server.buckets = {name: {} for name in options.bucket}
        try:
            serve_until_closed(server)
        finally:
            times = os.times()
            told = {
                "requests": dict(sorted(server.requests.items())),
                "received_bytes": server.received_bytes,
                "cpu_s": round(times.user + times.system, 3),
            }
            print(json.dumps(told), flush=True)
            server.buckets.clear()


if __name__ == "__main__":
    main()
