"""A Job is submitted once, whatever is lost on the way, and awaited to its end."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lading.errors import ClusterError, UnansweredError
from lading.k8s.identity import SPEC
from lading.k8s.job_state import JobState
from lading.k8s.jobs import build_job
from lading.k8s.submit import Submitted, await_end, submit
from tests.unit.k8s.job_world import Clock, StoreCluster, order

if TYPE_CHECKING:
    from lading.k8s.cluster import JobCluster, JsonObject

LOST = UnansweredError("test/data: expected an answer, got EOF")
PLAN = order(plan="5a" * 32, completions=4, parallelism=4, retries=1)
BODY = build_job(PLAN)
NAME = PLAN.name


@pytest.fixture
def cluster() -> StoreCluster:
    """An empty namespace."""
    return StoreCluster()


class TestSubmit:
    """Creating is the lock."""

    def test_once(self, cluster: StoreCluster) -> None:
        """The first one makes the Job, the second finds it and goes on with it."""
        asked: JobCluster = cluster
        first, second = submit(asked, BODY), submit(asked, BODY)
        assert (first.created, second.created) == (True, False)
        assert first.uid == second.uid == cluster.server.jobs()[NAME]["metadata"]["uid"]
        assert first.name == NAME
        assert len(cluster.server.jobs()) == 1

    def test_other_settings(self, cluster: StoreCluster) -> None:
        """The same work with other settings is refused with both digests; nothing is changed."""
        submit(cluster, BODY)
        before = copy.deepcopy(cluster.server.jobs())
        other = build_job(order(plan="5a" * 32, completions=4, deadline_s=1))
        specs = [each["metadata"]["annotations"][SPEC][:12] for each in (other, BODY)]
        words = f"test/data: Job {NAME}: expected the spec {specs[0]}, found {specs[1]}; the same"
        with pytest.raises(ClusterError, match=words):
            submit(cluster, other)
        assert cluster.server.jobs() == before

    def test_somebody_elses(self, cluster: StoreCluster) -> None:
        """A Job of that name that is not ours is left alone, even with the same annotation."""
        theirs = copy.deepcopy(BODY)
        theirs["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "helm"}
        cluster.server.create_plain("data", theirs)
        with pytest.raises(ClusterError, match=r"expected none, or one labelled .*found another"):
            submit(cluster, BODY)

    def test_without_a_digest(self, cluster: StoreCluster) -> None:
        """One of ours that does not say what it runs is told as that."""
        bare = copy.deepcopy(BODY)
        del bare["metadata"]["annotations"][SPEC]
        cluster.server.create_plain("data", bare)
        with pytest.raises(ClusterError, match="found none; the same work"):
            submit(cluster, BODY)

    def test_being_deleted(self, cluster: StoreCluster) -> None:
        """A Job that is being deleted is not waited for."""
        submit(cluster, BODY)
        held = cluster.server.store.objects["jobs", "data", NAME]
        held["metadata"]["deletionTimestamp"] = "2025-02-05T04:00:00Z"
        with pytest.raises(ClusterError, match="found it being deleted; run the same command"):
            submit(cluster, BODY)

    def test_lost_answer(self, cluster: StoreCluster) -> None:
        """A Job whose making was never answered is found standing."""
        cluster.after = LOST
        found = submit(cluster, BODY)
        assert not found.created
        assert found.uid == cluster.server.jobs()[NAME]["metadata"]["uid"]

    def test_never_arrived(self, cluster: StoreCluster) -> None:
        """Where nothing stands after a lost answer, that is told: nobody knows."""
        cluster.faults = [LOST]
        with pytest.raises(UnansweredError):
            submit(cluster, BODY)
        assert cluster.server.jobs() == {}
        assert submit(cluster, BODY).created

    def test_removed_in_between(self, cluster: StoreCluster) -> None:
        """A Job that stood there and is removed at that moment is made anew."""
        submit(cluster, BODY)

        class Removing(StoreCluster):
            def job(self, name: str) -> "JsonObject | None":
                if self.calls.count("job") == 0:
                    self.delete_job(name)
                return super().job(name)

        removing = Removing()
        removing.server = cluster.server
        assert submit(removing, BODY).created
        assert removing.calls == ["create", "delete", "job", "create", "job"]

    def test_gone_at_once(self) -> None:
        """A Job that is made and not there is told: done means observed."""

        class Forgetting(StoreCluster):
            def job(self, name: str) -> None:
                del name

        with pytest.raises(ClusterError, match="expected it in the cluster, found it removed"):
            submit(Forgetting(), BODY)

    def test_refused(self, cluster: StoreCluster) -> None:
        """What the API refuses is told in its words."""
        body = copy.deepcopy(BODY)
        body["metadata"]["name"] = "x" * 62
        with pytest.raises(ClusterError, match="will not able to create pod with invalid DNS"):
            submit(cluster, body)


class TestAwait:
    """Waiting for the end."""

    def wait(
        self, cluster: StoreCluster, *steps: Callable[[], object], patience_s: float = 60
    ) -> tuple[JobState, list[JobState]]:
        """Wait for the Job, while something happens at each pause; return all that was told."""
        job, told = submit(cluster, BODY), list[JobState]()
        cluster.clock.at_sleep = list(steps)
        state = await_end(
            cluster,
            job,
            progress=told.append,
            sleep=cluster.clock.sleep,
            clock=cluster.clock,
            patience_s=patience_s,
        )
        return state, told

    def start(self, cluster: StoreCluster) -> Callable[[], object]:
        """Return what starts the pods."""
        return lambda: cluster.server.pods.start(NAME)

    def end(self, cluster: StoreCluster, **codes: int) -> Callable[[], None]:
        """Return what ends pods: ``i0=65`` is index 0 with exit code 65."""

        def act() -> None:
            for index, code in codes.items():
                cluster.server.pods.end(NAME, int(index[1:]), code)

        return act

    def test_complete(self, cluster: StoreCluster) -> None:
        """All indexes done is complete; what happens until then is told."""
        state, told = self.wait(
            cluster,
            self.start(cluster),
            self.end(cluster, i0=0, i2=0),
            self.end(cluster, i1=0, i3=0),
        )
        assert (state.phase, state.completed) == ("complete", (0, 1, 2, 3))
        assert [each.describe() for each in told] == [
            "pending: 0 of 4 indexes done",
            "running: 0 of 4 indexes done, 4 pods running",
            "running: 2 of 4 indexes done, 2 pods running",
            "complete: 4 of 4 indexes done",
        ]
        assert cluster.clock.now_s == 15

    def test_failed(self, cluster: StoreCluster) -> None:
        """A failed Job ends the waiting too, with the indexes that failed."""
        state, _ = self.wait(
            cluster, self.start(cluster), self.end(cluster, i0=65, i1=0, i2=0, i3=0)
        )
        assert (state.phase, state.failed, state.reason) == ("failed", (0,), "FailedIndexes")

    def test_deadline(self, cluster: StoreCluster) -> None:
        """A Job that does not end is ended by its deadline, and waited for no longer."""
        cluster.server.pods.start(submit(cluster, BODY).name)
        state, told = self.wait(
            cluster,
            *[lambda: None] * 720,
            self.end(cluster, i0=143, i1=143),
            self.end(cluster, i2=143, i3=143),
        )
        assert (state.phase, state.reason) == ("failed", "DeadlineExceeded")
        assert state.unfinished == (0, 1, 2, 3)
        assert len(told) == 723

    def test_removed(self, cluster: StoreCluster) -> None:
        """A Job that vanishes ends the waiting, as it was last seen."""
        state, _ = self.wait(
            cluster,
            self.start(cluster),
            self.end(cluster, i0=0),
            lambda: cluster.delete_job(NAME),
        )
        assert (state.phase, state.completed) == ("gone", (0,))

    def test_another_of_its_name(self, cluster: StoreCluster) -> None:
        """A Job that was removed and made again by somebody is not the one that is awaited."""
        state, _ = self.wait(cluster, lambda: (cluster.delete_job(NAME), submit(cluster, BODY)))
        assert state.phase == "gone"

    def test_by_name(self, cluster: StoreCluster) -> None:
        """Without an identifier any Job of that name is awaited."""
        submit(cluster, BODY)
        cluster.server.pods.start(NAME)
        self.end(cluster, i0=0, i1=0, i2=0, i3=0)()
        found = await_end(cluster, Submitted(name=NAME, uid="", created=False))
        assert found.phase == "complete"

    def test_outage(self, cluster: StoreCluster) -> None:
        """A cluster that does not answer for a while is waited for."""
        submit(cluster, BODY)
        cluster.faults = [None, None, LOST, LOST, LOST]
        cluster.server.pods.start(NAME)
        state, _ = self.wait(
            cluster, lambda: None, lambda: None, self.end(cluster, i0=0, i1=0, i2=0, i3=0)
        )
        assert state.phase == "complete"
        assert cluster.clock.now_s == 15

    def test_long_outage(self, cluster: StoreCluster) -> None:
        """One that does not answer for too long is given up; each answer begins anew."""
        submit(cluster, BODY)
        cluster.faults = [None, None, None, LOST, LOST, None, *[LOST] * 99]
        with pytest.raises(UnansweredError):
            self.wait(cluster, patience_s=20)
        assert cluster.clock.now_s == 3 * 5 + 20

    def test_refusal(self, cluster: StoreCluster) -> None:
        """What will not pass ends the waiting at once."""
        submit(cluster, BODY)
        cluster.faults = [None, None, ClusterError("test/data: expected to be allowed, got not")]
        with pytest.raises(ClusterError, match="to be allowed"):
            self.wait(cluster)
        assert cluster.clock.now_s == 0


def test_the_clock_of_these_tests() -> None:
    """Sleeping moves the clock, and what is to happen happens then."""
    clock, seen = Clock(), list[float]()
    clock.at_sleep = [lambda: seen.append(clock())]
    clock.sleep(5)
    clock.sleep(1)
    assert (seen, clock()) == ([5.0], 6.0)
