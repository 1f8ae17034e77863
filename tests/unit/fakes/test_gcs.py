"""Tests of the fake of Google Cloud Storage: each rule by plain HTTP, then by real clients."""

import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import google_crc32c
import pytest

from tests.fakes.gcs import QUANTUM_BYTES, READS, SAME_PARAMETERS, FakeGcs, RefusedError
from tests.fakes.http_server import PIECE_BYTES, SCRATCH_BYTES

ROOT = Path(__file__).parents[3]
FIELDS = json.loads((ROOT / "tests/fakes/gcs_fields.json").read_text())
UPLOAD = "/upload/storage/v1/b/bucket/o"
OBJECTS = "/storage/v1/b/bucket/o"
QUANTUM = QUANTUM_BYTES


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of an error in Google's shape."""
        return str(self.json["error"]["errors"][0]["reason"])


def ask(
    server: FakeGcs,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    **query: Any,
) -> Answer:
    """Send one request on a connection of its own; JSON where the body is a dictionary."""
    connection = http.client.HTTPConnection("127.0.0.1", _port(server), timeout=20)
    try:
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        target = path.removeprefix(server.url)
        if query:
            target += ("&" if "?" in target else "?") + urlencode(query, doseq=True)
        connection.request(method, target, body, dict(headers or {}))
        reply = connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())
    finally:
        connection.close()


def multipart(
    media: bytes, eol: bytes = b"\r\n", quotes: str = "", **resource: Any
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a multipart upload."""
    lines = [
        b"--==0==",
        b"Content-Type: application/json; charset=UTF-8",
        b"",
        json.dumps(resource).encode(),
        b"--==0==",
        b"Content-Type: text/plain",
        b"",
        media,
        b"--==0==--",
    ]
    kind = f"multipart/related; boundary={quotes}==0=={quotes}"
    return eol.join(lines), {"Content-Type": kind}


def insert(server: FakeGcs, name: str, data: bytes = b"data", **query: Any) -> Answer:
    """Upload an object in one request."""
    return ask(server, "POST", UPLOAD, data, uploadType="media", name=name, **query)


def insert_multipart(server: FakeGcs, media: bytes, **resource: Any) -> Answer:
    """Upload an object with its resource."""
    body, headers = multipart(media, **resource)
    return ask(server, "POST", UPLOAD, body, headers, uploadType="multipart")


def start(server: FakeGcs, name: str, resource: Any = None, **query: Any) -> str:
    """Start a resumable upload and return its URL."""
    answer = ask(server, "POST", UPLOAD, resource, uploadType="resumable", name=name, **query)
    assert answer.status == 200, answer.body
    return answer.headers["Location"]


def chunk(server: FakeGcs, url: str, data: bytes, span: str) -> Answer:
    """Send a chunk, or ask for the status of a session."""
    return ask(server, "PUT", url, data, {"Content-Range": f"bytes {span}"})


def crc32c(data: bytes) -> str:
    """Return the CRC32C as the API writes it."""
    return b64encode(struct.pack(">I", google_crc32c.value(data))).decode()


def md5(data: bytes) -> str:
    """Return the MD5 as the API writes it."""
    return b64encode(hashlib.md5(data).digest()).decode()


def at(name: str) -> str:
    """Return the path of an object."""
    return f"{OBJECTS}/{quote(name, safe='')}"


@pytest.fixture
def gcs(tmp_path: Path) -> Iterator[FakeGcs]:
    """A server with one bucket; a mistake of its own fails the test."""
    with FakeGcs("bucket", folder=tmp_path / "gcs") as server:
        yield server
    assert not server.errors


# names of the API


def test_a_temporary_folder_goes_with_the_server() -> None:
    """Without a folder of one's own nothing is left behind."""
    with FakeGcs("bucket") as server:
        server.put("bucket", "n", b"x")
        start(server, "m")
        folder = server._folder
        assert len(list(folder.iterdir())) == 2
    assert not folder.exists()


def test_every_field_is_one_of_the_real_api(gcs: FakeGcs) -> None:
    """Whatever the fake emits is named in the discovery document."""
    body, headers = multipart(
        b"x",
        name="a",
        cacheControl="no-store",
        contentDisposition="inline",
        contentEncoding="identity",
        contentLanguage="en",
        customTime="2025-01-01T00:00:00Z",
        metadata={"k": "v"},
        storageClass="NEARLINE",
    )
    answer = ask(gcs, "POST", UPLOAD, body, headers, uploadType="multipart", kmsKeyName="key")
    ask(gcs, "PATCH", at("a"), {"temporaryHold": True, "eventBasedHold": False})
    compose = {"sourceObjects": [{"name": "a"}]}
    composed = ask(gcs, "POST", at("c") + "/compose", compose).json
    rewritten = ask(gcs, "POST", at("a") + "/rewriteTo/b/bucket/o/d").json
    emitted = set(answer.json) | set(gcs.resource("bucket", "a")) | set(composed)
    assert emitted <= set(FIELDS["schemas"]["Object"])
    assert {"kmsKeyName", "componentCount", "eventBasedHold", "md5Hash"} <= emitted
    assert set(rewritten) <= set(FIELDS["schemas"]["RewriteResponse"])
    page = ask(gcs, "GET", OBJECTS, maxResults=1, delimiter="/").json
    assert set(page) <= set(FIELDS["schemas"]["Objects"])


@pytest.mark.parametrize("operation", sorted(READS))
def test_every_parameter_is_one_of_the_real_api(operation: str) -> None:
    """Whatever the fake reads from a query is named in the discovery document."""
    assert READS[operation] <= set(FIELDS["parameters"][operation])
    assert set(SAME_PARAMETERS.values()) <= set(READS)


# uploads in one request


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
@pytest.mark.parametrize("quotes", ["", '"', "'"])
def test_multipart_upload_stores_bytes_and_resource(gcs: FakeGcs, eol: bytes, quotes: str) -> None:
    """A multipart upload is read with CRLF and LF alone, and any quoting of its boundary."""
    media = b"\r\nline\r\n--==1==\r"
    body, headers = multipart(media, eol, quotes, name="n", metadata={"k": "v"}, cacheControl="c")
    answer = ask(gcs, "POST", UPLOAD, body, headers, uploadType="multipart")
    assert answer.status == 200
    assert gcs.read("bucket", "n") == media
    expected = {
        "crc32c": crc32c(media),
        "md5Hash": md5(media),
        "size": str(len(media)),
        "contentType": "text/plain",
        "metadata": {"k": "v"},
        "cacheControl": "c",
        "metageneration": "1",
    }
    assert expected.items() <= answer.json.items()


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, SCRATCH_BYTES, 2 * SCRATCH_BYTES + 1])
@pytest.mark.parametrize("shift", [-140, -30, -12, -5, 0, 7])
def test_media_part_is_cut_out_exactly(gcs: FakeGcs, size: int, shift: int) -> None:
    """Wherever a piece ends in the closing delimiter, the media is whole and nothing more."""
    media = b"\n-=\r" * ((size + shift) // 4 + 1) if size + shift > 0 else b""
    assert insert_multipart(gcs, media, name="n").json["crc32c"] == crc32c(media)
    assert gcs.read("bucket", "n") == media


def test_malformed_multipart_is_refused(gcs: FakeGcs) -> None:
    """Without a closing delimiter nothing is stored."""
    body, headers = multipart(b"x", name="n")
    answer = ask(gcs, "POST", UPLOAD, body[:-2], headers, uploadType="multipart")
    assert (answer.status, answer.reason) == (400, "invalid")
    assert gcs.names("bucket") == []


@pytest.mark.parametrize("key", ["crc32c", "md5Hash"])
def test_wrong_checksum_is_refused_by_every_upload(gcs: FakeGcs, key: str) -> None:
    """A declared checksum that is not that of the bytes stores nothing, whatever the upload."""
    wrong = {"crc32c": "AAAAAA==", "md5Hash": md5(b"other")}[key]
    header = {"X-Goog-Hash": f"{key.removesuffix('Hash')}={wrong}"}
    url = start(gcs, "n", {key: wrong})
    late = start(gcs, "n")
    answers = [
        insert_multipart(gcs, b"data", name="n", **{key: wrong}),
        ask(gcs, "POST", UPLOAD, b"data", header, uploadType="media", name="n"),
        ask(gcs, "PUT", url, b"data"),
        ask(gcs, "PUT", late, b"data", header),
    ]
    if key == "md5Hash":
        header = {"Content-MD5": wrong}
        answers.append(ask(gcs, "POST", UPLOAD, b"data", header, uploadType="media", name="n"))
    for answer in answers:
        assert (answer.status, answer.reason) == (400, "invalid")
        assert f'"{wrong}" doesn\'t match calculated' in answer.json["error"]["message"]
    assert gcs.names("bucket") == []
    assert ask(gcs, "PUT", url, b"data").status == 404
    assert gcs.open_sessions() == {}
    assert not list(gcs._folder.iterdir())


def test_right_checksums_are_taken(gcs: FakeGcs) -> None:
    """A declared checksum that is right passes, by header and by resource."""
    data = b"data"
    header = {"X-Goog-Hash": f"crc32c={crc32c(data)},md5={md5(data)}"}
    assert ask(gcs, "POST", UPLOAD, data, header, uploadType="media", name="n").status == 200
    answer = insert_multipart(gcs, data, name="n", crc32c=crc32c(data), md5Hash=md5(data))
    assert answer.status == 200


def test_without_md5_it_is_left_out_and_still_judged(tmp_path: Path) -> None:
    """A server for benchmarks gives no md5Hash, and refuses a wrong one all the same."""
    with FakeGcs("bucket", folder=tmp_path, md5=False) as server:
        assert "md5Hash" not in insert_multipart(server, b"x", name="n", md5Hash=md5(b"x")).json
        assert insert_multipart(server, b"x", name="n", md5Hash=md5(b"y")).status == 400


def test_a_server_that_discards_still_judges(tmp_path: Path) -> None:
    """For benchmarks bodies are hashed and thrown away; reading them is refused, not wrong."""
    data = os.urandom(QUANTUM)
    with FakeGcs("bucket", folder=tmp_path, discard=True) as server:
        assert insert_multipart(server, data, name="n", crc32c=crc32c(data)).status == 200
        assert insert_multipart(server, data, name="n", crc32c="AAAAAA==").status == 400
        assert server.resource("bucket", "n")["size"] == str(QUANTUM)
        assert ask(server, "GET", at("n"), alt="media").status == 501
        compose = {"sourceObjects": [{"name": "n"}]}
        assert ask(server, "POST", at("c") + "/compose", compose).status == 501
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]


