"""Sentry's API for monitors: organisations, tokens with scopes, deletions that take their time.

It refuses what the real one refuses: no token or a wrong one, one without the scope, a path
without its last slash, a body that is no JSON, a config that its validator would not take. The
scope is asked before anything is looked up, and a config that is sent replaces the one before,
as of older versions: a client that sends a part of it loses the rest.
"""

import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from croniter import croniter

from tests.fakes.http_server import HttpServer, Reply, Request

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
ORGANIZATION, TOKEN = "acme", "sntrys_canary-of-the-sentry-tests"
SCOPES = {
    "GET": {"project:read", "project:write", "project:admin", "alerts:read", "alerts:write"},
    "PUT": {"project:write", "project:admin", "alerts:write"},
    "DELETE": {"project:write", "project:admin", "alerts:write"},
}
LIST_SCOPES = {"org:read", "org:write", "org:admin", "alerts:read"}
DEFAULTS = {
    "checkin_margin": None,
    "max_runtime": None,
    "timezone": None,
    "failure_issue_threshold": None,
    "recovery_threshold": None,
}
UNITS = {"year", "month", "week", "day", "hour", "minute"}
ZONES = {"", *available_timezones()}
Table = dict[str, Any]
_PATH = re.compile(r"/api/0/organizations/(?P<organization>[^/]+)/monitors/(?:(?P<slug>[^/]+)/)?")


@dataclass(frozen=True)
class SentryCall:
    """A request as it came; ``table`` is its JSON."""

    method: str
    path: str
    table: Any


@dataclass
class _Monitor:
    """A monitor; ``left`` counts the requests until a deletion is done."""

    table: Table
    left: int | None = None


class FakeSentry(HttpServer):
    """Sentry on loopback, with one organisation and one token that may do everything.

    Attributes:
        calls: the requests.
        lag: for how many further requests a deleted monitor is still shown.

    Faults stand in ``faults``, by method, one for each request to come: ``page`` (502 as HTML),
    ``hang`` (no answer), ``lost`` (done, and no answer), ``busy`` (429), ``other json``.
    """

    def __init__(self, *, lag: int = 0) -> None:
        super().__init__()
        self._guard = threading.RLock()
        self._stopped = threading.Event()
        self._organizations: dict[str, dict[str, _Monitor]] = {ORGANIZATION: {}}
        self._tokens: dict[str, tuple[frozenset[str], str]] = {}
        self.lag = lag
        self.faults: dict[str, list[str]] = {}
        self.calls: list[SentryCall] = []
        self.give_token(TOKEN, {"org:read", "project:write"})

    def give_token(
        self, token: str, scopes: Collection[str], organization: str = ORGANIZATION
    ) -> None:
        """Let a token be one of an organisation, with scopes."""
        self._organizations.setdefault(organization, {})
        self._tokens[token] = (frozenset(scopes), organization)

    def check_in(
        self,
        slug: str,
        schedule: str = "0 6 * * *",
        time_zone: str = "Etc/UTC",
        **config: Any,
    ) -> None:
        """Let a job report with its ``monitor_config``: the monitor is made, or its config set."""
        given = {"schedule_type": "crontab", "schedule": schedule, "timezone": time_zone}
        with self._guard:
            monitors = self._organizations[ORGANIZATION]
            if slug not in monitors:
                monitors[slug] = _Monitor(_new_monitor(slug))
            if monitors[slug].left is None:
                monitors[slug].table["config"] = {**DEFAULTS, **given, **config}

    def monitor(self, slug: str) -> Table | None:
        """Return a monitor as it is kept."""
        with self._guard:
            found = self._organizations[ORGANIZATION].get(slug)
            return None if found is None else found.table

    @property
    def slugs(self) -> list[str]:
        """The monitors that are not to be deleted."""
        with self._guard:
            found = self._organizations[ORGANIZATION].items()
            return sorted(slug for slug, each in found if each.left is None)

    def asked(self, method: str) -> list[str]:
        """Return the paths of all requests of a method."""
        return [each.path for each in self.calls if each.method == method]

    def close(self) -> None:
        """Stop, and let go of those who wait for an answer."""
        self._stopped.set()
        super().close()

    def answer(self, request: Request) -> Reply:
        """Answer as Sentry does."""
        raw = request.body.read()
        with self._guard:
            self.calls.append(SentryCall(request.method, request.path, _json(raw)))
            faults = self.faults.get(request.method, [])
            fault = faults.pop(0) if faults else ""
        if fault == "page":
            return Reply(502, {"Content-Type": "text/html"}, PAGE)
        if fault == "busy":
            return Reply(429, {"Retry-After": "1", "Content-Type": "application/json"}, b"{}")
        if fault == "hang":
            self._stopped.wait(30)
            raise ConnectionResetError
        if fault == "other json":
            return _say(200, ["something else"])
        with self._guard:
            reply = self._answer(request, raw)
        if fault == "lost":
            raise ConnectionResetError
        return reply

    def _answer(self, request: Request, raw: bytes) -> Reply:
        self._age()
        found = _PATH.fullmatch(request.path)
        if found is None:
            return Reply(404, {"Content-Type": "text/html"}, b"<html>Page Not Found</html>")
        slug = found["slug"]
        monitors = self._organizations.get(found["organization"], {})
        if refusal := self._refusal(request, found["organization"], slug):
            return refusal
        if slug:
            return self._act(request, monitors, slug, raw)
        return _say(200, [each.table for each in monitors.values() if each.left is None])

    def _refusal(self, request: Request, organization: str, slug: str | None) -> Reply | None:
        scopes, own = self._tokens.get(request.headers.get("authorization", "")[7:], (None, ""))
        if scopes is None:
            return _say(401, {"detail": "Invalid token"})
        if not scopes & (SCOPES.get(request.method, set()) if slug else LIST_SCOPES):
            return _refuse()
        monitors = self._organizations.get(organization)
        if monitors is None or (slug and slug not in monitors):
            return _say(404, {"detail": "The requested resource does not exist"})
        return None if own == organization else _refuse()

    def _act(self, request: Request, monitors: dict[str, _Monitor], slug: str, raw: bytes) -> Reply:
        monitor = monitors[slug]
        if request.method == "GET":
            return _say(200, monitor.table)
        if request.method == "DELETE":
            if monitor.left is not None:
                return Reply(404)
            monitor.left = self.lag
            monitor.table["status"] = "pending_deletion"
            if not self.lag:
                del monitors[slug]
            return Reply(202)
        if request.headers.get("content-type") != "application/json":
            return _say(415, {"detail": "Unsupported media type."})
        faults = check_monitor(_json(raw))
        if faults:
            return _say(400, faults)
        given = _json(raw)
        if "config" in given:
            known = {"schedule", "schedule_type", *DEFAULTS}
            config = {name: value for name, value in given["config"].items() if name in known}
            config["schedule"] = _kept(config["schedule"])
            monitor.table["config"] = {**DEFAULTS, **config}
        return _say(200, monitor.table)

    def _age(self) -> None:
        for monitors in self._organizations.values():
            for slug, monitor in list(monitors.items()):
                if monitor.left is not None:
                    monitor.left -= 1
                    if monitor.left < 0:
                        del monitors[slug]


