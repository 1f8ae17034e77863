"""A cleanup holds: all of a staged version goes, nothing else does, cut wherever it may be."""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from lading.errors import ClusterError, GuardError, Interrupted, LadingError, RefusedError
from lading.k8s.cleanup_plan import CleanupPlan, Running, plan_cleanup
from lading.k8s.cleanup_result import CleanupResult
from lading.k8s.cleanup_standing import BranchStanding, Record, Standing, parse_standing
from lading.k8s.identity import CLEANUP, MANAGED_BY, MONITOR, RELEASE, Identity
from lading.k8s.identity import COMMIT as COMMIT_NOTE
from lading.k8s.identity import VERSION as VERSION_NOTE
from lading.storage.progress import Progress
from tests.unit.k8s.cleanup_world import (
    ASKED,
    BRANCH,
    COMMIT,
    NO_CLUSTER,
    OTHER_COMMIT,
    REFUSED,
    STAGED,
    STORE,
    UNREACHED,
    Body,
    CutError,
    World,
    cron_job,
    job_of,
)

STEM = "staging-noaa-gfs-analysis-v0-3-0"
UPDATE, VALIDATE, ARCHIVE = f"{STEM}-update", f"{STEM}-validate", f"{STEM}-archive-grib-files"
ROLES = ("update", "validate", "archive-grib-files")
PRODUCTION = replace(STAGED, environment="production", branch="main")
NEIGHBOUR = replace(STAGED, version="0.4.0", branch="stage/noaa-gfs-analysis/v0.4.0")
ELSEWHERE = replace(STAGED, project="energy")


def others() -> list[Body]:
    """Return CronJobs that are none of this version's business."""
    foreign = cron_job(name="backup", monitor="")
    foreign["metadata"] |= {"labels": {"app": "backup"}, "annotations": {}}
    return [
        cron_job(PRODUCTION, name="noaa-gfs-analysis-update"),
        cron_job(NEIGHBOUR),
        cron_job(ELSEWHERE, name="staging-energy-update"),
        foreign,
    ]


@pytest.fixture
def world() -> World:
    """A version with three CronJobs, among others."""
    return World(*(cron_job(role=role) for role in ROLES), *others())


REST = sorted(each["metadata"]["name"] for each in others())
REST_SLUGS = sorted(set(REST) - {"backup"})


def clean(world: World, **options: Any) -> CleanupResult:
    """Clean up, as the task does."""
    cleanup = world.cleanup(**options)
    return cleanup.apply(cleanup.plan(cleanup.observe()))


def rerun(world: World, **options: Any) -> CleanupResult:
    """Clean up again, with nothing in the way any more."""
    world.faults, world.cut_at, world.effects = {}, 0, []
    return clean(world, **options)


def assert_gone(world: World) -> None:
    """Hold that nothing of the version is there, and all else is."""
    assert sorted(world.bodies) == REST
    assert sorted(world.slugs) == REST_SLUGS
    assert world.branch is None
    for before in others():
        assert world.bodies[before["metadata"]["name"]] == before


def standing_of(
    *bodies: Body, jobs: tuple[Body, ...] = (), commit: str | None = COMMIT, fault: str = ""
) -> Standing:
    """Return what stands, parsed."""
    return parse_standing(ASKED, "kind/weather", bodies, jobs, BranchStanding(commit, fault))


def planned(standing: Standing, running: Running = "wait", **options: Any) -> CleanupPlan:
    """Return a plan."""
    return plan_cleanup(standing, BRANCH, running=running, **options)


def ended_and_running(owner: Body) -> tuple[Body, ...]:
    """Return Jobs of all kinds: two that have ended, two that have not."""
    failing = job_of(owner, 4)
    failing["status"]["conditions"] = [
        {"type": "Failed", "status": "False"},
        {"type": "FailureTarget", "status": "True"},
    ]
    return job_of(owner, 1, "Complete"), job_of(owner, 2, "Failed"), job_of(owner, 3), failing


