"""What is written of a deposit: a draft begun or gone on with, filled, given a DOI, published.

Each request that may have been done although its answer was lost is read back before it is sent
again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lading.errors import ServiceError, UnansweredError, VerifyError
from lading.services.deposit_find import DepositFinder
from lading.services.deposit_marker import render_marker
from lading.services.deposit_plan import (
    DepositFile,
    compare_files,
    require_our_draft,
    says,
)
from lading.services.deposit_settings import DepositSettings
from lading.services.deposit_upload import FileSender
from lading.services.inveniordm import Deposit, InvenioRdm
from lading.services.journal import Journal
from lading.storage.progress import Progress

RECORD = "record"  # the note that names the draft
_BEGUN = "begun"  # the note that a first record may have been begun
_TRIES = 5
_LOOKS = 10  # until a search must show what was begun
_PAUSE_S = 3.0
_OPEN = {"record": "public", "files": "public"}


class DraftWriter:
    """Writes the draft of one release.

    Args:
        api: the service.
        settings: what the channel wants.
        metadata: what the record says of itself, less what a release adds.
        journal: notes on this deposit.
    """

    def __init__(
        self,
        api: InvenioRdm,
        settings: DepositSettings,
        metadata: Mapping[str, Any],
        journal: Journal,
    ) -> None:
        self._api = api
        self._settings = settings
        self._metadata = metadata
        self._journal = journal

    def finder(self) -> DepositFinder:
        """Return a new look at the service."""
        return DepositFinder(self._api, self._settings, self._journal.get(RECORD))

    def wanted(self, draft: Deposit | None) -> dict[str, Any]:
        """Return what the record shall say; a draft of this release keeps its date."""
        today = datetime.now(UTC).date().isoformat()
        is_ours = draft is not None and self.finder().fits(draft)
        kept = draft.metadata.get("publication_date") if draft and is_ours else None
        more = self._metadata.get("additional_descriptions", [])
        return {
            **self._metadata,
            "version": self._settings.tag,
            "publication_date": kept or today,
            "additional_descriptions": [*more, render_marker(self._settings.marker)],
        }

    def begin(self, previous: str) -> Deposit:
        """Return the draft of a new version of a record, or of a first record.

        Effects: there is such a draft.

        Raises:
            ServiceError: a draft stands there that is not ours.
        """
        draft = self._api.new_version(previous) if previous else self._create()
        self.go_on(draft, previous)
        self._journal.note(**{RECORD: draft.id})
        return self._require_taken(draft)

    def go_on(self, draft: Deposit, previous: str) -> Deposit:
        """Return a draft that stands, after asking for its files and the last version's marker.

        Args:
            draft: the draft.
            previous: a published version of the same concept, or "".

        Raises:
            ServiceError: it is not ours.
        """
        finder = self.finder()
        latest = finder.latest(draft, previous)
        require_our_draft(
            finder.standing(draft),
            self._settings.marker,
            previous=finder.standing(latest) if latest else None,
            publishes=self._settings.publish,
            is_noted=draft.id == self._journal.get(RECORD),
        )
        return draft

    def describe(self, draft: Deposit) -> Deposit:
        """Write the metadata, with our marker, where the draft does not say it yet.

        Raises:
            ServiceError: the service does not take it.
        """
        metadata = self.wanted(draft)
        if says(metadata, draft.metadata):
            return draft
        # what is not sent is reset
        body = {"access": _OPEN, **draft.kept, "files": {"enabled": True}, "metadata": metadata}
        return self._require_taken(self._api.update(draft.id, body))

    def fill(
        self,
        draft: Deposit,
        files: Mapping[str, DepositFile],
        previous: str,
        progress: Progress,
    ) -> None:
        """Bring the files of our draft to those of the release.

        Args:
            draft: the draft.
            files: what it shall have, by key.
            previous: a published version of the same concept, or "".
            progress: told of what is sent.

        Effects: files are linked from the last version, deleted, and sent.
        """
        found = self._api.files(draft)
        if not found and self._links_any(draft, files, previous):
            self._import(draft)
            found = self._api.files(draft)
        difference = compare_files(files, found)
        for key in difference.drop:
            progress.relative_update(0)
            self._api.delete_file(draft.id, key)
        FileSender(self._api, draft.id, progress).send(difference.send)

    def reserve(self, draft: str) -> Deposit:
        """Return a draft with a DOI, which is reserved where there is none."""
        for turn in range(_TRIES):
            found = self._api.draft(draft)
            if found and found.doi:
                return found
            try:
                self._api.reserve_doi(draft)
            except UnansweredError:
                if turn + 1 == _TRIES:
                    raise
                self._api.pause(_PAUSE_S)
        raise VerifyError(f"{self._api.url}: expected a DOI in draft {draft}, found none")

    def publish(self, draft: str) -> None:
        """Publish a draft.

        Effects: the version is public for good.

        Raises:
            ServiceError: the service refused it.
        """
        for turn in range(_TRIES):
            try:
                self._api.publish(draft)
            except UnansweredError:
                if self._await_published(draft):
                    return
                if turn + 1 == _TRIES:
                    raise
            except ServiceError:
                if self._api.record(draft) is None:
                    raise
                return
            else:
                return

    def _create(self) -> Deposit:
        """Begin a first record, or find the one whose beginning was not answered."""
        # noted as begun, and never answered: a search may show it
        was_lost = self._journal.get(_BEGUN) and not self._journal.get(RECORD)
        if was_lost and (found := self._await_begun()):
            return found
        self._journal.note(**{_BEGUN: "yes", RECORD: ""})
        body = {"access": _OPEN, "files": {"enabled": True}, "metadata": self.wanted(None)}
        for turn in range(_TRIES):
            try:
                return self._api.create(body)
            except UnansweredError:
                if found := self._await_begun():
                    return found
                if turn + 1 == _TRIES:
                    raise
        raise AssertionError(_TRIES)

    def _await_begun(self) -> Deposit | None:
        """Search until a record that was begun is shown; None: it was not begun."""
        for _ in range(_LOOKS):
            if found := self.finder().begun():
                return self._api.draft(found.id)
            self._api.pause(_PAUSE_S)
        return None

    def _require_taken(self, draft: Deposit) -> Deposit:
        if draft.faults:
            raise ServiceError(
                f"{draft.link}: expected metadata that {self._api.name} takes,"
                f" got {'; '.join(draft.faults)}",
                hint="mend [metadata] in lading.toml, .zenodo.json or CITATION.cff",
            )
        return draft

    def _links_any(self, draft: Deposit, files: Mapping[str, DepositFile], previous: str) -> bool:
        latest = self.finder().latest(draft, previous)
        return bool(latest and compare_files(files, self._api.files(latest)).keep)

    def _import(self, draft: Deposit) -> None:
        """Link the last version's files; what is not linked is sent, so this may fail to."""
        for _ in range(_TRIES):
            try:
                self._api.import_files(draft.id)
            except UnansweredError:
                if self._api.files(draft):
                    return
                self._api.pause(_PAUSE_S)
            else:
                return

    def _await_published(self, draft: str) -> bool:
        for turn in range(_TRIES):
            self._api.pause(_PAUSE_S * turn)
            if self._api.record(draft):
                return True
        return False
