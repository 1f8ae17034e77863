"""Who a CronJob is: written on the object itself, three times, and read from there.

The controller hands on to Jobs and pods only what their own templates say, so that labels and
annotations stand on the CronJob, on its job template and on its pod template.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lading.errors import UsageError

Environment = Literal["production", "staging"]

MANAGER = "lading"
"""Field manager of what a rollout applies."""
CLEANUP_MANAGER = "lading-cleanup"
"""Field manager of what a cleanup changes: a rollout may take it back, an operator's it keeps."""
DOMAIN = "lading/"
"""What all our own labels and annotations begin with."""
MANAGED_BY = "app.kubernetes.io/managed-by"
RELEASE, DATASET, ROLE, ENVIRONMENT = (
    f"{DOMAIN}{each}" for each in ("release", "dataset", "role", "environment")
)
PROJECT, VERSION, BRANCH, COMMIT, IMAGE, SPEC, STORES, MONITOR, CLEANUP = (
    f"{DOMAIN}{each}"
    for each in (
        "project",
        "version",
        "branch",
        "commit",
        "image",
        "spec-sha256",
        "stores",
        "monitor",
        "cleanup",
    )
)
OURS = f"{MANAGED_BY}={MANAGER}"
"""Label selector of all that is ours."""
_LABEL_LENGTH = 63
_KEY_LENGTH = 16
_BRANCH = re.compile(r"stage/(?P<dataset>[^/]+)/v(?P<version>[^/]+)")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One version of one dataset in one environment: what its CronJobs have in common."""

    project: str
    """Name of the project."""
    environment: Environment
    """``production`` or ``staging``."""
    dataset: str
    """Name of the dataset, as people say it."""
    version: str
    """Its version, as people say it."""
    branch: str = ""
    """Branch that it was deployed from."""
    commit: str = ""
    """Commit that it was deployed from, in full."""
    image: str = ""
    """Image that its containers run."""
    stores: tuple[str, ...] = ()
    """URLs of the stores that it writes."""

    @property
    def release(self) -> str:
        """Key of what is rolled out and cleaned up as one: production has one a dataset.

        16 hexadecimal digits.
        """
        version = "" if self.environment == "production" else self.version
        parts = (self.project, self.environment, self.dataset, version)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_KEY_LENGTH]

    @property
    def selector(self) -> str:
        """Label selector of its objects."""
        return f"{OURS},{RELEASE}={self.release}"

    @property
    def title(self) -> str:
        """Environment, dataset and version, for people."""
        return f"{self.environment} {self.dataset} {self.version}"

    def labels(self, role: str) -> dict[str, str]:
        """Return the labels of a CronJob, its Jobs and its pods."""
        return {
            MANAGED_BY: MANAGER,
            RELEASE: self.release,
            DATASET: label_value(self.dataset),
            ROLE: label_value(role),
            ENVIRONMENT: self.environment,
        }

    def annotations(self, role: str, spec_sha256: str, monitor: str) -> dict[str, str]:
        """Return the annotations of a CronJob, its Jobs and its pods: all of it as it is."""
        found = {
            PROJECT: self.project,
            DATASET: self.dataset,
            VERSION: self.version,
            ROLE: role,
            ENVIRONMENT: self.environment,
            BRANCH: self.branch,
            COMMIT: self.commit,
            IMAGE: self.image,
            STORES: " ".join(self.stores),
            MONITOR: monitor,
            SPEC: spec_sha256,
        }
        return {name: value for name, value in found.items() if value}


def identity_of(body: Mapping[str, Any]) -> Identity | None:
    """Read the identity of a live object; None where it is not ours."""
    meta = body.get("metadata", {})
    notes = meta.get("annotations") or {}
    if (meta.get("labels") or {}).get(MANAGED_BY) != MANAGER:
        return None
    environment = notes.get(ENVIRONMENT)
    if environment not in {"production", "staging"} or not notes.get(DATASET):
        return None
    return Identity(
        project=notes.get(PROJECT, ""),
        environment=environment,
        dataset=notes[DATASET],
        version=notes.get(VERSION, ""),
        branch=notes.get(BRANCH, ""),
        commit=notes.get(COMMIT, ""),
        image=notes.get(IMAGE, ""),
        stores=tuple(notes.get(STORES, "").split()),
    )


def label_value(text: str) -> str:
    """Make a text fit for a label: for people who select by it; never read back."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    return plain[:_LABEL_LENGTH].strip("._-")


def branch_of(dataset: str, version: str) -> str:
    """Return the branch of a staged version: ``stage/{dataset}/v{version}``."""
    return f"stage/{dataset}/v{version}"


def parse_branch(branch: str) -> tuple[str, str]:
    """Return dataset and version of a staging branch.

    Raises:
        UsageError: it is not ``stage/{dataset}/v{version}``.
    """
    found = _BRANCH.fullmatch(branch)
    if found is None or not _VERSION.fullmatch(found["version"]):
        raise UsageError(
            f"branch: expected stage/{{dataset}}/v{{version}}, as stage/noaa-gfs-analysis/v0.3.0,"
            f" got {branch!r}"
        )
    return found["dataset"], found["version"]


def check_version(version: str) -> str:
    """Return a version that may stand in a branch, a URL and an annotation.

    Raises:
        UsageError: it may not.
    """
    if not _VERSION.fullmatch(version) or ".." in version:
        raise UsageError(
            f"version: expected letters, digits, '.', '-', '+' and '_', as 0.3.0, got {version!r}"
        )
    return version
