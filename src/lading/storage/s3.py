"""S3 and whatever speaks its API as a store."""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from lading.config.models import Destination
from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.objects import Digest, digest_bytes
from lading.storage.bytes import Digester
from lading.storage.cloud import (
    Bucket,
    Known,
    each_at_once,
    parse_bucket,
    probe_access,
    require_digest,
    settle_race,
)
from lading.storage.contract import (
    ALWAYS,
    NO_ATTRIBUTES,
    Attributes,
    Body,
    Condition,
    Entry,
    Unfinished,
    require_file,
)
from lading.storage.progress import NO_PROGRESS, Progress
from lading.storage.s3_answers import read_entry, read_page, read_written
from lading.storage.s3_dialect import XMLNS, S3Dialect, parse_xml
from lading.storage.s3_parts import Multipart
from lading.storage.sessions import Sessions
from lading.storage.wire import FilePart, Reply, Request, Wire

LARGE_BYTES = 32 << 20
"""Files from this size on are sent in parts."""
SINGLE_COPY_BYTES = 5 << 30
"""Objects over this size are copied in parts: the service copies no more in one call."""
_DELETED_AT_ONCE = 1000
_BLOCK_BYTES = 8 << 20
_PATIENCE_S = 600.0  # a copy of some GiB is one call


