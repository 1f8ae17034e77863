"""Any job over a range of dates or of ids."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import MisconfiguredError
from lading.jobs.builtin.backfill import JOB, BackfillArguments, plan_backfill, step_from
from lading.jobs.plans import Plan
from lading.jobs.processes import LocalShards
from lading.jobs.registry import load_registry
from lading.jobs.run import Run
from tests.unit.jobs.job_world import World
from tests.unit.jobs.one_run import make_run
from tests.unit.jobs.packages import package_of


def plan(base: Path, args: str, **more: Any) -> Plan:
    """Return the plan of a backfill."""
    arguments = BackfillArguments(job="copy", args=args, **more)
    return plan_backfill(arguments, make_run("backfill", JOB, _argv(args), base=base))


def _argv(args: str) -> tuple[str, ...]:
    return ("--job", "copy", f"--args={args}")


def names(found: Plan) -> list[str]:
    """Return the names of a plan's items."""
    return [each.name for each in found.items]


def refusal(base: Path, args: str, **more: Any) -> str:
    """Return what is wrong with a backfill."""
    with pytest.raises(MisconfiguredError) as caught:
        plan(base, args, **more)
    return str(caught.value)


FEBRUARY = {"first": date(2024, 2, 27), "last": date(2024, 3, 1)}


class TestDates:
    """Ranges of dates."""

    def test_days(self, tmp_path: Path) -> None:
        """Every day, the first and the last included, leap days too."""
        found = plan(tmp_path, "--date {date} --until={next} -v", **FEBRUARY)
        assert [each.argv for each in found.items] == [
            ("--date", "2024-02-27", "--until=2024-02-28", "-v"),
            ("--date", "2024-02-28", "--until=2024-02-29", "-v"),
            ("--date", "2024-02-29", "--until=2024-03-01", "-v"),
            ("--date", "2024-03-01", "--until=2024-03-02", "-v"),
        ]
        assert names(found)[0] == "2024-02-27/2024-02-28"
        newest = plan(tmp_path, "{date}", newest_first=True, **FEBRUARY)
        assert names(newest)[0] == "2024-03-01"

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            ("week", ["2024-01-31", "2024-02-07", "2024-02-14"]),
            ("month", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
            ("year", ["2024-01-31", "2025-01-31"]),
        ],
    )
    def test_steps(self, tmp_path: Path, step: str, expected: list[str]) -> None:
        """A month after January 31 is the last of February, two months are March 31."""
        last = date.fromisoformat(expected[-1])
        found = plan(tmp_path, "{date}", first=date(2024, 1, 31), last=last, step=step)
        assert names(found) == expected

    def test_the_shortest_month(self, tmp_path: Path) -> None:
        """January 31 of a year that is no leap year is followed by February 28."""
        found = plan(
            tmp_path, "{date}", first=date(2023, 1, 31), last=date(2023, 2, 28), step="month"
        )
        assert names(found) == ["2023-01-31", "2023-02-28"]

    def test_parts(self, tmp_path: Path) -> None:
        """Year, month and day by themselves; a part that is the same for several is told."""
        first = date(999, 1, 2)
        found = plan(tmp_path, "{year}/{month}/{day}", first=first, last=first)
        assert found.items[0].argv == ("0999/01/02",)
        assert refusal(tmp_path, "{year}", **FEBRUARY) == (
            "plan of copy: expected each item once, got several times: '2024'"
        )

    @given(
        st.dates(date(1, 1, 1), date(9990, 1, 1)),
        st.sampled_from(["day", "week", "month", "year"]),
        st.integers(0, 50),
    )
    def test_steps_only_go_forward(self, first: date, step: Any, number: int) -> None:
        """Each step is later than the one before, whatever the first day of the month."""
        here, further = (step_from(first, step, each) for each in (number, number + 1))
        assert first <= here < further

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "backfill: expected --first and --last, or --ids, got neither"),
            ({"first": date(2024, 1, 1)}, "backfill: expected --first and --last"),
            (
                {"first": date(2024, 1, 2), "last": date(2024, 1, 1)},
                "--last: expected no date before 2024-01-02, got 2024-01-01",
            ),
            (
                {"first": date(9999, 1, 1), "last": date(9999, 12, 31)},
                "--last: expected a year before 9999, got 9999-12-31",
            ),
            ({**FEBRUARY, "ids": "1..2"}, "--ids: expected either ids or --first and --last"),
        ],
    )
    def test_no_range(self, tmp_path: Path, given: dict[str, Any], message: str) -> None:
        """A range that is none is told in one line."""
        assert refusal(tmp_path, "{date}", **given).startswith(message)


