"""The one door to command-line tools."""

import base64
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from lading.errors import CommandError, Interrupted
from lading.services import shell
from lading.services.shell import has_program, hear_command, run_command
from lading.storage.progress import Progress

CANARY = "canary/5f2c9d+token="


def run_python(code: str, folder: Path, *arguments: str, **options: object) -> str:
    """Run a piece of Python as a command."""
    command = [sys.executable, "-c", code, *arguments]
    return run_command(command, folder=folder, **options)  # type: ignore[arg-type]


def make_program(folder: Path, name: str, text: str) -> Path:
    """Write a program of a shell."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def is_alive(pid: int) -> bool:
    """Say whether a process is there, and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    """Look until something holds, ten seconds long."""
    pause = threading.Event()
    return any(condition() or pause.wait(0.02) for _ in range(500))


class TestRun:
    """What goes in, and what comes out."""

    def test_output_is_returned(self, tmp_path: Path) -> None:
        """A command that ends well gives what it printed, and runs in the folder it is told."""
        assert run_python("import os; print(os.getcwd())", tmp_path).strip() == str(tmp_path)

    def test_arguments_reach_no_shell(self, tmp_path: Path) -> None:
        """An argument with a shell's signs arrives as it is, and nothing is made of it."""
        text = "v1; touch made $(touch made) `touch made` > made * 'a' \"b\" ü"
        printed = run_python("import sys; print(ascii(sys.argv[1]))", tmp_path, text)

        assert printed == f"{text!a}\n"
        assert list(tmp_path.iterdir()) == []

    def test_stdin(self, tmp_path: Path) -> None:
        """What is given as standard input arrives whole, then ends."""
        text = "zwölf\n" * 30_000
        code = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d[::-1])"

        assert run_python(code, tmp_path, stdin=text)[::-1].count("\n") == 30_000

    def test_no_stdin(self, tmp_path: Path) -> None:
        """A command that asks although nothing is given finds the end, and no terminal."""
        code = "import os, sys; print(repr(sys.stdin.read()), os.isatty(0), os.isatty(1))"

        assert run_python(code, tmp_path) == "'' False False\n"

    def test_input_that_is_not_read(self, tmp_path: Path) -> None:
        """A command that ends without reading its input is no failure."""
        assert run_python("print(1)", tmp_path, stdin="x" * 1_000_000) == "1\n"

    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Variables of ours are there, those that are given win, and nobody is asked anything."""
        monkeypatch.setenv("LADING_A", "ours")
        monkeypatch.setenv("LADING_B", "ours")
        names = ["LADING_A", "LADING_B", "GIT_TERMINAL_PROMPT", "LC_ALL"]
        code = f"import os; print(*(os.environ[n] for n in {names}))"

        assert run_python(code, tmp_path, environment={"LADING_B": "given"}) == "ours given 0 C\n"

    def test_nothing_is_left_in_ours(self, tmp_path: Path) -> None:
        """A variable for a command is not one of this process."""
        run_python("pass", tmp_path, environment={"LADING_C": "given"})

        assert "LADING_C" not in os.environ

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_big_output(self, tmp_path: Path, stream: str) -> None:
        """Ten megabytes on either stream do not stop a command, nor are they lost."""
        code = f"import sys; sys.{stream}.write('x' * 10_000_000); print('end')"
        printed = run_python(code, tmp_path)

        assert printed.endswith("end\n")
        assert len(printed) == (10_000_004 if stream == "stdout" else 4)

    def test_output_that_is_no_text(self, tmp_path: Path) -> None:
        """Bytes that are no UTF-8 are replaced, and fail nothing."""
        code = "import sys; sys.stdout.buffer.write(b'a\\xff\\x00b')"

        assert run_python(code, tmp_path) == "a\ufffd\x00b"

    def test_program_is_found(self) -> None:
        """Whether a program is there can be asked."""
        assert has_program("sh")
        assert not has_program("no-such-program")

    def test_from_many_threads(self, tmp_path: Path) -> None:
        """Commands of several threads do not mix what they print."""
        found: dict[int, str] = {}

        def work(number: int) -> None:
            found[number] = run_command(["echo", str(number)], folder=tmp_path)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert found == {number: f"{number}\n" for number in range(8)}


class TestHear:
    """A command that ends well, heard in full."""

    def test_both_streams(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it printed comes byte for byte, what it wrote beside without secrets."""
        monkeypatch.setenv("DEMO_TOKEN", CANARY)
        program = make_program(
            tmp_path, "both", "printf '\\377\\000\\n'; echo \"<$DEMO_TOKEN>\" >&2"
        )
        said = hear_command([str(program)], folder=tmp_path)

        assert (said.printed, said.stdout) == (b"\xff\x00\n", "\ufffd\x00\n")
        assert said.stderr == "<***>\n"


