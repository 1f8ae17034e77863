"""Which jobs a project has."""

import subprocess
import sys
from pathlib import Path

import pytest

from lading.errors import MisconfiguredError
from lading.jobs.registry import BUILTIN, Registry, load_registry
from lading.jobs.spec import Job, JobSpec
from tests.unit.jobs.packages import package_of

CANNOT = "expected a package that can be imported, found"
GOOD = 'JOB = (lambda argv: 0, "Do  it.\\nReally.")\n'
SPEC = """
from lading.jobs import Arguments, JobSpec

class Wanted(Arguments):
    day: str
    target: str = ""

def entry(arguments, run): ...

JOB = JobSpec(entrypoint=entry, description="Say it.", arguments=Wanted{more})
"""


def own(registry: Registry) -> dict[str, Job]:
    """Return the jobs of a registry that Lading does not ship."""
    return {each.name: each for each in registry.jobs if not each.module.startswith(BUILTIN)}


def error_of(tmp_path: Path, text: str, name: str = "job") -> str:
    """Return why a module cannot be run."""
    with package_of(tmp_path, {f"{name}.py": text}) as package:
        return own(load_registry([package], tmp_path))[name].error


def test_tuples_and_specs_are_jobs(tmp_path: Path) -> None:
    """Both are found, in sub-packages too; other modules, and those with _, say nothing."""
    files = {
        "copy.py": GOOD,
        "deep/er/say.py": SPEC.format(more=""),
        "folder/__init__.py": GOOD,
        "plain.py": "x = 1",
        "_hidden.py": "raise ValueError",
        "_deep/copy.py": "raise ValueError",
    }
    with package_of(tmp_path, files) as package:
        jobs = own(registry := load_registry([package, package], tmp_path))
    assert list(jobs) == ["copy", "folder", "say"]
    assert registry.faults == ()
    assert jobs["copy"].description == "Do it. Really."
    assert jobs["copy"].entrypoint is not None
    assert jobs["copy"].spec is None
    assert jobs["say"].module == f"{package}.deep.er.say"
    assert isinstance(jobs["say"].spec, JobSpec)
    assert registry.find("say") is jobs["say"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = (", "SyntaxError: '(' was never closed ({module}:1)"),
        ("\nimport nowhere.at_all", "ModuleNotFoundError: No module named 'nowhere' ({module}:2)"),
        ("import sys\nsys.exit('bye\\nnow')", "SystemExit: bye ({module}:2)"),
        ("raise KeyError", "KeyError ({module}:1)"),
        ("class Odd(BaseException): ...\nraise Odd('x')", "Odd: x ({module}:2)"),
        ("import json\n\njson.loads('{')", "JSONDecodeError: Expecting property name"),
    ],
)
def test_a_broken_module_says_why(tmp_path: Path, text: str, error: str) -> None:
    """Whatever an import raises is told in a line that names the module's line."""
    with package_of(tmp_path, {"job.py": text, "other.py": GOOD}) as package:
        jobs = own(registry := load_registry([package], tmp_path))
        with pytest.raises(MisconfiguredError, match="job: expected a job that can be run"):
            registry.find("job")
    assert jobs["job"].error.startswith(error.format(module=f"{package}/job.py"))
    assert jobs["job"].error.endswith(")")
    assert "\n" not in jobs["job"].error
    assert not jobs["other"].error
    assert not registry.is_sound


def test_a_broken_sub_package_hides_its_modules_only(tmp_path: Path) -> None:
    """A folder that fails to import is broken itself; what stands beside it is found."""
    files = {"deep/__init__.py": "1 / 0", "deep/say.py": GOOD, "copy.py": GOOD}
    with package_of(tmp_path, files) as package:
        jobs = own(load_registry([package], tmp_path))
    assert list(jobs) == ["copy", "deep"]
    assert jobs["deep"].error.startswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("JOB = None", "JOB: expected a JobSpec or a tuple (entrypoint, description), found None"),
        ("JOB = (print,)", "found a tuple of 1"),
        ("JOB = [print, 'x']", "found a value of type list"),
        ("JOB = ('x', 'y')", "JOB[0]: expected a function, found 'x'"),
        ("JOB = (print, 1)", "JOB[1]: expected a description, found 1"),
        ("JOB = (lambda: 0, 'x')", "expected a function called as (argv), found ()"),
        ("async def f(argv): ...\nJOB = (f, 'x')", "found a coroutine"),
        (SPEC.format(more=", identity=('day', 'dy')"), "identity: expected one of day, target"),
        (SPEC.format(more=", identity='day'"), "identity: expected a tuple of names"),
        (SPEC.format(more=", store='x'"), "store: expected one of day, target, found 'x'"),
        (SPEC.format(more=", inputs=1"), "inputs: expected a function, found 1"),
        (SPEC.format(more=", timeout_s=0"), "timeout_s: expected seconds above 0 or None, found 0"),
        (SPEC.format(more=", bad_data={0}"), "bad_data: expected a set of exit codes"),
        (SPEC.format(more=", resources={}"), "resources: expected Resources"),
        (SPEC.replace("=Wanted{more}", "=dict"), "arguments: expected a class made from Arguments"),
        (SPEC.format(more="").replace('str = ""', "dict = {}"), "arguments.target: expected str, "),
        (SPEC.format(more="").replace("arguments, run", "x"), "called as (arguments, run)"),
    ],
)
def test_what_is_no_job_is_broken(tmp_path: Path, text: str, error: str) -> None:
    """A JOB that could not be run says what was expected and what was found."""
    assert error in error_of(tmp_path, text)


