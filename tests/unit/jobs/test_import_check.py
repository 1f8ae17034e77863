"""The check that importing jobs changes nothing outside."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

import lading.jobs
from lading.jobs import require_clean_imports
from lading.jobs.registry import BUILTIN
from tests.unit.jobs.packages import package_of

JOB = 'JOB = (lambda argv: 0, "x")\n'


def found(tmp_path: Path, text: str, **more: str) -> list[str]:
    """Return what is found of a module ``job``, without the package's name."""
    with package_of(tmp_path, {"job.py": text, **more}) as package:
        try:
            require_clean_imports(package, base=tmp_path, timeout_s=20)
        except AssertionError as error:
            return [each.replace(package, "p") for each in str(error).splitlines()[1:]]
    return []


def test_clean_modules_pass_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, unused sockets and work in memory are no effects; no bytecode is written."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    text = (
        "import io, json, sqlite3, socket, tempfile, threading, warnings\nimport lading.jobs\n"
        "from pathlib import Path\nHERE = Path(__file__).read_text()\nopen('/dev/null', 'w')\n"
        "sqlite3.connect(':memory:')\nsocket.socket()\nwarnings.warn('x')\n"
        "thread = threading.Thread(target=print and int)\nthread.start()\n"
    )
    assert found(tmp_path, text + JOB, **{"_hidden.py": "open('x', 'w')"}) == []
    assert not [each for each in tmp_path.rglob("*") if each.name in {"x", "__pycache__"}]


EFFECTS = {
    "open('a', 'w')": "opened 'a' for writing",
    "open(b'b', 'ab')": "opened 'b' for writing",
    "os.open('c', os.O_CREAT | os.O_RDWR)": "opened 'c' for writing",
    "pathlib.Path('d').touch()": "opened 'd' for writing",
    "os.mkdir('e')": "made the folder 'e'",
    "os.rmdir('e')": "removed the folder 'e'",
    "os.rename('a', 'f')": "renamed 'a'",
    "os.remove('b')": "removed 'b'",
    "os.symlink('c', 'g')": "made a link to 'c'",
    "os.truncate('c', 0)": "truncated 'c'",
    "os.chmod('c', 0o600)": "changed the mode of 'c'",
    "sqlite3.connect('h')": "opened the database 'h'",
    "os.environ['SECRETS'] = 'secret'": "changed the variable 'SECRETS'",
    "signal.signal(signal.SIGUSR1, print)": "changed the handler of SIGUSR1",
    "print('x')": "wrote to stdout",
    "sys.stderr.buffer.write(b'x')": "wrote to stderr",
    "os.system('true secret')": "started a process of 'true'",
    "subprocess.run(['true', 'secret'])": "started a process of 'true'",
    "os.waitpid(os.fork() or os._exit(0), 0)": "started a process",
    "socket.socket().connect_ex(('127.0.0.1', 1))": "used the network (socket.connect)",
    "socket.getaddrinfo('127.0.0.1', 1)": "used the network (socket.getaddrinfo)",
    "threading.Thread(None, time.sleep, 't', [9]).start()": "left the thread 't' running",
    "os.environ.pop('PATH')": "changed the variable 'PATH'",
    "os.chdir('/')": "changed the working folder",
}


def test_each_effect_is_found_with_its_line(tmp_path: Path) -> None:
    """Each kind of effect is told once, with module, file and line, and without values."""
    head = "import os, pathlib, signal, socket, sqlite3, subprocess, sys, threading, time\n"
    modules = {f"m{number:02}.py": f"{head}\n{each}\n" for number, each in enumerate(EFFECTS)}
    assert found(tmp_path, JOB, **modules) == [
        f"p.m{number:02}: {what} (p/m{number:02}.py:3)"
        for number, what in enumerate(EFFECTS.values())
    ]


def test_all_effects_are_found(tmp_path: Path) -> None:
    """Several modules and several effects: a line each, of the package itself and of parts too."""
    faults = found(
        tmp_path,
        "import os\nfrom . import _part\nos.mkdir('a')\nos.mkdir('b')\n",
        **{
            "__init__.py": "print('x')",
            "_part.py": "\nopen('c', 'w')",
            "deep/job.py": "1 / 0",
            "nest/job.py": "print('y')",
        },
    )
    assert faults == [
        "p: wrote to stdout (p/__init__.py:1)",
        "p.deep.job: raised ZeroDivisionError: division by zero (p/deep/job.py:1)",
        "p.job: opened 'c' for writing (p/_part.py:2)",
        "p.job: made the folder 'a' (p/job.py:3)",
        "p.job: made the folder 'b' (p/job.py:4)",
        "p.nest.job: wrote to stdout (p/nest/job.py:1)",
    ]


def test_an_import_that_ends_the_interpreter(tmp_path: Path) -> None:
    """What ends Python itself is told, with the module that did it."""
    assert found(tmp_path, "import os\nos._exit(3)") == ["p.job: ended the interpreter with 3"]


def test_output_past_pythons_streams_is_found(tmp_path: Path) -> None:
    """Bytes that go straight to the descriptor are told of, without a module."""
    assert found(tmp_path, "import os\nos.write(1, b'raw')") == ["p: wrote to stdout: 'raw'"]


def read_all(pipe: int) -> bytes:
    """Read a pipe until all who write to it are gone, for ten seconds at most."""
    got = b""
    while select.select([pipe], [], [], 10)[0]:
        part = os.read(pipe, 9)
        if not part:
            return got
        got += part
    raise AssertionError("somebody still writes")


def test_an_import_that_never_ends(tmp_path: Path) -> None:
    """It is ended in time, with what it started, and named."""
    os.mkfifo(tmp_path / "alive")
    pipe = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    child = "import sys, time; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(30)"
    text = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], stdout=open('alive', 'w'))\n"
    )
    try:
        with package_of(tmp_path, {"job.py": text}) as package:
            with pytest.raises(AssertionError) as caught:
                require_clean_imports(package, base=tmp_path, timeout_s=2.5)
            assert f"{package}.job: was still being imported after 2.5 s" in str(caught.value)
        assert read_all(pipe) == b"x"
    finally:
        os.close(pipe)


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    """A check that could not fail fails: no package, an unknown one, one without modules."""
    with pytest.raises(ValueError, match="at least one package"):
        require_clean_imports()
    with (
        package_of(tmp_path, {}) as package,
        pytest.raises(AssertionError, match=f"{package}: expected a package with modules"),
    ):
        require_clean_imports(package, base=tmp_path)
    with pytest.raises(AssertionError, match="nowhere: raised ModuleNotFoundError"):
        require_clean_imports("nowhere", base=tmp_path)


def test_lading_and_its_jobs_pass() -> None:
    """The jobs that Lading ships do nothing when they are imported."""
    require_clean_imports(BUILTIN)


def test_what_jobs_are_written_with_is_cheap_to_name() -> None:
    """Each exported name is there, and importing the room alone imports nothing of it."""
    assert all(getattr(lading.jobs, name) is not None for name in lading.jobs.__all__)
    assert set(lading.jobs.__all__) <= set(dir(lading.jobs))
    with pytest.raises(AttributeError, match="has no attribute 'Jobspec'"):
        _ = lading.jobs.Jobspec
    code = "import sys, lading.jobs; print([m for m in sys.modules if m.startswith('lading.')])"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True, env=os.environ
    )
    assert said.stdout == b"['lading.jobs']\n"
