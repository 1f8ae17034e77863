"""Records of silver sent to an API on loopback that counts how often each was written."""

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lading.errors import BadDataError, Interrupted, MisconfiguredError, TemporaryError
from lading.jobs.arguments import parse_arguments
from lading.jobs.builtin import ingest_api as module
from lading.jobs.builtin.ingest_api import JOB
from lading.jobs.registry import load_registry
from lading.jobs.running import Order, Telling, run_job
from lading.jobs.settings import JobSettings
from lading.storage import LocalStore, MemoryStore, Store
from tests.fakes.http_server import Reply
from tests.fakes.records_api import Call, FakeRecordsApi
from tests.unit.jobs.one_run import QuickRun, call, inputs_of, letters_of, make_run

TOKEN = "canary-4f1e77-token"


class Silver:
    """A folder of Parquet files, an API, and runs between them."""

    def __init__(self, base: Path, api: FakeRecordsApi) -> None:
        self.base = base
        self.folder = base / "silver"
        self.api = api
        self.runs = 0
        self.store: Store = MemoryStore()

    def write(self, name: str, ids: range | list[Any], **columns: list[Any]) -> str:
        """Write a file of records; return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = {"id": list(ids), "text": [f"record {each}" for each in ids], **columns}
        parquet.write_table(pa.table(table), path)
        return str(path)

    def run(self, *more: str, only: list[str] | None = None) -> QuickRun:
        """Make a run with batches of 10."""
        self.runs += 1
        argv = ["--source", "silver", "--url", self.api.records_url, *more]
        argv += [] if "--key" in more else ["--key", "id"]
        argv += [] if "--batch-size" in more else ["--batch-size", "10"]
        return make_run(
            "ingest_api", JOB, argv, base=self.base, store=self.store, only=only, number=self.runs
        )

    def do(self, *more: str, code: int = 0) -> QuickRun:
        """Run, which is to end with a code."""
        run = self.run(*more)
        assert call(JOB, run) == code
        return run

    def marks(self) -> list[str]:
        """Return the names of the marks that stand."""
        entries = self.store.list(".lading/jobs/ingest_api/state/")
        return [each.key for each in entries if "/sent/" in each.key]

    def require_once(self, ids: range | list[Any]) -> None:
        """Hold that the API has these records, and that each was written once."""
        assert sorted(self.api.records) == sorted(ids)
        assert self.api.writes == dict.fromkeys(ids, 1)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of the client: none of them takes time."""
    naps: list[float] = []
    clock = [1_738_713_600.0]

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("lading.services.rest.time.time", lambda: clock[0])
    original = module._prepare
    monkeypatch.setattr(module, "_prepare", lambda given: replace(original(given), sleep=sleep))
    return naps


@pytest.fixture
def silver(tmp_path: Path, waited: list[float]) -> Iterator[Silver]:
    """A folder and an API."""
    del waited
    with FakeRecordsApi() as api:
        yield Silver(tmp_path, api)
        assert api.errors == []


