"""What the depot and the prefixes of a destination must do, over every kind of store."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from lading.errors import (
    ChecksumError,
    GuardError,
    ImmutableError,
    LockedError,
    StoreError,
    VerifyError,
)
from lading.release.environments import STAGING_ROOT
from lading.release.manifest import parse_manifest
from lading.release.names import Prefix, ReleaseDestination
from lading.release.objects import Digest, digest_bytes
from lading.release.receipts import Receipt
from lading.ship.depot import DepotTarget
from lading.ship.locks import PrefixLock
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import (
    ALWAYS,
    NO_ATTRIBUTES,
    NO_PROGRESS,
    Attributes,
    Body,
    Condition,
    Entry,
    LocalStore,
    Progress,
    ReadOnly,
    StagingGuard,
    Store,
)
from lading.storage.memory import memory_store
from tests.contract import clouds
from tests.fakes.releases import NEXT_NIGHTLY, NIGHTLY, STABLE, make_release, make_shipment
from tests.fakes.stores import Cut, CutError, FakeWatchedStore, Hook

OLD = {
    "a.txt": b"old a",
    "b.parquet": b"b stays",
    "deep/gone.json": b"{}",
    "twin.txt": b"b stays",
}
NEW = {
    "a.txt": b"new a!",
    "b.parquet": b"b stays",
    "deep/fresh.json": b"[]",
    "twin.txt": b"b stays",
    "z fresh.txt": b"z",
}
STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: memory_store(f"memory://{folder}"),
    "local": LocalStore,
    "s3": clouds.open_s3,
    "gcs": clouds.open_gcs,
}


@dataclass
class Scene:
    """A destination of some kind, and two nightly releases that could be shipped there."""

    make: Callable[[Path], Store]
    folder: Path

    def __post_init__(self) -> None:
        self.store = self.make(self.folder / "cloud")
        self.old = self.shipment(OLD, NIGHTLY)
        self.new = self.shipment(NEW, NEXT_NIGHTLY)

    def shipment(self, files: dict[str, bytes], tag: str, *, staging: bool = False) -> Shipment:
        """Make a release of some files."""
        folder = self.folder / f"build-{tag}-{staging}"
        return make_shipment(folder, files, make_release(tag, staging=staging))

    def owned(self, shipment: Shipment) -> Shipment:
        """Return a release of a channel that owns its prefixes."""
        place = destination_of(shipment)
        prefixes = tuple(replace(each, owned=True) for each in place.prefixes)
        release = replace(shipment.release, destinations=(replace(place, prefixes=prefixes),))
        return replace(shipment, release=release)

    def fresh(self, name: str) -> Store:
        """Return another, empty store of the same kind."""
        return self.make(self.folder / name)


# hundreds of calls a test: too long for every run over what answers by HTTP
KINDS = [
    pytest.param(make, id=name, marks=[pytest.mark.slow] if name in {"s3", "gcs"} else [])
    for name, make in STORES.items()
]


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a fresh scene over each kind of store."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the disk keeps its promises elsewhere
    return Scene(request.param, tmp_path)


def depot_target(store: Store, shipment: Shipment, known: Receipt | None = None) -> DepotTarget:
    """Return the depot as a target."""
    return DepotTarget(store, destination_of(shipment), shipment, known)


def prefix_target(
    store: Store,
    shipment: Shipment,
    index: int = 0,
    *,
    depot: Store | None = None,
    known: Receipt | None = None,
) -> PrefixTarget:
    """Return one of the release's prefixes as a target."""
    return PrefixTarget(
        store,
        depot or store,
        destination_of(shipment),
        prefix_of(shipment, index),
        shipment,
        known=known,
    )


def destination_of(shipment: Shipment) -> ReleaseDestination:
    """Return the only destination of a release."""
    return shipment.release.destinations[0]


def prefix_of(shipment: Shipment, index: int = 0) -> Prefix:
    """Return one prefix of a release."""
    return destination_of(shipment).prefixes[index]


def ship(store: Store, shipment: Shipment) -> None:
    """Ship a release as a run does: depot, then every prefix."""
    settle(depot_target(store, shipment))
    for index in range(len(destination_of(shipment).prefixes)):
        settle(prefix_target(store, shipment, index))


def contents(store: Store, prefix: str = "") -> dict[str, bytes]:
    """Return every object below a prefix by key."""
    return {each.key.removeprefix(prefix): store.get(each.key) for each in store.list(prefix)}


def state_of(store: Store) -> dict[str, bytes]:
    """Return every object by key; what only tells the time is left out of the history."""
    state: dict[str, bytes] = {}
    for key, data in contents(store).items():
        if ".lading/history/" in key:
            number = sum(1 for each in state if each.startswith(key.rpartition("/")[0]))
            told = {**json.loads(data), "begun_at": ""}
            state[f"{key.rpartition('/')[0]}/{number}"] = json.dumps(told).encode()
        else:
            state[key] = data
    return state


