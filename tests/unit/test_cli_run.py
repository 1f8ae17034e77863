"""The command line of `lading run`, without what it runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.cli import main
from lading.cli.run import parse_run
from tests.unit.jobs.packages import package_of

HELLO = """
def main(argv):
    print(argv)
    return 0

JOB = (main, "prints")
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A project with a job."""
    monkeypatch.chdir(tmp_path)
    for name in ("LADING_LOG", "LADING_CONFIG", "LADING_METRICS", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with package_of(tmp_path, {"hello.py": HELLO}) as name:
        (tmp_path / "lading.toml").write_text(
            f'[project]\nname = "x"\n[jobs]\npackages = ["{name}"]\nstores = ["./state"]\n'
        )
        yield name


def run(*arguments: str) -> int:
    """Run the command."""
    try:
        return main(["run", *arguments])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0


def test_arguments_of_the_job_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """All after ``--`` is the job's, another ``--`` too; options of ours are not looked for."""
    assert run("hello", "--log=text", "--", "--log", "x", "--", "y") == 0
    assert capsys.readouterr().out.splitlines()[0] == "['--log', 'x', '--', 'y']"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: NAME"),
        (["hello", "x"], "unrecognized arguments: x (arguments of the job come after `--`)"),
        (["hello", "--agency-id=7"], "unrecognized arguments: --agency-id=7 (arguments of the"),
        (["hello", "--over", "f", "--workers=0"], "argument --workers: expected a number from 1"),
        (["hello", "--over", "f", "--per-shard=x"], "argument --per-shard: expected a number from"),
        (["hello", "--wait=soon"], "argument --wait: invalid float value"),
        (["helo"], "job: expected one that there is, got 'helo' (did you mean 'hello'?)"),
        (["hello", "--log=xml"], "--log: expected 'json' or 'text', got 'xml'"),
        (["hello", "--config=nowhere.toml"], "config=nowhere.toml: expected a TOML file"),
        (["hello", "--workers=2", "--key=k"], "--workers, --key: expected only beside --over"),
        (["hello", "--over=a", "--retry=b"], "--over, --retry: expected one of them, got 2"),
        (["hello", "--plan=a", "--key=b"], "--key: expected only beside --over, got without it"),
        (["hello", f"--plan={'a' * 64}"], "--index: expected the number of a shard, got none"),
        (["hello", f"--plan={'a' * 64}", "--index=0"], "plan.json: expected a plan, found none"),
    ],
)
def test_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """A wrong command line is 78, one line on stderr, and nothing is done."""
    assert run(*arguments) == 78
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("ERROR: ")
    assert message in line
    assert not Path("state").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--over=nowhere", "--", "{item}"], "nowhere: expected a file of items, got: No such"),
        (["--over=empty", "--", "{item}"], "plan of hello: expected at least one item, got none"),
        (["--over=twice", "--", "{item}"], "expected each item once, got several times: 'a'"),
        (["--over=twice", "--", "x"], "arguments: expected {item} where the item 'a' is to stand"),
        (["--over=bad.jsonl"], "bad.jsonl: line 1: expected a JSON object of texts and numbers"),
        (["--retry=0123"], "plan 0123: expected one in"),
        (["--retry=0123", "--key=k"], "--key: expected only beside --over"),
        (["--retry=0123", "--", "x"], "--retry: expected no arguments, for the plan holds them"),
    ],
)
def test_refused_plans(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A plan that cannot be made is 78, a line of the log, and no run of it is begun."""
    Path("empty").write_text("\n \n")
    Path("twice").write_text("a\na\n")
    Path("bad.jsonl").write_text("{\n")
    assert run("hello", "--log=text", *arguments) == 78
    (line,) = capsys.readouterr().out.splitlines()
    assert " hello: ERROR " in line
    assert message in line
    assert not Path("state").exists()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help names every exit code, in 80 columns, and is no error."""
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(f"{code}  " in text for code in (0, 65, 70, 75, 78))
    assert max(map(len, text.splitlines())) <= 80


def test_help_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    """``-- --help`` is the job's usage, and no run."""
    assert run("backfill", "--", "--help") == 0
    assert capsys.readouterr().out.startswith("usage: lading run backfill -- ")
    assert not Path("state").exists()


def test_variables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a container is told once stands in variables."""
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "7")
    assert parse_run(["hello"]).index == 7
    assert parse_run(["hello", "--index=3"]).index == 3
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "x")
    assert parse_run(["hello"]).index is None
    monkeypatch.setenv("LADING_LOG", "text")
    monkeypatch.setenv("LADING_METRICS", "a.prom")
    Path("etc").mkdir()
    Path("lading.toml").rename("etc/jobs.toml")
    monkeypatch.setenv("LADING_CONFIG", "etc/jobs.toml")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert run("hello") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" hello: done")
    assert Path("a.prom").exists()
    assert Path("etc/state").exists()


def test_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused repeats no secret of the environment."""
    monkeypatch.setenv("APP_TOKEN", "s3cr3t-value")
    assert run("s3cr3t-value") == 78
    assert "s3cr3t" not in capsys.readouterr().err


def test_as_a_module() -> None:
    """``python -m lading run`` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "lading", "run", "hello", "--", "a"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "['a']"), done.stderr
