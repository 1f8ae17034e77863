"""Slack's Web API through its own library: bounded in time, one kind of error, nothing beside it.

The library is loaded where it is used: what never tells anybody does not wait for it.
"""

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.error import URLError
from urllib.parse import urlsplit

from lading.config.models import Slack
from lading.errors import ServiceError, UnansweredError
from lading.services.redaction import redact

if TYPE_CHECKING:
    from slack_sdk.web import SlackResponse

MISSING_SCOPE_HINT: Final = "give the Slack app the scope chat:write and install it again"

_ATTEMPTS = 3
_PAUSE_S, _ANSWER_S, _GRACE_S = 0.5, 10.0, 0.5
_TOLD_CHARS = 200
_SUCCESS, _TOO_MANY, _SERVER_FAULT = 200, 429, 500
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_LIMITED = {"ratelimited", "rate_limited"}
# Slack, "chat.postMessage", errors: a part of the operation may have been done
_PASSING = {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}
_NEVER_SENT = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
_HINTS = {
    "not_in_channel": "invite the bot: /invite @its-name in the channel",
    "channel_not_found": "check [slack] channel; into a private channel the bot must be invited",
    "is_archived": "name a channel that is in use at [slack] channel",
    "missing_scope": MISSING_SCOPE_HINT,
    **dict.fromkeys(("ratelimited", "rate_limited"), "the next run tells it"),
    **dict.fromkeys(
        ("restricted_action", "restricted_action_read_only_channel", "ekm_access_denied"),
        "let the app post there, or name another channel at [slack] channel",
    ),
}
_BAD_TOKENS = {
    *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
    *("not_allowed_token_type", "no_permission"),
}
# else the library writes to standard error by itself
_SILENT: Final = logging.getLogger("lading.services.slack_api")
_SILENT.setLevel(logging.CRITICAL + 1)
_Told = TypeVar("_Told")


class RefusalError(ServiceError):
    """Slack said no, and why in one word.

    Attributes:
        code: that word, e.g. ``channel_not_found``.
        pause_s: how long it asks to wait, in seconds.
    """

    code = ""
    pause_s = 0.0


class SlackApi:
    """Slack's Web API: bounded in time, one kind of error, nothing said beside it.

    The library's own retries are not used: they send again what may have been done, and wait as
    long as a header says.
    """

    def __init__(
        self, settings: Slack, token: str, budget_s: float, sleep: Callable[[float], None]
    ) -> None:
        self._variable = settings.token_variable
        if not re.fullmatch(r"[!-~]+", token):
            what = "one with other characters" if token else "none"
            raise ServiceError(
                f"Slack: expected a token in {self._variable}, found {what}", hint=self._token_hint
            )
        parts = urlsplit(settings.url)
        if parts.scheme == "http" and (parts.hostname or "") not in _LOOPBACK:
            raise ServiceError(f"Slack: expected https where a token is sent, got {settings.url!r}")
        self._token = token
        self._base_url = f"{settings.url or 'https://slack.com'}/api/"
        self._until = time.monotonic() + budget_s
        self._sleep = sleep

    def call(self, method: str, *, repeats: bool = False, **arguments: Any) -> "SlackResponse":
        """Call a method of the library's client and return its answer, which is a success.

        Args:
            method: as the library spells it.
            repeats: whether it may be sent again though it may have been done.
            arguments: of the method.

        Raises:
            UnansweredError: no answer that could be read; it may have been done or not.
            ServiceError: Slack said no.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            pause = _PAUSE_S * attempt
            try:
                return self._send(method, arguments)
            except UnansweredError as error:
                if error.was_sent and not repeats:
                    raise
                failed: ServiceError = error
            except RefusalError as error:
                if error.code not in _LIMITED:
                    raise
                failed, pause = error, error.pause_s
            if attempt == _ATTEMPTS or time.monotonic() + pause >= self._until:
                raise failed
            self._sleep(pause)
        raise AssertionError(method)

    def _send(self, method: str, arguments: Mapping[str, Any]) -> "SlackResponse":
        from slack_sdk import WebClient  # noqa: PLC0415  what tells nobody does not load it
        from slack_sdk.errors import SlackApiError  # noqa: PLC0415

        seconds = max(0.05, min(_ANSWER_S, self._until - time.monotonic()))
        client = WebClient(
            token=self._token,
            base_url=self._base_url,
            timeout=cast("int", seconds),
            retry_handlers=[],
            logger=_SILENT,
        )
        try:
            answer: SlackResponse = getattr(client, method)(**arguments)
        except SlackApiError as error:
            raise self._refusal(method, error.response) from error
        except Exception as error:  # the door: whatever a network does
            raise self._unanswered(method, error) from error
        if method == "chat_postMessage" and not (answer.get("ts") and answer.get("channel")):
            raise UnansweredError(f"{_name(method)}: expected ts and channel, got neither")
        return answer

    def _refusal(self, method: str, answer: "SlackResponse") -> ServiceError:
        table = answer.data if isinstance(answer.data, dict) else {}
        code, status = str(table.get("error") or ""), answer.status_code
        if status == _TOO_MANY:
            code = "ratelimited"
        is_word = re.fullmatch(r"[a-z0-9_]+", code)
        if status >= _SERVER_FAULT or not is_word or code in _PASSING:
            said = f"{status} {code}" if status != _SUCCESS else code
            unanswered = UnansweredError(
                f"{_name(method)}: expected an answer, got {self._told(said)}"
            )
            unanswered.status = status
            return unanswered
        refusal = RefusalError(
            f"{_name(method)}: expected success, got {self._told(code)}",
            hint=self._token_hint if code in _BAD_TOKENS else _HINTS.get(code, ""),
        )
        refusal.code, refusal.status = code, status
        refusal.pause_s = _pause_asked(answer.headers)
        return refusal

    def _unanswered(self, method: str, error: Exception) -> UnansweredError:
        cause = error.reason if isinstance(error, URLError) else error
        unanswered = UnansweredError(
            f"{_name(method)}: expected an answer of {urlsplit(self._base_url).netloc},"
            f" got {self._told(str(cause) or type(cause).__name__)}"
        )
        unanswered.was_sent = not isinstance(cause, _NEVER_SENT)
        return unanswered

    def _told(self, text: str) -> str:
        text = redact(text.replace(self._token, "***"))
        return repr(" ".join(text.split())[:_TOLD_CHARS])

    @property
    def _token_hint(self) -> str:
        return f"set {self._variable} to the bot token of the Slack app, xoxb-..."


def _pause_asked(headers: Mapping[str, Any]) -> float:
    text = next((str(headers[each]) for each in headers if each.lower() == "retry-after"), "")
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else 1.0


def _name(method: str) -> str:
    return f"Slack: {method.replace('_', '.', 1)}"


def within(budget_s: float, work: Callable[[], _Told]) -> _Told:
    """Return what the work returns; give it up where it takes too long.

    A time limit of a socket bounds neither a name server nor an answer that drips.
    """
    future: Future[_Told] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  told to who waits
            future.set_exception(error)

    threading.Thread(target=run, name="slack", daemon=True).start()
    try:
        return future.result(timeout=budget_s + _GRACE_S)
    except TimeoutError as error:
        raise UnansweredError(
            f"Slack: expected an answer within {budget_s:g} s, got none"
        ) from error