@pytest.mark.parametrize(
    "name", ["a b", "ä/€/字", "a#b?c%d+e&f=g", "%2F", "a//b/", "x" * 1024, "ü" * 512]
)
def test_any_name_comes_back(gcs: FakeGcs, name: str) -> None:
    """Names of up to 1024 bytes, with whatever a URL holds in store for them."""
    assert insert(gcs, name).json["name"] == name
    assert ask(gcs, "GET", at(name)).json["name"] == name
    link = ask(gcs, "GET", at(name)).json["mediaLink"]
    assert ask(gcs, "GET", link).body == b"data"
    assert ask(gcs, "GET", OBJECTS).json["items"][0]["name"] == name
    url = start(gcs, name)
    assert ask(gcs, "PUT", url, b"more").json["name"] == name
    assert ask(gcs, "DELETE", at(name)).status == 204


@pytest.mark.parametrize("name", ["", "x" * 1025, "ü" * 513, "a\nb", "..", "."])
def test_a_name_out_of_bounds_is_refused(gcs: FakeGcs, name: str) -> None:
    """A name that is empty, too long or forbidden is a 400."""
    assert insert(gcs, name).status == 400


# conditions


@pytest.mark.parametrize(
    ("exists", "condition", "value", "status"),
    [
        (False, "ifGenerationMatch", "0", 200),
        (True, "ifGenerationMatch", "0", 412),
        (True, "ifGenerationMatch", "own", 200),
        (True, "ifGenerationMatch", "1", 412),
        (False, "ifGenerationMatch", "1", 412),
        (True, "ifGenerationNotMatch", "own", 412),
        (True, "ifGenerationNotMatch", "0", 200),
        (False, "ifGenerationNotMatch", "0", 412),
        (True, "ifMetagenerationMatch", "1", 200),
        (True, "ifMetagenerationMatch", "2", 412),
        (False, "ifMetagenerationMatch", "1", 412),
        (True, "ifMetagenerationNotMatch", "1", 412),
        (True, "ifMetagenerationNotMatch", "2", 200),
    ],
)
def test_conditions_of_writes(
    gcs: FakeGcs, *, exists: bool, condition: str, value: str, status: int
) -> None:
    """Uploads, copies and rewrites happen only where their condition holds."""
    gcs.put("bucket", "source", b"source")

    def given() -> dict[str, Any]:
        ask(gcs, "DELETE", at("n"))
        own = gcs.put("bucket", "n", b"old")["generation"] if exists else ""
        return {condition: own if value == "own" else value}

    writes: list[Callable[[], Answer]] = [
        lambda: insert(gcs, "n", **given()),
        lambda: ask(gcs, "POST", at("source") + "/rewriteTo/b/bucket/o/n", **given()),
        lambda: ask(gcs, "POST", at("source") + "/copyTo/b/bucket/o/n", **given()),
        lambda: ask(gcs, "POST", UPLOAD, uploadType="resumable", name="n", **given()),
    ]
    for write in writes:
        answer = write()
        assert answer.status == status
        if status == 412:
            assert answer.reason == "conditionNotMet"
            assert gcs.names("bucket") == (["n", "source"] if exists else ["source"])