def released(shipment: Shipment) -> dict[str, bytes]:
    """Return what a prefix must hold."""
    files = {key: path.read_bytes() for key, path in shipment.paths.items()}
    return {**files, **shipment.documents}


def require_readable(store: Store, root: str = "") -> None:
    """Do what a careful reader does: release.json, then each file by its depot key."""
    for name in ("nightly", "eel-hole"):
        key = f"{root}{name}/release.json"
        if store.stat(key) is None:
            continue
        for file in parse_manifest(store.get(key)).files:
            data = store.get(root + file.depot_key)
            assert file.digest.agrees_with(digest_bytes(data)), (key, file.key)


class TestSettle:
    """A release arrives, once."""

    def test_prefix_holds_the_release_and_nothing_else(self, scene: Scene) -> None:
        """After a release each prefix holds its files under their names, and both documents."""
        ship(scene.store, scene.old)
        assert released(scene.old) == contents(scene.store, "nightly/")
        assert released(scene.old) == contents(scene.store, "eel-hole/")

    def test_depot_holds_each_object_under_its_digest(self, scene: Scene) -> None:
        """Every object is in the depot under its sha256; equal files are one object."""
        ship(scene.store, scene.old)
        held = contents(scene.store, ".lading/objects/")
        assert {digest_bytes(data).sha256: data for data in released(scene.old).values()} == held

    def test_next_release_replaces_the_last(self, scene: Scene) -> None:
        """The next release adds, changes and deletes; what it keeps is not touched."""
        ship(scene.store, scene.old)
        kept = scene.store.stat("nightly/b.parquet")
        ship(scene.store, scene.new)
        assert released(scene.new) == contents(scene.store, "nightly/")
        assert kept == scene.store.stat("nightly/b.parquet")

    def test_second_settle_is_empty(self, scene: Scene) -> None:
        """A release that stands already plans nothing, writes nothing, and is proved again."""
        ship(scene.store, scene.old)
        watched = FakeWatchedStore(scene.store)
        sent, first = settle(depot_target(watched, scene.old))
        switched, second = settle(prefix_target(watched, scene.old))
        assert (sent.is_empty, switched.is_empty) == (True, True)
        assert watched.writes == []
        assert list(scene.old.objects) == [*second.objects]
        assert {each.sha256 for each in scene.old.objects.values()} == set(first.objects)

    def test_looking_writes_nothing(self, scene: Scene) -> None:
        """Observing and planning need no write access, on an empty store and on a full one."""
        for _ in range(2):
            before = state_of(scene.store)
            depot = depot_target(ReadOnly(scene.store), scene.new)
            prefix = prefix_target(ReadOnly(scene.store), scene.new)
            assert not depot.plan(depot.observe()).is_empty
            assert not prefix.plan(prefix.observe()).is_empty
            assert before == state_of(scene.store)
            ship(scene.store, scene.old)

    def test_plan_says_what_apply_does(self, scene: Scene) -> None:
        """The plan names new, changed, gone and kept keys of a prefix."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        target = prefix_target(scene.store, scene.new)
        changes = target.plan(target.observe()).changes
        assert [*changes.copy] == ["deep/fresh.json", "z fresh.txt"]
        assert [*changes.replace] == ["a.txt", "SHA256SUMS", "release.json"]
        assert [*changes.delete] == ["deep/gone.json"]
        assert [*changes.kept] == ["b.parquet", "twin.txt"]

    def test_manifest_of_each_release_is_kept(self, scene: Scene) -> None:
        """The release.json of each promoted release is kept by channel and tag."""
        ship(scene.store, scene.old)
        ship(scene.store, scene.new)
        kept = contents(scene.store, ".lading/releases/nightly/")
        expected = {
            f"{each.release.tag}.json": each.documents["release.json"]
            for each in (scene.old, scene.new)
        }
        assert expected == kept

    def test_history_tells_each_promotion(self, scene: Scene) -> None:
        """The history of a prefix has one entry a promotion, a return to the last one included."""
        for shipment in (scene.old, scene.new, scene.old):
            ship(scene.store, shipment)
        entries = [*contents(scene.store, ".lading/history/nightly/").values()]
        tags = [json.loads(data)["tag"] for data in entries]
        assert tags == [NIGHTLY, NEXT_NIGHTLY, NIGHTLY]

    def test_no_lock_stays(self, scene: Scene) -> None:
        """After a release no lock stands."""
        ship(scene.store, scene.old)
        assert scene.store.list(".lading/locks/") == []

    def test_receipts_tell_what_was_read_back(self, scene: Scene) -> None:
        """A receipt names its task, place, release and the versions that stand."""
        ship(scene.store, scene.old)
        receipt = prefix_target(scene.store, scene.old).prove()
        assert (
            receipt.task,
            receipt.channel,
            receipt.tag,
            receipt.environment,
        ) == ("promote:gcs-nightly", "nightly", NIGHTLY, "production")
        assert f"{scene.store.url}/nightly" == receipt.place
        assert scene.old.manifest_sha256 == receipt.manifest_sha256
        standing = {e.key.removeprefix("nightly/"): e.version for e in scene.store.list("nightly/")}
        assert standing == {key: each.version for key, each in receipt.objects.items()}
        assert depot_target(scene.store, scene.old).prove().task == "upload:gcs-nightly"

    def test_writes_save_questions(self, scene: Scene) -> None:
        """What the store told of an object as it was written is not asked when it is proved."""
        watched = FakeWatchedStore(TellingStore(scene.store))
        settle(depot_target(watched, scene.old))
        settle(prefix_target(watched, scene.old))
        assert [key for verb, key in watched.reads if verb == "digest"] == []

    def test_receipt_saves_questions(self, scene: Scene) -> None:
        """With the receipts of the last run not one object is asked for its digest."""
        _, upload = settle(depot_target(scene.store, scene.old))
        _, promote = settle(prefix_target(scene.store, scene.old))
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.old, upload))
        settle(prefix_target(watched, scene.old, known=promote))
        assert [key for verb, key in watched.reads if verb == "digest"] == []

    def test_old_receipt_is_not_believed(self, scene: Scene) -> None:
        """An object that changed after it was proved is found, receipt or not."""
        ship(scene.store, scene.old)
        receipt = prefix_target(scene.store, scene.old).prove()
        scene.store.put("nightly/a.txt", Body.of_bytes(b"odd a"))  # of the same size
        target = prefix_target(scene.store, scene.old, known=receipt)
        assert [*target.plan(target.observe()).changes.replace] == ["a.txt"]

    def test_depot_in_another_place(self, scene: Scene) -> None:
        """The depot may be another store: the prefixes are copied from there."""
        depot = scene.fresh("depot")
        settle(depot_target(depot, scene.old))
        settle(prefix_target(scene.store, scene.old, depot=depot))
        assert released(scene.old) == contents(scene.store, "nightly/")
        assert scene.store.list(".lading/objects/") == []
        assert depot.list("nightly/") == []

    def test_progress_tells_files_and_bytes(self, scene: Scene) -> None:
        """The progress of each target adds up to what was announced."""
        sent, switched = Told(), Told()
        settle(depot_target(scene.store, scene.old), sent)
        settle(prefix_target(scene.store, scene.old), switched)
        for told in (sent, switched):
            assert told.size == told.moved > 0
            assert told.files == told.finished > 0


class TestCost:
    """Bytes leave the machine once per cloud."""

    def test_two_prefixes_cost_one_upload(self, scene: Scene) -> None:
        """What is put to the depot is each distinct object once; prefixes are copies only."""
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.old))
        distinct = {digest_bytes(data).sha256: data for data in released(scene.old).values()}
        assert sum(map(len, distinct.values())) == watched.put_bytes
        for index in range(2):
            settle(prefix_target(watched, scene.old, index))
        public = [verb for verb, key in watched.writes if not key.startswith(".lading/")]
        assert {"copy"} == set(public)
        assert 2 * len(scene.old.objects) == len(public)
        assert len(distinct) == len([k for _, k in watched.writes if "objects/" in k])

    def test_next_release_sends_what_is_new(self, scene: Scene) -> None:
        """Of the next release only new bytes and the two documents are sent."""
        ship(scene.store, scene.old)
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.new))
        fresh = [NEW["a.txt"], NEW["deep/fresh.json"], NEW["z fresh.txt"]]
        sent = [*fresh, *scene.new.documents.values()]
        assert sorted(f".lading/objects/{digest_bytes(data).sha256}" for data in sent) == sorted(
            key for _, key in watched.writes
        )
        assert sum(map(len, sent)) == watched.put_bytes

    def test_stable_cut_of_a_nightly_sends_two_documents(self, scene: Scene) -> None:
        """Another channel with the same files sends its documents and no file."""
        ship(scene.store, scene.old)
        stable = scene.shipment(OLD, STABLE)
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, stable))
        assert sum(map(len, stable.documents.values())) == watched.put_bytes

    def test_cut_upload_goes_on_where_it_was(self, scene: Scene) -> None:
        """What was sent before a cut is not sent again by a machine that knows nothing."""
        cut = Cut(3)
        with pytest.raises(CutError):
            settle(depot_target(FakeWatchedStore(scene.store, before=cut), scene.new))
        held = {each.key for each in scene.store.list(".lading/objects/")}
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.new))
        assert not held & {key for _, key in watched.writes}


class TestOrder:
    """A prefix is switched in the order that readers depend on."""

    def test_depot_touches_nothing_public(self, scene: Scene) -> None:
        """An upload writes below the depot and nowhere else."""
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.old))
        assert {True} == {key.startswith(".lading/objects/") for _, key in watched.writes}

    def test_order_of_a_promotion(self, scene: Scene) -> None:
        """Lock, manifest, history; new names, changed names, sums, release.json; deletions."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        watched = FakeWatchedStore(scene.store)
        settle(prefix_target(watched, scene.new))
        lock, manifest, history, *public, unlock = watched.writes
        assert lock == ("put", ".lading/locks/nightly")
        assert ("put", f".lading/releases/nightly/{NEXT_NIGHTLY}.json") == manifest
        assert history[1].startswith(".lading/history/nightly/")
        assert unlock == ("delete", ".lading/locks/nightly")
        new_names, rest = set(public[:2]), public[2:]
        assert {("copy", "nightly/deep/fresh.json"), ("copy", "nightly/z fresh.txt")} == new_names
        assert rest == [
            ("copy", "nightly/a.txt"),
            ("copy", "nightly/SHA256SUMS"),
            ("copy", "nightly/release.json"),
            ("delete", "nightly/deep/gone.json"),
        ]

    def test_release_json_is_last_of_a_first_release(self, scene: Scene) -> None:
        """In a new prefix too every file stands before the sums, and they before release.json."""
        settle(depot_target(scene.store, scene.old))
        watched = FakeWatchedStore(scene.store)
        settle(prefix_target(watched, scene.old))
        public = [key for _, key in watched.writes if key.startswith("nightly/")]
        assert public[-2:] == ["nightly/SHA256SUMS", "nightly/release.json"]
        assert len(scene.old.objects) == len(public)

    def test_reader_is_right_at_every_write(self, scene: Scene) -> None:
        """Before and after every write what release.json names can be had from the depot."""

        def look(verb: str, key: str) -> None:
            del verb, key
            require_readable(scene.store)

        watched = FakeWatchedStore(scene.store, before=look, after=look)
        for shipment in (scene.old, scene.new, scene.old):
            ship(watched, shipment)
        assert len(watched.writes) > 40