class TestSending:
    """What is sent, and how."""

    def test_all(self, silver: Silver) -> None:
        """Each record arrives once, in batches of one file, each under a key of its own."""
        silver.write("a.parquet", range(25))
        silver.write("b.parquet", range(100, 105))
        run = silver.do("--concurrency", "1")

        silver.require_once([*range(25), *range(100, 105)])
        assert silver.api.records[3] == {"id": 3, "text": "record 3"}
        assert run.counts["done"] == 30
        assert len({each.key for each in silver.api.calls}) == len(silver.api.calls)
        assert [len(each.ids) for each in silver.api.calls] == [10, 10, 5, 5]
        assert [each.key for each in run.inputs] == ["a.parquet", "b.parquet"]

    def test_form(self, silver: Silver, monkeypatch: pytest.MonkeyPatch) -> None:
        """The request is as the API wants it: token, header, method, list."""
        monkeypatch.setenv("APP_TOKEN", TOKEN)
        seen: list[tuple[str, dict[str, str], Any]] = []

        def note(request: Any) -> Any:
            seen.append((request.method, request.headers, json.loads(request.body.read())))
            return module_reply()

        silver.api.intercept = note
        silver.write("a.parquet", range(2))
        silver.do("--token-variable", "APP_TOKEN", "--method", "PUT", "--records-field", "",
                  "--idempotency-header", "X-Once", "--columns", "id")  # fmt: skip
        [(method, headers, table)] = seen

        assert method == "PUT"
        assert headers["authorization"] == f"Bearer {TOKEN}"
        assert len(headers["x-once"]) == 64
        assert "idempotency-key" not in headers
        assert table == [{"id": 0}, {"id": 1}]

    def test_inputs(self, silver: Silver) -> None:
        """Inputs are the files with their versions."""
        silver.write("a.parquet", range(2))
        silver.write("part=1/b.parquet", range(2))

        assert [each.key for each in inputs_of(JOB, silver.run())] == [
            "a.parquet", "part=1/b.parquet",
        ]  # fmt: skip
        assert all(each.version for each in inputs_of(JOB, silver.run()))

    def test_again(self, silver: Silver) -> None:
        """A second run sends nothing: what was taken is remembered."""
        silver.write("a.parquet", range(25))
        silver.do()
        calls = len(silver.api.calls)
        run = silver.do()

        assert len(silver.api.calls) == calls
        assert run.counts["skipped"] == 25

    def test_incremental(self, silver: Silver) -> None:
        """Of a source with one file more, that one is sent, wherever it stands in the order."""
        silver.write("b.parquet", range(25))
        silver.do()
        silver.write("a.parquet", range(100, 113))
        silver.do()

        silver.require_once([*range(25), *range(100, 113)])

    def test_there_and_back(self, silver: Silver) -> None:
        """Records that change are sent, and sent anew where they change back."""
        for text in ("first", "second", "first", "second"):
            silver.write("a.parquet", range(10), text=[text] * 10)
            silver.do()
            assert {each["text"] for each in silver.api.records.values()} == {text}

        assert set(silver.api.writes.values()) == {4}
        assert len(silver.marks()) == 1
        assert silver.do().counts["skipped"] == 10

    def test_output_tells_the_last(self, silver: Silver) -> None:
        """What the API holds is an output, so that a run of before is not believed any more."""
        silver.write("a.parquet", range(10))
        [first] = silver.do().outputs
        silver.write("a.parquet", range(11))
        [second] = silver.do().outputs

        assert first.key == second.key
        assert first.sha256 != second.sha256

    def test_other_batches(self, silver: Silver) -> None:
        """Batches of another size go anew; each record stands once."""
        silver.write("a.parquet", range(20))
        silver.do()
        silver.do("--batch-size", "15")
        run = silver.do("--batch-size", "15")

        assert sorted(silver.api.records) == list(range(20))
        assert run.counts["skipped"] == 20

    def test_nothing_in_a_file(self, silver: Silver) -> None:
        """A file without rows is no error."""
        silver.write("a.parquet", [])
        silver.write("b.parquet", range(2))
        silver.do()

        silver.require_once(range(2))


