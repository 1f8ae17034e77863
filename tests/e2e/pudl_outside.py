"""The energy example with all its outside at once: two clouds, a remote, Zenodo twice, and more."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lading.services.shell import has_program
from tests.e2e.clouds import CREDENTIALS, CloudServers, Place, Seen, make_places
from tests.e2e.outside import (
    STABLE,
    Asked,
    Outside,
    OutsideProject,
    Runner,
    make_history,
    make_service,
    serve_outside,
)
from tests.e2e.project import TAG
from tests.e2e.pudl import EXAMPLE, without_block
from tests.fakes.inveniordm import ROUTES, FakeInvenioRdm
from tests.fakes.inveniordm_state import Draft, StoredFile

BUCKET, BUILDS = "pudl.catalyst.coop", "builds.catalyst.coop"
CONCEPTS = {"sandbox": "5563", "production": "3653158"}
SERVICE = "pudl-viewer"
SLACK_CHANNEL = "C0123456789"
HAS_GCLOUD = has_program("gcloud")
KEPT_FILE = "ferc1_xbrl_datapackage.json"
"""A file that the last version at Zenodo has with the same bytes."""
READS = {
    *("objects.list", "objects.get", "objects.getMedia"),
    *("ListObjectsV2", "GetObject", "HeadObject", "GetObjectLockConfiguration"),
}
HOLDS = {"objects.patch", "PutObjectLegalHold"}
SENDS = {"objects.insert", "PutObject"}
EVERY_NTH_TABLE = 30


@dataclass(frozen=True)
class Run:
    """A run of doit, and all that anybody was asked meanwhile, in order."""

    done: subprocess.CompletedProcess[str]
    asked: list[Asked]
    """Of services."""
    seen: dict[str, list[Seen]]
    """Of clouds, by name."""

    @property
    def printed(self) -> str:
        """Return what it printed."""
        return self.done.stdout + self.done.stderr

    def writes(self, service: str = "") -> list[Asked]:
        """Return what could change something, at one service or at all of them."""
        return [each for each in self.asked if each.writes and service in {"", each.service}]

    def cloud_writes(self, cloud: str = "") -> list[Seen]:
        """Return what could change something, at one cloud or at both."""
        asked = [each for name, rows in self.seen.items() for each in rows if cloud in {"", name}]
        return [each for each in asked if each.operation not in READS]

    def operations(self, service: str) -> list[str]:
        """Return what of Zenodo could change something, as its operations are called."""
        return [_operation(each) for each in self.writes(service)]

    def road(self) -> list[str]:
        """Return the steps in which something was written, each where it begins, in order."""
        deposited = self.writes("production")
        reserved = max((e.at for e in deposited if _operation(e) == "doi"), default=0.0)
        written = [(each.at, _step_at_cloud(each)) for each in self.cloud_writes()]
        written += [(each.at, _step_at_service(each, reserved)) for each in self.writes()]
        steps = [step for _, step in sorted(written) if step]
        return [step for at, step in enumerate(steps) if steps[at - 1 : at] != [step]]

    def row(self, task: str) -> str:
        """Return the row of a task in the closing table, its lines joined."""
        _, _, table = self.done.stdout.partition("\ntask ")
        lines = table.splitlines()
        at = next(n for n, line in enumerate(lines) if line.split(" ")[0] == task)
        more = []
        for line in lines[at + 1 :]:
            if not line.startswith(" "):
                break
            more.append(line.strip())
        return " ".join([lines[at], *more])


def _step_at_cloud(each: Seen) -> str:
    """Name the step that a write belongs to; "" of locks, probes and records."""
    if each.operation in HOLDS:
        return "hold"
    if "/objects/" in each.key:
        return "upload"
    return "" if ".lading/" in each.key or not each.key else "promote"


def _step_at_service(each: Asked, reserved: float) -> str:
    """Name the step that a write belongs to; what led to the reserved DOI is of its step."""
    named = {"git": "git_merge", "cloud_run": "cloud_run", "slack": "notify"}
    return named.get(each.service, "doi" if each.at <= reserved else "zenodo")


def _operation(each: Asked) -> str:
    return next(
        operation
        for method, pattern, operation in ROUTES
        if method == each.method and re.fullmatch(pattern, each.path)
    )


@dataclass(frozen=True)
class PudlProject(OutsideProject):
    """The example, with two buckets and a bucket of builds."""

    places: Mapping[str, Place]

    def environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a CI run that may reach all of it."""
        return super().environment({**CREDENTIALS, **self.outside.gh_environment(), **(more or {})})

    @property
    def servers(self) -> CloudServers:
        """The two clouds."""
        return self.places["gcs"].servers

    def ask(self, *arguments: str) -> Run:
        """Run doit; return what it did, and what it asked."""
        self.servers.take_seen()
        begun = time.time()
        done = self.quick(*arguments)
        seen = self.servers.take_seen()
        asked = [each for each in self.outside.asked() if each.at >= begun]
        return Run(done, asked, seen)