class TestStanding:
    """What belongs to a version is told by label and annotations together."""

    def test_ours(self) -> None:
        """CronJobs of the label are found, whatever they are called; others are not."""
        bodies = [cron_job(name="renamed-by-an-old-rule"), *others(), cron_job(role="validate")]
        standing = standing_of(*bodies)

        assert [each.name for each in standing.cron_jobs] == ["renamed-by-an-old-rule", VALIDATE]
        known = standing.cron_jobs[0].known
        assert (known.commits, known.branch, known.stores) == ((COMMIT,), BRANCH, (STORE,))
        assert known.monitors == ("renamed-by-an-old-rule",)
        assert not standing.strays

    @pytest.mark.parametrize(
        ("notes", "said"),
        [
            ({VERSION_NOTE: "0.4.0"}, "found staging noaa-gfs-analysis 0.4.0"),
            ({"lading/environment": "production"}, "found production noaa-gfs-analysis 0.3.0"),
            ({"lading/dataset": "other"}, "found staging other 0.3.0"),
            ({"lading/project": "energy"}, "of project 'energy'"),
            ({"lading/dataset": None}, "found none of Lading's"),
            ({MANAGED_BY: "helm"}, "found none of Lading's"),
            ({CLEANUP: "no json"}, "expected the record of a cleanup"),
            ({CLEANUP: '{"monitors": "a"}'}, "expected the record of a cleanup"),
            ({CLEANUP: "[]"}, "expected the record of a cleanup"),
        ],
    )
    def test_contradictions(self, world: World, notes: dict[str, str | None], said: str) -> None:
        """An object of the label that says it is another is an error; nothing is touched."""
        for name in (UPDATE, VALIDATE):
            meta = world.bodies[name]["metadata"]
            for key, value in notes.items():
                place = meta["labels" if key == MANAGED_BY else "annotations"]
                place.pop(key, None)
                place |= {key: value} if value else {}
        before = copy.deepcopy(world.bodies)

        with pytest.raises(ClusterError, match="nothing was changed") as caught:
            clean(world)
        lines = str(caught.value).splitlines()
        assert len(lines) == 2
        assert all(said in line and "kind/weather: CronJob staging" in line for line in lines)
        assert (world.bodies, world.effects) == (before, [])

    def test_production_label(self, world: World) -> None:
        """A production CronJob to which somebody gave the version's label is never touched."""
        body = world.bodies["noaa-gfs-analysis-update"]
        body["metadata"]["labels"][RELEASE] = STAGED.release

        with pytest.raises(ClusterError, match="found production"):
            clean(world)
        assert world.effects == []

    def test_running(self) -> None:
        """A Job runs until it is complete or has failed; when it began is told."""
        owner = cron_job()
        standing = standing_of(owner, jobs=ended_and_running(owner))

        assert [each.name for each in standing.jobs] == [f"{UPDATE}-3", f"{UPDATE}-4"]
        assert standing.jobs[0].since == "2025-02-05T06:00:01Z"
        assert standing.jobs[0].monitor == UPDATE

    def test_owners(self) -> None:
        """An orphan of the label is ours; a Job of another CronJob that stands is not."""
        ours, theirs = cron_job(), others()[0]
        orphan, foreign, old = job_of(ours, 1), job_of(theirs, 2), job_of(cron_job(name="old"), 3)
        del orphan["metadata"]["ownerReferences"], orphan["status"]["startTime"]
        standing = standing_of(ours, theirs, jobs=(orphan, foreign, old))

        assert [each.name for each in standing.jobs] == ["old-3", f"{UPDATE}-1"]
        assert standing.jobs[1].since == "2025-02-05T06:00:00Z"

    def test_active(self) -> None:
        """A Job without the label is found where its CronJob names it as active."""
        owner = cron_job()
        owner["status"]["active"] = [{"name": "of-before"}, {"name": f"{UPDATE}-1"}]
        standing = standing_of(owner, jobs=(job_of(owner, 1, "Complete"),))

        assert [each.name for each in standing.jobs] == ["of-before"]

    def test_record(self) -> None:
        """A record is read back as it was written, and equal records are equal texts."""
        record = Record(names=("a",), monitors=("m", "n"), branch=BRANCH, commits=("c",))
        body = cron_job()
        body["metadata"]["annotations"][CLEANUP] = record.render()
        standing = standing_of(body)

        assert standing.cron_jobs[0].record == record
        assert record.merge(record).render() == record.render()
        merged = planned(standing).record
        assert merged.names == ("a", UPDATE)
        assert merged.monitors == ("m", "n", UPDATE)
        assert merged.commits == (COMMIT, "c")


