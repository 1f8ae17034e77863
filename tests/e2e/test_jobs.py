"""Jobs as a person runs them: one, many, through doit; and what is said where they fail."""

import os
import pty
import select
import shutil
import signal
import sys
from pathlib import Path

import pytest

from lading.jobs.keys import plan_key
from lading.storage import Body
from tests.e2e.jobs_project import JobsProject, lines_of, make_jobs_project, wait_for
from tests.e2e.project import DOIT

OVER = ("run", "hello", "--over=items", "--workers=2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> JobsProject:
    """A project, never changed."""
    return make_jobs_project(tmp_path_factory.mktemp("jobs") / "made")


@pytest.fixture
def project(made: JobsProject, tmp_path: Path) -> JobsProject:
    """A project."""
    shutil.copytree(made.folder, tmp_path / "project")
    return JobsProject(tmp_path / "project")


def write_items(project: JobsProject, *names: str) -> None:
    """Write the file of items."""
    (project.folder / "items").write_text("".join(f"{name}\n" for name in names))


@pytest.mark.timeout(120)
class TestScattered:
    """A job over items, in processes."""

    def test_every_end(self, project: JobsProject) -> None:
        """A crash is 70, a kill is tried again, 65 fails its item; all else is done once."""
        write_items(project, "ann", "bad", "killed", "zoe")
        done = project.lading(*OVER, "--per-shard=2", "--metrics=a.prom", "--", "{item}")
        assert done.returncode == 65, done.stdout
        # the second shard is tried again for the one that was killed
        assert project.tried() == {"ann": 1, "bad": 1, "killed": 2, "zoe": 1}
        (letter,) = project.letters()
        assert (letter.item, letter.arguments) == ("run bad", ("bad",))
        lines = lines_of(done.stdout)
        assert {line["item"] for line in lines if "item" in line} == {"ann", "bad", "killed", "zoe"}
        assert any("ended with -9: tried again" in line["message"] for line in lines)
        assert lines[-1]["message"] == "ended with exit code 65: 3 done, 1 failed"
        assert (
            'lading_job_items{job="hello",state="failed"} 1.0'
            in (project.folder / "a.prom").read_text()
        )
        end = project.end_of()
        assert len(end["heads"]) == 2
        assert [each["stream"] for each in end["heads"]] == [
            name for name in project.streams() if name != "hello"
        ]
        assert project.kinds() == ["START", "FAIL"]
        project.require_whole()

        # what is mended is done by the same command, and only that
        (project.folder / "good").touch()
        again = project.lading(*OVER, "--per-shard=2", "--", "{item}")
        assert again.returncode == 0, again.stdout
        assert project.tried() == {"ann": 1, "bad": 2, "killed": 2, "zoe": 1}
        assert project.letters() == []
        project.require_whole()

    @pytest.mark.slow
    def test_retry_and_key(self, project: JobsProject) -> None:
        """``--retry`` is of what is not done; another key does all of it again."""
        write_items(project, "ann", "bad")
        first = project.lading(*OVER, "--", "{item}")
        plan = project.end_of()["plan"]
        assert f"`lading run hello --retry {plan[:12]}` does them again" in first.stdout
        (project.folder / "good").touch()
        assert project.lading("run", "hello", "--retry", plan[:12]).returncode == 0
        assert project.tried() == {"ann": 1, "bad": 2}
        nothing = project.lading("run", "hello", "--retry", plan[:12])
        assert nothing.returncode == 78
        assert "expected items to try again, found none" in nothing.stdout
        assert project.lading(*OVER, "--key=again", "--", "{item}").returncode == 0
        assert project.tried() == {"ann": 2, "bad": 3}

    def test_setting(self, project: JobsProject) -> None:
        """78 of one ends all, and says which shard."""
        write_items(project, "wrong", *(f"n{number}" for number in range(9)))
        done = project.lading("run", "hello", "--over=items", "--workers=1", "--", "{item}")
        assert done.returncode == 78
        assert project.tried() == {"wrong": 1}
        assert "shard 0 of plan " in lines_of(done.stdout)[-1]["message"]

    def test_changed_plan(self, project: JobsProject) -> None:
        """A plan file that was changed is 78 for whoever reads it, naming both digests."""
        write_items(project, "ann")
        project.lading(*OVER, "--", "{item}")
        plan = project.end_of()["plan"]
        project.store.put(plan_key(plan), Body.of_bytes(b"{}"))
        for command in (
            (*OVER, "--", "{item}"),
            ("run", "hello", "--retry", plan),
            ("run", "hello", "--plan", plan, "--index=0"),
        ):
            done = project.lading(*command)
            assert done.returncode == 78, command
            assert f"expected the plan {plan}, found 44136fa3" in done.stdout + done.stderr
        assert project.tried() == {"ann": 1}

    @pytest.mark.slow
    def test_a_shard_as_a_pod_runs_it(self, project: JobsProject) -> None:
        """The image's entry point, with the index that Kubernetes gives."""
        write_items(project, "ann", "zoe")
        project.lading(*OVER, "--", "{item}")
        plan = project.end_of()["plan"]
        shutil.rmtree(project.folder / "tried")
        done = project.lading("run", f"--plan={plan}", "hello", JOB_COMPLETION_INDEX="1")
        assert done.returncode == 0
        assert "done before" in lines_of(done.stdout)[0]["message"]
        beyond = project.lading("run", f"--plan={plan}", "hello", JOB_COMPLETION_INDEX="2")
        assert beyond.returncode == 78
        assert "expected an index from 0 to 1, got 2" in beyond.stderr
        other = project.lading("run", f"--plan={plan}", "slow", "--index=0")
        assert "expected one of slow, found one of hello" in other.stderr


@pytest.mark.timeout(120)
class TestBackfill:
    """A range of dates."""

    @pytest.mark.slow
    def test_resumed(self, project: JobsProject) -> None:
        """What failed is done by the same command; a job of another name tells who began it."""
        command = (
            *("run", "backfill", "--log=text", "--", "--job=hello", "--args={date}"),
            *("--first=2024-02-28", "--last=2024-03-01", "--workers=2", "--per-shard=2"),
        )
        assert project.lading(*command).returncode == 0
        assert list(project.tried()) == ["2024-02-28", "2024-02-29", "2024-03-01"]
        again = project.lading(*command)
        assert " backfill: plan " in again.stdout
        assert ": 0 of 3 items are to be done" in again.stdout
        assert set(project.tried().values()) == {1}
        project.require_whole()


@pytest.mark.timeout(120)
class TestDoit:
    """Jobs as tasks."""

    def test_list(self, project: JobsProject) -> None:
        """Sound jobs show what they do, broken ones why they cannot, twins once; none is hidden."""
        jobs = project.folder / "work/jobs"
        (jobs / "broken.py").write_text("import nowhere\n")
        (jobs / "deep").mkdir()
        for folder in (jobs, jobs / "deep"):
            (folder / "twin.py").write_text("JOB = (lambda argv: 0, 'one of two')\n")
        (jobs / "deep/__init__.py").touch()
        said = project.doit("list", "--all")
        assert said.returncode == 0, said.stderr
        lines = [line for line in said.stdout.splitlines() if line.startswith("job:")]
        assert [line.split()[0] for line in lines] == [
            f"job:{name}"
            for name in (
                *("backfill", "broken", "copy", "get_s3_files", "hello", "ingest_api"),
                *("limited", "slow", "transform", "twin"),
            )
        ]
        text = "\n".join(lines)
        assert "broken: ModuleNotFoundError: No module named 'nowhere' (work/jobs/broken.py:1)" in (
            text
        )
        assert "broken: its name is used 2 times" in text
        assert "says hello to somebody" in text
        done = project.doit("job:broken")
        assert done.returncode == 1
        assert "expected exit code 0, got 78 (a setting is wrong): broken: expected a job that" in (
            done.stderr
        )
        assert "No module named 'nowhere'" in done.stderr

    def test_package_that_is_not_there(self, project: JobsProject) -> None:
        """A package that cannot be imported is told with the group."""
        config = project.folder / "lading.toml"
        config.write_text(config.read_text().replace("work.jobs", "wrok.jobs"))
        said = project.doit("list")
        (line,) = (line for line in said.stdout.splitlines() if line.startswith("job "))
        assert "jobs.packages: wrok.jobs: expected a package that can be imported, found" in line

    def test_a_project_without_jobs(self, project: JobsProject) -> None:
        """Where there is no ``[jobs]``, no job is looked for, and nothing of them is imported."""
        (project.folder / "lading.toml").write_text(
            '[project]\nname = "x"\n[source]\nurl = "source"\n[destinations.a]\nurl = "out"\n'
            "[channels.nightly]\ntag = 'n'\nprefixes = [\"nightly\"]\n"
        )
        # the last line of the dodo.py: what `doit list` has imported
        with (project.folder / "dodo.py").open("a") as file:
            file.write(
                "import atexit, sys\natexit.register(lambda: print(sorted(\n"
                "    each for each in sys.modules if each.startswith('lading.jobs.'))))\n"
            )
        process = project.start("list", program=DOIT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "\njob " in said
        assert "lading.jobs.registry" not in said
        assert "lading.jobs.running" not in said

    def test_runs(self, project: JobsProject) -> None:
        """Arguments are one text; its lines are shown, and the last one stands in the table."""
        done = project.doit("job:hello", "args=ann")
        assert done.returncode == 0, done.stderr
        assert " hello: done" in done.stdout
        assert "job:hello  done    done" in done.stdout
        again = project.doit("job:copy", "args=--source ./source --target './o t'")
        assert "done" in again.stdout
        assert sorted(project.data("o t")) == ["capitals/a", "capitals/c/d"]
        third = project.doit("job:copy", "args=--source ./source --target './o t'")
        assert "unchanged  done before, by run" in third.stdout
        failed = project.doit("job:hello", "args=bad")
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[0] == (
            "job:hello failed: job hello: expected exit code 0, got 65"
            " (bad data, see `lading dlq list`)"
        )

    @pytest.mark.slow
    def test_over(self, project: JobsProject) -> None:
        """The same plan as with ``lading run``: what one has done, the other need not."""
        write_items(project, "ann", "zoe")
        assert project.lading(*OVER, "--", "{item}").returncode == 0
        done = project.doit("job:hello", "over=items", "args={item}", "workers=1")
        assert done.returncode == 0, done.stdout
        assert "0 of 2 items are to be done" in done.stdout
        assert project.tried() == {"ann": 1, "zoe": 1}

    def test_refused(self, project: JobsProject) -> None:
        """Variables that mean nothing together are one line, before anything is done."""
        for words, message in (
            (("over=nowhere",), "over=nowhere: expected a file of items, found none"),
            (("per_shard=2",), "per_shard: expected only beside over=FILE, got without it"),
            (("arg=x",), "did you mean 'args'?"),
        ):
            done = project.doit("job:hello", *words)
            assert done.returncode in {2, 3}
            (line,) = done.stderr.strip().splitlines()
            assert message in line
        assert project.tried() == {}

    @pytest.mark.parametrize("threads", [pytest.param("0", marks=pytest.mark.slow), "4"])
    def test_signal(self, project: JobsProject, threads: str) -> None:
        """SIGTERM of doit ends the job in order: 143, an ABORT, and how to go on."""
        process = project.start("-n", threads, "job:slow", program=DOIT)
        wait_for(lambda: any(project.folder.glob("up-*")), "it is at work")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 143, said
        assert "interrupted; to resume, run the same command: doit -n" in said
        assert "Traceback" not in said
        assert project.kinds("slow") == ["START", "ABORT"]

    @pytest.mark.slow
    def test_terminal(self, project: JobsProject) -> None:
        """In a terminal of 80 columns lines are whole, whatever bars are shown."""
        write_items(project, "ann", "x" * 100)
        said = in_terminal(project, str(DOIT), "job:hello", "over=items", "args={item}")
        assert "\x1b" in said
        assert f" hello: {'x' * 100}: done" in said
        assert " hello: ann: done" in said


def in_terminal(project: JobsProject, *command: str) -> str:
    """Run a command in a terminal of 80 columns; return what it showed, without line ends."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        gone = {"CI", "NO_COLOR", "LADING_LOG"}
        kept = {name: value for name, value in os.environ.items() if name not in gone}
        os.execve(command[0], command, {**kept, "COLUMNS": "80", "TERM": "xterm"})
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        shown += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    return shown.decode().replace("\r\n", "")


@pytest.mark.timeout(120)
class TestCommand:
    """The installed command."""

    def test_jobs(self, project: JobsProject) -> None:
        """A list in a terminal's width, and what one of them wants."""
        done = project.lading("jobs")
        assert done.returncode == 0
        assert "hello         says hello to somebody" in done.stdout
        assert "--target TEXT" in project.lading("jobs", "copy").stdout

    def test_letters(self, project: JobsProject) -> None:
        """A letter of a whole run is that run, given again: then it is resolved."""
        write_items(project, "ann", "bad")
        project.lading(*OVER, "--", "{item}")
        assert "run bad" in project.lading("dlq", "list").stdout
        (project.folder / "good").touch()
        done = project.lading("dlq", "retry", "hello")
        assert done.returncode == 0, done.stdout
        assert project.tried() == {"ann": 1, "bad": 2}
        assert project.lading("dlq", "list").stdout == "no dead letters\n"

    @pytest.mark.slow
    def test_installed(self, project: JobsProject) -> None:
        """`lading` and `python -m lading` are one command; what a job prints stays its own."""
        (project.folder / "work/jobs/prints.py").write_text(
            "def main(argv):\n    print('hi')\n\n\nJOB = (main, 'prints')\n"
        )
        module = Path(sys.executable)
        for words, program in ((("run",), None), (("-m", "lading", "run"), module)):
            given = {} if program is None else {"program": program}
            process = project.start(*words, "prints", **given)  # type: ignore[arg-type]
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0, said
            first, second = said.splitlines()
            assert first == "hi"
            assert lines_of(second)[0]["message"] == "done"
