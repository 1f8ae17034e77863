"""The Cloud Run target holds: one new revision where one is needed, awaited, and a way back."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lading.config import CloudRun
from lading.errors import (
    CommandError,
    GuardError,
    Interrupted,
    LadingError,
    ServiceError,
    VerifyError,
)
from lading.release.receipts import Receipt, Stamp, render_receipt
from lading.services import cloud_run
from lading.services.cloud_run import CloudRunTarget
from lading.services.cloud_run_state import (
    CloudRunChanges,
    CloudRunState,
    Wanted,
    parse_revision,
    parse_service,
    plan_service,
)
from lading.services.journal import Journal
from lading.services.shell import has_program, run_command
from lading.storage.progress import NO_PROGRESS, Progress
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.registry import FakeRegistry

CANARY = "ya29.canary-of-the-cloud-run-tests"
NAME = "us-docker.pkg.dev/p/r/viewer"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHA = "0123456789abcdef" * 4
LABEL = SHA[:16]
UP, COMING, DOWN = "True", "Unknown", "False"
Table = dict[str, Any]
with_gcloud = pytest.mark.skipif(not has_program("gcloud"), reason="gcloud is not installed")


def revision(name: str, digest: str, status: str = UP, label: str = "", image: str = "") -> Table:
    """Return a revision as gcloud prints it."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {"labels": {"lading-release": label} if label else {}, "name": name},
        "spec": {"containers": [{"image": image or f"{NAME}:latest", "ports": [{}]}]},
        "status": {
            "conditions": [{"status": status, "type": "Ready"}, {"status": UP, "type": "Active"}],
            "imageDigest": f"{NAME}@{digest}" if digest else "",
        },
    }


def service(
    status: str = UP,
    image: str = f"{NAME}@{OLD}",
    created: str = "v-1",
    *,
    seen: int = 1,
    serving: tuple[str, ...] = ("v-1",),
    pinned: bool = False,
    label: str = "",
) -> Table:
    """Return a service as gcloud prints it."""
    shares = [{"percent": 100 // len(serving), "revisionName": name} for name in serving]
    latest = [{"latestRevision": True, "percent": 100}]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"generation": 1, "name": "v"},
        "spec": {
            "template": {
                "metadata": {"labels": {"lading-release": label} if label else {}},
                "spec": {"containers": [{"image": image, "ports": [{}]}]},
            },
            "traffic": shares if pinned else latest,
        },
        "status": {
            "conditions": [
                {"status": UP, "type": "RoutesReady"},
                {
                    "message": "Container failed to start.\n\nLogs",
                    "status": status,
                    "type": "Ready",
                },
            ],
            "latestCreatedRevisionName": created,
            "observedGeneration": seen,
            "traffic": shares,
            "url": "https://v.run.invalid",
        },
    }


def state(told: Table, *revisions: Table, label: str = "") -> CloudRunState:
    """Return what is seen of a service, where a release wants the new digest."""
    seen = [parse_revision(json.dumps(each)) for each in revisions]
    return CloudRunState(
        Wanted(NAME, NEW, label),
        parse_service(json.dumps(told)),
        {each.name: each for each in seen},
    )


