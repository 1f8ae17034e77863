"""Rules of S3 that moto does not keep: preconditions, checksums of uploads, and their listings."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

import google_crc32c
from moto.s3.models import FakeKey, FakeMultipart, S3Backend

from tests.fakes.s3_wire import S3Error, S3Request, bad_digest, encode_crc32c, sent_checksums

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_INNER = (
    "checksum",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-sdk-checksum-algorithm",
)
"""Headers that moto shows of an object and S3 does not."""


def check_condition(backend: S3Backend, request: S3Request) -> None:
    """Compare If-Match and If-None-Match of a write with what it would replace or delete."""
    found = backend.get_object(request.bucket, request.key)
    if request.headers.get("if-none-match") == "*" and found is not None:
        raise _failed("If-None-Match")
    if expected := request.headers.get("if-match"):
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        if expected.strip('"') not in {"*", found.etag.strip('"')}:
            raise _failed("If-Match")


def check_source(backend: S3Backend, request: S3Request, max_copy_bytes: int) -> None:
    """Compare the source of a copy with its preconditions, its range and the largest size."""
    path, _, query = request.headers["x-amz-copy-source"].partition("?")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    version = parse_qs(query).get("versionId", [None])[0]
    found = backend.get_object(bucket, key, version_id=version)
    if found is None:
        raise S3Error(404, "NoSuchKey", "The specified key does not exist.", {"Key": key})
    etag = found.etag.strip('"')
    if request.headers.get("x-amz-copy-source-if-match", etag).strip('"') != etag:
        raise _failed("x-amz-copy-source-If-Match")
    if request.headers.get("x-amz-copy-source-if-none-match", "").strip('"') == etag:
        raise _failed("x-amz-copy-source-If-None-Match")
    size = found.contentsize
    span = request.headers.get("x-amz-copy-source-range", f"bytes=0-{size - 1}")
    if not size > int(span.rpartition("-")[2]) and size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise S3Error(400, "InvalidArgument", message)
    if request.operation == "CopyObject" and size > max_copy_bytes:
        message = (
            "The specified copy source is larger than the maximum allowable size for a "
            f"copy source: {max_copy_bytes}"
        )
        raise S3Error(400, "InvalidRequest", message)


def check_part(backend: S3Backend, request: S3Request) -> None:
    """Refuse a part without the checksum that its upload was opened for."""
    wanted = _algorithm(open_upload(backend, request)).lower()
    sent = next(iter(sent_checksums(request)), "null")
    if wanted and wanted != sent:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted}, "
            f"actual checksum Type: {sent}"
        )
        raise S3Error(400, "InvalidRequest", message)


def check_completion(backend: S3Backend, request: S3Request) -> None:
    """Compare a completion with the parts: order, ETags, checksums, and those of the whole."""
    found = backend.get_object(request.bucket, request.key)
    upload_id = request.query["uploadId"]
    if found and found.multipart and found.multipart.id == upload_id:
        return  # moto answers a repeated completion as it did the first
    upload = open_upload(backend, request)
    listed = [_fields(part) for part in ET.fromstring(request.body) if _tag(part) == "Part"]
    numbers = [int(fields["PartNumber"]) for fields in listed]
    if numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order."
        raise S3Error(400, "InvalidPartOrder", message)
    crc, size = 0, 0
    for number, fields in zip(numbers, listed, strict=True):
        data = _verified_part(upload, number, fields)
        crc, size = google_crc32c.extend(crc, data), size + len(data)
    is_whole = upload.metadata.get("x-amz-checksum-type") == "FULL_OBJECT"
    expected = request.headers.get("x-amz-checksum-crc32c")
    if is_whole and expected and expected != encode_crc32c(crc):
        raise bad_digest("crc32c")
    if int(request.headers.get("x-amz-mp-object-size", size)) != size:
        message = "The provided 'x-amz-mp-object-size' header value does not match."
        raise S3Error(400, "InvalidRequest", message)


def deny_deletes(request: S3Request) -> bytes:
    """Refuse to delete each of several keys, in a reply of status 200."""
    root = ET.Element("DeleteResult", xmlns=NAMESPACE)
    for entry in ET.fromstring(request.body):
        if _tag(entry) == "Object":
            error = ET.SubElement(root, "Error")
            ET.SubElement(error, "Key").text = _fields(entry)["Key"]
            ET.SubElement(error, "Code").text = "AccessDenied"
            ET.SubElement(error, "Message").text = "Access Denied"
    return _render(root)


def open_upload(backend: S3Backend, request: S3Request) -> FakeMultipart:
    """Find the upload that a request names."""
    bucket = backend.get_bucket(request.bucket)
    upload = bucket.multiparts.get(request.query["uploadId"])
    if upload is None or upload.key_name != request.key:
        message = (
            "The specified upload does not exist. The upload ID may be invalid, or the "
            "upload may have been aborted or completed."
        )
        raise S3Error(404, "NoSuchUpload", message)
    return upload


def show_checksum(backend: S3Backend, request: S3Request, headers: dict[str, str]) -> None:
    """Give the reply of GET and HEAD the checksum that was asked for, and no inner header."""
    for name in _INNER:
        headers.pop(name, None)
    version = request.query.get("versionId")
    found = backend.get_object(request.bucket, request.key, version_id=version)
    if request.headers.get("x-amz-checksum-mode") != "ENABLED" or "range" in request.headers:
        return
    if found is not None and found.checksum_algorithm:
        headers |= _checksum_headers(found)


def add_checksum(
    backend: S3Backend, request: S3Request, headers: dict[str, str], body: bytes
) -> bytes:
    """Give the reply of a write the checksum of what it made; return its body."""
    operation = request.operation
    for name in _INNER:
        headers.pop(name, None)
    if operation == "CreateMultipartUpload" and (wanted := request.headers.get(_INNER[1])):
        headers |= {_INNER[1]: wanted, _INNER[2]: request.headers.get(_INNER[2], "COMPOSITE")}
    if operation == "UploadPartCopy":
        upload = open_upload(backend, request)
        data = upload.parts[int(request.query["partNumber"])].value
        value = encode_crc32c(google_crc32c.value(data))
        is_asked = _algorithm(upload) == "CRC32C"
        return _add_element(body, "ChecksumCRC32C", value) if is_asked else body
    if operation not in {"PutObject", "CopyObject", "CompleteMultipartUpload"}:
        return body
    made = backend.get_object(request.bucket, request.key)
    if made is None or not made.checksum_algorithm:
        return body
    for name in _INNER:
        made.metadata.pop(name, None)
    if operation != "CompleteMultipartUpload":
        made.checksum_type = "FULL_OBJECT"
    if operation == "PutObject":
        headers |= _checksum_headers(made)
        return body
    element = f"Checksum{made.checksum_algorithm}"
    if f"<{element}>".encode() not in body:
        shown = next(iter(_checksum_headers(made).values()))
        body = _add_element(body, element, shown)
    return _add_element(body, "ChecksumType", made.checksum_type or "FULL_OBJECT")


def list_parts(backend: S3Backend, request: S3Request) -> bytes:
    """Moto takes the part number marker for an index; where parts are missing, it skips."""
    upload = open_upload(backend, request)
    after = int(request.query.get("part-number-marker") or 0)
    limit = min(int(request.query.get("max-parts") or 1000), 1000)
    numbers = [number for number in sorted(upload.parts) if number > after]
    page = numbers[:limit]
    fields = {
        "Bucket": request.bucket,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1] if page else 0,
        "MaxParts": limit,
        "IsTruncated": str(len(numbers) > len(page)).lower(),
    }
    if _algorithm(upload):
        fields["ChecksumAlgorithm"] = _algorithm(upload)
        fields["ChecksumType"] = upload.metadata.get("x-amz-checksum-type", "COMPOSITE")
    root = ET.Element("ListPartsResult", xmlns=NAMESPACE)
    ET.SubElement(root, "Key").text = request.key
    for name, value in fields.items():
        ET.SubElement(root, name).text = str(value)
    for number in page:
        _describe_part(ET.SubElement(root, "Part"), number, upload)
    return _render(root)


def list_uploads(backend: S3Backend, request: S3Request, started: Mapping[str, datetime]) -> bytes:
    """Moto shows 2010 for every upload's age, and everything in one page."""
    query = request.query
    after = (query.get("key-marker", ""), query.get("upload-id-marker") or "\U0010ffff")
    limit = min(int(query.get("max-uploads") or 1000), 1000)
    uploads = backend.get_bucket(request.bucket).multiparts.values()
    found = sorted(
        (upload.key_name, upload.id)
        for upload in uploads
        if upload.key_name.startswith(query.get("prefix", ""))
    )
    found = [pair for pair in found if pair > after] if after[0] else found
    page = found[:limit]
    root = ET.Element("ListMultipartUploadsResult", xmlns=NAMESPACE)
    last_key, last_id = page[-1] if page else ("", "")
    fields = {
        "Bucket": request.bucket,
        "NextKeyMarker": last_key,
        "NextUploadIdMarker": last_id,
        "MaxUploads": str(limit),
        "IsTruncated": str(len(found) > len(page)).lower(),
    }
    for name, value in fields.items():
        ET.SubElement(root, name).text = value
    for key, upload_id in page:
        upload = ET.SubElement(root, "Upload")
        since = started.get(upload_id, datetime.now(UTC))
        ET.SubElement(upload, "Key").text = key
        ET.SubElement(upload, "UploadId").text = upload_id
        ET.SubElement(upload, "Initiated").text = since.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        ET.SubElement(upload, "StorageClass").text = "STANDARD"
    return _render(root)