class TestCuts:
    """A run that is cut at any write is finished by the same run."""

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_every_cut_converges(self, scene: Scene, moment: str) -> None:
        """Cut before or after the effect of any write: a rerun ends where no cut would have."""
        ship(scene.store, scene.old)
        ship(scene.store, scene.new)
        undisturbed = state_of(scene.store)
        for number in count(1):
            store, cut = scene.fresh(f"cloud-{number}"), Cut(number)
            ship(store, scene.old)
            try:
                ship(cut_store(store, cut, moment), scene.new)
            except CutError:
                require_readable(store)
                ship(store, scene.new)
            assert undisturbed == state_of(store), f"cut {moment} write {number}"
            if not cut.happened:
                break
        assert number > 20

    def test_two_cuts_converge(self, scene: Scene) -> None:
        """Cut again while it recovers: it converges still."""
        ship(scene.store, scene.old)
        ship(scene.store, scene.new)
        undisturbed = state_of(scene.store)
        for number in (2, 7, 9, 12, 15):
            store = scene.fresh(f"cloud-{number}")
            ship(store, scene.old)
            for at in (number, 4):
                with pytest.raises(CutError):
                    ship(cut_store(store, Cut(at), "before"), scene.new)
                require_readable(store)
            ship(store, scene.new)
            assert undisturbed == state_of(store), f"cut at {number}"

    def test_lock_of_a_cut_switch_stays(self, scene: Scene) -> None:
        """A switch that was cut leaves its lock, so that plan and readers can see it."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        with pytest.raises(CutError):
            settle(prefix_target(cut_store(scene.store, Cut(5), "before"), scene.new))
        target = prefix_target(scene.store, scene.new)
        state = target.observe()
        assert state.lock is not None
        assert state.lock.tag == NEXT_NIGHTLY
        assert target.plan(state).is_locked

    def test_cut_before_the_lock_leaves_nothing(self, scene: Scene) -> None:
        """A promotion that could not take its lock has written nothing."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        before = state_of(scene.store)
        with pytest.raises(CutError):
            settle(prefix_target(cut_store(scene.store, Cut(1), "before"), scene.new))
        assert before == state_of(scene.store)

    def test_failure_before_the_switch_gives_the_lock_back(self, scene: Scene) -> None:
        """Where nothing public was touched the lock goes, and readers are told nothing."""
        ship(scene.store, scene.old)
        target = prefix_target(scene.store, scene.new)
        held: list[int] = []

        def fail_under_the_lock() -> None:
            with target.exclusive():
                held.append(len(scene.store.list(".lading/locks/")))
                raise StoreError("the look under the lock failed")

        with pytest.raises(StoreError, match="under the lock"):
            fail_under_the_lock()
        assert held == [1]
        assert scene.store.list(".lading/locks/") == []

    def test_file_that_changed_is_not_sent(self, scene: Scene) -> None:
        """A file that is not what the manifest says stops the upload; nothing is promoted."""
        scene.new.paths["a.txt"].write_bytes(b"other!")
        with pytest.raises(ChecksumError):
            settle(depot_target(scene.store, scene.new))
        wanted = digest_bytes(NEW["a.txt"]).sha256
        assert scene.store.stat(f".lading/objects/{wanted}") is None


