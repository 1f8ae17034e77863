"""Tests of the fake of Slack: each rule by plain HTTP, then by Slack's own library."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.fakes.slack import MAX_BLOCKS, TOKEN, FakeSlack

HEADER = {"type": "header", "text": {"type": "plain_text", "text": "x"}}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    """A workspace."""
    with FakeSlack() as server:
        yield server
    assert not server.errors


def call(fake: FakeSlack, method: str, token: str = TOKEN, **arguments: Any) -> Any:
    """Call a method with JSON where it writes, as a form where it reads; return status, answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if method.startswith("chat."):
        body, kind = json.dumps(arguments), "application/json;charset=utf-8"
    else:
        body, kind = urlencode(arguments), "application/x-www-form-urlencoded"
    connection = HTTPConnection(urlsplit(fake.url).netloc, timeout=10)
    try:
        connection.request("POST", f"/api/{method}", body, {**headers, "Content-Type": kind})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    is_json = (answer.headers["Content-Type"] or "").startswith("application/json")
    return answer.status, json.loads(data) if is_json else data


def post(fake: FakeSlack, **arguments: Any) -> Any:
    """Post to #data and return the answer."""
    return call(fake, "chat.postMessage", **{"channel": "#data", "text": "hello", **arguments})[1]


def test_post_then_update_then_history(fake: FakeSlack) -> None:
    """A message is posted by name, updated by identifier and ts, and read back."""
    first, second = post(fake), post(fake)
    call(fake, "chat.update", channel="C0123456789", ts=first["ts"], text="changed")
    page = call(fake, "conversations.history", channel="C0123456789")[1]

    assert first["channel"] == "C0123456789"
    assert first["ts"] < second["ts"]
    assert [each["text"] for each in page["messages"]] == ["hello", "changed"]
    assert [each.changed for each in fake.calls] == [True, True, True, False]
    assert fake.methods()[-1] == "conversations.history"


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("chat.postMessage", {"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "#private", "text": "x"}, "not_in_channel"),
        ("chat.postMessage", {"channel": "#data"}, "no_text"),
        ("chat.postMessage", {"channel": "#data", "text": "x", "token": ""}, "not_authed"),
        ("chat.postMessage", {"channel": "#data", "text": "x", "token": "no"}, "invalid_auth"),
        ("chat.update", {"channel": "#data", "ts": "1.0", "text": "x"}, "channel_not_found"),
        ("chat.update", {"channel": "C0123456789", "ts": "1.0", "text": "x"}, "message_not_found"),
        ("conversations.history", {"channel": "#data"}, "channel_not_found"),
        ("conversations.history", {"channel": "C0987654321"}, "not_in_channel"),
        ("conversations.history", {"channel": "C0123456789", "limit": 1000}, "invalid_limit"),
        ("chat.erase", {}, "unknown_method"),
    ],
)
def test_refusals(fake: FakeSlack, method: str, arguments: dict[str, Any], code: str) -> None:
    """What the real service refuses is refused with its word, with status 200, and not done."""
    assert call(fake, method, **arguments) == (200, {"ok": False, "error": code})
    assert fake.changes == 0
    assert not fake.messages


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"blocks": [HEADER] * (MAX_BLOCKS + 1)}, "invalid_blocks"),
        ({"blocks": [{"type": "table"}]}, "invalid_blocks"),
        ({"blocks": [{**HEADER, "colour": "red"}]}, "invalid_blocks"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"metadata": {"event_type": "x"}}, "invalid_metadata_format"),
        *(
            ({"blocks": [{"type": kind, "text": {"type": style, "text": text}}]}, "invalid_blocks")
            for kind, style, text in [
                ("header", "plain_text", "x" * 151),
                ("header", "plain_text", "😀" * 76),
                ("header", "mrkdwn", "x"),
                ("section", "mrkdwn", ""),
                ("section", "mrkdwn", "x" * 3001),
                ("section", "mrkdwn", "a & b"),
            ]
        ),
        (
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 5},
            "msg_blocks_too_long",
        ),
    ],
)
def test_limits_of_a_message(fake: FakeSlack, arguments: dict[str, Any], code: str) -> None:
    """A message beyond Slack's limits is refused, when posted and when updated."""
    at = post(fake, blocks=[HEADER])["ts"]

    assert post(fake, **arguments) == {"ok": False, "error": code}
    again = {"channel": "C0123456789", "ts": at, "text": "hello", **arguments}
    assert call(fake, "chat.update", **again)[1] == {"ok": False, "error": code}
    assert len(fake.messages) == 1