PINNED = f"{NAME}@{NEW}"
R1, R2 = revision("v-1", OLD), revision("v-2", NEW)
BOTH = ("v-1", "v-2")
PLANS: dict[str, tuple[str, CloudRunState]] = {
    "the old one serves": ("update", state(service(), R1)),
    "the new one serves": ("none", state(service(created="v-2", serving=("v-2",)), R2)),
    "it is asked for by its digest, and found as that of one machine": (
        "none",
        state(service(created="v-2", serving=("v-2",)), revision("v-2", OLD, image=PINNED)),
    ),
    "change not seen yet": ("wait", state(service(image=PINNED, seen=0), R1)),
    "coming up": (
        "wait",
        state(service(COMING, PINNED, "v-2"), R1, revision("v-2", NEW, COMING)),
    ),
    "coming up by its tag": (
        "wait",
        state(service(COMING, f"{NAME}:latest", "v-2"), R1, revision("v-2", NEW, COMING)),
    ),
    "another comes up": ("update", state(service(COMING, f"{NAME}@{OLD}", "v-2"), R1)),
    "another comes up where the new one serves": (
        "update",
        state(service(COMING, created="v-3", serving=("v-2",)), R2, revision("v-3", OLD, COMING)),
    ),
    "failed": (
        "update",
        state(service(DOWN, PINNED, "v-2"), R1, revision("v-2", NEW, DOWN)),
    ),
    "failed, and requests are pinned": (
        "update",
        state(service(DOWN, PINNED, "v-2", pinned=True), R1, revision("v-2", NEW, DOWN)),
    ),
    "the new one gets requests, but is down": (
        "update",
        state(service(DOWN, PINNED, "v-2", serving=("v-2",)), revision("v-2", NEW, DOWN)),
    ),
    "another failed where the new one serves": (
        "none",
        state(service(DOWN, created="v-3", serving=("v-2",)), R2, revision("v-3", OLD, DOWN)),
    ),
    "ready, requests on their way": ("wait", state(service(UP, PINNED, "v-2"), R1, R2)),
    "requests sent elsewhere": ("route", state(service(UP, PINNED, "v-2", pinned=True), R1, R2)),
    "requests split": (
        "route",
        state(service(UP, PINNED, "v-2", pinned=True, serving=BOTH), R1, R2),
    ),
    "pinned to the old one": ("update", state(service(pinned=True), R1)),
    "pinned to the new one, newer beside it": (
        "none",
        state(service(created="v-3", serving=("v-2",), pinned=True), R2, revision("v-3", OLD)),
    ),
    "the newest was removed": ("update", state(service(DOWN, PINNED, "v-2"), R1)),
    "nothing serves": ("update", state(service(DOWN, PINNED, serving=()), revision("v-1", OLD))),
    "of an older release": (
        "update",
        state(service(created="v-2", serving=("v-2",)), R2, label=LABEL),
    ),
    "of this release": (
        "none",
        state(
            service(created="v-2", serving=("v-2",)),
            revision("v-2", NEW, label=LABEL),
            label=LABEL,
        ),
    ),
    "an older release comes up": (
        "update",
        state(service(COMING, PINNED, label="x"), R1, label=LABEL),
    ),
    "this release comes up": ("wait", state(service(COMING, PINNED, label=LABEL), R1, label=LABEL)),
}


@pytest.mark.parametrize("name", PLANS)
def test_plan(name: str) -> None:
    """A new revision is made only where none of the wanted image serves or comes up."""
    action, seen = PLANS[name]
    changes = plan_service(seen)
    assert changes.action == action
    assert changes.is_empty == (action == "none")
    assert changes.describe()


def test_plan_parts() -> None:
    """A revision that was made by a tag is known by the digest of the list's own part."""
    seen = state(service(), R1)
    assert plan_service(replace(seen, wanted=Wanted(NAME, NEW, "", frozenset({OLD})))).is_empty


def test_parse_message() -> None:
    """Of what the service says, the first line is told: it says why."""
    assert parse_service(json.dumps(service(DOWN))).message == "Container failed to start."


def test_parse_sidecars() -> None:
    """Of several containers the one that answers requests is compared."""
    told = revision("v-2", NEW)
    told["spec"]["containers"] = [{"image": f"x@{OLD}"}, {"image": PINNED, "ports": [{}]}]
    told["status"]["imageDigest"] = ""
    assert parse_revision(json.dumps(told)).digests == {NEW}


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"kind": "Revision"}'])
def test_parse_refusals(text: str) -> None:
    """What is no service is not taken for one."""
    with pytest.raises(ServiceError, match="expected the JSON of a Service"):
        parse_service(text)


def stamp() -> Stamp:
    """Return a stamp of a release."""
    return Stamp(
        task="cloud_run:viewer",
        project="example",
        channel="nightly",
        tag="t",
        environment="production",
        manifest_sha256=SHA,
    )


class Scripted(CloudRunTarget):
    """A target that sees what a test says, one after the other, and the last for ever."""

    def __init__(self, folder: Path, seen: list[CloudRunState], said: str = "") -> None:
        self.slept = 0.0
        super().__init__(
            CloudRun(service="v", image=f"{NAME}@{NEW}", region="us-east1", project="p"),
            stamp(),
            Journal(folder / "journal.json", SHA),
            folder,
            clock=lambda: self.slept,
            sleep=self._slumber,
        )
        self._seen = seen
        self._said = said
        self.updates = 0

    def _slumber(self, seconds: float) -> None:
        self.slept += seconds

    def _see(self, progress: Progress) -> CloudRunState:
        del progress
        return self._seen.pop(0) if len(self._seen) > 1 else self._seen[0]

    def _update(self, changes: CloudRunChanges, progress: Progress) -> CommandError | None:
        del progress
        self.updates += 1
        self._journal.note(old_revision=changes.serving)
        return CommandError(self._said) if self._said else None


