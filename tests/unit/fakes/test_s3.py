"""The S3 of the tests keeps the rules of S3 that the store relies on."""

import base64
import hashlib
import http.client
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import google_crc32c
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.fakes.s3 import FakeS3
from tests.fakes.s3_wire import CHECKSUMS, S3Error, S3Request, decode_aws_chunked

BUCKET = "bucket"


@pytest.fixture(scope="module")
def served() -> Iterator[FakeS3]:
    """One server for all tests here."""
    with FakeS3() as server:
        yield server


@pytest.fixture
def server(served: FakeS3) -> FakeS3:
    """The server as new, with a bucket."""
    served.reset()
    served.create_bucket(BUCKET)
    return served


@pytest.fixture(scope="module")
def client(served: FakeS3) -> Any:
    """A client of Amazon's, that does not try again."""
    return boto3.client(
        "s3",
        endpoint_url=served.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
    )


def crc(data: bytes) -> str:
    """A CRC32C as S3 writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """Status and code of the refusal of a call."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def begin(client: Any, key: str = "big", **arguments: Any) -> dict[str, str]:
    """Open an upload that is checked as a whole; return what each of its calls names."""
    opened = client.create_multipart_upload(
        Bucket=BUCKET, Key=key, ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT", **arguments
    )
    return {"Bucket": BUCKET, "Key": key, "UploadId": opened["UploadId"]}


def send(client: Any, upload: dict[str, str], number: int, data: bytes) -> dict[str, Any]:
    """Send a part; return how a completion lists it."""
    reply = client.upload_part(**upload, PartNumber=number, Body=data, ChecksumCRC32C=crc(data))
    return {"PartNumber": number, "ETag": reply["ETag"], "ChecksumCRC32C": crc(data)}


def complete(client: Any, upload: dict[str, str], *parts: dict[str, Any], **more: Any) -> Any:
    """Complete an upload."""
    return client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **more)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_refuses_a_wrong_checksum(server: FakeS3, client: Any, name: str) -> None:
    """A body that is not what its checksum says is refused, and not stored."""
    wrong = {f"Checksum{name.upper()}": base64.b64encode(CHECKSUMS[name](b"other")).decode()}
    put = {"Bucket": BUCKET, "Key": "a", "Body": b"bytes"}
    assert refused(client.put_object, **put, **wrong) == (400, "BadDigest")
    assert server.keys(BUCKET) == []
    right = {f"Checksum{name.upper()}": base64.b64encode(CHECKSUMS[name](b"bytes")).decode()}
    client.put_object(**put, **right)
    assert server.read(BUCKET, "a") == b"bytes"


def test_refuses_a_wrong_md5(server: FakeS3, client: Any) -> None:
    """Content-MD5 is compared, and must be one."""
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    put = {"Bucket": BUCKET, "Key": "a", "Body": b"bytes"}
    assert refused(client.put_object, **put, ContentMD5=md5) == (400, "BadDigest")
    assert refused(client.put_object, **put, ContentMD5="AAAA") == (400, "InvalidDigest")
    assert server.keys(BUCKET) == []


