"""The Dockerfile that runs jobs, and its entry point for development, without building anything.

tests/e2e/test_job_image.py builds it.
"""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lading import __version__
from tests.unit.dockerfile_rules import (
    Instruction,
    copied_files,
    find_problems,
    last_stage,
    parse_dockerfile,
    smoke_command,
)

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
DEVELOP = REPOSITORY / "docker" / "develop.sh"
FAKE = """#!/bin/sh
{ echo "$(basename "$0") $$"; for each in "$@"; do echo "<$each>"; done; } >> "$TOLD"
"""


def stages() -> dict[str, list[Instruction]]:
    """Return the instructions of each stage, by its name; the last one has none."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for each in parse_dockerfile(TEXT):
        if each.name == "FROM":
            name = each.text.partition(" AS ")[2]
        found.setdefault(name, []).append(each)
    return found


def test_the_dockerfile_keeps_the_rules() -> None:
    """A base with a tag, no secret, nobody's root, an entry point without a shell, a smoke run."""
    assert find_problems(TEXT) == []


@pytest.mark.parametrize(
    ("sound", "broken", "said"),
    [
        ('RUN ["lading", "run", "--help"]', "", "RUN"),
        ('ENTRYPOINT ["lading", "run"]', 'ENTRYPOINT ["sh", "-c", "lading run"]', "ENTRYPOINT"),
        ("COPY src/ src/", "COPY . .", "COPY"),
    ],
)
def test_the_rules_see_a_breach(sound: str, broken: str, said: str) -> None:
    """The rules fail on this Dockerfile, too, where it breaks one."""
    assert sound in TEXT
    found = find_problems(TEXT.replace(sound, broken, 1))
    assert [each for each in found if each.startswith(f"{said}:")], found


def test_both_ends_have_one_base() -> None:
    """What is built by one Python is run by the same; the one for development is what was built."""
    first = {name: parts[0].words[0] for name, parts in stages().items()}

    assert first == {"build": first[""], "develop": "build", "": first[""]}


def test_only_the_environment_reaches_the_image() -> None:
    """The image that ships copies one folder, and what pods call comes of `lading run`."""
    copies = [each.text for each in last_stage(parse_dockerfile(TEXT)) if each.name == "COPY"]

    assert copies == ["--from=build /opt/lading /opt/lading"]
    assert smoke_command(parse_dockerfile(TEXT)) == ["lading", "run", "--help"]


def test_variables_are_those_of_a_read_only_root() -> None:
    """No bytecode is written, lines come at once, and home is where pods may write."""
    [words] = [each.words for each in stages()[""] if each.name == "ENV"]

    assert {"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp"} <= set(words)


def test_labels_are_those_of_oci() -> None:
    """Title, description, license, revision and source stand under the names of OCI."""
    [words] = [each.words for each in stages()[""] if each.name == "LABEL"]
    names = {each.partition("=")[0].removeprefix("org.opencontainers.image.") for each in words}

    assert names == {"title", "description", "licenses", "revision", "source"}


def test_the_version_is_todays() -> None:
    """The tag in the comments, and in the Dockerfile of a new project, is this version."""
    template = REPOSITORY / "src/lading/templates/jobs/Dockerfile.txt"
    said = re.findall(r"lading:(\d[\w.]*)", TEXT + template.read_text(encoding="utf-8"))

    assert said
    assert set(said) == {__version__}


