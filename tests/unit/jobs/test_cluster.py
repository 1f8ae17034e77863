"""Jobs on Kubernetes: submitted once, awaited, and what is left done again."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lading.config.jobs import KubernetesJobs, PodResources
from lading.errors import Interrupted
from lading.jobs import attempt as attempts
from lading.jobs.attempt import Outcome, Work
from lading.jobs.cluster import ClusterRun, ClusterShards, cluster_work
from lading.jobs.plans import Plan, load_plan
from lading.jobs.pods import Pods
from lading.jobs.run import Run, current_run
from lading.jobs.running import Order, Telling, run_job, tell
from lading.jobs.scatter import Scatter, plan_retry, plan_work
from lading.jobs.shards import run_shard
from lading.jobs.spec import Job, Resources
from lading.k8s.cluster import JsonObject
from lading.storage import Body
from tests.fakes.kubernetes_fields import Table
from tests.fakes.kubernetes_pods import FakePod
from tests.unit.jobs.job_world import CopyArguments, World, outcome_of, plan_of, typed_job
from tests.unit.k8s.job_world import StoreCluster

IMAGE = f"registry.example/jobs@sha256:{'ab' * 32}"
OTHER = f"registry.example/jobs@sha256:{'cd' * 32}"
KUBERNETES = KubernetesJobs(context="test", namespace="data", retries=1)


class EndedError(BaseException):
    """The end of a coordinator, as by kill -9."""


@dataclass
class Site:
    """A project, a namespace, and a job whose names end as a table says."""

    world: World
    spec: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    cluster: StoreCluster = field(default_factory=StoreCluster)
    meanwhile: list[Callable[[], Any]] = field(default_factory=list)
    """What happens at the next looks, in the place of pods that run."""
    kubernetes: KubernetesJobs = KUBERNETES

    @property
    def job(self) -> Job:
        """The job."""
        return typed_job(self._do, **self.spec)

    def _do(self, arguments: CopyArguments, run: Run) -> int:
        self.seen.append(arguments.name)
        end = self.ends.get(arguments.name, 0)
        if not end:
            run.put(run.store, f"out/{arguments.name}", Body.of_bytes(b"x"))
        return end

    def take(self) -> list[str]:
        """Return what was done since this was asked."""
        seen, self.seen = self.seen, []
        return seen

    def pods(self, image: str = IMAGE, sleep: Callable[[float], None] | None = None) -> Pods:
        """Return how pods are made."""
        return Pods(
            cluster=self.cluster,
            kubernetes=self.kubernetes,
            job=self.job,
            image=image,
            sleep=sleep or self.sleep,
        )

    def sleep(self, _: float) -> None:
        """Let something happen: a moment, or a round of pods."""
        if self.meanwhile:
            self.meanwhile.pop(0)()
        else:
            self.round()

    def round(self) -> None:
        """Run a pod of each index that waits for one."""
        for name, body in self.cluster.server.jobs().items():
            self.cluster.server.pods.start(name, "data")
            for pod in self.cluster.server.pods.running(name, "data"):
                code = self._pod(body, pod)
                self.cluster.server.pods.end(name, pod.index, code)

    def _pod(self, body: Table, pod: FakePod) -> int:
        """Run a pod's arguments as the image's entry point does."""
        (container,) = body["spec"]["template"]["spec"]["containers"]
        options = {
            each.partition("=")[0]: each.partition("=")[2]
            for each in container["args"]
            if each.startswith("--")
        }
        telling = Telling(out=io.StringIO(), style="json")
        settings = self.world.settings
        assert "--wait" in options
        if "--plan" not in options:
            argv = tuple(container["args"][container["args"].index("--") + 1 :])
            return run_job(self.job, Order(argv=argv), settings, telling).exit_code
        plan = load_plan(self.world.store, options["--plan"])
        return run_shard(self.job, plan, pod.index, settings, telling)

    def scatter(self, plan: Plan, **more: Any) -> Outcome:
        """Run a plan."""
        runner = ClusterShards(pods=self.pods(**more))
        errand = Scatter(job=self.job, plan=plan, settings=self.world.settings, runner=runner)
        return self.told(lambda: plan_work(errand))

    def single(self, *argv: str, key: str = "", **more: Any) -> Outcome:
        """Run a job once."""
        pods = self.pods(**more)
        errand = ClusterRun(pods=pods, argv=argv, key=key, settings=self.world.settings)
        return self.told(lambda: cluster_work(errand))

    def told(self, make: Callable[[], Work]) -> Outcome:
        """Do some work."""
        return self.world.told(lambda telling: tell("hello", telling, make, self.world.settings))

    def jobs(self) -> dict[str, JsonObject]:
        """Return the Jobs that stand in the cluster."""
        return dict(self.cluster.server.jobs())

    def created(self) -> int:
        """Return how often a Job was to be made."""
        return self.cluster.calls.count("create")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site."""
    return Site(World(tmp_path))


