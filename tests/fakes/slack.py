"""Slack's Web API as far as telling a channel needs it: it refuses what the real one refuses.

Source: Slack's reference of chat.postMessage, chat.update, conversations.history and auth.test,
and of Block Kit. Like the real one it answers a refusal with 200 and ``ok: false``.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.http_server import HttpServer, Reply, Request

TOKEN = "xoxb-1111-2222-fakefakefake"
HANG_S = 3.0  # a hanging request ends by itself
MAX_BLOCKS, MAX_HEADER, MAX_SECTION, MAX_TEXT, MAX_MESSAGE = 50, 150, 3000, 40_000, 13_000
_ENTITY = re.compile(r"&(?!(amp|lt|gt);)")
_HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"
_CHANGES = {"chat.postMessage", "chat.update"}
_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
}


class RefusedError(Exception):
    """An answer with ``ok: false``; its text is the code."""


@dataclass
class Call:
    """A call that arrived."""

    method: str
    """Name of the method."""
    arguments: dict[str, Any]
    """Its arguments."""
    changed: bool = False
    """Whether it changed anything."""


@dataclass
class Room:
    """A channel."""

    identifier: str
    """Such as C0123456789."""
    name: str
    """Without the '#'."""
    is_member: bool = True
    """Whether the bot is in it."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """What stands there, the oldest first."""


class FakeSlack(HttpServer):
    """A workspace with the channels ``#data`` and ``#private``; the bot is not in the second.

    Faults are given by ``fail``, one a call, the first first: an error code of Slack's,
    ``limited:<seconds>``, ``status:<code>``, ``html``, ``reset`` (nothing done),
    ``reset-after`` (done), ``status-after:<code>`` (done), ``hang`` (done at its end).
    """

    def __init__(self) -> None:
        super().__init__()
        self.rooms = [Room("C0123456789", "data"), Room("C0987654321", "private", is_member=False)]
        self.scopes = {"chat:write", "channels:history"}
        self.calls: list[Call] = []
        self.editable = True
        self.released = threading.Event()
        self._faults: deque[tuple[str, str]] = deque()
        self._busy = threading.Lock()
        self._last_ts = 0.0

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What stands in ``#data``."""
        return self.rooms[0].messages

    @property
    def changes(self) -> int:
        """How many calls changed something."""
        return sum(each.changed for each in self.calls)

    def methods(self) -> list[str]:
        """Return the methods in the order of their calls."""
        return [each.method for each in self.calls]

    def fail(self, *faults: str, method: str = "") -> None:
        """Let the next calls (of one method) go wrong, one after the other."""
        self._faults.extend((method, each) for each in faults)

    def close(self) -> None:
        """End what hangs, then the server."""
        self.released.set()
        super().close()

    def answer(self, request: Request) -> Reply:
        """Answer a call."""
        arguments = _arguments(request)
        method = request.path.removeprefix("/api/")
        with self._busy:
            call = Call(method, arguments)
            self.calls.append(call)
            fault = self._next_fault(method)
        before = self._before(fault)
        if before is not None:
            return before
        with self._busy:
            reply = self._reply(call, request)
        if fault == "reset-after":
            raise ConnectionResetError(method)
        if fault.startswith("status-after:"):
            return Reply(int(fault.partition(":")[2]), {"Content-Type": "text/html"}, _HTML)
        return reply

    def _next_fault(self, method: str) -> str:
        for index, (wanted, fault) in enumerate(self._faults):
            if wanted in {"", method}:
                del self._faults[index]
                return fault
        return ""

    def _before(self, fault: str) -> Reply | None:
        """Do what a fault does before the call is done; None where it is to be done."""
        word, _, figure = fault.partition(":")
        if word == "reset":
            raise ConnectionResetError(fault)
        if word == "html":
            return Reply(200, {"Content-Type": "text/html"}, _HTML)
        if word == "status":
            return Reply(int(figure), {"Content-Type": "text/html"}, _HTML)
        if word == "limited":
            headers = {"Retry-After": figure} if figure else {}
            return _table({"ok": False, "error": "ratelimited"}, 429, headers)
        if word == "hang":
            self.released.wait(HANG_S)
            return None
        if word in {"", "reset-after", "status-after"}:
            return None
        return _table({"ok": False, "error": fault})

    def _reply(self, call: Call, request: Request) -> Reply:
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        try:
            self._authorise(call.method, request.headers.get("authorization", ""))
            table = self._do(call)
            call.changed = call.method in _CHANGES
        except RefusedError as error:
            return _table({"ok": False, "error": str(error)}, headers=headers)
        return _table({"ok": True, **table}, headers=headers)

    def _do(self, call: Call) -> dict[str, Any]:
        known = {
            "auth.test": self._test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
        }
        if call.method not in known:
            raise RefusedError("unknown_method")
        return known[call.method](call.arguments)

    def _authorise(self, method: str, authorisation: str) -> None:
        if not authorisation:
            raise RefusedError("not_authed")
        if authorisation != f"Bearer {TOKEN}":
            raise RefusedError("invalid_auth")
        if _SCOPES.get(method, "chat:write") not in self.scopes and method != "auth.test":
            raise RefusedError("missing_scope")

    def _test(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"user": "lading", "team": "Example Data", "bot_id": "B0001"}

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        room = self._room(str(arguments.get("channel", "")), by_name=True)
        if not room.is_member:
            raise RefusedError("not_in_channel")
        require_message(arguments)
        self._last_ts = max(self._last_ts + 0.000_001, round(time.time(), 6))
        message = {"type": "message", "bot_id": "B0001", "ts": f"{self._last_ts:.6f}"}
        message |= {name: arguments[name] for name in _kept(arguments)}
        room.messages.append(message)
        return {"channel": room.identifier, "ts": message["ts"], "message": message}

    def _update(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        room = self._room(str(arguments.get("channel", "")))
        found = [each for each in room.messages if each["ts"] == arguments.get("ts")]
        if not found:
            raise RefusedError("message_not_found")
        if found[0]["bot_id"] != "B0001":
            raise RefusedError("cant_update_message")
        if not self.editable:
            raise RefusedError("edit_window_closed")
        require_message(arguments)
        found[0].update({name: arguments[name] for name in _kept(arguments)})
        return {"channel": room.identifier, "ts": arguments["ts"], "text": arguments["text"]}

    def _history(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        room = self._room(str(arguments.get("channel", "")))
        if not room.is_member:
            raise RefusedError("not_in_channel")
        limit = int(arguments.get("limit", 100))
        if not 0 < limit < 1000:
            raise RefusedError("invalid_limit")
        oldest, first = float(arguments.get("oldest", 0)), int(arguments.get("cursor") or 0)
        newest_first = [each for each in reversed(room.messages) if float(each["ts"]) > oldest]
        page = [dict(each) for each in newest_first[first : first + limit]]
        if arguments.get("include_all_metadata") not in {"1", "true"}:
            for each in page:
                each.pop("metadata", None)
        more = first + limit < len(newest_first)
        cursor = {"response_metadata": {"next_cursor": str(first + limit)}} if more else {}
        return {"messages": page, "has_more": more, **cursor}

    def _room(self, channel: str, *, by_name: bool = False) -> Room:
        for each in self.rooms:
            names = {each.name, f"#{each.name}"} if by_name else set()
            if channel in {each.identifier, *names}:
                return each
        raise RefusedError("channel_not_found")


def require_message(arguments: Mapping[str, Any]) -> None:
    """Refuse a message that Slack would not take.

    Raises:
        RefusedError: with Slack's code.
    """
    text, blocks = arguments.get("text", ""), arguments.get("blocks", [])
    if not text and not blocks:
        raise RefusedError("no_text")
    if _units(text) > MAX_TEXT:
        raise RefusedError("msg_too_long")
    if len(blocks) > MAX_BLOCKS:
        raise RefusedError("invalid_blocks")
    for each in blocks:
        _require_block(each)
    if sum(_units(each["text"]["text"]) for each in blocks) > MAX_MESSAGE:
        raise RefusedError("msg_blocks_too_long")
    metadata = arguments.get("metadata")
    if metadata is not None and set(metadata) != {"event_type", "event_payload"}:
        raise RefusedError("invalid_metadata_format")


def _require_block(block: Mapping[str, Any]) -> None:
    kinds = {"header": ("plain_text", MAX_HEADER), "section": ("mrkdwn", MAX_SECTION)}
    kind, limit = kinds.get(block.get("type", ""), ("", 0))
    text = block.get("text", {})
    if text.get("type") != kind or not 0 < _units(text.get("text", "")) <= limit:
        raise RefusedError("invalid_blocks")
    if set(block) - {"type", "text", "block_id"}:
        raise RefusedError("invalid_blocks")
    if set(text) - {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}:
        raise RefusedError("invalid_blocks")
    if kind == "mrkdwn" and _ENTITY.search(text["text"]):
        raise RefusedError("invalid_blocks")  # stricter than Slack, which would show it


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _kept(arguments: Mapping[str, Any]) -> set[str]:
    return {"text", "blocks", "metadata"} & set(arguments)


def _arguments(request: Request) -> dict[str, Any]:
    body = request.body.read().decode()
    if request.headers.get("content-type", "").startswith("application/json"):
        # methods that read take no JSON: what came so is not seen
        table = json.loads(body) if request.path.startswith("/api/chat.") else {}
        return dict(table)
    return dict(parse_qsl(body, keep_blank_values=True))


def _table(
    table: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(status, {**kind, **(headers or {})}, json.dumps(table).encode())