class TestProof:
    """What is not as released is found, named and repaired."""

    @pytest.mark.parametrize(
        ("key", "data", "fault"),
        [
            ("a.txt", None, "found none"),
            ("a.txt", b"odd a", "found other bytes"),
            ("a.txt", b"longer than before", "found other bytes"),
            ("release.json", b"{}", "found other bytes"),
        ],
    )
    def test_prefix(self, scene: Scene, key: str, data: bytes | None, fault: str) -> None:
        """A missing or changed object of a prefix is named, and the next run mends it."""
        ship(scene.store, scene.old)
        tamper(scene.store, f"nightly/{key}", data)
        with pytest.raises(VerifyError, match=fault) as caught:
            prefix_target(scene.store, scene.old).prove()
        assert f"{scene.store.url}/nightly/{key}: " in str(caught.value)
        changes, _ = settle(prefix_target(scene.store, scene.old))
        assert not changes.is_empty
        assert released(scene.old) == contents(scene.store, "nightly/")

    @pytest.mark.parametrize("data", [None, b"odd a", b"cut"])
    def test_depot(self, scene: Scene, data: bytes | None) -> None:
        """A missing or rotten object of the depot is named, and only it is sent again."""
        ship(scene.store, scene.old)
        key = f".lading/objects/{digest_bytes(OLD['a.txt']).sha256}"
        tamper(scene.store, key, data)
        with pytest.raises(VerifyError) as caught:
            depot_target(scene.store, scene.old).prove()
        assert key in str(caught.value)
        watched = FakeWatchedStore(scene.store)
        settle(depot_target(watched, scene.old))
        assert [("put", key)] == watched.writes
        assert OLD["a.txt"] == scene.store.get(key)

    def test_rotten_depot_never_reaches_a_prefix(self, scene: Scene) -> None:
        """A depot object of the right size and other bytes is refused by the copy."""
        settle(depot_target(scene.store, scene.old))
        tamper(scene.store, f".lading/objects/{digest_bytes(OLD['a.txt']).sha256}", b"odd a")
        with pytest.raises(ChecksumError, match=r"nightly/a\.txt"):
            settle(prefix_target(scene.store, scene.old))
        assert scene.store.stat("nightly/a.txt") is None
        assert scene.store.stat("nightly/release.json") is None

    def test_other_objects_of_the_depot_stay(self, scene: Scene) -> None:
        """Objects of other releases are neither asked nor deleted."""
        ship(scene.store, scene.old)
        before = contents(scene.store, ".lading/objects/")
        ship(scene.store, scene.new)
        assert before.items() <= contents(scene.store, ".lading/objects/").items()


