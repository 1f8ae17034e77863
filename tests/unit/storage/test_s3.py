"""Tests of S3 as a store, over a server that keeps the rules of S3."""

import hashlib
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lading.config.models import Destination
from lading.errors import (
    ChecksumError,
    ConditionError,
    MissingObjectError,
    StoreError,
    UnavailableError,
)
from lading.release.objects import digest_bytes
from lading.storage import IF_ABSENT, Attributes, Body, Progress, s3_dialect, s3_parts
from lading.storage import s3 as s3_module
from lading.storage.s3 import S3Store
from lading.storage.s3_parts import plan_parts
from lading.storage.wire import ATTEMPTS
from tests.fakes.proxy import FaultProxy
from tests.fakes.s3 import FakeS3
from tests.fakes.scripted import RESET, ScriptedServer, reply
from tests.fakes.tls import make_certificate
from tests.unit.storage.naps import note_naps

BUCKET = "open-data"
MIB = 1 << 20
PART = 64 << 10
BIG = b"".join(bytes([number]) * PART for number in range(6)) + b"the end"
SECRET = "very-secret-key"
ODD_KEYS = [
    "a b.txt", "æøå/日本.parquet", "a#b", "a?b=c", "100%25.txt", "a+b", "a&b", "a=b", "'\"<>&amp;",
    "~a-b_c.d", "a%2Fb", "(a)*!$,;:@", "\u00e9", "e\u0301", "back\\slash", "x" * 1024,
]  # fmt: skip


class Counting(Progress):
    """Counts bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.total += inc


@pytest.fixture(scope="module")
def served() -> Iterator[FakeS3]:
    """One server for all tests here."""
    with FakeS3() as server:
        yield server


@pytest.fixture(autouse=True)
def s3(served: FakeS3, monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    """Return the server as new, with a bucket; the environment names it."""
    served.reset()
    served.create_bucket(BUCKET)
    served.min_part_bytes = 1
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    return served


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait for nothing."""
    return note_naps(monkeypatch)


@pytest.fixture(scope="module")
def one_scripted() -> Iterator[ScriptedServer]:
    """One server with a script for all tests here: every endpoint costs a set-up."""
    with ScriptedServer(reply(500)) as server:
        yield server


@pytest.fixture
def scripted(one_scripted: ScriptedServer) -> ScriptedServer:
    """Return it without a past; its script is ``steps``."""
    one_scripted.received.clear()
    return one_scripted


@pytest.fixture(scope="module")
def one_proxy(served: FakeS3) -> Iterator[FaultProxy]:
    """One proxy for all tests here."""
    with FaultProxy(served.url) as proxy:
        yield proxy