def _verified_part(upload: FakeMultipart, number: int, fields: dict[str, str]) -> bytes:
    part = upload.parts.get(number)
    if part is not None and part.etag.strip('"') == fields["ETag"].strip('"'):
        data: bytes = part.value
        if fields.get("ChecksumCRC32C") in {None, encode_crc32c(google_crc32c.value(data))}:
            return data
    message = (
        "One or more of the specified parts could not be found.  The part may not have been "
        "uploaded, or the specified entity tag may not match the part's entity tag."
    )
    details = {"UploadId": upload.id, "PartNumber": str(number), "ETag": fields["ETag"]}
    raise S3Error(400, "InvalidPart", message, details)


def _describe_part(element: ET.Element, number: int, upload: FakeMultipart) -> None:
    part = upload.parts[number]
    fields = {
        "PartNumber": str(number),
        "LastModified": part.last_modified_ISO8601,
        "ETag": part.etag,
        "Size": str(part.contentsize),
    }
    if _algorithm(upload) == "CRC32C":
        fields["ChecksumCRC32C"] = encode_crc32c(google_crc32c.value(part.value))
    for name, value in fields.items():
        ET.SubElement(element, name).text = value


def _algorithm(upload: FakeMultipart) -> str:
    return str(upload.metadata.get("x-amz-checksum-algorithm") or "")


def _checksum_headers(found: FakeKey) -> dict[str, str]:
    is_composite = found.checksum_type == "COMPOSITE"
    value = f"{found.checksum_value}-{found.checksum_parts}" if is_composite else None
    return {
        f"x-amz-checksum-{str(found.checksum_algorithm).lower()}": value
        or str(found.checksum_value),
        "x-amz-checksum-type": found.checksum_type or "FULL_OBJECT",
    }


def _add_element(body: bytes, name: str, value: str) -> bytes:
    """Put an element at the end of an XML body's root."""
    return re.sub(rb"(</[^<>]+>)\s*$", f"<{name}>{value}</{name}>".encode() + rb"\1", body)


def _render(root: ET.Element) -> bytes:
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body


def _fields(element: ET.Element) -> dict[str, str]:
    return {_tag(child): child.text or "" for child in element}


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _failed(condition: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error(412, "PreconditionFailed", message, {"Condition": condition})