def test_conditions_of_get_patch_and_delete(gcs: FakeGcs) -> None:
    """Reading answers 304 where NotMatch fails and 412 where Match does; changes answer 412."""
    own = gcs.put("bucket", "n", b"x")["generation"]
    for alt in ("json", "media"):
        assert ask(gcs, "GET", at("n"), alt=alt, ifGenerationNotMatch=own).status == 304
        assert ask(gcs, "GET", at("n"), alt=alt, ifGenerationMatch=1).status == 412
        assert ask(gcs, "GET", at("n"), alt=alt, ifMetagenerationMatch=1).status == 200
    assert ask(gcs, "PATCH", at("n"), {}, ifMetagenerationMatch=7).status == 412
    assert ask(gcs, "DELETE", at("n"), ifGenerationMatch=1).status == 412
    assert ask(gcs, "DELETE", at("n"), ifGenerationMatch=own).status == 204
    assert ask(gcs, "DELETE", at("n"), ifGenerationMatch=own).status == 404
    assert ask(gcs, "GET", at("n"), ifGenerationMatch="x").status == 404


def test_condition_is_judged_at_the_end_of_a_resumable_upload(gcs: FakeGcs) -> None:
    """Who was first when the upload began loses against who was first to finish."""
    url = start(gcs, "n", ifGenerationMatch=0)
    gcs.put("bucket", "n", b"other")
    answer = ask(gcs, "PUT", url, b"mine")
    assert (answer.status, answer.reason) == (412, "conditionNotMet")
    assert gcs.read("bucket", "n") == b"other"


