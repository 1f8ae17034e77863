"""Slack: one message for each release, written anew where a later run of it ends otherwise.

Best effort: the caller makes a warning of every error here, and the release goes on.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from lading.config.models import Slack
from lading.errors import ServiceError, UnansweredError
from lading.services.announcement import Announcement
from lading.services.journal import Journal
from lading.services.slack_api import MISSING_SCOPE_HINT, RefusalError, SlackApi, within
from lading.services.slack_message import render_message

BUDGET_S: Final = 30.0
"""How long telling may take in all."""
SHORT_BUDGET_S: Final = 5.0
"""The same of a run that was interrupted: CI services kill soon after they ask."""
TOLD_ALREADY: Final = "told already"
"""What ``tell`` returns where there was nothing new to tell."""
EVENT_TYPE: Final = "lading_release"
"""Type of the metadata by which a message is found again."""

_LOOK_BACK_S, _SKEW_S = 14 * 86_400.0, 300.0
_PAGES, _PAGE = 3, 100
_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{8,}")
_GOOD = {"released", "unchanged"}
_NOT_OURS_TO_EDIT = {"message_not_found", "cant_update_message", "edit_window_closed"}


def tell(
    announcement: Announcement,
    settings: Slack,
    token: str,
    journal: Journal,
    *,
    budget_s: float = BUDGET_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> str:
    """Tell a channel of a run of a release, in the one message of that release.

    The message is known by the journal, or found in the channel by its metadata where the bot
    may read it (scope ``channels:history``, and the channel given by its identifier). It is
    then updated, else posted. What was told already is not told again; nor is a run that found
    nothing to do, after a release that was told.

    Without that scope it is told at least once: where a run is cut between Slack's doing and our
    note of it, or the answer is lost, the next run posts a second message.

    Args:
        announcement: what is told.
        settings: channel and service.
        token: of the bot, ``xoxb-...``; from the environment, never kept.
        journal: of this release in this environment, whatever its manifest is: a run may fail
            before there is one.
        budget_s: how long it may take in all, in seconds.
        sleep: how to wait; another one in tests.
        clock: seconds since the epoch; another one in tests.

    Returns:
        What was done, in a few words.

    Effects: at most one message is posted or updated, and the journal is kept.

    Raises:
        UnansweredError: no answer in time; the message may stand in the channel or not.
        ServiceError: Slack said no, the token cannot be one, or no note could be kept.
    """
    teller = _Teller(announcement, settings, journal, clock)
    if teller.is_told():
        return TOLD_ALREADY
    api = SlackApi(settings, token, budget_s, sleep)
    try:
        return within(budget_s, lambda: teller.tell(api))
    except OSError as error:
        raise ServiceError(
            f"Slack: expected to keep a note of the message, got {error.strerror or error!r}"
        ) from error


def ask_access(
    settings: Slack,
    token: str,
    *,
    budget_s: float = SHORT_BUDGET_S,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Ask who the token is and whether it may post; changes nothing.

    Returns:
        The bot and its workspace, in a few words.

    Raises:
        UnansweredError: no answer in time.
        ServiceError: the token is none, or may not post.
    """
    api = SlackApi(settings, token, budget_s, sleep)
    answer = within(budget_s, lambda: api.call("auth_test", repeats=True))
    headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
    scopes = headers.get("x-oauth-scopes", "")
    if scopes and "chat:write" not in re.split(r"[,\s]+", scopes):
        raise ServiceError(
            f"Slack: expected the scope chat:write, got {scopes!r}", hint=MISSING_SCOPE_HINT
        )
    return f"bot {answer.get('user', '?')} of {answer.get('team', '?')}"


class _Teller:
    """The one message of a release: what is to be told, and what is known of it."""

    def __init__(
        self,
        announcement: Announcement,
        settings: Slack,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._wanted = settings.channel
        self._journal = journal
        self._clock = clock
        is_same_place = journal.get("wanted") == settings.channel
        self._known = {
            name: journal.get(name) if is_same_place else ""
            for name in ("channel", "ts", "digest", "verdict", "begun_at")
        }
        if announcement.verdict == "unchanged" and self._known["verdict"] not in _GOOD:
            # an earlier run did it all and was cut before it could say so
            announcement = replace(announcement, verdict="released")
        self._verdict = announcement.verdict
        text, blocks = render_message(announcement)
        payload = {
            "project": announcement.project,
            "channel": announcement.channel,
            "tag": announcement.tag,
            "environment": announcement.environment,
        }
        self._metadata = {"event_type": EVENT_TYPE, "event_payload": payload}
        self._message: dict[str, Any] = {"text": text, "blocks": blocks, "metadata": self._metadata}
        self._digest = hashlib.sha256(json.dumps([text, blocks]).encode()).hexdigest()
        self._lost: set[str] = set()

    def is_told(self) -> bool:
        """Say whether the message in the channel, as far as is noted, says all this."""
        if not self._known["ts"] or self._known["begun_at"]:
            return False
        is_old_news = self._verdict == "unchanged" and self._known["verdict"] in _GOOD
        return is_old_news or self._known["digest"] == self._digest

    def tell(self, api: SlackApi) -> str:
        """Update the message of this release, or post it."""
        at = self._known["ts"] or self._look(api)
        if at and self._update(api, at):
            return f"updated the message in {self._wanted}"
        try:
            return self._post(api)
        except UnansweredError as error:
            # it may stand there: only who can look may post once more
            found = self._look(api) if error.was_sent else None
            if found is None:
                raise
            if found and self._update(api, found):
                return f"posted to {self._wanted}"
            return self._post(api)

    def _post(self, api: SlackApi) -> str:
        self._journal.note(wanted=self._wanted, begun_at=repr(self._clock()), ts="", digest="")
        answer = api.call(
            "chat_postMessage", channel=self._wanted, unfurl_links=False, **self._message
        )
        self._keep(str(answer.get("channel") or ""), str(answer.get("ts") or ""))
        return f"posted to {self._wanted}"

    def _update(self, api: SlackApi, at: str) -> bool:
        """Update a message; say no where it is gone, or may not be edited."""
        channel = self._known["channel"] or self._wanted
        try:
            api.call("chat_update", repeats=True, channel=channel, ts=at, **self._message)
        except RefusalError as error:
            if error.code not in _NOT_OURS_TO_EDIT:
                raise
            self._lost.add(at)
            return False
        self._keep(channel, at)
        return True

    def _keep(self, channel: str, at: str) -> None:
        self._journal.note(
            wanted=self._wanted,
            channel=channel,
            ts=at,
            digest=self._digest,
            verdict=self._verdict,
            begun_at="",
        )

    def _look(self, api: SlackApi) -> str | None:
        """Return the ts of the message of this release, "" for none, None where none may look."""
        channel = self._known["channel"] or self._wanted
        if not _CHANNEL_ID.fullmatch(channel):
            return None  # Slack reads a channel by its identifier only
        begun = self._known["begun_at"]
        oldest = float(begun) - _SKEW_S if begun else self._clock() - _LOOK_BACK_S
        cursor: str | None = None
        for _ in range(_PAGES):
            try:
                page = api.call(
                    "conversations_history",
                    repeats=True,
                    channel=channel,
                    oldest=f"{oldest:.6f}",
                    limit=_PAGE,
                    include_all_metadata=True,
                    cursor=cursor,
                )
            except RefusalError:
                return None
            for each in page.get("messages") or ():
                if each.get("metadata") == self._metadata and each["ts"] not in self._lost:
                    return str(each["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return ""
