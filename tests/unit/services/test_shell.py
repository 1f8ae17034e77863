"""The one door to command-line tools."""

import sys
from pathlib import Path

import pytest

from lading.errors import CommandError
from lading.services.shell import run_command


def test_output_is_returned(tmp_path: Path) -> None:
    """A command that ends well gives what it printed, and runs in the folder it is told."""
    code = "import os; print(os.getcwd())"

    assert run_command([sys.executable, "-c", code], folder=tmp_path).strip() == str(tmp_path)


def test_arguments_reach_no_shell(tmp_path: Path) -> None:
    """An argument with a shell's signs arrives as it is, and nothing is made of it."""
    text = "v1; touch made $(touch made) `touch made` > made"
    code = "import sys; print(sys.argv[1])"
    printed = run_command([sys.executable, "-c", code, text], folder=tmp_path)

    assert printed == f"{text}\n"
    assert list(tmp_path.iterdir()) == []


def test_failure_tells_the_last_line_of_the_child(tmp_path: Path) -> None:
    """A command that fails is an error with its exit code and its own last words."""
    code = "import sys; sys.stderr.write('first\\nthe reason\\n'); sys.exit(4)"
    with pytest.raises(CommandError, match=r"expected exit code 0, got 4: the reason$"):
        run_command([sys.executable, "-c", code], folder=tmp_path)


def test_silent_failure_is_still_told(tmp_path: Path) -> None:
    """A command that fails without a word is an error too."""
    with pytest.raises(CommandError, match=r"got 3: \(nothing\)$"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"], folder=tmp_path)


def test_missing_program_is_named(tmp_path: Path) -> None:
    """A program that is not installed is named."""
    with pytest.raises(CommandError, match="no-such-program: expected the program, found none"):
        run_command(["no-such-program", "x"], folder=tmp_path)


def test_endless_command_is_ended(tmp_path: Path) -> None:
    """A command that does not end is ended at its time limit."""
    code = "import threading; threading.Event().wait(60)"
    with pytest.raises(CommandError, match=r"expected an end within 0\.5 s"):
        run_command([sys.executable, "-c", code], folder=tmp_path, timeout_s=0.5)