class S3Store:
    """Objects of a bucket, below the folder of the URL.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/folder``.
        options: endpoint, region, profile, storage class, key, who pays.
        sessions: folder that remembers begun uploads on this machine; None: none is kept.

    Raises:
        StoreError: the URL or the ecosystem's configuration cannot be used.
    """

    def __init__(self, url: str, options: Destination, sessions: Path | None = None) -> None:
        self._bucket: Bucket = parse_bucket(url)
        self._options = options
        self._dialect = S3Dialect(self._bucket, options)
        self._wire = Wire(self._dialect, self._dialect.base, ca_bundle=self._dialect.ca_bundle)
        self.known = Known()
        self._lock = threading.Lock()
        self._neighbours: dict[Bucket, S3Store] = {self._bucket: self}
        self._multipart = Multipart(self.request, Sessions(sessions, self.url))

    @property
    def url(self) -> str:
        return self._bucket.url

    @property
    def workers(self) -> int:
        return self._wire.workers

    def require_access(self, root: str) -> None:
        probe_access(self, root)

    def list(self, prefix: str = "") -> list[Entry]:
        query = {"list-type": "2", "prefix": self._bucket.folder + prefix, "encoding-type": "url"}
        entries: list[Entry] = []
        while True:
            reply = self.request(
                "ListObjectsV2", "GET", "", query=query, expects="ListBucketResult"
            )
            root = parse_xml(reply.data)
            entries += read_page(root, self._bucket)
            token = root.findtext("NextContinuationToken")
            if root.findtext("IsTruncated") != "true" or not token:
                return sorted(entries, key=lambda each: each.key)
            query["continuation-token"] = token

    def stat(self, key: str) -> Entry | None:
        name = self._bucket.name_of(key)
        try:
            reply = self._head(name, {"x-amz-checksum-mode": "ENABLED"})
        except MissingObjectError:
            return None
        return self.known.note(read_entry(key, reply))

    def digest(self, key: str) -> Digest:
        entry = self.stat(key)
        if entry is None:
            raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
        return entry.digest or self._digest_of_bytes(key, entry)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        name = self._bucket.name_of(key)
        if stop is not None and stop <= start:
            if self.stat(key) is None:
                raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
            return b""
        last = "" if stop is None else str(stop - 1)
        headers = {"Range": f"bytes={start}-{last}"} if start or last else {}
        reply = self.request(
            "GetObject", "GET", name, headers, accepts={200, 206, 416}, expects="ETag"
        )
        if reply.status == 416:  # noqa: PLR2004  as RFC 9110 numbers it: the object ends before
            return b""
        return reply.data if reply.status == 206 else reply.data[start:stop]  # noqa: PLR2004

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        require_file(body)
        name = self._bucket.name_of(key)
        self.known.forget(key)
        headers = {
            **self._headers(body.attributes, body.digest.sha256),
            **_checksum_headers(body.digest),
            **_conditions(condition),
        }
        try:
            if body.path is not None and body.digest.size_bytes >= LARGE_BYTES:
                reply = self._multipart.send(name, body.path, body.digest, headers, progress)
            else:
                reply = self._put_whole(name, body, headers, progress)
        except MissingObjectError as error:
            if condition.if_version:
                raise ConditionError(f"{self.url}/{key}: expected an object, found none") from error
            raise
        except ConditionError as error:
            entry = settle_race(self, key, body, error)
            if body.path is not None and body.digest.size_bytes < LARGE_BYTES:
                progress.relative_update(body.digest.size_bytes)  # taken back as refused
            return entry
        return self._written(key, reply, body.digest)

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        digest: Digest,
        attributes: Attributes = NO_ATTRIBUTES,
        source_url: str = "",
        source_version: str = "",
    ) -> Entry:
        source = parse_bucket(source_url) if source_url else self._bucket
        name, source_name = self._bucket.name_of(key), source.name_of(source_key)
        etag = source_version or self._require_source(source, source_key, key, digest)
        self.known.forget(key)
        headers = {
            **self._headers(attributes, digest.sha256),
            "x-amz-copy-source": quote(f"/{source.name}/{source_name}", safe="/-._~"),
            "x-amz-copy-source-if-match": f'"{etag}"',
        }
        try:
            if digest.size_bytes > SINGLE_COPY_BYTES:
                reply = self._multipart.copy(name, digest, headers)
            else:
                headers |= {
                    "x-amz-metadata-directive": "REPLACE",
                    "x-amz-checksum-algorithm": "CRC32C",
                }
                reply = self.request(
                    "CopyObject",
                    "PUT",
                    name,
                    headers,
                    expects="CopyObjectResult",
                    patience=_PATIENCE_S,
                )
        except MissingObjectError as error:
            self._neighbour(source).known.forget(source_key)
            raise MissingObjectError(
                f"{source.url}/{source_key}: expected an object, found none"
            ) from error
        except ConditionError as error:
            self._neighbour(source).known.forget(source_key)
            raise ChecksumError(
                f"{source.url}/{source_key}: expected {digest.describe()}, found it replaced"
            ) from error
        return self._written(key, reply, digest)

    def delete(self, keys: Iterable[str]) -> None:
        names = [self._bucket.name_of(key) for key in keys]
        starts = range(0, len(names), _DELETED_AT_ONCE)
        each_at_once(self._delete_some, [names[at : at + _DELETED_AT_ONCE] for at in starts])

    def delete_version(self, key: str, version: str) -> None:
        standing = self.stat(key)
        if standing is None or standing.version != version:
            raise ConditionError(f"{self.url}/{key}: expected an unchanged object")
        # services that know no condition here have been asked just before
        name = self._bucket.name_of(key)
        headers = {"If-Match": f'"{version}"'}
        try:
            self.request("DeleteObject", "DELETE", name, headers, accepts={204})
        except MissingObjectError as error:
            raise ConditionError(f"{self.url}/{key}: expected an object, found none") from error

    def cannot_hold(self) -> str:
        try:
            self.request(
                "GetObjectLockConfiguration",
                "GET",
                "",
                query={"object-lock": ""},
                expects="ObjectLockConfiguration",
            )
        except MissingObjectError:
            return f"bucket {self._bucket.name} has no object lock"
        return ""

    def held(self, prefix: str) -> frozenset[str]:
        def is_held(entry: Entry) -> bool:
            reply = self._head(self._bucket.name_of(entry.key), {})
            return reply.headers.get("x-amz-object-lock-legal-hold") == "ON"

        entries = self.list(prefix)
        answers = each_at_once(is_held, entries)
        return frozenset(each.key for each, answer in zip(entries, answers, strict=True) if answer)

    def hold(self, keys: Iterable[str]) -> None:
        data = f"<LegalHold {XMLNS}><Status>ON</Status></LegalHold>".encode()

        def hold(key: str) -> Reply:
            name = self._bucket.name_of(key)
            return self.request(
                "PutObjectLegalHold", "PUT", name, query={"legal-hold": ""}, body=data
            )

        try:
            each_at_once(hold, keys)
        except MissingObjectError:
            raise
        except StoreError as error:
            reason = self.cannot_hold()
            if not reason:
                raise
            raise StoreError(f"{self.url}: {reason}") from error

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        found = self._multipart.find(self._bucket.folder + prefix)
        return [
            Unfinished(
                key=self._bucket.key_of(each.name), upload=each.upload, begun_at=each.begun_at
            )
            for each in sorted(found, key=lambda each: each.begun_at)
        ]

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        each_at_once(
            lambda each: self._multipart.abort(self._bucket.name_of(each.key), each.upload), uploads
        )

    def sweep(self) -> None:
        """Do nothing: an upload that was cut is gone on with, or ended by ``prune``."""

    def request(  # noqa: PLR0913  one call of the API has that many parts
        self,
        operation: str,
        method: str,
        name: str,
        headers: dict[str, str] | None = None,
        *,
        query: dict[str, str] | None = None,
        body: bytes | FilePart = b"",
        accepts: Iterable[int] = (200,),
        expects: str = "",
        sha256: str = "",
        patience: float = 60.0,
    ) -> Reply:
        """Call the API of the bucket; see ``Request``. Documents get their digests here."""
        headers = dict(headers or {})
        if isinstance(body, bytes):
            digest = digest_bytes(body)
            sha256 = digest.sha256
            if body and "x-amz-checksum-crc32c" not in headers:
                headers |= _checksum_headers(digest)
                headers["Content-MD5"] = b64encode(_md5(body)).decode()
        return self._wire.send(
            Request(
                operation=operation,
                place=f"s3://{self._bucket.name}/{name}",
                method=method,
                url=self._dialect.url_of(name, urlencode(query or {}, quote_via=quote)),
                headers=headers,
                body=body,
                accepts=frozenset(accepts),
                expects=expects,
                sha256=sha256,
                patience=patience,
            )
        )

    def _head(self, name: str, headers: dict[str, str]) -> Reply:
        """Ask for what is told of an object; a refusal comes with the words of the service."""
        try:
            return self.request("HeadObject", "HEAD", name, headers, expects="ETag")
        except StoreError as error:
            if type(error) is not StoreError:
                raise
        # a HEAD is refused without words, an expired token among others: a GET tells them
        span = {"Range": "bytes=0-0"}
        self.request("GetObject", "GET", name, span, accepts={200, 206, 416}, expects="ETag")
        return self.request("HeadObject", "HEAD", name, headers, expects="ETag")

    def _put_whole(
        self, name: str, body: Body, headers: dict[str, str], progress: Progress
    ) -> Reply:
        digest = body.digest
        data: bytes | FilePart = body.data
        if body.path is not None:
            data = FilePart(
                path=body.path,
                start=0,
                size=digest.size_bytes,
                crc32c=digest.crc32c,
                progress=progress,
            )
            _require_size(body.path, digest)
        else:
            require_digest(f"s3://{self._bucket.name}/{name}", digest_bytes(body.data), digest)
            progress.relative_update(len(body.data))
        return self.request(
            "PutObject", "PUT", name, headers, body=data, expects="ETag", sha256=digest.sha256
        )

    def _headers(self, attributes: Attributes, sha256: str) -> dict[str, str]:
        """Return what is kept with an object: attributes, sha256, class, key."""
        options = {
            "Content-Type": attributes.media_type,
            "Cache-Control": attributes.cache_control,
            "x-amz-meta-sha256": sha256,
            "x-amz-storage-class": self._options.storage_class,
            "x-amz-server-side-encryption": "aws:kms" if self._options.kms_key else "",
            "x-amz-server-side-encryption-aws-kms-key-id": self._options.kms_key,
        }
        return {name: value for name, value in options.items() if value}

    def _written(self, key: str, reply: Reply, digest: Digest) -> Entry:
        """Return the entry of what was just written, as the service itself describes it."""
        told = read_written(key, reply, digest.size_bytes)
        if told.digest is None or not told.version:
            found = self.stat(key)
            if found is None:
                raise StoreError(f"{self.url}/{key}: expected what was just written, found none")
            told = found
        if told.digest is None:
            said = self._digest_of_bytes(key, told)
            told = Entry(key=key, size_bytes=told.size_bytes, version=told.version, digest=said)
        require_digest(f"{self.url}/{key}", told.digest, digest)
        whole = Entry(
            key=key,
            size_bytes=told.size_bytes,
            version=told.version,
            digest=digest,
            modified_at=told.modified_at,
        )
        return self.known.note(whole)

    def _require_source(self, source: Bucket, key: str, copy_key: str, digest: Digest) -> str:
        """Return the ETag of an object that is what it should be; only that one is copied."""
        store = self._neighbour(source)
        known = store.known.find(key)
        if known is None or not known[1].agrees_with(digest):  # it may be another by now
            entry = store.stat(key)
            if entry is None:
                raise MissingObjectError(f"{source.url}/{key}: expected an object, found none")
            known = entry.version, entry.digest or store.digest(key)
        place = f"{source.url}/{key}, to be copied to {copy_key}"
        require_digest(place, known[1], digest)
        return known[0]

    def _neighbour(self, bucket: Bucket) -> "S3Store":
        """Return the store of another bucket that is reached in the same way."""
        with self._lock:
            if bucket not in self._neighbours:
                self._neighbours[bucket] = S3Store(bucket.url, self._options)
            return self._neighbours[bucket]

    def _delete_some(self, names: Sequence[str]) -> None:
        rows = "".join(f"<Object><Key>{escape(name)}</Key></Object>" for name in names)
        data = f"<Delete {XMLNS}>{rows}<Quiet>true</Quiet></Delete>".encode()
        for name in names:
            self.known.forget(self._bucket.key_of(name))
        reply = self.request(
            "DeleteObjects", "POST", "", query={"delete": ""}, body=data, expects="DeleteResult"
        )
        # the call succeeds though deletions fail: each is asked for again by itself
        failed = [each.findtext("Key") or "" for each in parse_xml(reply.data).iter("Error")]
        for name in failed:
            self.request("DeleteObject", "DELETE", name, accepts={204})

    def _digest_of_bytes(self, key: str, entry: Entry) -> Digest:
        """Read an object whose checksum the service does not tell, block by block."""
        digester = Digester(sha256=False)
        for start in range(0, entry.size_bytes, _BLOCK_BYTES):
            digester.update(self.get(key, start, start + _BLOCK_BYTES))
        return digester.digest()


def _checksum_headers(digest: Digest) -> dict[str, str]:
    # the second makes services that only compute on request compute, and answer what they found
    return {"x-amz-checksum-crc32c": digest.crc32c, "x-amz-sdk-checksum-algorithm": "CRC32C"}


def _conditions(condition: Condition) -> dict[str, str]:
    if condition.if_absent:
        return {"If-None-Match": "*"}
    return {"If-Match": f'"{condition.if_version}"'} if condition.if_version else {}


def _require_size(path: Path, digest: Digest) -> None:
    size = path.stat().st_size
    if size != digest.size_bytes:
        raise ChecksumError(f"{path}: expected {digest.describe()}, got {size} bytes")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