class TestPlan:
    """A plan tells what would be done, and to what."""

    def test_rows(self) -> None:
        """Every object has its row: CronJobs, running Jobs, monitors, branch, stores."""
        first, second = cron_job(), cron_job(role="validate")
        second["spec"]["suspend"] = True

        assert planned(standing_of(first, second, jobs=(job_of(first),))).describe() == [
            f"CronJob {UPDATE}: delete, suspended first, the last: it remembers the rest",
            f"CronJob {VALIDATE}: delete, suspended already",
            f"Job {UPDATE}-1: wait, runs since 2025-02-05T06:00:01Z",
            f"monitor {UPDATE}: delete",
            f"monitor {VALIDATE}: delete",
            f"branch {BRANCH}: delete, it stands at aaaaaaa, which was deployed",
            f"store {STORE}: keep, its data is never deleted here",
        ]

    def test_orphan(self) -> None:
        """A Job that runs on keeps its monitor: it would bring it back."""
        first, second = cron_job(), cron_job(role="validate")
        plan = planned(standing_of(first, second, jobs=(job_of(first),)), "orphan")

        assert (
            plan.of("Job")[0].describe() == f"Job {UPDATE}-1: runs on, since 2025-02-05T06:00:01Z"
        )
        assert [each.action for each in plan.of("monitor")] == ["leave", "delete"]
        assert f"{UPDATE}-1 runs on and would bring it back" in plan.of("monitor")[0].why

    def test_orphans_alone(self) -> None:
        """Without a CronJob nothing waits for the Jobs that one has left."""
        orphan = job_of(cron_job())
        del orphan["metadata"]["ownerReferences"]

        assert planned(standing_of(jobs=(orphan,))).of("Job")[0].action == "run on"

    @pytest.mark.parametrize(
        ("commit", "known", "action", "said"),
        [
            (COMMIT, "", "delete", "which was deployed"),
            (COMMIT, OTHER_COMMIT, "delete", "which was deployed"),
            (OTHER_COMMIT, "", "leave", "stands at bbbbbbb, not at aaaaaaa"),
            (OTHER_COMMIT, OTHER_COMMIT, "leave", "not at aaaaaaa"),
            (None, "", "absent", ""),
        ],
    )
    def test_branch(self, commit: str | None, known: str, action: str, said: str) -> None:
        """A branch goes only where it stands at what was deployed; live truth beats a receipt."""
        step = planned(standing_of(cron_job(), commit=commit), known_commit=known).of("branch")[0]

        assert step.action == action
        assert said in step.why
        if action == "leave":
            lease = f"--force-with-lease={BRANCH}:{OTHER_COMMIT}"
            assert f"`git push {lease} origin :{BRANCH}`" in step.why

    @pytest.mark.parametrize(("known", "action"), [("", "leave"), (COMMIT, "delete")])
    def test_known_commit(self, known: str, action: str) -> None:
        """Without a CronJob the receipt tells what was deployed; without it nobody does."""
        step = planned(standing_of(), known_commit=known).of("branch")[0]

        assert step.action == action
        if not known:
            assert "nothing tells the deployed one" in step.why

    def test_two_commits(self) -> None:
        """Of a rollout that was cut, either commit is one that was deployed."""
        late = cron_job(replace(STAGED, commit=OTHER_COMMIT), "validate")
        for commit in (COMMIT, OTHER_COMMIT):
            plan = planned(standing_of(cron_job(), late, commit=commit))
            assert plan.of("branch")[0].action == "delete"

    def test_taken(self) -> None:
        """A monitor that another CronJob uses is kept, by slug or by name."""
        ours = [cron_job(monitor="shared"), cron_job(role="validate", monitor="backup")]
        named = cron_job(NEIGHBOUR, monitor="shared")
        plan = planned(standing_of(*ours, named, others()[3]))

        assert [(each.name, each.action) for each in plan.of("monitor")] == [
            ("backup", "keep"),
            ("shared", "keep"),
        ]

    @pytest.mark.parametrize(
        ("standing", "is_empty"),
        [
            (standing_of(commit=None), True),
            (standing_of(*others(), commit=None), True),
            (standing_of(), False),
            (standing_of(commit=None, fault="no answer"), False),
            (standing_of(cron_job(), commit=None), False),
        ],
    )
    def test_empty(self, standing: Standing, is_empty: bool) -> None:  # noqa: FBT001  a table
        """A plan is empty where nothing of the version is there, or may be."""
        assert planned(standing).is_empty is is_empty

    @pytest.mark.parametrize("identity", [PRODUCTION, replace(ASKED, version="")])
    def test_production(self, world: World, identity: Identity) -> None:
        """Production is refused outright."""
        with pytest.raises(RefusedError, match="production is never cleaned up"):
            world.cleanup(identity=identity)


