"""Tests of what a configuration may say of datasets, and of what a dataset comes to."""

from typing import Any

import pytest

from lading.config.dataset_rules import find_dataset, plan_datasets
from lading.config.load import parse_config
from lading.errors import ConfigError, UsageError

KUBERNETES: dict[str, Any] = {
    "context": "test",
    "namespace": "data",
    "repository": "registry.example/weather",
    "base": "s3://weather/",
    "ext": "zarr",
    "version": {"file": "datasets/{dataset}/zarr.json", "key": "attributes.dataset_version"},
    "cronjobs": "k8s/{dataset}.yaml",
}


def table(kubernetes: dict[str, Any] | None = None, **datasets: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of datasets alone."""
    return {
        "project": {"name": "weather"},
        "kubernetes": KUBERNETES if kubernetes is None else kubernetes,
        "datasets": datasets,
    }


def problems(given: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse_config(given, "lading.toml")
    return list(caught.value.problems)


def test_a_dataset_takes_what_all_share() -> None:
    """An empty table is a whole dataset where [kubernetes] says the rest."""
    plan = plan_datasets(parse_config(table(gfs={}), "lading.toml"))["gfs"]
    assert (plan.context, plan.namespace) == ("test", "data")
    assert plan.version.file == "datasets/gfs/zarr.json"
    assert plan.cronjobs == "k8s/gfs.yaml"
    assert plan.store_urls("0.3.0") == ("s3://weather/gfs/v0.3.0.zarr",)
    assert plan.monitors == ()


def test_its_own_word_goes_first() -> None:
    """What a dataset says itself counts, its replicas included."""
    own = {
        "version": "1.0",
        "store": "{base}/old/{version}.{ext}",
        "replicas": ["{base}/{dataset}/v{version}.icechunk"],
        "base": "gs://other",
        "namespace": "legacy",
        "context": "second",
        "cronjobs": "jobs.kubernetes:cron_jobs",
    }
    plan = find_dataset(parse_config(table(gfs=own), "lading.toml"), "gfs")
    assert (plan.context, plan.namespace, plan.version.value) == ("second", "legacy", "1.0")
    assert plan.store_urls("1.0") == ("gs://other/old/1.0.zarr", "gs://other/gfs/v1.0.icechunk")
    assert plan.cronjobs == "jobs.kubernetes:cron_jobs"


@pytest.mark.parametrize(
    ("monitors", "expected"), [(None, None), (["update"], ("update",)), ([], ())]
)
def test_monitors(monitors: list[str] | None, expected: tuple[str, ...] | None) -> None:
    """With Sentry all roles are watched, unless the dataset names those that are."""
    kubernetes = {**KUBERNETES, "sentry": {"organization": "weather"}}
    own = {} if monitors is None else {"monitors": monitors}
    config = parse_config(table(kubernetes, gfs=own), "lading.toml")
    assert plan_datasets(config)["gfs"].monitors == expected


def test_the_nearest_dataset_is_named() -> None:
    """A misspelt dataset is an error that names the nearest."""
    config = parse_config(table(**{"noaa-gfs-analysis": {}, "noaa-hrrr": {}}), "lading.toml")
    with pytest.raises(UsageError) as caught:
        find_dataset(config, "noaa-gfs-analisys")
    assert str(caught.value) == (
        "dataset: expected one of the 2 datasets of the configuration, got 'noaa-gfs-analisys'"
        " (did you mean 'noaa-gfs-analysis'?)"
    )


@pytest.mark.parametrize("field", ["context", "namespace", "version", "cronjobs"])
def test_what_is_missing(field: str) -> None:
    """What neither a dataset nor [kubernetes] says is an error that names both places."""
    kubernetes = {name: value for name, value in KUBERNETES.items() if name != field}
    assert problems(table(kubernetes, gfs={})) == [
        (
            f"lading.toml: datasets.gfs.{field}: expected a value here or in kubernetes.{field},"
            " got none"
        )
    ]


@pytest.mark.parametrize("field", ["base", "ext"])
def test_a_store_needs_its_parts(field: str) -> None:
    """The pattern of the store must find what it uses."""
    kubernetes = {name: value for name, value in KUBERNETES.items() if name != field}
    assert problems(table(kubernetes, gfs={})) == [
        (
            f"lading.toml: datasets.gfs.{field}: expected a value here or in kubernetes.{field},"
            " which '{base}/{dataset}/v{version}.{ext}' needs, got none"
        )
    ]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"version": {"file": "a.json"}}, "version.key: expected the version's key in a.json"),
        ({"version": {"value": "1", "file": "a.json"}}, "version: expected either a version or"),
        ({"version": {}}, "version: expected either a version or file and key, got neither"),
        ({"version": {"file": "a.py", "key": "v"}}, "version.file: expected a .json or .toml"),
        ({"version": {"file": "/a.json", "key": "v"}}, "version.file: expected a path inside"),
        ({"store": "{bucket}/x"}, "store: expected a URL that may use {base}"),
        ({"store": "https://me:secret@host/x"}, "store: expected a URL that may use {base}"),
        ({"cronjobs": "k8s/all.txt"}, "cronjobs: expected a path such as 'k8s/{dataset}.yaml'"),
        ({"cronjobs": "../k8s/all.yaml"}, "cronjobs: expected a path inside the repository"),
        ({"monitors": ["update"]}, "monitors: expected [kubernetes.sentry] beside it, got none"),
        ({"namespace": "Data"}, "namespace: expected a name of at most 63 small letters"),
        ({"context": "-x"}, "context: expected a context of kubectl's"),
    ],
)
def test_bad_values(own: dict[str, Any], expected: str) -> None:
    """Each impossible value is told in one line, at its place."""
    (found,) = problems(table(gfs=own))
    assert found.startswith(f"lading.toml: datasets.gfs.{expected}")


@pytest.mark.parametrize("name", ["a/b", "", "-a", "a b", "a..b", "a-"])
def test_names_of_datasets(name: str) -> None:
    """A dataset's name has to stand in a branch and a URL."""
    (found,) = problems(table(**{name: {}}))
    assert "expected a name of letters, digits, '.', '-' and '_'" in found


def test_datasets_need_kubernetes() -> None:
    """Datasets alone are no configuration; channels are not asked for beside them."""
    given = table(gfs={})
    del given["kubernetes"]
    assert problems(given) == ["lading.toml: kubernetes: expected a value, got nothing"]


def test_channels_beside_datasets_need_their_own() -> None:
    """Where there are channels, source and destinations are asked for as ever."""
    given = table(gfs={}) | {"channels": {"nightly": {"tag": "n", "prefixes": ["nightly"]}}}
    assert problems(given) == [
        "lading.toml: source: expected a value, got nothing",
        "lading.toml: destinations: expected a value, got nothing",
    ]
