"""JSON over HTTP to a service outside the stores: named, paced, retried by type.

A status code alone is never believed: an answer that should be JSON and is a page is no answer.
A request that may have been done although its answer was lost is sent again only where that is
safe; else the caller reads back what the service holds.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx
import stamina
import stamina.instrumentation

from lading import __version__
from lading.errors import GuardError, ServiceError, UnansweredError
from lading.services.answers import LONGEST_WAIT_S, Answer
from lading.services.file_body import FileBody, Sending
from lading.services.redaction import redact
from lading.storage.progress import NO_PROGRESS, Progress
from lading.storage.retries import note_retry

__all__ = ["ATTEMPTS", "Answer", "FileBody", "RestClient"]

ATTEMPTS = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 20.0
_CONNECT_S, _ANSWER_S = 15.0, 60.0
_NO_CONTENT = 204
_MOST_REDIRECTS = 5
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

# what is tried again is no event of its own: it stands in the log, and the end is told
stamina.instrumentation.set_on_retry_hooks([note_retry])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A request, however often it is sent."""

    method: str
    url: str
    query: Mapping[str, str | int] | None = None
    table: Any = None
    sending: Sending | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_s: float = _ANSWER_S
    accepts: Collection[int] = ()

    @property
    def name(self) -> str:
        """The request in messages."""
        return f"{self.method} {urlsplit(self.url).path}"

    def options(self) -> dict[str, Any]:
        """Return what is sent with it, as httpx takes it."""
        timeout = httpx.Timeout(self.answer_s, connect=_CONNECT_S)
        headers = dict(self.headers)
        given: dict[str, Any] = {"params": self.query, "timeout": timeout, "headers": headers}
        if self.table is not None:
            given["json"] = self.table
        if self.sending is not None:
            given["content"] = self.sending.pieces()
            headers["Content-Type"] = "application/octet-stream"
            headers["Content-Length"] = str(self.sending.body.size_bytes)
        return given


