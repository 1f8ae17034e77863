"""What a command line, the repository and git say of datasets; read here, judged in ``k8s``."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lading.config.dataset_rules import DatasetPlan, find_dataset, plan_datasets
from lading.config.datasets import Kubernetes
from lading.config.load import parse_config
from lading.errors import ConfigError, LadingError, RefusedError, SourceError, UsageError
from lading.k8s.identity import branch_of, check_version, parse_branch
from lading.k8s.versions import read_version
from lading.services.git import head_commit, read_file_at, read_files_at, resolve_ref
from lading.services.shell import run_command
from lading.tasks.session import Session

_STAGE = "stage/"
_EXAMPLE = "doit k8s_staging dataset=noaa-gfs-analysis version=0.3.0 image=..."


@dataclass(frozen=True, slots=True)
class Asked:
    """A version of a dataset that the command line names."""

    dataset: str
    """Name of the dataset."""
    version: str
    """The version."""

    @property
    def branch(self) -> str:
        """Branch that it is staged from."""
        return branch_of(self.dataset, self.version)


@dataclass(frozen=True, slots=True)
class Main:
    """What production is deployed from, as git knows it."""

    ref: str
    """The ref."""
    plans: Mapping[str, DatasetPlan]
    """Its datasets, by name."""
    versions: Mapping[str, str]
    """Version of each dataset that has one there."""

    def store_urls(self) -> dict[str, tuple[str, ...]]:
        """Return what production writes, by words for messages."""
        return {
            f"production {name} {version} ({self.ref})": self.plans[name].store_urls(version)
            for name, version in self.versions.items()
        }


def kubernetes_of(session: Session) -> Kubernetes:
    """Return ``[kubernetes]``.

    Raises:
        RefusedError: the configuration names no datasets.
    """
    if session.config.kubernetes is None or not session.config.datasets:
        raise RefusedError(
            f"{session.config_name}: expected [kubernetes] and [datasets.NAME], got none",
            hint="`lading init --kubernetes` writes a commented example",
        )
    return session.config.kubernetes


def asked_version(session: Session) -> Asked | None:
    """Return the version of a dataset that is meant; None where nothing names one.

    Without variables a branch ``stage/...`` of the CI run says it.

    Raises:
        UsageError: it is named by half, in two ways, or the branch does not parse.
    """
    given = session.variables
    branch = given.branch or ("" if given.dataset or given.version else _ci_branch(os.environ))
    named = Asked(*parse_branch(branch)) if branch else None
    for name, value in (("dataset", given.dataset), ("version", given.version)):
        if named and value and value != getattr(named, name):
            raise UsageError(
                f"{name}: expected {getattr(named, name)}, as branch={branch} says, got {value!r}"
            )
    if named or not (given.dataset or given.version):
        return named
    for name, value in (("dataset", given.dataset), ("version", given.version)):
        if not value:
            raise UsageError(f"{name}: expected a value, got nothing; example: {_EXAMPLE}")
    return Asked(given.dataset, check_version(given.version))


def require_known(session: Session) -> None:
    """Refuse a run that names a dataset there is not, or a branch that does not parse."""
    kubernetes_of(session)
    if asked := asked_version(session):
        find_dataset(session.config, asked.dataset)


def meant_dataset(session: Session) -> str:
    """Return the name of the one dataset that is meant; "" where all are.

    Raises:
        UsageError: there is none of that name, or the branch does not parse.
    """
    given = session.variables
    name = parse_branch(given.branch)[0] if given.branch else given.dataset
    return find_dataset(session.config, name).name if name else ""


def require_dataset(session: Session) -> None:
    """Refuse a run that names one dataset, or its branch, where there is none such."""
    kubernetes_of(session)
    meant_dataset(session)


def require_production(session: Session) -> None:
    """As ``require_dataset``, of a run that knows no branch but production's.

    Raises:
        UsageError: a staging branch is named.
    """
    require_dataset(session)
    if session.variables.branch:
        raise UsageError(
            f"branch: expected none, since production is deployed from"
            f" {kubernetes_of(session).main}, got {session.variables.branch!r}"
        )


def require_version(session: Session) -> None:
    """Refuse a run that names no version of a dataset.

    Raises:
        RefusedError, UsageError: saying what is missing.
    """
    need_version(session)


def need_staged(session: Session) -> None:
    """As ``require_version``, of a dataset that must be known.

    Raises:
        RefusedError, UsageError: saying what is missing, or the nearest name.
    """
    find_dataset(session.config, need_version(session).dataset)


def need_version(session: Session) -> Asked:
    """Return the version of a dataset that is meant.

    Raises:
        RefusedError, UsageError: none is named.
    """
    kubernetes_of(session)
    asked = asked_version(session)
    if asked is None:
        raise RefusedError(
            "dataset: expected dataset=... and version=..., or branch=stage/{dataset}/v{version},"
            f" got neither; example: {_EXAMPLE}"
        )
    return asked


def standing_version(session: Session, plan: DatasetPlan) -> str:
    """Return the version of a dataset in the work tree.

    Raises:
        SourceError: its file is missing, cannot be read, or has no such key.
        UsageError: it is no version.
    """
    place = plan.version
    if place.file is None:
        return check_version(place.value)
    try:
        data = (session.repository / place.file).read_bytes()
    except OSError as error:
        raise SourceError(
            f"{place.file}: expected the version of {plan.name}, got {error.strerror!r}",
            hint=f"see datasets.{plan.name}.version",
        ) from error
    return read_version(data, place.file, place.key)


def load_main(session: Session) -> Main:
    """Read from git what production is deployed from: its configuration and its versions.

    Raises:
        CommandError: git does not know the ref, or there is no repository.
        ConfigError: the configuration at the ref is wrong.
        LadingError: a version there cannot be read.
    """
    ref = kubernetes_of(session).main
    path = os.path.relpath(session.base / session.config_name, session.repository)
    plans = _plans_at(session, ref, read_file_at(session.repository, ref, path))
    files = [each.version.file for each in plans.values() if each.version.file]
    found = read_files_at(session.repository, ref, files)
    versions = {}
    for name, plan in plans.items():
        place = plan.version
        if place.file is None:
            versions[name] = place.value
        elif place.file in found:
            versions[name] = read_version(found[place.file], f"{place.file} at {ref}", place.key)
    return Main(ref, plans, versions)


def commit_of(session: Session) -> str:
    """Return the commit that is deployed: the one that is checked out.

    Raises:
        RefusedError: there is none.
    """
    found = head_commit(session.repository)
    if found is None:
        raise RefusedError(
            f"{session.repository}: expected a git repository with a commit, found none",
            hint="what is deployed is named by its commit",
        )
    return found


def is_dirty(session: Session) -> bool:
    """Say whether tracked files differ from the commit that is checked out."""
    asked = ["git", "status", "--porcelain", "--untracked-files=no"]
    return bool(run_command(asked, folder=session.repository).strip())


def is_in_main(session: Session, commit: str) -> bool:
    """Say whether production's ref holds a commit.

    Raises:
        CommandError: git does not know the ref.
    """
    ref = kubernetes_of(session).main
    if resolve_ref(session.repository, ref) is None:
        read_file_at(session.repository, ref, session.config_name)  # says what is wrong
    asked = ["git", "merge-base", "--is-ancestor", commit, ref]
    try:
        run_command(asked, folder=session.repository)
    except LadingError:
        return False
    return True


def receipts_folder(session: Session) -> Path:
    """Return the folder of the receipts of rollouts."""
    return session.work / "k8s" / "receipts"


def _ci_branch(environment: Mapping[str, str]) -> str:
    """Return the staging branch that a CI run is of, or ""."""
    branch = environment.get("CI_COMMIT_BRANCH", "")  # GitLab
    if environment.get("GITHUB_REF_TYPE") == "branch":
        branch = environment.get("GITHUB_REF_NAME", "")
    return branch if branch.startswith(_STAGE) else ""


def _plans_at(session: Session, ref: str, data: bytes | None) -> dict[str, DatasetPlan]:
    """Return the datasets of a configuration at a ref; ours, where it has none yet."""
    if data is None:
        return plan_datasets(session.config)
    place = f"{session.config_name} at {ref}"
    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:
        raise ConfigError([f"{place}: expected TOML, got {error}"]) from error
    if session.config_name == "pyproject.toml":
        table = table.get("tool", {}).get("lading", {})
    if not table.get("datasets"):
        return {}
    return plan_datasets(parse_config(table, place, str(session.base)))