def test_condition_is_judged_at_the_end_of_a_multipart_upload(gcs: FakeGcs) -> None:
    """The condition held when the body began, and no longer at its end."""
    body, headers = multipart(bytes(3 * PIECE_BYTES), name="n")
    with socket.create_connection(("127.0.0.1", _port(gcs)), timeout=20) as connection:
        target = f"{UPLOAD}?uploadType=multipart&ifGenerationMatch=0"
        head = f"POST {target} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {headers['Content-Type']}\r\n\r\n"
        sent = 2 * SCRATCH_BYTES
        connection.sendall(head.encode() + body[:sent])
        # the second piece is read after the conditions were judged for the first time
        _wait(lambda: ask(gcs, "GET", at("n")).status == 404 and gcs.received_bytes > SCRATCH_BYTES)
        gcs.put("bucket", "n", b"other")
        connection.sendall(body[sent:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 412 ")
    assert gcs.read("bucket", "n") == b"other"


# reading and listing


def test_media_whole_and_in_ranges(gcs: FakeGcs) -> None:
    """Bytes come whole or in ranges, with checksum and generation; HEAD comes without."""
    own = gcs.put("bucket", "n", b"0123456789", cacheControl="no-store")
    for path in (at("n"), "/download" + at("n")):
        whole = ask(gcs, "GET", path, alt="media")
        assert (whole.status, whole.body) == (200, b"0123456789")
        assert whole.headers["x-goog-hash"] == f"crc32c={own['crc32c']},md5={own['md5Hash']}"
        assert whole.headers["x-goog-generation"] == own["generation"]
        assert whole.headers["Cache-Control"] == "no-store"
    for span, status, body, told in (
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("lines=1-2", 200, b"0123456789", None),
    ):
        part = ask(gcs, "GET", at("n"), None, {"Range": span}, alt="media")
        assert (part.status, part.body, part.headers["Content-Range"]) == (status, body, told)
    assert ask(gcs, "GET", at("n"), None, {"Range": "bytes=10-"}, alt="media").status == 416
    head = ask(gcs, "HEAD", at("n"), alt="media")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "10")


def test_what_is_missing_is_404_in_googles_shape(gcs: FakeGcs) -> None:
    """A missing bucket or object names itself in an error with a reason."""
    answer = ask(gcs, "GET", "/storage/v1/b/none")
    assert (answer.status, answer.reason) == (404, "notFound")
    assert answer.json["error"]["message"] == "The specified bucket does not exist."
    for path in (at("n"), "/storage/v1/b/none/o", "/storage/v1/b/none/o/n"):
        assert ask(gcs, "GET", path).status == 404
    assert ask(gcs, "POST", "/upload/storage/v1/b/none/o", b"", uploadType="media").status == 404
    assert ask(gcs, "GET", "/elsewhere").status == 404


def test_buckets_are_created_once(gcs: FakeGcs) -> None:
    """A bucket is created by a request, once, and told with its properties."""
    wanted = {"name": "new", "versioning": {"enabled": True}, "location": "eu"}
    assert ask(gcs, "POST", "/storage/v1/b", wanted, project="x").status == 200
    assert ask(gcs, "POST", "/storage/v1/b", wanted, project="x").status == 409
    found = ask(gcs, "GET", "/storage/v1/b/new").json
    assert (found["location"], found["versioning"]) == ("EU", {"enabled": True})


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_list_pages_with_prefix_and_delimiter(gcs: FakeGcs, size: int) -> None:
    """Pages are as small as asked, hold each name and prefix once and come in order."""
    for name in ("a", "b/1", "b/2", "b/c/3", "d", "e/", "e/f", "é"):
        gcs.put("bucket", name, b"")
    assert _listed(gcs, size) == (["a", "b/1", "b/2", "b/c/3", "d", "e/", "e/f", "é"], [])
    assert _listed(gcs, size, delimiter="/") == (["a", "d", "é"], ["b/", "e/"])
    assert _listed(gcs, size, delimiter="/", prefix="b/") == (["b/1", "b/2"], ["b/c/"])
    assert _listed(gcs, size, prefix="b/", startOffset="b/2") == (["b/2", "b/c/3"], [])
    assert _listed(gcs, size, endOffset="b/2") == (["a", "b/1"], [])
    found = _listed(gcs, size, delimiter="/", includeTrailingDelimiter="true")
    assert found == (["a", "d", "e/", "é"], ["b/", "e/"])


def test_the_server_caps_a_page(gcs: FakeGcs) -> None:
    """A page holds at most ``page_size`` entries, whatever is asked; a bad token is a 400."""
    gcs.page_size = 2
    for name in "abc":
        gcs.put("bucket", name, b"")
    assert len(ask(gcs, "GET", OBJECTS, maxResults=1000).json["items"]) == 2
    assert ask(gcs, "GET", OBJECTS, pageToken="?").status == 400
    assert ask(gcs, "GET", OBJECTS, maxResults=0).status == 400


def test_versions_stay_readable(gcs: FakeGcs) -> None:
    """A bucket with versioning archives what is overwritten or deleted."""
    gcs.create_bucket("kept", versioning=True)
    path = "/storage/v1/b/kept/o"
    old, new = gcs.put("kept", "n", b"old"), gcs.put("kept", "n", b"new")
    assert int(old["generation"]) < int(new["generation"])
    assert ask(gcs, "DELETE", f"{path}/n").status == 204
    assert ask(gcs, "GET", f"{path}/n").status == 404
    assert "items" not in ask(gcs, "GET", path).json
    items = ask(gcs, "GET", path, versions="true").json["items"]
    assert [item["generation"] for item in items] == [old["generation"], new["generation"]]
    assert all("timeDeleted" in item for item in items)
    read = ask(gcs, "GET", f"{path}/n", alt="media", generation=old["generation"])
    assert read.body == b"old"
    assert ask(gcs, "DELETE", f"{path}/n", generation=old["generation"]).status == 204
    assert len(ask(gcs, "GET", path, versions="true").json["items"]) == 1


def test_without_versioning_the_old_bytes_are_gone(gcs: FakeGcs) -> None:
    """An overwritten generation is neither readable nor on the disk."""
    old = gcs.put("bucket", "n", b"old")["generation"]
    gcs.put("bucket", "n", b"new")
    assert ask(gcs, "GET", at("n"), generation=old).status == 404
    assert len(list(gcs._folder.iterdir())) == 1


# changes


def test_patch_changes_fields_and_raises_metageneration(gcs: FakeGcs) -> None:
    """A patch lays fields over the old ones; null takes one away; the rest stays."""
    own = gcs.put("bucket", "n", b"x", metadata={"a": "1", "b": "2"}, cacheControl="old")
    change = {"metadata": {"a": None, "c": "3"}, "cacheControl": None, "contentType": "x/y"}
    assert ask(gcs, "PATCH", at("n"), change).status == 200
    found = gcs.resource("bucket", "n")
    assert found["metadata"] == {"b": "2", "c": "3"}
    assert (found["metageneration"], found["contentType"]) == ("2", "x/y")
    assert "cacheControl" not in found
    assert found["generation"] == own["generation"]
    assert found["etag"] != own["etag"]


@pytest.mark.parametrize("hold", ["temporaryHold", "eventBasedHold"])
def test_holds_are_enforced(gcs: FakeGcs, hold: str) -> None:
    """An object on hold is neither deleted nor overwritten, by whatever request."""
    gcs.put("bucket", "n", b"held")
    gcs.put("bucket", "source", b"x")
    assert ask(gcs, "PATCH", at("n"), {hold: True}).json[hold] is True
    url_answer = ask(gcs, "POST", UPLOAD, uploadType="resumable", name="n")
    answers = [
        url_answer,
        insert(gcs, "n"),
        ask(gcs, "DELETE", at("n")),
        ask(gcs, "POST", at("source") + "/rewriteTo/b/bucket/o/n"),
        ask(gcs, "POST", at("n") + "/compose", {"sourceObjects": [{"name": "source"}]}),
    ]
    for answer in answers:
        assert (answer.status, answer.reason) == (403, "forbidden")
        assert "Object 'bucket/n' is under active" in answer.json["error"]["message"]
    assert gcs.read("bucket", "n") == b"held"
    copied = ask(gcs, "POST", at("n") + "/rewriteTo/b/bucket/o/copy").json["resource"]
    assert hold not in copied
    assert ask(gcs, "PATCH", at("n"), {hold: False}).status == 200
    assert ask(gcs, "DELETE", at("n")).status == 204


def test_requester_pays_wants_a_project(gcs: FakeGcs) -> None:
    """Without a project to bill every request of such a bucket is a 400."""
    gcs.create_bucket("paid", requester_pays=True)
    path = "/storage/v1/b/paid/o"
    for answer in (
        ask(gcs, "GET", path),
        ask(gcs, "GET", "/storage/v1/b/paid"),
        ask(gcs, "POST", "/upload" + path, b"", uploadType="media", name="n"),
        ask(gcs, "DELETE", path + "/n"),
    ):
        assert (answer.status, answer.reason) == (400, "required")
        assert "is a requester pays bucket" in answer.json["error"]["message"]
    assert ask(gcs, "GET", path, userProject="p").status == 200
    assert ask(gcs, "GET", path, None, {"x-goog-user-project": "p"}).status == 200


# resumable uploads


def test_resumable_upload_in_chunks(gcs: FakeGcs) -> None:
    """Chunks add up; what is persisted is told by Range, and by its absence where it is nothing."""
    data = os.urandom(3 * QUANTUM + 7)
    resource = {"crc32c": crc32c(data), "md5Hash": md5(data), "metadata": {"k": "v"}}
    url = start(gcs, "n", resource)
    fresh = chunk(gcs, url, b"", "*/*")
    assert (fresh.status, "Range" in fresh.headers) == (308, False)
    first = chunk(gcs, url, data[: 2 * QUANTUM], f"0-{2 * QUANTUM - 1}/*")
    assert (first.status, first.headers["Range"]) == (308, f"bytes=0-{2 * QUANTUM - 1}")
    assert list(gcs.open_sessions().values()) == ["n"]
    assert gcs.names("bucket") == []
    total = len(data)
    last = chunk(gcs, url, data[2 * QUANTUM :], f"{2 * QUANTUM}-{total - 1}/{total}")
    assert (last.status, last.json["metadata"]) == (200, {"k": "v"})
    assert gcs.read("bucket", "n") == data
    assert chunk(gcs, url, b"", f"*/{total}").json == last.json
    assert gcs.open_sessions() == {}
    expected = {"resumable.start": 1, "resumable.query": 2, "resumable.chunk": 2}
    assert gcs.requests == expected
    assert gcs.received_bytes == total + len(json.dumps(resource))


def test_an_odd_chunk_counts_in_whole_quanta(gcs: FakeGcs) -> None:
    """Of a chunk that is not the last only whole 256 KiB are kept."""
    url = start(gcs, "n")
    odd = chunk(gcs, url, bytes(QUANTUM + 5), f"0-{QUANTUM + 4}/*")
    assert odd.headers["Range"] == f"bytes=0-{QUANTUM - 1}"
    small = chunk(gcs, url, bytes(5), f"{QUANTUM}-{QUANTUM + 4}/*")
    assert small.headers["Range"] == f"bytes=0-{QUANTUM - 1}"


def test_a_gap_is_never_accepted(gcs: FakeGcs) -> None:
    """A chunk that begins after what is persisted is refused and keeps nothing."""
    url = start(gcs, "n")
    gap = chunk(gcs, url, bytes(QUANTUM), f"{QUANTUM}-{2 * QUANTUM - 1}/{2 * QUANTUM}")
    assert gap.status == 503
    assert chunk(gcs, url, b"", "*/*").headers["Range"] is None


def test_what_is_sent_again_is_not_doubled(gcs: FakeGcs) -> None:
    """A chunk that overlaps what is persisted adds only what is new."""
    data = os.urandom(2 * QUANTUM + 9)
    url = start(gcs, "n", {"crc32c": crc32c(data)})
    for _ in range(2):
        chunk(gcs, url, data[:QUANTUM], f"0-{QUANTUM - 1}/*")
    assert chunk(gcs, url, data, f"0-{len(data) - 1}/{len(data)}").status == 200
    assert gcs.read("bucket", "n") == data
    url = start(gcs, "m")
    chunk(gcs, url, data[:QUANTUM], f"0-{QUANTUM - 1}/*")
    assert ask(gcs, "PUT", url, data).status == 200
    assert gcs.read("bucket", "m") == data


def test_a_cut_chunk_is_kept_in_whole_quanta(gcs: FakeGcs) -> None:
    """What arrived before the connection ended stays, down to a multiple of 256 KiB."""
    data = os.urandom(10 * QUANTUM)
    url = start(gcs, "n", {"crc32c": crc32c(data)})
    kept = 6 * QUANTUM
    with socket.create_connection(("127.0.0.1", _port(gcs)), timeout=20) as connection:
        target = url.removeprefix(gcs.url)
        head = f"PUT {target} HTTP/1.1\r\nContent-Length: {len(data)}\r\n"
        head += f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: kept + 100])
    told = f"bytes=0-{kept - 1}"
    _wait(lambda: chunk(gcs, url, b"", "*/*").headers["Range"] == told)
    rest = chunk(gcs, url, data[kept:], f"{kept}-{len(data) - 1}/{len(data)}")
    assert rest.status == 200
    assert gcs.read("bucket", "n") == data


