"""The energy example in production and in staging, against all that it reaches at once.

Both clouds, a remote, two Zenodos, GitHub by the real gh, Cloud Run by the real gcloud, a registry
and Slack listen on loopback; the workflow that is dispatched runs its own script. One world is
released into, once; each test compares what was recorded then.
"""

import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.e2e.clouds import CloudServers
from tests.e2e.outside import DEPOSIT, OLD_TAG, STABLE, TOKENS, Runner, drafts, git, published
from tests.e2e.project import CLOUDS, TAG
from tests.e2e.pudl import EXAMPLE, flatten
from tests.e2e.pudl_outside import (
    BUCKET,
    CONCEPTS,
    HAS_GCLOUD,
    HOLDS,
    KEPT_FILE,
    SENDS,
    SERVICE,
    PudlProject,
    Run,
    serve_pudl,
)
from tests.fakes.github_doors import find_gh
from tests.fakes.inveniordm_state import Draft

pytestmark = [
    pytest.mark.xdist_group("pudl-outside"),
    pytest.mark.slow,  # a minute; .ci/run has it beside the default suite
]

NIGHTLY = ("distribute", "type=nightly", f"tag={TAG}")
STABLE_RELEASE = ("distribute", "type=stable", f"tag={STABLE}")
CLOUD_RUN = ["cloud_run"] if HAS_GCLOUD else []
CLOUD_RUN_TASKS = [f"cloud_run:{SERVICE}"] if HAS_GCLOUD else []
IGNORED = re.compile(r"\.parquet$|/")
GITHUB = "/repos/catalyst-cooperative/pudl/actions/workflows"
Versions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class World:
    """What was done, one after the other, in one project."""

    project: PudlProject
    nightly_staged: Run
    nightly_planned: Run
    """Between staging and production."""
    nightly: Run
    nightly_again: Run
    nightly_planned_again: Run
    nightly_verified: Run
    stable_staged: Run
    stable_planned: Run
    """Between staging and production."""
    stable: Run
    stable_again: Run
    stable_planned_again: Run
    stable_verified: Run
    before: Mapping[str, Versions]
    """What stood in the clouds before each run, by name of the run."""

    @property
    def runs(self) -> dict[str, Run]:
        """Every run by its name."""
        return {name: each for name, each in vars(self).items() if isinstance(each, Run)}

    def public(self, key: str, cloud: str = "gcs") -> bytes:
        """Return the bytes of an object."""
        found = self.project.places[cloud].read(key)
        assert found is not None, key
        return found

    def manifest_sha256(self, prefix: str) -> str:
        """Return the identity of the release that stands in a prefix."""
        return hashlib.sha256(self.public(f"{prefix}/release.json")).hexdigest()

    def deposited(self, prefix: str) -> dict[str, bytes]:
        """Return what a deposit of a prefix is to have, by key."""
        keys = [each.partition("/")[2] for each in self.project.places["gcs"].keys(f"{prefix}/")]
        return {k: self.public(f"{prefix}/{k}") for k in keys if not IGNORED.search(k)}


RUNS = {
    "nightly_staged": (*NIGHTLY, "staging=1"),
    "nightly_planned": ("plan", f"tag={TAG}"),
    "nightly": NIGHTLY,
    "nightly_again": NIGHTLY,
    "nightly_planned_again": ("plan", f"tag={TAG}"),
    "nightly_verified": ("verify", f"tag={TAG}"),
    "stable_staged": (*STABLE_RELEASE, "staging=1"),
    "stable_planned": ("plan", f"tag={STABLE}"),
    "stable": STABLE_RELEASE,
    "stable_again": STABLE_RELEASE,
    "stable_planned_again": ("plan", f"tag={STABLE}"),
    "stable_verified": ("verify", f"tag={STABLE}"),
}
LOOKS = [name for name in RUNS if "planned" in name or "verified" in name]
REPEATS = ["nightly_again", "stable_again"]
STAGED = ["nightly_staged", "stable_staged"]