class TestForeign:
    """Objects below a prefix that no release put there."""

    def test_foreign_object_stays(self, scene: Scene) -> None:
        """What somebody added by hand is told, and outlives this release and the next."""
        ship(scene.store, scene.old)
        scene.store.put("nightly/by hand.txt", Body.of_bytes(b"12345"))
        target = prefix_target(scene.store, scene.old)
        assert target.plan(target.observe()).changes.foreign == {"by hand.txt": 5}
        target.prove()
        ship(scene.store, scene.new)
        expected = {**released(scene.new), "by hand.txt": b"12345"}
        assert expected == contents(scene.store, "nightly/")

    def test_owned_prefix_has_no_foreign_object(self, scene: Scene) -> None:
        """Where the channel owns its prefixes an added object is a fault, and is deleted."""
        owned = scene.owned(scene.old)
        ship(scene.store, owned)
        scene.store.put("nightly/by hand.txt", Body.of_bytes(b"12345"))
        with pytest.raises(VerifyError, match=r"by hand\.txt: expected no object, found 5 bytes"):
            prefix_target(scene.store, owned).prove()
        settle(prefix_target(scene.store, owned))
        assert released(owned) == contents(scene.store, "nightly/")

    def test_staging_is_owned(self, scene: Scene) -> None:
        """Below the staging root an added object goes, whatever the channel says."""
        staged = scene.shipment(OLD, NIGHTLY, staging=True)
        guarded = StagingGuard(scene.store, STAGING_ROOT)
        ship(guarded, staged)
        scene.store.put("staging/nightly/by hand.txt", Body.of_bytes(b"12345"))
        ship(guarded, staged)
        assert released(staged) == contents(scene.store, "staging/nightly/")

    def test_objects_of_earlier_releases_go(self, scene: Scene) -> None:
        """An object of any earlier release is ours, not of the last one only."""
        for shipment in (scene.old, scene.new):
            ship(scene.store, shipment)
        scene.store.put("nightly/deep/gone.json", Body.of_bytes(b"{}"))
        settle(prefix_target(scene.store, scene.new))
        assert released(scene.new) == contents(scene.store, "nightly/")

    def test_tag_released_again_with_other_bytes(self, scene: Scene) -> None:
        """The first manifest of a tag stays under its digest, so that its keys are still ours."""
        first = scene.shipment({**OLD, "only first.txt": b"1"}, NIGHTLY)
        ship(scene.store, first)
        again = scene.shipment(NEW, NIGHTLY)
        ship(scene.store, again)
        kept = contents(scene.store, ".lading/releases/nightly/")
        assert {
            f"{NIGHTLY}.json": again.documents["release.json"],
            f"{NIGHTLY}@{first.manifest_sha256[:16]}.json": first.documents["release.json"],
        } == kept
        assert released(again) == contents(scene.store, "nightly/")
        scene.store.put("nightly/only first.txt", Body.of_bytes(b"1"))
        settle(prefix_target(scene.store, again))
        assert released(again) == contents(scene.store, "nightly/")

    def test_prefix_without_a_history_is_all_foreign(self, scene: Scene) -> None:
        """A first release deletes nothing that stands below its prefix already."""
        scene.store.put("nightly/theirs.txt", Body.of_bytes(b"x"))
        ship(scene.store, scene.old)
        assert scene.store.get("nightly/theirs.txt") == b"x"