def changed(told: Table) -> Table:
    """Return a service that was changed once more."""
    told["metadata"]["generation"] = told["status"]["observedGeneration"] = 2
    return told


BEFORE = state(service(), R1)
SERVES = state(changed(service(UP, PINNED, "v-2", serving=("v-2",))), R2)
COMES = state(changed(service(COMING, PINNED, "v-2")), R1)
FAILED = state(changed(service(DOWN, PINNED, "v-2")), R1, revision("v-2", NEW, DOWN))
ELSEWHERE = state(changed(service(UP, PINNED, "v-2", pinned=True)), R1, R2)
FOREIGN = state(changed(service(UP, f"{NAME}@{OLD}", "v-2")), R1, revision("v-2", OLD))
BACK = "`gcloud run services update-traffic v --region us-east1 --project p --to-revisions v-1=100`"
LATEST = "`gcloud run services update-traffic v --region us-east1 --project p --to-latest`"


@pytest.mark.parametrize("said", ["", "502 Bad Gateway"])
@pytest.mark.parametrize("seen", [[SERVES], [COMES, COMES, SERVES]])
def test_apply(tmp_path: Path, seen: list[CloudRunState], said: str) -> None:
    """What is read back decides, whatever gcloud said; a revision is awaited."""
    target = Scripted(tmp_path, list(seen), said)
    target.apply(plan_service(BEFORE), NO_PROGRESS)
    assert target.updates == 1
    assert target.slept == 3.0 * (len(seen) - 1)
    assert target.summary == "v-2 serves instead of v-1"
    assert target.prove().facts == {
        "revision": "v-2",
        "old_revision": "v-1",
        "image": f"{NAME}@{NEW}",
        "digest": NEW,
        "url": "https://v.run.invalid",
        "region": "us-east1",
    }


@pytest.mark.parametrize(
    ("before", "seen", "said", "told"),
    [
        (BEFORE, [BEFORE], "PERMISSION_DENIED", "Cloud Run v (us-east1): PERMISSION_DENIED"),
        (BEFORE, [BEFORE], "", "expected a new revision, found none"),
        (BEFORE, [COMES, FAILED], "x", "v-2 to come up"),
        (BEFORE, [COMES, FAILED], "x", "got 'Container failed to start.'; v-1 still serves"),
        (BEFORE, [FAILED], "", BACK),
        (COMES, [COMES, FAILED], "", BACK),
        (BEFORE, [COMES], "", "got none of it within 600 s; v-1 still serves"),
        (BEFORE, [ELSEWHERE], "", LATEST),
        (ELSEWHERE, [ELSEWHERE], "", LATEST),
        (BEFORE, [FOREIGN], "ABORTED: Conflict", "found that somebody asked for sha256:aaaa"),
    ],
)
def test_apply_refusals(
    tmp_path: Path, before: CloudRunState, seen: list[CloudRunState], said: str, told: str
) -> None:
    """What does not come up is told in one line, with the command that helps."""
    target = Scripted(tmp_path, list(seen), said)
    with pytest.raises(ServiceError) as caught:
        target.apply(plan_service(before), NO_PROGRESS)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert target.updates == (before is BEFORE)
    assert target.slept <= 610


def test_old_revision_without_journal(tmp_path: Path) -> None:
    """Where the notes are lost while a revision comes up, the one that still serves is the old."""
    target = Scripted(tmp_path, [COMES, SERVES])
    target.apply(plan_service(COMES), NO_PROGRESS)
    assert target.updates == 0
    assert target.prove().facts["old_revision"] == "v-1"


def test_old_revision_unknown(tmp_path: Path) -> None:
    """Where nobody knows the old revision, the receipt does not guess."""
    assert Scripted(tmp_path, [SERVES]).prove().facts["old_revision"] == ""


def test_prove_refusal(tmp_path: Path) -> None:
    """A service that serves something else is not proved."""
    seen = replace(BEFORE, wanted=Wanted(NAME, NEW, "", frozenset({"sha256:c"})))
    with pytest.raises(VerifyError, match=r"expected sha256:b+ to serve, found it to need a new"):
        Scripted(tmp_path, [seen]).prove()


class Cut(Progress):
    """Ends the run as a signal does, once a server was asked so often."""

    def __init__(self, server: FakeCloudRun, requests: int) -> None:
        super().__init__()
        self._server = server
        self._requests = requests

    def relative_update(self, inc: int = 1) -> None:
        """Raise where it is time."""
        del inc
        if len(self._server.calls) >= self._requests:
            raise Interrupted(15)