def versions(project: PudlProject) -> Versions:
    """Return by cloud and key what changes with the bytes, but for what a probe leaves."""
    return {cloud: place.versions() for cloud, place in project.places.items()}


@pytest.fixture(scope="session")
def world(cloud_servers: CloudServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which all of it was done. Tests leave it as it is."""
    cloud_servers.relax()
    with serve_pudl(tmp_path_factory.mktemp("pudl-outside"), cloud_servers) as project:
        runs: dict[str, Run] = {}
        before: dict[str, Versions] = {}
        for name, arguments in RUNS.items():
            before[name] = versions(project)
            runs[name] = project.ask(*arguments)
        yield World(project=project, before=before, **runs)


def without_staging(found: Versions) -> dict[str, dict[str, str]]:
    """Return what stands outside the staging root."""
    return {
        cloud: {key: each for key, each in objects.items() if not key.startswith("staging/")}
        for cloud, objects in found.items()
    }


def after(world: World, run: str) -> Versions:
    """Return what stood in the clouds after a run."""
    names = [*RUNS, "end"]
    return {**world.before, "end": versions(world.project)}[names[names.index(run) + 1]]


def message_of(run: Run, world: World) -> str:
    """Return the one message that a run posted, with all that it says."""
    posted = [each.at for each in run.writes("slack")]
    assert len(posted) == 1
    shown = [
        json.dumps(each)
        for each in world.project.outside.slack.messages
        if abs(float(each["ts"]) - posted[0]) < 0.5
    ]
    assert len(shown) == 1
    return shown[0]


class TestExample:
    """What is run here."""

    def test_is_the_example_itself(self, world: World) -> None:
        """It is the example, but for where the servers listen; all else stands as a user has it."""
        ours = flatten(tomllib.loads((world.project.folder / "lading.toml").read_text()))
        theirs = flatten(tomllib.loads((EXAMPLE / "lading.toml").read_text()))
        differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}

        assert differing == {
            *("source.options.endpoint_url", "source.options.token"),
            *("destinations.gcs.endpoint", "destinations.gcs.anonymous"),
            "destinations.s3.endpoint",
            *("channels.nightly.zenodo.url", "channels.nightly.cloud_run"),
            *("channels.stable.zenodo.url", "slack.url"),
        }
        assert (world.project.folder / "dodo.py").read_bytes() == (EXAMPLE / "dodo.py").read_bytes()

    @pytest.mark.parametrize("name", RUNS)
    def test_ends_well(self, world: World, name: str) -> None:
        """Each of the runs ends with 0, and without a line on stderr."""
        done = world.runs[name].done
        assert (done.returncode, done.stderr) == (0, "")

    def test_gh_is_the_real_one(self, world: World) -> None:
        """GitHub is asked by the genuine gh, which names itself, where it is installed."""
        agents = {each.agent for each in world.project.outside.github.calls}
        assert agents
        assert {each.startswith("GitHub CLI ") for each in agents} == {bool(find_gh())}

    def test_no_token_is_shown(self, world: World) -> None:
        """No token stands in what was printed, in what was kept, or in a call's address."""
        project = world.project
        kept = [path for path in project.work.rglob("*.json*") if path.is_file()]
        texts = [run.printed for run in world.runs.values()]
        texts += [path.read_text(errors="replace") for path in kept]
        texts += [each.path for each in project.outside.log]

        assert kept
        assert [token for token in TOKENS.values() if any(token in text for text in texts)] == []


class TestNightly:
    """A nightly in production."""

    def test_changes_only_what_the_table_names(self, world: World) -> None:
        """Every writing call is one that the channel asks for, and each was made once."""
        run = world.nightly
        count = len(world.deposited("nightly"))
        runs_api = "/apis/serving.knative.dev/v1/namespaces/example/services"

        assert {
            service: [f"{each.method} {each.path}" for each in run.writes(service)]
            for service in ("git", "github", "cloud_run", "production", "registry", "slack")
        } == {
            "git": ["push refs/heads/nightly"],
            "github": [f"POST {GITHUB}/{DEPOSIT}/dispatches"],
            "cloud_run": [f"PUT {runs_api}/{SERVICE}" for _ in CLOUD_RUN],
            "production": [],
            "registry": [],
            "slack": ["POST /api/chat.postMessage"],
        }
        assert Counter(run.operations("sandbox")) == {
            **dict.fromkeys(("new_version", "update", "publish"), 1),
            **dict.fromkeys(("content", "commit"), count),
            "register": Counter(run.operations("sandbox"))["register"],
        }
        assert [each for each in run.asked if each.service == "production"] == []

    def test_goes_the_road(self, world: World) -> None:
        """What staging had sent is copied, then all prefixes switched, then each call in order."""
        road = ["upload", "promote", "git_merge", "zenodo", *CLOUD_RUN, "notify"]
        assert world.nightly.road() == road
        assert [each for each in world.nightly.cloud_writes() if each.operation in HOLDS] == []

    def test_switches_its_prefixes(self, world: World) -> None:
        """Both clouds have both prefixes, alike; nothing else public came into being."""
        old, new = world.before["nightly"], after(world, "nightly")
        for cloud in CLOUDS:
            fresh = {key for key in new[cloud].keys() - old[cloud].keys() if ".lading/" not in key}
            assert {key.partition("/")[0] for key in fresh} == {"nightly", "eel-hole"}
        documents = {
            world.public(f"{prefix}/release.json", cloud)
            for prefix in ("nightly", "eel-hole")
            for cloud in CLOUDS
        }
        assert len(documents) == 1
        assert "doi" not in json.loads(documents.pop())

    def test_moves_its_branch(self, world: World) -> None:
        """The branch nightly stands at the tag's commit."""
        project = world.project
        assert project.outside.branches()["nightly"] == git(project.folder, "rev-parse", TAG)

    def test_dispatches_the_deposit(self, world: World) -> None:
        """The workflow runs on main with the S3 prefix, the pattern and the manifest's digest."""
        (run,) = world.project.outside.github.runs
        sha256 = world.manifest_sha256("nightly")

        assert run.inputs == {
            "env": "sandbox",
            "source_dir": f"s3://{BUCKET}/nightly",
            "ignore_regex": r"\.parquet$|/",
            "publish": "publish",
            "manifest": sha256,
        }
        assert run.ref == "main"
        assert run.title == f"zenodo sandbox {sha256}"
        assert run.conclusion == "success"

    def test_is_deposited_in_the_sandbox(self, world: World) -> None:
        """The concept has one more version, published: the files of the prefix, byte for byte."""
        found = published(world.project.outside.sandbox)
        (record,) = [each for each in found if each.metadata["version"] == TAG]

        assert record.concept == CONCEPTS["sandbox"]
        assert len(found) == 2, "with the one that a person had published"
        assert drafts(world.project.outside.sandbox) == []
        assert stored(record) == world.deposited("nightly")

    def test_job_has_what_it_needs_and_no_more(self, world: World) -> None:
        """The job reads from S3 alone, and writes nothing there."""
        runner = world.project.outside.github.on_dispatch
        assert isinstance(runner, Runner)
        (printed,) = runner.printed
        sent = re.findall(r"^sent (.+)$", printed, re.MULTILINE)

        assert sorted(sent) == sorted(world.deposited("nightly"))
        began = min(each.at for each in world.nightly.asked if each.service == "sandbox")
        ended = max(each.at for each in world.nightly.asked if each.service == "sandbox")
        meanwhile = [
            each for rows in world.nightly.seen.values() for each in rows if began < each.at < ended
        ]
        assert {each.operation for each in meanwhile} == {"GetObject"}

    @pytest.mark.skipif(not HAS_GCLOUD, reason="gcloud is not installed")
    def test_starts_the_viewer_anew(self, world: World) -> None:
        """One new revision of the image's digest serves, and bears the release."""
        region, registry = world.project.outside.cloud_run, world.project.outside.registry
        template = region.services[SERVICE]["spec"]["template"]
        image = template["spec"]["containers"][0]["image"]

        assert len(region.changes) == 1
        assert region.serving(SERVICE) == {f"{SERVICE}-00002-abc": 100}
        assert re.fullmatch(rf"{registry.host}/{SERVICE}@sha256:[0-9a-f]{{64}}", image)
        newest = registry.digest_of(f"{registry.host}/{SERVICE}:latest")
        assert registry.digest_of(image) == newest
        labels = template["metadata"]["labels"]
        assert labels["lading-release"] == world.manifest_sha256("nightly")[:16]

    def test_team_is_told(self, world: World) -> None:
        """One message names release, run and places, and says nothing of staging."""
        text = message_of(world.nightly, world)
        (run,) = world.project.outside.github.runs
        assert TAG in text
        assert f"/actions/runs/{run.run_id}" in text
        assert "STAGING" not in text

    def test_table_shows_each_step(self, world: World) -> None:
        """The closing table has a row for each call, each done."""
        tasks = ["git_merge", "zenodo", *CLOUD_RUN_TASKS, "notify"]
        tasks += [f"promote:{cloud}-{name}" for cloud in CLOUDS for name in ("nightly", "eel-hole")]
        assert {task: world.nightly.row(task).split()[1] for task in tasks} == dict.fromkeys(
            tasks, "done"
        )
        assert "released: every object was read back" in world.nightly.printed


class TestStable:
    """A stable release in production, of the build that was a nightly."""

    def test_changes_only_what_the_table_names(self, world: World) -> None:
        """Every writing call is one that the channel asks for, and each was made once."""
        run = world.stable
        services = ("git", "github", "cloud_run", "sandbox", "registry", "slack")
        told = {s: [f"{each.method} {each.path}" for each in run.writes(s)] for s in services}

        assert told == {
            "git": ["push refs/heads/stable"],
            **{service: [] for service in ("github", "cloud_run", "sandbox", "registry")},
            "slack": ["POST /api/chat.postMessage"],
        }
        asked = {each.service for each in run.asked}
        assert asked == {"git", "production", "slack"}
        operations = Counter(run.operations("production"))
        sent = len(world.deposited(STABLE)) - len([KEPT_FILE])
        once = ("new_version", "doi", "import")
        assert {name: operations[name] for name in once} == dict.fromkeys(once, 1)
        assert operations["update"] == 2, "what it is, and of which manifest"
        assert operations["content"] == operations["commit"] == sent
        assert operations["delete_file"] == len(["pudl.sqlite.zip", "given_up.zip"])
        files = {"register", "content", "commit", "delete_file"}
        assert set(operations) == {*once, "update", *files}

    def test_goes_the_road(self, world: World) -> None:
        """The DOI is reserved first; nothing is held or told before every prefix is switched."""
        road = ["doi", "upload", "promote", "hold", "git_merge", "zenodo", "notify"]
        assert world.stable.road() == road

    def test_sends_two_documents(self, world: World) -> None:
        """Of a release whose bytes are there, each cloud gets release.json and SHA256SUMS."""
        for cloud in CLOUDS:
            sent = [
                each.key
                for each in world.stable.cloud_writes(cloud)
                if each.operation in SENDS and each.key.startswith(".lading/objects/")
            ]
            assert len(sent) == 2

    def test_is_held_in_its_own_prefix(self, world: World) -> None:
        """Every object of the tag's prefix is held in both clouds, and no other object is."""
        for cloud, place in world.project.places.items():
            held = {key for key, each in place.objects().items() if each.held}
            assert held == set(place.keys(f"{STABLE}/"))
            asked = [e.key for e in world.stable.cloud_writes(cloud) if e.operation in HOLDS]
            assert sorted(asked) == sorted(held), "each once"

    def test_moves_its_branch(self, world: World) -> None:
        """The branch stable is moved once, to the tag's commit; nightly is left where it was."""
        outside = world.project.outside
        commit = git(world.project.folder, "rev-parse", STABLE)
        assert outside.branches() == {"nightly": commit, "stable": commit}
        assert git(world.project.folder, "rev-parse", OLD_TAG) != commit
        assert (outside.moves("nightly"), outside.moves("stable")) == (2, 2), "begun, and moved"

    def test_draft_waits_for_a_person(self, world: World) -> None:
        """The concept has a draft, not published; the version before it is as it was."""
        production = world.project.outside.production
        (draft,) = drafts(production)
        (old,) = published(production)

        assert draft.concept == old.concept == CONCEPTS["production"]
        assert set(old.files) == {KEPT_FILE, "pudl.sqlite.zip", "given_up.zip"}
        assert "publish" not in world.stable.operations("production")

    def test_draft_has_the_files(self, world: World) -> None:
        """It has every public file that is not ignored, and the two documents, by their md5."""
        (draft,) = drafts(world.project.outside.production)
        wanted = world.deposited(STABLE)
        table = json.loads(wanted["release.json"])
        told = {each["key"]: each["md5"] for each in table["files"] if "md5" in each}

        assert {"release.json", "SHA256SUMS", "pudl.sqlite.zip", KEPT_FILE} <= set(wanted)
        assert stored(draft) == wanted
        assert {
            key: hashlib.md5(data, usedforsecurity=False).hexdigest()
            for key, data in stored(draft).items()
            if key in told
        } == told
        assert set(wanted) - set(told) == {"release.json", "SHA256SUMS"}

    def test_release_names_the_doi(self, world: World) -> None:
        """The draft's reserved DOI stands in release.json of both prefixes of both clouds."""
        (draft,) = drafts(world.project.outside.production)
        told = {
            json.loads(world.public(f"{prefix}/release.json", cloud))["doi"]
            for prefix in (STABLE, "stable")
            for cloud in CLOUDS
        }
        assert draft.doi
        assert told == {draft.doi}

    def test_draft_says_what_it_is(self, world: World) -> None:
        """Its metadata are those of lading.toml, with the tag, its code and its public prefixes."""
        (draft,) = drafts(world.project.outside.production)
        given = tomllib.loads((EXAMPLE / "lading.toml").read_text())["metadata"]
        urls = world.project.servers.urls
        related = {
            (each["relation_type"]["id"], each["identifier"])
            for each in draft.metadata["related_identifiers"]
        }

        assert draft.metadata["title"] == given["title"]
        assert draft.metadata["version"] == STABLE
        assert [each["person_or_org"] for each in draft.metadata["creators"]] == [
            {"type": "organizational", "name": "Catalyst Cooperative"}
        ]
        assert [each["id"] for each in draft.metadata["rights"]] == ["cc-by-4.0"]
        assert [each["subject"] for each in draft.metadata["subjects"]] == given["keywords"]
        assert given["description"] in draft.metadata["description"]
        assert related == {
            ("issupplementedby", f"https://github.com/catalyst-cooperative/pudl/tree/{STABLE}"),
            ("isvariantformof", f"{urls['gcs']}/{BUCKET}/{STABLE}/"),
            ("isvariantformof", f"{urls['s3']}/{BUCKET}/{STABLE}/"),
        }

    def test_draft_is_shown(self, world: World) -> None:
        """Whoever is to publish it finds its link in the table, in the log and in the message."""
        outside = world.project.outside
        (draft,) = drafts(outside.production)
        link = f"{outside.production.url}/uploads/{draft.id}"

        assert link in world.stable.row("zenodo").replace(" ", "")
        assert f"draft to look at and publish: {link}, DOI {draft.doi}" in world.stable.printed
        assert link in message_of(world.stable, world)

    def test_leaves_the_nightly_alone(self, world: World) -> None:
        """The nightly's prefixes, and all that stood in the depots, are as they were."""
        old, new = world.before["stable"], after(world, "stable")
        for cloud in CLOUDS:
            assert {key for key in old[cloud] if new[cloud].get(key) != old[cloud][key]} == set()


def stored(deposit: Draft) -> dict[str, bytes]:
    """Return the files of a deposit."""
    assert all(each.is_complete for each in deposit.files.values())
    return {key: each.stored or b"" for key, each in deposit.files.items()}


class TestAgain:
    """The same command again."""

    @pytest.mark.parametrize("name", REPEATS)
    def test_calls_nothing_that_changes_anything(self, world: World, name: str) -> None:
        """No service gets a writing call, and the clouds the probe of access and no other."""
        run = world.runs[name]
        probe = {"gcs": ["objects.insert", "objects.delete"], "s3": ["PutObject", "DeleteObjects"]}

        assert run.writes() == []
        for cloud in CLOUDS:
            written = run.cloud_writes(cloud)
            assert [each.operation for each in written] == probe[cloud]
            assert written[0].key.startswith(".lading/access/")
        assert after(world, name) == world.before[name]
        assert "nothing to do: everything is as released" in run.printed

    @pytest.mark.parametrize("name", REPEATS)
    def test_asks_each_service(self, world: World, name: str) -> None:
        """It is no silence: each service of the channel was asked for what stands there."""
        asked = {each.service for each in world.runs[name].asked}
        services = {
            "nightly_again": {"github", *CLOUD_RUN, *(["registry"] if HAS_GCLOUD else []), "slack"},
            "stable_again": {"production", "slack"},
        }
        assert asked == services[name]


class TestStaging:
    """A rehearsal, with every token in the environment and every service listening."""

    @pytest.mark.parametrize("name", STAGED)
    def test_reaches_no_service(self, world: World, name: str) -> None:
        """Nobody but Slack gets any call, writing or not; the remote gets no push."""
        run = world.runs[name]
        assert {each.service for each in run.asked} == {"slack"}
        assert [each.path for each in run.writes()] == ["/api/chat.postMessage"]

    @pytest.mark.parametrize("name", STAGED)
    def test_writes_below_its_root_only(self, world: World, name: str) -> None:
        """Both clouds are written to below staging/ and nowhere else; nothing there is held."""
        run = world.runs[name]
        written = run.cloud_writes()

        assert {each.key.partition("/")[0] for each in written} <= {"staging", ""}
        assert {each.operation for each in written if not each.key} <= {"DeleteObjects"}
        assert HOLDS.isdisjoint(each.operation for each in written)
        assert without_staging(after(world, name)) == without_staging(world.before[name])
        assert after(world, name) != world.before[name]

    @pytest.mark.parametrize(
        ("name", "tasks"),
        [
            ("nightly_staged", ["git_merge", "zenodo", *CLOUD_RUN_TASKS]),
            (
                "stable_staged",
                ["git_merge", "zenodo", f"hold:gcs-{STABLE}", f"hold:s3-{STABLE}"],
            ),
        ],
    )
    def test_says_what_is_skipped(self, world: World, name: str, tasks: list[str]) -> None:
        """Each step that production would make is a row that is skipped, with the reason."""
        run = world.runs[name]
        rows = {task: run.row(task).split()[1:3] for task in tasks}
        assert rows == {task: ["skipped", "staging:"] for task in tasks}

    @pytest.mark.parametrize(
        ("staged", "released"), [("nightly_staged", "nightly"), ("stable_staged", "stable")]
    )
    def test_has_the_same_bytes(self, world: World, staged: str, released: str) -> None:
        """What it stages is what production then ships, but for a DOI that staging reserves not."""
        prefix = released if released == "nightly" else STABLE
        documents = set() if released == "nightly" else {"release.json", "SHA256SUMS"}
        place = world.project.places["gcs"]
        objects = place.objects()
        pairs = {
            key: (objects[key].sha256, objects[f"staging/{key}"].sha256)
            for key in place.keys(f"{prefix}/")
        }
        different = {
            key.partition("/")[2] for key, (ours, theirs) in pairs.items() if ours != theirs
        }

        assert world.runs[staged].row("manifest")
        assert {f"staging/{key}" for key in pairs} == set(place.keys(f"staging/{prefix}/"))
        assert different == documents
        assert "doi" not in json.loads(world.public(f"staging/{prefix}/release.json"))

    @pytest.mark.parametrize("name", STAGED)
    def test_is_told_as_staging(self, world: World, name: str) -> None:
        """The team's message says that it was a rehearsal."""
        assert "STAGING" in message_of(world.runs[name], world)

    @pytest.mark.parametrize("name", ["nightly_staged"])
    def test_fetches_and_prepares(self, world: World, name: str) -> None:
        """Fetching, checking, packing and describing are done as in production."""
        run = world.runs[name]
        steps = ["fetch", "check", "compress_sqlite:pudl.sqlite", "zip_parquet:pudl_parquet"]
        assert {run.row(each).split()[1] for each in [*steps, "manifest"]} == {"done"}


class TestLooking:
    """plan and verify."""

    @pytest.mark.parametrize("name", LOOKS)
    def test_changes_nothing(self, world: World, name: str) -> None:
        """Neither a service nor a cloud gets a writing call, not even the probe."""
        run = world.runs[name]
        assert run.writes() == []
        assert run.cloud_writes() == []

    def test_plan_before(self, world: World) -> None:
        """Plan shows every step of the channel as one to be made."""
        nightly = planned(world.nightly_planned)
        stable = planned(world.stable_planned)

        for task in ("git_merge", "zenodo", *CLOUD_RUN_TASKS):
            assert nightly[task] == {"change"}
        assert not [task for task in nightly if task.startswith("hold")]
        assert stable["git_merge"] == stable["zenodo"] == {"change"}
        assert stable[f"hold:gcs-{STABLE}"] == stable[f"hold:s3-{STABLE}"] == {"hold"}
        assert not [task for task in stable if task.startswith("cloud_run")]

    @pytest.mark.parametrize("name", ["nightly_planned_again", "stable_planned_again"])
    def test_plan_after(self, world: World, name: str) -> None:
        """Plan finds everything as released."""
        run = world.runs[name]
        assert set().union(*planned(run).values()) == {"keep"}
        assert "nothing to do" in run.printed

    @pytest.mark.parametrize(
        ("name", "tasks"),
        [
            ("nightly_verified", ["git_merge", "zenodo", *CLOUD_RUN_TASKS]),
            ("stable_verified", ["git_merge", "zenodo"]),
        ],
    )
    def test_verify(self, world: World, name: str, tasks: list[str]) -> None:
        """Verify proves every place of both clouds and every call."""
        printed = world.runs[name].printed
        proved = re.findall(r"^(\S+(?: \S+)?) +(?:\d+ +)?as released$", printed, re.MULTILINE)
        prefixes = ["nightly", "eel-hole"] if name == "nightly_verified" else [STABLE, "stable"]
        places = [f"{cloud} {place}" for cloud in CLOUDS for place in ["depot", *prefixes]]
        assert proved == [*places, *tasks]
        assert "everything is as released" in printed


def planned(run: Run) -> dict[str, set[str]]:
    """Return by target what a plan says of it."""
    found: dict[str, set[str]] = {}
    for line in run.done.stdout.splitlines()[2:]:
        words = line.split()
        if len(words) > 1 and not line.startswith((" ", "nothing")):
            found.setdefault(words[0], set()).add(words[1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [NIGHTLY, STABLE_RELEASE])
def test_another_machine_changes_nothing(world: World, arguments: tuple[str, ...]) -> None:
    """A machine that knows nothing finds all of it done; the team's message is one and the same."""
    project = world.project
    before, messages = versions(project), len(project.outside.slack.messages)
    project.forget()
    run = project.ask(*arguments)

    assert run.done.returncode == 0, run.printed
    assert [each.path for each in run.writes()] == ["/api/chat.update"]
    assert len(project.outside.slack.messages) == messages
    assert versions(project) == before
