"""Deposit a release that is public, from any machine: what the workflow of the deposit runs.

It is pinned to the digest of ``release.json``: whatever is promoted meanwhile, the same bytes go.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from lading.config import LoadedConfig, Zenodo, load_config
from lading.errors import RefusedError, UsageError
from lading.release.environments import STAGING_ROOT, root_of
from lading.release.manifest import Manifest, ManifestFile
from lading.release.names import Prefix, Release, resolve_release
from lading.release.receipts import Stamp, render_receipt
from lading.ship.pinned import fetch_pinned, load_pinned
from lading.ship.target import settle
from lading.storage import Progress, ReadOnly, Store, open_store
from lading.storage.bytes import write_atomically
from lading.tasks.deposits import Cargo, open_deposit


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for, in the words of the workflow's inputs."""

    env: str
    """``sandbox`` or ``production``."""
    source_dir: str
    """URL of a public prefix, e.g. ``s3://bucket/nightly``."""
    ignore_regex: str
    """Searched in keys that are not deposited."""
    manifest: str
    """The sha256 of ``release.json``."""
    publish: bool
    """Publish at once; else a draft is left."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A public prefix, read only."""

    store: Store
    """The store of the public objects."""
    depot: Store
    """The store of the depot."""
    prefix: Prefix
    """The prefix."""


def deposit_public(folder: Path, order: Order, progress: Progress) -> str:
    """Deposit a release from a public prefix; return what was done, in words.

    Effects: a draft or a published version at the service; notes and the receipt below the work
    folder.

    Args:
        folder: of the configuration.
        order: what is asked for.
        progress: told of files and bytes.

    Raises:
        UsageError, RefusedError: the order does not fit the configuration.
        ManifestError: no such release is kept there.
        LadingError: as the deposit does.
    """
    loaded = load_config(folder)
    source = _find_source(loaded, order.source_dir)
    manifest = load_pinned(source.store, source.prefix, order.manifest)
    release = _release_of(loaded, manifest)
    zenodo = _agree(loaded, release, order)
    stamp = Stamp(
        task="zenodo",
        project=release.project,
        channel=release.channel,
        tag=release.tag,
        environment=release.environment,
        manifest_sha256=order.manifest,
    )
    work = loaded.base / loaded.config.work / "deposits" / release.channel / release.tag
    cargo = Cargo(
        config=loaded.config,
        base=loaded.base,
        release=release,
        stamp=stamp,
        manifest=manifest,
        open_file=partial(_fetched, source, progress),
        notes=work,
    )
    target = open_deposit(cargo, zenodo, read_only=False)
    _, receipt = settle(target, progress)
    write_atomically(work / "receipt.json", render_receipt(receipt))
    return target.summary


def _find_source(loaded: LoadedConfig, url: str) -> _Source:
    """Find the destination that a URL belongs to: how it is read stands there."""
    for name, place in loaded.config.destinations.items():
        below = url.removeprefix(f"{place.url.rstrip('/')}/")
        if below == url:
            continue
        channels = loaded.config.channels
        roots = [root_of(loaded.config, each, staging=False) for each in channels]
        root = next((each for each in roots if each and below.startswith(each)), "")
        if not root and f"{below}/".startswith(STAGING_ROOT):
            raise RefusedError(
                f"source-dir: expected a public prefix, got {url!r}, which staging wrote"
            )
        stores = [
            ReadOnly(open_store(each, loaded.base, options=place))
            for each in (place.url, place.depot or place.url)
        ]
        inside = below.removeprefix(root).rstrip("/")
        prefix = Prefix(destination=name, name=inside, root=root, immutable=False)
        return _Source(stores[0], stores[1], prefix)
    known = ", ".join(each.url for each in loaded.config.destinations.values())
    raise UsageError(
        f"source-dir: expected a prefix of a destination in {loaded.path.name} ({known}),"
        f" got {url!r}"
    )


def _release_of(loaded: LoadedConfig, manifest: Manifest) -> Release:
    if manifest.project != loaded.config.project.name:
        raise UsageError(
            f"{loaded.path.name}: expected the configuration of project {manifest.project},"
            f" found that of {loaded.config.project.name}"
        )
    return resolve_release(loaded.config, manifest.channel, manifest.tag, staging=False)


def _agree(loaded: LoadedConfig, release: Release, order: Order) -> Zenodo:
    """Return what the channel says of deposits, with what was asked for; env must agree."""
    zenodo = loaded.config.channels[release.channel].zenodo
    place = f"{loaded.path.name}: channels.{release.channel}.zenodo"
    if zenodo is None:
        raise RefusedError(f"{place}: expected a deposit, found none")
    if zenodo.env != order.env:
        raise RefusedError(
            f"{place}.env: expected {order.env!r} as was asked, found {zenodo.env!r}"
        )
    asked = {"publish": order.publish, "ignore": order.ignore_regex, "dispatch": None}
    return zenodo.model_copy(update=asked)


class Lines(Progress):
    """Says in a line that a file was sent: for a log, which has no bars.

    Args:
        out: where to.
    """

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self._out = out

    def finish_file(self, name: str) -> None:
        """Say so."""
        self._out.write(f"sent {name}\n")
        self._out.flush()


@contextmanager
def _fetched(source: _Source, progress: Progress, file: ManifestFile) -> Iterator[Path]:
    """Give a file while it is sent; one at a time a thread, so that no disk need hold them all."""
    with tempfile.TemporaryDirectory(prefix="lading-") as folder:
        path = Path(folder) / "file"
        fetch_pinned(source.depot, source.prefix.root, file, path, progress)
        yield path