@pytest.fixture
def proxy(one_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """Return it without a fault."""
    one_proxy.faults.clear()
    yield one_proxy
    one_proxy.rate = 0.0


@pytest.fixture
def fresh_setup() -> Iterator[None]:
    """Let the ecosystem's configuration be read anew, before and after."""
    s3_dialect._connect.cache_clear()
    yield
    s3_dialect._connect.cache_clear()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be large that are not, sent one part after another."""

    def plan(size: int, part_bytes: int = PART) -> list[s3_parts.Part]:
        step = min(part_bytes, 4 * PART)
        starts = range(0, size, step)
        return [
            s3_parts.Part(number, start, min(step, size - start))
            for number, start in enumerate(starts, start=1)
        ]

    monkeypatch.setattr(s3_parts, "plan_parts", plan)
    monkeypatch.setattr(s3_parts, "_PARTS_AT_ONCE", 1)
    monkeypatch.setattr(s3_module, "LARGE_BYTES", 2 * PART)
    monkeypatch.setattr(s3_module, "SINGLE_COPY_BYTES", 2 * PART)


def open_s3(
    s3: FakeS3 | ScriptedServer | FaultProxy,
    url: str = f"s3://{BUCKET}",
    sessions: Path | None = None,
    **options: Any,
) -> S3Store:
    """Open a store as a machine that never saw it."""
    return S3Store(url, Destination(url=url, endpoint=s3.url, **options), sessions)


def file_of(folder: Path, data: bytes, **attributes: str) -> Body:
    """Return a file as what to put."""
    path = folder / "file.bin"
    path.write_bytes(data)
    return Body(digest_bytes(data), path, attributes=Attributes(**attributes))


def held_parts(s3: FakeS3) -> set[int]:
    """Return the numbers of the parts that the one open upload holds."""
    (upload,) = s3.backend.get_bucket(BUCKET).multiparts.values()
    return set(upload.parts)


def head(s3: FakeS3, key: str) -> Any:
    """Return moto's own object."""
    found = s3.backend.get_object(BUCKET, key)
    assert found is not None
    return found


def served_headers(s3: FakeS3, key: str) -> dict[str, str]:
    """Return the headers that a reader of an object gets."""
    answer = open_s3(s3).request("HeadObject", "HEAD", key)
    return {name.lower(): value for name, value in answer.headers.items()}


MEDIA_TYPES = [
    "application/vnd.apache.parquet",
    "application/zip",
    "application/vnd.sqlite3",
    "application/json",
]
VERSIONED = "public, max-age=31536000, immutable"


class TestKept:
    """What stands beside the bytes."""

    @pytest.mark.parametrize("media_type", MEDIA_TYPES)
    def test_attributes_of_a_put(self, s3: FakeS3, tmp_path: Path, media_type: str) -> None:
        """Content type, cache control and sha256 are kept as they were given."""
        body = file_of(tmp_path, b"bytes", media_type=media_type, cache_control=VERSIONED)
        open_s3(s3).put("a", body)
        found = served_headers(s3, "a")
        assert found["content-type"] == media_type
        assert found["cache-control"] == VERSIONED
        assert found["x-amz-meta-sha256"] == body.digest.sha256

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("act", ["put in parts", "copy", "copy in parts"])
    def test_attributes_of_every_way(self, s3: FakeS3, tmp_path: Path, act: str) -> None:
        """Whatever way an object takes, it gets what it was given, and nothing of its source."""
        data = BIG if "parts" in act else b"small"
        store = open_s3(s3)
        body = file_of(tmp_path, data, media_type="application/zip", cache_control="no-cache")
        store.put("a", body)
        at = "a"
        if act.startswith("copy"):
            at = "b"
            attributes = Attributes(media_type="application/json", cache_control=VERSIONED)
            store.copy("a", "b", digest=body.digest, attributes=attributes)
        found = served_headers(s3, at)
        expected = ("application/zip", "no-cache") if at == "a" else ("application/json", VERSIONED)
        assert (found["content-type"], found["cache-control"]) == expected
        assert found["x-amz-meta-sha256"] == body.digest.sha256
        assert s3.read(BUCKET, at) == data
        is_in_parts = s3.requests["UploadPart" if at == "a" else "UploadPartCopy"] > 0
        assert is_in_parts == ("parts" in act)

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("data", [b"small", BIG], ids=["whole", "in parts"])
    def test_storage_class(self, s3: FakeS3, tmp_path: Path, data: bytes) -> None:
        """The storage class of the destination is that of what is written, and of copies."""
        store = open_s3(s3, storage_class="STANDARD_IA")
        body = file_of(tmp_path, data)
        store.put("a", body)
        store.copy("a", "b", digest=body.digest)
        assert [head(s3, key).storage_class for key in "ab"] == ["STANDARD_IA"] * 2

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("data", [b"small", BIG], ids=["whole", "in parts"])
    def test_key_of_the_key_service(self, s3: FakeS3, tmp_path: Path, data: bytes) -> None:
        """The key of the destination encrypts what is written, and copies."""
        store = open_s3(s3, kms_key="arn:aws:kms:key/1")
        body = file_of(tmp_path, data)
        store.put("a", body)
        store.copy("a", "b", digest=body.digest)
        assert [head(s3, key).kms_key_id for key in "ab"] == ["arn:aws:kms:key/1"] * 2

    def test_nothing_is_said_that_was_not_asked(self, s3: FakeS3) -> None:
        """Without options no class and no key are named: the bucket's own rules hold."""
        open_s3(s3).put("a", Body.of_bytes(b"x"))
        found = served_headers(s3, "a")
        assert "x-amz-server-side-encryption" not in found
        assert "x-amz-storage-class" not in found


class TestChecksums:
    """CRC32C from end to end."""

    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("data", [b"", b"small", BIG], ids=["empty", "whole", "in parts"])
    def test_service_keeps_that_of_the_whole(self, s3: FakeS3, tmp_path: Path, data: bytes) -> None:
        """The service itself tells the CRC32C of the whole object, parts or none."""
        store, body = open_s3(s3), file_of(tmp_path, data)
        store.put("a", body)
        store.copy("a", "b", digest=body.digest)
        for key in "ab":
            answer = store.request("HeadObject", "HEAD", key, {"x-amz-checksum-mode": "ENABLED"})
            assert answer.headers["x-amz-checksum-crc32c"] == body.digest.crc32c
            assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
            assert open_s3(s3).digest(key).crc32c == body.digest.crc32c

    def test_service_that_finds_other_bytes(self, s3: FakeS3) -> None:
        """Bytes that the service finds to be others are a checksum error, and nothing stands."""
        s3.fail_next("PutObject", 400, "BadDigest")
        with pytest.raises(ChecksumError, match=r"s3://open-data/a: PutObject: .*BadDigest"):
            open_s3(s3).put("a", Body.of_bytes(b"x"))
        assert s3.keys(BUCKET) == []
        assert s3.requests["PutObject"] == 1

    @pytest.mark.usefixtures("small")
    def test_parts_that_are_not_the_file(self, s3: FakeS3, tmp_path: Path) -> None:
        """A completion refused for its checksum leaves neither an object nor an upload."""
        s3.fail_next("CompleteMultipartUpload", 400, "BadDigest")
        with pytest.raises(ChecksumError):
            open_s3(s3).put("a", file_of(tmp_path, BIG))
        assert s3.keys(BUCKET) == []
        assert s3.uploads(BUCKET) == {}

    @pytest.mark.usefixtures("small")
    def test_file_of_other_bytes_is_never_completed(self, s3: FakeS3, tmp_path: Path) -> None:
        """A large file that changed since is not put together: the service is not even asked."""
        body = file_of(tmp_path, BIG)
        assert body.path is not None
        body.path.write_bytes(BIG[:-1] + b"!")
        with pytest.raises(ChecksumError, match=r"file\.bin: expected crc32c .* got crc32c"):
            open_s3(s3).put("a", body)
        assert s3.requests["CompleteMultipartUpload"] == 0
        assert s3.uploads(BUCKET) == {}

    def test_service_that_tells_none(self, s3: FakeS3) -> None:
        """Of an object without a checksum the bytes are read, and in blocks."""
        s3.put(BUCKET, "a", BIG)
        found = open_s3(s3).digest("a")
        assert (found.size_bytes, found.crc32c) == (len(BIG), digest_bytes(BIG).crc32c)

    def test_copy_of_what_has_none(self, s3: FakeS3) -> None:
        """An object without a checksum is copied once its bytes were found right."""
        s3.put(BUCKET, "a", b"bytes")
        store = open_s3(s3)
        with pytest.raises(ChecksumError):
            store.copy("a", "b", digest=digest_bytes(b"other"))
        store.copy("a", "b", digest=digest_bytes(b"bytes"))
        assert s3.keys(BUCKET) == ["a", "b"]

    def test_checksum_of_checksums_is_none_of_the_bytes(self, scripted: ScriptedServer) -> None:
        """The checksum of another tool's parts is not taken for that of the bytes."""
        told = {"ETag": '"e"', "x-amz-checksum-crc32c": "4waSgw==-3"}
        scripted.steps = [reply(200, b"", told)]
        found = open_s3(scripted).stat("a")
        assert found is not None
        assert found.digest is None

    def test_service_that_tells_another(self, scripted: ScriptedServer) -> None:
        """A service that kept other bytes than were sent is found out by what it tells."""
        told = {"ETag": '"e"', "x-amz-checksum-crc32c": "AAAAAA=="}
        scripted.steps = [reply(200, b"", told)]
        with pytest.raises(ChecksumError, match=r"expected .*got .*AAAAAA=="):
            open_s3(scripted).put("a", Body.of_bytes(b"x"))

    def test_source_replaced_since_it_was_seen(self, s3: FakeS3) -> None:
        """A source that was replaced is not copied, and seen anew by the next try."""
        store, digest = open_s3(s3), digest_bytes(b"old")
        store.put("a", Body.of_bytes(b"old"))
        s3.put(BUCKET, "a", b"new")
        with pytest.raises(ChecksumError, match="found it replaced"):
            store.copy("a", "b", digest=digest)
        assert s3.keys(BUCKET) == ["a"]
        store.copy("a", "b", digest=digest_bytes(b"new"))
        assert s3.read(BUCKET, "b") == b"new"

    @pytest.mark.usefixtures("small")
    def test_source_replaced_by_equal_bytes(self, s3: FakeS3, tmp_path: Path) -> None:
        """A source that somebody wrote again, in another way, is copied by the next try."""
        store, body = open_s3(s3), file_of(tmp_path, BIG)
        store.put("a", body)
        s3.put(BUCKET, "a", BIG)
        with pytest.raises(ChecksumError, match="found it replaced"):
            store.copy("a", "b", digest=body.digest)
        assert s3.uploads(BUCKET) == {}
        store.copy("a", "b", digest=body.digest)
        assert s3.read(BUCKET, "b") == BIG

    def test_source_deleted_since_it_was_seen(self, s3: FakeS3) -> None:
        """A source that is gone is the one that is named, not the copy."""
        store = open_s3(s3)
        store.put("a", Body.of_bytes(b"x"))
        open_s3(s3).delete(["a"])
        with pytest.raises(MissingObjectError, match="s3://open-data/a: expected an object"):
            store.copy("a", "b", digest=digest_bytes(b"x"))


class TestLies:
    """Answers of status 200 that are none."""

    def test_copy_that_failed_after_all(self, s3: FakeS3) -> None:
        """An error in an answer of status 200 to a copy is one, and tried again."""
        store = open_s3(s3)
        store.put("a", Body.of_bytes(b"x"))
        s3.lie_next("CopyObject")
        store.copy("a", "b", digest=digest_bytes(b"x"))
        assert s3.read(BUCKET, "b") == b"x"
        assert s3.requests["CopyObject"] == 2

    @pytest.mark.usefixtures("small")
    def test_completion_that_failed_after_all(self, s3: FakeS3, tmp_path: Path) -> None:
        """An error in an answer of status 200 to a completion is one, and tried again."""
        s3.lie_next("CompleteMultipartUpload")
        open_s3(s3).put("a", file_of(tmp_path, BIG))
        assert s3.read(BUCKET, "a") == BIG
        assert s3.requests["CompleteMultipartUpload"] == 2

    def test_lie_without_end(self, s3: FakeS3) -> None:
        """A copy that never comes about is given up after a bounded number of tries."""
        store = open_s3(s3)
        store.put("a", Body.of_bytes(b"x"))
        s3.fail_next("CopyObject", 200, "InternalError", times=99)
        with pytest.raises(
            UnavailableError, match=r"s3://open-data/b: CopyObject: .*InternalError"
        ):
            store.copy("a", "b", digest=digest_bytes(b"x"))
        assert s3.requests["CopyObject"] == ATTEMPTS
        assert s3.keys(BUCKET) == ["a"]

    @pytest.mark.parametrize("body", [b"<html>Welcome to the hotel</html>", b"", b"<Error", b"{}"])
    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.put("a", Body.of_bytes(b"x")),
            lambda store: store.list(),
            lambda store: store.stat("a"),
            lambda store: store.get("a"),
            lambda store: store.delete(["a"]),
        ],
        ids=["put", "list", "stat", "get", "delete"],
    )
    def test_page_of_something_else(
        self, scripted: ScriptedServer, act: Callable[[S3Store], object], body: bytes
    ) -> None:
        """A page of status 200 that is not of S3 is success for nothing."""
        scripted.steps = [reply(200, body)]
        with pytest.raises(UnavailableError, match="expected an answer of S3, got status 200"):
            act(open_s3(scripted))
        assert len(scripted.received) == ATTEMPTS


