"""The fake of Sentry holds: it refuses what the real one refuses, and deletes in its time."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.sentry import ORGANIZATION, TOKEN, FakeSentry, check_monitor

ROOT = f"/api/0/organizations/{ORGANIZATION}/monitors/"
CONFIG = {"schedule_type": "crontab", "schedule": "0 6 * * *", "timezone": "Etc/UTC"}


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    """Serve an organisation with one monitor."""
    with FakeSentry() as server:
        server.check_in("a", checkin_margin=5)
        yield server
        assert not server.errors


def ask(
    sentry: FakeSentry, method: str = "GET", slug: str = "a/", token: str = TOKEN, **more: Any
) -> httpx.Response:
    """Ask for a monitor."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # without TLS there is nothing to verify, and certificates take their time to be loaded
    return httpx.request(
        method, f"{sentry.url}{ROOT}{slug}", headers=headers, verify=False, trust_env=False, **more
    )


def test_tokens(sentry: FakeSentry) -> None:
    """Without a token or with a wrong one nothing is told, nor without the scope."""
    sentry.give_token("ci", {"org:ci"})
    sentry.give_token("lists", {"org:read"})
    sentry.give_token("reads", {"project:read"})
    sentry.give_token("foreign", {"project:write"}, "other")

    assert [ask(sentry, token=each).status_code for each in ("", "no")] == [401, 401]
    assert ask(sentry, token="ci").status_code == 403
    assert ask(sentry, token="lists").status_code == 403
    assert ask(sentry, slug="", token="lists").status_code == 200
    assert ask(sentry, token="reads").status_code == 200
    assert ask(sentry, "DELETE", token="reads").status_code == 403
    assert ask(sentry, token="foreign").status_code == 403
    assert ask(sentry, slug="b/", token="foreign").status_code == 404
    assert sentry.slugs == ["a"]


@pytest.mark.parametrize("path", ["a", "/", "a/b/"])
def test_paths(sentry: FakeSentry, path: str) -> None:
    """A path without its last slash is none of the API."""
    reply = ask(sentry, slug=path)

    assert reply.status_code == 404
    assert "html" in reply.headers["content-type"]


def test_deletion(sentry: FakeSentry) -> None:
    """A deletion is accepted, shown as pending for a while, refused a second time, then done."""
    sentry.lag = 2

    assert ask(sentry, "DELETE").status_code == 202
    assert sentry.slugs == []
    assert ask(sentry, "DELETE").status_code == 404
    assert ask(sentry).json()["status"] == "pending_deletion"
    assert ask(sentry).status_code == 404
    assert [each.method for each in sentry.calls] == ["DELETE", "DELETE", "GET", "GET"]


def test_comes_back(sentry: FakeSentry) -> None:
    """A check-in brings a deleted monitor back."""
    ask(sentry, "DELETE")
    assert sentry.slugs == []
    sentry.check_in("a")

    assert ask(sentry).status_code == 200


def test_put(sentry: FakeSentry) -> None:
    """A config replaces the one before, whole; one with a fault changes nothing."""
    assert ask(sentry, "PUT", json={"config": {"schedule": 5}}).status_code == 400
    assert (sentry.monitor("a") or {})["config"]["checkin_margin"] == 5
    reply = ask(sentry, "PUT", json={"config": {**CONFIG, "schedule": "@daily"}})

    assert reply.json()["config"]["schedule"] == "0 0 * * *"
    assert reply.json()["config"]["checkin_margin"] is None
    assert ask(sentry, "PUT", content=b"{}").status_code == 415


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"config": CONFIG}, ""),
        ({"name": "b"}, ""),
        ({"config": {**CONFIG, "schedule": [1, "day"], "schedule_type": "interval"}}, ""),
        ([], "non_field_errors"),
        (b"no json", "non_field_errors"),
        ({"config": None}, "non_field_errors"),
        ({"config": {"schedule_type": "crontab"}}, "schedule"),
        ({"config": {"schedule": "0 6 * * *"}}, "schedule_type"),
        ({"config": {**CONFIG, "schedule_type": "cron"}}, "schedule_type"),
        ({"config": {**CONFIG, "schedule": 6}}, "schedule"),
        ({"config": {**CONFIG, "schedule": "0 0 6 * * *"}}, "schedule"),
        ({"config": {**CONFIG, "schedule": "99 6 * * *"}}, "schedule"),
        ({"config": {**CONFIG, "schedule": [0, "day"], "schedule_type": "interval"}}, "schedule"),
        ({"config": {**CONFIG, "timezone": None}}, "timezone"),
        ({"config": {**CONFIG, "timezone": "Mars"}}, "timezone"),
        ({"config": {**CONFIG, "max_runtime": 0}}, "max_runtime"),
        ({"config": {**CONFIG, "max_runtime": "1"}}, "max_runtime"),
    ],
)
def test_validator(table: Any, field: str) -> None:
    """A monitor is taken, or refused with the field that is wrong."""
    faults = check_monitor(table)

    assert (field in faults or field in faults.get("config", {})) if field else not faults


def test_faults(sentry: FakeSentry) -> None:
    """Each fault hits one request; of a lost answer the work is done."""
    sentry.faults = {"GET": ["page", "busy"], "DELETE": ["lost"]}

    assert [ask(sentry).status_code for _ in range(3)] == [502, 429, 200]
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sentry, "DELETE")
    assert sentry.slugs == []
    sentry.faults = {"GET": ["hang"]}
    with pytest.raises(httpx.ReadTimeout):
        ask(sentry, timeout=0.05)