def killed() -> NoReturn:
    """End the coordinator as kill -9 would, as far as a test can."""
    raise EndedError


def kill(site: Site, act: Callable[[], Outcome], after: Sequence[Callable[[], Any]] = ()) -> None:
    """Begin something, and lose its coordinator without a word."""
    end = attempts._Trial.end

    def say(trial: Any, code: int, message: str, error: BaseException | None) -> Outcome:
        return killed() if isinstance(error, EndedError) else end(trial, code, message, error)

    site.meanwhile = [*after, killed]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts._Trial, "end", say)
        with pytest.raises(EndedError):
            act()
    # its process is gone
    for path in (site.world.base / "state").rglob("runs/*.json"):
        text = path.read_text()
        if '"in progress"' in text:
            table = json.loads(text)
            table["process"] = table["process"].rpartition("/")[0] + "/0"
            path.write_text(json.dumps(table))


class TestPlan:
    """An Indexed Job."""

    def test_all_good(self, site: Site) -> None:
        """One Job with an index a shard; its manifest is what was asked for."""
        plan = plan_of("ann", "bob", "zoe", per_shard=2)
        outcome = site.scatter(plan)
        assert (outcome.exit_code, outcome.message) == (0, "3 done, 0 failed")
        assert sorted(site.take()) == ["ann", "bob", "zoe"]
        ((name, body),) = site.jobs().items()
        assert body["spec"]["completions"] == 2
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["args"] == [f"--plan={plan.digest}", "--wait=330", "hello"]
        assert container["image"] == IMAGE
        facts = outcome_of(site.world.events()[-1])
        assert facts["job"]["name"] == name
        assert facts["job"]["state"] == "complete"
        assert len(facts["heads"]) == 2
        site.world.require_whole()
        assert site.scatter(plan).exit_code == 0
        assert site.created() == 1

    def test_failed_indexes(self, site: Site) -> None:
        """65 fails its index at once, 75 after its tries; each is a dead letter."""
        site.ends = {"bad": 65, "later": 75}
        plan = plan_of("ann", "bad", "later")
        outcome = site.scatter(plan)
        assert outcome.exit_code == 75
        assert sorted(site.take()) == ["ann", "bad", "later", "later"]
        assert [each.item for each in site.world.letters()] == [
            "run --name=bad",
            "run --name=later",
        ]
        assert any("2 failed" in each for each in site.world.messages)

    def test_again(self, site: Site) -> None:
        """The same plan again is a smaller Job of what is left; a retry is the same."""
        site.ends = {"bad": 65, "worse": 65}
        plan = plan_of("ann", "bad", "worse")
        site.scatter(plan)
        site.take()
        del site.ends["bad"]
        assert site.scatter(plan).exit_code == 65
        assert sorted(site.take()) == ["bad", "worse"]
        site.ends.clear()
        small = plan_retry(plan.digest, site.job, site.world.settings)
        assert [each.name for each in small.items] == ["worse"]
        assert site.scatter(small).exit_code == 0
        assert site.take() == ["worse"]
        assert site.world.letters() == []
        assert len(site.jobs()) == 3

    def test_all_failed_again(self, site: Site) -> None:
        """Where nothing of it was done, its Job, which has failed, is made again."""
        site.ends = {"bad": 65}
        plan = plan_of("bad")
        site.scatter(plan)
        site.ends.clear()
        site.take()
        assert site.scatter(plan).exit_code == 0
        assert site.take() == ["bad"]
        assert len(site.jobs()) == 1
        assert any("it is made again" in each for each in site.world.messages)

    def test_setting(self, site: Site) -> None:
        """78 of a pod fails the Job, and the plan with it."""
        site.ends = {"wrong": 78}
        outcome = site.scatter(plan_of("ann", "wrong", "zoe"))
        assert outcome.exit_code == 78
        assert "failed with exit code 78 matching FailJob rule" in outcome.message
        assert "`kubectl logs job/hello-" in outcome.message
        assert site.world.letters() == []

    def test_coordinator_is_killed(self, site: Site) -> None:
        """The next one awaits the same Job, though some of it is done; its failures are letters."""
        site.ends = {"bad": 65}
        site.kubernetes = KUBERNETES.model_copy(update={"parallelism": 1})
        plan = plan_of("ann", "bad", "zoe")
        kill(site, lambda: site.scatter(plan), [site.round])
        assert site.take() == ["ann"]
        outcome = site.scatter(plan)
        assert outcome.exit_code == 65
        assert site.take() == ["bad", "zoe"]
        assert site.created() == 1
        assert len(site.jobs()) == 1
        assert any("was submitted before: awaited" in each for each in site.world.messages)
        assert [each.item for each in site.world.letters()] == ["run --name=bad"]
        assert site.world.kinds() == ["START", "ABORT", "START", "FAIL"]
        site.world.require_whole()

    def test_killed_and_a_new_image(self, site: Site) -> None:
        """One that goes on is awaited whatever its image's tag means by now."""
        plan = plan_of("ann")
        kill(site, lambda: site.scatter(plan))
        assert site.scatter(plan, image=OTHER).exit_code == 0
        assert len(site.jobs()) == 1

    def test_ended_while_nobody_looked(self, site: Site) -> None:
        """What is left by a Job that has ended meanwhile is done by another."""
        site.ends = {"bad": 65}
        plan = plan_of("ann", "bad")
        kill(site, lambda: site.scatter(plan))
        site.round()
        site.ends.clear()
        site.take()
        assert site.scatter(plan).exit_code == 0
        assert site.take() == ["bad"]

    def test_stopped(self, site: Site) -> None:
        """A coordinator that is asked to end leaves its Job at work: 143, given back at once."""

        def stop() -> None:
            raise Interrupted(15)

        site.meanwhile = [stop]
        plan = plan_of("ann")
        assert site.scatter(plan).exit_code == 143
        assert site.scatter(plan).exit_code == 0
        assert (site.created(), len(site.jobs())) == (1, 1)
        assert site.world.kinds() == ["START", "ABORT", "START", "COMPLETE"]

    def test_told_to_stop(self, site: Site) -> None:
        """Whoever awaits a Job looks each time whether it is to go on."""
        site.meanwhile = [lambda: current_run().stop(Interrupted(15))]
        assert site.scatter(plan_of("ann")).exit_code == 143
        assert site.take() == []

    def test_removed(self, site: Site) -> None:
        """A Job that somebody deletes before its end is 75; again makes another."""
        plan = plan_of("ann")
        site.meanwhile = [lambda: [site.cluster.delete_job(name) for name in site.jobs()]]
        outcome = site.scatter(plan)
        assert outcome.exit_code == 75
        assert "expected its end, found it removed" in outcome.message
        assert site.scatter(plan).exit_code == 0

    def test_evicted(self, site: Site) -> None:
        """An eviction counts for nothing, however often."""

        def evict() -> None:
            (name,) = site.jobs()
            site.cluster.server.pods.start(name)
            site.cluster.server.pods.evict(name)

        site.meanwhile = [evict] * 5
        assert site.scatter(plan_of("ann")).exit_code == 0
        (name,) = site.jobs()
        assert site.cluster.server.pods.ignored(name) == 5

    def test_parallelism(self, site: Site) -> None:
        """No more pods at one time than there are shards, or than the configuration says."""
        site.kubernetes = KUBERNETES.model_copy(update={"parallelism": 2})
        site.scatter(plan_of("a", "b", "c"))
        site.scatter(plan_of("d"))
        specs = sorted(body["spec"]["parallelism"] for body in site.jobs().values())
        assert specs == [1, 2]


