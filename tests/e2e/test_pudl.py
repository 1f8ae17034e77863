"""The distribution of a real energy-data project, on a small build of the same names.

The installed `doit` runs the example as a user would; the source and the two clouds are folders,
and what a release reaches beside them is taken out: test_pudl_outside.py has it. Each world begins
where a fresh machine does: builds, clouds, no local state.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lading.config import load_config
from lading.release.names import resolve_release
from tests.e2e.pudl import EXAMPLE, flatten, without_calls

pytestmark = pytest.mark.xdist_group("pudl")

TONIGHT, TOMORROW, STABLE = "nightly-2025-02-05", "nightly-2025-02-06", "v2025.2.0"
CLOUDS = ("gcs", "s3")
PREFIXES = ("nightly", "eel-hole")
LOCAL_URLS = {  # what the test replaces in the example
    "gs://builds.catalyst.coop/{tag}": "builds/{tag}",
    "gs://pudl.catalyst.coop": "clouds/gcs",
    "s3://pudl.catalyst.coop": "clouds/s3",
}
DBF_FORMS = ["ferc1_dbf", "ferc2_dbf", "ferc6_dbf", "ferc60_dbf"]
XBRL_FORMS = ["ferc1_xbrl", "ferc2_xbrl", "ferc6_xbrl", "ferc60_xbrl", "ferc714_xbrl"]
FORMS = [*DBF_FORMS, *XBRL_FORMS]
DATABASES = ["pudl", "censusdp1tract", *FORMS]
DOCUMENTS = {"SHA256SUMS", "release.json"}
CHANGED_TABLES = 7  # --change 0.02 of 360


@dataclass(frozen=True)
class World:
    """A project folder with its builds and its two clouds."""

    folder: Path

    @property
    def clouds(self) -> Path:
        """The folder that holds the two clouds."""
        return self.folder / "clouds"

    def build(self, tag: str) -> Path:
        """Return the folder of a tag's build."""
        return self.folder / "builds" / tag

    def doit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed doit command."""
        return subprocess.run(
            [Path(sys.executable).parent / "doit", *arguments],
            cwd=self.folder,
            env={**os.environ, "CI": "1", "SLACK_BOT_TOKEN": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    def release(self, tag: str, *arguments: str) -> str:
        """Release a tag, which must go well; return what was printed."""
        run = self.doit("distribute", f"tag={tag}", *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def cloud(self, name: str) -> dict[str, str]:
        """Return the sha256 of every object of a cloud, by key."""
        return digests_of(self.clouds / name)

    def depot(self, name: str) -> set[str]:
        """Return the names of the objects in a cloud's depot."""
        objects = self.clouds / name / ".lading" / "objects"
        return {path.name for path in objects.iterdir()}

    def copy(self, folder: Path) -> "World":
        """Return a copy as another machine finds it: the same clouds, no local state."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("build"))
        return World(folder)


def files_of(folder: Path) -> dict[str, Path]:
    """Return every file below a folder, by relative path."""
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def digests_of(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by relative path."""
    return {key: sha256_of(path.read_bytes()) for key, path in files_of(folder).items()}


def times_of(folder: Path) -> dict[str, int]:
    """Return the modification time of every file below a folder, by relative path."""
    return {key: path.stat().st_mtime_ns for key, path in files_of(folder).items()}