class RestClient:
    """One service. Safe from several threads.

    Args:
        service: its name in messages, e.g. ``Zenodo``.
        url: what all paths begin with, without a slash at the end.
        token: sent as a bearer token; "" sends none.
        headers: sent with every request.
        read_only: refuse every request that could change something.
        attempts: how often a request is tried that may be repeated.
        sleep: how to wait; another one in tests.
    """

    def __init__(
        self,
        service: str,
        url: str,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        read_only: bool = False,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if token and parts.scheme != "https" and (parts.hostname or "") not in _LOOPBACK:
            raise ServiceError(f"{service}: expected https where a token is sent, got {url!r}")
        self.service = service
        self.url = url.rstrip("/")
        self.progress: Progress = NO_PROGRESS
        self._read_only = read_only
        self._attempts = attempts
        self._sleep = sleep
        self._wait_until = 0.0
        given = {"User-Agent": f"lading/{__version__} (data release)", "Accept": "application/json"}
        given |= {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            headers={**given, **(headers or {})},
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """Return the JSON of a path.

        Raises:
            UnansweredError: no answer that could be read, however often it was asked.
            ServiceError: it said no; ``status`` tells how.
        """
        return self.ask("GET", path, query=query).table

    def ask(  # noqa: PLR0913  a request has that many parts
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        table: Any = None,
        body: FileBody | None = None,
        headers: Mapping[str, str] | None = None,
        repeats: bool | None = None,
        accepts: Collection[int] = (),
        answer_s: float = _ANSWER_S,
    ) -> Answer:
        """Send a request and return its answer, which is a success.

        Args:
            method: HTTP method.
            path: begins with a slash, or is a whole URL of the same host.
            query: parameters of the URL; never a secret.
            table: JSON to send.
            body: file to send.
            headers: sent with this request, beside those of all.
            repeats: whether it may be sent again though it may have been done; by default
                all but POST and PATCH.
            accepts: status codes that are answers, too; their bodies are not read as JSON.
            answer_s: seconds without a byte after which an answer is given up.

        Raises:
            GuardError: it could change something, and this client may only read.
            UnansweredError: no answer that could be read; it may have been done or not.
            ServiceError: it said no; ``status`` tells how.
        """
        if self._read_only and method not in {"GET", "HEAD"}:
            raise GuardError(f"{self.service}: expected to read only, got {method} {path}")
        url = self._own(path)
        may_repeat = method not in {"POST", "PATCH"} if repeats is None else repeats
        sending = None if body is None else Sending(body, self.progress)
        request = _Request(
            method=method,
            url=url,
            query=query,
            table=table,
            sending=sending,
            headers=headers or {},
            answer_s=answer_s,
            accepts=accepts,
        )
        try:
            return self._tried(request, may_repeat=may_repeat)
        except BaseException:
            if sending is not None:
                sending.take_back()
            raise

    def look(self, path: str, accepts: Collection[int], *, method: str = "GET") -> Answer:
        """Ask for what is there, where a refusal is an answer as well.

        Args:
            path: begins with a slash, or is a whole URL of the same host.
            accepts: status codes that are answers; their bodies are not read as JSON.
            method: GET or HEAD.

        Raises:
            UnansweredError: no answer that could be read, however often it was asked.
            ServiceError: it said no in another way.
        """
        request = _Request(method=method, url=self._own(path), accepts=accepts)
        return self._tried(request, may_repeat=True)

    def _own(self, path: str) -> str:
        url = path if path.startswith("http") else self.url + path
        ours, parts = urlsplit(self.url), urlsplit(url)
        if parts.netloc != ours.netloc:
            raise ServiceError(
                f"{self.service}: expected a URL of {ours.netloc},"
                f" got {redact(parts._replace(query='', fragment='').geturl())!r}"
            )
        # never less safe than ours
        return str(parts._replace(scheme=ours.scheme).geturl())

    def _tried(self, request: _Request, *, may_repeat: bool) -> Answer:
        for attempt in stamina.retry_context(
            on=lambda error: _is_passing(error, may_repeat=may_repeat),
            attempts=self._attempts,
            timeout=None,
            wait_initial=0,
            wait_max=0,
            wait_jitter=0,
        ):
            with attempt:
                if attempt.num > 1:  # waited for here, where a run can be stopped
                    self._pause(min(_FIRST_PAUSE_S * 2 ** (attempt.num - 2), _LONGEST_PAUSE_S))
                return self._paced(request)
        raise AssertionError(self.url)

    def _paced(self, request: _Request) -> Answer:
        """Send a request once the service's allowance permits; a refusal for haste is no try."""
        waited = 0.0
        while True:
            waited += self._pause(self._wait_until - time.time())
            answer = self._send(request)
            pause = answer.asked_pause_s(waited)
            if pause is None:
                if answer.is_last:
                    self._wait_until = max(self._wait_until, time.time() + answer.until_reset_s)
                return self._judge(request, answer)
            if waited >= LONGEST_WAIT_S:
                raise self._error(request, answer, "expected room for a request")
            self._wait_until = time.time() + pause

    def _send(self, request: _Request) -> Answer:
        """Send a request; a question is asked again where the same host says it is answered."""
        answer = self._send_once(request)
        for _ in range(_MOST_REDIRECTS):
            target = self._redirected(request, answer)
            if not target:
                break
            request = replace(request, url=target, query=None)
            answer = self._send_once(request)
        return answer

    def _redirected(self, request: _Request, answer: Answer) -> str:
        """Return where a question is answered; "" where it is here, or not by this service."""
        parts = urlsplit(urljoin(request.url, answer.redirect))
        ours = urlsplit(self.url)
        if request.method != "GET" or not answer.redirect or parts.netloc != ours.netloc:
            return ""
        return str(parts._replace(scheme=ours.scheme).geturl())  # the token stays on its way

    def _send_once(self, request: _Request) -> Answer:
        try:
            response = self._http.request(request.method, request.url, **request.options())
        except httpx.HTTPError as error:
            reason = redact(str(error) or type(error).__name__).splitlines()[0]
            failed = UnansweredError(
                f"{self.service}: {request.name}: expected an answer of"
                f" {urlsplit(request.url).netloc}, got {reason!r}"
            )
            # then nothing was asked, so that asking again is safe
            failed.was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise failed from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, None, headers, response.content)

    def _judge(self, request: _Request, answer: Answer) -> Answer:
        if answer.status in request.accepts:
            return answer
        if not answer.is_success:
            raise self._error(request, answer, "expected success")
        if answer.status == _NO_CONTENT or not answer.content:
            return answer
        try:
            return replace(answer, table=json.loads(answer.content))
        except (ValueError, RecursionError) as error:
            raise self._error(request, answer, "expected JSON", passing=True) from error

    def _error(
        self, request: _Request, answer: Answer, expected: str, *, passing: bool = False
    ) -> ServiceError:
        kind = UnansweredError if passing or answer.is_passing else ServiceError
        error = kind(f"{self.service}: {request.name}: {expected}, got {answer.describe()}")
        error.status = answer.status
        return error

    def _pause(self, seconds: float) -> float:
        """Wait; end early where the run was asked to stop. Return for how long."""
        seconds = max(0.0, min(seconds, LONGEST_WAIT_S))
        left = seconds
        while left > 0:
            self.progress.relative_update(0)
            self._sleep(min(left, 1.0))
            left -= 1.0
        return seconds


def _is_passing(error: Exception, *, may_repeat: bool) -> bool:
    return isinstance(error, UnansweredError) and (may_repeat or not error.was_sent)
