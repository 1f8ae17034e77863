"""Tests of environments: roots, and the runs that may write below them."""

from typing import Any

import pytest

from lading.errors import UsageError
from lading.release.environments import environment_of, has_roots, is_safe, root_of
from lading.release.names import (
    Release,
    resolve_channel,
    resolve_everything,
    resolve_release,
    tagged_prefixes,
)
from tests.fakes.publishing import make_maps_config
from tests.unit.release.test_names import make_config


def resolve(environment: str = "staging", **more: Any) -> Release:
    """Resolve the first version of the maps."""
    return resolve_release(make_maps_config(**more), environment, "v1", staging=False)


def test_everything_below_the_root() -> None:
    """Every key that a run of an environment may use begins with its root."""
    release = resolve()
    (destination,) = release.destinations
    (prefix,) = release.prefixes
    keys = [
        destination.depot_prefix,
        destination.manifest_key("v1"),
        prefix.key_prefix,
        prefix.lock_key,
        prefix.history_prefix,
    ]
    assert keys == [
        "staging/.lading/objects/",
        "staging/.lading/releases/staging/v1.json",
        "staging/maps/",
        "staging/.lading/locks/maps",
        "staging/.lading/history/maps/",
    ]


def test_an_environment_called_staging_is_no_rehearsal() -> None:
    """Nothing is skipped, and what is immutable stays so, in an environment of that name."""
    channel = {
        "tag": r"v\d+",
        "root": "staging",
        "prefixes": ["{tag}"],
        "immutable": ["{tag}"],
        "hold": ["{tag}"],
        "branch": "live",
    }
    release = resolve(channels={"staging": channel})
    (prefix,) = release.prefixes
    assert (release.environment, release.is_staging, release.is_published) == (
        "staging",
        False,
        True,
    )
    assert (prefix.immutable, prefix.hold_skipped, prefix.owned) == (True, "", False)
    assert [each.skipped for each in release.calls] == [""]


def test_siblings() -> None:
    """What other environments hold is known by their depots; a release's own is none of them."""
    config = make_maps_config()
    for name, other in (("staging", "production"), ("production", "staging")):
        (destination,) = resolve_channel(config, name, staging=False)
        assert destination.sibling_depot_prefixes == (f"{other}/.lading/objects/",)
        assert destination.environment == name


def test_everything() -> None:
    """Each destination is named once a root, with the prefixes below it."""
    found = resolve_everything(make_maps_config(), staging=False)
    assert [(each.name, each.root, [p.name for p in each.prefixes]) for each in found] == [
        ("gcs", "staging/", ["maps"]),
        ("gcs", "production/", ["maps"]),
    ]


def test_tagged() -> None:
    """A prefix of a version's own is named with the project's name in it."""
    channel = {"tag": ".*", "root": "live", "prefixes": ["{project}", "old/{project}/{tag}"]}
    config = make_maps_config(channels={"live": channel})
    assert tagged_prefixes(config, "live", "v3") == ("old/maps/v3",)


def test_no_staging() -> None:
    """A rehearsal of an environment is refused, with the word that names environments."""
    expected = (
        "staging: expected no staging=1, since each channel is an environment of its own;"
        " say environment= with one of staging, production"
    )
    config = make_maps_config()
    for ask in (
        lambda: resolve_release(config, "production", "v1", staging=True),
        lambda: resolve_channel(config, "production", staging=True),
        lambda: resolve_everything(config, staging=True),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("environment", "version", "expected"),
    [
        (
            "stagin",
            "v1",
            (
                "environment: expected one of staging, production, got 'stagin'"
                " (did you mean 'staging'?)"
            ),
        ),
        ("", "v1", "environment: expected one of staging, production, since 'v1' fits each"),
        ("staging", "../x", "version: expected a version that fits a channel (staging: "),
        ("staging", "1", "version: expected a version that fits a channel (staging: "),
    ],
)
def test_words(environment: str, version: str, expected: str) -> None:
    """Refusals speak of environments and versions, not of types and tags."""
    with pytest.raises(UsageError) as caught:
        resolve_release(make_maps_config(), environment, version, staging=False)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("version", ["../x", "a/b", ".x", "-rf", "a b", "", "x\n", "..", "é"])
def test_unsafe(version: str) -> None:
    """A version that could lead out of a folder is none, whatever the pattern says."""
    assert not is_safe(version)
    channels = {"live": {"tag": r"(?s).*", "root": "live", "prefixes": ["{project}"]}}
    with pytest.raises(UsageError, match="expected letters, digits"):
        resolve_release(make_maps_config(channels=channels), "live", version, staging=False)


def test_roots() -> None:
    """Channels without a root have two environments; those with one are environments."""
    plain, maps = make_config(), make_maps_config()
    assert (has_roots(plain), has_roots(maps)) == (False, True)
    assert [root_of(plain, "", staging=each) for each in (False, True)] == ["", "staging/"]
    assert root_of(maps, "production", staging=False) == "production/"
    found = environment_of(plain, "nightly", staging=True)
    assert (found.name, found.root, found.siblings, found.is_staging) == (
        "staging",
        "staging/",
        ("",),
        True,
    )