class TestHeld:
    """Promotion over objects that are held."""

    def test_rerun_over_held_objects(self, scene: Scene) -> None:
        """A release whose objects are held is found as it stands: nothing is written."""
        skip_without_holds(scene.store)
        ship(scene.store, scene.old)
        scene.store.hold(each.key for each in scene.store.list("nightly/"))
        watched = FakeWatchedStore(scene.store)
        changes, _ = settle(prefix_target(watched, scene.old))
        assert (changes.is_empty, watched.writes) == (True, [])

    def test_replacing_a_held_object(self, scene: Scene) -> None:
        """A held object that would change stops the switch, in the words of the store."""
        skip_without_holds(scene.store)
        ship(scene.store, scene.old)
        scene.store.hold(["nightly/a.txt"])
        settle(depot_target(scene.store, scene.new))
        with pytest.raises(StoreError, match=r"nightly/a\.txt: .* (held|hold)"):
            settle(prefix_target(scene.store, scene.new))
        assert scene.store.get("nightly/a.txt") == OLD["a.txt"]
        assert scene.store.held("nightly/") == {"nightly/a.txt"}
        assert scene.old.documents["release.json"] == scene.store.get("nightly/release.json")


class TestImmutable:
    """A prefix that is never rewritten."""

    def test_equal_bytes_are_accepted(self, scene: Scene) -> None:
        """The same release again, from a machine that knows nothing, changes nothing."""
        ship(scene.store, scene.shipment(OLD, STABLE))
        watched = FakeWatchedStore(scene.store)
        changes, _ = settle(prefix_target(watched, scene.shipment(OLD, STABLE)))
        assert changes.is_empty
        assert watched.writes == []

    @pytest.mark.parametrize("data", [b"new a", b"of another size"])
    def test_other_bytes_are_refused_with_both_digests(self, scene: Scene, data: bytes) -> None:
        """Other bytes under the tag are refused; key and both digests are named; nothing moves."""
        ship(scene.store, scene.shipment(OLD, STABLE))
        changed = scene.shipment({**OLD, "a.txt": data}, STABLE)
        settle(depot_target(scene.store, changed))
        before = state_of(scene.store)
        watched = FakeWatchedStore(scene.store)
        with pytest.raises(ImmutableError) as caught:
            settle(prefix_target(watched, changed))
        assert f"{STABLE}/a.txt" in str(caught.value)
        assert digest_bytes(data).sha256[:16] in str(caught.value)
        assert digest_bytes(OLD["a.txt"]).sha256[:16] in str(caught.value)
        assert before == state_of(scene.store)
        assert watched.writes == []

    def test_fewer_files_are_refused(self, scene: Scene) -> None:
        """A release that would delete from an immutable prefix is refused."""
        ship(scene.store, scene.shipment(OLD, STABLE))
        with pytest.raises(ImmutableError, match="immutable prefix"):
            settle(prefix_target(scene.store, scene.shipment({"a.txt": OLD["a.txt"]}, STABLE)))

    def test_cut_release_can_be_finished(self, scene: Scene) -> None:
        """A first release into an immutable prefix that was cut is finished by the same."""
        stable = scene.shipment(OLD, STABLE)
        settle(depot_target(scene.store, stable))
        with pytest.raises(CutError):
            settle(prefix_target(cut_store(scene.store, Cut(6), "before"), stable))
        settle(prefix_target(scene.store, stable))
        assert released(stable) == contents(scene.store, f"{STABLE}/")

    def test_moving_prefix_beside_it_moves(self, scene: Scene) -> None:
        """The other prefix of the channel follows the next release."""
        ship(scene.store, scene.shipment(OLD, STABLE))
        following = scene.shipment(NEW, "v2025.3.1")
        ship(scene.store, following)
        assert released(following) == contents(scene.store, "stable/")
        assert set(OLD) <= set(contents(scene.store, f"{STABLE}/"))


