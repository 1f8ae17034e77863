"""Many readers and publishers at one server, from a process of their own: `python -m` this.

What is wanted comes as JSON on stdin, what was seen goes as JSON to stdout.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

ENDED = {"completed", "failed", "cancelled"}


@dataclass
class Wanted:
    """What the client is to do."""

    port: int
    """Port of the server on loopback."""
    token: str
    """A token of an admin."""
    readers: int
    """Clients that read, each as fast as it is answered."""
    publishers: list[list[tuple[str, str, str]]]
    """What each publisher asks for in turn: project, version, environment."""
    seconds: float
    """How long."""
    drain_s: float = 120.0
    """How long the last jobs are waited for."""


@dataclass
class Seen:
    """What was seen."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Answers by kind of request and status."""
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    """How long each took, by kind."""
    jobs: dict[str, list[str]] = field(default_factory=dict)
    """What was asked for by job: project, version, environment, how it ended."""
    repeated: int = 0
    """Requests that were sent twice and answered with one job."""
    faults: list[str] = field(default_factory=list)
    """What should not be."""
    read_s: float = 0.0
    """How long was read."""
    answers: int = 0
    """Answers in that time."""


class Connection:
    """One connection that is kept, as a browser does."""

    def __init__(self, wanted: Wanted, seen: Seen) -> None:
        self._wanted, self._seen = wanted, seen
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(
        self, kind: str, method: str, path: str, body: Any = None, key: str = ""
    ) -> tuple[int, bytes]:
        """Ask once; return status and body; note how long it took."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._wanted.port)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self._wanted.token}",
            f"Content-Length: {len(data)}",
            *(["Content-Type: application/json"] if data else []),
            *([f"Idempotency-Key: {key}"] if key else []),
        ]
        began = time.perf_counter()
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.startswith("content-length:")
        )
        answer = await reader.readexactly(length)
        took_ms = (time.perf_counter() - began) * 1000
        status = int(head.split()[1])
        self._seen.statuses[f"{kind} {status}"] += 1
        self._seen.latencies_ms.setdefault(kind, []).append(took_ms)
        if "connection: close" in head:
            self.close()
        return status, answer

    def close(self) -> None:
        """Close it; the next call opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read(wanted: Wanted, seen: Seen, until: float, chance: random.Random) -> None:
    """Read what people read, until it is time."""
    connection = Connection(wanted, seen)
    while time.monotonic() < until:
        known = list(seen.jobs)
        paths = [("jobs", "/jobs"), ("projects", "/projects"), ("health", "/healthz")]
        paths.append(("page", "/"))
        if known:
            paths += [("job", f"/jobs/{chance.choice(known)}")] * 3
        kind, path = chance.choice(paths)
        await connection.call(kind, "GET", path)
    connection.close()


async def publish(
    wanted: Wanted, seen: Seen, until: float, name: str, orders: list[tuple[str, str, str]]
) -> None:
    """Ask for one publish after another, each twice under one key; follow each to its end."""
    connection = Connection(wanted, seen)
    for number, (project, version, environment) in enumerate(orders):
        if time.monotonic() >= until:
            break
        path = f"/projects/{project}/versions/{version}/publish"
        names = []
        for _ in range(2):
            body = {"target_environment": environment}
            status, answer = await connection.call(
                "publish", "POST", path, body, f"{name}-{number}"
            )
            if status != 202:
                seen.faults.append(f"{path}: {status} {answer[:200]!r}")
                return
            names.append(json.loads(answer)["job_id"])
        seen.repeated += names[0] == names[1]
        seen.jobs[names[0]] = [project, version, environment, ""]
        ended = await follow(wanted, connection, names[0])
        seen.jobs[names[0]][3] = ended
    connection.close()


async def follow(wanted: Wanted, connection: Connection, job_id: str) -> str:
    """Ask for a job until it has ended; return how."""
    until = time.monotonic() + wanted.seconds + wanted.drain_s
    while time.monotonic() < until:
        status, answer = await connection.call("job", "GET", f"/jobs/{job_id}?logs=0")
        if status == 200 and (state := json.loads(answer)["status"]) in ENDED:
            return str(state)
        await asyncio.sleep(0.2)
    return "never"


async def main(wanted: Wanted) -> Seen:
    """Let all of them at the server."""
    seen, chance = Seen(), random.Random(7)
    began = time.monotonic()
    until = began + wanted.seconds
    readers = [read(wanted, seen, until, chance) for _ in range(wanted.readers)]
    publishers = [
        publish(wanted, seen, until, f"p{number}", orders)
        for number, orders in enumerate(wanted.publishers)
    ]
    reading = asyncio.gather(*readers, return_exceptions=True)
    publishing = asyncio.gather(*publishers, return_exceptions=True)
    results = await reading
    seen.read_s = time.monotonic() - began
    seen.answers = sum(seen.statuses.values())
    results += await publishing
    seen.faults += [repr(each) for each in results if each is not None]
    return seen


if __name__ == "__main__":
    found = asyncio.run(main(Wanted(**json.load(sys.stdin))))
    json.dump(vars(found), sys.stdout)
