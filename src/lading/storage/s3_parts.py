"""Large objects on S3: sent and copied in parts at once, gone on with from any machine.

The service computes the CRC32C of the whole object from those of its parts, so one plain
object with one checksum stands there in the end. What a cut upload has left is found in the
service itself; parts that it holds are believed by their checksum and never sent again.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.objects import Digest
from lading.storage.bytes import combine_crc32c
from lading.storage.cloud import each_at_once
from lading.storage.progress import Progress
from lading.storage.s3_dialect import XMLNS, key_decoder, parse_xml
from lading.storage.sessions import Sessions
from lading.storage.wire import FilePart, Reply, crc_of_part

PART_BYTES = 16 << 20
COPIED_PART_BYTES = 512 << 20
MOST_PARTS = 10_000
_PARTS_AT_ONCE = 8
_PATIENCE_S = 600.0

Call = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an object."""

    number: int
    """From 1."""
    start: int
    """First byte."""
    size: int
    """Number of bytes."""


@dataclass(frozen=True, slots=True)
class HeldPart:
    """A part that the service holds."""

    size: int
    """Number of bytes."""
    etag: str
    """Its ETag, without quotes."""
    crc32c: str
    """Its CRC32C, base64, or "" where the service does not tell."""


@dataclass(frozen=True, slots=True)
class Found:
    """An upload that was begun and not ended."""

    name: str
    """Name of the object in the bucket."""
    upload: str
    """Id of the upload."""
    begun_at: datetime
    """When it was begun; aware."""
    is_ours: bool
    """Whether it has a whole-object CRC32C, as every upload of ours."""


