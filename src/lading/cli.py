"""The ``lading`` command: what has no place among a release's tasks."""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from lading import __version__
from lading.config import Config, load_config
from lading.config.load import parse_config
from lading.errors import LadingError, UsageError

_PROJECT = ("dodo.py", "lading.toml")
_DATASETS = (*_PROJECT, "Dockerfile", "k8s/example.yaml")
_RELEASES = ("distribute.yml", "zenodo-data-release.yml")
_DEPLOYMENTS = ("deploy-staging.yml", "deploy.yml")
_CI = "ci.yml"
_REPOSITORY = "registry.example/owner/name"


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
    return _write(folder, _project(is_kubernetes=False))


def init_kubernetes(folder: Path) -> list[Path]:
    """Write a dodo.py and a commented lading.toml for datasets, their CronJobs and a Dockerfile.

    Effects: four new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    return _write(folder, _project(is_kubernetes=True))


def init_github(folder: Path, *, is_kubernetes: bool = False) -> list[Path]:
    """Write workflows of GitHub Actions, for the configuration that stands there or for a new one.

    Those that release offer the channels of the configuration; where it has none, they are left
    out. Those that deploy come where it has datasets. A ``ci.yml`` that stands is left as it is.

    Args:
        folder: the project's.
        is_kubernetes: write the files of ``init_kubernetes`` too, whatever stands there.

    Effects: new files below ``.github/workflows``, and those of ``init_project`` where there is no
    configuration; never replaces one.

    Raises:
        UsageError: one of the others exists, or the folder cannot be written.
        ConfigError: the configuration that stands there is wrong.
    """
    found = None if is_kubernetes else _find_config(folder)
    texts = {} if found else _project(is_kubernetes=is_kubernetes)
    config = found or parse_config(tomllib.loads(texts["lading.toml"]), "lading.toml")
    has_ci = (folder / ".github" / "workflows" / _CI).exists()
    workflows = _workflows(config)
    for name in workflows if has_ci else (*workflows, _CI):
        texts[f".github/workflows/{name}"] = _fit(_template(f"github/{name}"), config)
    return _write(folder, texts)


def _project(*, is_kubernetes: bool) -> dict[str, str]:
    """Return the files of a new project, by path."""
    if is_kubernetes:
        return {name: _template(f"kubernetes/{name}") for name in _DATASETS}
    return {name: _template(name) for name in _PROJECT}


def _find_config(folder: Path) -> Config | None:
    pyproject = folder / "pyproject.toml"
    if (folder / "lading.toml").is_file() or (
        pyproject.is_file() and "tool.lading" in pyproject.read_text(encoding="utf-8")
    ):
        return load_config(folder).config
    return None


def _workflows(config: Config) -> tuple[str, ...]:
    """Return the workflows for a configuration."""
    return (_RELEASES if config.channels else ()) + (_DEPLOYMENTS if config.datasets else ())


def _fit(text: str, config: Config) -> str:
    """Put what a configuration says in the place of the example's words."""
    channels = json.dumps(list(config.channels))
    text = text.replace('options: ["nightly", "stable"]', f"options: {channels}")
    text = text.replace('WORK: "build"', f"WORK: {json.dumps(config.work)}")
    if config.kubernetes is None:
        return text
    branch = config.kubernetes.main.removeprefix(f"{config.project.remote}/")
    text = text.replace('branches: ["main"]', f"branches: {json.dumps([branch])}")
    image = config.kubernetes.repository or _REPOSITORY
    return text.replace(f'REPOSITORY: "{_REPOSITORY}"', f"REPOSITORY: {json.dumps(image)}")


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
    if options.github:
        written = init_github(folder, is_kubernetes=options.kubernetes)
    else:
        written = init_kubernetes(folder) if options.kubernetes else init_project(folder)
    lines = [f"wrote {path}" for path in written]
    if options.github and (kept := folder / ".github" / "workflows" / _CI) not in written:
        lines.append(f"kept {kept}: let it run `doit list`, which reads the configuration")
    if folder / "lading.toml" in written:
        look = "`doit k8s_check`" if options.kubernetes else "`doit list` and `doit plan tag=...`"
        lines.append(f"next: edit lading.toml, then {look}")
    if options.github:
        deploys = any(each.name in _DEPLOYMENTS for each in written)
        guide = "how-to-stage.md" if deploys else "how-to-release.md"
        lines.append(
            f"next: name Lading at `install` in each workflow, then docs/{guide} of Lading"
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
    init.add_argument(
        "--kubernetes",
        action="store_true",
        help="for datasets that CronJobs keep up to date, in the place of releases",
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