def sha256_of(data: bytes) -> str:
    """Return the sha256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def public(objects: dict[str, str]) -> dict[str, str]:
    """Leave out what readers do not look at."""
    return {key: value for key, value in objects.items() if not key.startswith(".lading/")}


def below(prefix: str, objects: dict[str, str]) -> dict[str, str]:
    """Return the objects of one prefix, by key inside it."""
    start = f"{prefix}/"
    return {k.removeprefix(start): value for k, value in objects.items() if k.startswith(start)}


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_bytes())


def make_build(folder: Path, *arguments: str) -> Path:
    """Generate a small build."""
    program = EXAMPLE / "make_build.py"
    subprocess.run([sys.executable, program, folder, "--mb", "5", *arguments], check=True)
    return folder


def expected_keys(build: Path) -> set[str]:
    """Compute every public name of a build from the names of its files."""
    tables = {path.name for path in (build / "parquet").glob("*.parquet")}
    forms = {f"{form}/{path.name}" for form in FORMS for path in (build / form).glob("*.parquet")}
    assert len(tables) >= 340
    assert len(forms) >= len(FORMS)
    return {
        *(f"{name}.sqlite.zip" for name in DATABASES),
        *(f"{form}.zip" for form in FORMS),
        "pudl_parquet.zip",
        "pudl_parquet_datapackage.json",
        *tables,
        *forms,
        *(f"{form}/datapackage.json" for form in FORMS),
        *(f"{form}_datapackage.json" for form in XBRL_FORMS),
        *(f"{form}_taxonomy_metadata.json" for form in XBRL_FORMS),
        "etl_full_row_counts.csv",
        *DOCUMENTS,
    }


def localize(folder: Path, *, has_calls: bool = False) -> None:
    """Copy the example into a folder, with local paths in the place of its three URLs.

    Args:
        folder: where to.
        has_calls: leave what a release reaches beside the clouds; only staging can do with it.
    """
    shutil.copy(EXAMPLE / "dodo.py", folder)
    text = (EXAMPLE / "lading.toml").read_text(encoding="utf-8")
    for url, path in LOCAL_URLS.items():
        assert text.count(f'url = "{url}"') == 1
        text = text.replace(f'url = "{url}"', f'url = "{path}"')
    text = text if has_calls else without_calls(text)
    (folder / "lading.toml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tonight's build, and tomorrow's, of which some tables differ."""
    folder = tmp_path_factory.mktemp("pudl-builds")
    return {
        TONIGHT: make_build(folder / "tonight"),
        TOMORROW: make_build(folder / "tomorrow", "--change", "0.02"),
    }


@pytest.fixture(scope="session")
def nightly(tmp_path_factory: pytest.TempPathFactory, builds: dict[str, Path]) -> World:
    """A world in which tonight's build was released once. Tests leave it as it is."""
    world = World(tmp_path_factory.mktemp("pudl-nightly"))
    localize(world.folder)
    shutil.copytree(builds[TONIGHT], world.build(TONIGHT))
    world.release(TONIGHT, "type=nightly")
    return world


@pytest.fixture(scope="session")
def stable(tmp_path_factory: pytest.TempPathFactory, nightly: World) -> World:
    """A world in which the same build was then cut as a stable release. Tests leave it so."""
    world = nightly.copy(tmp_path_factory.mktemp("pudl-stable") / "world")
    shutil.copytree(world.build(TONIGHT), world.build(STABLE))
    world.release(STABLE, "type=stable")
    return world


@pytest.fixture
def world(nightly: World, tmp_path: Path) -> World:
    """A world of one's own in which tonight's build was released by another machine."""
    return nightly.copy(tmp_path / "world")


@pytest.mark.parametrize(
    ("tag", "prefixes", "calls"),
    [
        (TONIGHT, PREFIXES, ["git_merge", "zenodo", "cloud_run:pudl-viewer"]),
        (STABLE, (STABLE, "stable"), [f"hold:gcs-{STABLE}", f"hold:s3-{STABLE}"]),
    ],
)
def test_example_states_who_gets_what(
    tag: str, prefixes: tuple[str, ...], calls: list[str]
) -> None:
    """The example as it stands loads, and names the prefixes and services of each channel."""
    config = load_config(EXAMPLE).config
    release = resolve_release(config, "", tag, staging=False)
    assert [each.url for each in release.destinations] == list(LOCAL_URLS)[1:]
    assert [each.name for each in release.destinations[0].prefixes] == list(prefixes)
    tasks = [f"hold:{each.task}" for each in release.prefixes if each.held]
    tasks += [each.task for each in release.calls]
    assert [each for each in tasks if each in calls] == calls
    assert {"git_merge", "zenodo"} <= {each.task for each in release.calls}


def test_nothing_else_is_replaced(nightly: World) -> None:
    """What these tests run is the example, but for where builds and clouds are, and the calls."""
    ours = flatten(tomllib.loads((nightly.folder / "lading.toml").read_text()))
    theirs = flatten(tomllib.loads((EXAMPLE / "lading.toml").read_text()))
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    calls = ("branch", "zenodo", "cloud_run")
    places = ("slack.", *(f"channels.{c}.{call}" for c in ("nightly", "stable") for call in calls))
    assert {key for key in differing if not key.startswith(places)} == {
        *("source.url", "destinations.gcs.url", "destinations.s3.url")
    }
    assert not [key for key in ours if key.startswith(places)]
    assert (nightly.folder / "dodo.py").read_bytes() == (EXAMPLE / "dodo.py").read_bytes()


