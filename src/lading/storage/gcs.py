"""Google Cloud Storage as a store, by its JSON API."""

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lading.config.models import Destination
from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.objects import Digest, digest_bytes
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
from lading.storage.gcs_batch import DELETED_AT_ONCE, parse_batch, render_deletions
from lading.storage.gcs_dialect import GcsDialect, parse_json
from lading.storage.gcs_resumable import Resumable
from lading.storage.progress import NO_PROGRESS, Progress
from lading.storage.sessions import Sessions
from lading.storage.wire import FilePart, Reply, Request, Wire

LARGE_BYTES = 8 << 20
"""Files from this size on are sent in a session that can be gone on with."""
_FIELDS = "name,size,generation,crc32c,updated,metadata/sha256,temporaryHold,eventBasedHold"
_PAGE = "1000"
_BOUNDARY = "lading-7d2f9c51e0"
_PATIENCE_S = 600.0  # a rewrite of many GiB may take its time


class GcsStore:
    """Objects of a bucket, below the folder of the URL.

    Args:
        url: ``gs://bucket`` or ``gs://bucket/folder``.
        options: endpoint, storage class, key, the project that pays.
        sessions: folder that remembers begun uploads on this machine; None: none is kept.

    Raises:
        StoreError: the URL or the ecosystem's configuration cannot be used.
    """

    def __init__(self, url: str, options: Destination, sessions: Path | None = None) -> None:
        self._bucket: Bucket = parse_bucket(url)
        self._options = options
        self._dialect = GcsDialect(self._bucket, options)
        self._wire = Wire(self._dialect, self._dialect.base, ca_bundle=self._dialect.ca_bundle)
        self.known = Known()
        self._lock = threading.Lock()
        self._neighbours: dict[Bucket, GcsStore] = {self._bucket: self}
        self._resumable = Resumable(
            self._bucket,
            lambda query: self._dialect.url_of(f"b/{self._bucket.name}/o", query, kind="upload/"),
            self._request,
            Sessions(sessions, self.url),
        )

    @property
    def url(self) -> str:
        return self._bucket.url

    @property
    def workers(self) -> int:
        return self._wire.workers

    def require_access(self, root: str) -> None:
        probe_access(self, root)

    def list(self, prefix: str = "") -> list[Entry]:
        entries = [self.known.note(_read_entry(*each)) for each in self._resources(prefix)]
        return sorted(entries, key=lambda each: each.key)

    def stat(self, key: str) -> Entry | None:
        try:
            resource = self._resource(key)
        except MissingObjectError:
            return None
        return self.known.note(_read_entry(key, resource))

    def digest(self, key: str) -> Digest:
        entry = self.stat(key)
        if entry is None:
            raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
        if entry.digest is None:
            raise StoreError(f"{self.url}/{key}: expected a crc32c of the object, GCS tells none")
        return entry.digest

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            if self.stat(key) is None:
                raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
            return b""
        last = "" if stop is None else str(stop - 1)
        reply = self._call(
            "objects.get",
            "GET",
            key,
            query={"alt": "media"},
            headers={"Range": f"bytes={start}-{last}"} if start or last else {},
            accepts={200, 206, 416},
            expects="x-goog-generation",
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
        resource = {"name": name, "crc32c": body.digest.crc32c}
        resource |= self._kept(body.attributes, body.digest)
        query = {**_conditions(condition), **self._encryption("kmsKeyName")}
        try:
            if body.path is not None and body.digest.size_bytes >= LARGE_BYTES:
                reply = self._resumable.send(
                    name, body.path, body.digest, resource, query, progress
                )
            else:
                reply = self._put_whole(name, body, resource, query, progress)
        except MissingObjectError as error:
            if condition.if_version:
                raise ConditionError(f"{self.url}/{key}: expected an object, found none") from error
            raise
        except ConditionError as error:
            entry = settle_race(self, key, body, error)
            if body.path is not None and body.digest.size_bytes < LARGE_BYTES:
                progress.relative_update(body.digest.size_bytes)  # taken back as refused
            return entry
        return self._written(key, parse_json(reply.data), body.digest)

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
        generation = source_version or self._require_source(source, source_key, key, digest)
        self.known.forget(key)
        path = f"{_object_path(source, source_key)}/rewriteTo/{_object_path(self._bucket, key)}"
        query = {
            "sourceGeneration": generation,
            "ifSourceGenerationMatch": generation,
            **self._encryption("destinationKmsKeyName"),
        }
        data = json.dumps(self._kept(attributes, digest)).encode()
        while True:
            try:
                reply = self._request(
                    "objects.rewrite",
                    "POST",
                    f"{self._bucket.url}: {key}",
                    self._dialect.url_of(path, query),
                    headers={"Content-Type": "application/json"},
                    body=data,
                    expects="done",
                    patience=_PATIENCE_S,
                )
            except (ConditionError, MissingObjectError) as error:
                store = self._neighbour(source)
                store.known.forget(source_key)
                if store.stat(source_key) is None:
                    raise MissingObjectError(
                        f"{source.url}/{source_key}: expected an object, found none"
                    ) from error
                raise ChecksumError(
                    f"{source.url}/{source_key}: expected {digest.describe()}, found it replaced"
                ) from error
            answer = parse_json(reply.data)
            if answer["done"]:
                return self._written(key, answer["resource"], digest)
            query["rewriteToken"] = answer["rewriteToken"]

    def delete(self, keys: Iterable[str]) -> None:
        chosen = list(keys)
        for key in chosen:
            self._bucket.name_of(key)
            self.known.forget(key)
        starts = range(0, len(chosen), DELETED_AT_ONCE)
        groups = [chosen[at : at + DELETED_AT_ONCE] for at in starts]
        each_at_once(self._delete_some, groups, workers=8)

    def delete_version(self, key: str, version: str) -> None:
        self.known.forget(key)
        try:
            self._call(
                "objects.delete",
                "DELETE",
                key,
                query={"ifGenerationMatch": version or "-1"},
                accepts={204},
            )
        except MissingObjectError as error:
            raise ConditionError(f"{self.url}/{key}: expected an object, found none") from error

    def cannot_hold(self) -> str:
        return ""

    def held(self, prefix: str) -> frozenset[str]:
        return frozenset(
            key
            for key, resource in self._resources(prefix)
            if resource.get("temporaryHold") or resource.get("eventBasedHold")
        )

    def hold(self, keys: Iterable[str]) -> None:
        data = json.dumps({"temporaryHold": True}).encode()
        headers = {"Content-Type": "application/json"}

        def hold(key: str) -> Reply:
            return self._call(
                "objects.patch", "PATCH", key, headers=headers, body=data, expects="generation"
            )

        each_at_once(hold, keys)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        # GCS tells of no sessions; they cost nothing and end by themselves after a week
        del prefix
        return []

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        """Do nothing: GCS ends sessions by itself."""

    def sweep(self) -> None:
        """Do nothing: a cut upload leaves no object."""

    def _put_whole(
        self,
        name: str,
        body: Body,
        resource: dict[str, Any],
        query: dict[str, str],
        progress: Progress,
    ) -> Reply:
        """Send metadata and bytes in one call."""
        head = (
            f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps(resource)}\r\n"
            f"--{_BOUNDARY}\r\nContent-Type: {body.attributes.media_type}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        sent: bytes | FilePart = head + body.data + tail
        if body.path is not None:
            size = body.path.stat().st_size
            if size != body.digest.size_bytes:
                raise ChecksumError(
                    f"{body.path}: expected {body.digest.describe()}, got {size} bytes"
                )
            sent = FilePart(
                path=body.path,
                start=0,
                size=size,
                crc32c=body.digest.crc32c,
                head=head,
                tail=tail,
                progress=progress,
            )
        else:
            require_digest(f"{self._bucket.url}/{name}", digest_bytes(body.data), body.digest)
            progress.relative_update(len(body.data))
        return self._request(
            "objects.insert",
            "POST",
            f"{self._bucket.url}: {name}",
            self._dialect.url_of(
                f"b/{self._bucket.name}/o", {"uploadType": "multipart", **query}, kind="upload/"
            ),
            headers={"Content-Type": f"multipart/related; boundary={_BOUNDARY}"},
            body=sent,
            expects="generation",
        )

    def _kept(self, attributes: Attributes, digest: Digest) -> dict[str, Any]:
        """Return what is kept with an object: attributes, sha256, class."""
        kept: dict[str, Any] = {"contentType": attributes.media_type}
        if attributes.cache_control:
            kept["cacheControl"] = attributes.cache_control
        if digest.sha256:
            kept["metadata"] = {"sha256": digest.sha256}
        if self._options.storage_class:
            kept["storageClass"] = self._options.storage_class
        return kept

    def _encryption(self, parameter: str) -> dict[str, str]:
        return {parameter: self._options.kms_key} if self._options.kms_key else {}

    def _written(self, key: str, resource: dict[str, Any], digest: Digest) -> Entry:
        """Return the entry of what was just written, as the service itself describes it."""
        entry = _read_entry(key, resource)
        require_digest(f"{self.url}/{key}", entry.digest, digest)
        return self.known.note(replace(entry, digest=digest))

    def _require_source(self, source: Bucket, key: str, copy_key: str, digest: Digest) -> str:
        """Return the generation of an object that is what it should be; only that one is copied."""
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

    def _neighbour(self, bucket: Bucket) -> "GcsStore":
        """Return the store of another bucket that is reached in the same way."""
        with self._lock:
            if bucket not in self._neighbours:
                self._neighbours[bucket] = GcsStore(bucket.url, self._options)
            return self._neighbours[bucket]

    def _resource(self, key: str) -> dict[str, Any]:
        reply = self._call(
            "objects.get", "GET", key, query={"fields": _FIELDS}, expects="generation"
        )
        return parse_json(reply.data)

    def _resources(self, prefix: str) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield key and resource of each object, page by page: those of a bucket are much."""
        query = {
            "prefix": self._bucket.folder + prefix,
            "maxResults": _PAGE,
            "projection": "noAcl",
            "fields": f"kind,nextPageToken,items({_FIELDS})",
        }
        while True:
            reply = self._request(
                "objects.list",
                "GET",
                f"{self._bucket.url}/{prefix}",
                self._dialect.url_of(f"b/{self._bucket.name}/o", query),
                expects="kind",
            )
            answer = parse_json(reply.data)
            for each in answer.get("items", ()):
                if not each["name"].endswith("/"):
                    yield self._bucket.key_of(each["name"]), each
            if not answer.get("nextPageToken"):
                return
            query["pageToken"] = answer["nextPageToken"]

    def _delete_some(self, keys: Sequence[str]) -> None:
        """Delete up to a hundred objects in one call; what fails in it is asked for by itself."""
        paths = [
            self._dialect.url_of(_object_path(self._bucket, key)).removeprefix(self._dialect.base)
            for key in keys
        ]
        failed = keys
        if len(keys) > 1:
            reply = self._request(
                "batch",
                "POST",
                f"{self._bucket.url}: {len(keys)} objects",
                f"{self._dialect.base}/batch/storage/v1",
                headers={"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"},
                body=render_deletions(paths, _BOUNDARY),
                accepts={200, 404, 501},  # an endpoint of one's own may know no batches
            )
            statuses = parse_batch(reply.headers.get("Content-Type", ""), reply.data)
            failed = [key for at, key in enumerate(keys) if statuses.get(at) not in {204, 404}]
        each_at_once(self._delete_one, failed)

    def _delete_one(self, key: str) -> None:
        try:
            self._call("objects.delete", "DELETE", key, accepts={204})
        except MissingObjectError:
            return

    def _call(  # noqa: PLR0913  one call of the API has that many parts
        self,
        operation: str,
        method: str,
        key: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        accepts: Iterable[int] = (200,),
        expects: str = "",
    ) -> Reply:
        """Call the API of one object."""
        path = _object_path(self._bucket, key)
        return self._request(
            operation,
            method,
            f"{self.url}/{key}",
            self._dialect.url_of(path, query),
            headers=headers,
            body=body,
            accepts=accepts,
            expects=expects,
        )

    def _request(  # noqa: PLR0913  one call of the API has that many parts
        self,
        operation: str,
        method: str,
        place: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | FilePart = b"",
        accepts: Iterable[int] = (200,),
        expects: str = "",
        patience: float = 60.0,
        is_single: bool = False,
    ) -> Reply:
        request = Request(
            operation=operation,
            place=place,
            method=method,
            url=url,
            headers=headers or {},
            body=body,
            accepts=frozenset(accepts),
            expects=expects,
            patience=patience,
        )
        return self._wire.send_once(request) if is_single else self._wire.send(request)


def _object_path(bucket: Bucket, key: str) -> str:
    return f"b/{bucket.name}/o/{quote(bucket.name_of(key), safe='')}"


def _conditions(condition: Condition) -> dict[str, str]:
    if condition.if_absent:
        return {"ifGenerationMatch": "0"}
    return {"ifGenerationMatch": condition.if_version} if condition.if_version else {}


def _read_entry(key: str, resource: dict[str, Any]) -> Entry:
    size, crc32c = int(resource["size"]), str(resource.get("crc32c", ""))
    sha256 = str((resource.get("metadata") or {}).get("sha256", ""))
    return Entry(
        key=key,
        size_bytes=size,
        version=str(resource["generation"]),
        digest=Digest(size_bytes=size, crc32c=crc32c, sha256=sha256) if crc32c else None,
        modified_at=datetime.fromisoformat(resource["updated"]) if "updated" in resource else None,
    )