def test_a_later_request_takes_a_session_over(gcs: FakeGcs) -> None:
    """A connection that hangs does not block the one that resumes, and adds nothing later."""
    data = os.urandom(8 * QUANTUM)
    url = start(gcs, "n", {"crc32c": crc32c(data)})
    with socket.create_connection(("127.0.0.1", _port(gcs)), timeout=20) as hung:
        target = url.removeprefix(gcs.url)
        head = f"PUT {target} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n"
        hung.sendall(head.encode() + data[: 4 * QUANTUM])
        told = f"bytes=0-{4 * QUANTUM - 1}"
        _wait(lambda: chunk(gcs, url, b"", "*/*").headers["Range"] == told)
        span = f"{4 * QUANTUM}-{5 * QUANTUM - 1}/*"
        assert chunk(gcs, url, data[4 * QUANTUM : 5 * QUANTUM], span).status == 308
        hung.sendall(data[4 * QUANTUM :])
        assert hung.recv(1000) == b""
        rest = chunk(gcs, url, data[5 * QUANTUM :], f"{5 * QUANTUM}-{len(data) - 1}/{len(data)}")
        assert rest.status == 200
    assert gcs.read("bucket", "n") == data


def test_empty_objects_by_every_upload(gcs: FakeGcs) -> None:
    """Nothing is a valid body."""
    assert insert(gcs, "a", b"").json["size"] == "0"
    assert insert_multipart(gcs, b"", name="b").json["crc32c"] == "AAAAAA=="
    assert ask(gcs, "PUT", start(gcs, "c"), b"").json["size"] == "0"
    assert chunk(gcs, start(gcs, "d"), b"", "*/0").json["size"] == "0"
    assert ask(gcs, "GET", at("d"), alt="media").body == b""
    copied = ask(gcs, "POST", at("a") + "/rewriteTo/b/bucket/o/e").json
    assert (copied["done"], copied["objectSize"]) == (True, "0")


def test_sessions_end(gcs: FakeGcs) -> None:
    """Unknown is 404, expired 410, cancelled 499, and none of them takes bytes any more."""
    expired, cancelled = start(gcs, "a"), start(gcs, "b")
    assert ask(gcs, "DELETE", cancelled).status == 499
    gcs.expire_sessions()
    for url, status in ((expired, 410), (cancelled, 499), (f"{UPLOAD}?upload_id=x", 404)):
        assert chunk(gcs, url, b"", "*/*").status == status
        assert ask(gcs, "PUT", url, b"x").status == status
    assert gcs.names("bucket") == []
    assert not list(gcs._folder.iterdir())


@pytest.mark.parametrize("span", ["5-4/9", "0-9/9", "x", "0-3/9"])
def test_a_content_range_that_lies_is_refused(gcs: FakeGcs, span: str) -> None:
    """A range that is no range, or is not that of the body, is a 400."""
    assert chunk(gcs, start(gcs, "n"), b"123456789", span).status == 400


def test_the_final_308_can_be_lost(gcs: FakeGcs) -> None:
    """The last chunk is answered as if nothing had come, and nothing has."""
    url = start(gcs, "n")
    gcs.lose_final_308()
    lost = ask(gcs, "PUT", url, b"data")
    assert (lost.status, "Range" in lost.headers) == (308, False)
    assert gcs.names("bucket") == []
    assert ask(gcs, "PUT", url, b"data").status == 200


