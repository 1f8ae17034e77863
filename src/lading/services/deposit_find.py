"""Where the deposit of a release stands: its concept, the version of its tag, the draft.

Read only. Our notes save a search, which lags behind what it searches; what a note names is asked
of the service all the same.
"""

from functools import cached_property

from lading.errors import ServiceError
from lading.services.deposit_marker import parse_marker
from lading.services.deposit_plan import DepositState, Standing
from lading.services.deposit_settings import DepositSettings
from lading.services.inveniordm import Deposit, InvenioRdm

_NAMED = 3


class DepositFinder:
    """One look at a service.

    Args:
        api: the service.
        settings: what the channel wants.
        noted: the draft or record that our notes name, or "".
    """

    def __init__(self, api: InvenioRdm, settings: DepositSettings, noted: str) -> None:
        self._api = api
        self._settings = settings
        self._noted = noted

    def look(self) -> DepositState:
        """Return what stands of the concept, with its files.

        Raises:
            ServiceError: the configured concept is not there, or several are of our series.
        """
        known = self._known()
        anchor = self._anchor(known)
        if anchor is None:
            return DepositState()
        latest = self.latest(anchor)
        published = self._published(known, latest)
        if published:
            return DepositState(published=self.standing(published))
        draft = self._draft(known, anchor)
        return DepositState(
            previous=self.standing(latest) if latest else None,
            draft=self.standing(draft) if draft else None,
            is_noted=draft is not None and draft.id == self._noted,
        )

    def concept(self) -> Deposit:
        """Return any record or draft of the configured concept.

        Raises:
            ServiceError: there is none.
        """
        name = self._settings.concept
        found = self._api.record(name) or self._api.draft(name)
        # a concept without a published version is known to the search alone
        found = found or next((each for each in self._mine if each.concept == name), None)
        if found is None:
            raise ServiceError(
                f"{self._api.url}: expected a record or a concept {name!r}, found none",
                hint="see zenodo.concept and zenodo.env in lading.toml",
            )
        return found

    def begun(self) -> Deposit | None:
        """Return the draft of this release, where the search shows it."""
        return next(
            (each for each in self._mine if not each.is_published and self.fits(each)), None
        )

    def latest(self, deposit: Deposit, beside: str = "") -> Deposit | None:
        """Return the latest published version beside a record or draft.

        Args:
            deposit: the record or draft.
            beside: a published version of the same concept, where one is known.
        """
        # an older InvenioRDM knows no concepts here, and none knows a draft
        return self._api.latest(deposit.concept) or self._api.latest(beside or deposit.id)

    def standing(self, deposit: Deposit) -> Standing:
        """Return a record or a draft with its files."""
        return Standing(deposit, self._api.files(deposit))

    def fits(self, deposit: Deposit) -> bool:
        """Say whether it bears the marker of this release."""
        return self._settings.marker.has_release_of(parse_marker(deposit.metadata))

    @cached_property
    def _mine(self) -> list[Deposit]:
        return self._api.mine()

    def _anchor(self, known: Deposit | None) -> Deposit | None:
        """Return any record or draft of the concept; None: there is none yet."""
        if self._settings.concept:
            return self.concept()
        if known:
            return known
        marker = self._settings.marker
        concepts = {each.concept: each for each in self._mine if self._is_of_series(each)}
        if len(concepts) > 1:
            links = ", ".join([each.link for each in concepts.values()][:_NAMED])
            raise ServiceError(
                f"{self._api.url}: expected one concept of {marker.project} {marker.channel},"
                f" found {len(concepts)}: {links}",
                hint="write the one to go on with into zenodo.concept of lading.toml",
            )
        return next(iter(concepts.values()), None)

    def _is_of_series(self, newest: Deposit) -> bool:
        """Say whether a concept is ours, by its newest draft or version."""
        found: Deposit | None = newest
        if not newest.is_published and parse_marker(newest.metadata) is None:
            found = self.latest(newest)  # a draft by hand hides what we published before it
        return found is not None and self._settings.marker.has_series_of(
            parse_marker(found.metadata)
        )

    def _known(self) -> Deposit | None:
        if not self._noted:
            return None
        return self._api.record(self._noted) or self._api.draft(self._noted)

    def _published(self, known: Deposit | None, latest: Deposit | None) -> Deposit | None:
        """Return the published version of this tag."""
        for each in (known, latest):
            if each and each.is_published and self.fits(each):
                return each
        # this is a search, in which the newest may be missing
        versions = self._api.versions(latest.id) if latest else []
        return next((each for each in versions if self.fits(each)), None)

    def _draft(self, known: Deposit | None, anchor: Deposit) -> Deposit | None:
        """Return the draft of the concept, as our notes or the search know it."""
        for each in (known, anchor):
            if each and each.concept == anchor.concept and not each.is_published:
                return self._api.draft(each.id)
        of_concept = (each for each in self._mine if each.concept == anchor.concept)
        shown = next((each for each in of_concept if not each.is_published), None)
        return self._api.draft(shown.id) if shown else None
