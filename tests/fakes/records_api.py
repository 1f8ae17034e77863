"""An application's API that takes records: it refuses what a real one refuses, and counts.

    python -m tests.fakes.records_api

A request is ``{"records": [...]}`` as JSON, with a bearer token where one is set and a key of
its own: the same key with another body is refused, with the same body it is answered as before
and nothing is done again. Records are kept by ``id``; each write of one is counted. Source: IETF
draft "The Idempotency-Key HTTP Header Field", 2.6 and 2.7.
"""

import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_server import HttpServer, Reply, Request, serve_until_closed

JSON = {"Content-Type": "application/json"}
PAGE = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"
STYLES = ("plain", "results", "errors", "whole", "named", "mute", "silent")


@dataclass(frozen=True)
class Call:
    """A request that arrived."""

    key: str
    """Its idempotency key, or ""."""
    ids: tuple[Any, ...]
    """Ids of its records."""
    status: int
    """What it was answered, whether or not the answer went out."""
    replayed: bool = False
    """Whether it was answered as before."""


class FakeRecordsApi(HttpServer):
    """Takes records at ``/records``.

    Attributes:
        style: how refused records are told: ``plain`` and ``errors`` take the others and list the
            refused by index in a 200; ``results`` has an entry a record in a 207; ``whole``
            refuses all with a 422 that names none, ``named`` with one that names them by id;
            ``mute`` takes the others and says only that there were errors, in a 200; ``silent``
            answers 204 where all are taken, else as ``whole``.
        refuses: says of a record why it is refused, or "".
        busy: ids of records that are to be sent again, and how often still.
        token: the bearer token that is asked for, or "".
        max_records: more are refused with a 413; None: none are.
        requires_key: refuse requests without an idempotency key with a 400.
        records: what was taken, by id.
        writes: how often each was written.
        calls: all requests that were understood, in order.
        stored: told of each request that was done, before its answer goes out.

    Faults are given by ``fail``, one a request, the first first: ``limited:<seconds>``,
    ``status:<code>``, ``html``, ``reset`` (nothing done), ``html-after``, ``reset-after``,
    ``short`` (a result too few), ``page`` (a 200 that is no JSON), ``count`` (a wrong number of
    accepted records) (all of these: done).
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port=port)
        self.style = "plain"
        self.refuses: Callable[[dict[str, Any]], str] = lambda _: ""
        self.busy: Counter[Any] = Counter()
        self.token = ""
        self.max_records: int | None = None
        self.requires_key = True
        self.records: dict[Any, dict[str, Any]] = {}
        self.writes: Counter[Any] = Counter()
        self.calls: list[Call] = []
        self.stored: Callable[[Call], None] = lambda _: None
        self._answers: dict[str, tuple[str, Reply]] = {}
        self._faults: deque[str] = deque()
        self._busy_lock = threading.Lock()

    @property
    def records_url(self) -> str:
        """Where records are sent."""
        return f"{self.url}/records"

    def fail(self, *faults: str) -> None:
        """Let the next requests go wrong, one after the other."""
        self._faults.extend(faults)

    def answer(self, request: Request) -> Reply:
        """Answer a request."""
        data = request.body.read()
        with self._busy_lock:
            fault = self._faults.popleft() if self._faults else ""
            before = _before(fault)
            if before is not None:
                return before
            reply, call = self._reply(request, data)
            self.calls.append(call)
        if reply.status < 400:
            self.stored(call)
        return _after(fault, reply, len(call.ids))

    def _reply(self, request: Request, data: bytes) -> tuple[Reply, Call]:
        key = request.headers.get("idempotency-key", "")
        refusal = self._refuse(request, key)
        if refusal is not None:
            return refusal, Call(key, (), refusal.status)
        try:
            sent = json.loads(data)["records"]
            ids = tuple(each["id"] for each in sent)
        except (ValueError, KeyError, TypeError) as error:
            return _say(400, {"message": f"no records: {error!r}"}), Call(key, (), 400)
        digest = hashlib.sha256(data).hexdigest()
        if key in self._answers:
            known, reply = self._answers[key]
            if known != digest:
                return _say(422, {"message": "the key is that of another request"}), Call(
                    key, ids, 422
                )
            return reply, Call(key, ids, reply.status, replayed=True)
        reply = self._take(sent, ids)
        if key and reply.status < 400:
            self._answers[key] = (digest, reply)
        return reply, Call(key, ids, reply.status)

    def _refuse(self, request: Request, key: str) -> Reply | None:
        if request.path != "/records":
            return _say(404, {"message": "no such place"})
        if request.method not in {"POST", "PUT"}:
            return _say(405, {"message": "POST or PUT"})
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return _say(401, {"message": "no token, or not that of anybody"})
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _say(415, {"message": "JSON only"})
        if self.requires_key and not key:
            return _say(400, {"message": "no idempotency key"})
        return None

    def _take(self, sent: Sequence[dict[str, Any]], ids: tuple[Any, ...]) -> Reply:
        """Take what can be taken, and tell of the rest as the style is."""
        if self.max_records is not None and len(sent) > self.max_records:
            return _say(413, {"message": f"at most {self.max_records} records"})
        said = [self._judge(each) for each in sent]
        bad = {index: each for index, each in enumerate(said) if each}
        if bad and self.style in {"whole", "named", "silent"}:
            return _refuse_all(bad, ids, names_them=self.style == "named")
        for index, each in enumerate(sent):
            if index not in bad:
                self.records[each["id"]] = each
                self.writes[each["id"]] += 1
        return self._tell(said, ids)

    def _judge(self, record: dict[str, Any]) -> dict[str, Any]:
        if self.busy[record["id"]] > 0:
            self.busy[record["id"]] -= 1
            return {"status": 503, "message": "busy"}
        reason = self.refuses(record)
        return {"status": "error", "message": reason} if reason else {}

    def _tell(self, said: Sequence[dict[str, Any]], ids: tuple[Any, ...]) -> Reply:
        bad = [{"index": index, **each} for index, each in enumerate(said) if each]
        if self.style == "results":
            rows = [
                {"id": name, "status": "ok", **each} for name, each in zip(ids, said, strict=True)
            ]
            return _say(207 if bad else 200, {"results": rows})
        if self.style == "mute" and bad:
            return _say(200, {"success": False, "message": "some were refused"})
        if self.style == "silent":
            return Reply(204)
        return _say(200, {"accepted": len(said) - len(bad), **({"errors": bad} if bad else {})})


def _refuse_all(bad: dict[int, dict[str, Any]], ids: tuple[Any, ...], *, names_them: bool) -> Reply:
    table: dict[str, Any] = {"message": "not all of them are valid"}
    if names_them:
        table["errors"] = [{"id": ids[index], **each} for index, each in bad.items()]
    return _say(422, table)


def _before(fault: str) -> Reply | None:
    """Return what is answered instead of doing anything; None where it is done."""
    kind, _, value = fault.partition(":")
    if kind == "limited":
        return Reply(429, {"Retry-After": value, **JSON}, b'{"message": "slow down"}')
    if kind == "status":
        return _say(int(value), {"message": "told to"})
    if kind == "html":
        return Reply(502, {"Content-Type": "text/html"}, PAGE)
    if kind == "reset":
        raise ConnectionResetError(fault)
    return None


def _after(fault: str, reply: Reply, count: int) -> Reply:
    """Return what is answered although it was done."""
    if fault == "reset-after":
        raise ConnectionResetError(fault)
    if fault == "html-after":
        return Reply(502, {"Content-Type": "text/html"}, PAGE)
    if fault == "page":
        return Reply(200, {"Content-Type": "text/html"}, PAGE)
    if fault == "short":
        return _say(200, {"results": [{"status": "ok"}] * (count - 1)})
    if fault == "count":
        return _say(200, {"accepted": count + 1})
    return reply


def _say(status: int, table: Any) -> Reply:
    return Reply(status, dict(JSON), json.dumps(table).encode())


if __name__ == "__main__":
    serve_until_closed(FakeRecordsApi())
