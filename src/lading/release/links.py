"""Where a person's browser finds what a release made public."""

from lading.config.models import Config
from lading.release.layout import RELEASE_KEY
from lading.release.names import Prefix, Release


def public_url(url: str, *, region: str = "", endpoint: str = "") -> str:
    """Return the https URL of a place in a cloud; "" of a place that has none.

    Args:
        url: ``gs://bucket/key`` or ``s3://bucket/key``.
        region: S3: region of the bucket.
        endpoint: URL of the service where it is not the cloud's own.

    Source: Google Cloud Storage, "Request endpoints"; Amazon S3, "Methods for accessing a
    bucket": a bucket with dots has no certificate of its own, so it stands in the path.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in {"gs", "s3"}:
        return ""
    if endpoint:
        return f"{endpoint}/{rest}"
    if scheme == "gs":
        return f"https://storage.googleapis.com/{rest}"
    bucket, _, key = rest.partition("/")
    host = f"s3.{region}.amazonaws.com" if region else "s3.amazonaws.com"
    place = f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"
    return f"{place}/{key}" if key else place


def prefix_url(config: Config, release: Release, prefix: Prefix) -> str:
    """Return the https URL of a public prefix, ending in a slash; "" where it has none."""
    place = config.destinations[prefix.destination]
    if config.publish.base_url and prefix.destination == release.destinations[0].name:
        return f"{config.publish.base_url}/{prefix.key_prefix}"
    root = next(each.url for each in release.destinations if each.name == prefix.destination)
    url = f"{root.rstrip('/')}/{prefix.key_prefix}"
    return public_url(url, region=place.region, endpoint=place.endpoint)


def document_url(config: Config, release: Release) -> str:
    """Return where the ``release.json`` of a version is found: its first prefix, first destination.

    An https URL where that is known; else the place as it is configured.
    """
    destination = release.destinations[0]
    prefix = destination.prefixes[0]
    folder = f"{destination.url.rstrip('/')}/{prefix.key_prefix}"
    return f"{prefix_url(config, release, prefix) or folder}{RELEASE_KEY}"


def assets_url(config: Config, release: Release) -> str:
    """Return the https URL of the folder in which a version's assets are found; "" of none.

    That of the version's own prefix where it has one, since what stands there is never another
    version's; else that of the first.
    """
    destination = release.destinations[0]
    templates = config.channels[release.channel].prefixes
    pairs = zip(templates, destination.prefixes, strict=True)
    own = next((prefix for template, prefix in pairs if "{tag}" in template), None)
    return prefix_url(config, release, own or destination.prefixes[0])
