"""What S3 says of objects, read into entries."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

from lading.release.objects import Digest
from lading.storage.cloud import Bucket
from lading.storage.contract import Entry
from lading.storage.s3_dialect import key_decoder, parse_xml
from lading.storage.wire import Reply


def read_page(root: ET.Element, bucket: Bucket) -> Iterator[Entry]:
    """Read a page of a listing, without the markers that some tools write for folders."""
    decode = key_decoder(root)
    for each in root.iter("Contents"):
        name = decode(each.findtext("Key") or "")
        if name.endswith("/"):
            continue
        yield Entry(
            key=bucket.key_of(name),
            size_bytes=int(each.findtext("Size") or 0),
            version=(each.findtext("ETag") or "").strip('"'),
            modified_at=datetime.fromisoformat(each.findtext("LastModified") or ""),
        )


def read_entry(key: str, reply: Reply) -> Entry:
    """Read what a HEAD tells of an object."""
    headers = reply.headers
    size = int(headers.get("Content-Length", 0))
    modified = headers.get("Last-Modified")
    return Entry(
        key=key,
        size_bytes=size,
        version=headers["ETag"].strip('"'),
        digest=_told_digest(
            size,
            headers.get("x-amz-checksum-crc32c", ""),
            headers.get("x-amz-checksum-type", ""),
            headers.get("x-amz-meta-sha256", ""),
        ),
        modified_at=parsedate_to_datetime(modified) if modified else None,
    )


def read_written(key: str, reply: Reply, size: int) -> Entry:
    """Read what a write answers: headers of a put, a document of all others."""
    fields = {
        "ETag": reply.headers.get("ETag", ""),
        "ChecksumCRC32C": reply.headers.get("x-amz-checksum-crc32c", ""),
        "ChecksumType": reply.headers.get("x-amz-checksum-type", ""),
        "LastModified": "",
    }
    if reply.data.lstrip().startswith(b"<"):
        root = parse_xml(reply.data)
        fields = {name: root.findtext(name) or told for name, told in fields.items()}
    digest = _told_digest(size, fields["ChecksumCRC32C"], fields["ChecksumType"], "")
    modified = fields["LastModified"]  # told of a copy alone
    return Entry(
        key=key,
        size_bytes=size,
        version=fields["ETag"].strip('"'),
        digest=digest,
        modified_at=datetime.fromisoformat(modified) if modified else None,
    )


def _told_digest(size: int, crc32c: str, kind: str, sha256: str) -> Digest | None:
    # the checksum of checksums of parts ends in their number and is none of the bytes
    if not crc32c or "-" in crc32c or kind == "COMPOSITE":
        return None
    return Digest(size_bytes=size, crc32c=crc32c, sha256=sha256)