# copies


def test_rewrite_in_several_calls(gcs: FakeGcs) -> None:
    """A rewrite goes on by its token, and the target appears with the last call."""
    data = os.urandom(5 * QUANTUM)
    gcs.put("bucket", "a", data, metadata={"k": "v"}, contentType="x/y")
    gcs.rewrite_bytes_per_call = 2 * QUANTUM
    path = at("a") + "/rewriteTo/b/bucket/o/c"
    first = ask(gcs, "POST", path).json
    assert (first["done"], first["totalBytesRewritten"]) == (False, str(2 * QUANTUM))
    assert first["objectSize"] == str(len(data))
    assert gcs.names("bucket") == ["a"]
    token = first["rewriteToken"]
    assert ask(gcs, "POST", at("a") + "/rewriteTo/b/bucket/o/d", rewriteToken=token).status == 400
    second = ask(gcs, "POST", path, rewriteToken=token).json
    last = ask(gcs, "POST", path, rewriteToken=second["rewriteToken"]).json
    assert (last["done"], "rewriteToken" in last) == (True, False)
    kept = {"metadata": {"k": "v"}, "contentType": "x/y", "crc32c": crc32c(data)}
    assert kept.items() <= last["resource"].items()
    assert gcs.read("bucket", "c") == data
    gcs.rewrite_bytes_per_call = None
    limited = ask(gcs, "POST", path, maxBytesRewrittenPerCall=1 << 20).json
    assert limited["done"] is False
    assert ask(gcs, "POST", path, maxBytesRewrittenPerCall=5).status == 400


def test_a_changed_source_ends_a_rewrite(gcs: FakeGcs) -> None:
    """A token is good for one generation of the source."""
    gcs.put("bucket", "a", bytes(2 * QUANTUM))
    gcs.rewrite_bytes_per_call = QUANTUM
    path = at("a") + "/rewriteTo/b/bucket/o/c"
    token = ask(gcs, "POST", path).json["rewriteToken"]
    gcs.put("bucket", "a", bytes(2 * QUANTUM))
    assert ask(gcs, "POST", path, rewriteToken=token).status == 400


def test_a_copys_body_replaces_the_metadata(gcs: FakeGcs) -> None:
    """Fields in the body replace all of the source's, also onto the object itself."""
    gcs.put("bucket", "a", b"x", metadata={"k": "v"}, cacheControl="no-store")
    change = {"contentType": "x/y", "storageClass": "NEARLINE"}
    done = ask(gcs, "POST", at("a") + "/rewriteTo/b/bucket/o/a", change).json["resource"]
    assert change.items() <= done.items()
    assert not {"metadata", "cacheControl"} & set(done)
    assert gcs.read("bucket", "a") == b"x"


def test_conditions_of_a_copys_source(gcs: FakeGcs) -> None:
    """A copy happens only from the generation that is meant."""
    gcs.create_bucket("kept", versioning=True)
    old = gcs.put("kept", "a", b"old")["generation"]
    new = gcs.put("kept", "a", b"new")["generation"]
    path = "/storage/v1/b/kept/o/a/copyTo/b/bucket/o/c"
    assert ask(gcs, "POST", path, ifSourceGenerationMatch=old).status == 412
    assert ask(gcs, "POST", path, ifSourceGenerationMatch=new).status == 200
    assert gcs.read("bucket", "c") == b"new"
    assert ask(gcs, "POST", path, sourceGeneration=old).status == 200
    assert gcs.read("bucket", "c") == b"old"
    assert ask(gcs, "POST", path, sourceGeneration=1).status == 404


def test_compose_adds_up(gcs: FakeGcs) -> None:
    """A composite has a right crc32c, a component count and no MD5; a copy keeps that so."""
    gcs.put("bucket", "a", b"one")
    gcs.put("bucket", "b", b"two")
    wanted = {"sourceObjects": [{"name": "a"}, {"name": "b"}], "destination": {"contentType": "t"}}
    made = ask(gcs, "POST", at("c") + "/compose", wanted).json
    assert (made["crc32c"], made["componentCount"]) == (crc32c(b"onetwo"), 2)
    assert ("md5Hash" in made, made["contentType"]) == (False, "t")
    copied = ask(gcs, "POST", at("c") + "/rewriteTo/b/bucket/o/d").json["resource"]
    assert ("md5Hash" in copied, copied["componentCount"]) == (False, 2)
    guarded = {"sourceObjects": [{"name": "a", "objectPreconditions": {"ifGenerationMatch": 1}}]}
    assert ask(gcs, "POST", at("c") + "/compose", guarded).status == 412
    many = {"sourceObjects": [{"name": "a"}] * 33}
    assert ask(gcs, "POST", at("c") + "/compose", many).status == 400


# batches, permissions, tokens