class TestIds:
    """Ranges and files of ids."""

    @pytest.mark.parametrize(
        ("ids", "expected"),
        [
            ("1..3", ["1", "2", "3"]),
            ("7..7", ["7"]),
            ("098..101", ["098", "099", "100", "101"]),
            ("0..2", ["0", "1", "2"]),
        ],
    )
    def test_ranges(self, tmp_path: Path, ids: str, expected: list[str]) -> None:
        """Both ends are included; a zero before them makes all as wide."""
        assert names(plan(tmp_path, "--id={id}", ids=ids)) == expected

    def test_files(self, tmp_path: Path) -> None:
        """A file has a line an id, or fields; its path may hold two dots."""
        (tmp_path / "ids.txt").write_text("a\nb\n")
        (tmp_path / "ids.jsonl").write_text('{"agency": "epa", "of": 3}\n')
        (tmp_path / "base").mkdir()
        assert names(plan(tmp_path / "base", "{id}", ids="../ids.txt")) == ["a", "b"]
        found = plan(tmp_path, "--agency-id {agency}", ids="ids.jsonl")
        assert found.items[0].argv == ("--agency-id", "epa")

    @pytest.mark.parametrize("ids", ["3..1", "1..9999999999999", "..", "1..", "a..b", "\u0661..3"])
    def test_no_range(self, tmp_path: Path, ids: str) -> None:
        """What is no range, nor a file, is told, and costs no memory."""
        message = refusal(tmp_path, "{id}", ids=ids)
        assert "expected a range of 1 to 1000000 ids" in message or "a file of items" in message

    def test_template(self, tmp_path: Path) -> None:
        """Arguments that say none of it would be the same run many times."""
        assert refusal(tmp_path, "--x {date}", ids="1..3") == (
            "--args: expected one of {id}, got '--x {date}'"
        )
        assert refusal(tmp_path, "{dat}", **FEBRUARY).startswith(
            "--args: expected one of {date}, {day}, {month}, {next}, {year}, got"
        )


def test_shards_and_key(tmp_path: Path) -> None:
    """Several ids for one process; a key makes it another backfill."""
    plain = plan(tmp_path, "{id}", ids="1..10", per_shard=4)
    assert plain.shards == 3
    assert plan(tmp_path, "{id}", ids="1..10", per_shard=4, key="b").digest != plain.digest


class TestJob:
    """The job itself."""

    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
        """A project whose shards are only noted."""
        noted: list[Any] = []

        def note(shards: Any, plan: Plan, indexes: Any, run: Run) -> None:
            noted.append((shards.workers, shards.retries, shards.style, list(indexes)))
            del plan, run

        monkeypatch.setattr(LocalShards, "__call__", note)
        world = World(tmp_path)
        world.noted = noted  # type: ignore[attr-defined]
        return world

    def run(self, world: World, *argv: str) -> Any:
        """Run the job."""
        return world.run(load_registry([], world.base).find("backfill"), *argv)

    def test_dry_run(self, world: World) -> None:
        """Shows a line an item, and runs nothing."""
        argv = ("--job=transform", "--args=--source x/{id}", "--ids=1..2", "--dry-run")
        assert self.run(world, *argv).exit_code == 0
        assert world.messages[:2] == ["1: --source x/1", "2: --source x/2"]
        assert world.noted == []  # type: ignore[attr-defined]

    def test_runs(self, world: World) -> None:
        """What is said of processes reaches them; the plan belongs to the job, not to backfill."""
        module_text = "def main(argv):\n    return 0\n\n\nJOB = (main, 'x')\n"
        with package_of(world.base, {"copy.py": module_text}) as package:
            world.jobs = world.jobs.model_copy(update={"packages": (package,)})
            argv = ("--job=copy", "--args={id}", "--ids=1..5", "--workers=3", "--retries=1")
            outcome = self.run(world, *argv, "--per-shard=2")
        assert outcome.exit_code == 75
        assert world.noted == [(3, 1, "json", [0, 1, 2])]  # type: ignore[attr-defined]
        assert {each.item for each in world.letters("copy")} == {f"run {each}" for each in "12345"}
        assert world.kinds("backfill") == ["START", "FAIL"]
        hint = next(each for each in world.messages if "does them again" in each)
        assert "`lading run copy --retry " in hint

    @pytest.mark.parametrize(
        ("job", "words"),
        [("backfil", "did you mean 'backfill'?"), ("backfill", "--job: expected another job")],
    )
    def test_no_job(self, world: World, job: str, words: str) -> None:
        """An unknown job is 78 with the nearest; backfill itself is no job for it."""
        outcome = self.run(world, f"--job={job}", "--args={id}", "--ids=1..5")
        assert outcome.exit_code == 78
        assert words in outcome.message


def test_its_store_is_the_first() -> None:
    """It has no store of its own: its plan stands where all plans stand."""
    assert JOB.store == ""
    assert JOB.identity is None
