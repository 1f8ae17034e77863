"""The team of examples/reformatters: its repository, its remote, a cluster and a Sentry.

Everything is real but the two servers: git, kubectl, doit.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.project import REPOSITORY, forked_doit
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.fakes.sentry import ORGANIZATION, FakeSentry

EXAMPLE = REPOSITORY / "examples" / "reformatters"
CONTEXT = "arn:aws:eks:us-west-2:123456789012:cluster/weather"
NAMESPACE = "reformatters"
REGISTRY = "ghcr.io/weather-example/reformatters"
TOKEN = "sntrys_canary_0123456789"
GFS = "noaa-gfs-analysis"
# what lies beside the example and is no part of a team's repository
_NO_PART = shutil.ignore_patterns("build", "__pycache__", ".doit*", ".pytest_cache")


@dataclass(frozen=True)
class Team:
    """A team's clone, beside its remote, and what it can reach."""

    folder: Path
    kubernetes: FakeKubernetes
    sentry: FakeSentry
    kubeconfig: Path

    @property
    def remote(self) -> Path:
        """The bare repository that the team pushes to."""
        return self.folder.with_name("remote.git")

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a CI run with all credentials."""
        gone = {"GITHUB_REF_NAME", "GITHUB_REF_TYPE", "CI_COMMIT_BRANCH"}
        own = {name: value for name, value in os.environ.items() if name not in gone}
        return {
            **own,
            "CI": "1",
            "KUBECONFIG": str(self.kubeconfig),
            "SENTRY_AUTH_TOKEN": TOKEN,
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "80",
            "HURRIED_CLOCK": "50",
            **(more or {}),
        }

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run doit in the clone."""
        return forked_doit().run(arguments, self.folder, self.environment(environment))

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start doit in the clone, in a process group of its own."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("doit")), *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def git(self, *arguments: str) -> str:
        """Run git in the clone and return what it said."""
        return git(self.folder, *arguments)

    def commit(self, message: str) -> str:
        """Commit all that is there; return the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def set_version(self, dataset: str, version: str) -> None:
        """State another version in the dataset's template."""
        path = self.folder / "datasets" / dataset / "zarr.json"
        table = json.loads(path.read_text())
        table["attributes"]["dataset_version"] = version
        path.write_text(json.dumps(table, indent=2) + "\n")

    def begin(self, dataset: str, version: str) -> str:
        """Begin a staged version on its branch, and push it; return the commit."""
        self.git("checkout", "-q", "-B", f"stage/{dataset}/v{version}", "origin/main")
        self.set_version(dataset, version)
        commit = self.commit(f"Stage {dataset} {version}")
        self.git("push", "-q", "-f", "origin", "HEAD")
        return commit

    def merge(self, branch: str) -> str:
        """Merge a branch to main, and push it; return the commit."""
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--no-ff", "-m", f"Merge {branch}", branch)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def branches(self) -> dict[str, str]:
        """Return the branches of the remote and where they stand."""
        said = git(self.remote, "for-each-ref", "--format=%(refname:short) %(objectname)")
        return dict(line.split(" ") for line in said.splitlines())

    def names(self) -> list[str]:
        """Return the names of the CronJobs in the cluster."""
        return sorted(self.kubernetes.cron_jobs(NAMESPACE))

    def forget(self) -> None:
        """Lose all local state, as on a fresh machine."""
        shutil.rmtree(self.folder / "build", ignore_errors=True)


def _keep(text: str, names: Collection[str]) -> str:
    """Leave out the tables of all other datasets."""
    head, *tables = re.split(r"(?m)^(?=\[datasets\.)", text)
    return head + "".join(each for each in tables if not names or each[10:].split("]")[0] in names)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it said."""
    who = ("-c", "user.name=Team", "-c", "user.email=team@example.org", "-c", "core.hooksPath=")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@contextmanager
def make_team(folder: Path, keep: Collection[str] = ()) -> Iterator[Team]:
    """Make a team's clone and remote below a folder, and start its cluster and its Sentry.

    Args:
        folder: an empty folder.
        keep: the datasets that the team has; none: all of the example.
    """
    with FakeKubernetes() as kubernetes, FakeSentry() as sentry:
        kubernetes.add_namespace(NAMESPACE)
        sentry.give_token(TOKEN, {"org:read", "project:write"})
        team = Team(folder / "clone", kubernetes, sentry, folder / "kubeconfig")
        write_kubeconfig(team.kubeconfig, kubernetes, context=CONTEXT)
        shutil.copytree(EXAMPLE, team.folder, ignore=_NO_PART)
        config = team.folder / "lading.toml"
        text = config.read_text().replace('"weather-example"', f'"{ORGANIZATION}"')
        own = f'[kubernetes.sentry]\nurl = "{sentry.url}"'
        config.write_text(_keep(text.replace("[kubernetes.sentry]", own), keep))
        (team.folder / ".gitignore").write_text("build/\n__pycache__/\n")
        team.git("init", "-q", "-b", "main")
        git(folder, "init", "-q", "--bare", "-b", "main", str(team.remote))
        team.git("remote", "add", "origin", str(team.remote))
        team.commit("A registry of datasets")
        team.git("push", "-q", "-u", "origin", "main")
        yield team
