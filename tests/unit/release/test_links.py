"""Where a browser finds what is public."""

import pytest

from lading.release.links import prefix_url, public_url
from lading.release.names import resolve_release
from tests.unit.release.test_names import make_config


@pytest.mark.parametrize(
    ("url", "region", "endpoint", "expected"),
    [
        ("gs://data.example.org/a", "", "", "https://storage.googleapis.com/data.example.org/a"),
        ("s3://bucket", "", "", "https://bucket.s3.amazonaws.com"),
        ("s3://bucket/a/b/", "eu-west-1", "", "https://bucket.s3.eu-west-1.amazonaws.com/a/b/"),
        ("s3://data.org/a", "us-west-2", "", "https://s3.us-west-2.amazonaws.com/data.org/a"),
        ("s3://bucket/a", "x", "https://s3.example.org", "https://s3.example.org/bucket/a"),
        ("build/clouds/gcs", "", "", ""),
        ("file:///data", "", "", ""),
        ("memory://x", "", "https://s3.example.org", ""),
    ],
)
def test_public_url(url: str, region: str, endpoint: str, expected: str) -> None:
    """A place in a cloud has the URL that its vendor documents; a folder has none."""
    assert public_url(url, region=region, endpoint=endpoint) == expected


@pytest.mark.parametrize("staging", [True, False])
def test_prefix_url(*, staging: bool) -> None:
    """A prefix ends in a slash, and stands below staging/ where the run does."""
    config = make_config()
    release = resolve_release(config, "", "nightly-2025-02-05", staging=staging)
    root = "staging/" if staging else ""
    urls = [prefix_url(config, release, each) for each in release.prefixes]
    places = [config.destinations[each.destination].url for each in release.prefixes]
    expected = [
        f"{public_url(place)}/{root}{each.name}/" if public_url(place) else ""
        for place, each in zip(places, release.prefixes, strict=True)
    ]
    assert urls == expected
    assert any(urls)