class TestRefused:
    """Records that the API does not take."""

    @pytest.mark.parametrize("style", ["plain", "results", "whole", "named", "silent"])
    def test_each(self, silver: Silver, style: str) -> None:
        """Each bad record is a dead letter of its own, however it is told; all others arrive."""
        bad = {3, 4, 17, 29}
        silver.api.style = style
        silver.api.refuses = lambda record: "too odd" if record["id"] in bad else ""
        path = silver.write("a.parquet", range(30))
        run = silver.do(code=65)
        letters = letters_of(run)

        silver.require_once([each for each in range(30) if each not in bad])
        assert run.counts["failed"] == 4
        assert {each.item for each in letters} == {f"{path}#{each + 1}" for each in bad}
        assert all(json.loads(each.payload or "")["id"] in bad for each in letters)
        assert {each.reference for each in letters} == {each.item for each in letters}
        assert all("odd" in each.message or "422" in each.message for each in letters)

    def test_mute(self, silver: Silver) -> None:
        """Where a 200 says only that some were refused, they are found all the same."""
        silver.api.style = "mute"
        silver.api.refuses = lambda record: "odd" if record["id"] == 6 else ""
        silver.write("a.parquet", range(10))
        run = silver.do(code=65)

        assert sorted(silver.api.records) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
        assert [json.loads(each.payload or "")["id"] for each in letters_of(run)] == [6]

    @pytest.mark.parametrize("count", [1, 2, 7, 500])
    @pytest.mark.parametrize("position", [0.0, 0.4, 1.0])
    def test_bounded(self, silver: Silver, count: int, position: float) -> None:
        """A bad record costs at most 2 * log2(n) requests more."""
        bad = int(position * (count - 1))
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] == bad else ""
        silver.write("a.parquet", range(count))
        silver.do("--batch-size", "500", code=65)

        silver.require_once([each for each in range(count) if each != bad])
        assert len(silver.api.calls) <= 1 + 2 * math.ceil(math.log2(count))

    def test_too_large(self, silver: Silver) -> None:
        """A batch that is too large for the API goes in smaller ones."""
        silver.api.max_records = 3
        silver.write("a.parquet", range(20))
        silver.do()

        silver.require_once(range(20))

    def test_null_key(self, silver: Silver) -> None:
        """A record without a key is not sent at all."""
        silver.write("a.parquet", [1, None, 3])
        run = silver.do(code=65)

        silver.require_once([1, 3])
        assert [each.message for each in letters_of(run)] == [
            "row 2: expected a value in id, got null"
        ]

    def test_tolerated(self, silver: Silver) -> None:
        """So many may be refused as was said."""
        silver.api.refuses = lambda record: "odd" if record["id"] == 6 else ""
        silver.write("a.parquet", range(10))
        run = silver.do("--max-failed", "0.1")

        assert len(letters_of(run)) == 1

    def test_run_again(self, silver: Silver) -> None:
        """The same run again sends only what was refused, and forgets it once it is taken."""
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] in {3, 6} else ""
        silver.write("a.parquet", range(30))
        silver.do(code=65)
        calls = len(silver.api.calls)
        silver.do(code=65)
        assert [each.ids for each in silver.api.calls[calls:]] == [(3,), (6,)]

        silver.api.refuses = lambda _: ""
        run = silver.do()
        silver.require_once(range(30))
        assert letters_of(run) == []
        assert len(silver.marks()) == 3

    def test_retry(self, silver: Silver) -> None:
        """A retry sends the records of the dead letters that it names, as they were, alone."""
        silver.api.refuses = lambda record: "odd" if record["id"] in {3, 6} else ""
        path = silver.write("a.parquet", range(10))
        silver.do(code=65)
        silver.api.refuses = lambda _: ""
        calls = len(silver.api.calls)
        (silver.folder / "a.parquet").unlink()
        run = silver.run(only=[f"{path}#4"])

        assert call(JOB, run) == 0
        silver.require_once([0, 1, 2, 3, 4, 5, 7, 8, 9])
        assert [each.ids for each in silver.api.calls[calls:]] == [(3,)]
        assert [each.item for each in letters_of(run)] == [f"{path}#7"]

    def test_run_after_retry(self, silver: Silver) -> None:
        """What a retry has sent is not sent again by the job."""
        silver.api.refuses = lambda record: "odd" if record["id"] in {3, 6} else ""
        path = silver.write("a.parquet", range(10))
        silver.do(code=65)
        silver.api.refuses = lambda _: ""
        assert call(JOB, silver.run(only=[f"{path}#4"])) == 0
        calls = len(silver.api.calls)
        run = silver.do()

        assert [each.ids for each in silver.api.calls[calls:]] == [(6,)]
        silver.require_once(range(10))
        assert letters_of(run) == []
        assert silver.do().counts["skipped"] == 10

    def test_kept_refusal(self, silver: Silver) -> None:
        """A record that was refused is another request in the next run, which is judged anew."""
        silver.api.refuses = lambda record: "odd" if record["id"] % 2 else ""
        silver.write("a.parquet", range(10))
        silver.do("--batch-size", "1", code=65)
        silver.api.refuses = lambda _: ""
        silver.do("--batch-size", "1")

        silver.require_once(range(10))

    def test_retry_fails_again(self, silver: Silver) -> None:
        """A record that is refused again is a letter still, and its next request another one."""
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] == 3 else ""
        path = silver.write("a.parquet", range(10))
        silver.do(code=65)
        for _ in range(2):
            assert call(JOB, silver.run(only=[f"{path}#4"])) == 65
        keys = [each.key for each in silver.api.calls if each.ids == (3,)]

        assert len(set(keys)) == 3
        assert [each.attempt for each in letters_of(silver.run())] == [3]

    def test_bad_file(self, silver: Silver) -> None:
        """A file that is none is a dead letter, which a good run resolves; others are sent."""
        silver.write("a.parquet", range(3))
        (silver.folder / "b.parquet").write_bytes(b"")
        run = silver.do(code=65)
        [letter] = letters_of(run)
        silver.require_once(range(3))
        assert letter.item == str(silver.folder / "b.parquet")

        assert call(JOB, silver.run(only=[letter.item])) == 75
        assert letters_of(run) == [letter]

        silver.write("b.parquet", range(5, 7))
        assert letters_of(silver.do()) == []
        silver.require_once([0, 1, 2, 5, 6])


