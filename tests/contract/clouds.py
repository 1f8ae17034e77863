"""The stores of the contract suite that speak to a server: started once, a bucket a store."""

import atexit
import hashlib
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from lading.config.models import Destination
from lading.storage import Store, open_store
from lading.storage.open import _open_cloud
from tests.fakes.gcs import FakeGcs
from tests.fakes.s3 import FakeS3

_STARTED = ExitStack()
atexit.register(_STARTED.close)


@cache
def s3_server() -> FakeS3:
    """Start S3 once in this process; the environment of the process names it."""
    server = _STARTED.enter_context(FakeS3())
    os.environ.update(server.environment)
    return server


@cache
def gcs_server() -> FakeGcs:
    """Start Google Cloud Storage once in this process."""
    return _STARTED.enter_context(FakeGcs())


def bucket_of(folder: Path) -> str:
    """Name a bucket that stands for a folder."""
    return f"bucket-{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}"


def open_s3(folder: Path, *, below: str = "", root: str = "") -> Store:
    """Open the S3 store that stands for a folder; its bucket is made."""
    name = bucket_of(folder)
    s3_server().create_bucket(name)
    url = f"s3://{name}{below}"
    options = Destination(url=url, endpoint=s3_server().url)
    return _open(url, folder, root, options)


def open_gcs(folder: Path, *, below: str = "", root: str = "") -> Store:
    """Open the Google Cloud Storage store that stands for a folder; its bucket is made."""
    name = bucket_of(folder)
    gcs_server().create_bucket(name)
    url = f"gs://{name}{below}"
    options = Destination(url=url, endpoint=gcs_server().url, anonymous=True)
    return _open(url, folder, root, options)


def _open(url: str, folder: Path, root: str, options: Destination) -> Store:
    """Open a store that ends with its test: hundreds would keep thousands of connections."""
    store = open_store(url, folder, root=root, options=options)
    _open_cloud.cache_clear()
    return store
