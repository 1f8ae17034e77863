"""One contract for every store, and the stores that keep it.

This room is the only door to fsspec, s3fs and gcsfs. It never decides what a release needs.
"""

from lading.storage.contract import (
    ALWAYS,
    IF_ABSENT,
    NO_ATTRIBUTES,
    Attributes,
    Body,
    Condition,
    Entry,
    Store,
    Unfinished,
)
from lading.storage.guard import ReadOnly, StagingGuard
from lading.storage.local import LocalStore
from lading.storage.memory import MemoryStore
from lading.storage.open import open_store
from lading.storage.progress import NO_PROGRESS, Progress

__all__ = [
    "ALWAYS",
    "IF_ABSENT",
    "NO_ATTRIBUTES",
    "NO_PROGRESS",
    "Attributes",
    "Body",
    "Condition",
    "Entry",
    "LocalStore",
    "MemoryStore",
    "Progress",
    "ReadOnly",
    "StagingGuard",
    "Store",
    "Unfinished",
    "open_store",
]