def _batch(gcs: FakeGcs, calls: list[str]) -> Answer:
    parts = [
        f"--=b=\r\nContent-Type: application/http\r\nContent-ID: <x+{number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    ]
    headers = {"Content-Type": 'multipart/mixed; boundary="=b="'}
    body = "".join(parts) + "--=b=--"
    return ask(gcs, "POST", "/batch/storage/v1", body.encode(), headers)


def test_a_batch_answers_each_call(gcs: FakeGcs) -> None:
    """Each call has its own answer, under the id of its part."""
    gcs.put("bucket", "a b", b"x")
    gcs.put("bucket", "c", b"x")
    patch = '{"cacheControl": "no-store"}'
    answer = _batch(
        gcs,
        [
            f"DELETE {at('a b')} HTTP/1.1\r\n\r\n",
            f"DELETE {at('none')}\r\n\r\n",
            f"PATCH {at('c')} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{patch}",
        ],
    )
    assert answer.status == 200
    boundary = answer.headers["Content-Type"].partition("boundary=")[2]
    parts = answer.body.decode().split(f"--{boundary}")[1:-1]
    assert [part.split("HTTP/1.1 ")[1][:3] for part in parts] == ["204", "404", "200"]
    assert [f"Content-ID: <response-x+{n}>" in part for n, part in enumerate(parts)] == [True] * 3
    assert gcs.resource("bucket", "c")["cacheControl"] == "no-store"
    assert gcs.names("bucket") == ["c"]
    assert (gcs.requests["batch"], gcs.requests["objects.delete"]) == (1, 2)


def test_a_batch_has_a_limit(gcs: FakeGcs) -> None:
    """More than a hundred calls are refused as a whole."""
    call = f"DELETE {at('n')} HTTP/1.1\r\n\r\n"
    assert _batch(gcs, [call] * 100).status == 200
    assert _batch(gcs, [call] * 101).status == 400
    assert gcs.requests["objects.delete"] == 100


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("storage.objects.create", "POST", UPLOAD + "?uploadType=media&name=new"),
        ("storage.objects.delete", "POST", UPLOAD + "?uploadType=media&name=n"),
        ("storage.objects.create", "POST", UPLOAD + "?uploadType=resumable&name=new"),
        ("storage.objects.delete", "DELETE", at("n")),
        ("storage.objects.get", "GET", at("n")),
        ("storage.objects.get", "POST", at("n") + "/rewriteTo/b/bucket/o/c"),
        ("storage.objects.list", "GET", OBJECTS),
        ("storage.objects.update", "PATCH", at("n")),
        ("storage.buckets.get", "GET", "/storage/v1/b/bucket"),
    ],
)
def test_a_denied_permission_is_told_and_refused(
    gcs: FakeGcs, permission: str, method: str, path: str
) -> None:
    """What testPermissions does not grant is refused where it is needed."""
    gcs.put("bucket", "n", b"x")
    gcs.denied.add(permission)
    asked = ["storage.objects.setRetention", permission]
    told = ask(gcs, "GET", "/storage/v1/b/bucket/iam/testPermissions", permissions=asked).json
    assert told["permissions"] == ["storage.objects.setRetention"]
    answer = ask(gcs, method, path)
    assert (answer.status, answer.reason) == (403, "forbidden")
    assert f"Permission '{permission}' denied" in answer.json["error"]["message"]
    gcs.denied.clear()
    assert ask(gcs, method, path).status < 300


def test_tokens_are_wanted_where_they_are_set(gcs: FakeGcs) -> None:
    """Without a good token a request is a 401; the token endpoint gives one."""
    gcs.tokens = set()
    for headers in ({}, {"Authorization": "Bearer old"}):
        answer = ask(gcs, "GET", OBJECTS, None, headers)
        assert (answer.status, answer.reason) == (401, "authError")
    form = urlencode({"grant_type": "refresh_token", "refresh_token": "r"})
    given = ask(gcs, "POST", "/token", form.encode()).json
    assert (given["expires_in"], given["token_type"]) == (3600, "Bearer")
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    assert ask(gcs, "GET", OBJECTS, None, headers).status == 200
    gcs.tokens.clear()
    assert ask(gcs, "GET", OBJECTS, None, headers).status == 401


# faults


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "rateLimitExceeded"), (503, "backendError"), (403, "forbidden")]
)
def test_faults_come_as_often_as_asked(gcs: FakeGcs, status: int, reason: str) -> None:
    """A fault refuses the next requests of one operation, without an effect."""
    gcs.fail_next("objects.insert", status, times=2, retry_after=7)
    for _ in range(2):
        answer = insert(gcs, "n", bytes(3 * PIECE_BYTES))
        assert (answer.status, answer.reason) == (status, reason)
        assert answer.headers["Retry-After"] == "7"
        assert ask(gcs, "GET", OBJECTS).status == 200
    assert insert(gcs, "n").status == 200
    assert gcs.requests["objects.insert"] == 3


def test_a_reply_can_be_lost(gcs: FakeGcs) -> None:
    """The request takes effect and its answer never comes."""
    gcs.lose_reply("objects.insert")
    with pytest.raises(ConnectionError):
        insert(gcs, "n")
    assert gcs.names("bucket") == ["n"]
    assert insert(gcs, "n").status == 200


def test_the_hook_sees_operation_and_name(gcs: FakeGcs) -> None:
    """A hook is told before anything happens; what it raises is the answer."""
    seen = []

    def hook(operation: str, name: str) -> None:
        seen.append((operation, name))
        if operation == "objects.delete":
            raise RefusedError(403, "not now")
        if operation == "objects.patch":
            raise ConnectionResetError

    gcs.hook = hook
    insert(gcs, "n")
    assert ask(gcs, "DELETE", at("n")).status == 403
    with pytest.raises(ConnectionError):
        ask(gcs, "PATCH", at("n"), {})
    assert seen == [("objects.insert", "n"), ("objects.delete", "n"), ("objects.patch", "n")]


# the server below


