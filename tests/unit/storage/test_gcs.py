"""Tests of Google Cloud Storage as a store, over a server that keeps its rules."""

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lading.config.models import Destination
from lading.errors import (
    ChecksumError,
    ConditionError,
    MissingObjectError,
    StoreError,
    UnavailableError,
)
from lading.release.objects import digest_bytes
from lading.storage import IF_ABSENT, Attributes, Body, Condition, Progress, gcs_resumable
from lading.storage import gcs as gcs_module
from lading.storage.gcs import GcsStore
from lading.storage.gcs_batch import parse_batch, render_deletions
from lading.storage.wire import ATTEMPTS
from tests.fakes.gcs import QUANTUM_BYTES, FakeGcs
from tests.fakes.proxy import FaultProxy
from tests.fakes.scripted import ScriptedServer, reply
from tests.unit.storage.naps import note_naps

BUCKET = "open-data"
BIG = b"".join(bytes([number]) * QUANTUM_BYTES for number in range(6)) + b"the end"
VERSIONED = "public, max-age=31536000, immutable"
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


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    """Return a server with a bucket."""
    with FakeGcs(BUCKET) as server:
        yield server
        assert server.errors == []


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Wait for nothing, and know nobody."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no-such-file.json"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    return note_naps(monkeypatch)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be large that are not."""
    monkeypatch.setattr(gcs_module, "LARGE_BYTES", QUANTUM_BYTES)


def open_gcs(
    gcs: FakeGcs | ScriptedServer | FaultProxy,
    url: str = f"gs://{BUCKET}",
    sessions: Path | None = None,
    **options: Any,
) -> GcsStore:
    """Open a store as a machine that never saw it."""
    given = {"anonymous": True, **options}
    return GcsStore(url, Destination(url=url, endpoint=gcs.url, **given), sessions)


def file_of(folder: Path, data: bytes, **attributes: str) -> Body:
    """Return a file as what to put."""
    path = folder / "file.bin"
    path.write_bytes(data)
    return Body(digest_bytes(data), path, attributes=Attributes(**attributes))


def refusal(act: Callable[[], object]) -> str:
    """Return the one line of a refusal."""
    with pytest.raises(StoreError) as caught:
        act()
    assert not isinstance(caught.value, UnavailableError | MissingObjectError)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.usefixtures("small")
class TestKept:
    """What stands beside the bytes."""

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/vnd.apache.parquet",
            "application/zip",
            "application/vnd.sqlite3",
            "application/json",
        ],
    )
    @pytest.mark.parametrize("data", [b"small", BIG], ids=["whole", "session"])
    def test_attributes_of_a_put(
        self, gcs: FakeGcs, tmp_path: Path, data: bytes, media_type: str
    ) -> None:
        """Content type, cache control and sha256 are kept as they were given."""
        body = file_of(tmp_path, data, media_type=media_type, cache_control=VERSIONED)
        open_gcs(gcs).put("a", body)
        found = gcs.resource(BUCKET, "a")
        assert found["contentType"] == media_type
        assert found["cacheControl"] == VERSIONED
        assert found["metadata"] == {"sha256": body.digest.sha256}
        assert gcs.read(BUCKET, "a") == data
        assert (gcs.requests["resumable.start"] == 1) == (data == BIG)

    def test_attributes_of_a_copy_in_many_calls(self, gcs: FakeGcs) -> None:
        """A rewrite of several calls gives a copy what it was given, and nothing of its source."""
        gcs.rewrite_bytes_per_call = 2 * QUANTUM_BYTES
        gcs.put(BUCKET, "a", BIG, contentType="text/html", metadata={"secret": "x"})
        store, digest = open_gcs(gcs), digest_bytes(BIG)
        attributes = Attributes(media_type="application/zip", cache_control="no-cache")
        entry = store.copy("a", "b", digest=digest, attributes=attributes)
        found = gcs.resource(BUCKET, "b")
        assert gcs.requests["objects.rewrite"] == 4
        assert (found["contentType"], found["cacheControl"]) == ("application/zip", "no-cache")
        assert found["metadata"] == {"sha256": digest.sha256}
        assert entry.version == found["generation"]
        assert gcs.read(BUCKET, "b") == BIG

    @pytest.mark.parametrize("data", [b"small", BIG], ids=["whole", "session"])
    def test_storage_class_and_key(self, gcs: FakeGcs, tmp_path: Path, data: bytes) -> None:
        """Class and key of the destination are those of what is written, and of copies."""
        key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
        store, body = (
            open_gcs(gcs, storage_class="NEARLINE", kms_key=key),
            file_of(tmp_path, data),
        )
        store.put("a", body)
        store.copy("a", "b", digest=body.digest)
        for name in "ab":
            found = gcs.resource(BUCKET, name)
            assert found["storageClass"] == "NEARLINE"
            assert found["kmsKeyName"].startswith(key)


@pytest.mark.usefixtures("small")
class TestChecksums:
    """CRC32C from end to end."""

    @pytest.mark.parametrize("data", [b"small", BIG], ids=["whole", "session"])
    def test_service_that_finds_other_bytes(
        self, gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
    ) -> None:
        """Bytes that change on their way are refused by the service, and nothing stands."""
        body = file_of(tmp_path, data)
        assert body.path is not None
        monkeypatch.setattr("lading.storage.wire.FilePart._require", lambda *_: None)
        body.path.write_bytes(data[:-1] + b"!")
        with pytest.raises(ChecksumError, match=r"objects.insert: GCS answered 400 .*CRC32C"):
            open_gcs(gcs).put("a", body)
        assert gcs.names(BUCKET) == []

    def test_file_of_other_bytes_never_arrives(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A large file that changed since is refused here: the service never gets its end."""
        body = file_of(tmp_path, BIG)
        assert body.path is not None
        body.path.write_bytes(BIG[:-1] + b"!")
        with pytest.raises(ChecksumError, match=r"file\.bin: expected crc32c .* got crc32c"):
            open_gcs(gcs, sessions=tmp_path / "sessions").put("a", body)
        assert gcs.names(BUCKET) == []
        assert list((tmp_path / "sessions").iterdir()) == []

    def test_service_that_tells_another(self) -> None:
        """A service that kept other bytes than were sent is found out by what it tells."""
        told = {"generation": "1", "size": "1", "crc32c": "AAAAAA=="}
        with (
            ScriptedServer(reply(200, json.dumps(told).encode())) as server,
            pytest.raises(ChecksumError, match=r"expected .*got .*AAAAAA=="),
        ):
            open_gcs(server).put("a", Body.of_bytes(b"x"))

    def test_listing_tells_the_digest(self, gcs: FakeGcs) -> None:
        """One listing tells CRC32C and sha256: nothing is asked of single objects."""
        store = open_gcs(gcs)
        store.put("a", Body.of_bytes(b"x"))
        (entry,) = open_gcs(gcs).list()
        assert entry.digest is not None
        assert entry.digest.agrees_with(digest_bytes(b"x"))
        assert entry.digest.sha256 == digest_bytes(b"x").sha256
        assert gcs.requests["objects.get"] == 0

    def test_source_replaced_since_it_was_seen(self, gcs: FakeGcs) -> None:
        """A source that was replaced is not copied, and seen anew by the next try."""
        store, digest = open_gcs(gcs), digest_bytes(b"same")
        store.put("a", Body.of_bytes(b"same"))
        gcs.put(BUCKET, "a", b"same")
        with pytest.raises(ChecksumError, match=r"gs://open-data/a: .* found it replaced"):
            store.copy("a", "b", digest=digest)
        assert gcs.names(BUCKET) == ["a"]
        store.copy("a", "b", digest=digest)
        assert gcs.read(BUCKET, "b") == b"same"

    def test_source_deleted_since_it_was_seen(self, gcs: FakeGcs) -> None:
        """A source that is gone is the one that is named, not the copy."""
        store = open_gcs(gcs)
        store.put("a", Body.of_bytes(b"x"))
        open_gcs(gcs).delete(["a"])
        with pytest.raises(MissingObjectError, match="gs://open-data/a: expected an object"):
            store.copy("a", "b", digest=digest_bytes(b"x"))


