"""The durable marker of a run, in the store that the job writes to.

In progress, with an owner and a lease; then done with outputs and digests, or failed. How it is
taken, renewed and ended: ``lading.jobs.leases``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from lading.errors import LeaseError, MissingObjectError
from lading.jobs.audit_events import Link, parse_link
from lading.jobs.keys import ROOT, marker_key
from lading.storage import Store
from lading.storage.cloud import each_at_once

State = Literal["in progress", "done", "failed"]
"""How far a run is. ``failed`` holds no lease: the next run takes over at once."""

_FOREIGN_HINT = "look at it, and remove it if nobody runs this job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker as it stands in the store."""

    job: str
    """Name of the job."""
    identity: str
    """Key of the run's identity."""
    state: State
    """How far it is. ``failed`` holds no lease: the next run takes over at once."""
    run_id: str
    """UUID of the last try."""
    attempt: int
    """Number of the last try, from 1."""
    owner: str
    """Process and host, for people."""
    process: str
    """The process, see ``lading.storage.owner``."""
    started_at: datetime
    """When the last try began; aware, UTC."""
    expires_at: datetime
    """Until when its lease stands, unless it is renewed; aware, UTC."""
    exit_code: int | None
    """How it ended; None while it is in progress."""
    message: str
    """What it said at its end, or ""."""
    outputs: int
    """How many objects it wrote."""
    outputs_sha256: str
    """Digest of the list of what it wrote (``keys.listing_key``), or "" before its end."""
    version: str
    """The store's version of the marker."""
    audit: Link | None = None
    """The event of the audit trail that says that it is done, or None."""

    @property
    def key(self) -> str:
        """Its key."""
        return marker_key(self.job, self.identity)


def render_marker(marker: Marker) -> bytes:
    """Return the text of a marker, without its version. Pure."""
    table: dict[str, Any] = {
        name: getattr(marker, name) for name in Marker.__dataclass_fields__ if name != "version"
    }
    table |= {
        "started_at": marker.started_at.isoformat(),
        "expires_at": marker.expires_at.isoformat(),
        "audit": marker.audit.table() if marker.audit else "",
    }
    return (json.dumps(table, indent=1) + "\n").encode()


def parse_marker(data: bytes, key: str, version: str) -> Marker:
    """Read a marker as ``render_marker`` wrote it. Pure.

    Args:
        data: its text.
        key: where it stands: it must be the marker of just this run.
        version: the store's version of it.

    Raises:
        ValueError: it is none, or another's.
    """
    try:
        table = json.loads(data)
        marker = _read_table(table, version)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"expected the fields of a marker: {error!r}") from error
    if marker.key != key:
        raise ValueError(f"expected the marker of {key}, found that of {marker.key}")
    return marker


def load_marker(store: Store, key: str) -> Marker | None:
    """Read the marker under a key, or None where none stands.

    Raises:
        LeaseError: what stands there is no marker of ours.
    """
    entry = store.stat(key)
    if entry is None:
        return None
    try:
        # the version is the older of both: a write on its condition fails where they do not fit
        return parse_marker(store.get(key), key, entry.version)
    except MissingObjectError:
        return None
    except ValueError as error:
        raise LeaseError(
            f"{store.url}/{key}: expected a marker of Lading, found another object",
            hint=_FOREIGN_HINT,
        ) from error


def marker_keys(store: Store, job: str = "") -> list[str]:
    """Return the keys of the markers of a job, or of all jobs, sorted."""
    prefix = f"{ROOT}{job}/runs/" if job else ROOT
    return [each.key for each in store.list(prefix) if _is_marker(each.key)]


def load_markers(store: Store, job: str = "") -> list[Marker]:
    """Return the markers of a job's runs, or of all jobs', by job and identity.

    Raises:
        LeaseError: one is no marker of ours.
    """
    keys = marker_keys(store, job)
    found = each_at_once(lambda key: load_marker(store, key), keys, workers=store.workers)
    return [each for each in found if each is not None]


def _is_marker(key: str) -> bool:
    job, _, name = key.removeprefix(ROOT).partition("/runs/")
    return bool(job) and "/" not in job and "/" not in name and name.endswith(".json")


def _read_table(table: Mapping[str, Any], version: str) -> Marker:
    if table["state"] not in get_args(State):
        raise ValueError(f"expected a state, found {table['state']!r}")
    exit_code = table["exit_code"]
    return Marker(
        job=str(table["job"]),
        identity=str(table["identity"]),
        state=table["state"],
        run_id=str(table["run_id"]),
        attempt=int(table["attempt"]),
        owner=str(table["owner"]),
        process=str(table["process"]),
        started_at=_parse_moment(table["started_at"]),
        expires_at=_parse_moment(table["expires_at"]),
        exit_code=None if exit_code is None else int(exit_code),
        message=str(table["message"]),
        outputs=int(table["outputs"]),
        outputs_sha256=str(table["outputs_sha256"]),
        version=version,
        audit=parse_link(table["audit"]) if table["audit"] else None,
    )


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, found {text!r}")
    return moment
