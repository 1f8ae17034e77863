"""Versions of a project of maps, published by the installed commands."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.e2e.clouds import CREDENTIALS, CloudServers, Place, make_places
from tests.e2e.maps import (
    DESTINATIONS,
    ENVIRONMENTS,
    EXAMPLE,
    SCHEMA,
    Maps,
    assets_of,
    make_maps,
)
from tests.e2e.project import lines_with, snapshot, times_of

CACHES = ("__pycache__",)  # Python keeps what it compiled of a dodo.py


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Maps:
    """Return a project whose first version went through all environments; nobody changes it."""
    maps = make_maps(tmp_path_factory.mktemp("published") / "maps")
    for environment in ENVIRONMENTS:
        done = maps.publish("v1", environment)
        assert done.returncode == 0, done.stdout + done.stderr
        (maps.folder / f"{environment}.log").write_text(done.stdout)
    return maps


@pytest.fixture
def maps(published: Maps, tmp_path: Path) -> Maps:
    """Return a copy of that project, to be changed."""
    shutil.copytree(published.folder, tmp_path / "maps", symlinks=True)
    return Maps(tmp_path / "maps")


@pytest.fixture
def fresh(tmp_path: Path) -> Maps:
    """Return a project that never published."""
    return make_maps(tmp_path / "maps")


class TestRoad:
    """One version, from the first environment to the last."""

    def test_one_upload(self, published: Maps) -> None:
        """Assets are sent to the first environment; the others copy them inside the store."""
        found = {}
        for environment in ENVIRONMENTS:
            log = (published.folder / f"{environment}.log").read_text()
            lines = [
                line.partition(" done ") for line in lines_with(log, "upload:", " done ", "s)")
            ]
            found[environment] = {told.partition(" (")[0] for _, _, told in lines}
        size = sum(each["size_bytes"] for each in assets_of(published.document("dev")))
        assert size > 50_000
        assert [each.partition(",")[0] for each in found["dev"]] == ["7 objects sent"]
        for environment in ("staging", "production"):
            (told,) = found[environment]
            assert told.startswith("2 objects sent")
            assert told.endswith("6 copied in the cloud")

    def test_everything_stands_below_the_roots(self, published: Maps) -> None:
        """Each environment has all of its own below its root, and nothing stands beside."""
        for destination in DESTINATIONS:
            found = sorted(each.name for each in (published.clouds / destination).iterdir())
            assert found == sorted(ENVIRONMENTS)
            for environment in ENVIRONMENTS:
                root = published.clouds / destination / environment
                assert (root / ".lading" / "releases" / environment / "v1.json").is_file()

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_document(self, published: Maps, environment: str) -> None:
        """The document is what its schema says, and names every asset with its right digest."""
        document = published.document(environment)
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
        facts = [document[each] for each in ("project", "version", "environment")]
        assert facts == ["harbours", "v1", environment]
        groups = {name: [each["key"] for each in rows] for name, rows in document["assets"].items()}
        assert groups == {
            "overlays": [
                "base/coastline.geojson",
                "overlays/ferries.geojson",
                "overlays/harbours.geojson",
            ],
            "tiles": ["tiles/ferries.zip", "tiles/harbours.zip"],
            "files": ["sources.md"],
        }
        for destination in DESTINATIONS:
            folder = published.clouds / destination / environment / "harbours"
            digests = snapshot(folder)
            assert {each["url"]: each["sha256"] for each in assets_of(document)} == {
                key: digests[key] for key in digests if key not in {"release.json", "SHA256SUMS"}
            }
            assert published.document(environment, destination) == document

    def test_receipt(self, published: Maps) -> None:
        """The last receipt says where the document is, since when, and what of it was read back."""
        receipt, document = published.receipt("v1", "dev"), published.document("dev")
        assert receipt["facts"] == {
            "release_url": "clouds/public/dev/harbours/release.json",
            "published_at": document["published_at"],
            "asset_count": "6",
            "size_bytes": str(sum(each["size_bytes"] for each in assets_of(document))),
        }
        places = [f"{each}/dev/harbours/release.json" for each in DESTINATIONS]
        assert sorted(receipt["objects"]) == sorted(places)

    def test_again(self, maps: Maps) -> None:
        """An unchanged version is not built, sent, copied or written again."""
        assert maps.publish("v1", "production").returncode == 0  # the copy has other inodes
        before = times_of(maps.clouds), times_of(maps.work / "archives")
        done = maps.publish("v1", "production")
        assert done.returncode == 0, done.stderr
        assert "nothing to do: everything is as released" in done.stdout
        assert (times_of(maps.clouds), times_of(maps.work / "archives")) == before

    def test_fresh_machine(self, maps: Maps) -> None:
        """Without any local state the same command finds the same bytes, moment and all."""
        before = times_of(maps.clouds)
        shutil.rmtree(maps.work)
        done = maps.publish("v1", "staging")
        assert done.returncode == 0, done.stderr
        assert times_of(maps.clouds) == before

    def test_stale_moment(self, maps: Maps) -> None:
        """What the destination says of the moment goes before a document made here meanwhile."""
        before, path = maps.document("dev"), maps.work / "releases" / "dev" / "v1" / "release.json"
        stale = path.read_text().replace(before["published_at"], "2001-01-01T00:00:00Z")
        path.write_text(stale)
        done = maps.publish("v1", "dev")
        assert done.returncode == 0, done.stderr
        assert maps.document("dev") == before
        assert json.loads(path.read_text()) == before

    def test_tag_and_type(self, maps: Maps) -> None:
        """`distribute` with tag and type is the same road in other words."""
        done = maps.quick("distribute", "type=dev", "tag=v1")
        assert done.returncode == 0, done.stderr
        assert "mark_published           up to date" in done.stdout

    def test_plan_and_verify(self, maps: Maps) -> None:
        """`plan` finds nothing to do, and `verify` proves all, object by object."""
        for arguments, said in (
            (("plan",), "nothing to do"),
            (("verify", "deep=1"), "verified asked object by object"),
        ):
            done = maps.quick(*arguments, "version=v1", "environment=production")
            assert done.returncode == 0, done.stdout + done.stderr
            assert said in done.stdout

    def test_plan_before(self, fresh: Maps) -> None:
        """Before anything was made, `plan` says what is built and read, and writes nothing."""
        before = snapshot(fresh.folder, leave_out=CACHES)
        done = fresh.quick("plan", "version=v1", "environment=dev")
        assert done.returncode == 0, done.stderr
        assert [*lines_with(done.stdout, "build", "make", "2")]
        assert [*lines_with(done.stdout, "stored", "read", "1")]
        assert snapshot(fresh.folder, leave_out=CACHES) == before

    def test_damage_is_found_and_mended(self, maps: Maps) -> None:
        """`verify` names what was changed by others; publishing again mends it."""
        path = maps.clouds / "mirror" / "staging" / "harbours" / "sources.md"
        path.write_text("other words")
        done = maps.quick("verify", "version=v1", "environment=staging")
        assert done.returncode == 1
        assert "mirror harbours: sources.md: expected sha256" in done.stderr
        assert maps.publish("v1", "staging").returncode == 0
        assert maps.quick("verify", "version=v1", "environment=staging").returncode == 0


class TestUpkeep:
    """A second version, and the way back."""

    def test_rollback_and_prune(self, maps: Maps) -> None:
        """Going back moves one environment alone; what no version needs goes from it alone."""
        assert maps.publish("v2", "production").returncode == 0
        second = maps.document("production")
        assert len(assets_of(second)) == 8
        others = snapshot(maps.clouds / "public" / "staging")

        done = maps.quick("rollback", "environment=production")
        assert done.returncode == 0, done.stderr
        assert maps.document("production")["version"] == "v1"
        archive = maps.clouds / "public" / "production" / "archive" / "harbours" / "v2"
        assert json.loads((archive / "release.json").read_bytes()) == second
        assert maps.publish("v2", "production").returncode == 0
        assert maps.document("production") == second

        stray = maps.clouds / "public" / "production" / ".lading" / "objects" / ("ab" * 32)
        stray.write_bytes(b"stray")
        kept = maps.clouds / "public" / "dev" / ".lading" / "objects" / ("cd" * 32)
        kept.write_bytes(b"of another environment")
        config = maps.folder / "lading.toml"
        config.write_text(f"prune_after_hours = 0\n{config.read_text()}")
        done = maps.quick("prune", "environment=production", "yes=1")
        assert done.returncode == 0, done.stderr
        assert (stray.exists(), kept.exists()) == (False, True)
        assert snapshot(maps.clouds / "public" / "staging") == others
        assert maps.quick("verify", "version=v2", "environment=production").returncode == 0


def _no_marker(maps: Maps) -> None:
    (maps.version("v1") / "success").unlink()


def _wrong_digest(maps: Maps) -> None:
    (maps.version("v1") / "sources.md").write_text("others")


def _empty(maps: Maps) -> None:
    (maps.version("v1") / "sources.md").write_text("")
    sums = maps.version("v1") / "SHA256SUMS"
    of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    lines = [each for each in sums.read_text().splitlines() if "sources" not in each]
    sums.write_text("\n".join([*lines, f"{of_nothing}  sources.md", ""]))


def _unnamed(maps: Maps) -> None:
    sums = maps.version("v1") / "SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))


def _stored_digest(maps: Maps) -> None:
    path = maps.folder / "library" / "coastline.geojson"
    path.write_bytes(path.read_bytes().replace(b"Eastholm", b"Westholm"))


def _stored_missing(maps: Maps) -> None:
    (maps.folder / "library" / "coastline.geojson").unlink()


def _stored_list(maps: Maps) -> None:
    (maps.version("v1") / "stored.json").write_text('[{"key": "../x", "url": "s3://u:p@b/k"}]')


def _failing_command(maps: Maps) -> None:
    script = maps.folder / "make_tiles.py"
    script.write_text('import sys\nsys.exit("no tiles today")\n')


def _lazy_command(maps: Maps) -> None:
    (maps.folder / "make_tiles.py").write_text("")


BROKEN = {
    "no marker": (_no_marker, "version v1: expected a version that is ready, found no success"),
    "wrong digest": (_wrong_digest, "sources.md: expected sha256 "),
    "empty": (_empty, "sources.md: expected an asset with content, found an empty file"),
    "unnamed": (_unnamed, "sources.md: expected a line in SHA256SUMS, found none"),
    "stored digest": (
        _stored_digest,
        "base/coastline.geojson: library/coastline.geojson: expected sha256 ",
    ),
    "stored missing": (
        _stored_missing,
        "base/coastline.geojson: library/coastline.geojson: expected an object, found none",
    ),
    "stored list": (_stored_list, "stored.json: [0].key: expected a relative key"),
    "failing command": (_failing_command, "expected exit code 0, got 1: no tiles today"),
    "lazy command": (
        _lazy_command,
        (
            "publish.build tiles: expected the command to write the file ferries.zip"
            " of ferries.geojson, found none"
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_version(fresh: Maps, name: str) -> None:
    """A version that is not sound is refused with the reason, and no destination holds a byte."""
    damage, expected = BROKEN[name]
    damage(fresh)
    done = fresh.publish("v1", "dev")
    assert done.returncode == 1, done.stdout + done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert snapshot(fresh.clouds) == {}


@pytest.mark.slow
def test_mended_version(fresh: Maps) -> None:
    """The same command publishes what was refused, once it is mended."""
    _failing_command(fresh)
    assert fresh.publish("v1", "dev").returncode == 1
    shutil.copy(EXAMPLE / "make_tiles.py", fresh.folder)
    done = fresh.publish("v1", "dev")
    assert done.returncode == 0, done.stderr
    assert fresh.document("dev")["version"] == "v1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("version=v1", "environment=prodution"),
            (
                "environment: expected one of dev, staging, production, got 'prodution'"
                " (did you mean 'production'?)"
            ),
        ),
        (("version=../x", "environment=dev"), "version: expected a version that fits a channel"),
        (
            ("version=v1", "environment=dev", "staging=1"),
            (
                "staging: expected no staging=1, since each channel is an environment of its own;"
                " say environment= with one of dev, staging, production"
            ),
        ),
        (
            ("version=v1", "environment=dev", "type=staging"),
            "environment: expected the same as type=staging, got 'dev'",
        ),
        (
            ("version=v1", "tag=v2", "environment=dev"),
            "version: expected the same as tag=v2, got 'v1'",
        ),
        (("version=v1",), "environment: expected one of dev, staging, production, since 'v1' fits"),
    ],
)
def test_usage(published: Maps, arguments: tuple[str, ...], expected: str) -> None:
    """What names no version and environment is refused in one line, before anything is done."""
    done = published.quick("publish", *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[0].startswith(f"ERROR: {expected}")
    assert len(done.stderr.splitlines()) == 1


def test_missing_version(published: Maps) -> None:
    """A version that there is not is refused in one line that says where it was looked for."""
    done = published.publish("v9", "dev")
    assert done.returncode == 1
    assert (
        "check failed: version v9: expected a version that is ready, found nothing" in done.stderr
    )


def test_staging_root_is_no_rehearsal(maps: Maps) -> None:
    """`staging_cleanup` never empties an environment that is called staging."""
    (maps.folder / "dodo.py").write_text("from lading.tasks import *\n")
    before = snapshot(maps.clouds)
    done = maps.quick("staging_cleanup")
    assert done.returncode == 1
    assert "staging_cleanup: expected channels without a root" in done.stderr
    assert snapshot(maps.clouds) == before


def test_channels_without_a_root(fresh: Maps) -> None:
    """A project without environments is told that it has none, by one line."""
    config = (fresh.folder / "lading.toml").read_text()
    head, tail = config.split("[publish]")[0], config[config.index("[destinations.public]") :]
    tail = tail.split("[channels.staging]")[0].replace('root = "dev"\n', "")
    (fresh.folder / "lading.toml").write_text(head + tail)
    done = fresh.quick("publish", "tag=v1")
    assert done.returncode == 2
    assert "publish: expected channels with a root in lading.toml, found none" in done.stderr


def _kill_everywhere(
    tmp_path: Path, uncut: Maps, before: Path, writes: Iterator[int], stop: Callable[[bool], bool]
) -> int:
    """Kill at each of some writes, publish again, compare; return how often it was cut."""
    cut = 0
    for write in writes:
        folder = tmp_path / f"killed-{write}"
        shutil.copytree(before, folder, symlinks=True)
        killed = Maps(folder)
        was_cut = killed.killed_at(write, "v2", "dev")
        cut += was_cut
        if write % 3 == 2:
            shutil.rmtree(killed.work, ignore_errors=True)  # another machine goes on
        done = killed.publish("v2", "dev")
        assert done.returncode == 0, (write, done.stdout + done.stderr)
        assert killed.assets() == uncut.assets(), write
        said = [
            {**each.document("dev", place), "published_at": ""}
            for each in (killed, uncut)
            for place in DESTINATIONS
        ]
        assert said[1:] == said[:-1], write
        documents = {place: killed.document("dev", place) for place in DESTINATIONS}
        assert documents["public"] == documents["mirror"], write
        if write % 3 != 2:  # one moment was chosen, before the kill or after, and never two
            assert len(killed.depot_names("dev")) == len(uncut.depot_names("dev")), write
        shutil.rmtree(folder)
        if stop(was_cut):
            break
    return cut


@pytest.fixture
def killing(maps: Maps, tmp_path: Path) -> tuple[Maps, Path]:
    """Return a project that published a second version undisturbed, and its folder before."""
    before = tmp_path / "before"
    shutil.copytree(maps.folder, before, symlinks=True)
    assert maps.publish("v2", "dev").returncode == 0
    return maps, before


def test_killed_converges(killing: tuple[Maps, Path], tmp_path: Path) -> None:
    """After kill -9 at some writes the same command ends with the bytes of an undisturbed run."""
    uncut, before = killing
    writes = iter((17, 44))
    assert _kill_everywhere(tmp_path, uncut, before, writes, lambda _: False) == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_write(killing: tuple[Maps, Path], tmp_path: Path) -> None:
    """After kill -9 at each write in turn it does so, too."""
    uncut, before = killing
    cut = _kill_everywhere(tmp_path, uncut, before, iter(range(1, 500)), lambda was: not was)
    assert cut > 40


class TestBuckets:
    """The same project, shipped to a bucket of S3."""

    @staticmethod
    def _make(tmp_path: Path, servers: CloudServers) -> tuple[Maps, Place]:
        maps = make_maps(tmp_path / "maps")
        place = make_places(servers, tmp_path.name.strip("_").replace("_", "-")[:60])["s3"]
        config = (maps.folder / "lading.toml").read_text()
        start = config.index("[destinations.public]")
        end = config.index("[channels.dev]")
        lines = f'[destinations.public]\nurl = "{place.url}"\nendpoint = "{servers.urls["s3"]}"\n'
        (maps.folder / "lading.toml").write_text(config[:start] + lines + config[end:])
        asset = (maps.folder / "library" / "coastline.geojson").read_bytes()
        place.write("library/coastline.geojson", asset)
        stored = maps.version("v1") / "stored.json"
        stored.write_text(stored.read_text().replace('"library/', f'"{place.url}/library/'))
        (maps.folder / "library" / "coastline.geojson").unlink()
        return maps, place

    def test_copies_inside_the_cloud(self, tmp_path: Path, servers: CloudServers) -> None:
        """Assets leave the machine once; what stands in the bucket already never leaves it."""
        maps, place = self._make(tmp_path, servers)
        puts = {}
        for environment in ("dev", "production"):
            servers.take_seen()
            done = maps.publish("v1", environment, **CREDENTIALS)
            assert done.returncode == 0, done.stdout + done.stderr
            seen = [each for each in servers.take_seen()["s3"] if "/objects/" in each.key]
            puts[environment] = [each.operation for each in seen]
        document = json.loads(place.read("production/harbours/release.json") or b"")
        assets = {each["key"]: each for each in assets_of(document)}
        stored = assets["base/coastline.geojson"]
        assert stored["origin"] == {
            "kind": "stored",
            "path": f"{place.url}/library/coastline.geojson",
        }
        assert stored["url"].startswith(
            f"{servers.urls['s3']}/{place.bucket}/production/archive/harbours/v1/"
        )
        assert place.sha256("production/harbours/base/coastline.geojson")[1] == stored["sha256"]
        assert puts["dev"].count("PutObject") == 7
        assert puts["dev"].count("CopyObject") >= 1
        assert puts["production"].count("PutObject") == 2
        assert puts["production"].count("CopyObject") >= 6
        keys = place.keys()
        assert {key.partition("/")[0] for key in keys} == {"dev", "production", "library"}

    @pytest.mark.slow
    def test_versions_in_a_bucket(self, tmp_path: Path, servers: CloudServers) -> None:
        """Versions may stand in a bucket: what they lack is built of what was fetched."""
        maps, place = self._make(tmp_path, servers)
        config = (maps.folder / "lading.toml").read_text()
        options = f'options = {{ endpoint_url = "{servers.urls["s3"]}" }}'
        source = f'url = "{place.url}/versions/{{tag}}"\n{options}'
        (maps.folder / "lading.toml").write_text(config.replace('url = "versions/{tag}"', source))
        for path in maps.version("v1").rglob("*"):
            if path.is_file():
                place.write(path.relative_to(maps.folder).as_posix(), path.read_bytes())
        place.write("versions/v2/sources.md", b"half of it")
        shutil.rmtree(maps.folder / "versions")
        early = maps.publish("v2", "dev", **CREDENTIALS)
        assert early.returncode == 1
        assert "fetch failed: version v2: expected a version that is ready" in early.stderr
        for said in ("released: every object was read back", "nothing to do"):
            done = maps.publish("v1", "dev", **CREDENTIALS)
            assert done.returncode == 0, done.stdout + done.stderr
            assert said in done.stdout
        document = json.loads(place.read("dev/harbours/release.json") or b"")
        assert [each["key"] for each in document["assets"]["tiles"]] == [
            "tiles/ferries.zip",
            "tiles/harbours.zip",
        ]