class TestLock:
    """One release at a time in a prefix."""

    def test_other_release_is_refused(self, scene: Scene) -> None:
        """While another release holds the prefix nothing is written; owner and time are told."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        lock_of(scene.store, scene.old).acquire()
        watched = FakeWatchedStore(scene.store)
        with pytest.raises(LockedError) as caught:
            settle(prefix_target(watched, scene.new))
        assert f"nightly {NIGHTLY} held by process {os.getpid()} on " in str(caught.value)
        assert " since 20" in str(caught.value)
        assert watched.writes == []

    def test_other_prefix_is_free(self, scene: Scene) -> None:
        """A lock holds one prefix and no other."""
        settle(depot_target(scene.store, scene.new))
        lock_of(scene.store, scene.old).acquire()
        settle(prefix_target(scene.store, scene.new, 1))
        assert released(scene.new) == contents(scene.store, "eel-hole/")

    def test_same_release_goes_on(self, scene: Scene) -> None:
        """A lock that the same release left behind is taken over, and gone in the end."""
        settle(depot_target(scene.store, scene.new))
        lock_of(scene.store, scene.new).acquire()
        settle(prefix_target(scene.store, scene.new))
        assert scene.store.list(".lading/locks/") == []

    def test_lock_alone_is_work_to_finish(self, scene: Scene) -> None:
        """A prefix that is right but locked by its own release is not done until it is free."""
        ship(scene.store, scene.old)
        lock_of(scene.store, scene.old).acquire()
        target = prefix_target(scene.store, scene.old)
        assert not target.plan(target.observe()).is_empty
        before = contents(scene.store, "nightly/")
        settle(target)
        assert before == contents(scene.store, "nightly/")
        assert scene.store.list(".lading/locks/") == []

    def test_lock_that_was_taken_over_stops_the_switch(self, scene: Scene) -> None:
        """Whoever lost its lock stops before release.json and leaves the new owner's lock."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))
        thief = lock_of(scene.store, scene.old)
        thief._release["manifest_sha256"] = scene.new.manifest_sha256

        def steal(verb: str, key: str) -> None:
            if verb == "put" and ".lading/history/" in key:
                thief.acquire()

        target = prefix_target(FakeWatchedStore(scene.store, after=steal), scene.new)
        target._lock._lease = timedelta(0)  # renewed at every copy
        with pytest.raises(LockedError, match="taken over"):
            settle(target)
        assert scene.old.documents["release.json"] == scene.store.get("nightly/release.json")
        standing = thief.look()
        assert standing is not None
        assert thief._version == standing.version

    def test_lock_is_renewed_by_many_threads(self, scene: Scene) -> None:
        """A promotion whose lock must be renewed at every copy is no thief of its own lock."""
        files = {f"{number:03d}.txt": b"%d" % number for number in range(100)}
        shipment = scene.shipment(files, NIGHTLY)
        settle(depot_target(scene.store, shipment))
        target = prefix_target(scene.store, shipment)
        target._lock._lease = timedelta(0)
        settle(target)
        assert released(shipment) == contents(scene.store, "nightly/")

    def test_two_runs_of_one_release(self, scene: Scene) -> None:
        """Two machines that ship one release at once end with it standing and no lock."""
        ship(scene.store, scene.old)
        settle(depot_target(scene.store, scene.new))

        def run(_: int) -> None:
            try:
                settle(prefix_target(scene.store, scene.new))
            except LockedError:
                return  # one line, and the other machine goes on

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, range(2)))
        settle(prefix_target(scene.store, scene.new))
        assert released(scene.new) == contents(scene.store, "nightly/")
        assert scene.store.list(".lading/locks/") == []