class TestPassing:
    """What is tried again, in the words of S3."""

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (503, "SlowDown"),
            (503, "ServiceUnavailable"),
            (500, "InternalError"),
            (400, "RequestTimeout"),
            (400, "Throttling"),
            (409, "OperationAborted"),
            (409, "ConditionalRequestConflict"),
        ],
    )
    def test_error_that_passes(self, s3: FakeS3, status: int, code: str) -> None:
        """An error that passes is asked about again, whatever its status."""
        s3.fail_next("PutObject", status, code, times=3)
        open_s3(s3).put("a", Body.of_bytes(b"x"))
        assert s3.requests["PutObject"] == 4

    def test_wait_that_the_service_asks_for(self, s3: FakeS3, naps: list[float]) -> None:
        """Retry-After of S3 is waited for."""
        s3.fail_next("PutObject", 503, retry_after=6)
        open_s3(s3).put("a", Body.of_bytes(b"x"))
        assert naps == [6.0]

    @pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument", "EntityTooLarge"])
    def test_error_for_good(self, s3: FakeS3, naps: list[float], code: str) -> None:
        """An error of the request is told at once, with place, call and words of the service."""
        s3.fail_next("PutObject", 400, code)
        told = refusal(lambda: open_s3(s3).put("a", Body.of_bytes(b"x")))
        words = f"S3 answered {code}: Please reduce your request rate."
        assert told == f"s3://open-data/a: PutObject: {words}"
        assert naps == []