def render_config(outside: Outside, servers: CloudServers) -> str:
    """Return the example's configuration, with where the servers of the tests listen."""
    gcs, s3 = servers.urls["gcs"], servers.urls["s3"]
    after = {
        f'url = "gs://{BUILDS}/{{tag}}"': f'options = {{ endpoint_url = "{gcs}", token = "anon" }}',
        f'url = "gs://{BUCKET}"': f'endpoint = "{gcs}"\nanonymous = true',
        f'url = "s3://{BUCKET}"': f'endpoint = "{s3}"',
        'env = "sandbox"': f'url = "{outside.sandbox.url}"',
        'env = "production"': f'url = "{outside.production.url}"',
        f'channel = "{SLACK_CHANNEL}"': f'url = "{outside.slack.url}"',
    }
    text = (EXAMPLE / "lading.toml").read_text(encoding="utf-8")
    for line, more in after.items():
        assert text.count(f"\n{line}\n") == 1, line
        text = text.replace(f"\n{line}\n", f"\n{line}\n{more}\n")
    assert text.count('"registry.example/') == 1
    text = text.replace('"registry.example/', f'"{outside.registry.host}/')
    return text if HAS_GCLOUD else without_block(text, "[[channels.nightly.cloud_run]]")


def publish_version(service: FakeInvenioRdm, concept: str, files: Mapping[str, bytes]) -> Draft:
    """Let a concept have a version that was published by hand, with these files."""
    record = service.state.begin("us", concept)
    record.describe(
        {
            "files": {"enabled": True},
            "metadata": {
                "title": "PUDL data release",
                "creators": [{"person_or_org": {"type": "organizational", "name": "Somebody"}}],
                "resource_type": {"id": "dataset"},
                "publication_date": "2024-11-14",
                "version": "v2024.11.0",
            },
        }
    )
    record.files = {key: StoredFile(key, data) for key, data in files.items()}
    service.state.publish(record)
    return record


def make_build(folder: Path) -> Path:
    """Generate a small build: all its databases and folders, but few tables in each."""
    program = EXAMPLE / "make_build.py"
    subprocess.run([sys.executable, program, folder, "--mb", "5"], check=True, timeout=120)
    for path in folder.glob("*/datapackage.json"):
        package = json.loads(path.read_bytes())
        every = package["resources"]
        package["resources"] = every[::EVERY_NTH_TABLE]
        path.write_text(json.dumps(package))
        for each in every:
            if each not in package["resources"]:
                (path.parent / each["path"]).unlink()
    return folder


@contextmanager
def serve_pudl(folder: Path, servers: CloudServers) -> Iterator[PudlProject]:
    """Serve all that the example reaches: nothing released yet, two builds there."""
    build = make_build(folder / "build")
    make_places(servers, BUILDS)
    for tag in (TAG, STABLE):
        place = Place(servers, "gcs", BUILDS, f"{tag}/")
        for path in sorted(each for each in build.rglob("*") if each.is_file()):
            place.write(path.relative_to(build).as_posix(), path.read_bytes())
    with serve_outside(folder / "outside", repository="catalyst-cooperative/pudl") as outside:
        old = {KEPT_FILE: (build / KEPT_FILE).read_bytes(), "pudl.sqlite.zip": b"old"}
        old["given_up.zip"] = b"a form that is no more"
        publish_version(outside.sandbox, CONCEPTS["sandbox"], {"practice.txt": b"old"})
        publish_version(outside.production, CONCEPTS["production"], old)
        places = make_places(servers, BUCKET, object_lock=True)
        project = folder / "project"
        project.mkdir()
        shutil.copy(EXAMPLE / "dodo.py", project)
        (project / "lading.toml").write_text(render_config(outside, servers))
        make_history(project, outside)
        make_service(outside, SERVICE)
        outside.cloud_run.fault = "quick"  # a revision that is waited for costs seconds
        found = PudlProject(project, outside, places)
        outside.github.on_dispatch = Runner(found, folder, environment=CREDENTIALS)
        yield found
        servers_of_ours = (outside.sandbox, outside.production, outside.github, outside.slack)
        assert [each.errors for each in servers_of_ours] == [[]] * len(servers_of_ours)
