"""Monitors of Sentry that watch CronJobs: their schedules, and their removal.

Source: Sentry, API Reference, Crons; "Delete a Monitor" below Monitors is another API. A monitor
is made by the first check-in of its job, so that none is made here.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from lading.errors import ServiceError, UnansweredError
from lading.services.redaction import redact
from lading.services.rest import RestClient
from lading.storage.progress import NO_PROGRESS, Progress

SCOPES: Final = "project:write, project:admin or alerts:write"
"""Of these a token needs one: Sentry, "Delete a Monitor or Monitor Environments"."""

_ATTEMPTS = 4
_LOOKS, _PAUSE_S = 30, 2  # Sentry accepts a deletion, and does it when it comes to it
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_ORGANIZATION = re.compile(r"[a-z0-9][a-z0-9_-]*")
# only digits would be taken for the id of another one; relay cuts what is longer
_SLUG = re.compile(r"(?![0-9]+$)[a-z0-9][a-z0-9_-]{0,49}")
_GOING = {"pending_deletion", "deletion_in_progress"}
_UTC = {"UTC", "Etc/UTC"}
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PROBE = "lading-asks-whether-it-may-look"

Table = Mapping[str, Any]


class SentryMonitors:
    """The monitors of one organisation, found by their slugs.

    Args:
        organization: its slug.
        url: root of Sentry, e.g. ``https://sentry.io``.
        token: an auth token of the organisation.
        token_variable: where the token comes from, for messages.
        read_only: refuse all that could change something.
        sleep: how to wait; another one in tests.
        progress: asked now and then; what it raises ends a wait.

    Attributes:
        answer_s: seconds without a byte after which an answer is given up.
    """

    answer_s = 20.0

    def __init__(
        self,
        organization: str,
        url: str,
        token: str,
        *,
        token_variable: str = "SENTRY_AUTH_TOKEN",  # noqa: S107  a name, no secret
        read_only: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        self._variable = token_variable
        if not re.fullmatch(r"[!-~]+", token):
            what = "one with other characters" if token else "none"
            raise ServiceError(
                f"Sentry: expected a token in {token_variable}, found {what}", hint=self._token_hint
            )
        if not _ORGANIZATION.fullmatch(organization):
            raise ServiceError(f"Sentry: expected an organisation's slug, got {organization!r}")
        self._organization = organization
        self._root = f"/api/0/organizations/{organization}/monitors/"
        self._sleep = sleep
        self._progress = progress
        self._is_found = False
        self._rest = RestClient(
            "Sentry", url, token=token, read_only=read_only, attempts=_ATTEMPTS, sleep=sleep
        )
        self._rest.progress = progress

    @property
    def place(self) -> str:
        """Root and organisation, as ``https://sentry.io acme``."""
        return f"{self._rest.url} {self._organization}"

    def require_access(self) -> str:
        """Ask whether the organisation is there and its monitors can be read; say so.

        Whether a token may write is not told before something is written.

        Raises:
            ServiceError: there is no such organisation, or the token is refused.
            UnansweredError: Sentry did not answer.
        """
        try:
            self._require_organization()
        except ServiceError as error:
            if error.status != _FORBIDDEN:
                raise
            self._see(_PROBE)  # a list asks for more than a monitor does
        return f"{self.place}: its monitors can be read"

    def delete(self, slug: str) -> Literal["deleted", "absent"]:
        """Delete a monitor, and look until it is gone. Safe to repeat.

        Effects: the monitor and its check-ins are gone.

        Raises:
            GuardError: this only reads.
            ServiceError: Sentry refused, or the slug is none.
            UnansweredError: Sentry did not answer, or has the monitor still.
        """
        monitor = self._see(slug)
        if monitor is None:
            return "absent"
        if monitor.get("status") not in _GOING:
            # none by now: an earlier try was done and its answer lost, or somebody was faster
            self._ask("DELETE", slug)
        for look in range(_LOOKS):
            if self._see(slug) is None:
                return "deleted"
            if look < _LOOKS - 1:
                self._wait()
        raise UnansweredError(
            f"Sentry: monitor {slug}: expected it to be gone {_LOOKS * _PAUSE_S} s after Sentry"
            " accepted its deletion, found it there",
            hint="run the same command again later",
        )

    def schedule_of(self, slug: str) -> tuple[str, str] | None:
        """Return crontab and time zone of a monitor; None where there is no such monitor.

        An interval is told as ``every 1 hour``.

        Raises:
            ServiceError: Sentry refused, or the slug is none.
            UnansweredError: Sentry did not answer.
        """
        monitor = self._see(slug)
        return None if monitor is None else _schedule(monitor)

    def set_schedule(
        self, slug: str, crontab: str, time_zone: str
    ) -> Literal["changed", "kept", "absent"]:
        """Let a monitor expect its job by another schedule, and read it back. Safe to repeat.

        All else of the monitor stays. One that is absent is left to the first check-in of its
        job.

        Effects: the schedule and the time zone of the monitor.

        Args:
            slug: the monitor.
            crontab: five fields, or a name as ``@daily``.
            time_zone: as ``Etc/UTC``.

        Raises:
            GuardError: this only reads.
            ServiceError: Sentry refused, has kept another schedule, or the slug is none.
            UnansweredError: Sentry did not answer.
        """
        wanted = (_plain(crontab), time_zone)
        monitor = self._see(slug)
        if monitor is None or monitor.get("status") in _GOING:
            return "absent"
        if _is_same(_schedule(monitor), wanted):
            return "kept"
        changed = {"schedule_type": "crontab", "schedule": wanted[0], "timezone": time_zone}
        # of an older Sentry, the config that it is given replaces the one that was there
        if self._ask("PUT", slug, {"config": {**_config(monitor), **changed}}) is None:
            return "absent"
        found = self.schedule_of(slug)
        if found is not None and not _is_same(found, wanted):
            raise ServiceError(
                f"Sentry: monitor {slug}: expected the schedule {' '.join(wanted)!r},"
                f" found {' '.join(found)!r}",
                hint="its job's check-ins may set another one",
            )
        return "absent" if found is None else "changed"

    def _see(self, slug: str) -> Table | None:
        """Return a monitor; None where there is none in an organisation that there is."""
        monitor = self._ask("GET", slug)
        if monitor is None and not self._is_found:
            try:
                self._require_organization()
            except ServiceError as error:
                if error.status != _FORBIDDEN:  # then it is there, and may not be listed
                    raise
                self._is_found = True
        return monitor

    def _require_organization(self) -> None:
        """Ask for one monitor of all: what is absent of an unknown organisation proves nothing."""
        if self._table("GET", self._root, query={"per_page": 1}) is None:
            raise ServiceError(
                f"Sentry: expected the organisation {self._organization!r} at {self._rest.url},"
                " found none",
                hint="correct kubernetes.sentry in lading.toml",
            )
        self._is_found = True

    def _ask(self, method: str, slug: str, table: Table | None = None) -> Table | None:
        """Return what Sentry says of a monitor; None where it has none of that slug."""
        if not _SLUG.fullmatch(slug):
            raise ServiceError(
                "Sentry: expected a monitor's slug of up to 50 small letters, digits, '-' and '_',"
                f" got {redact(slug)[:80]!r}"
            )
        found = self._table(method, f"{self._root}{slug}/", table=table)
        if found is None or isinstance(found, dict):
            return found
        raise UnansweredError(f"Sentry: monitor {slug}: expected a table, got {str(found)[:80]!r}")

    def _table(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        table: Table | None = None,
    ) -> Any:
        """Return the JSON of a success, {} for an empty one; None where nothing is there."""
        try:
            answer = self._rest.ask(method, path, query=query, table=table, answer_s=self.answer_s)
        except ServiceError as error:
            if error.status == _NOT_FOUND:
                return None
            if error.status in {_UNAUTHORIZED, _FORBIDDEN}:
                refused = ServiceError(str(error), hint=self._token_hint)
                refused.status = error.status
                raise refused from error
            raise
        return {} if answer.table is None else answer.table

    def _wait(self) -> None:
        for _ in range(_PAUSE_S):
            self._progress.relative_update(0)
            self._sleep(1.0)

    @property
    def _token_hint(self) -> str:
        return f"put a token of the organisation with the scope {SCOPES} into {self._variable}"


def _config(monitor: Table) -> Table:
    config = monitor.get("config")
    return config if isinstance(config, dict) else {}


def _schedule(monitor: Table) -> tuple[str, str]:
    config = _config(monitor)
    schedule = config.get("schedule", "")
    if isinstance(schedule, list):
        schedule = " ".join(["every", *map(str, schedule)])
    return str(schedule), str(config.get("timezone") or "UTC")


def _is_same(found: tuple[str, str], wanted: tuple[str, str]) -> bool:
    zones = {found[1], wanted[1]}
    return _plain(found[0]) == _plain(wanted[0]) and (len(zones) == 1 or zones <= _UTC)


def _plain(crontab: str) -> str:
    """Return a schedule as Sentry keeps it."""
    text = " ".join(crontab.split())
    return _NAMED.get(text, text)
