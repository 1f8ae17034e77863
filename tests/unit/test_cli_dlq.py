"""`lading dlq`: dead letters shown, sent again and dropped."""

import argparse
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lading.cli.dlq import add_dlq
from lading.errors import MisconfiguredError, UsageError
from lading.jobs import running
from lading.jobs.attempt import Outcome
from lading.jobs.dead_letters import DeadLetters
from lading.jobs.letters import DeadLetter, Failure
from lading.jobs.running import Order
from lading.jobs.settings import JobSettings
from lading.jobs.spec import Arguments, Job, JobSpec
from lading.storage import LocalStore

NOON = datetime(2025, 2, 5, 12, tzinfo=UTC)
MODULE = """
def main(argv):
    return 0

JOB = (main, "Copies.")
"""


def bad(row: int | None = None, message: str = "no date", **more: str) -> Failure:
    """Return what is wrong."""
    return Failure(error_class="RowError", message=message, row=row, **more)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project without a configuration; its jobs remember in ``build/jobs``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("LADING_LOG", raising=False)
    return tmp_path


def letters_of(job: str, store: str = "build/jobs") -> DeadLetters:
    """Open a job's dead letters."""
    return DeadLetters(LocalStore(Path.cwd() / store), job, now=lambda: NOON)


def dlq(*arguments: str) -> int:
    """Run the command as ``lading`` does."""
    parser = argparse.ArgumentParser()
    add_dlq(parser.add_subparsers(required=True))
    options = parser.parse_args(["dlq", *arguments])
    code = options.act(options)
    assert code is None or isinstance(code, int)
    return code or 0


def test_nothing_that_failed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty or missing store has no dead letters."""
    assert dlq("list") == 0
    assert capsys.readouterr().out == "no dead letters\n"


def test_letters_are_listed_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a letter, cut to the width; what would steer a terminal is taken out."""
    letters_of("copy").put("a.csv", [bad(3, "x" * 300), bad(4, "\x1b[2Jred")], run="r")
    letters_of("alter").put("2025-01-01", [bad()], run="r")

    assert dlq("list") == 0

    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["id", "job", "item#row", "tries"]
    assert [line.split()[1:3] for line in lines] == [
        ["alter", "2025-01-01"],
        ["copy", "a.csv#3"],
        ["copy", "a.csv#4"],
    ]
    assert all(len(line) <= 120 for line in lines)
    assert "xxx…" in lines[1]
    assert r"\x1b[2Jred" in lines[2]


def test_a_long_name_keeps_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a long item the table shows what tells it from others, and its row."""
    letters_of("alter").put(f"s3://{'b' * 40}/ak/2025-01-01.csv", [bad(12)], run="r")

    assert dlq("list") == 0

    place = capsys.readouterr().out.splitlines()[1].split()[2]
    assert len(place) == 40
    assert place.startswith("…b")
    assert place.endswith("b/ak/2025-01-01.csv#12")


def test_letters_of_a_job_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond fifty the rest is counted; all of them come as JSON lines."""
    letters_of("copy").put("a.csv", [bad(row) for row in range(1, 61)], run="r")
    letters_of("alter").put("x", [bad()], run="r")

    dlq("list", "copy")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 52
    assert lines[-1] == "... and 10 more"

    dlq("list", "copy", "--json")
    tables = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["row"] for each in tables] == list(range(1, 61))
    assert {each["store"] for each in tables} == {str(Path.cwd() / "build/jobs")}