class TestFailure:
    """What is told of a command that failed."""

    def test_last_line_of_the_child(self, tmp_path: Path) -> None:
        """A command that fails is an error with its exit code and its own last words."""
        code = "import sys; sys.stderr.write('first\\nthe reason\\n\\n'); sys.exit(4)"
        with pytest.raises(CommandError, match=r"got 4: the reason$") as caught:
            run_python(code, tmp_path)

        assert caught.value.exit_code_of_child == 4
        assert caught.value.stderr == "first\nthe reason"

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("fatal: no\nhint: try\n", "fatal: no"),
            ("x\nerror: one\nerror: two\nfatal: three\nlast\n", "error: one; error: two"),
            (" ! [rejected] a -> b\nerror: failed\nhint: x", "! [rejected] a -> b; error: failed"),
            ("ERROR: (gcloud.run) no\n - more\n", "ERROR: (gcloud.run) no"),
            ("one\ntwo\nhint: three", "two"),
            ("hint: only", "(nothing)"),
            ("\x1b", "\x1b"),
            ("", "(nothing)"),
        ],
    )
    def test_lines_that_say_why(self, tmp_path: Path, said: str, told: str) -> None:
        """Errors are told before other lines, two at most; advice never; nothing is said too."""
        code = f"import sys; sys.stderr.write({said!r}); sys.exit(1)"
        with pytest.raises(CommandError) as caught:
            run_python(code, tmp_path)

        name = Path(sys.executable).name
        assert str(caught.value) == f"{name}: expected exit code 0, got 1: {told}"

    def test_line_without_end(self, tmp_path: Path) -> None:
        """A line of a megabyte is told in part: a message fits a screen."""
        code = "import sys; sys.stderr.write('fatal: ' + 'x' * 1_000_000); sys.exit(1)"
        with pytest.raises(CommandError, match="fatal: xxx") as caught:
            run_python(code, tmp_path)

        assert len(str(caught.value)) < 1000

    def test_killed_by_a_signal(self, tmp_path: Path) -> None:
        """A command that a signal ended is an error with the signal's number."""
        with pytest.raises(CommandError, match=r"expected exit code 0, got -9: \(nothing\)") as got:
            run_python("import os; os.kill(os.getpid(), 9)", tmp_path)

        assert got.value.exit_code_of_child == -9

    @pytest.mark.parametrize("program", ["git", "gh", "gcloud", "kubectl", "no-such-program"])
    def test_missing_program(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
    ) -> None:
        """A program that is not installed is named, and where one gets it where we know."""
        monkeypatch.setenv("PATH", str(tmp_path))
        words = f"^{program}: expected the program, found none on the PATH"
        with pytest.raises(CommandError, match=words) as caught:
            run_command([program, "x"], folder=tmp_path)

        assert ("https://" in caught.value.hint) is (program != "no-such-program")
        assert caught.value.exit_code_of_child is None

    def test_missing_folder(self, tmp_path: Path) -> None:
        """A folder that is not there is one line."""
        folder = tmp_path / "missing"
        with pytest.raises(CommandError, match=f"git status: expected the folder {folder}") as got:
            run_command(["git", "status"], folder=folder)

        assert "\n" not in str(got.value)

    def test_file_that_cannot_run(self, tmp_path: Path) -> None:
        """A program that the system cannot run is one line."""
        program = make_program(tmp_path, "tool", "")
        program.write_bytes(b"\x00\x01 no program")
        with pytest.raises(CommandError, match="tool: expected to start") as caught:
            run_command([str(program)], folder=tmp_path)

        assert "\n" not in str(caught.value)

    def test_name_has_no_values(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A message names the command by its first words, without options and what follows."""
        make_program(tmp_path, "tool", "exit 1")
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(CommandError, match=r"^tool run services: expected"):
            run_command(["tool", "run", "services", "--env=X=secret", "more"], folder=tmp_path)


class TestSecrets:
    """What a child says is told without secrets."""

    @pytest.mark.parametrize(
        "form",
        [
            CANARY,
            base64.b64encode(CANARY.encode()).decode(),
            base64.b64encode(f"x-access-token:{CANARY}".encode()).decode(),
            quote(CANARY, safe=""),
            f"https://bot:{quote(CANARY, safe='')}@host/r.git",
        ],
    )
    @pytest.mark.parametrize("given", [True, False])
    def test_are_taken_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, *, given: bool
    ) -> None:
        """A secret, as it stands or encoded, is in no message, whoever gave it to the child."""
        if not given:
            monkeypatch.setenv("DEMO_TOKEN", CANARY)
        code = "import sys; sys.stderr.write(f'fatal: no {sys.stdin.read()} here'); sys.exit(1)"
        variables = {"DEMO_TOKEN": CANARY} if given else {}
        with pytest.raises(CommandError, match=r"fatal: no .*\*\*\*.* here") as caught:
            run_python(code, tmp_path, stdin=form, environment=variables)

        assert form not in str(caught.value) + caught.value.stderr
        assert CANARY not in str(caught.value) + caught.value.stderr

    def test_cause_is_not_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The text of the error below, which a traceback would show, has no secret either."""
        monkeypatch.setenv("DEMO_TOKEN", CANARY)
        code = "import os, sys; sys.stderr.write(os.environ['DEMO_TOKEN']); sys.exit(1)"
        with pytest.raises(CommandError) as caught:
            run_python(code, tmp_path)

        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


class TestEnd:
    """A child is ended with us, and its children with it."""

    CODE = (
        "import os, subprocess, sys, threading\n"
        "code = 'import threading; threading.Event().wait(60)'\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', code])\n"
        "open('half', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename('half', 'pids')\n"
        "threading.Event().wait(60)"
    )

    def pids(self, folder: Path) -> list[int]:
        """Return the processes that the code has started."""
        return [int(each) for each in (folder / "pids").read_text().split()]

    def test_time_limit(self, tmp_path: Path) -> None:
        """A command that does not end is ended at its time limit, and what it started too."""
        with pytest.raises(CommandError, match=r"expected an end within 1 s") as caught:
            run_python(self.CODE, tmp_path, timeout_s=1)

        assert caught.value.exit_code_of_child is None
        assert wait_until(lambda: not any(map(is_alive, self.pids(tmp_path))))

    def test_interruption(self, tmp_path: Path) -> None:
        """A run that must stop ends the command, and what it started, and says why itself."""

        class Stop(Progress):
            def relative_update(self, inc: int = 1) -> None:
                assert inc == 0
                if (tmp_path / "pids").exists():
                    raise Interrupted(signal.SIGINT)

        with pytest.raises(Interrupted):
            run_python(self.CODE, tmp_path, progress=Stop())

        assert wait_until(lambda: not any(map(is_alive, self.pids(tmp_path))))

    def test_child_that_lives_on(self, tmp_path: Path) -> None:
        """A command that has ended is over although it left a child that holds its output."""
        code = self.CODE.rsplit("\n", 1)[0]
        thread = threading.Thread(target=run_python, args=(code, tmp_path), daemon=True)
        thread.start()
        thread.join(15)
        over = not thread.is_alive()
        for pid in self.pids(tmp_path)[1:]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

        assert over


class TestRepeats:
    """Only what is safe is tried again."""

    @pytest.fixture(autouse=True)
    def _no_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shell, "_PAUSE_S", 0.0)

    def attempts_of(self, folder: Path, fails: int, attempts: int | None) -> int:
        """Run a command that fails some times first; return how often it ran."""
        program = make_program(
            folder, "tool", f'echo x >> tries; test "$(wc -l < tries)" -gt {fails}'
        )
        options = {} if attempts is None else {"attempts": attempts}
        try:
            run_command([str(program)], folder=folder, **options)  # type: ignore[arg-type]
        finally:
            self.tries = len((folder / "tries").read_text().split())
        return self.tries

    def test_not_unless_asked(self, tmp_path: Path) -> None:
        """A command that fails is tried once."""
        with pytest.raises(CommandError):
            self.attempts_of(tmp_path, 1, None)

        assert self.tries == 1

    def test_until_it_ends_well(self, tmp_path: Path) -> None:
        """A command that may be repeated is, until it ends well."""
        assert self.attempts_of(tmp_path, 2, 5) == 3

    def test_as_often_as_asked(self, tmp_path: Path) -> None:
        """A command that always fails is tried as often as was asked, then told."""
        with pytest.raises(CommandError, match="got 1"):
            self.attempts_of(tmp_path, 9, 3)

        assert self.tries == 3

    def test_missing_program_is_not_looked_for_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not installed does not come by waiting."""
        pauses: list[float] = []
        monkeypatch.setattr("lading.services.shell.time.sleep", pauses.append)
        with pytest.raises(CommandError, match="found none on the PATH"):
            run_command(["no-such-program"], folder=tmp_path, attempts=3)

        assert pauses == []
