"""Where a job reads and writes: from what a person calls it to a store and a prefix."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from lading.errors import BadDataError, MisconfiguredError
from lading.storage import Entry, Store

CONTROL = ".lading/"
"""Where Lading keeps what it remembers, below the root of every store; never data."""
# "Bucket naming rules", S3 User Guide: 3 to 63 small letters, digits, dots and hyphens
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_URL = re.compile(r"(file|memory|s3|gs|gcs)://(?P<rest>.*)", re.DOTALL)
_EXPECTED = (
    "a bucket's name, a URL such as 's3://bucket/folder', or a path such as './folder',"
    " without user, password or query"
)


def place_url(value: str) -> str:
    """Return the URL or path that a place means: the name of a bucket alone is one of S3.

    Raises:
        PydanticCustomError: it is no place.
    """
    found = _URL.fullmatch(value)
    rest = found["rest"] if found else value
    has_control = any(not char.isprintable() for char in value)
    has_secret = found and ("@" in rest.partition("/")[0] or "?" in rest)
    is_elsewhere = not found and "://" in value
    if not rest.strip("/ ") or has_control or has_secret or is_elsewhere:
        raise PydanticCustomError("expected", "{what}", {"what": _EXPECTED})
    is_bucket = not found and _BUCKET.fullmatch(value) and ".." not in value
    return f"s3://{value}" if is_bucket else value


Place = Annotated[str, AfterValidator(place_url)]
"""Type of an argument that names a place; its value is a URL or a path."""


def kind_of(store: Store) -> str:
    """Return what kind of store it is: ``s3``, ``gs``, ``memory``, or ``folder``."""
    scheme, separator, _ = store.url.partition("://")
    return scheme if separator else "folder"


def locate(store: Store, prefix: str = "") -> str:
    """Return the URL of a prefix in a store: equal for equal places. Ends as the prefix does."""
    root = store.url if "://" in store.url else str(Path(store.url).resolve())
    return f"{root.rstrip('/')}/{prefix}"


def list_data(store: Store, prefix: str, *, allow_empty: bool = False) -> list[Entry]:
    """List the objects below a prefix, but for what Lading itself keeps there; sorted by key.

    Args:
        store: a place that is to exist.
        prefix: "" or ending in a slash.
        allow_empty: whether there may be none.

    Raises:
        MisconfiguredError: it is a folder that does not exist.
        BadDataError: there is none.
        StoreError: it cannot be read: no such bucket, or it is denied.
    """
    if kind_of(store) == "folder" and not Path(store.url).exists():
        raise MisconfiguredError(
            f"{store.url}: expected a folder, found none", hint="is it spelt as it is there?"
        )
    entries = [each for each in store.list(prefix) if not each.key.startswith(CONTROL)]
    if not entries and not allow_empty:
        raise BadDataError(
            f"{locate(store, prefix)}: expected objects, found none",
            hint="is it the right prefix? --allow-empty where this is no fault",
        )
    return entries