def test_interrupted(tmp_path: Path) -> None:
    """A run that is asked to stop does not wait for a revision."""
    with FakeCloudRun(lambda _: NEW) as server, pytest.raises(Interrupted):
        Scripted(tmp_path, [COMES]).apply(plan_service(COMES), Cut(server, 0))


class World:
    """A registry and a region, and the real gcloud between them and us."""

    def __init__(self, registry: FakeRegistry, region: FakeCloudRun, folder: Path) -> None:
        self.registry = registry
        self.region = region
        self.folder = folder
        self.registry.push("p/viewer", "v1", "one")
        self.old = region.add_service("viewer", f"{registry.host}/p/viewer:v1")
        self.digest = registry.push("p/viewer", "latest", "two")

    def target(self, **changes: Any) -> CloudRunTarget:
        """Return a target as a new process makes it."""
        given = {"service": "viewer", "image": f"{self.registry.host}/p/viewer", "restart": True}
        return CloudRunTarget(
            CloudRun(**{**given, "region": "us-east1", **changes}),
            stamp(),
            Journal(self.folder / "journal.json", SHA),
            self.folder,
            sleep=lambda _: None,
        )

    def settle(self, progress: Progress = NO_PROGRESS, /, **changes: str) -> Receipt:
        """Bring the service to what the release wants, as the command does."""
        target = self.target(**changes)
        needed = target.plan(target.observe())
        if not needed.is_empty:
            target.apply(needed, progress)
        return target.prove()

    def seen(self, target: CloudRunTarget) -> CloudRunState:
        """Return what the target would observe, without the seconds that gcloud takes for it."""
        told = parse_service(json.dumps(self.region.services["viewer"]))
        made = parse_revision(json.dumps(self.region.revisions[self.old]))
        return CloudRunState(target._resolve(), told, {made.name: made})

    def run_shown(self, error: LadingError) -> None:
        """Run the command that an error shows; gcloud fails while the newest revision is down."""
        command = str(error).split("`")[1].split()
        with suppress(CommandError):
            run_command([*command, "--quiet"], folder=self.folder)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Serve a registry and a region, and let gcloud ask them alone."""
    with FakeRegistry(private=True) as registry, FakeCloudRun(registry.digest_of) as region:
        for name, value in region.environment(tmp_path / "gcloud").items():
            monkeypatch.setenv(name, value)
        yield World(registry, region, tmp_path)


@with_gcloud
def test_gcloud(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real gcloud makes one revision of the digest, and nobody sees its token."""
    seen: list[str] = []

    def spied(arguments: list[str], **options: Any) -> str:
        seen.extend(arguments)
        return run_command(arguments, **options)

    token_path = world.folder / "token"
    token_path.write_text(CANARY)
    monkeypatch.setenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "false")
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(token_path))
    monkeypatch.setattr(cloud_run, "run_command", spied)
    world.region.fault = "quick"
    target = world.target()
    target.apply(plan_service(world.seen(target)), NO_PROGRESS)
    receipt = target.prove()
    (change,) = world.region.changes
    assert change.authorization == f"Bearer {CANARY}"
    assert world.region.serving("viewer") == {receipt.facts["revision"]: 100}
    assert receipt.facts["old_revision"] == world.old
    assert receipt.facts["digest"] == world.digest
    made = world.region.revisions[receipt.facts["revision"]]
    assert made["spec"]["containers"][0]["image"].endswith(f"p/viewer@{world.digest}")
    assert made["metadata"]["labels"]["lading-release"] == LABEL
    assert CANARY not in render_receipt(receipt).decode() + " ".join(seen)
    assert CANARY not in (world.folder / "journal.json").read_text()


@with_gcloud
@pytest.mark.slow
def test_gcloud_nothing_to_do(world: World) -> None:
    """A service that serves the image already is only looked at, also under another tag."""
    world.settle()
    world.region.calls.clear()
    world.registry.push("p/viewer", "again", "two")
    receipt = world.settle(image=f"{world.registry.host}/p/viewer:again")
    assert not world.region.changes
    assert receipt.facts["old_revision"] == world.old
    assert world.target().require_access().startswith(f"{receipt.facts['revision']} serves; ")


@with_gcloud
@pytest.mark.slow
def test_gcloud_same_by_tag(world: World) -> None:
    """A service that was deployed by the same tag of a list of images needs nothing."""
    target = world.target(image=f"{world.registry.host}/p/viewer:v1", restart=False)
    assert target.plan(target.observe()).is_empty
    assert target.prove().facts["revision"] == world.old
    assert not world.region.changes


