"""Tests of who a CronJob is, and of how that is written down and read back."""

import dataclasses

import pytest

from lading.errors import UsageError
from lading.k8s.identity import (
    Identity,
    branch_of,
    check_version,
    identity_of,
    label_value,
    parse_branch,
)
from tests.unit.k8s.live_objects import PRODUCTION, STAGED, cron_job, live_body


def test_read_back() -> None:
    """What is written on an object is the whole identity again."""
    assert identity_of(live_body(cron_job(STAGED))) == STAGED
    assert identity_of(live_body(cron_job(PRODUCTION))) == PRODUCTION


def test_raw_and_fit() -> None:
    """Annotations hold the raw text, labels what Kubernetes lets stand there."""
    odd = dataclasses.replace(STAGED, dataset="GFS_" + "x" * 70, version="0.3.0+b1")
    assert odd.annotations("update", "5" * 64, "")["lading/version"] == "0.3.0+b1"
    labels = odd.labels("update")
    assert all(len(value) <= 63 and "+" not in value for value in labels.values())
    assert labels["app.kubernetes.io/managed-by"] == "lading"


@pytest.mark.parametrize("labels", [{}, {"app.kubernetes.io/managed-by": "Helm"}])
def test_not_ours(labels: dict[str, str]) -> None:
    """An object without our label is not ours, whatever its annotations say."""
    body = live_body(cron_job(STAGED))
    body["metadata"]["labels"] = labels
    assert identity_of(body) is None


def test_our_label_alone_is_no_identity() -> None:
    """Our label without a raw identity is nobody's release."""
    body = live_body(cron_job(STAGED))
    body["metadata"]["annotations"] = {}
    assert identity_of(body) is None


def test_release_key() -> None:
    """Each staged version is a release of its own; production is one a dataset."""
    later = dataclasses.replace(STAGED, version="0.4.0")
    assert later.release != STAGED.release
    assert dataclasses.replace(PRODUCTION, version="0.3.0").release == PRODUCTION.release
    assert dataclasses.replace(PRODUCTION, version="0.3.0").release != STAGED.release
    assert dataclasses.replace(STAGED, project="other").release != STAGED.release
    assert dataclasses.replace(STAGED, commit="c", image="d").release == STAGED.release


def test_key_is_not_fooled() -> None:
    """Two releases whose parts run together have keys of their own."""
    one = Identity(project="a", environment="staging", dataset="b", version="c")
    other = Identity(project="a", environment="staging", dataset="bc", version="")
    assert one.release != other.release


@pytest.mark.parametrize(
    ("dataset", "version"),
    [
        ("noaa-gfs-analysis", "0.3.0"),
        ("ecmwf-ifs-ens-forecast-15-day-0-25-degree", "2026.01.01-rc1"),
        ("a.b_c", "0.3.0+b1"),
        ("x-v2", "1"),
    ],
)
def test_branch(dataset: str, version: str) -> None:
    """A branch names dataset and version, and is read back."""
    assert parse_branch(branch_of(dataset, version)) == (dataset, version)


@pytest.mark.parametrize(
    "branch",
    [
        "main",
        "stage/x",
        "stage/x/0.3.0",
        "stage//v1",
        "stage/x/v",
        "stage/x/y/v1",
        "stage/x/v$(id)",
    ],
)
def test_bad_branch(branch: str) -> None:
    """Any other branch is an error that shows the form and the branch."""
    with pytest.raises(UsageError) as caught:
        parse_branch(branch)
    assert "expected stage/{dataset}/v{version}" in str(caught.value)
    assert repr(branch) in str(caught.value)


@pytest.mark.parametrize("version", ["", "-1", "a/b", "1..2", "1 2", "$(id)"])
def test_bad_version(version: str) -> None:
    """A version that could not stand in a branch or a URL is refused."""
    with pytest.raises(UsageError, match="version: expected letters, digits"):
        check_version(version)


def test_label_value() -> None:
    """A label begins and ends with a letter or digit."""
    assert label_value("a+b") == "a-b"
    assert label_value("x" * 62 + "-y") == "x" * 62
