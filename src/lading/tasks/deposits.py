"""What a deposit at Zenodo is made of: settings, metadata, files; from this machine or a bucket."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lading.config import Config, Zenodo
from lading.errors import ServiceError
from lading.release.links import prefix_url
from lading.release.manifest import Manifest, ManifestFile, documents_of
from lading.release.names import Release
from lading.release.receipts import Stamp
from lading.services.citation import load_metadata, relate
from lading.services.deposit_plan import DepositFile, require_limits
from lading.services.inveniordm import open_deposits
from lading.services.journal import Journal
from lading.services.zenodo import DepositSettings, DepositTarget

TOKENS = {"sandbox": "ZENODO_SANDBOX_TOKEN", "production": "ZENODO_TOKEN"}
"""Variables that hold the token where the configuration names none."""
_GIGABYTE = 10**9
OpenFile = Callable[[ManifestFile], AbstractContextManager[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """A release on its way into a deposit."""

    config: Config
    """The configuration."""
    base: Path
    """Folder of the configuration."""
    release: Release
    """The release."""
    stamp: Stamp
    """What the receipt says of it."""
    manifest: Manifest | None
    """What is released; None before there is a manifest."""
    open_file: OpenFile
    """Gives a public file while it is sent."""
    notes: Path
    """Folder of what calls have begun."""


def open_deposit(cargo: Cargo, zenodo: Zenodo, *, read_only: bool) -> DepositTarget:
    """Return the deposit of a release as a target.

    Args:
        cargo: the release.
        zenodo: which service, and what is wanted of it.
        read_only: refuse whatever could change something.

    Raises:
        GuardError: the run is one of staging.
        ServiceError: there is no token, where one is needed; or a file has no md5.
        ConfigError: the metadata is not enough.
    """
    release, manifest = cargo.release, cargo.manifest
    variable = zenodo.token_variable or TOKENS[zenodo.env]
    token = os.environ.get(variable, "")
    if not token and not (read_only and manifest):
        raise ServiceError(f"{variable}: expected a token in the environment, found none")
    api = open_deposits(
        zenodo.env,
        environment="staging" if release.is_staging else "production",
        token=token,
        url=zenodo.url,
        read_only=read_only,
    )
    # of the tag, not of the manifest: the draft may have been begun before there was one
    key = f"{release.project} {release.channel} {release.tag}"
    return DepositTarget(
        api,
        _settings(cargo, zenodo, variable),
        _metadata(cargo),
        deposit_files(manifest, zenodo.ignore, cargo.open_file) if manifest else [],
        cargo.stamp,
        Journal(cargo.notes / "zenodo.json", key),
    )


def require_room(manifest: Manifest, zenodo: Zenodo) -> None:
    """Require that a deposit may have the files of a release.

    Raises:
        ServiceError: it may not, with every reason.
    """

    def open_none(file: ManifestFile) -> AbstractContextManager[Path]:
        raise AssertionError(file.key)

    files = deposit_files(manifest, zenodo.ignore, open_none)
    require_limits(files, zenodo.max_files, zenodo.max_gigabytes * _GIGABYTE)


def deposit_files(manifest: Manifest, ignore: str, open_file: OpenFile) -> list[DepositFile]:
    """Return the files of a deposit: those that are not ignored, and the two documents.

    Raises:
        ServiceError: the manifest has no md5 of one of them.
    """
    chosen = [each for each in manifest.files if not (ignore and re.search(ignore, each.key))]
    for each in chosen:
        if not each.md5:
            raise ServiceError(
                f"release.json: expected the md5 of {each.key}, found none",
                hint="it was released with another `ignore`; use that, or release it again",
            )
    files = [
        DepositFile(each.key, each.size_bytes, each.md5 or "", partial(open_file, each))
        for each in chosen
    ]
    return files + [
        DepositFile(key, len(data), hashlib.md5(data).hexdigest(), partial(_as_file, key, data))  # noqa: S324  what InvenioRDM tells
        for key, data in documents_of(manifest).items()
    ]


def _settings(cargo: Cargo, zenodo: Zenodo, variable: str) -> DepositSettings:
    return DepositSettings(
        project=cargo.release.project,
        channel=cargo.release.channel,
        tag=cargo.release.tag,
        manifest_sha256=cargo.stamp.manifest_sha256,
        concept=zenodo.concept,
        publish=zenodo.publish,
        doi=zenodo.doi,
        expected_doi=(cargo.manifest.doi if cargo.manifest else "") or "",
        max_files=zenodo.max_files,
        max_bytes=zenodo.max_gigabytes * _GIGABYTE,
        token_variable=variable,
    )


def _metadata(cargo: Cargo) -> dict[str, Any]:
    """Return what the record says of itself, with where else the release is."""
    config, release = cargo.config, cargo.release
    metadata = load_metadata(config.metadata, cargo.base / config.project.repository)
    # what stands below a prefix of its own stays; a moving one is named only where there is none
    lasting = [each for each in release.prefixes if release.tag in each.name]
    urls = [prefix_url(config, release, each) for each in lasting or release.prefixes]
    return relate(metadata, github=config.project.github, tag=release.tag, urls=urls)


@contextmanager
def _as_file(key: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lading-") as folder:
        path = Path(folder) / key
        path.write_bytes(data)
        yield path
