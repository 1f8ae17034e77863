"""Tests of versions, as a source shows them."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from lading.config.models import Config
from lading.errors import SourceError, UsageError
from lading.ship.versions import SourceVersion, list_versions, look_at_version
from tests.fakes.publishing import make_maps_config, make_version
from tests.unit.release.test_names import make_config


@pytest.fixture(params=["folder", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Config, Path]]:
    """Return a project whose versions stand in a folder, or behind a URL; and its folder."""
    if request.param == "folder":
        for name in ("v1", "v10", "v2", "other", "v3.tmp"):
            make_version(tmp_path / "versions" / name, {"data": b"1"}, ready=name != "v2")
        (tmp_path / "versions" / "v4").write_bytes(b"no folder")
        yield make_maps_config(), tmp_path
        return
    remote = fsspec.filesystem("memory")
    for name in ("v1", "v10", "v2", "other", "v3.tmp"):
        remote.pipe(f"/maps/{name}/data", b"1")
        if name != "v2":
            remote.pipe(f"/maps/{name}/success", b"")
    remote.pipe("/maps/v4", b"no folder")
    yield make_maps_config("memory://maps/{tag}"), tmp_path
    remote.rm("/maps", recursive=True)


def test_list(place: tuple[Config, Path]) -> None:
    """Versions are the folders whose names fit, in the order of counting; drafts say why."""
    config, base = place
    url = config.source.url.replace("{tag}", "v2")
    assert list_versions(config, base) == (
        SourceVersion("v1", "ready"),
        SourceVersion("v2", "draft", f"no success at {url}: it has not ended well"),
        SourceVersion("v10", "ready"),
    )


def test_look(place: tuple[Config, Path]) -> None:
    """A ready version is returned; a draft and a missing one are refused with the reason."""
    config, base = place
    assert look_at_version(config, base, "staging", "v10") == SourceVersion("v10", "ready")
    for version, reason in (("v2", "no success at"), ("v9", "nothing at")):
        with pytest.raises(SourceError) as caught:
            look_at_version(config, base, "staging", version)
        expected = f"version {version}: expected a version that is ready, found {reason}"
        assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("environment", "version", "expected"),
    [
        ("stagin", "v1", "environment: expected one of staging, production, got 'stagin'"),
        ("", "v1", "environment: expected one of staging, production, got ''"),
        ("../..", "v1", "environment: expected one of staging, production, got '../..'"),
        ("staging", "../x", "version: expected a version that fits a channel"),
        ("staging", "", "version: expected a version that fits a channel"),
        ("staging", "v1/../v2", "version: expected a version that fits a channel"),
    ],
)
def test_usage(place: tuple[Config, Path], environment: str, version: str, expected: str) -> None:
    """What names no environment, or no version of it, never reaches the source."""
    config, base = place
    with pytest.raises(UsageError) as caught:
        look_at_version(config, base, environment, version)
    assert str(caught.value).startswith(expected)


def test_project_without_environments(tmp_path: Path) -> None:
    """A project whose channels have no root has no environment to publish to."""
    with pytest.raises(UsageError, match="environment: expected a project whose channels have"):
        look_at_version(make_config(), tmp_path, "nightly", "nightly-2025-02-05")


@pytest.mark.parametrize("url", ["versions/{tag}/out", "one", "{tag}/{tag}"])
def test_source_that_cannot_be_listed(tmp_path: Path, url: str) -> None:
    """Versions are listed only where each is a folder of one other; there are none elsewhere."""
    make_version(tmp_path / "versions" / "v1" / "out")
    assert list_versions(make_maps_config(url), tmp_path) == ()


def test_source_of_the_top(tmp_path: Path) -> None:
    """Versions may stand beside the configuration, without a marker, by environment."""
    config = make_maps_config("{channel}/{tag}")
    plain = config.model_copy(
        update={"source": config.source.model_copy(update={"success_marker": ""})}
    )
    make_version(tmp_path / "staging" / "v1", {"data": b"1"}, ready=False)
    make_version(tmp_path / "production" / "v2", {"data": b"1"}, ready=False)
    assert [each.version for each in list_versions(plain, tmp_path)] == ["v1", "v2"]
    assert {each.state for each in list_versions(plain, tmp_path)} == {"ready"}
    assert {each.state for each in list_versions(config, tmp_path)} == {"draft"}


def test_names_that_are_no_versions(tmp_path: Path) -> None:
    """A folder whose name could be an option is none, whatever the pattern of a channel says."""
    channels = {"live": {"tag": ".*", "root": "live", "prefixes": ["{project}"]}}
    for name in ("v1", "-rf", ".git", "a b"):
        make_version(tmp_path / "versions" / name)
    found = list_versions(make_maps_config(channels=channels), tmp_path)
    assert [each.version for each in found] == ["v1"]


def test_no_source(tmp_path: Path) -> None:
    """A source that does not exist yet has no versions."""
    assert list_versions(make_maps_config(), tmp_path) == ()
    assert list_versions(make_maps_config("memory://nothing/{tag}"), tmp_path) == ()


def test_source_that_cannot_be_read(tmp_path: Path) -> None:
    """A source that cannot be asked is an error of one line."""
    (tmp_path / "versions").write_bytes(b"a file")
    with pytest.raises(SourceError, match=r"source\.url: expected a readable folder versions"):
        list_versions(make_maps_config(), tmp_path)
    with pytest.raises(SourceError, match=r"source\.url: expected"):
        list_versions(make_maps_config("nosuch://b/{tag}"), tmp_path)