class TestApply:
    """All of a version goes, in an order in which nothing comes back."""

    def test_all(self, world: World) -> None:
        """CronJobs, monitors and branch go, all else stays; the second time there is nothing."""
        cleanup = world.cleanup()
        result = cleanup.apply(cleanup.plan(cleanup.observe()))

        assert_gone(world)
        assert result.left == ()
        assert cleanup.prove() == ()
        assert set(result.done) == {
            *(f"CronJob {name}: deleted" for name in (UPDATE, VALIDATE, ARCHIVE)),
            *(f"monitor {name}: deleted" for name in (UPDATE, VALIDATE, ARCHIVE)),
            f"branch {BRANCH}: deleted",
            f"store {STORE}: kept, its data is never deleted here",
        }
        again = rerun(world)
        assert (again.done, again.left) == ((f"branch {BRANCH}: was absent",), ())
        assert not again.has_changed
        assert world.effects == []

    def test_order(self, world: World) -> None:
        """Suspended first, then written down, then deleted; the record goes last."""
        clean(world)

        kinds = [each.split()[0] for each in world.effects]
        assert kinds == [
            *["suspend"] * 3,
            "annotate",
            *["delete"] * 2,
            *["monitor"] * 3,
            "branch",
            "delete",
        ]
        assert world.effects[3] == f"annotate {ARCHIVE}"
        assert world.effects[-1] == f"delete {ARCHIVE}"

    def test_one(self) -> None:
        """A single CronJob remembers itself: nothing is written."""
        world = World(cron_job(), *others())
        assert clean(world).left == ()

        assert_gone(world)
        assert not [each for each in world.effects if each.startswith("annotate")]

    def test_waits(self, world: World) -> None:
        """Running Jobs are waited for, their last check-in too, and then all is gone."""
        world.start(job_of(world.bodies[UPDATE]), job_of(world.bodies[VALIDATE], 1, "Complete"))
        world.ends = {f"{UPDATE}-1": 600}

        assert clean(world).left == ()
        assert_gone(world)
        assert 600 <= world.now < 620
        assert world.all_jobs == {}

    def test_waits_in_vain(self, world: World) -> None:
        """A Job that does not end is named, and nothing deleted; then the same command goes on."""
        world.start(job_of(world.bodies[UPDATE]))
        cleanup = world.cleanup(wait_s=60)
        result = cleanup.apply(cleanup.plan(cleanup.observe()))

        assert len(result.left) == 7
        assert all(f"{UPDATE}-1 (since 2025-02-05T06:00:01Z)" in each for each in result.left)
        assert {each.split()[0] for each in world.effects} == {"suspend"}
        assert cleanup.prove() == ()
        assert world.now < 70
        world.ends = {f"{UPDATE}-1": 0}
        world.sleep(1)
        assert rerun(world).left == ()
        assert_gone(world)

    def test_waits_without_branch(self, world: World) -> None:
        """What was absent before a wait in vain is not called left."""
        world.start(job_of(world.bodies[UPDATE]))
        world.branch = None
        result = clean(world, wait_s=0)

        assert f"branch {BRANCH}: was absent" in result.done
        assert len(result.left) == 6

    def test_waits_without_token(self, world: World) -> None:
        """What could not be done anyway, or is not asked for, is told as that."""
        world.start(job_of(world.bodies[UPDATE]))
        meta = world.bodies[VALIDATE]["metadata"]
        meta["annotations"][MONITOR] = "backup"
        result = clean(world, wait_s=0, monitors=None)

        assert f"monitor {UPDATE}: no SENTRY_AUTH_TOKEN" in result.left
        assert "monitor backup: kept, CronJob backup uses it, too" in result.done

    def test_late_job(self, world: World) -> None:
        """A Job that the controller starts while it is told to stop is waited for, too."""
        sleep, job = world.sleep, job_of(world.bodies[UPDATE])

        def start(seconds: float) -> None:
            if not world.now:
                world.start(job)
                world.ends = {f"{UPDATE}-1": 30}
            sleep(seconds)

        world.sleep = start  # type: ignore[method-assign]
        assert clean(world).left == ()
        assert_gone(world)
        assert world.now >= 30

    def test_looks_again(self, world: World) -> None:
        """A branch that moves while Jobs are waited for is seen where it is."""
        world.start(job_of(world.bodies[UPDATE]))
        world.ends = {f"{UPDATE}-1": 60}
        sleep = world.sleep

        def push(seconds: float) -> None:
            sleep(seconds)
            world.branch = OTHER_COMMIT

        world.sleep = push  # type: ignore[method-assign]
        left = clean(world).left
        assert "stands at bbbbbbb, not at aaaaaaa" in left[0]
        assert world.branch == OTHER_COMMIT

    def test_record_stays(self, world: World) -> None:
        """Where a record is found it stays, and its CronJob goes last."""
        cleanup = world.cleanup()
        record = cleanup.plan(cleanup.observe()).record
        world.bodies[UPDATE]["metadata"]["annotations"][CLEANUP] = record.render()

        assert clean(world).left == ()
        assert_gone(world)
        assert world.effects[-1] == f"delete {UPDATE}"
        assert not [each for each in world.effects if each.startswith("annotate")]

    def test_can_be_stopped(self, world: World) -> None:
        """A run that is asked to end stops within a wait."""
        world.start(job_of(world.bodies[UPDATE]))

        class Stopping(Progress):
            def relative_update(self, inc: int = 1) -> None:
                del inc
                if world.now > 20:
                    raise Interrupted(15)

        cleanup = world.cleanup()
        with pytest.raises(Interrupted):
            cleanup.apply(cleanup.plan(cleanup.observe()), Stopping())
        assert world.now < 25

    def test_resumed(self, world: World) -> None:
        """What is rolled out anew while Jobs are waited for is not deleted."""
        world.start(job_of(world.bodies[UPDATE]))
        world.ends = {f"{UPDATE}-1": 100}
        sleep = world.sleep

        def rolled_out(seconds: float) -> None:
            sleep(seconds)
            world.bodies[UPDATE]["spec"]["suspend"] = world.now < 50

        world.sleep = rolled_out  # type: ignore[method-assign]
        result = clean(world)

        assert len(result.left) == 7
        assert all(f"somebody has resumed {UPDATE}" in each for each in result.left)
        assert {each.split()[0] for each in world.effects} == {"suspend"}

    def test_orphan(self, world: World) -> None:
        """Jobs run on without their CronJob; what they would bring back is left until they end."""
        world.start(job_of(world.bodies[UPDATE]))
        world.lag = 2
        result = clean(world, running="orphan")

        assert sorted(world.bodies) == sorted([*REST, ARCHIVE])
        assert world.running == [f"{UPDATE}-1"]
        assert [each.split(":")[0] for each in result.left] == [
            f"monitor {UPDATE}",
            f"CronJob {ARCHIVE}",
        ]
        assert sorted(world.slugs) == sorted([*REST_SLUGS, UPDATE])
        assert world.branch is None
        world.ends = {f"{UPDATE}-1": 300}
        assert rerun(world).left == ()
        assert_gone(world)

    def test_orphan_unwatched(self) -> None:
        """A Job that nobody watches runs on, and all is gone at once."""
        world = World(cron_job(monitor=""), cron_job(role="validate", monitor=""), *others())
        world.start(job_of(world.bodies[UPDATE]))

        assert clean(world, running="orphan").left == ()
        assert_gone(world)
        assert world.running == [f"{UPDATE}-1"]

    def test_slow_deletion(self, world: World) -> None:
        """A deletion is believed when the CronJob is gone."""
        world.lag = 5
        assert clean(world).left == ()
        assert_gone(world)

    def test_endless_deletion(self, world: World) -> None:
        """A CronJob that stays although its deletion was accepted is left."""
        world.lag = 10_000
        result = clean(world)

        assert [each.split(":")[0] for each in result.left] == [
            f"CronJob {UPDATE}",
            f"CronJob {VALIDATE}",
            f"CronJob {ARCHIVE}",
        ]
        assert "is still there" in result.left[0]

    def test_deleted_meanwhile(self, world: World) -> None:
        """What somebody else has deleted since the plan was absent; what it knew is not lost."""
        cleanup = world.cleanup()
        plan = cleanup.plan(cleanup.observe())
        del world.bodies[ARCHIVE]
        result = cleanup.apply(plan)

        assert f"CronJob {ARCHIVE}: was absent" in result.done
        assert result.left == ()
        assert sorted(world.bodies) == REST
        assert world.branch is None

    def test_stray(self, world: World) -> None:
        """A CronJob that lost its label is named and left, not forgotten and not touched."""
        del world.bodies[VALIDATE]["metadata"]["labels"][RELEASE]
        cleanup = world.cleanup()
        result = cleanup.apply(cleanup.plan(cleanup.observe()))

        assert [each.split(",")[0] for each in result.left] == [
            f"CronJob {VALIDATE}: it says that it belongs to this version"
        ]
        assert VALIDATE in world.bodies
        assert "suspend" not in world.bodies[VALIDATE]["spec"]
        assert cleanup.prove() == ()


