"""Runs of jobs: from an order to its work, its log, its receipt and its metrics."""

import io
import json
import os
import signal
from pathlib import Path
from typing import Any, Literal

import pytest

from lading.config.jobs import Jobs
from lading.errors import BadDataError, MisconfiguredError
from lading.jobs.attempt import Work
from lading.jobs.letters import Failure
from lading.jobs.run import Run
from lading.jobs.running import Order, Telling, run_job, work_of
from lading.jobs.spec import Arguments
from lading.jobs.words import name_run
from tests.unit.jobs.job_world import CopyArguments, World, tuple_job, typed_job


class PlacedArguments(Arguments):
    """Arguments that may say where to write."""

    target: str | None = None


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project."""
    return World(tmp_path)


def key_of(world: World, job: Any, *argv: str, **more: Any) -> tuple[str, bool]:
    """Return the identity of a run, and whether it is done once."""
    identity = work_of(job, Order(argv=argv, **more), world.settings).identity
    return identity.key, identity.believes_done


class TestIdentity:
    """What makes two orders the same work."""

    def test_tuple(self, world: World) -> None:
        """Arguments tell runs of a tuple apart; in a plan each is done once, in that plan."""
        job = tuple_job(lambda _: 0)
        plain = key_of(world, job, "7")
        assert plain == key_of(world, job, "7")
        assert not plain[1]
        planned = key_of(world, job, "7", plan="a" * 64)
        assert planned[1]
        keys = {
            plain[0],
            planned[0],
            key_of(world, job, "8")[0],
            key_of(world, job, "7", plan="b" * 64)[0],
            key_of(world, job, "7", retries=("x:1",))[0],
            key_of(world, tuple_job(lambda _: 0, "other"), "7")[0],
        }
        assert len(keys) == 6

    def test_own(self, world: World) -> None:
        """One that says what identifies it is the same run in any plan, and outside of one."""
        job = typed_job(identity=("name",))
        own = key_of(world, job, "--name=7")
        assert own[1]
        assert own == key_of(world, job, "--name", "7", "--target", "x", plan="a" * 64)
        assert own != key_of(world, job, "--name=8")
        assert own != key_of(world, job, "--name=7", retries=("x:1",))

    def test_typed_without_one(self, world: World) -> None:
        """One that does not, is told apart by all its arguments, and done once in a plan."""
        key, is_once = key_of(world, typed_job(), "--name=7")
        assert not is_once
        planned, is_once = key_of(world, typed_job(), "--name=7", plan="a" * 64)
        assert is_once
        assert key != planned

    def test_parent_and_stream_do_not_count(self, world: World) -> None:
        """Who began it and where it is told change no work."""
        job = typed_job(identity=("name",))
        assert key_of(world, job) == key_of(world, job, parent="a/b", stream="s", wait_s=3)


class TestStore:
    """Where a run keeps what it remembers."""

    @pytest.mark.parametrize(
        ("target", "url"),
        [
            ("", "state"),
            ("--target=out", "out"),
            ("--target=./state/silver", "state"),
            ("--target=", "state"),
        ],
    )
    def test_where_it_writes(self, world: World, target: str, url: str) -> None:
        """At the place that an argument names, or the store that holds it; else the first."""
        spec: dict[str, Any] = {"arguments": PlacedArguments, "store": "target"}
        argv = (target,) if target else ()
        work = work_of(typed_job(**spec), Order(argv=argv), world.settings)
        assert Path(work.store.url) == world.base / url


class TestRetry:
    """Runs that send dead letters again."""

    def test_items(self, world: World) -> None:
        """A retry of items is a run of its own, that does only those."""
        seen: list[Any] = []
        job = typed_job(lambda _, run: seen.append(run.only), identity=("name",))
        world.run(job)
        outcome = world.run(job, only=frozenset({"a"}), retries=("0123:1",))
        assert not outcome.was_done
        assert seen == [None, {"a"}]

    def test_of_a_whole_run(self, world: World) -> None:
        """A letter that stands for a whole run is that very run, all its items included."""
        seen: list[Any] = []
        job = typed_job(lambda _, run: seen.append(run.only), identity=("name",), by_item=True)
        argv = ("--name=7",)
        world.run(job, *argv, only=frozenset({name_run(argv)}), retries=("0123:1",))
        assert seen == [None]
        assert world.run(job, *argv).was_done


class TestRefused:
    """What cannot begin."""

    def test_arguments(self, world: World) -> None:
        """Arguments that do not parse are 78: one line a fault, and nothing is written."""
        outcome = world.run(typed_job(), "--nam=x", "y")
        assert outcome.exit_code == 78
        assert outcome.message.count("\n") == 1
        assert "did you mean '--name'?" in outcome.message
        assert world.said[0]["level"] == "ERROR"
        assert not (world.base / "state").exists()

    @pytest.mark.parametrize(
        ("error", "code"),
        [(BadDataError("prefix: expected objects"), 65), (RuntimeError("boom"), 70)],
    )
    def test_inputs(self, world: World, error: Exception, code: int) -> None:
        """What a job raises when it is asked for its inputs is told like all else."""

        def inputs(*_: Any) -> Any:
            raise error

        assert world.run(typed_job(inputs=inputs)).exit_code == code
        assert world.messages == [str(error)]

    def test_signal_before_the_work(self, world: World) -> None:
        """SIGTERM while inputs are listed: 143, and nothing was begun."""

        def inputs(*_: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return []

        assert world.run(typed_job(inputs=inputs)).exit_code == 143
        assert not (world.base / "state").exists()


class TestReceipt:
    """A file that says how a run ended."""

    def told(self, world: World, path: Path, job: Any) -> Any:
        """Run a job that leaves a receipt."""
        return world.told(lambda telling: world._run(job, telling, (), {}), receipt=path)

    def test_what_it_says(self, world: World) -> None:
        """Job, run, exit code, message, counts: JSON."""
        path = world.base / "receipt.json"
        job = typed_job(lambda _, run: run.count("done", 2), identity=("name",))
        outcome = self.told(world, path, job)
        table = json.loads(path.read_text())
        assert table.pop("ended_at").endswith("+00:00")
        assert table == {
            "job": "hello",
            "run": outcome.run_id,
            "exit_code": 0,
            "message": "2 done",
            "was_done": False,
            "counts": {"done": 2},
        }
        self.told(world, path, job)
        assert json.loads(path.read_text())["was_done"]

    def test_of_a_refused_run(self, world: World) -> None:
        """A run that could not begin leaves one, too."""
        path = world.base / "receipt.json"
        world.told(lambda telling: world._run(typed_job(), telling, ("x",), {}), receipt=path)
        assert json.loads(path.read_text())["exit_code"] == 78

    @pytest.mark.parametrize("name", ["nowhere/receipt.json", "."])
    def test_cannot_be_written(self, world: World, name: str) -> None:
        """Where it could not be written, that is said before anything is done: 78, one line."""
        done: list[int] = []
        outcome = self.told(world, world.base / name, tuple_job(lambda _: done.append(1)))
        assert (outcome.exit_code, done) == (78, [])
        (line,) = world.messages
        assert line.startswith("receipt: expected a file in a folder that can be written, found ")

    def test_folder_vanishes(self, world: World) -> None:
        """Where it cannot be written any more, what was done stays done."""
        folder = world.base / "out"
        folder.mkdir()

        def main(argv: list[str]) -> None:
            del argv
            folder.rmdir()
            folder.touch()

        outcome = self.told(world, folder / "r", tuple_job(main))
        assert outcome.exit_code == 0
        assert [line["level"] for line in world.said] == ["INFO", "ERROR"]


class TestMetrics:
    """A textfile for Prometheus."""

    def test_what_it_says(self, world: World) -> None:
        """Items by state, and the exit code."""
        path = world.base / "hello.prom"
        job = typed_job(lambda _, run: run.count("done", 2))
        world.told(lambda telling: world._run(job, telling, (), {}), metrics=path)
        assert 'lading_job_items{job="hello",state="done"} 2.0' in path.read_text()
        assert 'lading_job_exit_code{job="hello"} 0.0' in path.read_text()

    def test_cannot_be_written(self, world: World) -> None:
        """A folder that is not there is 78 before anything is done."""
        path, done = world.base / "nowhere" / "hello.prom", []
        job = tuple_job(lambda _: done.append(1))
        outcome = world.told(lambda telling: world._run(job, telling, (), {}), metrics=path)
        assert (outcome.exit_code, done) == (78, [])


class TestLog:
    """What a run says."""

    def test_item(self, world: World) -> None:
        """A run of a plan's item names it in each line, unless a line names another."""

        def entrypoint(_: Any, run: Run) -> None:
            run.log.info("one")
            run.log.info("two", extra={"item": "row 3"})

        job = typed_job(entrypoint)
        world.told(lambda telling: world._run(job, telling, (), {}), item="2025-01-01")
        assert [line["item"] for line in world.said] == ["2025-01-01", "row 3", "2025-01-01"]

    def test_percent(self, world: World) -> None:
        """What a job says is no format."""
        world.run(tuple_job(lambda _: (_ for _ in ()).throw(BadDataError("100% of %s"))))
        assert world.messages == ["100% of %s"]

    def test_style_is_known_to_the_run(self, world: World) -> None:
        """A job that begins others knows how they are to log."""
        styles: list[str] = []
        job = typed_job(lambda _, run: styles.append(run.style))
        both: tuple[Literal["json", "text"], ...] = ("json", "text")
        for style in both:
            run_job(job, Order(), world.settings, Telling(out=io.StringIO(), style=style))
        assert styles == ["json", "text"]

    def test_item_in_text(self, world: World) -> None:
        """In lines for people the item stands before what is said of it."""
        out = io.StringIO()
        telling = Telling(out=out, style="text", item="2025-01-01")
        run_job(tuple_job(lambda _: 65), Order(), world.settings, telling)
        assert out.getvalue().endswith(" hello: ERROR 2025-01-01: ended with exit code 65\n")


def test_dead_letters_stand_where_it_writes(tmp_path: Path) -> None:
    """Markers, letters and the trail stand in the store of the run, not in the first."""
    world = World(tmp_path, Jobs(stores=("./one", "./two")))

    def entrypoint(arguments: CopyArguments, run: Run) -> int:
        run.fail(arguments.name, [Failure(error_class="RowError", message="no date")])
        return 65

    world.run(typed_job(entrypoint, store="target"), "--target=./two/silver")
    assert not (tmp_path / "one").exists()
    kinds = {path.relative_to(tmp_path / "two").parts[1] for path in tmp_path.rglob("*.json*")}
    assert kinds == {"audit", "jobs"}


def test_broken_places(world: World) -> None:
    """A place that cannot be opened is told in one line: 78."""
    job = typed_job(store="target")
    outcome = world.run(job, "--target=ftp://host/x")
    assert outcome.exit_code == 78
    assert world.said[0]["level"] == "ERROR"
    with pytest.raises(MisconfiguredError):
        work_of(job, Order(argv=("x",)), world.settings)
    assert isinstance(work_of(job, Order(), world.settings), Work)
