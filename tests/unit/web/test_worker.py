"""A worker carries out jobs with real children, whatever becomes of them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.event import listen, remove

from lading.errors import LedgerError
from lading.ledger import claims
from lading.ledger.claims import claim, release_claim
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import ReleaseRow
from lading.ledger.queue import cancel
from lading.ledger.record import write_manifest, write_release
from lading.ledger.tables import runs
from lading.storage.owner import is_gone, name_process
from lading.web.child import Child, JobFiles, prune_files
from lading.web.ending import Ending, judge_end, pick_error
from lading.web.job import Bench
from lading.web.slots import find_holder, hold, hold_first, jobs_folder, server_path, slot_path
from lading.web.worker import Worker
from tests.ledgers import PostgresServer
from tests.unit.web.publishers import ask, limit_minutes, make_bench, see, wait_until

AT = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
SHA = "ab" * 32


@contextmanager
def at_work(bench: Bench, server: str = "away/1/1") -> Iterator[threading.Thread]:
    """Let a worker of a server that is gone work: until it is asked to end, or all is done."""
    worker = threading.Thread(target=Worker(bench, server=server).work)
    worker.start()
    try:
        yield worker
    finally:
        bench.stopping.is_asked = True
        worker.join(30)
        assert not worker.is_alive()


def work(bench: Bench) -> None:
    """Let a worker work until all is done."""
    with at_work(bench) as worker:
        worker.join(30)


def told(bench: Bench) -> dict[str, Any]:
    """Return what the last child was told."""
    found: dict[str, Any] = json.loads((bench.served.base / "maps" / "told.json").read_text())
    return found


def began(bench: Bench, number: int = 0) -> Callable[[], bool]:
    """Return whether a child has begun."""
    return (bench.served.base / "maps" / f"began-{number}").exists


def test_a_job_is_completed(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A job that publishes is completed, with what stands published as its result."""
    bench = make_bench(tmp_path, sqlite_ledger, "print('hello')")
    run_id = ask(sqlite_ledger)
    write_manifest(sqlite_ledger, run_id, SHA, ())
    release = ReleaseRow(
        project="maps",
        channel="staging",
        tag="7",
        environment="staging",
        manifest_sha256=SHA,
        published_at=AT,
        run_id=run_id,
        url="https://example.org/staging/maps/release.json",
        files=3,
    )
    write_release(sqlite_ledger, release)
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.exit_code, run.attempt) == ("completed", 0, 1)
    assert run.result == {
        "release_url": "https://example.org/staging/maps/release.json",
        "asset_count": 3,
        "published_at": "2026-11-21T20:30:00.000Z",
    }
    assert told(bench)["argv"] == ["publish", "version=7", "environment=staging"]
    environment = told(bench)["environment"]
    assert environment["LADING_RUN"] == run_id
    assert environment["LADING_LEDGER_URL"] == "sqlite:////nowhere/ledger.db"
    log = JobFiles(jobs_folder(bench.served.work), run_id).log
    assert log.read_text() == "hello\n"
    assert log.stat().st_mode & 0o77 == 0


def test_a_job_fails(
    tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that fails says what its child called an error, without secrets."""
    monkeypatch.setenv("DEMO_TOKEN", "s3cret-s3cret")
    script = (
        "print('ERROR: lading.toml: no good', os.environ['DEMO_TOKEN'], file=sys.stderr)\n"
        "print('the end', file=sys.stderr)\nsys.exit(3)"
    )
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.exit_code) == ("failed", 3)
    assert run.error == "lading.toml: no good ***"
    assert run.result == {}


def test_what_the_run_said_stays(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """Where the run itself wrote why it failed, that is the job's error."""
    bench = make_bench(tmp_path, sqlite_ledger, "wait('go'); sys.exit('something else')")
    run_id = ask(sqlite_ledger)
    with at_work(bench) as worker:
        wait_until(began(bench))
        with sqlite_ledger.writing() as connection:
            connection.execute(runs.update().values(error="no space", failed_at="upload:a"))
        (tmp_path / "maps" / "go").touch()
        worker.join(30)

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.error, run.failed_at) == ("failed", "no space", "upload:a")


