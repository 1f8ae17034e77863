"""A run on the board, as the ledger has it."""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Run, RunStart, Target
from lading.ledger.names import name_run
from lading.ledger.progress import Work
from lading.ledger.read import load_logs, load_run
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject, Receipt
from lading.storage.owner import name_process
from lading.tasks.board import Board
from lading.tasks.recording import Order, Recorder

AT = datetime(2025, 2, 5, 3, 4, 5, tzinfo=UTC)
TARGET = Target(task="promote:gcs-nightly", kind="promote", destination="gcs", name="nightly")
RECEIPT = Receipt(
    task="promote:gcs-nightly",
    place="gs://bucket/nightly",
    channel="nightly",
    tag="nightly-2025-02-05",
    environment="production",
    manifest_sha256="a" * 64,
    proved_at=AT,
    objects={"a.zip": ProvedObject(Digest(size_bytes=7, sha256="b" * 64), "1")},
)


class Recorded:
    """A board, its recorder, and the ledger that they write to."""

    def __init__(self, folder: Path, receipts: Mapping[str, Receipt] | None = None) -> None:
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        self.board = Board()
        self.warnings: list[str] = []
        start = RunStart(
            run_id=name_run(),
            kind="distribute",
            project="demo",
            channel="nightly",
            tag="nightly-2025-02-05",
            environment="production",
            is_release=True,
            process=name_process(),
            started_at=datetime.now(UTC),
            targets=(TARGET,),
        )
        order = Order(
            start=start,
            url=self.url,
            work={"check": Work(100), "promote:gcs-nightly": Work(300)},
            load_receipt=(receipts or {}).get,
            complete=lambda given: given,
        )
        self.recorder = Recorder(self.board, order, self.warnings.append)

    def start(self, task: str) -> None:
        """Begin a task, as the reporter does."""
        self.recorder.started(self.board.start(task))

    def end(self, task: str, state: str, detail: str = "", log: str = "") -> None:
        """End a task, as the reporter does."""
        self.recorder.ended(self.board.end(task, state, detail), log)

    def read(self) -> Run:
        """Read the run."""
        assert self.recorder.flush()
        found = load_run(self.ledger, self.recorder.run_id)
        assert found is not None
        return found

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened anew."""
        return open_ledger(self.url, is_for_writing=False)

    def lines(self, task: str = "") -> list[tuple[int, str, str]]:
        """Read the log lines."""
        assert self.recorder.flush()
        found = load_logs(self.ledger, self.recorder.run_id, task=task)
        return [(each.level, each.task, each.text) for each in found]


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """A run that has begun."""
    made = Recorded(tmp_path, {TARGET.task: RECEIPT})
    yield made
    made.recorder.end(1)
    assert made.recorder.close()


def test_begins_as_running(recorded: Recorded) -> None:
    """Its facts and its matrix stand before any step ran."""
    run = recorded.read()
    assert (run.state, run.project, run.tag) == ("running", "demo", "nightly-2025-02-05")
    assert not run.is_aborted
    assert [(each.task, each.state) for each in run.targets] == [(TARGET.task, "not reached")]


def test_a_step_that_runs(recorded: Recorded) -> None:
    """A step is there from its start, with what it measures; the run's percent follows."""
    recorded.start("check")
    row = recorded.board.rows[0]
    row.size_bytes, row.done_bytes, row.files, row.done_files = 100, 50, 0, 0
    recorded.recorder._look()
    run = recorded.read()
    (step,) = run.steps
    assert (step.task, step.state, step.progress.done_bytes) == ("check", "running", 50)
    assert step.progress.percent == pytest.approx(50.0)
    assert run.progress.percent == pytest.approx(100 * 50 / 400)


def test_a_public_switch_is_written_before_it_begins(recorded: Recorded) -> None:
    """Who reads the ledger after a kill in its midst is not told that nothing was touched."""
    recorded.start(TARGET.task)
    found = load_run(recorded.ledger, recorded.recorder.run_id)  # no flush: it was waited for
    assert found is not None
    assert [each.state for each in found.targets] == ["running"]


