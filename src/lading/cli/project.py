"""``lading init``: the files that a project begins with. None is ever replaced."""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from lading.config import Config, load_config
from lading.config.load import parse_config
from lading.errors import UsageError

Kind = Literal["releases", "datasets", "jobs"]
"""What a project is for."""

_PROJECT = ("dodo.py", "lading.toml")
_DATASETS = (*_PROJECT, "Dockerfile", "k8s/example.yaml")
_JOBS = (
    *_PROJECT,
    "Dockerfile",
    ".dockerignore",
    "jobs/__init__.py",
    "jobs/make_sample.py",
    "jobs/sum_numbers.py",
    "tests/test_jobs.py",
)
_RELEASES = ("distribute.yml", "zenodo-data-release.yml")
_DEPLOYMENTS = ("deploy-staging.yml", "deploy.yml")
_CI = "ci.yml"
_REPOSITORY = "registry.example/owner/name"


def add_init(commands: Any) -> None:
    """Add ``init`` to the commands."""
    init = commands.add_parser("init", help="write a dodo.py and a commented lading.toml")
    init.add_argument("folder", nargs="?", default=".", help="where to [default: here]")
    init.add_argument(
        "--github",
        action="store_true",
        help="workflows of GitHub Actions too; beside a lading.toml that is there, them alone",
    )
    kinds = init.add_mutually_exclusive_group()
    kinds.add_argument(
        "--kubernetes",
        action="store_true",
        help="for datasets that CronJobs keep up to date, in the place of releases",
    )
    kinds.add_argument(
        "--jobs",
        action="store_true",
        help="for jobs: two of them, their tests and their image, in the place of releases",
    )
    init.set_defaults(act=_init)


def init_project(folder: Path) -> list[Path]:
    """Write a dodo.py and a commented lading.toml.

    Effects: two new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    return _write(folder, _project("releases"))


def init_kubernetes(folder: Path) -> list[Path]:
    """Write a dodo.py and a commented lading.toml for datasets, their CronJobs and a Dockerfile.

    Effects: four new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    return _write(folder, _project("datasets"))


def init_jobs(folder: Path) -> list[Path]:
    """Write a dodo.py, a commented lading.toml, two jobs, a test of them and a Dockerfile.

    Effects: eight new files; never replaces one.

    Raises:
        UsageError: one of them exists, or the folder cannot be written.
    """
    return _write(folder, _project("jobs"))


def init_github(folder: Path, kind: Kind = "releases") -> list[Path]:
    """Write workflows of GitHub Actions, for the configuration that stands there or for a new one.

    Those that release offer the channels of the configuration; where it has none, they are left
    out. Those that deploy come where it has datasets. A ``ci.yml`` that stands is left as it is.

    Args:
        folder: the project's.
        kind: for ``datasets`` write the files of ``init_kubernetes`` too, for ``jobs`` those of
            ``init_jobs``, whatever stands there.

    Effects: new files below ``.github/workflows``, and those of ``init_project`` where there is no
    configuration; never replaces one.

    Raises:
        UsageError: one of the others exists, or the folder cannot be written.
        ConfigError: the configuration that stands there is wrong.
    """
    found = _find_config(folder) if kind == "releases" else None
    texts = {} if found else _project(kind)
    config = found or parse_config(tomllib.loads(texts["lading.toml"]), "lading.toml")
    has_ci = (folder / ".github" / "workflows" / _CI).exists()
    workflows = _workflows(config)
    for name in workflows if has_ci else (*workflows, _CI):
        texts[f".github/workflows/{name}"] = _fit(_template(f"github/{name}"), config)
    return _write(folder, texts)


def _project(kind: Kind) -> dict[str, str]:
    """Return the files of a new project, by path."""
    if kind == "jobs":
        return {name: _template(f"jobs/{name}") for name in _JOBS}
    if kind == "datasets":
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
    kind = _kind(options)
    if options.github:
        written = init_github(folder, kind)
    else:
        makers = {"releases": init_project, "datasets": init_kubernetes, "jobs": init_jobs}
        written = makers[kind](folder)
    lines = [f"wrote {path}" for path in written]
    if options.github and (kept := folder / ".github" / "workflows" / _CI) not in written:
        lines.append(f"kept {kept}: let it run `doit list`, which reads the configuration")
    if folder / "lading.toml" in written:
        lines += _next_steps(kind)
    if options.github:
        guide = _guide(kind, written)
        lines.append(
            f"next: name Lading at `install` in each workflow, then docs/{guide} of Lading"
        )
    print("\n".join(lines))  # noqa: T201  the command's output


def _kind(options: argparse.Namespace) -> Kind:
    if options.jobs:
        return "jobs"
    return "datasets" if options.kubernetes else "releases"


def _next_steps(kind: Kind) -> list[str]:
    """Return what a person does after the files were written, a line each."""
    if kind == "jobs":
        return [
            "next: `lading jobs` shows the jobs; `lading run make_sample -- data/raw` writes files",
            "next: `lading run sum_numbers -- --source data/raw --target data/sums` reads them",
        ]
    look = "`doit k8s_check`" if kind == "datasets" else "`doit list` and `doit plan tag=...`"
    return [f"next: edit lading.toml, then {look}"]


def _guide(kind: Kind, written: Sequence[Path]) -> str:
    if any(each.name in _DEPLOYMENTS for each in written):
        return "how-to-stage.md"
    return "how-to-jobs.md" if kind == "jobs" else "how-to-release.md"