def test_dockerignore_leaves_out_all_but_what_is_copied(tmp_path: Path) -> None:
    """Even `COPY . .` would bring nothing that the Dockerfile does not name."""
    tree = tmp_path / "tree"
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tree)
    for name in ("src", "docker"):
        shutil.copytree(REPOSITORY / name, tree / name)
    for name in (".env", ".git/config", "tests/test_x.py", "src/lading/__pycache__/x.pyc"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("TOKEN=1")

    wanted = [each for name in ("build", "develop") for each in stages()[name]]
    copied = {path for each in wanted for path in copied_files([FROM, each], tree).values()}
    everything = copied_files(parse_dockerfile("FROM a:1\nCOPY . .\n"), tree)
    assert set(everything.values()) == copied
    assert DEVELOP.name in {path.name for path in copied}
    assert not [path for path in copied if path.suffix == ".pyc"]


FROM = Instruction("FROM", "a:1")


@dataclass(frozen=True)
class Develop:
    """The entry point for development, with programs in the place of pip and lading."""

    folder: Path

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return subprocess.run(
            ["/bin/sh", DEVELOP, *words],
            env=self.environment(variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    def environment(self, variables: dict[str, str]) -> dict[str, str]:
        """Return its variables."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return {"PATH": path, "TOLD": str(self.folder / "told"), **variables}

    def program(self, name: str, text: str) -> None:
        """Write a program that stands first on PATH."""
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / name).write_text(text)
        (self.folder / "bin" / name).chmod(0o755)

    @property
    def source(self) -> str:
        """A folder with a project."""
        folder = self.folder / "a source"
        folder.mkdir(exist_ok=True)
        (folder / "pyproject.toml").touch()
        return str(folder)

    @property
    def told(self) -> list[str]:
        """What the programs noted, without their numbers."""
        file = self.folder / "told"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line if line.startswith("<") else line.split()[0] for line in lines]


@pytest.fixture
def develop(tmp_path: Path) -> Develop:
    """Return the entry point, with a pip and a lading that note how they are called."""
    found = Develop(tmp_path)
    found.program("pip", FAKE)
    found.program("lading", FAKE)
    return found


def test_the_source_is_installed_and_the_job_run(develop: Develop) -> None:
    """The source is installed editable with its extras; then `lading run` gets every word."""
    done = develop("get_x", "--", "--name", "two words", "", SOURCE=develop.source)

    assert (done.returncode, done.stdout) == (0, "")
    at = develop.told.index("lading")
    assert develop.told[0] == "pip"
    assert develop.told[at - 2 : at] == ["<--editable>", f"<{develop.source}[s3,gcs,jobs]>"]
    words = ["run", "get_x", "--", "--name", "two words", ""]
    assert develop.told[at + 1 :] == [f"<{each}>" for each in words]


@pytest.mark.parametrize(("extras", "named"), [("s3", "[s3]"), ("", "")])
def test_other_extras(develop: Develop, extras: str, named: str) -> None:
    """EXTRAS names others, or none."""
    assert develop("x", SOURCE=develop.source, EXTRAS=extras).returncode == 0
    assert f"<{develop.source}{named}>" in develop.told


def test_the_installation_is_skipped_at_your_word(develop: Develop) -> None:
    """With SKIP_INSTALL=1 no pip is asked, and no source is needed."""
    assert develop("x", SKIP_INSTALL="1", SOURCE="/nowhere").returncode == 0
    assert develop.told == ["lading", "<run>", "<x>"]


def test_no_source_is_told(develop: Develop) -> None:
    """A folder without a project is one line that names the way out, and 78: nothing is run."""
    done = develop("x", SOURCE=str(develop.folder))

    assert (done.returncode, develop.told) == (78, [])
    assert done.stderr.startswith("ERROR: SOURCE: expected a folder with a pyproject.toml, got")
    assert "SKIP_INSTALL=1" in done.stderr


def test_a_misread_variable_is_told(develop: Develop) -> None:
    """SKIP_INSTALL=yes is an error, and not an installation."""
    done = develop("x", SKIP_INSTALL="yes")

    assert (done.returncode, develop.told) == (78, [])
    assert "expected 0 or 1, got 'yes'" in done.stderr


def test_a_failed_installation_runs_nothing(develop: Develop) -> None:
    """Where pip fails its exit code is the end: yesterday's code is not run."""
    develop.program("pip", f"{FAKE}exit 5\n")

    assert develop("x", SOURCE=develop.source).returncode == 5
    assert develop.told[0] == "pip"
    assert "lading" not in develop.told


def test_pip_does_not_write_into_the_log(develop: Develop) -> None:
    """What pip prints goes to stderr: stdout holds what the job logs."""
    develop.program("pip", "#!/bin/sh\necho building\n")
    develop.program("lading", "#!/bin/sh\necho '{}'\n")

    done = develop("x", SOURCE=develop.source)
    assert (done.stdout, done.stderr) == ("{}\n", "building\n")


def test_signals_and_exit_codes_are_the_jobs(develop: Develop) -> None:
    """The job takes the place of the shell: same process, its exit code, its signals."""
    develop.program("lading", "#!/bin/sh\ntrap 'exit 143' TERM\necho $$\nread line\n")
    process = subprocess.Popen(
        ["/bin/sh", DEVELOP, "x"],
        env=develop.environment({"SKIP_INSTALL": "1"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # where it is another process, that one too
        process.communicate(timeout=10)


def test_the_entry_point_can_be_started() -> None:
    """It is executable, and a shell reads it without an error."""
    assert os.access(DEVELOP, os.X_OK)
    assert subprocess.run(["/bin/sh", "-n", DEVELOP], check=False, timeout=20).returncode == 0
