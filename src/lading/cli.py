"""The ``lading`` command: what has no place among a release's tasks."""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from lading import __version__
from lading.config import Config, load_config
from lading.errors import LadingError, UsageError

_PROJECT = ("dodo.py", "lading.toml")
_WORKFLOWS = ("distribute.yml", "zenodo-data-release.yml")
_CI = "ci.yml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LadingError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code
    return 0


def init_project(folder: Path) -> list[Path]:
    """Write a dodo.py and a commented lading.toml.

    Effects: two new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    return _write(folder, {name: _template(name) for name in _PROJECT})


def init_github(folder: Path) -> list[Path]:
    """Write workflows of GitHub Actions, for the configuration that stands there or for a new one.

    They offer the channels of the configuration. A ``ci.yml`` that stands is left as it is.

    Effects: new files below ``.github/workflows``, and those of ``init_project`` where there is no
    configuration; never replaces one.

    Raises:
        UsageError: one of the others exists, or the folder cannot be written.
        ConfigError: the configuration that stands there is wrong.
    """
    config = _find_config(folder)
    texts = {} if config else {name: _template(name) for name in _PROJECT}
    has_ci = (folder / ".github" / "workflows" / _CI).exists()
    for name in _WORKFLOWS if has_ci else (*_WORKFLOWS, _CI):
        text = _template(f"github/{name}")
        texts[f".github/workflows/{name}"] = _fit(text, config) if config else text
    return _write(folder, texts)


def _find_config(folder: Path) -> Config | None:
    pyproject = folder / "pyproject.toml"
    if (folder / "lading.toml").is_file() or (
        pyproject.is_file() and "tool.lading" in pyproject.read_text(encoding="utf-8")
    ):
        return load_config(folder).config
    return None


def _fit(text: str, config: Config) -> str:
    """Put the channels and the work folder of a configuration in the place of the example's."""
    channels = json.dumps(list(config.channels))
    text = text.replace('options: ["nightly", "stable"]', f"options: {channels}")
    return text.replace('WORK: "build"', f"WORK: {json.dumps(config.work)}")


def _template(name: str) -> str:
    return (files("lading") / "templates" / f"{name}.txt").read_text(encoding="utf-8")


def _write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write all files, or none where one of them stands."""
    targets = {folder / name: text for name, text in texts.items()}
    for target in targets:
        if target.exists():
            raise UsageError(f"{target}: expected no such file, found one; nothing was written")
    try:
        for target, text in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: expected a writable folder, got {error.strerror!r}") from error
    return list(targets)


def _init(options: argparse.Namespace) -> None:
    folder = Path(options.folder)
    written = init_github(folder) if options.github else init_project(folder)
    lines = [f"wrote {path}" for path in written]
    if options.github and (kept := folder / ".github" / "workflows" / _CI) not in written:
        lines.append(f"kept {kept}: let it run `doit list`, which reads the configuration")
    if folder / "lading.toml" in written:
        lines.append("next: edit lading.toml, then `doit list` and `doit plan tag=...`")
    if options.github:
        lines.append(
            "next: name Lading at `install` in each workflow, then docs/how-to-release.md of Lading"
        )
    print("\n".join(lines))  # noqa: T201  the command's output


def _deposit(options: argparse.Namespace) -> None:
    # here: `lading init` needs neither the stores nor HTTP
    from lading.tasks.public_deposit import Lines, Order, deposit_public  # noqa: PLC0415

    order = Order(
        env=options.env,
        source_dir=options.source_dir,
        ignore_regex=options.ignore_regex,
        manifest=options.manifest,
        publish=options.publish,
    )
    print(deposit_public(Path.cwd(), order, Lines(sys.stdout)))  # noqa: T201  the command's output


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
    init.add_argument(
        "--github",
        action="store_true",
        help="workflows of GitHub Actions too; beside a lading.toml that is there, them alone",
    )
    init.set_defaults(run=_init)
    _add_deposit(commands)
    return parser


def _add_deposit(commands: Any) -> None:
    deposit = commands.add_parser(
        "deposit", help="deposit a public release at Zenodo, from any machine"
    )
    deposit.add_argument("--env", required=True, choices=("sandbox", "production"))
    deposit.add_argument(
        "--source-dir", required=True, metavar="URL", help="a public prefix, as s3://bucket/nightly"
    )
    deposit.add_argument(
        "--ignore-regex", default="", metavar="REGEX", help="searched in keys that are left out"
    )
    deposit.add_argument(
        "--manifest",
        required=True,
        type=_sha256,
        metavar="SHA256",
        help="of release.json: which release it is, whatever stands there by now",
    )
    deposit.add_argument(
        "--publish",
        required=True,
        action=argparse.BooleanOptionalAction,
        help="publish, or leave a draft",
    )
    deposit.set_defaults(run=_deposit)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"expected 64 hexadecimal digits, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