class TestLies:
    """Answers of status 200 that are none."""

    @pytest.mark.parametrize("body", [b"<html>Welcome to the hotel</html>", b"", b"{}", b"[]"])
    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.put("a", Body.of_bytes(b"x")),
            lambda store: store.list(),
            lambda store: store.stat("a"),
            lambda store: store.hold(["a"]),
        ],
        ids=["put", "list", "stat", "hold"],
    )
    def test_page_of_something_else(self, act: Callable[[GcsStore], object], body: bytes) -> None:
        """A page of status 200 that is not of GCS is success for nothing."""
        with ScriptedServer(reply(200, body)) as server:
            with pytest.raises(UnavailableError, match="expected an answer of GCS, got status 200"):
                act(open_gcs(server))
            assert len(server.received) == ATTEMPTS


class TestPassing:
    """What is tried again."""

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_status_that_passes(self, gcs: FakeGcs, status: int) -> None:
        """A status that passes is asked about again."""
        gcs.fail_next("objects.insert", status, times=3)
        open_gcs(gcs).put("a", Body.of_bytes(b"x"))
        assert gcs.requests["objects.insert"] == 4

    @pytest.mark.usefixtures("small")
    def test_wait_that_the_service_asks_for(
        self, gcs: FakeGcs, tmp_path: Path, naps: list[float]
    ) -> None:
        """Retry-After of GCS is waited for, in the middle of a session too."""
        gcs.fail_next("resumable.start", 503, retry_after=6)
        gcs.fail_next("resumable.chunk", 429, retry_after=4)
        open_gcs(gcs).put("a", file_of(tmp_path, BIG))
        assert [each for each in naps if each] == [6.0, 4.0]

    def test_too_many_calls_by_another_status(self) -> None:
        """A 403 whose reason is the rate passes too."""
        error = {"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}
        listing = reply(200, b'{"kind": "storage#objects"}')
        with ScriptedServer(reply(403, json.dumps(error).encode()), listing) as server:
            assert open_gcs(server).list() == []
            assert len(server.received) == 2

    def test_status_for_good(self, gcs: FakeGcs, naps: list[float]) -> None:
        """An error of the request is told at once, with place, call and words of the service."""
        gcs.fail_next("objects.insert", 400)
        told = refusal(lambda: open_gcs(gcs).put("a", Body.of_bytes(b"x")))
        words = "GCS answered 400 invalid: A fault that the test asked for: 400."
        assert told == f"gs://open-data: a: objects.insert: {words}"
        assert naps == []


@pytest.mark.usefixtures("small")
class TestResume:
    """Going on inside a large file."""

    @pytest.fixture
    def cut(self, gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Body:
        """Return a file of which three quanta are kept when the process ended."""
        body = file_of(tmp_path, BIG)
        with FaultProxy(gcs.url) as proxy, monkeypatch.context() as patch:
            patch.setattr(gcs_resumable, "until_it_moves", lambda act, _: act())
            store = open_gcs(proxy, sessions=tmp_path / "sessions")
            begin = store._resumable._begin

            def begin_through_proxy(*given: Any) -> str:
                session = begin(*given).replace(gcs.url, proxy.url)
                proxy.cut_after(3 * QUANTUM_BYTES + 1000)
                return session

            patch.setattr(store._resumable, "_begin", begin_through_proxy)
            with pytest.raises(UnavailableError):
                store.put("a", body)
        (session,) = gcs._sessions.values()
        for _ in range(500):
            if session.draft.size == 3 * QUANTUM_BYTES:
                break
            threading.Event().wait(0.01)
        assert session.draft.size == 3 * QUANTUM_BYTES
        assert gcs.names(BUCKET) == []
        gcs.reset_counters()
        return body

    def test_next_process_sends_what_is_missing(
        self, gcs: FakeGcs, tmp_path: Path, cut: Body
    ) -> None:
        """The next process on this machine sends what was not kept, and counts all."""
        counted = Counting()
        open_gcs(gcs, sessions=tmp_path / "sessions").put("a", cut, progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.start"] == 0
        assert gcs.received_bytes == len(BIG) - 3 * QUANTUM_BYTES
        assert counted.total == len(BIG)
        assert list((tmp_path / "sessions").iterdir()) == []

    def test_other_machine_begins_anew(self, gcs: FakeGcs, cut: Body) -> None:
        """A machine that does not know the session begins anew."""
        open_gcs(gcs).put("a", cut)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.start"] == 1

    def test_other_bytes_begin_anew(self, gcs: FakeGcs, tmp_path: Path, cut: Body) -> None:
        """A session is gone on with for the bytes it was begun for, and no others."""
        del cut
        data = b"!" + BIG[1:]
        open_gcs(gcs, sessions=tmp_path / "sessions").put("a", file_of(tmp_path, data))
        assert gcs.read(BUCKET, "a") == data
        assert gcs.requests["resumable.start"] == 1

    @pytest.mark.parametrize("how", ["expired", "unknown"])
    def test_session_that_is_gone(self, gcs: FakeGcs, tmp_path: Path, cut: Body, how: str) -> None:
        """A session that has expired (410), or that nobody knows (404), is begun anew."""
        if how == "expired":
            gcs.expire_sessions()
        else:
            gcs._sessions.clear()
        counted = Counting()
        open_gcs(gcs, sessions=tmp_path / "sessions").put("a", cut, progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.start"] == 1
        assert counted.total == len(BIG)

    def test_session_that_goes_in_the_middle(self, gcs: FakeGcs, tmp_path: Path, cut: Body) -> None:
        """A session that ends after it told what it holds is begun anew; each byte counts once."""
        gcs.fail_next("resumable.chunk", 410)
        counted = Counting()
        open_gcs(gcs, sessions=tmp_path / "sessions").put("a", cut, progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.start"] == 1
        assert counted.total == len(BIG)

    def test_session_that_is_lost_again_and_again(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A service that loses every session is given up after a bounded number of them."""
        gcs.fail_next("resumable.chunk", 410, times=99)
        counted = Counting()
        with pytest.raises(StoreError, match="gs://open-data/a"):
            open_gcs(gcs).put("a", file_of(tmp_path, BIG), progress=counted)
        assert gcs.requests["resumable.start"] <= 5
        assert counted.total == 0

    def test_bare_308_to_the_end_is_no_success(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """An answer of 308 without a range to the last byte is followed by a question."""
        gcs.lose_final_308(2)
        counted = Counting()
        open_gcs(gcs).put("a", file_of(tmp_path, BIG), progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.query"] == 2
        assert counted.total == len(BIG)

    def test_bare_308_without_end(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A service that says 308 for ever is given up, and nothing is taken for success."""
        gcs.lose_final_308(99)
        with pytest.raises(UnavailableError, match="expected the end of the upload"):
            open_gcs(gcs).put("a", file_of(tmp_path, BIG))
        assert gcs.names(BUCKET) == []
        assert gcs.requests["resumable.chunk"] <= ATTEMPTS + 1

    def test_answer_of_the_end_lost(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """An upload whose last answer was lost is success, found by asking; sent once."""
        gcs.lose_reply("resumable.chunk")
        counted = Counting()
        open_gcs(gcs).put("a", file_of(tmp_path, BIG), condition=IF_ABSENT, progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert gcs.requests["resumable.chunk"] == 1
        assert gcs.requests["resumable.query"] == 1
        assert counted.total == len(BIG)

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_chunk_that_fails(self, gcs: FakeGcs, tmp_path: Path, status: int) -> None:
        """A passing failure of a chunk is followed by a question, and the rest."""
        gcs.fail_next("resumable.chunk", status, times=2)
        counted = Counting()
        open_gcs(gcs).put("a", file_of(tmp_path, BIG), progress=counted)
        assert gcs.read(BUCKET, "a") == BIG
        assert counted.total == len(BIG)

    def test_session_file_is_for_its_owner(self, gcs: FakeGcs, tmp_path: Path, cut: Body) -> None:
        """The file that holds a session can be read by its owner alone."""
        del gcs, cut
        (path,) = (tmp_path / "sessions").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_session_is_a_secret(self, gcs: FakeGcs, tmp_path: Path, cut: Body) -> None:
        """No error tells the name of a session, whatever goes wrong with it."""
        (upload,) = gcs.open_sessions()
        sessions = tmp_path / "sessions"
        for operation, status in (("resumable.query", 403), ("resumable.query", 503)):
            gcs.fail_next(operation, status, times=30)
            with pytest.raises(StoreError) as caught:
                open_gcs(gcs, sessions=sessions).put("a", cut)
            assert upload not in str(caught.value)
            assert "upload_id" not in str(caught.value)
            gcs._faults.clear()
        url = gcs.url
        gcs.close()
        options = Destination(url=f"gs://{BUCKET}", endpoint=url, anonymous=True)
        with pytest.raises(UnavailableError) as caught:
            GcsStore(f"gs://{BUCKET}", options, sessions).put("a", cut)
        assert url.removeprefix("http://") in str(caught.value)
        assert upload not in str(caught.value)

    def test_nothing_is_unfinished(self, gcs: FakeGcs, cut: Body) -> None:
        """GCS tells of no sessions: none is listed."""
        del cut
        assert [*open_gcs(gcs).unfinished("")] == []


class TestRaces:
    """Conditional writes, with answers that are lost."""

    def test_own_answer_lost(self, gcs: FakeGcs) -> None:
        """A create that was done, its answer lost, is success: nobody else was there."""
        gcs.lose_reply("objects.insert")
        entry = open_gcs(gcs).put("lock", Body.of_bytes(b"mine"), condition=IF_ABSENT)
        assert entry.version == gcs.resource(BUCKET, "lock")["generation"]
        assert gcs.requests["objects.insert"] == 2

    def test_somebody_else_was_there(self, gcs: FakeGcs) -> None:
        """A create that lost its answer, and then its race, is an error: theirs stands."""
        gcs.fail_next("objects.insert", 503)
        gcs.put(BUCKET, "lock", b"theirs")
        with pytest.raises(ConditionError):
            open_gcs(gcs).put("lock", Body.of_bytes(b"mine"), condition=IF_ABSENT)
        assert gcs.read(BUCKET, "lock") == b"theirs"

    def test_swap_of_an_old_generation(self, gcs: FakeGcs) -> None:
        """A swap on a generation that is gone is refused by the service itself."""
        old = str(gcs.put(BUCKET, "a", b"one")["generation"])
        gcs.put(BUCKET, "a", b"two")
        with pytest.raises(ConditionError, match="412"):
            open_gcs(gcs).put("a", Body.of_bytes(b"x"), condition=Condition(if_version=old))

    @pytest.mark.usefixtures("small")
    def test_large_file_that_lost_its_race(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A large file is refused where another came while it was sent: theirs stands."""

        def come_between(operation: str, _: str) -> None:
            if operation == "resumable.chunk":
                gcs.put(BUCKET, "a", b"theirs")

        gcs.hook = come_between
        with pytest.raises(ConditionError):
            open_gcs(gcs).put("a", file_of(tmp_path, BIG), condition=IF_ABSENT)
        assert gcs.read(BUCKET, "a") == b"theirs"


class TestHold:
    """Temporary holds."""

    @pytest.fixture
    def store(self, gcs: FakeGcs) -> GcsStore:
        """Return a store with a held object, and one beside it."""
        store = open_gcs(gcs)
        store.put("n/a", Body.of_bytes(b"x"))
        store.put("n/b", Body.of_bytes(b"x"))
        store.hold(["n/a"])
        return store

    def test_hold_is_the_services_own(self, gcs: FakeGcs, store: GcsStore) -> None:
        """A hold is a temporary hold of GCS; a new listing tells it, and of no other."""
        assert gcs.resource(BUCKET, "n/a")["temporaryHold"] is True
        assert store.held("n/") == open_gcs(gcs).held("n/") == {"n/a"}

    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.delete(["n/a"]),
            lambda store: store.delete(["n/a", "n/none"]),
            lambda store: store.put("n/a", Body.of_bytes(b"y")),
            lambda store: store.copy("n/b", "n/a", digest=digest_bytes(b"x")),
        ],
        ids=["delete", "delete many", "put", "copy"],
    )
    def test_held_object_stays(
        self, gcs: FakeGcs, store: GcsStore, act: Callable[[GcsStore], object]
    ) -> None:
        """What is held is neither deleted nor overwritten, and the line says who lifts it."""
        told = refusal(lambda: act(store))
        assert "n/a" in told
        assert told.endswith("a person put it on hold; a person lifts it")
        assert gcs.read(BUCKET, "n/a") == b"x"

    def test_hold_by_an_event_is_one(self, gcs: FakeGcs, store: GcsStore) -> None:
        """An event-based hold that somebody put is told as well."""
        gcs.put(BUCKET, "n/c", b"x", eventBasedHold=True)
        assert store.held("n/") == {"n/a", "n/c"}

    def test_hold_that_is_denied(self, gcs: FakeGcs, store: GcsStore) -> None:
        """A hold that this run may not put is refused with the permission it needs."""
        gcs.denied = {"storage.objects.update"}
        told = refusal(lambda: store.hold(["n/b"]))
        assert told.startswith("gs://open-data/n/b: objects.patch: GCS answered 403")
        assert told.endswith("allow storage.objects.update here")


class TestDelete:
    """Deleting many."""

    KEYS = tuple(f"a/{number:03} #?é" for number in range(250))

    def test_hundred_in_a_call(self, gcs: FakeGcs) -> None:
        """A hundred keys go in one call; others stay, and missing ones are no error."""
        for key in [*self.KEYS[:-1], "b"]:
            gcs.put(BUCKET, key, b"")
        open_gcs(gcs).delete(self.KEYS)
        assert gcs.names(BUCKET) == ["b"]
        assert gcs.requests["batch"] == 3
        assert gcs.requests["objects.delete"] == 250

    def test_refusal_in_a_call_is_told(self, gcs: FakeGcs) -> None:
        """A key that may not be deleted is an error that names it, though the call succeeded."""
        for key in ("a", "b"):
            gcs.put(BUCKET, key, b"")
        gcs.denied = {"storage.objects.delete"}
        told = refusal(lambda: open_gcs(gcs).delete(["a", "b"]))
        assert told.startswith("gs://open-data/a: objects.delete: GCS answered 403 forbidden")
        assert told.endswith("allow storage.objects.delete here")

    def test_failure_in_a_call_that_passes(self, gcs: FakeGcs) -> None:
        """A key whose deletion failed for the moment is deleted by itself."""
        for key in "abc":
            gcs.put(BUCKET, key, b"")
        gcs.fail_next("objects.delete", 503, times=2)
        open_gcs(gcs).delete(list("abc"))
        assert gcs.names(BUCKET) == []
        assert gcs.requests["batch"] == 1
        assert gcs.requests["objects.delete"] == 5

    @pytest.mark.parametrize("status", [404, 501])
    def test_service_without_batches(self, gcs: FakeGcs, status: int) -> None:
        """Where nobody knows batches, keys are deleted one by one."""
        for key in "abc":
            gcs.put(BUCKET, key, b"")
        gcs.fail_next("batch", status)
        open_gcs(gcs).delete(list("abc"))
        assert gcs.names(BUCKET) == []

    def test_part_that_is_not_answered(self) -> None:
        """A call of a batch that nobody answers is not there; answers come in any order."""
        data = (
            b"--x\r\nContent-ID: <response-call+2>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
            b"--x\r\nContent-ID: <response-call+0>\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n{}\r\n"
            b"--x--\r\n"
        )
        assert parse_batch('multipart/mixed; boundary="x"', data) == {2: 204, 0: 403}
        assert parse_batch("text/html", b"<html>") == {}

    def test_batch_is_rendered_as_documented(self) -> None:
        """Each call of a batch has its number, and a path without the host."""
        text = render_deletions(["/storage/v1/b/x/o/a"], "x").decode()
        assert "Content-ID: <call+0>" in text
        assert "\r\n\r\nDELETE /storage/v1/b/x/o/a HTTP/1.1\r\n" in text
        assert text.endswith("--x--\r\n")


class TestRefusals:
    """What is wrong, in one line, at once."""

    @pytest.mark.parametrize(
        ("permission", "operation"),
        [
            ("create", "objects.insert"),
            ("list", "objects.list"),
            ("get", "objects.get"),
            ("delete", "objects.delete"),
        ],
    )
    def test_permission_is_missing(
        self, gcs: FakeGcs, naps: list[float], permission: str, operation: str
    ) -> None:
        """What this run may not do is found before it begins, with bucket, call and permission."""
        gcs.denied = {f"storage.objects.{permission}"}
        told = refusal(lambda: open_gcs(gcs).require_access("staging/"))
        assert told.startswith("gs://open-data")
        assert f": {operation}: GCS answered 403 forbidden: " in told
        assert told.endswith(f"allow storage.objects.{permission} here")
        assert naps == []

    def test_bucket_is_missing(self, gcs: FakeGcs) -> None:
        """A bucket that does not exist is named, and no empty place."""
        store = open_gcs(gcs, "gs://no-such-bucket/data")
        for act in (
            store.list,
            lambda: store.stat("a"),
            lambda: store.put("a", Body.of_bytes(b"x")),
            lambda: store.delete(["a"]),
        ):
            told = refusal(act)
            assert "gs://no-such-bucket" in told
            assert told.endswith("create the bucket, or mend `url` of the destination")

    def test_requester_pays(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A bucket whose callers pay is refused with what to set, and used once it is set."""
        gcs.create_bucket("paid", requester_pays=True)
        told = refusal(open_gcs(gcs, "gs://paid").list)
        assert told.endswith("set `user_project` in the destination: the project that pays")
        store = open_gcs(gcs, "gs://paid", user_project="ours")
        store.require_access("")
        for key in "abc":
            store.put(key, file_of(tmp_path, b"x"))
        store.copy("a", "d", digest=digest_bytes(b"x"))
        store.hold(["d"])
        assert store.held("") == {"d"}
        store.delete(["a", "b", "c"])
        assert gcs.names("paid") == ["d"]

    @pytest.mark.usefixtures("small")
    def test_requester_pays_for_large_files(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A session in a bucket whose callers pay is paid for too."""
        gcs.create_bucket("paid", requester_pays=True)
        body = file_of(tmp_path, BIG)
        told = refusal(lambda: open_gcs(gcs, "gs://paid").put("a", body))
        assert "user_project" in told
        open_gcs(gcs, "gs://paid", user_project="ours").put("a", body)
        assert gcs.read("paid", "a") == BIG


class TestCredentials:
    """Who we are."""

    @pytest.fixture
    def account(self, gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Return the file of a service account whose tokens this server gives."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        table = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "robot@p.example",
            "token_uri": f"{gcs.url}/token",
        }
        path = tmp_path / "account.json"
        path.write_text(json.dumps(table))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        gcs.tokens = set()
        return path

    def test_none_at_all(self, gcs: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without credentials nobody is asked, and the line says how to log in."""
        with ScriptedServer(reply(500)) as metadata:
            monkeypatch.delenv("NO_GCE_CHECK")
            monkeypatch.setenv("GCE_METADATA_HOST", metadata.url.removeprefix("http://"))
            told = refusal(lambda: open_gcs(gcs, anonymous=False).list())
            assert metadata.received == []
        assert told.startswith("gs://open-data: expected Google credentials, got: ")
        assert "no-such-file.json" in told
        assert told.endswith(
            "run `gcloud auth application-default login`, or set `anonymous = true`"
        )
        assert gcs.requests == {}

    @pytest.mark.usefixtures("account")
    def test_token_of_a_service_account(self, gcs: FakeGcs) -> None:
        """The token of the ecosystem's credentials is used, and fetched once."""
        store = open_gcs(gcs, anonymous=False)
        store.put("a", Body.of_bytes(b"x"))
        assert store.get("a") == b"x"
        assert gcs.requests["token"] == 1

    @pytest.mark.usefixtures("account")
    def test_token_that_is_refused(self, gcs: FakeGcs) -> None:
        """A token that the service refuses in the middle of a run is fetched anew."""
        store = open_gcs(gcs, anonymous=False)
        store.put("a", Body.of_bytes(b"x"))
        assert gcs.tokens is not None
        gcs.tokens.clear()
        assert store.get("a") == b"x"
        assert gcs.requests["token"] == 2

    @pytest.mark.usefixtures("account", "small")
    def test_token_that_is_refused_to_a_batch(self, gcs: FakeGcs) -> None:
        """Deletions in one call are made with a new token where the old one is refused."""
        store = open_gcs(gcs, anonymous=False)
        for key in "abc":
            store.put(key, Body.of_bytes(b"x"))
        assert gcs.tokens is not None
        gcs.tokens.clear()
        store.delete(list("abc"))
        assert gcs.names(BUCKET) == []

    @pytest.mark.usefixtures("account")
    def test_token_service_that_fails(self, gcs: FakeGcs) -> None:
        """A refusal of the service that gives tokens is told with the login hint."""
        gcs.fail_next("token", 400, times=99)
        with pytest.raises(StoreError, match="gs://open-data: expected a token, got: "):
            open_gcs(gcs, anonymous=False).list()

    @pytest.mark.usefixtures("account")
    def test_no_secret_in_an_error(self, gcs: FakeGcs) -> None:
        """No refusal tells the token."""
        store = open_gcs(gcs, anonymous=False)
        store.list()
        gcs.denied = {"storage.objects.list"}
        told = refusal(store.list)
        assert gcs.tokens
        assert not any(token in told for token in gcs.tokens)

    def test_anonymous_where_a_name_is_needed(self, gcs: FakeGcs) -> None:
        """Without credentials on purpose a refusal is for good."""
        gcs.tokens = set()
        assert "401" in refusal(open_gcs(gcs).list)
        assert gcs.requests["objects.list"] == 1


class TestKeys:
    """Names, folders and pages."""

    @pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
    def test_odd_key(self, gcs: FakeGcs, key: str) -> None:
        """Every key goes there and back as it is: put, list, stat, get, copy, hold, delete."""
        store, digest = open_gcs(gcs), digest_bytes(b"x")
        store.put(key, Body.of_bytes(b"x"))
        assert gcs.names(BUCKET) == [key]
        assert [each.key for each in store.list(key[:3])] == [key]
        assert store.get(key) == b"x"
        store.copy(key, "other", digest=digest)
        entry = store.copy("other", key, digest=digest)
        store.delete_version(key, entry.version)
        store.put(key, Body.of_bytes(b"x"))
        store.delete([key, "other"])
        assert gcs.names(BUCKET) == []

    @pytest.mark.usefixtures("small")
    def test_odd_key_in_a_session(self, gcs: FakeGcs, tmp_path: Path) -> None:
        """A large file under an odd key is sent as every other."""
        key = "a b/#?%+&=é"
        open_gcs(gcs).put(key, file_of(tmp_path, BIG))
        assert gcs.read(BUCKET, key) == BIG

    def test_folder_of_the_url(self, gcs: FakeGcs) -> None:
        """Below a folder nothing is seen or deleted of what stands beside it."""
        for key in ("a", "data/a", "data/b", "data-old/a", "data"):
            gcs.put(BUCKET, key, b"theirs")
        store = open_gcs(gcs, f"gs://{BUCKET}/data/")
        assert [each.key for each in store.list()] == ["a", "b"]
        store.put("c", Body.of_bytes(b"x"))
        store.copy("c", "d", digest=digest_bytes(b"x"))
        store.delete(["a", "old/a", "none"])
        assert gcs.names(BUCKET) == ["a", "data", "data-old/a", "data/b", "data/c", "data/d"]

    def test_copy_from_another_bucket(self, gcs: FakeGcs) -> None:
        """An object is copied from another bucket on the side of the service."""
        gcs.create_bucket("depot")
        body = Body.of_bytes(b"x" * 10_000)
        open_gcs(gcs, "gs://depot/objects").put("a b", body)
        gcs.reset_counters()
        store = open_gcs(gcs, f"gs://{BUCKET}/data")
        store.copy("a b", "c", digest=body.digest, source_url="gs://depot/objects")
        assert gcs.read(BUCKET, "data/c") == b"x" * 10_000
        assert gcs.received_bytes < 1000

    def test_pages(self, gcs: FakeGcs) -> None:
        """A listing of many pages is one list."""
        keys = [f"a {number:02}+" for number in range(25)]
        for key in keys:
            gcs.put(BUCKET, key, b"")
        gcs.page_size = 10
        assert [each.key for each in open_gcs(gcs).list()] == keys
        assert gcs.requests["objects.list"] == 3

    def test_bucket_with_versions(self, gcs: FakeGcs) -> None:
        """In a bucket that keeps versions everything goes as in one that keeps none."""
        gcs.create_bucket("versioned", versioning=True)
        store = open_gcs(gcs, "gs://versioned")
        for data in (b"one", b"two", b"one"):
            store.put("a", Body.of_bytes(data))
        store.copy("a", "b", digest=digest_bytes(b"one"))
        store.delete(["a"])
        assert [each.key for each in store.list()] == ["b"]
        store.put("a", Body.of_bytes(b"three"), condition=IF_ABSENT)
        assert store.get("a") == b"three"
