"""The ``lading`` command: what has no place among a release's tasks."""

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from lading import __version__
from lading.errors import LadingError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        for path in init_project(Path(options.folder)):
            print(f"wrote {path}")  # noqa: T201  the command's output
    except LadingError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code
    print("next: edit lading.toml, then `doit list` and `doit plan tag=...`")  # noqa: T201
    return 0


def init_project(folder: Path) -> list[Path]:
    """Write a dodo.py and a commented lading.toml.

    Effects: two new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    targets = [folder / "dodo.py", folder / "lading.toml"]
    for target in targets:
        if target.exists():
            raise UsageError(f"{target}: expected no such file, found one; nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            template = files("lading") / "templates" / f"{target.name}.txt"
            target.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: expected a writable folder, got {error.strerror!r}") from error
    return targets


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends as doit does for usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.exit_code, f"ERROR: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lading",
        description="Ship datasets. A release itself is run by doit: see `doit list`.",
    )
    parser.add_argument("--version", action="version", version=f"lading {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="write a dodo.py and a commented lading.toml")
    init.add_argument("folder", nargs="?", default=".", help="where to [default: here]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
