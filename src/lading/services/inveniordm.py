"""The records API of InvenioRDM, as Zenodo, its sandbox and institutions run it: a method a call.

Nothing is decided here. Source: InvenioRDM documentation, "REST API: Drafts and records".
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lading.errors import GuardError, ServiceError
from lading.services.rest import FileBody, RestClient
from lading.storage.progress import Progress

# Zenodo's plain JSON is the legacy shape, while it takes the new one (zenodo-rdm#1078)
ACCEPT = "application/vnd.inveniordm.v1+json"
HOSTS = {"sandbox": "https://sandbox.zenodo.org", "production": "https://zenodo.org"}
NAMES = {"sandbox": "Zenodo's sandbox", "production": "Zenodo"}
PAGE_ROWS = 100  # the most that Zenodo gives (Zenodo's blog, November 2025)
LONG_S = 300.0  # a large file, or a publication, may take minutes to be answered
_LAST_PAGE = 100  # a search gives ten thousand rows and no more
_ABSENT = {404, 410}
_KEPT = ("access", "custom_fields", "pids")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a deposit, as it was listed."""

    key: str
    """Its name."""
    size_bytes: int
    """Its size; 0 where it has not arrived."""
    md5: str
    """Lower-case hex; "" where it has not arrived."""
    is_complete: bool
    """Whether it was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A record or a draft, as it was read."""

    id: str
    """Its identifier."""
    concept: str
    """Identifier of what all its versions have in common."""
    is_published: bool
    """Whether it is a published record; else it is a draft."""
    link: str
    """URL of its page."""
    doi: str
    """Its DOI, reserved or registered; "" where it has none."""
    metadata: Mapping[str, Any]
    """What it says of itself."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """What is not ours to change: access, custom fields, identifiers."""
    faults: tuple[str, ...] = ()
    """What the service finds wrong with its metadata, one line each."""


class InvenioRdm:
    """One InvenioRDM, asked through one client. Safe from several threads.

    Args:
        client: the client; its URL ends with ``/api``.
        sleep: how to wait; another one in tests.
    """

    def __init__(self, client: RestClient, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    @property
    def name(self) -> str:
        """Name of the service in messages."""
        return self._client.service

    @property
    def url(self) -> str:
        """Root of its pages."""
        return self._client.url.removesuffix("/api")

    def watch(self, progress: Progress) -> None:
        """Tell a progress what is sent from now on; what it raises ends the request."""
        self._client.progress = progress

    def pause(self, seconds: float) -> None:
        """Wait; end early where the run was asked to stop."""
        while seconds > 0:
            self._client.progress.relative_update(0)
            self._sleep(min(seconds, 1.0))
            seconds -= 1.0

    def record(self, record: str) -> Deposit | None:
        """Return a published record, the latest where a concept is named; None: there is none."""
        return self._deposit(f"/records/{_part(record)}")

    def latest(self, record: str) -> Deposit | None:
        """Return the latest published version beside a record; None: nothing is published."""
        return self._deposit(f"/records/{_part(record)}/versions/latest")

    def versions(self, record: str) -> list[Deposit]:
        """Return the published versions beside a record; the newest may be missing yet."""
        return [parse_deposit(row) for row in self._search(f"/records/{_part(record)}/versions")]

    def mine(self) -> list[Deposit]:
        """Return our own drafts and records, the newest of each concept; it may lag behind."""
        return [parse_deposit(row) for row in self._search("/user/records")]

    def require_token(self) -> None:
        """Ask what only a known user may ask.

        Raises:
            ServiceError: the token is not known, or was not given.
        """
        self._client.get("/user/records", {"size": 1})

    def draft(self, record: str) -> Deposit | None:
        """Return a draft; None: there is none."""
        return self._deposit(f"{_draft(record)}")

    def files(self, deposit: Deposit) -> dict[str, FileEntry]:
        """Return the files of a draft or a record, by key, sorted."""
        below = f"/records/{_part(deposit.id)}" if deposit.is_published else _draft(deposit.id)
        table = self._client.get(f"{below}/files")
        rows = table.get("entries") or () if isinstance(table, dict) else ()
        return dict(sorted((entry.key, entry) for entry in map(parse_entry, rows)))

    def create(self, body: Mapping[str, Any]) -> Deposit:
        """Begin a record that has no version yet. Effects: a draft exists."""
        return parse_deposit(self._client.ask("POST", "/records", table=body).table)

    def new_version(self, record: str) -> Deposit:
        """Return the draft of the next version, which is begun where there is none.

        Safe to repeat: a concept has one such draft.
        """
        path = f"/records/{_part(record)}/versions"
        return parse_deposit(self._client.ask("POST", path, repeats=True).table)

    def update(self, record: str, body: Mapping[str, Any]) -> Deposit:
        """Replace the metadata of a draft."""
        return parse_deposit(self._client.ask("PUT", _draft(record), table=body).table)

    def import_files(self, record: str) -> None:
        """Link the files of the previous version into a draft that has none."""
        self._client.ask("POST", f"{_draft(record)}/actions/files-import", answer_s=LONG_S)

    def register(self, record: str, key: str) -> None:
        """Announce a file of a draft."""
        self._client.ask("POST", f"{_draft(record)}/files", table=[{"key": key}])

    def put_content(self, record: str, key: str, path: Path, size_bytes: int) -> None:
        """Send the bytes of a file, once."""
        self._client.ask(
            "PUT",
            f"{_file(record, key)}/content",
            body=FileBody(path, size_bytes),
            repeats=False,
            answer_s=LONG_S,
        )

    def commit(self, record: str, key: str) -> FileEntry:
        """Complete a file whose bytes were sent, and return what arrived."""
        path = f"{_file(record, key)}/commit"
        return parse_entry(self._client.ask("POST", path, answer_s=LONG_S).table)

    def file(self, record: str, key: str) -> FileEntry | None:
        """Return a file of a draft; None: there is none."""
        table = self._optional(_file(record, key))
        return None if table is None else parse_entry(table)

    def delete_file(self, record: str, key: str) -> None:
        """Delete a file of a draft, where it is there."""
        try:
            self._client.ask("DELETE", _file(record, key))
        except ServiceError as error:
            if error.status not in _ABSENT:
                raise

    def reserve_doi(self, record: str) -> None:
        """Reserve a DOI for a draft that has none."""
        self._client.ask("POST", f"{_draft(record)}/pids/doi")

    def publish(self, record: str) -> None:
        """Publish a draft. Effects: it cannot be taken back."""
        self._client.ask("POST", f"{_draft(record)}/actions/publish", answer_s=LONG_S)

    def _deposit(self, path: str) -> Deposit | None:
        table = self._optional(path)
        return None if table is None else parse_deposit(table)

    def _optional(self, path: str) -> Any:
        try:
            return self._client.get(path)
        except ServiceError as error:
            if error.status in _ABSENT:
                return None
            raise

    def _search(self, path: str) -> Iterator[Mapping[str, Any]]:
        seen = 0
        for page in range(1, _LAST_PAGE + 1):
            table = self._client.get(path, {"size": PAGE_ROWS, "page": page})
            hits = table.get("hits", {}) if isinstance(table, dict) else {}
            rows = hits.get("hits") or ()
            yield from rows
            seen += len(rows)
            if not rows or seen >= int(hits.get("total", 0)):
                return


def open_deposits(
    env: str,
    *,
    environment: str,
    token: str,
    url: str = "",
    read_only: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> InvenioRdm:
    """Open Zenodo, its sandbox, or another InvenioRDM.

    Args:
        env: ``sandbox`` or ``production``.
        environment: that of the run, ``production`` or ``staging``.
        token: the token; "" where nothing but public records is read.
        url: root of another InvenioRDM.
        read_only: refuse whatever could change something.
        sleep: how to wait; another one in tests.

    Raises:
        GuardError: the run is one of staging, which reaches no deposit at all.
        ServiceError: the token would travel in the clear.
    """
    root = (url or HOSTS[env]).rstrip("/")
    if environment != "production":
        raise GuardError(f"{root}: expected no deposit in {environment}, got one")
    name = "InvenioRDM" if url else NAMES[env]
    client = RestClient(
        name,
        f"{root}/api",
        token=token,
        headers={"Accept": ACCEPT},
        read_only=read_only,
        sleep=sleep,
    )
    return InvenioRdm(client, sleep)


def parse_deposit(table: Any) -> Deposit:
    """Parse a record or a draft.

    Raises:
        ServiceError: it is none, or one of another shape.
    """
    try:
        pids = table.get("pids") or {}
        return Deposit(
            id=str(table["id"]),
            concept=str(table["parent"]["id"]),
            is_published=bool(table.get("is_published")),
            link=str(table.get("links", {}).get("self_html", "")),
            doi=str((pids.get("doi") or {}).get("identifier", "")),
            metadata=table.get("metadata") or {},
            kept={
                each: table[each] for each in ("access", "custom_fields", "pids") if table.get(each)
            },
            faults=tuple(_faults(table.get("errors") or ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ServiceError(
            f"InvenioRDM: expected a record with id and parent, got {str(table)[:80]!r}"
        ) from error


def parse_entry(row: Any) -> FileEntry:
    """Parse a file of a record or a draft.

    Raises:
        ServiceError: it is none.
    """
    try:
        kind, _, digest = str(row.get("checksum") or "").partition(":")
        return FileEntry(
            key=str(row["key"]),
            size_bytes=int(row.get("size") or 0),
            md5=digest.lower() if kind == "md5" else "",
            is_complete=row.get("status", "completed") == "completed",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(
            f"InvenioRDM: expected a file with a key, got {str(row)[:80]!r}"
        ) from error


def _faults(errors: Sequence[Any]) -> Iterator[str]:
    """Yield what is wrong; that files are missing yet is no fault of the metadata."""
    for each in errors:
        place = str(each.get("field", ""))
        if not place.startswith("files") and each.get("severity", "error") == "error":
            yield f"{place}: {', '.join(map(str, each.get('messages') or ()))}"


def _draft(record: str) -> str:
    return f"/records/{_part(record)}/draft"


def _file(record: str, key: str) -> str:
    return f"{_draft(record)}/files/{_part(key)}"


def _part(name: str) -> str:
    return quote(name, safe="")