class TestLeft:
    """What fails stops nothing else, is told, and is finished by the same command."""

    def test_monitor_refused(self, world: World) -> None:
        """A Sentry that refuses leaves one suspended CronJob, which remembers; then all goes."""
        world.faults = {"monitor": REFUSED}
        cleanup = world.cleanup()
        result = cleanup.apply(cleanup.plan(cleanup.observe()))

        assert sorted(world.bodies) == sorted([*REST, ARCHIVE])
        assert world.bodies[ARCHIVE]["spec"]["suspend"]
        assert world.branch is None
        assert [each.split(":")[0] for each in result.left] == [
            *(f"monitor {name}" for name in (ARCHIVE, UPDATE, VALIDATE)),
            f"CronJob {ARCHIVE}",
        ]
        assert "403" in result.left[0]
        assert cleanup.prove() == ()
        again = rerun(world)
        assert again.left == ()
        assert f"CronJob {UPDATE}: was absent" in again.done
        assert_gone(world)

    def test_one_monitor_refused(self, world: World) -> None:
        """One monitor that fails does not keep the others."""
        world.faults = {f"monitor {UPDATE}": REFUSED}

        assert len(clean(world).left) == 2
        assert sorted(world.slugs) == sorted([*REST_SLUGS, UPDATE])
        assert rerun(world).left == ()
        assert_gone(world)

    def test_no_token(self, world: World) -> None:
        """Without a token the slugs are told once, and the rest is finished."""
        result = clean(world, monitors=None)

        assert result.left == tuple(
            f"monitor {name}: no SENTRY_AUTH_TOKEN" for name in (ARCHIVE, UPDATE, VALIDATE)
        )
        assert sorted(world.bodies) == REST
        assert world.branch is None
        assert rerun(world, monitors=None).left == ()

    def test_unwatched_without_token(self) -> None:
        """Who has no monitors needs no token."""
        world = World(cron_job(monitor=""), *others())
        assert clean(world, monitors=None).left == ()

    def test_branch_moved(self, world: World) -> None:
        """A branch that has moved is left, all else goes but the record; a person decides."""
        world.branch = OTHER_COMMIT
        cleanup = world.cleanup()
        result = cleanup.apply(cleanup.plan(cleanup.observe()))

        assert [each.split(":")[0] for each in result.left] == [
            f"branch {BRANCH}",
            f"CronJob {ARCHIVE}",
        ]
        assert f"origin :{BRANCH}`" in result.left[0]
        assert sorted(world.slugs) == REST_SLUGS
        assert world.branch == OTHER_COMMIT
        assert cleanup.prove() == ()
        world.branch = None
        assert rerun(world).left == ()
        assert_gone(world)

    def test_branch_moves_late(self, world: World) -> None:
        """A branch that moves between the look and its deletion stays."""
        branch = world.as_branch()
        answers = [COMMIT, COMMIT, OTHER_COMMIT]
        branch.standing = lambda: answers.pop(0)  # type: ignore[method-assign]
        world.as_branch = lambda: branch  # type: ignore[method-assign]
        cleanup = world.cleanup()
        plan = cleanup.plan(cleanup.observe())
        world.branch = OTHER_COMMIT
        result = cleanup.apply(plan)

        assert f"branch {BRANCH}: {BRANCH}: expected {COMMIT}, found {OTHER_COMMIT}" in result.left
        assert world.branch == OTHER_COMMIT

    @pytest.mark.parametrize("call", ["standing", "branch"])
    def test_remote_away(self, world: World, call: str) -> None:
        """A remote that does not answer is told; all else goes but the record."""
        world.faults = {call: UNREACHED}
        result = clean(world)

        assert len(result.left) == 2
        assert "expected to tell its refs" in result.left[0]
        assert sorted(world.bodies) == sorted([*REST, ARCHIVE])
        assert rerun(world).left == ()
        assert_gone(world)

    def test_lost_answer(self, world: World) -> None:
        """A branch that is gone is gone, whatever was answered."""
        delete = world.delete_branch

        def lost(commit: str) -> None:
            delete(commit)
            raise UNREACHED

        world.delete_branch = lost  # type: ignore[method-assign]
        assert clean(world).left == ()
        assert_gone(world)

    def test_receipt(self, world: World) -> None:
        """Where only the branch is there, the receipt's commit decides; without one it is left."""
        for name in (UPDATE, VALIDATE, ARCHIVE):
            del world.bodies[name]

        unknown = clean(world)
        assert [each.split(":")[0] for each in unknown.left] == [f"branch {BRANCH}"]
        assert world.branch == COMMIT
        assert clean(world, known_commit=COMMIT).done == (f"branch {BRANCH}: deleted",)
        assert world.branch is None

    @pytest.mark.parametrize("call", ["cron_jobs", "suspend", "annotate", "delete"])
    def test_cluster_refuses(self, world: World, call: str) -> None:
        """A cluster that refuses ends the cleanup as it says; the same command goes on."""
        world.faults = {call: NO_CLUSTER}

        with pytest.raises(ClusterError, match="expected an answer"):
            clean(world)
        assert sorted(world.slugs) == sorted([*REST_SLUGS, UPDATE, VALIDATE, ARCHIVE])
        assert rerun(world).left == ()
        assert_gone(world)

    @pytest.mark.parametrize("fault", [GuardError("x"), Interrupted(15)])
    @pytest.mark.parametrize("call", ["monitor", "branch", "standing"])
    def test_no_fault(self, world: World, call: str, fault: LadingError) -> None:
        """What must end a run is not taken for a monitor's or a remote's fault."""
        world.faults = {call: fault}

        with pytest.raises(type(fault)):
            clean(world)

    def test_comes_back(self, world: World) -> None:
        """What is there again when it is proved is told."""
        cleanup = world.cleanup()
        cleanup.apply(cleanup.plan(cleanup.observe()))
        world.bodies[UPDATE] = cron_job()
        world.branch = COMMIT

        assert cleanup.prove() == (
            f"CronJob {UPDATE}: is there, or there again",
            f"branch {BRANCH}: is there, or there again",
        )