class TestFaults:
    """An API that fails for the time being: each record is written once all the same."""

    @pytest.mark.parametrize(
        "faults",
        [
            ["limited:7"],
            ["status:503", "status:500"],
            ["html"],
            ["reset"],
            ["reset-after"],
            ["html-after"],
            ["page"],
            ["short"],
            ["count"],
            ["status:409"],
            ["reset-after"] * 4,
            ["reset-after"] * 7,
        ],
    )
    @pytest.mark.parametrize("style", ["plain", "whole"])
    def test_passes(self, silver: Silver, faults: list[str], style: str) -> None:
        """A request whose answer is lost, or no answer, is sent again under its key."""
        silver.api.style = style
        silver.api.refuses = lambda record: "odd" if record["id"] == 4 else ""
        silver.api.fail(*faults)
        silver.write("a.parquet", range(20))
        silver.do("--concurrency", "1", code=65)

        silver.require_once([each for each in range(20) if each != 4])

    def test_retry_after(self, silver: Silver, waited: list[float]) -> None:
        """The API is given the time that it asks for."""
        silver.api.fail("limited:7")
        silver.write("a.parquet", range(5))
        silver.do()

        assert sum(waited) == pytest.approx(7)

    def test_busy_records(self, silver: Silver) -> None:
        """Records that the API wants again are sent again, and those it has taken are not."""
        silver.api.style = "results"
        silver.api.busy.update({3: 1, 5: 2})
        silver.write("a.parquet", range(10))
        run = silver.do()

        silver.require_once(range(10))
        assert [each.ids for each in silver.api.calls] == [tuple(range(10)), (3, 5), (5,)]
        assert letters_of(run) == []

    def test_busy_for_long(self, silver: Silver) -> None:
        """Records that stay busy are left for the next run, and are no dead letters."""
        silver.api.style = "results"
        silver.api.busy.update({3: 99})
        silver.write("a.parquet", range(10))
        run = silver.do(code=75)
        assert letters_of(run) == []

        silver.api.busy.clear()
        silver.do()
        silver.require_once(range(10))

    def test_lost_half(self, silver: Silver) -> None:
        """A half whose answer never comes is the same request in the next run."""
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] == 1 else ""
        silver.write("a.parquet", range(8))
        halves = 0

        def lose(done: Call) -> None:
            nonlocal halves
            if done.ids == (4, 5, 6, 7) and halves < 15:
                halves += 1
                raise ConnectionResetError

        silver.api.stored = lose
        silver.do("--concurrency", "1", code=75)
        assert halves == 15
        silver.do("--concurrency", "1", code=65)

        silver.require_once([0, 2, 3, 4, 5, 6, 7])

    def test_never_fits(self, silver: Silver) -> None:
        """An answer that never fits what was sent is left, and is never taken for a success."""
        silver.write("a.parquet", range(3))
        silver.api.fail(*["short"] * 10)
        run = silver.do(code=75)

        assert letters_of(run) == []
        assert silver.marks() == []

    def test_gone(self, silver: Silver) -> None:
        """Where nobody listens, a run does not try all batches to find out."""
        silver.write("a.parquet", range(1000))
        silver.api.fail(*["status:503"] * 10_000)
        run = silver.run("--concurrency", "1")
        with pytest.raises(TemporaryError, match="expected success, got 503"):
            call(JOB, run)

        assert len(silver.api._faults) > 10_000 - 40
        assert letters_of(run) == []

    def test_stop(self, silver: Silver) -> None:
        """A signal ends a run between two requests, and what was taken is remembered."""
        silver.write("a.parquet", range(50))
        run = silver.run("--concurrency", "1")

        def stop(_: Call) -> None:
            if len(silver.api.calls) == 2:
                run.stop(Interrupted(15))

        silver.api.stored = stop
        with pytest.raises(Interrupted):
            call(JOB, run)
        assert len(silver.marks()) == 2

        silver.do()
        silver.require_once(range(50))

    def test_stop_in_halves(self, silver: Silver) -> None:
        """A run that is to end does not look for the record at fault first."""
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] == 3 else ""
        silver.write("a.parquet", range(10))
        run = silver.run("--concurrency", "1")
        silver.api.answered = lambda _: run.stop(Interrupted(15))
        with pytest.raises(Interrupted):
            call(JOB, run)

        assert len(silver.api.calls) == 1