@pytest.mark.slow
def test_generator_is_reproducible(builds: dict[str, Path], tmp_path: Path) -> None:
    """Equal arguments give an equal build; --change alters that share of the tables only."""
    tonight = digests_of(builds[TONIGHT])
    assert digests_of(make_build(tmp_path / "again")) == tonight
    tomorrow = digests_of(builds[TOMORROW])
    changed = {key for key in tonight if tomorrow[key] != tonight[key]}
    tables = {key for key in changed if key.endswith(".parquet")}
    assert tonight.keys() == tomorrow.keys()
    assert changed - tables == {"parquet/datapackage.json"}
    assert len(tables) == CHANGED_TABLES


@pytest.mark.parametrize("cloud", CLOUDS)
def test_public_names_are_exactly_those_expected(nightly: World, cloud: str) -> None:
    """A prefix holds every public name and no other: no log, marker or test database."""
    objects = public(nightly.cloud(cloud))
    expected = expected_keys(nightly.build(TONIGHT))
    assert set(objects) == {f"{prefix}/{key}" for prefix in PREFIXES for key in expected}


def test_both_clouds_hold_the_same(nightly: World) -> None:
    """The two clouds are equal, but for their own record of the day; no lock is left."""
    gcs, s3 = (
        {k: v for k, v in nightly.cloud(name).items() if not k.startswith(".lading/history/")}
        for name in CLOUDS
    )
    assert gcs == s3
    assert below("nightly", gcs) == below("eel-hole", gcs)
    assert not [key for key in gcs if key.startswith((".lading/locks/", ".lading/tmp/"))]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_depot_holds_each_content_once(nightly: World, cloud: str) -> None:
    """The depot has one object a distinct content, under its own sha256."""
    objects = nightly.cloud(cloud)
    depot = below(".lading/objects", objects)
    assert all(name == sha256 for name, sha256 in depot.items())
    assert set(depot) == set(public(objects).values())


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_sums_are_what_sha256sum_finds(nightly: World, cloud: str, prefix: str) -> None:
    """`sha256sum -c` passes in a prefix, and SHA256SUMS names all of it but itself."""
    folder = nightly.clouds / cloud / prefix
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True)
    named = {line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert named == set(files_of(folder)) - {"SHA256SUMS"}


def test_every_zip_is_sound(nightly: World) -> None:
    """Each of the 21 archives passes Python's test, and `unzip -t` where there is one."""
    unzip = shutil.which("unzip")
    archives = sorted((nightly.clouds / "gcs" / "nightly").glob("*.zip"))
    assert len(archives) == len(DATABASES) + len(FORMS) + 1
    for path in archives:
        if unzip:
            subprocess.run([unzip, "-tq", path], check=True, capture_output=True)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert max(Counter(archive.namelist()).values()) == 1


def test_archives_hold_the_build(nightly: World) -> None:
    """A zipped database is the build's; a bundle is its folder's tables and one descriptor."""
    build, folder = nightly.build(TONIGHT), nightly.clouds / "gcs" / "nightly"
    for name in DATABASES:
        with zipfile.ZipFile(folder / f"{name}.sqlite.zip") as archive:
            assert archive.namelist() == [f"{name}.sqlite"]
            assert archive.read(f"{name}.sqlite") == (build / f"{name}.sqlite").read_bytes()
    for source, bundle in [(form, form) for form in FORMS] + [("parquet", "pudl_parquet")]:
        with zipfile.ZipFile(folder / f"{bundle}.zip") as archive:
            held = {each: sha256_of(archive.read(each)) for each in archive.namelist()}
            assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        wanted = {k: v for k, v in digests_of(build / source).items() if not k.endswith(".log")}
        assert held == wanted


@pytest.mark.parametrize("descriptor", ["pudl_parquet_datapackage.json", "*/datapackage.json"])
def test_descriptors_agree_with_what_ships(nightly: World, descriptor: str) -> None:
    """The path, size and hash in each datapackage.json are those of the file beside it."""
    found = list((nightly.clouds / "s3" / "nightly").glob(descriptor))
    assert len(found) == (len(FORMS) if "*" in descriptor else 1)
    for path in found:
        for resource in read_json(path)["resources"]:
            data = (path.parent / resource["path"]).read_bytes()
            assert resource["bytes"] == len(data)
            assert resource["hash"] == f"sha256:{sha256_of(data)}"


def test_no_log_ships_inside_anything(nightly: World) -> None:
    """The text of the build's logs stands in no object, stored bundles included."""
    text = next(nightly.build(TONIGHT).glob("*.log")).read_bytes()
    assert text.startswith(b"2025-02-05")
    objects = files_of(nightly.clouds / "gcs" / ".lading" / "objects")
    assert not [key for key, path in objects.items() if text in path.read_bytes()]


def test_second_run_changes_no_file(nightly: World) -> None:
    """The same command again leaves every file of both clouds and every archive alone."""
    before = times_of(nightly.clouds), times_of(nightly.folder / "build" / "archives")
    printed = nightly.release(TONIGHT, "type=nightly")
    assert before == (times_of(nightly.clouds), times_of(nightly.folder / "build" / "archives"))
    assert " done " not in printed


@pytest.mark.slow
def test_second_run_says_nothing_to_do(nightly: World) -> None:
    """The same command again says in words that there was nothing to do."""
    assert "nothing to do" in nightly.release(TONIGHT, "type=nightly")


@pytest.mark.slow
def test_tomorrow_sends_only_what_changed(world: World, builds: dict[str, Path]) -> None:
    """The next nightly sends changed tables, their bundle and descriptor, and documents."""
    shutil.copytree(builds[TOMORROW], world.build(TOMORROW))
    stale = "ferc60_xbrl_taxonomy_metadata.json"
    (world.build(TOMORROW) / stale).unlink()
    before = {name: world.depot(name) for name in CLOUDS}
    world.release(TOMORROW, "type=nightly", "accept=the taxonomy was given up")
    for name in CLOUDS:
        new = world.depot(name) - before[name]
        assert before[name] <= world.depot(name)
        assert len(new) == CHANGED_TABLES + len({"bundle", "descriptor"}) + len(DOCUMENTS)
        objects = public(world.cloud(name))
        expected = expected_keys(world.build(TOMORROW)) - {stale}
        assert set(objects) == {f"{prefix}/{key}" for prefix in PREFIXES for key in expected}
        for prefix in PREFIXES:
            assert read_json(world.clouds / name / prefix / "release.json")["tag"] == TOMORROW


@pytest.mark.slow
@pytest.mark.parametrize("cloud", CLOUDS)
def test_stable_cut_sends_two_documents(stable: World, nightly: World, cloud: str) -> None:
    """The stable cut of a nightly is copied inside the cloud: two new objects, all names."""
    before, after = nightly.cloud(cloud), stable.cloud(cloud)
    fresh = stable.depot(cloud) - nightly.depot(cloud)
    assert fresh == {after[f"{STABLE}/{key}"] for key in DOCUMENTS}
    assert set(below(STABLE, after)) == expected_keys(stable.build(TONIGHT))
    assert below(STABLE, after) == below("stable", after)
    for key, sha256 in below("nightly", before).items():
        assert key in DOCUMENTS or after[f"{STABLE}/{key}"] == sha256
        assert after[f"nightly/{key}"] == sha256


@pytest.mark.slow  # test_pudl_outside has it over real protocols
def test_stable_again_accepts_equal_bytes(stable: World, tmp_path: Path) -> None:
    """An immutable prefix takes the same release again, from a machine that knows nothing."""
    world = stable.copy(tmp_path / "world")
    before = times_of(world.clouds)
    world.release(STABLE)
    assert times_of(world.clouds) == before


@pytest.fixture(scope="session")
def refused(
    tmp_path_factory: pytest.TempPathFactory, stable: World, builds: dict[str, Path]
) -> tuple[World, subprocess.CompletedProcess[str]]:
    """A world in which another build was to become the stable release that stands."""
    world = stable.copy(tmp_path_factory.mktemp("pudl-refused") / "world")
    shutil.rmtree(world.build(STABLE))
    shutil.copytree(builds[TOMORROW], world.build(STABLE))
    return world, world.doit("distribute", "type=stable", f"tag={STABLE}")


@pytest.mark.slow
def test_other_bytes_are_refused(
    refused: tuple[World, subprocess.CompletedProcess[str]], stable: World
) -> None:
    """Another build under a published stable tag ends with 1 and leaves the prefix alone."""
    world, run = refused
    assert run.returncode == 1
    assert "immutable" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    for name in CLOUDS:
        assert below(STABLE, world.cloud(name)) == below(STABLE, stable.cloud(name))


@pytest.mark.slow
def test_refusal_names_both_digests(
    refused: tuple[World, subprocess.CompletedProcess[str]], stable: World
) -> None:
    """The refusal names one file with the digest that was expected and the one that stands."""
    world, run = refused
    standing = below(STABLE, stable.cloud("gcs"))
    wanted = digests_of(world.build(STABLE) / "parquet")
    key = next(key for key in sorted(wanted) if standing.get(key) not in {None, wanted[key]})
    place = f"/gcs/{STABLE}/{key}: "
    line = next((each for each in run.stderr.splitlines() if place in each), run.stderr)
    assert f"expected sha256 {wanted[key][:16]}" in line
    assert f"found sha256 {standing[key][:16]}" in line


@pytest.mark.parametrize("cloud", CLOUDS)
def test_refusal_leaves_the_clouds_alone(
    refused: tuple[World, subprocess.CompletedProcess[str]], stable: World, cloud: str
) -> None:
    """A release that its immutable prefix refuses reaches neither `stable` nor the depot."""
    world, _ = refused
    before, after = stable.cloud(cloud), world.cloud(cloud)
    assert {key for key in before | after if before.get(key) != after.get(key)} == set()


@pytest.mark.slow  # test_pudl_outside has it over real protocols
def test_staging_writes_below_its_root_only(world: World) -> None:
    """A stable release in staging leaves production as it was, and skips what is outside."""
    localize(world.folder, has_calls=True)
    shutil.copytree(world.build(TONIGHT), world.build(STABLE))
    before = {name: times_of(world.clouds / name) for name in CLOUDS}
    printed = world.release(STABLE, "type=stable", "staging=1")
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    for task in ("git_merge", "zenodo", f"hold:gcs-{STABLE}", f"hold:s3-{STABLE}"):
        assert rows[task].split()[1:3] == ["skipped", "staging:"]
    for name in CLOUDS:
        after = times_of(world.clouds / name)
        assert {k: v for k, v in after.items() if not k.startswith("staging/")} == before[name]
        staged = below("staging", world.cloud(name))
        assert set(below("stable", staged)) == expected_keys(world.build(STABLE))
        assert below(STABLE, staged) == below("stable", staged)


def add_second_descriptor(build: Path) -> None:
    """Put a second data package into a bundle's folder."""
    shutil.copy(
        build / "ferc1_dbf" / "datapackage.json", build / "ferc1_dbf" / "b_datapackage.json"
    )


def empty_a_table(build: Path) -> None:
    """Cut a parquet file to nothing."""
    os.truncate(build / "parquet" / "out_eia923__monthly_fuel.parquet", 0)


def lose_the_marker(build: Path) -> None:
    """Take the success marker away."""
    (build / "success").unlink()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(add_second_descriptor, "ferc1_dbf/b_datapackage.json", marks=pytest.mark.slow),
        (empty_a_table, "parquet/out_eia923__monthly_fuel.parquet"),
        pytest.param(lose_the_marker, "success", marks=pytest.mark.slow),
    ],
)
def test_bad_build_is_refused_in_one_line(
    world: World, spoil: Callable[[Path], None], named: str
) -> None:
    """A spoilt build ends with 1 and one line that names the file; the clouds stay as they are."""
    shutil.copytree(world.build(TONIGHT), world.build(TOMORROW))
    spoil(world.build(TOMORROW))
    before = times_of(world.clouds)
    run = world.doit("distribute", "type=nightly", f"tag={TOMORROW}")
    assert run.returncode == 1
    failure, standing, resume = run.stderr.splitlines()
    assert standing == "failed at check; nothing public was changed by this run"
    assert failure.startswith("check failed: ")
    assert named in failure
    assert "to resume, run the same command" in resume
    assert "Traceback" not in run.stdout
    assert times_of(world.clouds) == before
