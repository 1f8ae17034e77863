"""Both clouds in a process of their own, told what to do by lines of JSON on standard input.

    python -m tests.fakes.clouds

The first line on standard output holds the two URLs. Each line of input names a cloud and either
a method with its arguments or an attribute with its value; each is answered by one line. It ends
when standard input does. Moto's state is global, so a process has one S3; tests that ask for the
memory or the speed of a client need the servers elsewhere anyway.
"""

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.fakes.gcs import Call, FakeGcs
from tests.fakes.http_server import Reply
from tests.fakes.s3 import FakeS3
from tests.fakes.s3_wire import S3Request


class _Log:
    """What was asked, in order: operation, key, the prefix of a listing, and when."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, float]] = []
        self._lock = threading.Lock()

    def add(self, operation: str, key: str, prefix: str) -> None:
        with self._lock:
            self._rows.append((operation, key, prefix, time.time()))

    def take(self) -> list[tuple[str, str, str, float]]:
        with self._lock:
            rows, self._rows = self._rows, []
            return rows


class WatchedS3(FakeS3):
    """Notes each request."""

    def __init__(self) -> None:
        self.log = _Log()
        super().__init__()

    def take_seen(self) -> list[tuple[str, str, str, float]]:
        """Return what was asked since the last time."""
        return self.log.take()

    def relax(self) -> None:
        """Refuse nothing any more."""
        self.denied, self.region, self.requester_pays = set(), None, set()
        self.is_skewed = False

    def age_uploads(self, bucket: str, hours: float) -> None:
        """Let every open upload of a bucket be that old."""
        for upload in self.uploads(bucket):
            self.age_upload(upload, timedelta(hours=hours))

    def _authorize(self, request: S3Request) -> None:
        self.log.add(request.operation, request.key, request.query.get("prefix", ""))
        super()._authorize(request)


class WatchedGcs(FakeGcs):
    """Notes each request."""

    def __init__(self, folder: Path | None = None) -> None:
        self.log = _Log()
        super().__init__(folder=folder)

    def take_seen(self) -> list[tuple[str, str, str, float]]:
        """Return what was asked since the last time."""
        return self.log.take()

    def relax(self) -> None:
        """Refuse nothing any more."""
        self.denied = set()

    def make_bucket(self, name: str, *, requester_pays: bool = False) -> None:
        """Add a bucket."""
        self.create_bucket(name, requester_pays=requester_pays)

    def received(self) -> int:
        """Return how many bytes of bodies were received."""
        return self.received_bytes

    def _start_session(self, call: Call) -> Reply:
        """Answer with a session at the name by which this server was called, as the cloud does."""
        reply = super()._start_session(call)
        called = f"http://{call.request.headers['host']}"
        reply.headers["Location"] = reply.headers["Location"].replace(self.url, called)
        return reply

    def _enter(self, call: Call, permission: str = "", *, authorised: bool = False) -> None:
        prefix = call.request.parameters().get("prefix", [""])[-1]
        self.log.add(call.operation, call.name, prefix)
        super()._enter(call, permission, authorised=authorised)


def _obey(server: Any, order: dict[str, Any]) -> Any:
    if "set" in order:
        before, value = getattr(server, order["set"]), order["value"]
        setattr(server, order["set"], set(value) if isinstance(before, set) else value)
        return None
    if "get" in order:
        return getattr(server, order["get"])
    return getattr(server, order["call"])(*order.get("args", ()), **order.get("options", {}))


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="for the bytes of GCS; a temporary one")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers: dict[str, FakeS3 | FakeGcs] = {
            "s3": stack.enter_context(WatchedS3()),
            "gcs": stack.enter_context(WatchedGcs(options.folder)),
        }
        _say({name: server.url for name, server in servers.items()})
        for line in sys.stdin:
            order = json.loads(line)
            try:
                _say({"answer": _obey(servers[order["cloud"]], order)})
            except Exception as error:  # noqa: BLE001  whoever asked is told
                _say({"error": repr(error)})


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
