"""The team of examples/agencies: its project, what its agencies delivered, and what must come out.

Everything is real but S3, the cluster and the application: commands, processes, kubectl.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lading.config.models import Destination
from lading.jobs.audit_events import AUDIT_ROOT
from lading.jobs.audit_verify import AuditReport, verify_audit
from lading.jobs.dead_letters import DeadLetters
from lading.storage import Body, Store
from lading.storage.open import open_store
from tests.e2e.clouds import CREDENTIALS
from tests.e2e.project import REPOSITORY, forked_doit
from tests.fakes.kubelet import FakeKubelet, Node
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.fakes.records_api import FakeRecordsApi

EXAMPLE = REPOSITORY / "examples" / "agencies"
LAKE = "s3://rivers-lake"
CONTEXT = "arn:aws:eks:us-west-2:123456789012:cluster/rivers"
NAMESPACE = "rivers"
IMAGE = f"ghcr.io/rivers-example/agencies@sha256:{'5a' * 32}"
TOKEN = "canary-0123456789"
SECRETS = {"readings-api": {"READINGS_TOKEN": TOKEN}}
NO_PART = shutil.ignore_patterns("build", "__pycache__", ".doit*", ".pytest_cache")
_ONE_BY_ONE = """\
import json, sys
from lading.cli import main
codes = [main(argv) for argv in json.load(sys.stdin)]
sys.exit(max(codes))
"""
_HURRIED_DOIT = """\
import sys
from tests.e2e.forked import _hurry
sys.path.remove("")
_hurry(float(sys.argv.pop(1)))
from doit.__main__ import main
sys.exit(main())
"""
HURRY = 5
"""By how much the waiting between two looks at a Job is shortened."""

Letters = Counter[tuple[str, str, int | None]]
"""Dead letters of ``transform``: agency, key of the file, row."""


@cache
def make_landing() -> Any:
    """Return the example's module that makes deliveries."""
    spec = importlib.util.spec_from_file_location("make_landing", EXAMPLE / "make_landing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def deliver(agencies: int, objects: int, *, only: Any = None, **more: Any) -> Any:
    """Return what the first agencies deliver, or only one of them."""
    chosen = tuple(make_landing().load_agencies()[:agencies])
    return make_landing().Delivery((only,) if only else chosen, objects, **more)


@dataclass(frozen=True)
class Step:
    """One job over all agencies."""

    job: str
    """Its name."""
    over: str
    """The file of items."""
    template: tuple[str, ...]
    """Its arguments."""


@dataclass(frozen=True)
class Result:
    """What stands at the end; equal where the same work was done."""

    silver: Mapping[str, bytes]
    """Silver, by key."""
    letters: Letters
    """Dead letters of ``transform``, counted."""
    records: Mapping[str, int]
    """What the application holds: revision by id."""
    writes: Counter[str]
    """How often it has written each."""


@dataclass(frozen=True)
class World:
    """A team's project, its buckets or folders, and its application."""

    folder: Path
    """The project."""
    landing: str
    """Where the agencies deliver."""
    lake: str
    """Where all else stands."""
    api: FakeRecordsApi
    """The application."""
    delivery: Any
    """What was delivered."""
    endpoint: str = ""
    """URL of S3, or "" where folders stand for buckets."""
    per_shard: int = 1
    """Agencies of a process."""
    variables: dict[str, str] = field(default_factory=dict)
    """Further variables of commands."""

    @property
    def environment(self) -> dict[str, str]:
        """All variables of a command; its bytecode is kept, since many processes want it."""
        own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **own,
            **self.cloud,
            "CI": "1",
            "COLUMNS": "160",
            "READINGS_TOKEN": TOKEN,
            **self.variables,
        }

    @property
    def cloud(self) -> dict[str, str]:
        """Variables by which S3 is reached."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint} if self.endpoint else {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The three jobs, in their order."""
        return (
            Step(
                "get_s3_files",
                "agencies.txt",
                (
                    *("--agency-id", "{item}", "--source-bucket", self.landing),
                    *("--destination-bucket", f"{self.lake}/bronze"),
                ),
            ),
            Step(
                "transform",
                "formats.jsonl",
                (
                    *("--schema", "readings/{format}.toml"),
                    *("--source", f"{self.lake}/bronze/{{agency}}"),
                    *("--destination", f"{self.lake}/silver/{{agency}}"),
                ),
            ),
            Step(
                "ingest_api",
                "agencies.txt",
                (
                    *("--source", f"{self.lake}/silver/{{item}}", "--url", self.api.records_url),
                    *("--key", "id", "--batch-size", "100", "--concurrency", "1"),
                    *("--token-variable", "READINGS_TOKEN"),
                ),
            ),
        )

    def step(self, job: str) -> Step:
        """Return the step of a job."""
        return next(each for each in self.steps if each.job == job)

    # commands

    def lading(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            [sys.executable, "-m", "lading", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def scatter_command(self, step: Step) -> list[str]:
        """Return what runs a step in processes here."""
        options = ["--over", step.over, "--workers", "2", "--per-shard", str(self.per_shard)]
        return [sys.executable, "-m", "lading", "run", step.job, *options, "--", *step.template]

    def scatter(self, step: Step) -> str:
        """Run a step in processes here; return what it said, which must be good."""
        done = self.lading(*self.scatter_command(step)[3:])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cluster_words(self, step: Step) -> list[str]:
        """Return what doit is asked for to run a step in pods."""
        words = [f"k8s_job:{step.job}", f"over={step.over}", f"args={' '.join(step.template)}"]
        return [*words, f"image={IMAGE}", f"per_shard={self.per_shard}"]

    def cluster_command(self, step: Step) -> list[str]:
        """Return the same as a process of its own, which waits as if in a hurry."""
        return [sys.executable, "-c", _HURRIED_DOIT, str(HURRY), *self.cluster_words(step)]

    def run_in_pods(self, step: Step) -> str:
        """Run a step in pods; return what doit said, which must be good."""
        environment = {**self.environment, "HURRIED_CLOCK": str(HURRY)}
        done = forked_doit().run(self.cluster_words(step), self.folder, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_one_by_one(self, *jobs: str, most: int | None = None) -> str:
        """Run jobs for one agency after the other, as plain runs; return what they said.

        Args:
            jobs: which; none: all three.
            most: so many agencies; None: all.
        """
        chosen = jobs or tuple(each.job for each in self.steps)
        orders = [
            ["run", name, "--", *(fill(word, agency) for word in self.step(name).template)]
            for name in chosen
            for agency in self.delivery.agencies[:most]
        ]
        done = subprocess.run(
            [sys.executable, "-c", _ONE_BY_ONE],
            input=json.dumps(orders),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # what stands

    def store(self, url: str) -> Store:
        """Open a store of the world in this process."""
        options = Destination(url=url, endpoint=self.endpoint) if self.endpoint else None
        return open_store(url, self.folder, options=options)

    def objects(self, *, data_only: bool = False) -> dict[str, str]:
        """Return the version of each object of the lake, by key."""
        entries = self.store(self.lake).list()
        return {
            each.key: each.version
            for each in entries
            if not (data_only and each.key.startswith(".lading/"))
        }

    def letters(self, job: str = "transform") -> list[Any]:
        """Return all dead letters of a job."""
        return list(DeadLetters(self.store(self.lake), job).letters())

    def audit(self) -> AuditReport:
        """Prove the trail."""
        return verify_audit(self.store(self.lake))

    def result(self) -> Result:
        """Return what stands now."""
        lake = self.store(f"{self.lake}/silver")
        records = {name: each["revision"] for name, each in self.api.records.items()}
        return Result(
            silver={each.key: lake.get(each.key) for each in lake.list()},
            letters=Counter(self._place(each.item, each.row) for each in self.letters()),
            records=records,
            writes=Counter(self.api.writes),
        )

    def expected_letters(self) -> Letters:
        """Return what the truth knows of dirt."""
        found: Letters = Counter()
        for agency, truth in self.delivery.tell_truth().items():
            found.update((agency, key, row) for key, row, _ in truth.dirty_rows)
            found.update((agency, key, None) for key, _ in truth.dirty_files)
        return found

    def expected_records(self) -> dict[str, int]:
        """Return what the truth knows of good readings: revision by id."""
        truths = self.delivery.tell_truth().values()
        return {name: revision for each in truths for name, revision in each.readings.items()}

    @contextmanager
    def flipped_bit(self, seed: int) -> Iterator[str]:
        """Flip one bit of one event of the trail until the end of the block; give its key."""
        store = self.store(self.lake)
        key = Random(seed).choice([each.key for each in store.list(AUDIT_ROOT)])
        data = bytearray(store.get(key))
        data[len(data) // 2] ^= 1
        before = store.get(key)
        store.put(key, Body.of_bytes(bytes(data)))
        yield key
        store.put(key, Body.of_bytes(before))

    def _place(self, item: str, row: int | None) -> tuple[str, str, int | None]:
        agency, _, key = item.partition("/bronze/")[2].partition("/")
        return agency, key, row


def fill(word: str, agency: Any) -> str:
    """Put an agency into a word of a template."""
    for name, value in (("item", agency.name), ("agency", agency.name), ("format", agency.format)):
        word = word.replace(f"{{{name}}}", value)
    return word


@contextmanager
def make_world(
    folder: Path,
    delivery: Any,
    *,
    endpoint: str = "",
    bucket: str = "",
    per_shard: int = 1,
    has_absolute_paths: bool = False,
) -> Iterator[World]:
    """Make a project, deliver, and start the application.

    Args:
        folder: an empty folder.
        delivery: what the agencies deliver; the project has these agencies.
        endpoint: of S3, where ``bucket`` is the beginning of the names of two buckets.
        bucket: see there; without it, folders stand for buckets.
        per_shard: agencies of a process.
        has_absolute_paths: whether folders are named so that pods find them as well.
    """
    project = folder / "rivers"
    landing, lake = (f"s3://{bucket}-{name}" if bucket else name for name in ("landing", "lake"))
    if has_absolute_paths:
        landing, lake = str(project / landing), str(project / lake)
    shutil.copytree(EXAMPLE, project, ignore=NO_PART)
    config = project / "lading.toml"
    config.write_text(config.read_text().replace(LAKE, lake))
    names = {each.name for each in delivery.agencies}
    for name in ("agencies.txt", "formats.jsonl"):
        rows = (EXAMPLE / name).read_text().splitlines()
        kept = [each for each in rows if each in names or _agency_of(each) in names]
        (project / name).write_text("".join(f"{each}\n" for each in kept))
    with FakeRecordsApi() as api:
        api.token = TOKEN
        world = World(
            folder=project,
            landing=landing if bucket or has_absolute_paths else f"./{landing}",
            lake=lake,
            api=api,
            delivery=delivery,
            endpoint=endpoint,
            per_shard=per_shard,
        )
        delivery.put(world.store(world.landing))
        yield world


def _agency_of(line: str) -> str:
    return str(json.loads(line)["agency"]) if line.startswith("{") else ""


@contextmanager
def make_cluster(
    world: World, *, cap: int = 2, limit_s: float = 120
) -> Iterator[tuple[FakeKubernetes, FakeKubelet]]:
    """Start a cluster whose pods run the world's jobs as processes."""
    with ExitStack() as stack:
        server = stack.enter_context(FakeKubernetes())
        server.add_namespace(NAMESPACE)
        kubeconfig = world.folder.with_name("kubeconfig")
        write_kubeconfig(kubeconfig, server, context=CONTEXT)
        world.variables["KUBECONFIG"] = str(kubeconfig)
        world.variables["PYTHONPATH"] = _paths(REPOSITORY)
        node = Node(
            entrypoint=[sys.executable, "-m", "lading", "run"],
            cwd=world.folder,
            folder=world.folder.with_name("pods"),
            environment={**world.cloud, "PYTHONPATH": _paths()},
            secrets=SECRETS,
            namespace=NAMESPACE,
            cap=cap,
            limit_s=limit_s,
        )
        yield server, stack.enter_context(FakeKubelet(server, node))


def _paths(*more: Path) -> str:
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([*map(str, more), *([given] if given else [])])