def check_monitor(table: Any) -> Table:
    """Return what Sentry's validator finds wrong with a changed monitor, by field."""
    if not isinstance(table, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    if "config" not in table:
        return {}
    config = table["config"]
    if not isinstance(config, dict):
        return {"config": {"non_field_errors": ["Invalid data. Expected a dictionary."]}}
    faults = dict(_config_faults(config))
    return {"config": faults} if faults else {}


def _config_faults(config: Table) -> Iterator[tuple[str, list[str]]]:
    kind, schedule = config.get("schedule_type"), config.get("schedule")
    fits = {"crontab": _is_crontab, "interval": _is_interval}
    if "schedule" not in config:
        yield "schedule", ["This field is required."]
    elif kind not in fits:
        yield "schedule_type", ["Missing or invalid schedule type"]
    elif not fits[kind](schedule):
        yield "schedule", [f"Invalid schedule for '{kind}' type"]
    if "timezone" in config and config["timezone"] not in ZONES:
        yield "timezone", [f'"{config["timezone"]}" is not a valid choice.']
    for name in DEFAULTS.keys() - {"timezone"}:
        value = config.get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            yield name, ["Ensure this value is greater than or equal to 1."]


def _is_crontab(schedule: Any) -> bool:
    if not isinstance(schedule, str):
        return False
    text = _kept(schedule)
    return len(text.split()) == 5 and bool(croniter.is_valid(text))


def _is_interval(schedule: Any) -> bool:
    return (
        isinstance(schedule, list)
        and len(schedule) == 2
        and isinstance(schedule[0], int)
        and schedule[0] > 0
        and schedule[1] in UNITS
    )


def _kept(schedule: Any) -> Any:
    names = {"@daily": "0 0 * * *", "@hourly": "0 * * * *", "@weekly": "0 0 * * 0"}
    if not isinstance(schedule, str):
        return schedule
    text = " ".join(schedule.split())
    return names.get(text, text)


def _new_monitor(slug: str) -> Table:
    return {
        "id": f"guid-of-{slug}",
        "name": slug,
        "slug": slug,
        "status": "active",
        "isMuted": False,
        "type": "cron_job",
        "config": {},
        "environments": [],
    }


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


def _refuse() -> Reply:
    return _say(403, {"detail": "You do not have permission to perform this action."})


def _say(status: int, table: Mapping[str, Any] | list[Any]) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(table).encode())