def test_a_step_that_is_done(recorded: Recorded) -> None:
    """Its receipt proves the target, with its time."""
    recorded.start(TARGET.task)
    recorded.end(TARGET.task, "done", "7 new")
    run = recorded.read()
    (target,) = run.targets
    assert (target.state, target.note, target.verified_at) == ("done", "7 new", AT)
    (receipt,) = run.receipts
    assert (receipt.objects, receipt.size_bytes, receipt.place) == (1, 7, "gs://bucket/nightly")
    assert run.steps[0].progress.percent == 100.0


def test_what_is_up_to_date_was_verified_now(recorded: Recorded) -> None:
    """It was looked at in this run and needed nothing, whenever its receipt was written."""
    recorded.end(TARGET.task, "up to date")
    (target,) = recorded.read().targets
    assert target.verified_at is not None
    assert target.verified_at > AT


def test_a_failure_proves_nothing(recorded: Recorded) -> None:
    """A receipt of an earlier run says nothing of a step that failed."""
    recorded.start(TARGET.task)
    recorded.end(TARGET.task, "failed", "expected 7 objects, found 6")
    (target,) = recorded.read().targets
    assert (target.state, target.verified_at) == ("failed", None)


def test_log_lines(recorded: Recorded) -> None:
    """Starts, ends, what was logged in between, tracebacks line by line."""
    recorded.start("check")
    logging.getLogger("lading.ship").info("a.zip: done")
    recorded.end("check", "failed", "broken", "Traceback:\n  line 1\nValueError: x")
    recorded.recorder._look()
    assert recorded.lines("check") == [
        (20, "check", "begins"),
        (20, "check", "a.zip: done"),
        (40, "check", "Traceback:"),
        (40, "check", "  line 1"),
        (40, "check", "ValueError: x"),
        (40, "check", "failed: broken"),
    ]


def test_secrets_stay_out(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the environment is in no line, no step and no target."""
    monkeypatch.setenv("ZENODO_TOKEN", "canary-0123456789")
    recorded.start(TARGET.task)
    logging.getLogger("lading.x").warning("sent canary-0123456789 there")
    recorded.end(TARGET.task, "failed", "said canary-0123456789", "trace canary-0123456789")
    recorded.recorder.end(1)
    recorded.recorder.flush()
    assert b"canary" not in b"".join(
        path.read_bytes() for path in Path(recorded.url.removeprefix("sqlite:///")).parent.iterdir()
    )


@pytest.mark.parametrize(
    ("code", "state", "percent"),
    [(0, "completed", 100.0), (1, "failed", 25.0), (143, "failed", 25)],
)
def test_ends(tmp_path: Path, code: int, state: str, percent: float) -> None:
    """Its state is that of the process; only what ended well is whole."""
    recorded = Recorded(tmp_path)
    recorded.start("check")
    recorded.end("check", "done")
    if code:
        recorded.start(TARGET.task)
        recorded.end(TARGET.task, "failed" if code == 1 else "interrupted", "no answer")
    told = recorded.recorder.end(code)
    run = recorded.read()
    assert recorded.recorder.close()
    assert (run.state, run.exit_code, told.state) == (state, code, state)
    assert run.progress.percent == pytest.approx(percent)
    assert run.ended_at is not None
    assert run.error == ("no answer" if code == 1 else "")


def test_its_account_is_that_of_the_ledger(recorded: Recorded) -> None:
    """What the job summary is made of says the same as what the ledger has."""
    recorded.start("check")
    recorded.end("check", "done", "fine")
    recorded.start(TARGET.task)
    recorded.end(TARGET.task, "failed", "no answer")
    told = recorded.recorder.end(1)
    read = recorded.read()
    steps = [(each.task, each.state, each.detail) for each in told.steps]
    assert steps == [(each.task, each.state, each.detail) for each in read.steps]
    assert told.targets == read.targets
    assert (told.failed_at, told.error) == (read.failed_at, read.error)


def test_without_a_ledger(tmp_path: Path) -> None:
    """Nothing is written where nothing is to be; the account is made all the same."""
    board = Board()
    start = RunStart(run_id=name_run(), kind="distribute", project="demo", started_at=AT)
    order = Order(start=start, url="", work={}, load_receipt=lambda _: None, complete=lambda s: s)
    recorder = Recorder(board, order, pytest.fail)
    recorder.started(board.start("check"))
    recorder.ended(board.end("check", "done"))
    assert recorder.end(0).state == "completed"
    assert recorder.close()
    assert not recorder.is_written
    assert list(tmp_path.iterdir()) == []
