"""``lading jobs``, called in this process."""

import json
from pathlib import Path

import pytest

from lading.cli import main
from tests.unit.jobs.packages import package_of

GOOD = 'JOB = (lambda argv: 0, "Copies an agency from here to there, %s.")\n' % ("again " * 20)
SPEC = """
from lading.jobs import Arguments, JobSpec, Resources

class Wanted(Arguments):
    agency_id: str
    target: str = ""

JOB = JobSpec(
    entrypoint=lambda arguments, run: 0, description="Say it.", arguments=Wanted,
    identity=("agency_id",), inputs=lambda arguments, open_store: (), store="target",
    resources=Resources(cpu="2"), timeout_s=90, by_item=True, bad_data=frozenset({3, 65}),
)
"""
CONFIG = '[project]\nname = "x"\n[jobs]\npackages = ["{}"]\n'


def call(*argv: str) -> int:
    """Call ``lading jobs``."""
    return main(["jobs", *argv])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the working one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_fits_a_terminal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and descriptions stand in 80 columns, those of Lading's own jobs among them."""
    with package_of(project, {"copy_x.py": GOOD, "say.py": SPEC}) as package:
        (project / "lading.toml").write_text(CONFIG.format(package))
        assert call() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["say", "Say", "it."] for line in lines)
    (first,) = [number for number, line in enumerate(lines) if line.startswith("copy_x ")]
    assert lines[first + 1].startswith("  ")
    assert {"backfill", "get_s3_files"} <= {line.split()[0] for line in lines}
    assert err == ""


def test_what_is_broken_is_told_and_hides_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broken jobs, then faults, stand on stderr; with --check the command ends with 78."""
    files = {"bad.py": "1 / 0", "copy.py": GOOD, "say.py": SPEC, "a/say.py": SPEC}
    with package_of(project, files) as package:
        (project / "lading.toml").write_text(CONFIG.format(f'{package}", "nowhere'))
        assert call() == 0
        out, err = capsys.readouterr()
        assert call("--check") == 78
        assert capsys.readouterr() == (out, err)
    lines = [each.replace(package, "p") for each in err.splitlines()]
    assert lines[0].startswith("ERROR: bad (p.bad): ZeroDivisionError: division by zero (p/bad")
    assert lines[1] == "ERROR: say (p.a.say): its name is used 2 times"
    assert lines[-2].startswith("ERROR: jobs.packages: nowhere: expected a package")
    assert lines[-1].startswith("ERROR: say: expected one module of this name, found p.a.say and")
    assert "copy " in out
    assert "bad" not in [line.split()[0] for line in out.splitlines()]


def test_the_list_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get everything on stdout, broken jobs and faults too."""
    with package_of(project, {"bad.py": "print('loud')\n1 / 0", "say.py": SPEC}) as package:
        (project / "lading.toml").write_text(CONFIG.format(f'{package}", "nowhere'))
        assert call("--json", "--check") == 78
    out, err = capsys.readouterr()
    table = json.loads(out)
    jobs = {each["name"]: each for each in table["jobs"]}
    assert jobs["bad"]["error"].startswith("ZeroDivisionError")
    assert jobs["say"] == {
        "name": "say",
        "module": f"{package}.say",
        "description": "Say it.",
        "error": "",
    }
    assert len(table["faults"]) == 1
    assert err == "loud\n"


def test_one_job(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job's usage, what identifies a run of it, its resources and its timeout are shown."""
    with package_of(project, {"say.py": SPEC, "copy.py": GOOD, "bad.py": "x ="}) as package:
        (project / "lading.toml").write_text(CONFIG.format(package))
        assert call("say") == 0
        out, err = capsys.readouterr()
        assert out.startswith("usage: lading run say -- --agency-id TEXT")
        _, _, told = out.rpartition("\n\n")
        facts = {line[:13].strip(): line[13:] for line in told.splitlines()}
        assert facts["once"].startswith("for the same agency_id, what it reads")
        assert (facts["store"], facts["cpu"], facts["timeout"]) == ("--target", "2", "90 s")
        assert facts["memory"] == "as jobs.kubernetes.memory says"
        assert err == ""
        assert call("copy") == 0
        assert "see `lading run copy -- --help`" in capsys.readouterr().out
        assert call("say", "--json") == 0
        table = json.loads(capsys.readouterr().out)
        assert call("bad") == call("copyy") == 78
        err = capsys.readouterr().err
    assert err.startswith("ERROR: bad: expected a job that can be run")
    assert "(did you mean 'copy'?)" in err
    assert table["identity"] == ["agency_id"]
    assert table["arguments"]["required"] == ["agency_id"]
    assert table["resources"] == {"cpu": "2", "memory": ""}
    assert (table["timeout_s"], table["bad_data"], table["by_item"]) == (90, [3, 65], True)


def test_without_a_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no configuration, the jobs that Lading ships are shown, and all are sound."""
    assert call("--check") == 0
    out, err = capsys.readouterr()
    assert "backfill" in out
    assert err == ""
    assert [*project.iterdir()] == []


def test_a_wrong_configuration(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a fault of the configuration, with exit code 78."""
    (project / "lading.toml").write_text('[project]\nname = "x"\n[jobs]\npackages = ["a-b"]\n')
    assert call() == 78
    assert "jobs.packages[0]: expected a Python package" in capsys.readouterr().err