def test_refuses_a_wrong_signed_digest(server: FakeS3) -> None:
    """The SHA-256 that is signed is compared."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    digest = hashlib.sha256(b"other").hexdigest()
    connection.request("PUT", f"/{BUCKET}/a", b"bytes", {"x-amz-content-sha256": digest})
    reply = connection.getresponse()
    assert (reply.status, b"XAmzContentSHA256Mismatch" in reply.read()) == (400, True)
    connection.request("PUT", f"/{BUCKET}/a", b"bytes")  # the connection is still open
    assert connection.getresponse().read() == b""
    assert server.received_bytes == 10
    connection.close()


def test_decodes_signed_chunks(server: FakeS3) -> None:
    """A body in chunks is stored plain, and its trailer is compared."""
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        "x-amz-trailer": "x-amz-checksum-crc32c",
    }
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    for data, status in ((b"bytes", 200), (b"bytez", 400)):
        framed = b"5\r\n%s\r\n0\r\nx-amz-checksum-crc32c:%s\r\n\r\n" % (
            data,
            crc(b"bytes").encode(),
        )
        connection.request("PUT", f"/{BUCKET}/{status}", framed, headers)
        reply = connection.getresponse()
        assert (reply.status, bool(reply.read())) == (status, status == 400)
    connection.close()
    assert server.keys(BUCKET) == ["200"]
    assert server.read(BUCKET, "200") == b"bytes"
    with pytest.raises(S3Error):
        decode_aws_chunked(b"5\r\nbytes\r\n")


def test_shows_checksums(server: FakeS3, client: Any) -> None:
    """A checksum that was sent or asked for is shown by put, copy, head and get."""
    where = {"Bucket": BUCKET, "Key": "a ü+"}
    put = client.put_object(**where, Body=b"bytes", ChecksumCRC32C=crc(b"bytes"))
    copied = client.copy_object(
        Bucket=BUCKET, Key="copy", CopySource=where, ChecksumAlgorithm="CRC32C"
    )["CopyObjectResult"]
    head = client.head_object(**where, ChecksumMode="ENABLED")
    got = client.get_object(Bucket=BUCKET, Key="copy", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"bytes"
    for shown in (put, copied, head, got):
        assert (shown["ChecksumCRC32C"], shown["ChecksumType"]) == (crc(b"bytes"), "FULL_OBJECT")
    assert "ChecksumCRC32C" not in client.head_object(**where)
    server.put(BUCKET, "bare", b"bytes")
    bare = {"Bucket": BUCKET, "Key": "bare"}
    assert "ChecksumCRC32C" not in client.head_object(**bare, ChecksumMode="ENABLED")


def test_checks_an_upload_as_a_whole(server: FakeS3, client: Any) -> None:
    """A completion is compared with the whole object; after a refusal the upload stays open."""
    server.min_part_bytes = 1
    server.put(BUCKET, "source", b"0123456789")
    upload = begin(client, Metadata={"sha256": "of it"})
    first = send(client, upload, 1, b"abc")
    copied = client.upload_part_copy(
        **upload,
        PartNumber=3,
        CopySource={"Bucket": BUCKET, "Key": "source"},
        CopySourceRange="bytes=2-4",
    )["CopyPartResult"]
    assert copied["ChecksumCRC32C"] == crc(b"234")
    parts = first, {"PartNumber": 3, "ETag": copied["ETag"]}
    for wrong in (
        {"ChecksumCRC32C": crc(b"abc")},
        {"ChecksumCRC32C": crc(b"abc"), "ChecksumType": "FULL_OBJECT"},
    ):
        with pytest.raises(ClientError, match="BadDigest"):
            complete(client, upload, *parts, **wrong)
    with pytest.raises(ClientError, match="InvalidRequest"):
        complete(client, upload, *parts, MpuObjectSize=5)
    assert server.uploads(BUCKET) == {upload["UploadId"]: "big"}
    done = complete(client, upload, *parts, ChecksumCRC32C=crc(b"abc234"), MpuObjectSize=6)
    head = client.head_object(Bucket=BUCKET, Key="big", ChecksumMode="ENABLED")
    for shown in (done, head):
        assert (shown["ChecksumCRC32C"], shown["ChecksumType"]) == (crc(b"abc234"), "FULL_OBJECT")
        assert shown["ETag"].endswith('-2"')
    assert head["Metadata"] == {"sha256": "of it"}
    assert server.read(BUCKET, "big") == b"abc234"
    assert server.uploads(BUCKET) == {}
    assert complete(client, upload, *parts)["ETag"] == done["ETag"]  # again, as S3 lets one


def test_checks_parts(server: FakeS3, client: Any) -> None:
    """Parts need the checksum the upload was opened for, their size, order and ETag."""
    upload = begin(client)
    assert refused(client.upload_part, **upload, PartNumber=1, Body=b"a") == (400, "InvalidRequest")
    wrong = {"PartNumber": 1, "Body": b"a", "ChecksumCRC32C": crc(b"b")}
    assert refused(client.upload_part, **upload, **wrong) == (400, "BadDigest")
    one, two = (send(client, upload, number, b"abc") for number in (1, 2))
    for parts, code in (
        ([one, two], "EntityTooSmall"),
        ([two, one], "InvalidPartOrder"),
        ([one | {"ETag": '"0"'}], "InvalidPart"),
        ([one | {"ChecksumCRC32C": crc(b"b")}], "InvalidPart"),
    ):
        with pytest.raises(ClientError, match=f"[(]{code}[)]"):
            complete(client, upload, *parts)
    complete(client, upload, one)
    gone = upload | {"UploadId": "none"}
    for call in (client.list_parts, client.abort_multipart_upload):
        assert refused(call, **gone) == (404, "NoSuchUpload")
    with pytest.raises(ClientError, match="NoSuchUpload"):
        complete(client, gone, one)
    assert server.keys(BUCKET) == ["big"]


def test_lists_parts(server: FakeS3, client: Any) -> None:
    """Parts are listed by number, with their checksums, in pages, gaps or not."""
    upload = begin(client)
    for number in (2, 5, 9):
        send(client, upload, number, b"part %d" % number)
    page = client.list_parts(**upload, MaxParts=2)
    assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 5)
    rest = client.list_parts(**upload, PartNumberMarker=5)
    assert not rest["IsTruncated"]
    found = {part["PartNumber"]: part["ChecksumCRC32C"] for part in page["Parts"] + rest["Parts"]}
    assert found == {number: crc(b"part %d" % number) for number in (2, 5, 9)}
    assert (page["ChecksumAlgorithm"], page["ChecksumType"]) == ("CRC32C", "FULL_OBJECT")
    client.abort_multipart_upload(**upload)
    assert server.uploads(BUCKET) == {}


def test_lists_uploads(server: FakeS3, client: Any) -> None:
    """Open uploads are listed with their age, below a prefix, in pages."""
    uploads = [begin(client, key) for key in ("a/1", "a/2", "b")]
    server.age_upload(uploads[0]["UploadId"], timedelta(days=3))
    page = client.list_multipart_uploads(Bucket=BUCKET, Prefix="a/", MaxUploads=1)
    assert page["IsTruncated"]
    old = datetime.now(UTC) - page["Uploads"][0]["Initiated"]
    assert timedelta(days=2) < old < timedelta(days=4)
    rest = client.list_multipart_uploads(
        Bucket=BUCKET,
        Prefix="a/",
        KeyMarker=page["NextKeyMarker"],
        UploadIdMarker=page["NextUploadIdMarker"],
    )
    assert [upload["Key"] for upload in rest["Uploads"]] == ["a/2"]
    assert datetime.now(UTC) - rest["Uploads"][0]["Initiated"] < timedelta(minutes=5)
    for upload in uploads:
        client.abort_multipart_upload(**upload)


def test_lists_objects(server: FakeS3, client: Any) -> None:
    """Objects are listed in pages, as small as a test wants them."""
    for number in range(5):
        server.put(BUCKET, f"k{number}", b"")
    server.page_size = 2
    pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET))
    assert [len(page["Contents"]) for page in pages] == [2, 2, 1]
    assert server.requests["ListObjectsV2"] == 3


def test_preconditions(server: FakeS3, client: Any) -> None:
    """Puts, copies, deletes and completions are done on condition."""
    where = {"Bucket": BUCKET, "Key": "a"}
    etag = client.put_object(**where, Body=b"1", IfNoneMatch="*")["ETag"]
    other = client.put_object(Bucket=BUCKET, Key="b", Body=b"2")["ETag"]
    failed = (412, "PreconditionFailed")
    copy = {"Bucket": BUCKET, "Key": "c", "CopySource": where}
    assert refused(client.put_object, **where, IfNoneMatch="*") == failed
    assert refused(client.put_object, **where, IfMatch=other) == failed
    assert refused(client.delete_object, **where, IfMatch=other) == failed
    assert refused(client.copy_object, **copy, CopySourceIfMatch=other) == failed
    assert refused(client.copy_object, **copy | {"Key": "b"}, IfNoneMatch="*") == failed
    upload = begin(client, "a")
    part = send(client, upload, 1, b"3")
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": other}):
        with pytest.raises(ClientError, match="PreconditionFailed"):
            complete(client, upload, part, **condition)
    assert server.read(BUCKET, "a") == b"1"
    client.copy_object(**copy, CopySourceIfMatch=etag)
    complete(client, upload, part, IfMatch=etag)
    client.delete_object(Bucket=BUCKET, Key="c", IfMatch=etag)
    assert refused(client.delete_object, Bucket=BUCKET, Key="c", IfMatch="*")[0] == 404
    assert server.keys(BUCKET) == ["a", "b"]


def test_one_writer_wins(server: FakeS3, client: Any) -> None:
    """Of several that create an object at once, one does."""

    def create(number: int) -> bool:
        try:
            client.put_object(Bucket=BUCKET, Key="a", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert server.requests["PutObject"] == 8


def test_copy_limits(server: FakeS3, client: Any) -> None:
    """A copy of too much, of nothing, or of bytes that are not there is refused."""
    server.put(BUCKET, "a", b"12345")
    server.max_copy_bytes = 4
    copy = {"Bucket": BUCKET, "Key": "b", "CopySource": f"{BUCKET}/a"}
    assert refused(client.copy_object, **copy) == (400, "InvalidRequest")
    absent = copy | {"CopySource": f"{BUCKET}/none"}
    assert refused(client.copy_object, **absent) == (404, "NoSuchKey")
    part = begin(client) | {"PartNumber": 1, "CopySource": f"{BUCKET}/a"}
    beyond = part | {"CopySourceRange": "bytes=0-5"}
    assert refused(client.upload_part_copy, **beyond) == (400, "InvalidArgument")
    client.upload_part_copy(**part)


def test_legal_hold(server: FakeS3, client: Any) -> None:
    """A hold keeps its version; what is put over it, or marks it deleted, leaves it there."""
    server.create_bucket("locked", object_lock=True)
    where = {"Bucket": "locked", "Key": "a"}
    version = client.put_object(**where, Body=b"1")["VersionId"]
    client.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
    assert client.get_object_legal_hold(**where)["LegalHold"] == {"Status": "ON"}
    assert client.head_object(**where)["ObjectLockLegalHoldStatus"] == "ON"
    client.put_object(**where, Body=b"2")
    client.delete_object(**where)
    assert refused(client.delete_object, **where, VersionId=version) == (403, "AccessDenied")
    assert client.get_object(**where, VersionId=version)["Body"].read() == b"1"
    client.put_object_legal_hold(**where, VersionId=version, LegalHold={"Status": "OFF"})
    client.delete_object(**where, VersionId=version)
    assert server.keys("locked") == []
    hold = {"Bucket": BUCKET, "Key": "a", "LegalHold": {"Status": "ON"}}
    server.put(BUCKET, "a", b"1")
    assert refused(client.put_object_legal_hold, **hold)[0] == 400


def test_denies(server: FakeS3, client: Any) -> None:
    """What is denied is denied for every operation that needs the permission."""
    server.put(BUCKET, "a", b"1")
    server.denied = {"PutObject", "DeleteObject", "ListBucket"}
    denied = (403, "AccessDenied")
    where = {"Bucket": BUCKET, "Key": "a"}
    assert refused(client.put_object, **where) == denied
    assert refused(client.create_multipart_upload, **where) == denied
    assert refused(client.copy_object, **where, CopySource=f"{BUCKET}/a") == denied
    assert refused(client.delete_object, **where) == denied
    assert refused(client.list_objects_v2, Bucket=BUCKET) == denied
    assert refused(client.get_object, Bucket=BUCKET, Key="none") == denied
    assert refused(client.head_object, Bucket=BUCKET, Key="none") == (403, "403")
    errors = client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}]})["Errors"]
    assert [(error["Key"], error["Code"]) for error in errors] == [("a", "AccessDenied")]
    assert client.get_object(**where)["Body"].read() == b"1"
    server.denied = {"GetObject"}
    assert refused(client.get_object, **where) == denied
    server.denied, server.requester_pays = set(), {BUCKET}
    assert refused(client.get_object, **where) == denied
    client.get_object(**where, RequestPayer="requester")


def test_credentials(server: FakeS3, client: Any) -> None:
    """Keys, sessions, clocks and regions are refused as S3 does it."""
    call = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    server.valid_keys = {"other"}
    assert refused(client.put_object, **call) == (403, "InvalidAccessKeyId")
    server.valid_keys, server.expired_keys = None, {"testing"}
    assert refused(client.put_object, **call) == (400, "ExpiredToken")
    server.expired_keys, server.is_skewed = set(), True
    assert refused(client.put_object, **call) == (403, "RequestTimeTooSkewed")
    server.is_skewed, server.region = False, "eu-west-1"
    signed = "AWS4-HMAC-SHA256 Credential=testing/20250205/us-east-1/s3/aws4_request, Signature=0"
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("GET", f"/{BUCKET}/a", headers={"Authorization": signed})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert (reply.status, reply.headers["x-amz-bucket-region"]) == (400, "eu-west-1")
    assert b"<Code>AuthorizationHeaderMalformed</Code>" in body
    assert b"is wrong; expecting 'eu-west-1'" in body
    assert b"<Region>eu-west-1</Region>" in body


def test_faults(server: FakeS3, client: Any) -> None:
    """Errors are given as often as was said, and a lie is an error with status 200."""
    call = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    server.fail_next("PutObject", 503, times=2, retry_after=1)
    with pytest.raises(ClientError) as caught:
        client.put_object(**call)
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert refused(client.put_object, **call) == (503, "SlowDown")
    client.put_object(**call)
    server.lie_next("CopyObject")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("PUT", f"/{BUCKET}/b", headers={"x-amz-copy-source": f"/{BUCKET}/a"})
    reply = connection.getresponse()
    assert (reply.status, b"<Code>InternalError</Code>" in reply.read()) == (200, True)
    connection.close()
    assert server.keys(BUCKET) == ["a"]
    assert server.requests == {"PutObject": 3, "CopyObject": 1}


def test_absent_bucket(server: FakeS3, client: Any) -> None:
    """A bucket that is not there is said to be absent, whatever was asked of it."""
    call = {"Bucket": "absent", "Key": "a"}
    assert refused(client.put_object, **call) == (404, "NoSuchBucket")
    assert refused(client.get_object, **call) == (404, "NoSuchBucket")
    assert refused(client.list_multipart_uploads, Bucket="absent") == (404, "NoSuchBucket")
    assert server.requests.total() == 3


@pytest.mark.parametrize(
    ("method", "bucket", "key", "query", "operation"),
    [
        ("GET", "", "", {}, "ListBuckets"),
        ("PUT", "b", "", {}, "CreateBucket"),
        ("GET", "b", "", {"location": ""}, "GetBucketLocation"),
        ("GET", "b", "", {"uploads": ""}, "ListMultipartUploads"),
        ("PUT", "b", "", {"versioning": ""}, "PutBucketVersioning"),
        ("POST", "b", "", {"delete": ""}, "DeleteObjects"),
        ("GET", "b", "", {}, "ListObjects"),
        ("HEAD", "b", "k", {}, "HeadObject"),
        ("PUT", "b", "k", {"legal-hold": ""}, "PutObjectLegalHold"),
        ("POST", "b", "k", {"uploads": ""}, "CreateMultipartUpload"),
        ("DELETE", "b", "k", {"uploadId": "1"}, "AbortMultipartUpload"),
    ],
)
def test_operation(
    method: str, bucket: str, key: str, query: dict[str, str], operation: str
) -> None:
    """Requests are named as the API names them."""
    assert S3Request(method, bucket, key, query, {}, b"").operation == operation


def test_process() -> None:
    """It runs as a process of its own, until its standard input ends."""
    command = [sys.executable, "-m", "tests.fakes.s3", "--bucket", BUCKET]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("PUT", f"/{BUCKET}/a", b"bytes")
        assert connection.getresponse().status == 200
        connection.close()
        _, errors = process.communicate("", timeout=10)
    assert (process.returncode, errors) == (0, "")