class TestSingle:
    """One run as one Job."""

    def test_own_identity(self, site: Site) -> None:
        """It is done once: its outputs are looked at, not its Job."""
        site.spec = {"identity": ("name",)}
        assert site.single("--name=bob").exit_code == 0
        assert site.take() == ["bob"]
        assert site.single("--name=bob").exit_code == 0
        assert "its outputs stand as they were written" in site.world.messages[0]
        assert site.created() == 1
        (site.world.base / "state/out/bob").unlink()
        assert site.single("--name=bob").exit_code == 0
        assert site.take() == ["bob"]
        assert (site.created(), len(site.jobs())) == (2, 1)

    def test_without_one(self, site: Site) -> None:
        """Its Job is the lock for as long as it stands; a key makes another run."""
        for _ in range(2):
            assert site.single("--name=bob").exit_code == 0
        assert site.take() == ["bob"]
        assert "is complete since before; key=... makes another" in site.world.messages[0]
        assert site.single("--name=bob", key="again").exit_code == 0
        assert site.take() == ["bob"]
        assert len(site.jobs()) == 2

    @pytest.mark.parametrize("identity", [None, ("name",)])
    @pytest.mark.parametrize(("end", "code", "tries"), [(65, 65, 1), (78, 78, 1), (75, 75, 2)])
    def test_failures(self, site: Site, identity: Any, end: int, code: int, tries: int) -> None:
        """65 and 78 are told as they are, all else is 75; a letter stands until it is good."""
        site.spec = {"identity": identity}
        site.ends = {"bob": end}
        assert site.single("--name=bob").exit_code == code
        assert site.take() == ["bob"] * tries
        (letter,) = site.world.letters()
        assert (letter.item, letter.arguments) == ("run --name=bob", ("--name=bob",))
        site.ends.clear()
        assert site.single("--name=bob").exit_code == 0
        assert site.take() == ["bob"]
        assert site.world.letters() == []

    def test_coordinator_is_killed(self, site: Site) -> None:
        """The same command awaits the same Job."""
        kill(site, lambda: site.single("--name=bob"))
        assert site.single("--name=bob").exit_code == 0
        assert (site.take(), site.created()) == (["bob"], 1)

    def test_two_at_once(self, site: Site) -> None:
        """A second one waits for the first, and ends as it does."""
        made: list[Any] = []

        def second() -> None:
            errand = ClusterRun(
                pods=site.pods(), argv=("--name=bob",), key="", settings=site.world.settings
            )
            made.append(cluster_work(errand))

        site.meanwhile = [second]
        first = site.single("--name=bob")
        assert (made[0].joins, made[0].wait_s) == (True, 43_200)
        assert first.exit_code == 0
        assert site.created() == 1

    def test_changed_settings(self, site: Site) -> None:
        """What failed for its memory is made again with more; what runs is left as it is."""
        site.ends = {"bob": 75}
        site.single("--name=bob")
        site.ends.clear()
        site.kubernetes = KUBERNETES.model_copy(update={"memory": "4Gi"})
        assert site.single("--name=bob").exit_code == 0
        ((_, body),) = site.jobs().items()
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"] == {"memory": "4Gi"}

    def test_somebody_elses(self, site: Site) -> None:
        """A Job of its name that is not ours is never removed: 78."""
        site.single("--name=bob")
        ((name, body),) = site.jobs().items()
        site.cluster.delete_job(name)
        theirs = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
        pod = body["spec"]["template"]["spec"]
        plain = {
            "restartPolicy": "Never",
            "containers": pod["containers"],
            "volumes": pod["volumes"],
        }
        site.cluster.server.create_plain("data", {**theirs, "spec": {"template": {"spec": plain}}})
        outcome = site.single("--name=bob")
        assert outcome.exit_code == 78
        assert "expected none, or one labelled" in outcome.message
        assert list(site.jobs()) == [name]

    def test_does_not_go(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Job that is deleted and does not go is told after some minutes."""
        site.ends = {"bob": 65}
        site.single("--name=bob")
        monkeypatch.setattr(site.cluster, "delete_job", lambda _: True)
        outcome = site.single("--name=bob")
        assert outcome.exit_code == 78
        assert "expected it gone, found it still there" in outcome.message

    def test_resources(self, site: Site) -> None:
        """What the specification asks for goes before what the configuration says."""
        site.spec = {"resources": Resources(cpu="2")}
        site.single()
        ((_, body),) = site.jobs().items()
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
        assert container["args"] == ["--wait=330", "hello"]

    def test_resources_of_the_configuration(self, site: Site) -> None:
        """What the configuration says of this job goes before what the job asks for."""
        site.spec = {"resources": Resources(cpu="2", memory="4Gi")}
        told = {"hello": PodResources(cpu="250m"), "other": PodResources(memory="9Gi")}
        site.kubernetes = site.kubernetes.model_copy(update={"resources": told})
        site.single()
        ((_, body),) = site.jobs().items()
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == {"cpu": "250m", "memory": "4Gi"}