class TestDelete:
    """Deleting many."""

    def test_more_than_one_call_takes(self, s3: FakeS3) -> None:
        """A thousand keys go in one call, and the rest in the next; others stay."""
        keys = [f"a/{number:04}" for number in range(1005)]
        for key in [*keys, "b"]:
            s3.put(BUCKET, key, b"")
        open_s3(s3).delete([*keys, "never was"])
        assert s3.keys(BUCKET) == ["b"]
        assert s3.requests["DeleteObjects"] == 2
        assert s3.requests["DeleteObject"] == 0

    def test_error_of_a_key_is_told(self, s3: FakeS3) -> None:
        """A key that may not be deleted is an error that names it, though the call succeeded."""
        for key in ("a", "b"):
            s3.put(BUCKET, key, b"")
        s3.denied = {"DeleteObject"}
        with pytest.raises(
            StoreError, match=r"s3://open-data/a: DeleteObject: .*AccessDenied.*allow s3:DeleteObj"
        ):
            open_s3(s3).delete(["a", "b"])

    def test_error_that_passes(self, scripted: ScriptedServer) -> None:
        """A key whose deletion failed for the moment is deleted by itself."""
        failed = b"<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error>"
        scripted.steps = [reply(200, failed + b"</DeleteResult>"), reply(503), reply(204)]
        open_s3(scripted).delete(["a", "b"])
        firsts = [each.first.split()[:2] for each in scripted.received]
        assert firsts[1:] == [["DELETE", f"/{BUCKET}/a"]] * 2

    def test_only_the_version_seen(self, scripted: ScriptedServer) -> None:
        """The service itself is asked to compare the version."""
        scripted.steps = [reply(200, b"", {"ETag": '"seen"'}), reply(412)]
        with pytest.raises(ConditionError):
            open_s3(scripted).delete_version("a", "seen")
        assert 'If-Match: "seen"' in scripted.received[1].head


