"""A release as a deposit at Zenodo or another InvenioRDM, as a target.

What stands at the service decides: which version bears the tag, whose draft it is, which files are
there. Nothing is published before all of it was read back.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lading.errors import ServiceError, UnansweredError, VerifyError
from lading.release.receipts import Receipt, Stamp
from lading.services.deposit_draft import DraftWriter
from lading.services.deposit_marker import parse_marker
from lading.services.deposit_plan import (
    DepositChanges,
    DepositFile,
    DepositState,
    Standing,
    compare_files,
    plan_deposit,
    require_limits,
    require_our_draft,
    require_same_files,
)
from lading.services.deposit_settings import DepositSettings
from lading.services.inveniordm import Deposit, InvenioRdm
from lading.services.journal import Journal
from lading.storage.progress import NO_PROGRESS, Progress

__all__ = ["DepositChanges", "DepositFile", "DepositSettings", "DepositTarget", "require_limits"]

_MADE_ANEW = (
    "release.json names the DOI of a draft that is gone: run the same command, which reserves"
    " another; where an immutable prefix has that release.json, release under a new tag"
)


class DepositTarget:
    """The deposit of one release.

    Args:
        api: the service; opened to read only, nothing is written.
        settings: what the channel wants.
        metadata: what the record says of itself, in InvenioRDM's shape, less what a release
            adds: version, publication date, marker.
        files: what it shall have.
        stamp: what its receipt says of the release.
        journal: notes on this deposit of this tag.
    """

    def __init__(
        self,
        api: InvenioRdm,
        settings: DepositSettings,
        metadata: Mapping[str, Any],
        files: Sequence[DepositFile],
        stamp: Stamp,
        journal: Journal,
    ) -> None:
        self._api = api
        self._settings = settings
        self._files = {each.key: each for each in files}
        self._stamp = stamp
        self._writer = DraftWriter(api, settings, metadata, journal)
        self.summary = ""

    @property
    def place(self) -> str:
        """URL of the concept, or of the service where none is configured."""
        concept = self._settings.concept
        return f"{self._api.url}/records/{concept}" if concept else self._api.url

    def require_access(self) -> str:
        """Ask whether the token is known, and the concept there.

        Returns:
            What was found, in a few words.

        Raises:
            ServiceError: the token is missing or not known, or there is no such concept.
        """
        try:
            self._api.require_token()
        except UnansweredError:
            raise
        except ServiceError as error:
            raise ServiceError(
                f"{self._api.url}: expected a valid token, got {error.status} for the one in"
                f" {self._settings.token_variable}",
                hint=f"put a token with the scopes deposit:write and deposit:actions into"
                f" {self._settings.token_variable}",
            ) from error
        if not self._settings.concept:
            return f"{self._api.name}, token known"
        return f"{self._api.name}, concept {self._writer.finder().concept().concept}"

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: a concept has one draft, which bears our marker."""
        return nullcontext(enter_result=False)

    def observe(self) -> DepositState:
        """Look for the version of this tag, the latest one, and the draft; with their files."""
        return self._writer.finder().look()

    def plan(self, observed: DepositState) -> DepositChanges:
        """Return what is still needed. Pure.

        Raises:
            ServiceError: the release is over the service's limits, or the draft is not ours.
            VerifyError: this tag is published with other files.
        """
        settings = self._settings
        if not observed.published:
            require_limits(list(self._files.values()), settings.max_files, settings.max_bytes)
        return plan_deposit(
            observed,
            settings.marker,
            self._files,
            self._writer.wanted(observed.draft.deposit if observed.draft else None),
            publishes=settings.publish,
            reserves=settings.doi,
        )

    def apply(self, changes: DepositChanges, progress: Progress) -> None:
        """Bring the draft to the files and the metadata of the release; publish it where asked.

        Safe to repeat, and to be cut anywhere.

        Effects: a draft, or a published version, stands at the service.

        Raises:
            ServiceError: the service refused, or the draft is not ours.
            VerifyError: what was read back is not what was sent; nothing is published.
        """
        if changes.is_empty:
            return
        self._api.watch(progress)
        draft = self._writer.describe(self._begin(changes))
        if self._settings.doi:
            self._require_doi(self._writer.reserve(draft.id))
        self._writer.fill(draft, self._files, changes.previous, progress)
        self._require_draft(draft.id)
        if self._settings.publish:
            self._writer.publish(draft.id)

    def prove(self) -> Receipt:
        """Read back the deposit: its state, version, files with their md5, and DOI.

        Raises:
            VerifyError: it is not what the release wants.
        """
        observed = self.observe()
        found = observed.published or observed.draft
        if found is None:
            raise VerifyError(
                f"{self.place}: expected a deposit of {self._settings.tag}, found none"
            )
        if self._settings.publish and not observed.published:
            raise VerifyError(
                f"{found.deposit.link}: expected {self._settings.tag} published, found a draft"
            )
        self._require_right(found)
        self.summary = self._summarise(found.deposit)
        return self._stamp.receipt(self.place, self._facts(found))

    def reserve_doi(self, progress: Progress = NO_PROGRESS) -> str:
        """Return the DOI of this release, reserved in a draft of ours that is begun if need be.

        Safe to repeat: the same release gets the same DOI.

        Raises:
            ServiceError: the service refused, or the draft that stands is not ours.
        """
        observed = self.observe()
        if observed.published:
            return self._require_doi(observed.published.deposit)
        self._api.watch(progress)
        if observed.draft:
            require_our_draft(
                observed.draft,
                self._settings.marker,
                previous=observed.previous,
                publishes=self._settings.publish,
                is_noted=observed.is_noted,
            )
            draft = observed.draft.deposit
        else:
            draft = self._writer.begin(observed.previous.deposit.id if observed.previous else "")
        if not self._is_release(draft):
            draft = self._writer.describe(draft)
        return self._require_doi(self._writer.reserve(draft.id))

    def _begin(self, changes: DepositChanges) -> Deposit:
        """Return the draft to write to: the one that stands, or a new one."""
        expected = self._settings.expected_doi
        if changes.start == "record" and expected:
            raise VerifyError(
                f"{self.place}: expected a draft with the DOI {expected}, found none",
                hint=_MADE_ANEW,
            )
        if changes.start == "draft":
            draft = self._api.draft(changes.draft)
            if draft is None:
                raise ServiceError(
                    f"{self._api.url}: expected the draft {changes.draft}, found none"
                )
            self._writer.go_on(draft, changes.previous)
        else:
            draft = self._writer.begin(changes.previous)
        if expected:
            self._require_doi(draft)
        return draft

    def _is_release(self, deposit: Deposit) -> bool:
        return self._settings.marker.has_release_of(parse_marker(deposit.metadata))

    def _require_doi(self, deposit: Deposit) -> str:
        expected = self._settings.expected_doi
        if not deposit.doi or (expected and deposit.doi != expected):
            raise VerifyError(
                f"{deposit.link}: expected the DOI {expected or 'of this release'},"
                f" found {deposit.doi or 'none'}",
                hint=_MADE_ANEW,
            )
        return deposit.doi

    def _require_draft(self, draft: str) -> None:
        """Read a draft back; publish nothing that is not as it was sent."""
        found = self._api.draft(draft)
        if found is None:
            raise VerifyError(f"{self._api.url}: expected the draft {draft}, found none")
        self._require_right(Standing(found, self._api.files(found)))

    def _require_right(self, found: Standing) -> None:
        settings, deposit = self._settings, found.deposit
        if not self._is_release(deposit) or deposit.metadata.get("version") != settings.tag:
            version = deposit.metadata.get("version")
            raise VerifyError(
                f"{deposit.link}: expected version {settings.tag} with its marker,"
                f" found {version!r} of {parse_marker(deposit.metadata)}"
            )
        if deposit.is_published:
            require_same_files(found, self._files)
        difference = compare_files(self._files, found.files)
        if not difference.is_empty:
            raise VerifyError(
                f"{deposit.link}: expected {len(self._files)} files of the release's md5,"
                f" found other: {difference.describe()}"
            )
        if settings.doi or settings.expected_doi:
            self._require_doi(deposit)

    def _facts(self, found: Standing) -> dict[str, str]:
        deposit = found.deposit
        return {
            "record": deposit.id,
            "concept": deposit.concept,
            "doi": deposit.doi,
            "url": deposit.link,
            "state": "published" if deposit.is_published else "draft",
            "files": str(len(found.files)),
        }

    def _summarise(self, deposit: Deposit) -> str:
        told = "published" if deposit.is_published else "draft to look at and publish"
        doi = f", DOI {deposit.doi}" if deposit.doi else ""
        advice = "" if self._settings.concept else f'; write concept = "{deposit.concept}"'
        return f"{told}: {deposit.link}{doi}{advice}" + (" into lading.toml" if advice else "")
