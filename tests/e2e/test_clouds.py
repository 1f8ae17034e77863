"""A release to Google Cloud Storage and to S3: what a person types, and what stands there then."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.e2e.clouds import (
    CloudProject,
    CloudServers,
    Place,
    Seen,
    Stored,
    cloud_config,
    count_operations,
    make_cloud_project,
    make_places,
)
from tests.e2e.forked import OPENED
from tests.e2e.project import CLOUDS, CONFIG, PREFIXES, RELEASE, TAG, lines_with, make_build

IMMUTABLE = "public, max-age=31536000, immutable"
STABLE = ("distribute", "tag=v2025.2.1")
STABLE_HELD = f'{CONFIG}hold = ["{{tag}}"]\n'
OLD_RELEASE = ("distribute", "tag=nightly-2025-02-04")
MEDIA_TYPES = {
    "SHA256SUMS": "text/plain",
    "demo_parquet.zip": "application/zip",
    "demo_parquet_datapackage.json": "application/json",
    "energy.sqlite.zip": "application/zip",
    "notes.json": "application/json",
    "release.json": "application/json",
    "table_000.parquet": "application/vnd.apache.parquet",
    "weather.sqlite.zip": "application/zip",
}
SENDING = {"objects.insert", "PutObject", "UploadPart", "CreateMultipartUpload"}
READING = {"objects.getMedia", "GetObject"}


def _bucket(request: pytest.FixtureRequest) -> str:
    return "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:24]


@pytest.fixture
def project(servers: CloudServers, tmp_path: Path, request: pytest.FixtureRequest) -> CloudProject:
    """A project that has released nothing yet, with a bucket of its own in each cloud."""
    places = make_places(servers, _bucket(request), "data/")
    return make_cloud_project(tmp_path / "project", places)


@pytest.fixture
def released(project: CloudProject, servers: CloudServers) -> CloudProject:
    """A project that has released."""
    _must(project.quick(*RELEASE))
    servers.take_seen()
    return project


def _must(done: CompletedProcess[str]) -> CompletedProcess[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _below(objects: Mapping[str, Stored], prefix: str) -> dict[str, Stored]:
    return {k.removeprefix(prefix): v for k, v in objects.items() if k.startswith(prefix)}


def _contents(objects: Mapping[str, Stored], prefix: str) -> dict[str, str]:
    return {key: each.sha256 for key, each in _below(objects, prefix).items()}


def _release_again(project: CloudProject, *arguments: str, seed: int) -> None:
    """Release another build."""
    shutil.rmtree(project.source)
    make_build(project.source, parquet=1, seed=seed)
    _must(project.quick(*arguments))


def _sent(seen: Mapping[str, Iterable[Seen]]) -> list[Seen]:
    """Return what was sent but for the probe of access and for the records of a promotion."""
    small = ("/access/", "/locks/", "/history/", "/releases/")
    return [
        each
        for rows in seen.values()
        for each in rows
        if each.operation in SENDING and not any(part in each.key for part in small)
    ]


def _lines(done: CompletedProcess[str], *words: str) -> list[str]:
    return list(lines_with(done.stdout + done.stderr, *words))


def test_both_clouds_hold_the_same(released: CloudProject) -> None:
    """The same objects stand under the same names, with the same types, caching and digests."""
    gcs, s3 = released.holdings().values()

    assert gcs == s3
    for prefix in PREFIXES:
        found = _below(gcs, f"{prefix}/")
        assert {key: each.media_type for key, each in found.items()} == MEDIA_TYPES
        assert {each.cache_control for each in found.values()} == {"no-cache"}
    depot = _below(gcs, ".lading/objects/")
    assert {each.cache_control for each in depot.values()} == {IMMUTABLE}
    assert {name: each.sha256 for name, each in depot.items()} == {name: name for name in depot}
    assert [each for each in gcs.values() if each.told_sha256 != each.sha256] == []
    assert [key for key in gcs if "/locks/" in key or "/access/" in key] == []
    assert set(released.histories()["gcs"]) == set(PREFIXES)
    assert released.histories()["gcs"] == released.histories()["s3"]


def test_unchanged_rerun_lists_once(
    released: CloudProject, servers: CloudServers, tmp_path: Path
) -> None:
    """The same release again lists each place once, sends nothing, and reads no file of ours."""
    log = tmp_path / "opened.txt"
    done = _must(released.quick(*RELEASE, environment={OPENED: str(log)}))
    seen = servers.take_seen()
    opened = [Path(line) for line in log.read_text().splitlines()]

    assert "nothing to do: everything is as released" in done.stdout
    assert _sent(seen) == []
    listed = ["data/.lading/objects/", *(f"data/{name}/" for name in PREFIXES)]
    history = [f"data/.lading/history/{name}/" for name in PREFIXES]
    for cloud in CLOUDS:
        prefixes = [each.prefix for each in seen[cloud] if each.prefix]
        assert sorted(prefixes)[1:] == sorted([*listed, *history]), "once each, after the probe"
        assert prefixes[0].startswith("data/.lading/access/")
        read = [each.key for each in seen[cloud] if each.operation in READING]
        assert [key for key in read if "/access/" not in key and "/history/" not in key] == []
        assert len(read) == 1 + len(PREFIXES), "the probe, and the end of each history"
    # in all: listing, writing, reading and deleting the probe; a look at each lock
    assert count_operations(seen)["gcs"] == {
        "objects.list": 6,
        "objects.getMedia": 3,
        "objects.get": 2,
        "objects.insert": 1,
        "objects.delete": 1,
    }
    assert count_operations(seen)["s3"] == {
        "ListObjectsV2": 6,
        "GetObject": 3,
        "HeadObject": 2,
        "PutObject": 1,
        "DeleteObjects": 1,
    }
    ours = [p for p in opened if released.source in p.parents or "archives" in p.parts]
    assert opened
    assert [p for p in ours if p.is_file() and p.name[-13:] != ".receipt.json"] == []


def test_fresh_machine_sends_nothing(released: CloudProject, servers: CloudServers) -> None:
    """A machine that knows nothing of the release makes its archives, and sends no object."""
    before = released.holdings()
    shutil.rmtree(released.work)
    servers.take_seen()
    done = _must(released.quick(*RELEASE))
    seen = servers.take_seen()

    assert _sent(seen) == []
    copies = {"objects.rewrite", "CopyObject"}
    assert [each for rows in seen.values() for each in rows if each.operation in copies] == []
    assert len(_lines(done, "upload:", "8 objects there already")) >= len(CLOUDS)
    assert released.holdings() == before


@pytest.mark.slow
def test_another_prefix_costs_no_upload(released: CloudProject, servers: CloudServers) -> None:
    """A prefix that is added is filled by copies inside each cloud."""
    config = CONFIG.replace('["nightly", "eel-hole"]', '["nightly", "eel-hole", "third"]')
    released.configure(cloud_config(released.places, config))
    _must(released.quick(*RELEASE))
    seen = servers.take_seen()

    assert _sent(seen) == []
    numbers = count_operations(seen)
    assert (numbers["gcs"]["objects.rewrite"], numbers["s3"]["CopyObject"]) == (8, 8)
    for objects in released.holdings().values():
        assert _below(objects, "third/") == _below(objects, "nightly/")


def test_staged_release_costs_production_no_upload(
    project: CloudProject, servers: CloudServers
) -> None:
    """What staging has sent is copied inside each cloud; staging itself touches nothing else."""
    _must(project.quick(*RELEASE, "staging=1"))
    staged = project.holdings()
    written = [
        each.key
        for rows in servers.take_seen().values()
        for each in rows
        if each.operation in {*SENDING, "objects.rewrite", "CopyObject"}
    ]
    servers.take_seen()
    _must(project.quick(*RELEASE))
    seen = servers.take_seen()

    assert {key.split("/")[0] for objects in staged.values() for key in objects} == {"staging"}
    assert [key for key in written if not key.startswith("data/staging/")] == []
    assert _sent(seen) == []
    for objects in project.holdings().values():
        assert _contents(objects, "nightly/") == _contents(objects, "staging/nightly/")


@pytest.mark.parametrize("has_lock", [False, True])
def test_stable_release_is_held(
    servers: CloudServers, tmp_path: Path, request: pytest.FixtureRequest, *, has_lock: bool
) -> None:
    """A stable release is held where the cloud can hold, else told; a rerun lifts no hold."""
    places = make_places(servers, _bucket(request), object_lock=has_lock)
    project = make_cloud_project(tmp_path / "project", places, config=STABLE_HELD)
    done = _must(project.quick(*STABLE))
    objects = project.holdings()
    shutil.rmtree(project.work)
    servers.take_seen()
    again = _must(project.quick(*STABLE))
    seen = servers.take_seen()

    versioned = {cloud: _below(objects[cloud], "v2025.2.1/") for cloud in CLOUDS}
    assert versioned["gcs"] == versioned["s3"]
    assert {each.cache_control for each in versioned["s3"].values()} == {IMMUTABLE}
    held = {c: {each.held for each in found.values()} for c, found in versioned.items()}
    assert held == {"gcs": {True}, "s3": {has_lock}}
    moving = [each.held for found in objects.values() for each in _below(found, "stable/").values()]
    assert not any(moving)
    assert "8 objects held" in "".join(_lines(done, "hold:gcs-v2025.2.1", "done"))
    told = "8 objects held" if has_lock else f"bucket {places['s3'].bucket} has no object lock"
    assert told in "".join(_lines(done, "hold:s3-v2025.2.1"))
    assert _sent(seen) == []
    assert {"objects.patch", "PutObjectLegalHold"}.isdisjoint(count_operations(seen)["gcs"])
    assert "PutObjectLegalHold" not in count_operations(seen)["s3"]
    assert "8 objects held already" in "".join(_lines(again, "hold:gcs-v2025.2.1"))
    after = project.holdings()
    assert after == objects
    assert {each.held for each in _below(after["gcs"], "v2025.2.1/").values()} == {True}


def test_immutable_prefix_refuses_other_bytes(project: CloudProject) -> None:
    """Other bytes under a tag that stands are refused with both digests; nothing moves anywhere."""
    _must(project.quick(*STABLE))
    before = project.holdings()
    old = before["gcs"]["v2025.2.1/notes.json"]
    shutil.rmtree(project.source)
    make_build(project.source, parquet=1, seed=5)
    new = hashlib.sha256((project.source / "notes.json").read_bytes()).hexdigest()
    shutil.rmtree(project.work)
    done = project.quick(*STABLE, "accept=the build was made anew")

    assert done.returncode == 1
    assert "found" in done.stderr
    assert "in an immutable prefix" in done.stderr
    assert "Traceback" not in done.stderr
    said = " ".join(_lines(done, "immutable prefix"))
    assert any(len(part) == 64 or "sha256" in part or "crc32c" in part for part in said.split())
    assert new != old.sha256
    assert project.holdings() == before
    assert project.histories()["s3"] == {"v2025.2.1": ["v2025.2.1"], "stable": ["v2025.2.1"]}


@pytest.mark.slow
def test_foreign_object_stays_unless_the_prefix_is_ours(released: CloudProject) -> None:
    """What no release put there is kept and told; where the channel owns its prefixes, deleted."""
    for place in released.places.values():
        place.write("nightly/foreign.txt", b"somebody's own")
    kept = _must(released.quick(*RELEASE))
    stands = {c: p.read("nightly/foreign.txt") for c, p in released.places.items()}
    owned = CONFIG.replace("[channels.stable]", "owned = true\n[channels.stable]")
    released.configure(cloud_config(released.places, owned))
    deleted = _must(released.quick(*RELEASE))

    assert set(stands.values()) == {b"somebody's own"}
    assert "nothing to do" in kept.stdout
    assert "1 deleted" in "".join(_lines(deleted, "promote:s3-nightly"))
    assert {p.read("nightly/foreign.txt") for p in released.places.values()} == {None}


def test_foreign_object_is_told(project: CloudProject) -> None:
    """A release to a prefix in which a foreign object stands names that object."""
    for place in project.places.values():
        place.write("nightly/foreign.txt", b"somebody's own")
    done = _must(project.quick(*RELEASE))

    for cloud in CLOUDS:
        told = f"{cloud}: nightly/foreign.txt: no release put it there, so it stays"
        assert told in done.stdout + done.stderr


@pytest.mark.parametrize("cloud", CLOUDS)
def test_second_release_at_once_is_stopped(released: CloudProject, cloud: str) -> None:
    """Of two releases to one prefix the second is stopped, and told who is at work since when."""
    since = datetime.now(UTC) - timedelta(minutes=3)
    lock = {
        "channel": "nightly",
        "tag": "nightly-2025-02-06",
        "manifest_sha256": "0" * 64,
        "owner": "process 77 on runner-5",
        "process": "another-boot.pid:[1]/77/123",
        "acquired_at": since.isoformat(),
        "expires_at": (since + timedelta(minutes=15)).isoformat(),
    }
    place, before = released.places[cloud], released.holdings()
    place.write(".lading/locks/nightly", json.dumps(lock).encode())
    shutil.rmtree(released.source)
    make_build(released.source, parquet=1, seed=5)
    done = released.quick("distribute", "tag=nightly-2025-02-07")
    after = released.holdings()

    assert done.returncode == 1, done.stdout + done.stderr
    told = f"held by process 77 on runner-5 since {since:%Y-%m-%d %H:%M:%S} UTC"
    assert told in done.stderr
    assert f"promote:{cloud}-nightly failed" in done.stderr
    assert _below(after[cloud], "nightly/") == _below(before[cloud], "nightly/")
    assert json.loads(place.read(".lading/locks/nightly") or b"") == lock

    expired = {**lock, "expires_at": (since + timedelta(minutes=1)).isoformat()}
    place.write(".lading/locks/nightly", json.dumps(expired).encode())
    _must(released.quick("distribute", "tag=nightly-2025-02-07"))
    assert place.read(".lading/locks/nightly") is None
    gcs, s3 = released.holdings().values()
    assert gcs == s3


REFUSALS = {
    "gcs write": ("gcs", "denied", ["storage.objects.create"], "allow storage.objects.create"),
    "gcs list": ("gcs", "denied", ["storage.objects.list"], "allow storage.objects.list"),
    "gcs delete": ("gcs", "denied", ["storage.objects.delete"], "allow storage.objects.delete"),
    "s3 write": ("s3", "denied", ["PutObject"], "allow s3:PutObject"),
    "s3 list": ("s3", "denied", ["ListBucket"], "allow s3:ListBucket"),
    "s3 delete": ("s3", "denied", ["DeleteObject"], "allow s3:DeleteObject"),
    "s3 clock": ("s3", "is_skewed", True, "set the clock of this machine"),
}


def _require_refusal(
    project: CloudProject, done: CompletedProcess[str], cloud: str, told: str
) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert told in done.stderr
    assert len(list(lines_with(done.stderr, f"access:{cloud} failed:"))) == 1
    assert len(list(lines_with(done.stderr, told))) == 1
    assert "Traceback" not in done.stdout + done.stderr
    archives = project.work / "archives"
    assert not archives.exists() or list(archives.iterdir()) == []


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_told_before_anything_long(
    project: CloudProject, servers: CloudServers, case: str
) -> None:
    """What the run may not do is one line, exit code 1, before an archive is made or sent."""
    cloud, attribute, value, told = REFUSALS[case]
    servers.change(cloud, attribute, value)
    done = project.quick(*RELEASE)
    servers.relax()

    _require_refusal(project, done, cloud, told)
    left = [key for objects in project.holdings().values() for key in objects]
    assert [key for key in left if "/access/" not in key] == []


@pytest.mark.parametrize("cloud", CLOUDS)
def test_missing_bucket_is_told(project: CloudProject, cloud: str) -> None:
    """A bucket that does not exist is named before anything long begins."""
    missing = {**project.places, cloud: replace(project.places[cloud], bucket="no-such-bucket")}
    project.configure(cloud_config(missing))
    done = project.quick(*RELEASE)

    _require_refusal(project, done, cloud, "create the bucket, or mend `url` of the destination")
    assert "no-such-bucket" in done.stderr


def test_wrong_region_is_told(project: CloudProject, servers: CloudServers) -> None:
    """A bucket of another region than the one configured is told with the line that mends it."""
    servers.change("s3", "region", "eu-west-1")
    project.configure(cloud_config(project.places, s3='region = "us-west-2"'))
    done = project.quick(*RELEASE)
    servers.relax()

    _require_refusal(project, done, "s3", 'set `region = "eu-west-1"` in the destination')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cloud", "told", "cure"),
    [
        ("gcs", "set `user_project` in the destination", 'user_project = "payer"'),
        ("s3", "set `requester_pays = true`", "requester_pays = true"),
    ],
)
def test_requester_pays(
    project: CloudProject, servers: CloudServers, cloud: str, told: str, cure: str
) -> None:
    """A bucket that charges its callers is told before anything long; the told cure works."""
    place = replace(project.places[cloud], bucket=f"{project.places[cloud].bucket}-pays")
    if cloud == "gcs":
        servers.call("gcs", "make_bucket", place.bucket, requester_pays=True)
    else:
        servers.call("s3", "create_bucket", place.bucket)
        servers.change("s3", "requester_pays", [place.bucket])
    project.configure(cloud_config({**project.places, cloud: place}))
    refused = project.quick(*RELEASE)
    project.configure(cloud_config({**project.places, cloud: place}, **{cloud: cure}))
    done = project.quick(*RELEASE)

    _require_cured(refused, done, told)


def _require_cured(refused: CompletedProcess[str], done: CompletedProcess[str], told: str) -> None:
    assert refused.returncode == 1
    assert len(list(lines_with(refused.stderr, told))) == 1
    assert "compress" not in refused.stdout
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_rollback_brings_the_last_release_back(project: CloudProject) -> None:
    """`doit rollback` brings every prefix of both clouds back, by copies, and may be repeated."""
    _must(project.quick(*OLD_RELEASE))
    old = project.holdings()
    _release_again(project, *RELEASE, seed=5)
    new = project.holdings()
    project.places["gcs"].servers.take_seen()
    done = _must(project.quick("rollback", "type=nightly"))
    seen = project.places["gcs"].servers.take_seen()
    again = _must(project.quick("rollback", "type=nightly"))
    back = project.holdings()

    assert _sent(seen) == []
    assert "back to nightly-2025-02-04" in done.stdout
    assert "nightly-2025-02-04 stands" in again.stdout
    for cloud in CLOUDS:
        for prefix in PREFIXES:
            assert _below(back[cloud], f"{prefix}/") == _below(old[cloud], f"{prefix}/")
            assert _below(back[cloud], f"{prefix}/") != _below(new[cloud], f"{prefix}/")
    assert {tuple(h["nightly"]) for h in project.histories().values()} == {
        ("nightly-2025-02-04", TAG, "nightly-2025-02-04")
    }


@pytest.mark.slow
def test_prune_deletes_what_no_release_needs(project: CloudProject, servers: CloudServers) -> None:
    """`doit prune yes=1` rids both depots of the oldest of three releases, and of nothing else."""
    for day, seed in ((3, 1), (4, 2), (5, 3)):
        _release_again(project, "distribute", f"tag=nightly-2025-02-0{day}", seed=seed)
    before = project.holdings()
    eager = "keep = 2\nprune_after_hours = 0\n"
    project.configure(eager + cloud_config(project.places))
    shown = _must(project.quick("prune"))
    between = project.holdings()
    _must(project.quick("prune", "yes=1"))
    after = project.holdings()
    nothing = _must(project.quick("prune", "yes=1"))

    assert "nothing was deleted; the same command with yes=1 does it" in shown.stdout
    assert between == before
    assert "nothing to prune" in nothing.stdout
    for cloud in CLOUDS:
        gone = before[cloud].keys() - after[cloud].keys()
        kept = [key for key in after[cloud] if key.startswith(".lading/releases/")]
        documents = [json.loads(project.places[cloud].read(key) or b"") for key in kept]
        needed = {each["depot_key"] for table in documents for each in table["files"]}
        assert len(documents) == 2
        assert needed <= after[cloud].keys()
        assert len([key for key in gone if key.startswith(".lading/objects/")]) >= 3
        assert [
            k for k in gone if not k.startswith((".lading/objects/", ".lading/releases/"))
        ] == []
    assert after["gcs"] == after["s3"]
    _must(project.quick("rollback", "type=nightly"))
    _must(project.quick("verify", "tag=nightly-2025-02-04", "deep=1"))
    servers.take_seen()


@pytest.mark.slow
def test_prune_ends_abandoned_uploads(released: CloudProject, servers: CloudServers) -> None:
    """An upload in parts that nobody goes on with is ended by prune once it is old, not before."""
    place = released.places["s3"]
    place.begin_upload(f".lading/objects/{'a' * 64}")
    young = _must(released.quick("prune", "yes=1"))
    stands = servers.call("s3", "uploads", place.bucket)
    servers.call("s3", "age_uploads", place.bucket, 48)
    _must(released.quick("prune"))
    shown = servers.call("s3", "uploads", place.bucket)
    _must(released.quick("prune", "yes=1"))

    assert "nothing to prune" in young.stdout
    assert len(stands) == len(shown) == 1
    assert servers.call("s3", "uploads", place.bucket) == {}


@pytest.mark.slow
def test_odd_keys(project: CloudProject) -> None:
    """Names with spaces, `#`, `?`, `%`, `+` and letters beyond ASCII ship, and are replaced."""
    names = ["a b#c?d%e+ü.json", "100%25.json", "x&y=z;'~.json", f"deep/{'n' * 200}/f i.json"]
    for name in names:
        path = project.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": name}))
    _must(project.quick(*OLD_RELEASE))
    first = project.holdings()
    for name in names:
        (project.source / name).write_text(json.dumps({"new": name}))
    _must(project.quick(*RELEASE))
    second = project.holdings()
    for name in names[1:]:
        (project.source / name).unlink()
    _must(project.quick("distribute", "tag=nightly-2025-02-06", "accept=three files were given up"))
    third = project.holdings()
    _must(project.quick("verify", "tag=nightly-2025-02-06", "deep=1"))

    for found, table in ((first, "name"), (second, "new")):
        for objects in found.values():
            for name in names:
                wanted = hashlib.sha256(json.dumps({table: name}).encode()).hexdigest()
                assert objects[f"nightly/{name}"].sha256 == wanted
    for objects in third.values():
        standing = {key for key in objects if key.startswith("nightly/")}
        assert standing & {f"nightly/{name}" for name in names} == {f"nightly/{names[0]}"}
    assert third["gcs"] == third["s3"]


def test_place_reads_what_stands(servers: CloudServers, request: pytest.FixtureRequest) -> None:
    """What the comparisons rest on: a change of bytes or of metadata is a difference."""
    first, second = make_places(servers, _bucket(request)).values()
    for place in (first, second):
        place.write("a/b c.txt", b"one")
    same = first.objects()["a/b c.txt"].sha256 == second.objects()["a/b c.txt"].sha256
    first.write("a/b c.txt", b"two")

    assert same
    assert first.objects() != second.objects()
    assert isinstance(first, Place)
    assert first.keys("a/") == ["a/b c.txt"]