def test_many_letters_are_counted_by_job(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no job is named and they are many, jobs are shown with their items and letters."""
    for item in ("a", "b"):
        letters_of("copy").put(item, [bad(row) for row in range(1, 31)], run="r")
    letters_of("alter").put("x", [bad()], run="r")
    dlq("list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["alter", "1", "1"], ["copy", "2", "60"]]
    assert lines[3].startswith("61 letters: `lading dlq list JOB`")


def test_stores_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """``--store`` replaces the configured places, and may be given several times."""
    letters_of("copy").put("here", [bad()], run="r")
    letters_of("copy", "one").put("first", [bad()], run="r")
    letters_of("copy", "two").put("second", [bad()], run="r")
    dlq("list", "--store", "one", "--store", "two")
    out = capsys.readouterr().out
    assert "first" in out
    assert "second" in out
    assert "here" not in out


def test_a_letter_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """All fields, then payload and trace, without what would steer a terminal."""
    failure = bad(3, payload="1;\x1b]0;x\n2", trace="Traceback:\n  line", reference="s3://b/a.csv")
    letters_of("copy").put("a.csv", [failure], run="r1", arguments=["--agency-id", "a"])
    letter = next(letters_of("copy").letters())

    dlq("show", letter.id[:6])

    out = capsys.readouterr().out
    assert f"id          {letter.id}\n" in out
    assert "arguments   --agency-id a\n" in out
    assert "\npayload:\n  1;\\x1b]0;x\n  2\n" in out
    assert "\ntrace:\n  Traceback:\n    line\n" in out


@pytest.mark.parametrize("arguments", [("show", "0123abcd"), ("drop", "copy", "0123abcd")])
def test_ids_that_nobody_has_are_refused(arguments: Sequence[str]) -> None:
    """An unknown id is named, with the command that shows those there are."""
    letters_of("copy").put("a", [bad()], run="r")
    with pytest.raises(UsageError, match=r"0123abcd.*found none; `lading dlq list`"):
        dlq(*arguments)


@pytest.mark.parametrize(
    "arguments", [("list", "coppy"), ("drop", "coppy", "--all"), ("show", "0123", "coppy")]
)
def test_jobs_that_nobody_knows_are_refused(arguments: Sequence[str]) -> None:
    """The nearest is named, and which jobs have dead letters."""
    letters_of("copy").put("a", [bad()], run="r")
    with pytest.raises(UsageError, match=r"did you mean 'copy'.*dead letters have: copy"):
        dlq(*arguments)


def test_a_known_job_without_letters_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A job that there is, and that has nothing dead, is told apart from one misspelt."""
    dlq("list", "get_s3_files")
    assert capsys.readouterr().out == "no dead letters\n"


def test_an_id_in_two_stores_is_ambiguous() -> None:
    """Both places are named."""
    for store in ("one", "two"):
        letters_of("copy", store).put("a", [bad()], run="r")
    letter = next(letters_of("copy", "one").letters())
    with pytest.raises(UsageError, match=r"found 2.*one.*two"):
        dlq("show", letter.id, "--store", "one", "--store", "two")


def test_dropping_shows_first_and_acts_on_yes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``--yes`` nothing goes; with it what was named goes, and nothing else."""
    letters = letters_of("copy")
    letters.put("a.csv", [bad(1), bad(2)], run="r")
    first, second = letters.letters()

    dlq("drop", "copy", first.id[:8])
    assert "1 letter would go: add --yes" in capsys.readouterr().out
    assert list(letters.letters()) == [first, second]

    dlq("drop", "copy", first.id[:8], "--yes")
    assert capsys.readouterr().out == "copy: dropped 1 letter\n"
    assert list(letters.letters()) == [second]

    dlq("drop", "copy", "--all", "--yes")
    assert list(letters.letters()) == []
    dlq("drop", "get_s3_files", "--all", "--yes")
    assert capsys.readouterr().out.endswith("get_s3_files: no dead letters\n")


@pytest.mark.parametrize("arguments", [(), ("0123", "--all")])
def test_dropping_wants_ids_or_all(arguments: Sequence[str]) -> None:
    """Neither and both are refused."""
    with pytest.raises(UsageError, match="expected either ids or --all"):
        dlq("drop", "copy", *arguments)


End = Callable[[Order, DeadLetters, str], int]
"""What a run does to letters, and its exit code."""


class FakeRunner:
    """Runs no job, but puts and resolves letters as one does; refuses what a job would.

    Args:
        ends: what each run does, in order; the last one again and again.
    """

    def __init__(self, *ends: End) -> None:
        self.orders: list[Order] = []
        self._ends = ends

    def __call__(self, job: Job, order: Order, settings: JobSettings, telling: Any) -> Outcome:
        """Run a job."""
        assert job.name == "copy"
        assert order.only, "a retry names its items"
        assert order.retries, "a retry is a run of its own"
        assert all(isinstance(each, str) for each in order.argv)
        self.orders.append(order)
        run_id = f"retry-{len(self.orders)}"
        letters = DeadLetters(settings.open_store(settings.stores[0]), job.name, now=lambda: NOON)
        end = self._ends[min(len(self.orders), len(self._ends)) - 1]
        code = end(order, letters, run_id)
        telling.out.write(f"{run_id} ran\n")
        return Outcome(exit_code=code, run_id=run_id, message="")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRunner]:
    """Put a fake in the place of what runs jobs, and one job in that of the registry."""

    def begin(*ends: End, by_item: bool = False) -> FakeRunner:
        runner = FakeRunner(*ends)
        monkeypatch.setattr(running, "run_job", runner)
        monkeypatch.setattr("lading.jobs.logs.choose_style", lambda *_: "text")
        spec = JobSpec(
            entrypoint=lambda *_: 0, description="Copies.", arguments=Arguments, by_item=by_item
        )
        job = Job(name="copy", module="m.copy", spec=spec, entrypoint=None, description="Copies.")
        monkeypatch.setattr(
            "lading.jobs.registry.load_registry", lambda *_: argparse.Namespace(find=lambda _: job)
        )
        return runner

    return begin


def succeed(order: Order, letters: DeadLetters, run_id: str) -> int:
    """Do all items and say nothing of letters."""
    del order, letters, run_id
    return 0


def bury_one(item: str, code: int) -> End:
    """Return a run that puts one item again."""

    def end(order: Order, letters: DeadLetters, run_id: str) -> int:
        letters.put(item, [bad(message="still no date")], run=run_id, arguments=order.argv)
        return code

    return end


def give_up(code: int) -> End:
    """Return a run that ends before any item."""
    return lambda *_: code


def filled() -> list[DeadLetter]:
    """Put letters of three items, of two sets of arguments."""
    letters = letters_of("copy")
    letters.put("x", [bad(1), bad(2)], run="before", arguments=["--id", "a"])
    letters.put("y", [bad()], run="before", arguments=["--id", "a"])
    letters.put("z", [bad()], run="before", arguments=["--id", "b"])
    return list(letters.letters())


def test_a_retry_is_a_run_for_each_set_of_arguments(
    start: Callable[..., FakeRunner], capsys: pytest.CaptureFixture[str]
) -> None:
    """All letters go again; those that are good have none any more."""
    runner, letters = start(succeed), filled()

    assert dlq("retry", "copy") == 0

    assert [(each.argv, each.only) for each in runner.orders] == [
        (("--id", "a"), frozenset({"x", "y"})),
        (("--id", "b"), frozenset({"z"})),
    ]
    assert set(runner.orders[0].retries) == {f"{each.id}:1" for each in letters[:3]}
    assert letters_of("copy").items() == frozenset()
    assert "retry 1 of 2: 2 items: ended with 0; 3 letters" in capsys.readouterr().out


def test_a_retry_of_some_letters(start: Callable[..., FakeRunner]) -> None:
    """Only the items of the letters named are done again, each as a whole."""
    runner, letters = start(succeed), filled()
    assert dlq("retry", "copy", letters[1].id[:8]) == 0
    (order,) = runner.orders
    assert order.only == frozenset({"x"})
    assert order.retries == (f"{letters[1].id}:1",)
    assert letters_of("copy").items() == {"y", "z"}


@pytest.mark.parametrize("code", [0, 65])
def test_what_a_retry_puts_again_stays(start: Callable[..., FakeRunner], code: int) -> None:
    """An item that fails again keeps its letter, one attempt older; the others' are resolved."""
    start(bury_one("y", code), succeed)
    filled()
    assert dlq("retry", "copy") == code
    (letter,) = letters_of("copy").letters()
    assert (letter.item, letter.attempt, letter.run) == ("y", 2, "retry-1")


@pytest.mark.parametrize("code", [65, 70, 75, 78])
def test_a_retry_that_came_to_no_item_resolves_nothing(
    start: Callable[..., FakeRunner], code: int
) -> None:
    """Where a run ends before its items, or for the time being, every letter stays."""
    start(give_up(code))
    before = filled()
    assert dlq("retry", "copy") == code
    assert list(letters_of("copy").letters()) == before


def test_a_job_that_goes_item_by_item_resolves_its_own(start: Callable[..., FakeRunner]) -> None:
    """With bad data it may have stopped early: what it has not resolved itself stays."""
    start(bury_one("y", 65), give_up(75), by_item=True)
    filled()
    assert dlq("retry", "copy") == 75
    assert letters_of("copy").items() == {"x", "y", "z"}


def test_a_signal_ends_all_retries(start: Callable[..., FakeRunner]) -> None:
    """After an interrupted run no other is begun."""
    runner = start(give_up(143))
    filled()
    assert dlq("retry", "copy") == 143
    assert len(runner.orders) == 1


def test_nothing_to_retry(
    start: Callable[..., FakeRunner], capsys: pytest.CaptureFixture[str]
) -> None:
    """A job without letters is done with."""
    runner = start(succeed)
    letters_of("other").put("x", [bad()], run="r")
    letters_of("copy").put("x", [bad()], run="r")
    letters_of("copy").resolve("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lading.cli.dlq._require_known", lambda *_: None)
        assert dlq("retry", "copy") == 0
    assert runner.orders == []
    assert capsys.readouterr().out == "copy: no dead letters\n"


def test_arguments_whose_secret_is_gone_are_not_given_again(
    start: Callable[..., FakeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with ``***`` in the place of a secret would be another one."""
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    runner = start(succeed)
    letters_of("copy").put("x", [bad()], run="r", arguments=["--key", "hunter2hunter2"])
    with pytest.raises(UsageError, match="secret was taken out"):
        dlq("retry", "copy")
    assert runner.orders == []


def test_a_retry_of_a_job_that_nobody_knows_is_refused() -> None:
    """The registry's own words name the nearest."""
    with pytest.raises((MisconfiguredError, UsageError), match="get_s3_files"):
        dlq("retry", "get_s3_file")


def test_a_real_job_is_retried(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job of the project, found by the registry, runs again and its letter goes."""
    package = project / "dlq_jobs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "copies.py").write_text(MODULE)
    (project / "lading.toml").write_text(
        '[project]\nname = "x"\n\n[jobs]\npackages = ["dlq_jobs"]\nstores = ["remembered"]\n'
    )
    letters_of("copies", "remembered").put("a", [bad()], run="r", arguments=["--x"])
    assert dlq("retry", "copies") == 0, capsys.readouterr()
    assert letters_of("copies", "remembered").items() == frozenset()