class TestRefusedAsAWhole:
    """Settings that make sending useless."""

    @pytest.mark.parametrize(
        ("status", "hint"),
        [(401, "--token-variable"), (403, "token"), (404, "--url"), (405, "--method"),
         (410, ""), (501, "")],
    )  # fmt: skip
    def test_status(self, silver: Silver, status: int, hint: str) -> None:
        """What the API refuses whatever it is sent stops at once, told in its words."""
        silver.write("a.parquet", range(100))
        silver.api.fail(*[f"status:{status}"] * 100)
        run = silver.run("--concurrency", "1")
        with pytest.raises(MisconfiguredError, match=f"got {status} 'told to'.*{hint}"):
            call(JOB, run)

        assert len(silver.api._faults) == 99
        assert letters_of(run) == []

    def test_no_token(self, silver: Silver, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable without a token is a wrong setting, before anything is sent."""
        monkeypatch.delenv("APP_TOKEN", raising=False)
        silver.write("a.parquet", range(1))
        with pytest.raises(MisconfiguredError, match="APP_TOKEN: expected the API's token"):
            call(JOB, silver.run("--token-variable", "APP_TOKEN"))
        assert silver.api.calls == []

    def test_token_for_all_to_read(self, silver: Silver, monkeypatch: pytest.MonkeyPatch) -> None:
        """A token is not sent in the open."""
        monkeypatch.setenv("APP_TOKEN", TOKEN)
        silver.write("a.parquet", range(1))
        argv = ["--source", "silver", "--url", "http://api.example.org/x", "--key", "id"]
        run = make_run(
            "ingest_api", JOB, [*argv, "--token-variable", "APP_TOKEN"], base=silver.base
        )
        with pytest.raises(MisconfiguredError, match="expected https where a token is sent"):
            call(JOB, run)

    def test_missing_column(self, silver: Silver) -> None:
        """A key that no file has is a wrong setting; the columns that there are are told."""
        silver.write("a.parquet", range(1))
        with pytest.raises(MisconfiguredError, match="expected columns 'nr', found id, text"):
            call(JOB, silver.run("--key", "nr"))
        assert silver.api.calls == []

    def test_nothing(self, silver: Silver) -> None:
        """No files are bad data; no folder is a wrong setting."""
        for act in (lambda run: call(JOB, run), lambda run: inputs_of(JOB, run)):
            with pytest.raises(MisconfiguredError, match="expected a folder, found none"):
                act(silver.run())
        silver.folder.mkdir()
        for act in (lambda run: call(JOB, run), lambda run: inputs_of(JOB, run)):
            with pytest.raises(BadDataError, match="expected Parquet files, found none"):
                act(silver.run())

    @pytest.mark.parametrize(
        "url",
        ["ftp://x/", "api.example.org", "https://user:pw@x/", "https://x/?key=1", "https://x/a b"],
    )
    def test_url(self, tmp_path: Path, url: str) -> None:
        """A URL that is none, or holds a secret, is refused."""
        argv = ["--source", "silver", "--url", url, "--key", "id"]
        with pytest.raises(MisconfiguredError, match=r"--url: expected an http\(s\) URL"):
            make_run("ingest_api", JOB, argv, base=tmp_path)

    def test_all_at_once(self, tmp_path: Path) -> None:
        """All that is wrong with arguments is told at once."""
        argv = ["--batch-size", "0", "--method", "GET", "--idempotency-header", "Authorization"]
        with pytest.raises(MisconfiguredError) as caught:
            make_run("ingest_api", JOB, argv, base=tmp_path)

        for name in ("source", "url", "key", "batch-size", "method", "idempotency-header"):
            assert f"--{name}: expected" in str(caught.value)


class TestWhole:
    """The job as it is run: with marker, trail and lock."""

    def test_done_once(self, silver: Silver) -> None:
        """What is done is not done again, until its source changes; a change back is a change."""

        def do() -> tuple[int, bool]:
            outcome = run_job(
                load_registry((), silver.base).find("ingest_api"),
                Order(argv=silver.run().argv),
                JobSettings(base=silver.base),
                Telling(out=io.StringIO(), style="text"),
            )
            return outcome.exit_code, outcome.was_done

        silver.write("a.parquet", range(10))
        assert [do(), do()] == [(0, False), (0, True)]
        silver.write("b.parquet", range(20, 25))
        assert [do(), do()] == [(0, False), (0, True)]
        silver.require_once([*range(10), *range(20, 25)])
        (silver.folder / "b.parquet").unlink()
        assert do() == (0, False)


class TestSecrets:
    """What nobody may see."""

    def test_nowhere(self, silver: Silver, monkeypatch: pytest.MonkeyPatch) -> None:
        """The token stands in no message and nowhere in the store, even where the API tells it."""
        monkeypatch.setenv("APP_TOKEN", TOKEN)
        silver.api.refuses = lambda _: f"no Bearer {TOKEN} here"
        silver.write("a.parquet", range(3))
        run = silver.do("--token-variable", "APP_TOKEN", code=65)

        assert len(letters_of(run)) == 3
        stored = b"".join(silver.store.get(each.key) for each in silver.store.list())
        assert TOKEN.encode() not in stored
        assert TOKEN not in repr(module._prepare(run_arguments(run)))


CHILD = """
import sys
from pathlib import Path
from lading.jobs.builtin.ingest_api import JOB
from tests.unit.jobs.one_run import call, make_run
run = make_run("ingest_api", JOB, sys.argv[2:], base=Path(sys.argv[1]), number=7)
sys.exit(call(JOB, run))
"""


class TestKills:
    """A run that is killed, by a signal that no process hears."""

    @pytest.mark.parametrize("moment", [1, 3, 6])
    def test_killed(self, silver: Silver, moment: int) -> None:
        """Killed between a request and its answer, then run again, it writes each record once."""
        silver.api.style = "whole"
        silver.api.refuses = lambda record: "odd" if record["id"] == 13 else ""
        silver.write("a.parquet", range(40))
        child = _start(silver, "--concurrency", "1")
        done: list[Call] = []

        def kill(each: Call) -> None:
            done.append(each)
            if len(done) == moment:
                os.kill(child.pid, signal.SIGKILL)
                raise ConnectionResetError

        silver.api.stored = kill
        assert child.wait(timeout=60) == -signal.SIGKILL
        silver.api.stored = lambda _: None
        before = len(silver.api.calls)
        run = silver.do(code=65)
        replayed = [each for each in silver.api.calls[before:] if each.replayed]

        silver.require_once([each for each in range(40) if each != 13])
        assert len(replayed) <= 4
        assert any(each.ids == done[-1].ids for each in replayed)
        assert len(letters_of(run)) == 1

    @pytest.mark.slow
    def test_killed_at_any_time(self, silver: Silver) -> None:
        """Killed again and again at moments of the clock, the run comes to the same end."""
        silver.api.style = "named"
        silver.api.refuses = lambda record: "odd" if record["id"] % 50 == 13 else ""
        silver.write("a.parquet", range(1000))
        for number in range(20):
            child = _start(silver, "--concurrency", "4")
            time.sleep(0.6 + 0.03 * number)
            child.kill()
            child.wait(timeout=60)
        silver.do(code=65)

        silver.require_once([each for each in range(1000) if each % 50 != 13])
        assert len(letters_of(silver.run())) == 20


def _start(silver: Silver, *more: str) -> subprocess.Popen[bytes]:
    silver.store = LocalStore(silver.base / "build/jobs")
    run = silver.run(*more)
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(silver.base), *run.argv],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def module_reply() -> Reply:
    """Return a plain success."""
    return Reply(200, {"Content-Type": "application/json"}, b"{}")


def run_arguments(run: QuickRun) -> Any:
    """Return the arguments of a run."""
    return parse_arguments("ingest_api", JOB, run.argv)