class TestStaging:
    """A staging run cannot reach production."""

    def test_whole_release_stays_below_the_root(self, scene: Scene) -> None:
        """Two releases in staging write below the root only; production keeps every version."""
        ship(scene.store, scene.old)
        before = {each.key: each.version for each in scene.store.list()}
        watched = FakeWatchedStore(scene.store)
        guarded = StagingGuard(watched, STAGING_ROOT)
        first, second = (
            scene.shipment(files, tag, staging=True)
            for files, tag in ((OLD, NIGHTLY), (NEW, NEXT_NIGHTLY))
        )
        for shipment in (first, second):
            ship(guarded, shipment)
            require_readable(scene.store, STAGING_ROOT)
        assert released(second) == contents(scene.store, "staging/nightly/")
        assert {True} == {key.startswith(STAGING_ROOT) for _, key in watched.writes}
        after = {each.key: each.version for each in scene.store.list()}
        assert before == {key: version for key, version in after.items() if key in before}
        assert {True} == {key.startswith(STAGING_ROOT) for key in after if key not in before}

    def test_staging_has_the_bytes_of_production(self, scene: Scene) -> None:
        """A staging release is the same bytes under another root, release.json included."""
        ship(scene.store, scene.old)
        staged = scene.shipment(OLD, NIGHTLY, staging=True)
        ship(StagingGuard(scene.store, STAGING_ROOT), staged)
        assert contents(scene.store, "nightly/") == contents(scene.store, "staging/nightly/")

    def test_names_of_production_are_refused(self, scene: Scene) -> None:
        """Were the names of production resolved by mistake, the store itself would refuse."""
        guarded = StagingGuard(scene.store, STAGING_ROOT)
        with pytest.raises(GuardError):
            settle(depot_target(guarded, scene.old))
        settle(depot_target(scene.store, scene.old))
        before = state_of(scene.store)
        with pytest.raises(GuardError):
            settle(prefix_target(guarded, scene.old))
        assert before == state_of(scene.store)

    def test_every_write_is_guarded(self, scene: Scene) -> None:
        """At each single write of a staging release production is as it was."""
        ship(scene.store, scene.old)
        before = contents(scene.store, "nightly/")

        def look(verb: str, key: str) -> None:
            del verb, key
            assert before == contents(scene.store, "nightly/")

        watched = FakeWatchedStore(scene.store, before=look, after=look)
        ship(StagingGuard(watched, STAGING_ROOT), scene.shipment(NEW, NEXT_NIGHTLY, staging=True))
        assert len(watched.writes) > 20


class TellingStore(FakeWatchedStore):
    """A store whose answer to a write holds the digest, as that of a cloud does."""

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        """Put, and tell."""
        entry = super().put(key, body, condition=condition, progress=progress)
        return replace(entry, digest=body.digest)

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
        """Copy, and tell."""
        entry = super().copy(
            source_key,
            key,
            digest=digest,
            attributes=attributes,
            source_url=source_url,
            source_version=source_version,
        )
        return replace(entry, digest=digest)


class Told(Progress):
    """Adds up what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = self.files = self.finished = 0

    def set_size(self, size: int) -> None:
        """Keep the bytes announced."""
        self.size = size

    def set_files(self, total: int) -> None:
        """Keep the files announced."""
        self.files = total

    def relative_update(self, inc: int = 1) -> None:
        """Add bytes."""
        self.moved += inc

    def finish_file(self, name: str) -> None:
        """Add a file."""
        del name
        self.finished += 1


def cut_store(store: Store, cut: Hook, moment: str) -> FakeWatchedStore:
    """Return a store that is cut before or after the effect of a write."""
    if moment == "before":
        return FakeWatchedStore(store, before=cut)
    return FakeWatchedStore(store, after=cut)


def skip_without_holds(store: Store) -> None:
    """Skip a test of holds where the store has none, for the reason that it gives."""
    if reason := store.cannot_hold():
        pytest.skip(reason)


def tamper(store: Store, key: str, data: bytes | None) -> None:
    """Delete an object behind Lading's back, or change it."""
    if data is None:
        store.delete([key])
    else:
        store.put(key, Body.of_bytes(data))


def lock_of(store: Store, shipment: Shipment) -> PrefixLock:
    """Return the lock of the first prefix for a release."""
    return PrefixLock(
        store,
        prefix_of(shipment).lock_key,
        channel=shipment.release.channel,
        tag=shipment.release.tag,
        manifest_sha256=shipment.manifest_sha256,
    )