@with_gcloud
@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lost", "page"])
def test_gcloud_answer_lost(world: World, fault: str) -> None:
    """A change whose answer is lost is found, and not made again."""
    world.region.fault = fault
    world.region.looks = 4
    assert world.settle().facts["old_revision"] == world.old
    assert len(world.region.changes) == 1
    assert len(world.region.revisions) == 2


@with_gcloud
@pytest.mark.slow
def test_gcloud_failing(world: World) -> None:
    """What does not come up leaves the old one serving; the commands that are shown do work."""
    world.region.fault = "failing"
    with pytest.raises(ServiceError, match=r"Container failed to start.*still serves") as caught:
        world.settle()
    assert world.region.serving("viewer") == {world.old: 100}
    world.run_shown(caught.value)
    assert world.region.services["viewer"]["spec"]["traffic"][0]["revisionName"] == world.old
    world.region.fault = ""
    with pytest.raises(ServiceError, match="a person has sent them") as caught:
        world.settle()
    made = len(world.region.revisions)
    with pytest.raises(ServiceError, match="--to-latest"):
        world.settle()
    world.run_shown(caught.value)
    receipt = world.settle()
    assert len(world.region.revisions) == made == 3
    assert receipt.facts["old_revision"] == world.old


@with_gcloud
@pytest.mark.slow
def test_gcloud_raced(world: World) -> None:
    """Where another deploys in between, nothing of theirs is overwritten by this run."""
    world.region.fault = "raced"
    with pytest.raises(ServiceError, match="somebody asked for"):
        world.settle()
    assert world.region.services["viewer"]["spec"]["template"]["metadata"]["labels"] == {
        "by": "another"
    }


@with_gcloud
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "changes", "told"),
    [
        ("refused", {}, "PERMISSION_DENIED: Permission 'run.services.update' denied"),
        ("hidden", {}, "PERMISSION_DENIED: Permission 'run.services.get' denied"),
        ("", {"service": "absent"}, "Cannot find service [absent]"),
        ("", {"region": "mars-east1"}, "Cannot find service [viewer]"),
        ("", {"project": "another"}, "Cannot find service [viewer]"),
    ],
)
def test_gcloud_refusals(world: World, fault: str, changes: dict[str, str], told: str) -> None:
    """What gcloud is refused is told in its own words, in one line, with the service."""
    world.region.fault = fault
    with pytest.raises(ServiceError) as caught:
        world.settle(**changes)
    assert told in str(caught.value)
    assert str(caught.value).startswith("Cloud Run ")
    assert "\n" not in str(caught.value)
    assert not world.region.changes


@with_gcloud
@pytest.mark.slow
def test_gcloud_too_many(world: World) -> None:
    """A service that is asked too often is asked again."""
    world.region.too_many = 1
    world.settle()
    assert len(world.region.revisions) == 2


@with_gcloud
@pytest.mark.slow
@pytest.mark.parametrize("keeps_journal", [True, False])
@pytest.mark.parametrize("requests", range(2, 10))
def test_gcloud_cut(world: World, requests: int, keeps_journal: bool) -> None:  # noqa: FBT001
    """A run that is cut after any request, and run again, has made exactly one revision."""
    world.region.looks = 3
    with pytest.raises(Interrupted):
        world.settle(Cut(world.region, requests))
    if not keeps_journal:
        (world.folder / "journal.json").unlink(missing_ok=True)
    receipt = world.settle()
    assert len(world.region.changes) == 1
    assert len(world.region.revisions) == 2
    assert world.region.serving("viewer") == {receipt.facts["revision"]: 100}
    assert receipt.facts["old_revision"] in ({world.old} if keeps_journal else {world.old, ""})


def test_read_only(tmp_path: Path) -> None:
    """A target that may only look makes no revision."""
    target = CloudRunTarget(
        CloudRun(service="v", image=f"{NAME}@{NEW}", region="us-east1"),
        stamp(),
        Journal(tmp_path / "journal.json", SHA),
        tmp_path,
        read_only=True,
    )
    with pytest.raises(GuardError, match="expected to look only, got a new revision"):
        target.apply(plan_service(BEFORE), NO_PROGRESS)


def test_gcloud_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gcloud is missing, it is said how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    target = CloudRunTarget(
        CloudRun(service="v", image=f"{NAME}@{NEW}", region="us-east1"),
        stamp(),
        Journal(tmp_path / "journal.json", SHA),
        tmp_path,
    )
    with pytest.raises(CommandError, match="install the Google Cloud CLI"):
        target.require_access()