def test_a_connection_is_kept_over_refusals(gcs: FakeGcs) -> None:
    """A body that nobody read does not become the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", _port(gcs), timeout=20)
    connection.connect()
    first = connection.sock
    for path in ("/elsewhere", f"{UPLOAD}?uploadType=media&name=n"):
        connection.request("POST", path, bytes(2 * PIECE_BYTES + 3))
        reply = connection.getresponse()
        reply.read()
    assert reply.status == 200
    assert connection.sock is first
    connection.close()


def test_chunked_bodies(gcs: FakeGcs) -> None:
    """A body without a length comes in chunks, in every kind of upload."""
    data = os.urandom(2 * PIECE_BYTES + 3)
    body, headers = multipart(data, name="m")
    for path, kind, sent in (
        (f"{UPLOAD}?uploadType=media&name=n", {}, data),
        (f"{UPLOAD}?uploadType=multipart", headers, body),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", _port(gcs), timeout=20)
        pieces = iter(io.BytesIO(sent).readlines())
        connection.request("POST", path, pieces, kind, encode_chunked=True)
        assert json.loads(connection.getresponse().read())["crc32c"] == crc32c(data)
        connection.close()
    assert ask(gcs, "PUT", start(gcs, "r"), iter([data])).json["crc32c"] == crc32c(data)
    assert gcs.names("bucket") == ["m", "n", "r"]


@pytest.mark.parametrize(("path", "first"), [(UPLOAD, b"100"), ("/elsewhere", b"404")])
def test_expect_100_continue(gcs: FakeGcs, path: str, first: bytes) -> None:
    """A client that asks first is told to go on, or refused without sending."""
    with socket.create_connection(("127.0.0.1", _port(gcs)), timeout=20) as connection:
        target = f"{path}?uploadType=media&name=n"
        head = f"POST {target} HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 " + first)
        if first == b"100":
            connection.sendall(b"data")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        else:
            assert b"100" not in b"".join(iter(lambda: connection.recv(1000), b""))
    assert gcs.names("bucket") == (["n"] if first == b"100" else [])


@pytest.mark.parametrize("head", ["no request\r\n\r\n", "GET / HTTP/1.1\r\nx\r\n\r\n"])
def test_what_is_no_request_is_refused(gcs: FakeGcs, head: str) -> None:
    """Anything else than HTTP/1 is answered by a 400 and a closed connection."""
    with socket.create_connection(("127.0.0.1", _port(gcs)), timeout=20) as connection:
        connection.sendall(head.encode())
        received = b"".join(iter(lambda: connection.recv(1000), b""))
    assert received.startswith(b"HTTP/1.1 400")


def test_close_ends_open_connections(tmp_path: Path) -> None:
    """A server stops at once, whatever its clients are doing."""
    with FakeGcs("bucket", folder=tmp_path) as server:
        idle = http.client.HTTPConnection("127.0.0.1", _port(server), timeout=20)
        idle.request("GET", OBJECTS)
        idle.getresponse().read()
        busy = socket.create_connection(("127.0.0.1", _port(server)), timeout=20)
        target = f"{UPLOAD}?uploadType=media&name=n"
        busy.sendall(f"POST {target} HTTP/1.1\r\nContent-Length: 9\r\n\r\nx".encode())
        _wait(lambda: bool(ask(server, "GET", OBJECTS)) and server.requests["objects.insert"] == 1)
    with suppress(ConnectionResetError):
        assert busy.recv(100) == b""
    busy.close()
    idle.close()
    assert server.errors == []
    assert server._open == {}
    assert not server._acceptor.is_alive()


def test_tls(tmp_path: Path) -> None:
    """The same server speaks HTTPS."""
    certificate, key = _certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    data = os.urandom(2 * PIECE_BYTES + 3)
    with FakeGcs("bucket", folder=tmp_path / "gcs", tls=context) as server:
        trust = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", _port(server), timeout=20, context=trust
        )
        connection.request("POST", f"{UPLOAD}?uploadType=media&name=n", data)
        link = json.loads(connection.getresponse().read())["mediaLink"]
        assert link.startswith("https://")
        connection.request("GET", link.removeprefix(server.url))
        assert connection.getresponse().read() == data
        connection.close()
    assert server.errors == []


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_a_process_of_its_own(tmp_path: Path, end: str) -> None:
    """It prints its URL, serves, and ends with its standard input or by SIGTERM."""
    command = [sys.executable, "-m", "tests.fakes.gcs", "--folder", str(tmp_path / "gcs")]
    with subprocess.Popen(
        [*command, "--bucket", "bucket"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline().decode().rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", f"{UPLOAD}?uploadType=media&name=n", b"data")
        assert connection.getresponse().status == 200
        if end == "stdin":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        connection.close()
    assert [path.read_bytes() for path in (tmp_path / "gcs").iterdir()] == [b"data"]


# real clients


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_gcsfs(gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small and big files go up by gcsfs, are listed, told, copied and removed."""
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    fs = gcsfs.GCSFileSystem(
        endpoint_url=gcs.url, token="anon", project="x", skip_instance_cache=True
    )
    small, big = b"small\r", os.urandom(6 << 20)
    (tmp_path / "small").write_bytes(small)
    (tmp_path / "big").write_bytes(big)
    fs.put_file(str(tmp_path / "small"), "bucket/a/small", metadata={"k": "v"})
    fs.put_file(str(tmp_path / "big"), "bucket/a/big", chunksize=2 << 20)
    assert gcs.read("bucket", "a/small") == small
    assert gcs.read("bucket", "a/big") == big
    assert gcs.requests["resumable.chunk"] == 3
    assert sorted(fs.ls("bucket/a", detail=False)) == ["bucket/a/big", "bucket/a/small"]
    assert fs.info("bucket/a/big")["size"] == len(big)
    assert fs.cat_file("bucket/a/big", 5, 10) == big[5:10]
    fs.cp_file("bucket/a/small", "bucket/b c")
    assert gcs.resource("bucket", "b c")["metadata"] == {"k": "v"}
    fs.rm(["bucket/a/small", "bucket/a/big"])
    assert gcs.names("bucket") == ["b c"]
    with pytest.raises(FileNotFoundError):
        fs.info("bucket/a/big")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud(gcs: FakeGcs, tmp_path: Path) -> None:
    """The real command line uploads, lists, downloads and removes, and is refused by a hold."""
    config = tmp_path / "config"
    config.mkdir()
    environment = {
        **os.environ,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{gcs.url}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CONFIG": str(config),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_PROJECT": "x",
    }

    def gcloud(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["gcloud", "storage", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    data = os.urandom(9 << 20)
    (tmp_path / "big").write_bytes(data)
    (tmp_path / "small").write_bytes(b"small")
    up = gcloud("cp", str(tmp_path / "big"), str(tmp_path / "small"), "gs://bucket/x/")
    assert up.returncode == 0, up.stderr
    assert gcs.read("bucket", "x/big") == data
    assert gcs.requests["resumable.start"] == gcs.requests["objects.insert"] == 1
    assert gcloud("ls", "gs://bucket/x/").stdout.split() == [
        "gs://bucket/x/big",
        "gs://bucket/x/small",
    ]
    down = gcloud("cp", "gs://bucket/x/big", str(tmp_path / "again"))
    assert down.returncode == 0, down.stderr
    assert (tmp_path / "again").read_bytes() == data
    ask(gcs, "PATCH", at("x/small"), {"temporaryHold": True})
    removed = gcloud("rm", "gs://bucket/x/**")
    assert removed.returncode != 0
    assert "is under active Temporary hold" in removed.stderr
    assert gcs.names("bucket") == ["x/small"]


def _port(server: FakeGcs) -> int:
    return int(server.url.rpartition(":")[2])


def _wait(holds: Callable[[], bool]) -> None:
    """Ask the server until it holds: what its other threads do has no other sign."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "waited for ten seconds"


def _listed(server: FakeGcs, size: int, **query: Any) -> tuple[list[str], list[str]]:
    """List page by page, and return names and prefixes."""
    names: list[str] = []
    prefixes: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = ask(server, "GET", OBJECTS, maxResults=size, **query, **token).json
        items = [item["name"] for item in page.get("items", [])]
        assert len(items) + len(page.get("prefixes", [])) <= size
        names += items
        prefixes += page.get("prefixes", [])
        if "nextPageToken" not in page:
            return names, prefixes
        token = {"pageToken": page["nextPageToken"]}


def _certify(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for loopback and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path