class _Counted(Progress):
    """Passes progress on, and knows how much of it there was."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.total = 0
        self._progress = progress
        self._lock = threading.Lock()

    def relative_update(self, inc: int = 1) -> None:
        with self._lock:
            self.total += inc
        self._progress.relative_update(inc)


def plan_parts(size: int, part_bytes: int = PART_BYTES) -> list[Part]:
    """Divide an object into parts of equal size, whole MiB, as few as need be."""
    mib = 1 << 20
    smallest = -(-size // MOST_PARTS)
    step = max(part_bytes, -(-smallest // mib) * mib)
    return [
        Part(number, start, min(step, size - start))
        for number, start in enumerate(range(0, size, step), start=1)
    ]


class Multipart:
    """Uploads in parts to one bucket.

    Args:
        call: ``S3Store.request``.
        sessions: the uploads that were begun on this machine.
    """

    def __init__(self, call: Call, sessions: Sessions) -> None:
        self._call = call
        self._sessions = sessions

    def send(
        self,
        name: str,
        path: Path,
        digest: Digest,
        headers: dict[str, str],
        progress: Progress,
        *,
        is_second: bool = False,
    ) -> Reply:
        """Send a file in parts, those that the service lacks.

        Args:
            name: name of the object in the bucket.
            path: the file.
            digest: what it must be.
            headers: of the object; a condition among them holds at the end.
            progress: told of all its bytes.
            is_second: whether the upload was lost once already.

        Raises:
            ChecksumError: the file has other bytes; nothing is left of the upload.
        """
        _require_size(path, digest)
        upload = "" if is_second else self._find_upload(name, digest)
        try:
            held = self._list_parts(name, upload) if upload else {}
        except MissingObjectError:  # it was ended since
            upload, held = "", {}
        is_found = bool(upload)
        upload = upload or self._begin(name, headers)
        counted = _Counted(progress)
        self._sessions.keep(name, digest, upload)

        def send_part(part: Part) -> HeldPart:
            crc = crc_of_part(path, part.start, part.size)
            standing = held.get(part.number)
            if standing and _is_same(path, part, crc, standing):
                counted.relative_update(part.size)
                return HeldPart(part.size, standing.etag, crc)
            return self._send_part(name, upload, part, path, crc, counted)

        parts = plan_parts(digest.size_bytes)
        try:
            sent = each_at_once(send_part, parts, workers=_PARTS_AT_ONCE)
            _require_whole(path, sent, digest)
            reply = self._complete(name, upload, sent, digest, _only_conditions(headers))
        except (ChecksumError, ConditionError):
            self.abort(name, upload)
            self._sessions.forget(name)
            raise
        except StoreError as error:
            # an earlier try of the same call may have ended it; else it is begun anew, once
            is_lost = isinstance(error, MissingObjectError)
            found = self._look(name, digest) if is_lost else None
            if found is None and (is_second or not _is_hopeless(error, is_found=is_found)):
                raise
            self._sessions.forget(name)
            if found is not None:
                return found
            progress.relative_update(-counted.total)
            return self.send(name, path, digest, headers, progress, is_second=True)
        self._sessions.forget(name)
        return reply

    def copy(self, name: str, digest: Digest, headers: dict[str, str]) -> Reply:
        """Copy an object in parts, on the side of the service.

        Args:
            name: name of the new object.
            digest: what it must be.
            headers: of the object, and the source with its condition.
        """
        source = {key: value for key, value in headers.items() if key.startswith("x-amz-copy-")}
        upload = self._begin(name, {k: v for k, v in headers.items() if k not in source})

        def copy_part(part: Part) -> HeldPart:
            last = part.start + part.size - 1
            reply = self._call(
                "UploadPartCopy",
                "PUT",
                name,
                {**source, "x-amz-copy-source-range": f"bytes={part.start}-{last}"},
                query={"partNumber": str(part.number), "uploadId": upload},
                expects="CopyPartResult",
                patience=_PATIENCE_S,
            )
            root = parse_xml(reply.data)
            etag = (root.findtext("ETag") or "").strip('"')
            return HeldPart(part.size, etag, root.findtext("ChecksumCRC32C") or "")

        try:
            parts = plan_parts(digest.size_bytes, COPIED_PART_BYTES)
            copied = each_at_once(copy_part, parts, workers=_PARTS_AT_ONCE)
            return self._complete(name, upload, copied, digest, {})
        except BaseException:
            self.abort(name, upload)
            raise

    def find(self, prefix: str) -> Iterator[Found]:
        """Yield the uploads to names with a prefix that were begun and not ended."""
        query = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        while True:
            reply = self._call(
                "ListMultipartUploads", "GET", "", query=query, expects="ListMultipartUploadsResult"
            )
            root = parse_xml(reply.data)
            decode = key_decoder(root)
            for each in root.iter("Upload"):
                name = decode(each.findtext("Key") or "")
                if name.startswith(prefix):  # some services take no prefix
                    yield Found(
                        name,
                        each.findtext("UploadId") or "",
                        datetime.fromisoformat(each.findtext("Initiated") or ""),
                        each.findtext("ChecksumAlgorithm") in {None, "CRC32C"}
                        and each.findtext("ChecksumType") in {None, "FULL_OBJECT"},
                    )
            if root.findtext("IsTruncated") != "true":
                return
            query["key-marker"] = decode(root.findtext("NextKeyMarker") or "")
            query["upload-id-marker"] = root.findtext("NextUploadIdMarker") or ""

    def abort(self, name: str, upload: str) -> None:
        """End an upload and free its parts; one that has ended is no error."""
        try:
            self._call(
                "AbortMultipartUpload", "DELETE", name, query={"uploadId": upload}, accepts={204}
            )
        except MissingObjectError:
            return

    def _find_upload(self, name: str, digest: Digest) -> str:
        """Return the upload to go on with: this machine's, else the latest that the service has."""
        kept = self._sessions.find(name, digest)
        if kept:
            return kept
        try:
            found = [each for each in self.find(name) if each.name == name and each.is_ours]
        except StoreError:  # listing uploads is a permission of its own, and no must
            return ""
        return max(found, key=lambda each: each.begun_at).upload if found else ""

    def _list_parts(self, name: str, upload: str) -> dict[int, HeldPart]:
        query = {"uploadId": upload}
        held: dict[int, HeldPart] = {}
        while True:
            reply = self._call("ListParts", "GET", name, query=query, expects="ListPartsResult")
            root = parse_xml(reply.data)
            for each in root.iter("Part"):
                held[int(each.findtext("PartNumber") or 0)] = HeldPart(
                    int(each.findtext("Size") or 0),
                    (each.findtext("ETag") or "").strip('"'),
                    each.findtext("ChecksumCRC32C") or "",
                )
            if root.findtext("IsTruncated") != "true":
                return held
            query["part-number-marker"] = root.findtext("NextPartNumberMarker") or ""

    def _begin(self, name: str, headers: dict[str, str]) -> str:
        kept = {
            key: value
            for key, value in headers.items()
            if not key.startswith(("x-amz-checksum", "x-amz-sdk", "If-"))
        }
        kept |= {"x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT"}
        reply = self._call(
            "CreateMultipartUpload",
            "POST",
            name,
            kept,
            query={"uploads": ""},
            expects="InitiateMultipartUploadResult",
        )
        return parse_xml(reply.data).findtext("UploadId") or ""

    def _send_part(
        self, name: str, upload: str, part: Part, path: Path, crc: str, progress: Progress
    ) -> HeldPart:
        reply = self._call(
            "UploadPart",
            "PUT",
            name,
            {"x-amz-checksum-crc32c": crc, "x-amz-sdk-checksum-algorithm": "CRC32C"},
            query={"partNumber": str(part.number), "uploadId": upload},
            body=FilePart(
                path=path, start=part.start, size=part.size, crc32c=crc, progress=progress
            ),
            expects="ETag",
        )
        return HeldPart(part.size, reply.headers["ETag"].strip('"'), crc)

    def _complete(
        self,
        name: str,
        upload: str,
        parts: Iterable[HeldPart],
        digest: Digest,
        conditions: dict[str, str],
    ) -> Reply:
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{each.etag}&quot;</ETag>"
            + (f"<ChecksumCRC32C>{each.crc32c}</ChecksumCRC32C>" if each.crc32c else "")
            + "</Part>"
            for number, each in enumerate(parts, start=1)
        )
        return self._call(
            "CompleteMultipartUpload",
            "POST",
            name,
            {
                "x-amz-checksum-crc32c": digest.crc32c,
                "x-amz-checksum-type": "FULL_OBJECT",
                "x-amz-mp-object-size": str(digest.size_bytes),
                **conditions,
            },
            query={"uploadId": upload},
            body=f"<CompleteMultipartUpload {XMLNS}>{rows}</CompleteMultipartUpload>".encode(),
            expects="CompleteMultipartUploadResult",
            patience=_PATIENCE_S,
        )

    def _look(self, name: str, digest: Digest) -> Reply | None:
        """Return what is told of an object, if it is the one that was to be made."""
        try:
            reply = self._call(
                "HeadObject", "HEAD", name, {"x-amz-checksum-mode": "ENABLED"}, expects="ETag"
            )
        except MissingObjectError:
            return None
        is_it = reply.headers.get("x-amz-checksum-crc32c") == digest.crc32c
        return reply if is_it else None