def test_resources_are_amounts(tmp_path: Path) -> None:
    """An amount that Kubernetes would refuse is told of when the job is found."""
    more = ", resources=__import__('lading.jobs').jobs.Resources(cpu='much')"
    error = error_of(tmp_path, SPEC.format(more=more))
    assert error.startswith("resources.cpu: expected an amount as Kubernetes writes it")


def test_all_faults_of_a_spec_are_told(tmp_path: Path) -> None:
    """Several faults of one job are told at once."""
    error = error_of(tmp_path, SPEC.format(more=", identity=('x',), store='y', timeout_s=-1"))
    assert [each.partition(":")[0] for each in error.split("; ")] == [
        "identity",
        "store",
        "timeout_s",
    ]


@pytest.mark.parametrize("name", ["Copy", "copy-files", "1st"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """The name of a job is a part of keys, tasks and objects: others are refused."""
    assert error_of(tmp_path, GOOD, name).startswith("name: expected small letters")


def test_a_name_twice_is_an_error(tmp_path: Path) -> None:
    """Two modules of one name are told of with both, and neither runs."""
    with package_of(tmp_path, {"copy.py": GOOD, "deep/copy.py": GOOD}) as package:
        registry = load_registry([package], tmp_path)
        modules = f"{package}.copy and {package}.deep.copy"
        fault = f"copy: expected one module of this name, found {modules}; rename one"
        assert registry.faults == (fault,)
        with pytest.raises(MisconfiguredError, match=f"found {modules}: its name is used 2 times"):
            registry.find("copy")


def test_the_name_of_a_built_in_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's job does not silently stand in the place of one that Lading ships."""
    with (
        package_of(tmp_path, {"transform.py": GOOD}) as shipped,
        package_of(tmp_path, {"transform.py": GOOD}) as package,
    ):
        monkeypatch.setattr("lading.jobs.registry.BUILTIN", shipped)
        registry = load_registry([package], tmp_path)
    assert f"found {shipped}.transform and {package}.transform" in registry.faults[0]
    assert [each.spec or each.entrypoint for each in registry.jobs] == [None, None]


def test_packages_that_cannot_be_imported_are_faults(tmp_path: Path) -> None:
    """A missing package, one that raises and a plain module are told of; the rest is found."""
    with (
        package_of(tmp_path, {"copy.py": GOOD}) as package,
        package_of(tmp_path, {"__init__.py": "1 / 0"}) as raising,
    ):
        registry = load_registry(["nowhere", raising, f"{package}.copy", package], tmp_path)
    assert list(own(registry)) == ["copy"]
    assert [each.removeprefix("jobs.packages: ") for each in registry.faults] == [
        f"nowhere: {CANNOT} ModuleNotFoundError: No module named 'nowhere'",
        f"{raising}: {CANNOT} ZeroDivisionError: division by zero ({raising}/__init__.py:1)",
        f"{package}.copy: expected a package, found a module; name the package it is in",
    ]


def test_find_names_the_nearest(tmp_path: Path) -> None:
    """An unknown name is refused with the nearest one, and with what may hide it."""
    with package_of(tmp_path, {"copy_files.py": GOOD}) as package:
        registry = load_registry([package, "nowhere"], tmp_path)
    with pytest.raises(MisconfiguredError) as caught:
        registry.find("copy_file")
    assert "got 'copy_file' (did you mean 'copy_files'?)" in str(caught.value)
    assert "nowhere: expected a package" in str(caught.value)
    assert str(caught.value).endswith("; `lading jobs` shows them")
    assert caught.value.exit_code == 78


def test_base_is_first_on_the_path_once(tmp_path: Path) -> None:
    """The project's folder goes first, however often jobs are looked for."""
    with package_of(tmp_path, {}) as package:
        sys.path.append(str(tmp_path))
        for _ in range(2):
            load_registry([package], tmp_path)
        assert sys.path[0] == str(tmp_path)
        assert sys.path.count(str(tmp_path)) == 1


def test_what_an_import_prints_goes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that prints spoils neither JSON nor a log on stdout."""
    with package_of(tmp_path, {"copy.py": f"print('loud')\n{GOOD}"}) as package:
        load_registry([package], tmp_path)
    assert capsys.readouterr() == ("", "loud\n")


def test_errors_are_told_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an import raises may quote a secret of the environment: it is taken out."""
    monkeypatch.setenv("API_TOKEN", "very-secret-value")
    text = "import os\nraise ValueError(os.environ['API_TOKEN'])"
    assert error_of(tmp_path, text).startswith("ValueError: *** (")


def test_a_signal_is_no_fault_of_a_module(tmp_path: Path) -> None:
    """Ctrl-C while a module is imported ends the command, and breaks no job."""
    with (
        package_of(tmp_path, {"copy.py": "raise KeyboardInterrupt"}) as package,
        pytest.raises(KeyboardInterrupt),
    ):
        load_registry([package], tmp_path)


def test_built_ins_are_there_and_cheap(tmp_path: Path) -> None:
    """The jobs that Lading ships can all be run, and finding them loads no heavy library."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom lading.jobs.registry import load_registry\n"
        f"registry = load_registry([], Path({str(tmp_path)!r}))\n"
        "heavy = {'duckdb', 'pyarrow', 'numpy', 's3fs', 'gcsfs', 'httpx', 'doit'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "print([(each.name, each.error) for each in registry.jobs if each.error])\n"
        "print(registry.faults)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.splitlines() == ["[]", "[]", "()"]