@pytest.mark.usefixtures("small")
class TestResume:
    """Going on inside a large file."""

    @pytest.fixture
    def cut(self, s3: FakeS3, tmp_path: Path, proxy: FaultProxy) -> Body:
        """Return a file of which two parts have arrived when the line broke for good."""
        body = file_of(tmp_path, BIG)
        proxy.cut_after(2 * PART + PART // 2)
        store = open_s3(proxy)
        # the process ends here: no second try
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._wire, "send", store._wire.send_once)
            with pytest.raises(UnavailableError):
                store.put("a", body)
        assert held_parts(s3) >= {1, 2}
        assert s3.keys(BUCKET) == []
        s3.requests.clear()
        s3.received_bytes = 0
        return body

    def test_other_machine_sends_what_is_missing(self, s3: FakeS3, cut: Body) -> None:
        """A machine that never saw the upload sends the parts that are missing, and counts all."""
        counted, held = Counting(), held_parts(s3)
        open_s3(s3).put("a", cut, progress=counted)
        assert s3.read(BUCKET, "a") == BIG
        assert s3.requests["UploadPart"] == 7 - len(held)
        assert s3.requests["CreateMultipartUpload"] == 0
        assert s3.received_bytes < len(BIG) - 2 * PART + 4096
        assert counted.total == len(BIG)

    def test_part_of_other_bytes_is_sent_again(self, s3: FakeS3, cut: Body) -> None:
        """A held part that is not that of the file any more is sent anew."""
        assert cut.path is not None
        data, held = b"!" + BIG[1:], held_parts(s3)
        cut.path.write_bytes(data)
        open_s3(s3).put("a", replace(cut, digest=digest_bytes(data)))
        assert s3.read(BUCKET, "a") == data
        assert s3.requests["UploadPart"] == 7 - len(held) + 1

    @pytest.mark.parametrize("is_same", [True, False])
    def test_service_that_lists_no_checksums(
        self, scripted: ScriptedServer, tmp_path: Path, *, is_same: bool
    ) -> None:
        """Where parts are listed without a CRC32C, they are believed by their MD5."""
        body = file_of(tmp_path, BIG[: 2 * PART])
        etag = hashlib.md5(BIG[:PART]).hexdigest() if is_same else "0" * 32
        uploads = (
            b"<ListMultipartUploadsResult><Upload><Key>a</Key><UploadId>u</UploadId>"
            b"<Initiated>2026-01-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>"
        )
        parts = (
            f"<ListPartsResult><Part><PartNumber>1</PartNumber><Size>{PART}</Size>"
            f"<ETag>&quot;{etag}&quot;</ETag></Part></ListPartsResult>"
        ).encode()
        made = (
            f"<CompleteMultipartUploadResult><ETag>e</ETag><ChecksumCRC32C>{body.digest.crc32c}"
            "</ChecksumCRC32C></CompleteMultipartUploadResult>"
        ).encode()
        sent = [reply(200, b"", {"ETag": '"p"'})] * (1 if is_same else 2)
        scripted.steps = [reply(200, uploads), reply(200, parts), *sent, reply(200, made)]
        open_s3(scripted).put("a", body)
        puts = [each for each in scripted.received if each.first.startswith("PUT")]
        assert len(puts) == len(sent)

    def test_upload_that_is_gone(self, s3: FakeS3, cut: Body, tmp_path: Path) -> None:
        """An upload that was ended since, though this machine remembers it, is begun anew."""
        store = open_s3(s3, sessions=tmp_path / "sessions")
        store._multipart._sessions.keep("a", cut.digest, "long-gone")
        store.put("a", cut)
        assert s3.read(BUCKET, "a") == BIG
        assert s3.requests["CreateMultipartUpload"] == 1

    def test_upload_that_goes_in_the_middle(self, s3: FakeS3, cut: Body) -> None:
        """An upload that is ended while it is gone on with is begun anew; each byte counts once."""
        (upload,) = s3.uploads(BUCKET)
        store, counted = open_s3(s3), Counting()
        send_part = store._multipart._send_part

        def end_first(*given: Any) -> Any:
            if s3.requests["UploadPart"] == 2 and not s3.requests["AbortMultipartUpload"]:
                store._multipart.abort("a", upload)
            return send_part(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._multipart, "_send_part", end_first)
            store.put("a", cut, progress=counted)
        assert s3.read(BUCKET, "a") == BIG
        assert counted.total == len(BIG)

    def test_upload_to_a_key_that_begins_alike(self, s3: FakeS3, cut: Body) -> None:
        """An upload to another key, though it begins with this one, is left alone."""
        (ours,) = s3.uploads(BUCKET)
        s3.age_upload(ours, timedelta(days=1))
        open_s3(s3).request("CreateMultipartUpload", "POST", "ab", query={"uploads": ""})
        open_s3(s3).put("a", cut)
        assert list(s3.uploads(BUCKET).values()) == ["ab"]
        assert s3.requests["CreateMultipartUpload"] == 1

    def test_upload_of_another_tool(self, s3: FakeS3, tmp_path: Path) -> None:
        """An upload that takes no parts of ours is no reason to fail: one is begun beside it."""
        headers = {"x-amz-checksum-algorithm": "SHA256"}
        store, counted = open_s3(s3), Counting()
        store.request("CreateMultipartUpload", "POST", "a", headers, query={"uploads": ""})
        (theirs,) = s3.uploads(BUCKET)
        store.put("a", file_of(tmp_path, BIG), progress=counted)
        assert s3.read(BUCKET, "a") == BIG
        assert list(s3.uploads(BUCKET)) == [theirs]
        assert counted.total == len(BIG)

    def test_uploads_may_not_be_listed(self, s3: FakeS3, cut: Body) -> None:
        """Where uploads may not be listed, the file is sent anew and arrives all the same."""
        s3.denied = {"ListBucketMultipartUploads"}
        open_s3(s3).put("a", cut)
        assert s3.read(BUCKET, "a") == BIG
        assert s3.requests["UploadPart"] == 7

    def test_answer_of_the_completion_lost(self, scripted: ScriptedServer, tmp_path: Path) -> None:
        """A completion whose answer was lost is success, found by looking."""
        body = file_of(tmp_path, BIG)
        upload = reply(
            200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
            b"</InitiateMultipartUploadResult>",
        )  # fmt: skip
        none = reply(200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
        part = reply(200, b"", {"ETag": '"p"'})
        gone = reply(404, b"<Error><Code>NoSuchUpload</Code></Error>")
        made = reply(200, b"", {"ETag": '"e"', "x-amz-checksum-crc32c": body.digest.crc32c})
        scripted.steps = [none, upload, *[part] * 7, RESET, gone, made]
        entry = open_s3(scripted).put("a", body)
        assert (entry.version, entry.digest) == ("e", body.digest)

    def test_session_file_is_for_its_owner(self, s3: FakeS3, tmp_path: Path) -> None:
        """What is remembered of an upload can be read by its owner alone, and goes at its end."""
        sessions, modes = tmp_path / "sessions", list[int]()
        store = open_s3(s3, sessions=sessions)
        complete = store._multipart._complete

        def look_first(*given: Any) -> Any:
            modes.extend(stat.S_IMODE(each.stat().st_mode) for each in sessions.iterdir())
            return complete(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._multipart, "_complete", look_first)
            store.put("a", file_of(tmp_path, BIG))
        assert modes == [0o600]
        assert list(sessions.iterdir()) == []

    def test_unfinished_uploads(self, s3: FakeS3, cut: Body) -> None:
        """Uploads that were cut are listed with key and age, oldest first, and can be ended."""
        del cut
        store = open_s3(s3)
        (first,) = s3.uploads(BUCKET)
        s3.age_upload(first, timedelta(days=3))
        for key in ("a/b", "c"):
            store.request("CreateMultipartUpload", "POST", key, query={"uploads": ""})
        found = store.unfinished("a")
        assert [each.key for each in found] == ["a", "a/b"]
        assert found[0].upload == first
        age = datetime.now(UTC) - found[0].begun_at
        assert timedelta(days=2.9) < age < timedelta(days=3.1)
        store.abandon(found)
        store.abandon(found)
        assert list(s3.uploads(BUCKET).values()) == ["c"]

    def test_unfinished_below_the_folder(self, s3: FakeS3) -> None:
        """Uploads of other folders of the bucket are neither listed nor gone on with."""
        root = open_s3(s3)
        for key in ("data/a b", "other/a", "a"):
            root.request("CreateMultipartUpload", "POST", key, query={"uploads": ""})
        assert [each.key for each in open_s3(s3, f"s3://{BUCKET}/data").unfinished("")] == ["a b"]


class TestParts:
    """How large objects are divided."""

    @pytest.mark.parametrize(
        "size", [1, 16 * MIB, 16 * MIB + 1, 10_000 * 16 * MIB, 10_000 * 16 * MIB + 1, 5 << 40]
    )
    def test_plan_covers_the_object(self, size: int) -> None:
        """Parts follow each other without a gap, are no more than allowed, and all of one size."""
        parts = plan_parts(size)
        assert [each.number for each in parts] == list(range(1, len(parts) + 1))
        assert len(parts) <= 10_000
        ends = [each.start + each.size for each in parts]
        assert [each.start for each in parts] == [0, *ends[:-1]]
        assert ends[-1] == size
        assert len({each.size for each in parts[:-1]}) <= 1

    @pytest.mark.usefixtures("small")
    def test_copy_that_fails_leaves_no_upload(self, s3: FakeS3, tmp_path: Path) -> None:
        """A copy in parts that is refused leaves nothing that is paid for."""
        store, body = open_s3(s3), file_of(tmp_path, BIG)
        store.put("a", body)
        s3.fail_next("UploadPartCopy", 403, "AccessDenied")
        with pytest.raises(StoreError, match="UploadPartCopy"):
            store.copy("a", "b", digest=body.digest)
        assert s3.uploads(BUCKET) == {}
        assert s3.keys(BUCKET) == ["a"]


class TestRaces:
    """Conditional writes, with answers that are lost."""

    def test_own_answer_lost(self, s3: FakeS3, proxy: FaultProxy) -> None:
        """A create that was done, its answer lost, is success: nobody else was there."""
        store = open_s3(proxy)
        send, proxy.rate, proxy.kinds = store._wire.send_once, 1.0, ("reset_reply",)

        def heal(request: Any) -> Any:
            try:
                return send(request)
            finally:
                proxy.rate = 0.0

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._wire, "send_once", heal)
            entry = store.put("lock", Body.of_bytes(b"mine"), condition=IF_ABSENT)
        assert proxy.faults["reset_reply"] == 1
        assert entry.digest is not None
        assert entry.digest.agrees_with(digest_bytes(b"mine"))
        assert s3.requests["PutObject"] == 2
        assert s3.read(BUCKET, "lock") == b"mine"

    def test_somebody_else_was_there(self, s3: FakeS3) -> None:
        """A create that lost its answer, and then its race, is an error: theirs stands."""
        s3.fail_next("PutObject", 503)
        s3.put(BUCKET, "lock", b"theirs")
        with pytest.raises(ConditionError):
            open_s3(s3).put("lock", Body.of_bytes(b"mine"), condition=IF_ABSENT)
        assert s3.read(BUCKET, "lock") == b"theirs"

    def test_equal_bytes_of_somebody_else(self, s3: FakeS3) -> None:
        """Equal bytes that stood there before the first try are not ours."""
        open_s3(s3).put("lock", Body.of_bytes(b"mine"))
        with pytest.raises(ConditionError):
            open_s3(s3).put("lock", Body.of_bytes(b"mine"), condition=IF_ABSENT)

    @pytest.mark.usefixtures("small")
    def test_large_file_that_lost_its_race(self, s3: FakeS3, tmp_path: Path) -> None:
        """A large file is refused at its end where another stands, and leaves no upload."""
        s3.put(BUCKET, "a", b"theirs")
        with pytest.raises(ConditionError):
            open_s3(s3).put("a", file_of(tmp_path, BIG), condition=IF_ABSENT)
        assert s3.read(BUCKET, "a") == b"theirs"
        assert s3.uploads(BUCKET) == {}