def test_a_child_that_is_killed(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A child that somebody kills has failed, and says by what."""
    bench = make_bench(tmp_path, sqlite_ledger, "os.kill(os.getpid(), signal.SIGKILL)")
    run_id = ask(sqlite_ledger)
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.exit_code, run.error) == ("failed", -9, "ended by SIGKILL")


def test_no_folder(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A job that cannot be begun has failed, and says why; the worker goes on."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    run_id = ask(sqlite_ledger)
    (tmp_path / "maps").rename(tmp_path / "gone")
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert run.state == "failed"
    assert "No such file or directory" in run.error


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ("wait('never')", -15),
        ("signal.signal(15, lambda *_: sys.exit(143)); wait('never')", 143),
        ("signal.signal(15, signal.SIG_IGN); Path('deaf').touch(); wait('never')", -9),
    ],
    ids=["ended", "orderly", "deaf"],
)
def test_cancelled(tmp_path: Path, sqlite_ledger: Ledger, script: str, exit_code: int) -> None:
    """A job that is cancelled has its child ended, by force where it does not hear."""
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    with at_work(bench) as worker:
        wait_until(began(bench))
        if "deaf" in script:
            wait_until((tmp_path / "maps" / "deaf").exists)
        cancel(sqlite_ledger, run_id, datetime.now(UTC))
        worker.join(30)

    run = see(sqlite_ledger, run_id)
    assert run.state == "cancelled"
    assert run.exit_code in {exit_code, -15}  # before it set its handler
    assert is_gone(name_process(told(bench)["pid"]))


def test_published_though_cancelled(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """What is published is published: a job that was done when it was to stop is completed."""
    script = "signal.signal(15, lambda *_: sys.exit(0)); Path('set').touch(); wait('never')"
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    with at_work(bench) as worker:
        wait_until((tmp_path / "maps" / "set").exists)
        cancel(sqlite_ledger, run_id, datetime.now(UTC))
        worker.join(30)

    assert see(sqlite_ledger, run_id).state == "completed"


def test_grandchildren_are_ended(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """What a deaf child began is ended with it: its whole group."""
    script = (
        "import subprocess\nsignal.signal(15, signal.SIG_IGN)\n"
        "other = subprocess.Popen(['sleep', '60'])\n"
        "Path('other').write_text(str(other.pid)); Path('set').touch(); wait('never')"
    )
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    with at_work(bench) as worker:
        wait_until((tmp_path / "maps" / "set").exists)
        other = name_process(int((tmp_path / "maps" / "other").read_text()))
        assert not is_gone(other)
        cancel(sqlite_ledger, run_id, datetime.now(UTC))
        worker.join(30)

    wait_until(lambda: is_gone(other))


def test_too_late(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A job that takes longer than it may is ended, and says so."""
    bench = make_bench(tmp_path, sqlite_ledger, "wait('never')")
    limit_minutes(bench, 0)
    run_id = ask(sqlite_ledger)
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert run.state == "failed"
    assert run.error == "expected an end within 0 minutes, was at work"


def test_a_worker_that_is_asked_to_end(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """Its child is asked to end, its job goes back into the queue; another takes it up."""
    script = "number or wait('never')"
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    with at_work(bench):
        wait_until(began(bench))
    assert is_gone(name_process(told(bench)["pid"]))
    assert see(sqlite_ledger, run_id).state == "queued"

    bench.stopping.is_asked = False
    work(bench)
    run = see(sqlite_ledger, run_id)
    assert (run.state, run.attempt) == ("completed", 2)


def test_a_machine_that_halts(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """Where child and worker are asked to end together, the job has not failed."""
    bench = make_bench(tmp_path, sqlite_ledger, "wait('never')")
    run_id = ask(sqlite_ledger)
    with at_work(bench):
        wait_until(began(bench))
        os.kill(told(bench)["pid"], signal.SIGTERM)
    assert see(sqlite_ledger, run_id).state == "queued"


def test_a_job_that_is_another_ones(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A worker whose claim lapsed ends its child at once, and writes nothing."""
    bench = make_bench(tmp_path, sqlite_ledger, "signal.signal(15, signal.SIG_IGN); wait('never')")
    run_id = ask(sqlite_ledger)
    with at_work(bench):
        wait_until(began(bench))
        with sqlite_ledger.writing() as connection:
            connection.execute(runs.update().values(claim="away/2/2"))
        wait_until(lambda: is_gone(name_process(told(bench)["pid"])))

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.attempt) == ("running", 1)


def test_another_run_at_work(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """Where another run is at work in the project, the job waits for its end, and then runs."""
    script = (
        "if number < 2: print('ERROR: build: expected no other run, found process 12 at work;"
        " wait until it has ended', file=sys.stderr); sys.exit(2)"
    )
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    work(bench)

    run = see(sqlite_ledger, run_id)
    assert (run.state, run.attempt) == ("completed", 1)
    assert began(bench, 2)()


def test_another_run_at_work_for_ever(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A job that waits for another run can be cancelled."""
    script = (
        "sys.exit(print('expected no other run, found process 12 at work', file=sys.stderr) or 2)"
    )
    bench = make_bench(tmp_path, sqlite_ledger, script)
    run_id = ask(sqlite_ledger)
    with at_work(bench) as worker:
        wait_until(began(bench, 1))
        cancel(sqlite_ledger, run_id, datetime.now(UTC))
        worker.join(30)
    assert see(sqlite_ledger, run_id).state == "cancelled"


@pytest.mark.parametrize("is_deaf", [False, True], ids=["hears", "deaf"])
def test_what_a_killed_worker_left(
    tmp_path: Path,
    sqlite_ledger: Ledger,
    is_deaf: bool,  # noqa: FBT001
) -> None:
    """The child of a worker that was killed is ended before its job is run again."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    run_id = ask(sqlite_ledger)
    gone = name_process().rpartition("/")[0] + "/0"
    assert claim(sqlite_ledger, gone, "o", datetime.now(UTC)) is not None
    code = (
        "import pathlib, signal, time\n"
        + ("signal.signal(15, signal.SIG_IGN)\n" if is_deaf else "")
        + "pathlib.Path('left').touch()\ntime.sleep(60)"
    )
    files = JobFiles(jobs_folder(bench.served.work), run_id)
    left = Child([sys.executable, "-c", code], tmp_path, dict(os.environ), files)
    wait_until((tmp_path / "left").exists)
    named = files.process.read_text()
    assert not is_gone(named)
    work(bench)

    assert is_gone(named)
    assert left.wait(5) == (-9 if is_deaf else -15)
    run = see(sqlite_ledger, run_id)
    assert (run.state, run.attempt) == ("completed", 2)


def test_a_number_that_is_used_again(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A process that only has the number of a child that was left is nobody's to end."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    run_id = ask(sqlite_ledger)
    files = JobFiles(jobs_folder(bench.served.work), run_id)
    files.folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        world, pid, started = name_process(stranger.pid).split("/")
        files.process.write_text(f"{world}/{pid}/{int(started) - 1}")
        work(bench)
        assert stranger.poll() is None
        stranger.kill()
    assert see(sqlite_ledger, run_id).state == "completed"


def test_a_ledger_that_is_away(
    tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that goes away in the midst ends no child; the end is written once it is back."""
    bench = make_bench(tmp_path, sqlite_ledger, "wait('go')")
    run_id = ask(sqlite_ledger)
    lines: list[str] = []
    bench.say = lines.append
    real, is_away = claims.heartbeat, threading.Event()

    def away(*given: Any, **more: Any) -> Any:
        if is_away.is_set():
            raise LedgerError("ledger postgresql://u:pw-of-u@h: expected an answer, got none")
        return real(*given, **more) if len(given) == 4 else claims.finish(*given, **more)

    monkeypatch.setattr("lading.web.job.heartbeat", away)
    monkeypatch.setattr("lading.web.job.finish", away)
    with at_work(bench) as worker:
        wait_until(began(bench))
        is_away.set()
        wait_until(lambda: any("WARNING" in each for each in lines))
        (tmp_path / "maps" / "go").touch()
        wait_until(lambda: is_gone(name_process(told(bench)["pid"])))
        assert see(sqlite_ledger, run_id).state == "running"
        is_away.clear()
        worker.join(30)

    assert see(sqlite_ledger, run_id).state == "completed"
    warnings = [each for each in lines if "WARNING" in each]
    assert warnings == ["WARNING: ledger postgresql://***@h: expected an answer, got none"]


@pytest.mark.slow
def test_a_postgres_that_goes_away(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A PostgreSQL that is stopped in mid job, and comes back, has the job's end in it."""
    ledger = open_ledger(postgres_url)
    bench = make_bench(tmp_path, ledger, "wait('go')")
    lines: list[str] = []
    bench.say = lines.append
    run_id = ask(ledger)
    with at_work(bench, server="") as worker:
        wait_until(began(bench))
        postgres_server.stop()
        try:
            wait_until(lambda: any("WARNING" in each for each in lines))
            (tmp_path / "maps" / "go").touch()
            wait_until(lambda: is_gone(name_process(told(bench)["pid"])))
            assert worker.is_alive()
        finally:
            postgres_server.start()
        wait_until(lambda: see(ledger, run_id).has_ended)
    assert see(ledger, run_id).state == "completed"
    ledger.close()


def test_when_a_worker_ends(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A worker goes on while its server lives, and ends when it is gone, or another came."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    held = hold(server_path(bench.served.work))
    assert held is not None
    with at_work(bench, server=name_process()) as worker:
        run_id = ask(sqlite_ledger)
        wait_until(lambda: see(sqlite_ledger, run_id).has_ended)
        assert worker.is_alive()
        held.close()
        worker.join(30)
        assert not worker.is_alive()
    bench.stopping.is_asked = False
    held = hold(server_path(bench.served.work))
    with at_work(bench, server="away/1/1") as worker:
        worker.join(30)
        assert not worker.is_alive()
    assert held is not None
    held.close()


def test_the_queue_is_emptied_without_a_server(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A worker whose server is gone does all that is left before it ends."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    jobs = [ask(sqlite_ledger) for _ in range(3)]
    work(bench)

    assert {see(sqlite_ledger, each).state for each in jobs} == {"completed"}


def test_jobs_that_wait_for_others(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """Without a server a worker stays as long as a job waits for another worker's."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    first, second = ask(sqlite_ledger), ask(sqlite_ledger)
    other = name_process()
    assert claim(sqlite_ledger, other, "o", datetime.now(UTC)) is not None
    looks: list[object] = []
    bench.pace = replace(bench.pace, idle_s=0.0)
    with at_work(bench) as worker, watching(bench, looks):
        wait_until(lambda: len(looks) > 3 or not worker.is_alive())
        at = datetime.now(UTC)
        given: dict[str, Any] = {"exit_code": 0, "error": "", "result": {}, "at": at}
        assert claims.finish(sqlite_ledger, first, other, state="completed", **given)
        worker.join(30)
    assert see(sqlite_ledger, second).state == "completed"


@contextmanager
def watching(bench: Bench, looks: list[object]) -> Iterator[None]:
    """Note each look of a worker into its queue while the block runs."""
    engine = bench.ledger.engine

    def note(*given: Any) -> None:
        if "FROM runs" in given[2]:
            looks.append(given[2])

    listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        remove(engine, "before_cursor_execute", note)


def test_a_worker_of_its_own(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    """A worker that a person started waits for work until it is asked to end."""
    bench = make_bench(tmp_path, sqlite_ledger, "")
    with at_work(bench, server="") as worker:
        for _ in range(2):
            run_id = ask(sqlite_ledger)
            wait_until(lambda run_id=run_id: see(sqlite_ledger, run_id).has_ended)  # type: ignore[misc]
        assert worker.is_alive()


def test_a_lapsed_job_of_a_live_queue(sqlite_ledger: Ledger) -> None:
    """A claim that was given back while its job ran is no claim: the same holds for its end."""
    run_id = ask(sqlite_ledger)
    at = datetime.now(UTC)
    claim(sqlite_ledger, "away/1/1", "o", at)
    assert claim(sqlite_ledger, "away/2/2", "o", at + timedelta(seconds=20)) is not None
    release_claim(sqlite_ledger, run_id, "away/1/1", at + timedelta(seconds=21))

    assert see(sqlite_ledger, run_id).state == "running"


LOCKED = "ERROR: build: expected no other run, found process 12 at work; wait until it has ended\n"


@pytest.mark.parametrize(
    ("exit_code", "why", "errors", "wanted"),
    [
        (0, "", "", Ending("completed")),
        (0, "cancelled", "", Ending("completed")),
        (0, "late", "", Ending("completed")),
        (0, "stopped", "", Ending("completed")),
        (0, "lost", "", Ending("none")),
        (1, "lost", "", Ending("none")),
        (143, "cancelled", "x", Ending("cancelled")),
        (-9, "stopped", "x", Ending("back")),
        (2, "", LOCKED, Ending("again")),
        (2, "cancelled", LOCKED, Ending("cancelled")),
        (1, "", LOCKED, Ending("failed", LOCKED.strip().removeprefix("ERROR: "))),
        (2, "", "ERROR: tag: expected", Ending("failed", "tag: expected")),
        (1, "", "", Ending("failed", "ended with exit code 1, and said nothing")),
        (-11, "", "", Ending("failed", "ended by SIGSEGV", is_outside=True)),
    ],
)
def test_what_an_end_means(exit_code: int, why: Any, errors: str, wanted: Ending) -> None:
    """A child's end is judged by its exit code, by why it was ended, and by its own words."""
    assert judge_end(exit_code, why, errors, 5) == wanted


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ("upload:a failed: no space\n1 task failed; to resume, run x", "upload:a failed: no space"),
        ("a\nb\n\n", "b"),
        ("ERROR: one\nERROR: two\nERROR: three\nERROR: four", "one\ntwo\nthree"),
        ("x" * 5000, "x" * 1000),
    ],
)
def test_words_of_a_child(errors: str, told: str) -> None:
    """Errors are picked from what a child said, else its last line; never a flood."""
    assert pick_error(1, errors) == told


def test_slots(tmp_path: Path) -> None:
    """A slot is one process's as long as that lives; others see whose it is."""
    path = slot_path(tmp_path, 3)
    assert find_holder(path) == ""
    held = hold(path)
    assert held is not None
    assert hold(path) is None
    assert find_holder(path) == name_process()
    numbers = [hold_first(tmp_path) for _ in range(2)]
    assert [number for number, _ in numbers] == [64, 65]
    held.close()
    assert find_holder(path) == ""
    for each in [hold(path), *(held for _, held in numbers)]:
        assert each is not None
        each.close()


def test_a_glance_refuses_nobody(tmp_path: Path) -> None:
    """Whoever only looks at a lock keeps nobody from taking it."""
    path = slot_path(tmp_path, 0)
    path.parent.mkdir()
    path.touch()
    with path.open() as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        end = threading.Timer(0.05, lambda: fcntl.flock(glance, fcntl.LOCK_UN))
        end.start()
        held = hold(path)
        end.join()
    assert held is not None
    held.close()


def test_old_files_go(tmp_path: Path) -> None:
    """The files of the newest jobs stay on this machine."""
    for number in range(5):
        for kind in ("log", "err", "process"):
            (tmp_path / f"2026112{number}T000000-0000000000.{kind}").touch()
    prune_files(tmp_path, 2)
    prune_files(tmp_path / "none", 2)

    assert {each.name[:8] for each in tmp_path.iterdir()} == {"20261123", "20261124"}
    assert len(list(tmp_path.iterdir())) == 6
