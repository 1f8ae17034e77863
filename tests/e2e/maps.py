"""The example of published maps in a temporary folder, used as a person would."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.forked import KILLED
from tests.e2e.project import REPOSITORY, Project, forked_doit, snapshot

EXAMPLE = REPOSITORY / "examples" / "overlays"
SCHEMA = REPOSITORY / "schemas" / "publication.schema.json"
DESTINATIONS = ("public", "mirror")
ENVIRONMENTS = ("dev", "staging", "production")
DOCUMENTS = ("release.json", "SHA256SUMS", ".lading/releases/", ".lading/history/")
"""What tells when something was published, or is made of it."""


@dataclass(frozen=True)
class Maps(Project):
    """The example's project."""

    def publish(
        self, version: str, environment: str, *more: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Publish a version to an environment."""
        return self.quick(
            "publish", f"version={version}", f"environment={environment}", *more, **variables
        )

    def quick(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run doit in a fork of a process that has the libraries imported."""
        return forked_doit().run(arguments, self.folder, self.environment(variables))

    def killed_at(self, write: int, version: str, environment: str) -> bool:
        """Publish, killed at one of its writes; say whether it was."""
        done = self.publish(version, environment, **{KILLED: str(write)})
        assert done.returncode in {0, -9}, done.stdout + done.stderr
        return done.returncode == -9

    def version(self, name: str) -> Path:
        """Return the folder of a version."""
        return self.folder / "versions" / name

    def document(self, environment: str, destination: str = "public") -> dict[str, Any]:
        """Return the published document of an environment."""
        path = self.clouds / destination / environment / "harbours" / "release.json"
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def receipt(self, version: str, environment: str) -> dict[str, Any]:
        """Return the receipt of a version that was marked published."""
        folder = self.work / "releases" / environment / version / environment
        found: dict[str, Any] = json.loads((folder / "receipts/mark_published.json").read_bytes())
        return found

    def assets(self) -> dict[str, str]:
        """Return sha256 by path of all that the destinations hold but for what tells a moment.

        Documents are left out, in depots too: those are the objects that no asset names.
        """
        found = snapshot(self.clouds, leave_out=DOCUMENTS)
        named = {
            each["sha256"]
            for path in self.clouds.rglob("release.json")
            for each in assets_of(json.loads(path.read_bytes()))
        }
        return {path: sha256 for path, sha256 in found.items() if sha256 in named}

    def depot_names(self, environment: str, destination: str = "public") -> list[str]:
        """Return the names of the objects in a depot, sorted."""
        depot = self.clouds / destination / environment / ".lading" / "objects"
        return sorted(each.name for each in depot.iterdir())


def assets_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all assets of a document, in its order."""
    return [each for group in document["assets"].values() for each in group]


def make_maps(folder: Path) -> Maps:
    """Copy the example's own files, without what runs in it have made."""
    made = shutil.ignore_patterns("build", "clouds", "__pycache__")
    shutil.copytree(EXAMPLE, folder, ignore=made)
    return Maps(folder)