class TestHold:
    """Legal holds."""

    def test_bucket_with_object_lock(self, s3: FakeS3) -> None:
        """What is held is told, and its version cannot be deleted."""
        s3.create_bucket("locked", object_lock=True)
        store = open_s3(s3, "s3://locked/data")
        version = store.put("a", Body.of_bytes(b"x")).version
        store.put("b", Body.of_bytes(b"x"))
        assert store.cannot_hold() == ""
        store.hold(["a"])
        store.hold(["a"])
        assert store.held("") == {"a"}
        found = store.stat("a")
        assert found is not None
        assert found.version == version
        number = s3.backend.get_object("locked", "data/a").version_id  # type: ignore[union-attr]
        with pytest.raises(StoreError, match="AccessDenied"):
            store.request("DeleteObject", "DELETE", "data/a", query={"versionId": number})

    def test_bucket_without(self, s3: FakeS3) -> None:
        """A bucket without object lock holds nothing, and says why."""
        store = open_s3(s3)
        store.put("a", Body.of_bytes(b"x"))
        assert store.cannot_hold() == f"bucket {BUCKET} has no object lock"
        assert store.held("") == frozenset()
        with pytest.raises(StoreError, match=f"bucket {BUCKET} has no object lock"):
            store.hold(["a"])

    def test_hold_that_is_denied(self, s3: FakeS3) -> None:
        """A hold that this run may not put is refused in the words of the service."""
        s3.create_bucket("locked", object_lock=True)
        store = open_s3(s3, "s3://locked")
        store.put("a", Body.of_bytes(b"x"))
        s3.denied = {"PutObjectLegalHold"}
        with pytest.raises(
            StoreError, match=r"s3://locked/a: PutObjectLegalHold: .*allow s3:PutObjectLegalHold"
        ):
            store.hold(["a"])


def refusal(act: Callable[[], object]) -> str:
    """Return the one line of a refusal."""
    with pytest.raises(StoreError) as caught:
        act()
    assert not isinstance(caught.value, UnavailableError | MissingObjectError)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