def _is_hopeless(error: StoreError, *, is_found: bool) -> bool:
    """Say whether an upload is lost, or another tool's that takes no parts of ours."""
    return isinstance(error, MissingObjectError) or (is_found and type(error) is StoreError)


def _only_conditions(headers: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.startswith("If-")}


def _is_same(path: Path, part: Part, crc: str, held: HeldPart) -> bool:
    """Say whether the service holds the very bytes of a part."""
    if held.size != part.size:
        return False
    if held.crc32c:
        return held.crc32c == crc
    with path.open("rb") as file:
        file.seek(part.start)
        return hashlib.md5(file.read(part.size), usedforsecurity=False).hexdigest() == held.etag


def _require_size(path: Path, digest: Digest) -> None:
    size = os.stat(path).st_size  # noqa: PTH116  one call, no second object
    if size != digest.size_bytes:
        raise ChecksumError(f"{path}: expected {digest.describe()}, got {size} bytes")


def _require_whole(path: Path, parts: Iterable[HeldPart], digest: Digest) -> None:
    """Refuse to put together parts that are not the announced file, whatever the service says."""
    found = combine_crc32c((each.crc32c, each.size) for each in parts)
    if found != digest.crc32c:
        raise ChecksumError(
            f"{path}: expected crc32c {digest.crc32c} ({digest.size_bytes} bytes),"
            f" got crc32c {found} ({digest.size_bytes} bytes)"
        )
