"""Both clouds behind a network that breaks every third request: all arrives, counted once."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lading.config.models import Destination
from lading.errors import UnavailableError
from lading.release.objects import digest_bytes
from lading.storage import IF_ABSENT, Body, Condition, Progress, Store, s3_parts
from lading.storage import gcs as gcs_module
from lading.storage import s3 as s3_module
from lading.storage.cloud import each_at_once
from lading.storage.gcs import GcsStore
from lading.storage.s3 import S3Store
from tests.fakes.gcs import FakeGcs
from tests.fakes.proxy import FaultProxy
from tests.fakes.s3 import FakeS3
from tests.unit.storage.naps import note_naps

BUCKET = "open-data"
SMALL = 40_000
LARGE = 600_000
KINDS = ("reset_request", "status_500", "status_503", "status_429",
              "lying_200", "html_502", "reset_reply", "truncated")  # fmt: skip


class Counting(Progress):
    """Counts bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.total += inc


Shaky = tuple[Callable[[str], Store], FaultProxy, Callable[[str], bytes]]


@pytest.fixture(params=["s3", "gcs"])
def shaky(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shaky]:
    """Return what opens a store behind the proxy, the proxy, and what reads behind it."""
    note_naps(monkeypatch)
    monkeypatch.setattr(s3_module, "LARGE_BYTES", 2 * SMALL)
    monkeypatch.setattr(s3_module, "SINGLE_COPY_BYTES", 2 * SMALL)
    monkeypatch.setattr(gcs_module, "LARGE_BYTES", 2 * SMALL)
    monkeypatch.setattr(s3_parts, "plan_parts", plan_small_parts)
    with ExitStack() as stack:
        server: FakeS3 | FakeGcs
        if request.param == "s3":
            server = stack.enter_context(FakeS3())
            server.min_part_bytes = 1
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
        else:
            server = stack.enter_context(FakeGcs())
            server.rewrite_bytes_per_call = 256 << 10
        server.create_bucket(BUCKET)
        # the proxy cannot see where a session is: it names the server itself
        proxy = stack.enter_context(FaultProxy(server.url, kinds=KINDS, seed=35))

        def open_store(folder: str) -> Store:
            if isinstance(server, FakeS3):
                url = f"s3://{BUCKET}/{folder}"
                return S3Store(url, Destination(url=url, endpoint=proxy.url))
            url = f"gs://{BUCKET}/{folder}"
            store = GcsStore(url, Destination(url=url, endpoint=proxy.url, anonymous=True))
            begin = store._resumable._begin
            monkeypatch.setattr(
                store._resumable,
                "_begin",
                lambda *given: begin(*given).replace(server.url, proxy.url),
            )
            return store

        yield open_store, proxy, lambda name: server.read(BUCKET, name)


def plan_small_parts(size: int, part_bytes: int = 0) -> list[s3_parts.Part]:
    """Divide an object into small parts."""
    del part_bytes
    return [
        s3_parts.Part(number, start, min(2 * SMALL, size - start))
        for number, start in enumerate(range(0, size, 2 * SMALL), start=1)
    ]


def bodies(folder: Path) -> dict[str, tuple[bytes, Body]]:
    """Return files of some sizes, and documents."""
    made = {}
    for number in range(12):
        data = os.urandom(LARGE + number if number % 3 == 0 else SMALL * (number % 2))
        path = folder / f"{number}.bin"
        path.write_bytes(data)
        made[f"file {number}"] = (data, Body(digest_bytes(data), path))
    made["document"] = (b"{}", Body.of_bytes(b"{}"))
    return made


@pytest.mark.parametrize("condition", [Condition(), IF_ABSENT], ids=["always", "if absent"])
def test_everything_arrives(shaky: Shaky, tmp_path: Path, condition: Condition) -> None:
    """Files and documents arrive byte for byte, and each byte is counted once."""
    open_store, proxy, read = shaky
    chosen, counted = bodies(tmp_path), Counting()
    store = open_store("data")
    proxy.rate = 0.3

    def put(key: str) -> None:
        store.put(key, chosen[key][1], condition=condition, progress=counted)

    each_at_once(put, chosen, workers=4)
    proxy.rate = 0.0
    assert {key: read(f"data/{key}") for key in chosen} == {
        key: data for key, (data, _) in chosen.items()
    }
    assert counted.total == sum(len(data) for data, _ in chosen.values())
    assert sum(proxy.faults.values()) > 3


def test_copies_and_deletions(shaky: Shaky, tmp_path: Path) -> None:
    """Copies are the bytes of their sources, listings are whole, and deletions delete."""
    open_store, proxy, read = shaky
    chosen = bodies(tmp_path)
    depot, store = open_store("depot"), open_store("data")
    for key, (_, body) in chosen.items():
        depot.put(key, body)
    proxy.rate = 0.3

    def copy(key: str) -> None:
        store.copy(key, key, digest=chosen[key][1].digest, source_url=depot.url)

    each_at_once(copy, chosen, workers=4)
    assert [each.key for each in store.list()] == sorted(chosen)
    depot.delete(chosen)
    assert depot.list() == []
    assert all(store.get(key) == data for key, (data, _) in chosen.items())
    proxy.rate = 0.0
    assert all(read(f"data/{key}") == data for key, (data, _) in chosen.items())
    assert sum(proxy.faults.values()) > 3


def test_nothing_gets_through(shaky: Shaky, tmp_path: Path) -> None:
    """Where every request breaks, the end is one line after a bounded number of tries."""
    open_store, proxy, _ = shaky
    data, body = bodies(tmp_path)["file 0"]
    store, counted = open_store("data"), Counting()
    proxy.rate, proxy.kinds = 1.0, ("status_500", "reset_request", "html_502")
    with pytest.raises(UnavailableError) as caught:
        store.put("a", body, progress=counted)
    assert len(str(caught.value).splitlines()) == 1
    assert len(data) > counted.total == 0
    assert proxy.requests < 40