def test_scopes(fake: FakeSlack) -> None:
    """What the app has no scope for is refused."""
    fake.scopes = {"channels:history"}
    assert post(fake)["error"] == "missing_scope"
    fake.scopes = {"chat:write"}
    assert call(fake, "conversations.history", channel="C0123456789")[1]["error"] == "missing_scope"
    assert post(fake)["ok"]


def test_edits_that_are_not_allowed(fake: FakeSlack) -> None:
    """A message of somebody else, or one that is closed, is not updated."""
    at = post(fake)["ts"]
    update = {"channel": "C0123456789", "ts": at, "text": "changed"}
    fake.editable = False
    assert call(fake, "chat.update", **update)[1]["error"] == "edit_window_closed"
    fake.messages[0]["bot_id"] = "B0002"
    assert call(fake, "chat.update", **update)[1]["error"] == "cant_update_message"
    assert fake.messages[0]["text"] == "hello"


def test_history_in_pages(fake: FakeSlack) -> None:
    """The history comes newest first, in pages, since a time, with metadata where asked for."""
    stamps = [post(fake, metadata={"event_type": "e", "event_payload": {}})["ts"] for _ in range(5)]
    asked = {"channel": "C0123456789", "limit": 2, "oldest": stamps[0]}
    first = call(fake, "conversations.history", **asked)[1]
    cursor = first["response_metadata"]["next_cursor"]
    second = call(fake, "conversations.history", **asked, cursor=cursor, include_all_metadata="1")[
        1
    ]

    assert [each["ts"] for each in first["messages"]] == stamps[:2:-1]
    assert [each["ts"] for each in second["messages"]] == stamps[2:0:-1]
    assert "response_metadata" not in second
    assert "metadata" not in first["messages"][0]
    assert "metadata" in second["messages"][0]


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        ("fatal_error", 200, 0),
        ("limited:3", 429, 0),
        ("status:503", 503, 0),
        ("html", 200, 0),
        ("status-after:500", 500, 1),
    ],
)
def test_faults(fake: FakeSlack, fault: str, status: int, done: int) -> None:
    """A fault answers as it is named, once, with the call done or not."""
    fake.fail(fault, method="chat.postMessage")
    call(fake, "auth.test")

    assert call(fake, "chat.postMessage", channel="#data", text="x")[0] == status
    assert len(fake.messages) == fake.changes == done
    assert post(fake)["ok"]


@pytest.mark.parametrize(("fault", "done"), [("reset", 0), ("reset-after", 1)])
def test_cut_connections(fake: FakeSlack, fault: str, done: int) -> None:
    """A connection is cut before or after the call is done."""
    fake.fail(fault)
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        post(fake)
    assert len(fake.messages) == done


def test_hanging_ends_with_the_server() -> None:
    """A call that hangs does not hold the end of a test."""
    began = time.monotonic()
    with FakeSlack() as fake:
        fake.fail("hang")
        client = WebClient(TOKEN, base_url=f"{fake.url}/api/", timeout=cast_int(0.1))
        with pytest.raises(TimeoutError):
            client.auth_test()
    assert time.monotonic() - began < 2


def cast_int(seconds: float) -> Any:
    """Return a time limit that the library takes, though it says that it wants a whole number."""
    return seconds


def test_library_of_slack_agrees(fake: FakeSlack) -> None:
    """Slack's own library posts, updates, reads, and raises on a refusal."""
    client = WebClient(TOKEN, base_url=f"{fake.url}/api/")
    answer = client.chat_postMessage(channel="#data", text="hello", blocks=[HEADER])
    client.chat_update(channel=str(answer["channel"]), ts=str(answer["ts"]), text="changed")
    page = client.conversations_history(channel=str(answer["channel"]), include_all_metadata=True)

    assert page["messages"][0]["text"] == "changed"
    assert client.auth_test().headers["X-OAuth-Scopes"] == "channels:history,chat:write"
    with pytest.raises(SlackApiError, match="channel_not_found"):
        client.chat_postMessage(channel="#nowhere", text="x")
