"""GitHub's REST API through one of two doors: the command ``gh``, or HTTP with a token.

``gh`` is taken where it is installed and knows a token: then a laptop's login is enough. Both
doors say the same: JSON, or an error with GitHub's own words and the status code.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from lading.errors import CommandError, GuardError, ServiceError, UnansweredError
from lading.services.redaction import redact
from lading.services.rest import RestClient
from lading.services.shell import has_program, run_command
from lading.storage.progress import NO_PROGRESS, Progress

API_URL = "https://api.github.com"
# 2026-03-10 is newer, but no GitHub Enterprise Server in use is asked to know it
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_ATTEMPTS = 4
_PAUSE_S = 1.0
# "Best practices for using the REST API", read 2026-11: where no header says how long
_HASTE_S = 60.0
_ANSWER_S = 90.0
_TOLD_CHARS = 300
_NO_LOGIN = 4  # exit code of gh, see `gh help exit-codes`
_TRANSIENT = frozenset({408, 500, 502, 503, 504})
_HASTE = frozenset({403, 429})
_ERROR = re.compile(r"gh: (?:(?P<said>.*?) \()?HTTP (?P<status>\d{3})\)?", re.DOTALL)
_UNSENT = re.compile(r"error connecting to|\bdial \w+|proxyconnect|no such host")
# what a person may have set for his terminal changes what gh prints
_PLAIN = {
    "CLICOLOR_FORCE": "0",
    "GH_DEBUG": "0",
    "GH_FORCE_TTY": "",
    "GH_NO_UPDATE_NOTIFIER": "1",
    "GH_PROMPT_DISABLED": "1",
    "GH_TELEMETRY": "false",
    "NO_COLOR": "1",
}


class GithubApi(Protocol):
    """GitHub's REST API.

    Attributes:
        door: how it is reached, in a word.
        progress: asked while it is waited; what it raises ends the call.
    """

    door: str
    progress: Progress

    def call(self, method: str, path: str, table: Any = None) -> Any:
        """Call a path and return its JSON, or None where there was none to be.

        What only reads is asked again where no answer came; what changes something is not,
        unless it was certainly not done.

        Args:
            method: HTTP method.
            path: begins with a slash; may have a query, never a secret.
            table: JSON to send.

        Raises:
            GuardError: it could change something, and this one may only read.
            UnansweredError: no answer that could be read; ``was_sent`` tells whether it may
                have been done.
            ServiceError: GitHub said no; ``status`` tells how.
        """


class RestApi:
    """The API over HTTP.

    Args:
        token: token of a person, an app or a job.
        url: root of the API.
        read_only: refuse every call that could change something.
        sleep: how to wait; another one in tests.
    """

    door = "REST"

    def __init__(
        self,
        token: str,
        url: str = API_URL,
        *,
        read_only: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = RestClient(
            "GitHub", url, token=token, headers=_HEADERS, read_only=read_only, sleep=sleep
        )

    @property
    def progress(self) -> Progress:
        """Asked while it is waited."""
        return self._client.progress

    @progress.setter
    def progress(self, progress: Progress) -> None:
        self._client.progress = progress

    def call(self, method: str, path: str, table: Any = None) -> Any:
        """Call a path and return its JSON; see ``GithubApi``."""
        return self._client.ask(method, path, table=table).table


class GhApi:
    """The API through ``gh api``, with gh's own token.

    Args:
        folder: where to run it.
        environment: variables for it, beside those of this process.
        hostname: GitHub's host where gh would not choose the right one.
        read_only: refuse every call that could change something.
        sleep: how to wait; another one in tests.
    """

    door = "gh"

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        hostname: str = "",
        read_only: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.progress: Progress = NO_PROGRESS
        self._folder = folder
        self._environment = {**environment, **_PLAIN}
        self._hostname = hostname
        self._read_only = read_only
        self._sleep = sleep

    def call(self, method: str, path: str, table: Any = None) -> Any:
        """Call a path and return its JSON; see ``GithubApi``."""
        if self._read_only and method not in {"GET", "HEAD"}:
            raise GuardError(f"GitHub: expected to read only, got {method} {path}")
        haste = 1  # refusals for haste that are waited out
        for attempt in range(_ATTEMPTS):
            try:
                return self._ask(method, path, table)
            except ServiceError as error:
                hasty = haste > 0 and _is_haste(error)
                if not (hasty or _may_repeat(error, method)) or attempt == _ATTEMPTS - 1:
                    raise
            haste -= hasty
            wait(_HASTE_S if hasty else _PAUSE_S * 2**attempt, self.progress, self._sleep)
        raise AssertionError(path)

    def _ask(self, method: str, path: str, table: Any) -> Any:
        arguments = ["gh", "api", "--method", method, path]
        for name, value in _HEADERS.items():
            arguments += ["--header", f"{name}: {value}"]
        arguments += ["--hostname", self._hostname] if self._hostname else []
        arguments += ["--input", "-"] if table is not None else []
        try:
            printed = run_command(
                arguments,
                folder=self._folder,
                timeout_s=_ANSWER_S,
                environment=self._environment,
                stdin="" if table is None else json.dumps(table),
                progress=self.progress,
            )
        except CommandError as error:
            raise _failure(method, path, error) from error
        try:
            return json.loads(printed) if printed.strip() else None
        except ValueError as error:
            raise UnansweredError(
                f"GitHub: {method} {_plain(path)}: expected JSON, got {_told(printed)}"
            ) from error


def open_github(
    folder: Path, environment: Mapping[str, str], *, read_only: bool = False
) -> GithubApi:
    """Return the API by the door that is open here.

    That is gh where it is on the PATH and knows a token for the host; else HTTP with GH_TOKEN
    or GITHUB_TOKEN. GITHUB_API_URL names another server, as it does in a job of Actions.

    Args:
        folder: where gh is to run.
        environment: variables of this process.
        read_only: refuse every call that could change something.

    Raises:
        ServiceError: there is neither a login nor a token.
    """
    url = environment.get("GITHUB_API_URL", "").rstrip("/") or _url_of(environment)
    hostname = _hostname(url) if environment.get("GITHUB_API_URL") else ""
    if url.startswith("https://") and _gh_has_token(folder, environment, hostname):
        return GhApi(folder, environment, hostname=hostname, read_only=read_only)
    if token := token_of(environment, url):
        return RestApi(token, url, read_only=read_only)
    raise ServiceError(
        f"GitHub: expected a token or a login of gh for {urlsplit(url).netloc}, found neither",
        hint="set GH_TOKEN (or GITHUB_TOKEN), or run `gh auth login`",
    )


def token_of(environment: Mapping[str, str], url: str = API_URL) -> str:
    """Return the token for a server, chosen as gh does, or "".

    A server of one's own that GITHUB_API_URL names gets the ordinary token, too, where it has
    no other: that is how a job of Actions there finds it.
    """
    names = ["GH_TOKEN", "GITHUB_TOKEN"]
    if not _is_cloud(urlsplit(url).hostname or ""):
        names = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", *names]
    return next((environment[name] for name in names if environment.get(name)), "")


def wait(seconds: float, progress: Progress, sleep: Callable[[float], None]) -> None:
    """Wait, and end early where the run was asked to stop."""
    while seconds > 0:
        progress.relative_update(0)
        sleep(min(seconds, 1.0))
        seconds -= 1.0


def _gh_has_token(folder: Path, environment: Mapping[str, str], hostname: str) -> bool:
    if not has_program("gh"):
        return False
    arguments = ["gh", "auth", "token", *(["--hostname", hostname] if hostname else [])]
    try:  # it asks nobody; what it prints is neither kept nor told
        found = run_command(arguments, folder=folder, environment={**environment, **_PLAIN})
    except CommandError:
        return False
    return bool(found.strip())


def _url_of(environment: Mapping[str, str]) -> str:
    host = environment.get("GH_HOST", "")
    if host in {"", "github.com"}:
        return API_URL
    return f"https://api.{host}" if _is_cloud(host) else f"https://{host}/api/v3"


def _hostname(url: str) -> str:
    host = urlsplit(url).netloc
    return host.removeprefix("api.") if _is_cloud(host) else host


def _is_cloud(host: str) -> bool:
    return host in {"github.com", "api.github.com"} or host.endswith(".ghe.com")


def _may_repeat(error: ServiceError, method: str) -> bool:
    if not isinstance(error, UnansweredError):
        return False
    return method in {"GET", "HEAD"} or not error.was_sent


def _is_haste(error: ServiceError) -> bool:
    return error.status in _HASTE and "rate limit" in str(error).lower()


def _failure(method: str, path: str, error: CommandError) -> ServiceError:
    """Read what gh wrote on its standard error."""
    where = f"GitHub: {method} {_plain(path)}"
    if found := _ERROR.search(error.stderr):
        status = int(found["status"])
        kind = UnansweredError if status in _TRANSIENT else ServiceError
        said = _told(found["said"] or "")
        failed = kind(f"{where}: expected success, got {status} {said}")
        failed.status = status
        return failed
    if error.exit_code_of_child == _NO_LOGIN:
        return ServiceError(
            f"{where}: expected gh to have a token, found none",
            hint="set GH_TOKEN, or run `gh auth login`",
        )
    said = error.stderr or str(error)
    unanswered = UnansweredError(f"{where}: expected an answer, got {_told(said)}")
    unanswered.was_sent = _UNSENT.search(error.stderr) is None
    return unanswered


def _plain(path: str) -> str:
    return path.partition("?")[0]


def _told(text: str) -> str:
    return repr(redact(" ".join(text.split()))[:_TOLD_CHARS])