def _with_jobs(world: World) -> None:
    world.start(job_of(world.bodies[UPDATE]), job_of(world.bodies[VALIDATE], 1, "Failed"))
    world.ends = {f"{UPDATE}-1": 60}


def _forget_commits(world: World) -> None:
    """Leave commit and monitor on one CronJob only, which does not go last."""
    for name in (UPDATE, ARCHIVE):
        del world.bodies[name]["metadata"]["annotations"][COMMIT_NOTE]
        del world.bodies[name]["metadata"]["annotations"][MONITOR]
        world.slugs.discard(name)


SCENES: dict[str, tuple[dict[str, Any], Callable[[World], None]]] = {
    "plain": ({}, lambda _: None),
    "waits": ({}, _with_jobs),
    "orphan": ({"running": "orphan"}, _with_jobs),
    "no token": ({"monitors": None}, lambda _: None),
    "slow": ({}, lambda world: setattr(world, "lag", 2)),
    "no commit": ({}, _forget_commits),
}


@pytest.mark.parametrize("cut_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scene", list(SCENES))
def test_cut(scene: str, cut_after: bool) -> None:  # noqa: FBT001  a table
    """Killed before or after any effect, and once more, it comes to the same end."""
    options, prepare = SCENES[scene]
    for number in range(1, 40):
        world = World(*(cron_job(role=role) for role in ROLES), *others())
        prepare(world)
        slugs = set(world.slugs)
        world.cut_at, world.cut_after = number, cut_after
        try:
            clean(world, **options)
        except CutError:
            pass
        else:
            assert number > 8, "the cuts have missed the effects"
            break
        finish(world, options, slugs)
    else:
        pytest.fail("the cleanup had no end")


def finish(world: World, options: dict[str, Any], slugs: set[str]) -> None:
    """Run again, be cut at the second effect, run to the end, and hold that it is one."""
    world.effects, world.cut_at = [], 2
    with suppress(CutError):
        clean(world, **options)
    world.cut_at = 0
    for _ in range(100):
        world.sleep(1)  # what runs on comes to its end
    result = rerun(world, **options)
    if "monitors" not in options:
        assert result.left == ()
    else:
        assert {each.split(":")[1] for each in result.left} <= {" no SENTRY_AUTH_TOKEN"}
        world.slugs -= slugs - set(REST_SLUGS)
    assert_gone(world)