class TestRefusals:
    """What is wrong, in one line, at once."""

    @pytest.mark.parametrize(
        ("permission", "operation"),
        [
            ("PutObject", "PutObject"),
            ("ListBucket", "ListObjectsV2"),
            ("GetObject", "GetObject"),
            ("DeleteObject", "DeleteObject"),
        ],
    )
    def test_permission_is_missing(
        self, s3: FakeS3, naps: list[float], permission: str, operation: str
    ) -> None:
        """What this run may not do is found before it begins, with bucket, call and permission."""
        s3.denied = {permission}
        told = refusal(lambda: open_s3(s3).require_access("staging/"))
        assert told.startswith("s3://open-data/")
        assert (
            f": {operation}: S3 answered AccessDenied: Access Denied; allow s3:{permission}" in told
        )
        assert naps == []

    def test_nothing_stays_of_the_question(self, s3: FakeS3) -> None:
        """Asking for access leaves no object, even where reading is denied."""
        s3.denied = {"GetObject"}
        refusal(lambda: open_s3(s3).require_access(""))
        assert s3.keys(BUCKET) == []

    def test_bucket_is_missing(self, s3: FakeS3) -> None:
        """A bucket that does not exist is named, and no empty place."""
        store = open_s3(s3, "s3://no-such-bucket/data")
        for act in (
            store.list,
            lambda: store.put("a", Body.of_bytes(b"x")),
            lambda: store.require_access(""),
        ):
            told = refusal(act)
            assert "s3://no-such-bucket/" in told
            assert "NoSuchBucket" in told
            assert told.endswith("create the bucket, or mend `url` of the destination")

    @pytest.mark.parametrize(
        "act", [lambda store: store.list(), lambda store: store.stat("a")], ids=["list", "stat"]
    )
    def test_region_that_is_wrong(self, s3: FakeS3, act: Callable[[S3Store], object]) -> None:
        """A region that the configuration names and that is wrong is told with the right one."""
        s3.put(BUCKET, "a", b"x")
        s3.region = "eu-north-1"
        told = refusal(lambda: act(open_s3(s3, region="us-west-2")))
        assert "expected region 'eu-north-1', got 'us-west-2'" in told
        assert told.endswith('set `region = "eu-north-1"` in the destination')
        assert sum(s3.requests.values()) <= 2  # a HEAD comes without words

    @pytest.mark.parametrize(
        "act", [lambda store: store.list(), lambda store: store.stat("a")], ids=["list", "stat"]
    )
    def test_region_that_nobody_named(self, s3: FakeS3, act: Callable[[S3Store], object]) -> None:
        """Where nobody names a region, the one that the service names is taken."""
        s3.put(BUCKET, "a", b"x")
        s3.region = "eu-north-1"
        assert act(open_s3(s3))
        assert sum(s3.requests.values()) == 2

    def test_clock_is_wrong(self, s3: FakeS3) -> None:
        """A clock that is off is told with the time of the service."""
        s3.is_skewed = True
        told = refusal(open_s3(s3).list)
        assert "RequestTimeTooSkewed" in told
        assert "(its clock: " in told
        assert told.endswith("set the clock of this machine")

    def test_refusal_of_a_head_has_words(self, s3: FakeS3) -> None:
        """What a HEAD cannot say is found out: the words of the service, and what to do."""
        s3.is_skewed = True
        told = refusal(lambda: open_s3(s3).stat("a"))
        assert "RequestTimeTooSkewed: The difference" in told
        assert told.endswith("set the clock of this machine")

    def test_requester_pays(self, s3: FakeS3) -> None:
        """A bucket whose callers pay is refused with what to set, and read once it is set."""
        s3.put(BUCKET, "a", b"x")
        s3.requester_pays = {BUCKET}
        assert "set `requester_pays = true`" in refusal(open_s3(s3).list)
        store = open_s3(s3, requester_pays=True)
        store.require_access("")
        assert store.get("a") == b"x"

    @pytest.mark.usefixtures("fresh_setup")
    def test_key_that_does_not_exist(self, s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        """An access key that nobody knows is refused, and no secret is told."""
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        s3.valid_keys = {"another"}
        told = refusal(open_s3(s3).list)
        assert "InvalidAccessKeyId" in told
        assert "AWS_ACCESS_KEY_ID, AWS_PROFILE" in told
        assert SECRET not in told

    def test_no_bucket_in_the_url(self, s3: FakeS3) -> None:
        """A URL without a bucket is refused."""
        assert "expected a bucket" in refusal(lambda: open_s3(s3, "s3:///folder"))


@pytest.mark.usefixtures("fresh_setup")
class TestCredentials:
    """Who we are."""

    @pytest.fixture
    def nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the credentials of the environment away."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    @pytest.mark.usefixtures("nobody")
    def test_none_at_all(self, s3: FakeS3) -> None:
        """Without credentials nothing is asked, and the line says what to set."""
        told = refusal(lambda: open_s3(s3).list())
        assert told == (
            "s3://open-data: expected AWS credentials, found none; set AWS_PROFILE or"
            " AWS_ACCESS_KEY_ID, or `anonymous = true`"
        )
        assert s3.requests == {}

    @pytest.mark.usefixtures("nobody")
    def test_anonymous(self, scripted: ScriptedServer) -> None:
        """Without credentials on purpose, requests are not signed."""
        scripted.steps = [reply(200, b"x", {"ETag": '"e"'})]
        assert open_s3(scripted, anonymous=True).get("a") == b"x"
        assert "authorization" not in scripted.received[0].head.lower()

    @pytest.mark.usefixtures("nobody")
    def test_profile_of_a_file(
        self, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The profile of the destination is that of the AWS configuration."""
        (tmp_path / "config").write_text(
            "[profile data]\naws_access_key_id = of-the-file\n"
            f"aws_secret_access_key = {SECRET}\nregion = eu-north-1\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        s3.valid_keys, s3.region = {"of-the-file"}, "eu-north-1"
        assert open_s3(s3, profile="data").list() == []

    def test_profile_that_does_not_exist(self, s3: FakeS3) -> None:
        """A profile that nobody wrote is refused by name."""
        told = refusal(lambda: open_s3(s3, profile="nobody"))
        assert told.startswith("s3://open-data: expected to set up S3, got: ")
        assert "nobody" in told

    @pytest.mark.parametrize(
        "act", [lambda store: store.list(), lambda store: store.stat("a")], ids=["list", "stat"]
    )
    @pytest.mark.usefixtures("nobody")
    def test_expired_are_fetched_anew(
        self,
        s3: FakeS3,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        act: Callable[[S3Store], object],
    ) -> None:
        """Credentials that expire in the middle of a run are fetched anew, and the run goes on."""
        answers = tmp_path / "answers"
        soon = (datetime.now(UTC) + timedelta(minutes=11)).isoformat()
        script = tmp_path / "tell"
        script.write_text(
            "#!/bin/sh\n"
            f"echo x >> {answers}\n"
            f'number=$(wc -l < {answers} | tr -d " ")\n'
            'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"key-$number\\",'
            f' \\"SecretAccessKey\\": \\"{SECRET}\\", \\"SessionToken\\": \\"t\\",'
            f' \\"Expiration\\": \\"{soon}\\"}}"\n'
        )
        script.chmod(0o700)
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {script}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        s3.put(BUCKET, "a", b"x")
        store = open_s3(s3)
        assert store.get("a") == b"x"
        used = len(answers.read_text().splitlines())
        s3.expired_keys = {f"key-{number}" for number in range(1, used + 1)}
        assert act(store)

    def test_expired_for_good(self, s3: FakeS3) -> None:
        """Credentials that nobody renews end the run after a bounded number of tries."""
        s3.expired_keys = {"testing"}
        with pytest.raises(StoreError, match=r"s3://open-data/: ListObjectsV2: .*ExpiredToken"):
            open_s3(s3).list()
        assert s3.requests["ListObjectsV2"] <= ATTEMPTS

    def test_no_secret_in_an_error(self, s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        """No refusal tells the key, the signature or the token of a session."""
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
        s3.denied = {"ListBucket"}
        told = refusal(open_s3(s3).list)
        assert SECRET not in told
        assert "Signature" not in told


class TestKeys:
    """Names, folders and pages."""

    @pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
    def test_odd_key(self, s3: FakeS3, key: str) -> None:
        """Every key goes there and back as it is: put, list, stat, get, copy, delete."""
        store, digest = open_s3(s3), digest_bytes(b"x")
        store.put(key, Body.of_bytes(b"x"))
        assert s3.keys(BUCKET) == [key]
        assert [each.key for each in store.list(key[:3])] == [key]
        found = store.stat(key)
        assert found is not None
        assert store.get(key) == b"x"
        store.copy(key, "other", digest=digest)
        store.copy("other", key, digest=digest)
        store.delete_version(key, found.version)
        store.put(key, Body.of_bytes(b"x"))
        store.delete([key, "other"])
        assert s3.keys(BUCKET) == []

    @pytest.mark.usefixtures("small")
    def test_odd_key_in_parts(self, s3: FakeS3, tmp_path: Path) -> None:
        """A large file under an odd key is sent, found and copied in parts."""
        key, body = "a b/#?%+&=é", file_of(tmp_path, BIG)
        store = open_s3(s3)
        store.request("CreateMultipartUpload", "POST", key, query={"uploads": ""})
        assert [each.key for each in store.unfinished("a b/")] == [key]
        store.put(key, body)
        store.copy(key, key + "2", digest=body.digest)
        assert s3.keys(BUCKET) == [key, key + "2"]

    def test_folder_of_the_url(self, s3: FakeS3) -> None:
        """Below a folder nothing is seen or deleted of what stands beside it."""
        for key in ("a", "data/a", "data/b", "data-old/a", "data"):
            s3.put(BUCKET, key, b"theirs")
        store = open_s3(s3, f"s3://{BUCKET}/data/")
        assert [each.key for each in store.list()] == ["a", "b"]
        store.put("c", Body.of_bytes(b"x"))
        store.copy("c", "d", digest=digest_bytes(b"x"))
        store.delete(["a", "old/a", "none"])
        assert s3.keys(BUCKET) == ["a", "data", "data-old/a", "data/b", "data/c", "data/d"]

    def test_copy_from_another_bucket(self, s3: FakeS3) -> None:
        """An object is copied from another bucket on the side of the service."""
        s3.create_bucket("depot")
        body = Body.of_bytes(b"x" * 1000)
        open_s3(s3, "s3://depot/objects").put("a b", body)
        s3.received_bytes = 0
        store = open_s3(s3, f"s3://{BUCKET}/data")
        store.copy("a b", "c", digest=body.digest, source_url="s3://depot/objects")
        assert s3.read(BUCKET, "data/c") == b"x" * 1000
        assert s3.received_bytes == 0

    def test_pages(self, s3: FakeS3) -> None:
        """A listing of many pages is one list."""
        keys = [f"a {number:02}+" for number in range(25)]
        for key in keys:
            s3.put(BUCKET, key, b"")
        s3.page_size = 10
        assert [each.key for each in open_s3(s3).list()] == keys
        assert s3.requests["ListObjectsV2"] == 3

    def test_folder_markers_are_no_objects(self, s3: FakeS3) -> None:
        """The empty objects by which consoles show folders are not listed."""
        for key in ("data/", "data/a"):
            s3.put(BUCKET, key, b"")
        assert [each.key for each in open_s3(s3).list()] == ["data/a"]

    def test_bucket_with_versions(self, s3: FakeS3, tmp_path: Path) -> None:
        """In a bucket that keeps versions everything goes as in one that keeps none."""
        s3.create_bucket("versioned", versioning=True)
        store = open_s3(s3, "s3://versioned")
        for data in (b"one", b"two", b"one"):
            store.put("a", file_of(tmp_path, data))
        store.copy("a", "b", digest=digest_bytes(b"one"))
        store.delete(["a"])
        assert [each.key for each in store.list()] == ["b"]
        assert store.stat("a") is None
        store.put("a", Body.of_bytes(b"three"), condition=IF_ABSENT)
        assert store.get("a") == b"three"


class TestTls:
    """S3 behind a certificate of one's own."""

    @pytest.mark.usefixtures("fresh_setup")
    def test_bundle_of_the_environment(
        self, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """AWS_CA_BUNDLE is trusted here as everywhere else; without it the line names it."""
        certificate, key = make_certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with FaultProxy(s3.url, tls=context) as proxy:
            assert "AWS_CA_BUNDLE" in refusal(open_s3(proxy).list)
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
            assert open_s3(proxy).list() == []
