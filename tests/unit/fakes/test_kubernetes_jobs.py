"""The fake's Job controller counts as a real one (1.36) did with simulated pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_errors import ApiError
from tests.fakes.kubernetes_jobs import render_ranges
from tests.unit.fakes.kubernetes_client import JOBS, Client, job

EVICTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def on_exit(action: str, *codes: int, operator: str = "In") -> dict[str, Any]:
    """Return a rule for exit codes."""
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes)}}


RULES = [EVICTED, on_exit("FailIndex", 65), on_exit("FailJob", 78)]


def indexed(completions: int = 4, **spec: Any) -> dict[str, Any]:
    """Return an Indexed Job, all of whose pods may run at once."""
    given = {
        "completionMode": "Indexed",
        "completions": completions,
        "parallelism": completions,
        "backoffLimitPerIndex": 1,
        "podFailurePolicy": {"rules": RULES},
    }
    return job("once", **{**given, **spec})


class World:
    """A cluster with one Job, and a clock."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.now = datetime(2025, 2, 5, tzinfo=UTC)
        self.server = FakeKubernetes(clock=lambda: self.now)
        self.server.create_plain("data", body)
        self.pods = self.server.pods

    @property
    def status(self) -> dict[str, Any]:
        """The Job's status."""
        status: dict[str, Any] = self.server.jobs()["once"]["status"]
        return status

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Type and reason of the conditions that hold."""
        told = self.status.get("conditions", [])
        return [(each["type"], each["reason"]) for each in told if each["status"] == "True"]

    def start(self) -> list[int]:
        """Start what may start; return the indexes."""
        return [pod.index for pod in self.pods.start("once")]

    def end(self, index: int, exit_code: int = 0) -> None:
        """End a pod."""
        self.pods.end("once", index, exit_code)


def failed(reason: str) -> list[tuple[str, str]]:
    """Return the conditions of a Job that failed."""
    return [("FailureTarget", reason), ("Failed", reason)]


COMPLETE = [(each, "CompletionsReached") for each in ("SuccessCriteriaMet", "Complete")]


class TestIndexed:
    """Each index by itself."""

    def test_as_the_real_one(self) -> None:
        """65 fails its index at once, 1 is tried once more, an eviction is not counted."""
        world = World(indexed())
        assert world.start() == [0, 1, 2, 3]
        assert world.status["active"] == 4
        assert world.start() == []
        world.end(1, 65)
        world.end(2, 1)
        world.pods.evict("once", 3)
        world.end(0)
        assert world.start() == [2, 3]
        assert [pod.failures for pod in world.pods.running("once")] == [1, 0]
        assert world.status["failedIndexes"] == "1"
        world.end(2, 1)
        assert world.conditions == []
        world.end(3)
        status = world.status
        assert (status["completedIndexes"], status["failedIndexes"]) == ("0,3", "1,2")
        assert (status["failed"], status["succeeded"]) == (3, 2)
        assert world.conditions == failed("FailedIndexes")
        assert status["conditions"][1]["message"] == "Job has failed indexes"
        assert "completionTime" not in status
        assert "active" not in status
        assert world.pods.ignored("once", 3) == 1
        assert world.start() == []

    def test_complete(self) -> None:
        """All indexes done is complete, with a time."""
        world = World(indexed(3))
        world.start()
        for index in (2, 0, 1):
            world.end(index)
        assert world.status["completedIndexes"] == "0-2"
        assert world.status["failedIndexes"] == ""
        assert world.status["completionTime"] == "2025-02-05T00:00:00Z"
        assert world.conditions == COMPLETE

    @pytest.mark.parametrize("code", [1, 70, 75, 137])
    def test_counted(self, code: int) -> None:
        """Whatever no rule names is counted, and fails the index when its tries are used up."""
        world = World(indexed(2, backoffLimitPerIndex=2))
        world.start()
        for _ in range(2):
            world.end(0, code)
            assert world.start() == [0]
        world.end(0, code)
        assert world.start() == []
        assert world.status["failedIndexes"] == "0"
        assert world.conditions == []

    def test_evicted_without_end(self) -> None:
        """However often a pod is evicted, its index is tried again."""
        world = World(indexed(1, backoffLimitPerIndex=0))
        for _ in range(5):
            assert world.start() == [0]
            world.pods.evict("once")
        assert "failed" not in world.status
        world.start()
        world.pods.end("once", 0, 0, evicted=True)
        assert world.conditions == COMPLETE

    def test_evicted_without_a_rule(self) -> None:
        """Without a rule for it an eviction is a failure."""
        world = World(indexed(1, backoffLimitPerIndex=0, podFailurePolicy=None))
        world.start()
        world.pods.evict("once")
        assert world.conditions == failed("FailedIndexes")

    def test_order_of_rules(self) -> None:
        """The first rule that fits counts: an evicted pod that ends with 78 is only evicted."""
        world = World(indexed(1))
        world.start()
        world.pods.end("once", 0, 78, evicted=True)
        assert world.conditions == []
        other = World(indexed(1, podFailurePolicy={"rules": [RULES[2], EVICTED]}))
        other.start()
        other.pods.end("once", 0, 78, evicted=True)
        assert other.conditions == failed("PodFailurePolicy")

    def test_fail_job(self) -> None:
        """78 ends the Job: pods that run are told to end, and it has failed when they have."""
        world = World(indexed())
        world.start()
        world.end(0)
        world.end(1, 78)
        assert world.conditions == [("FailureTarget", "PodFailurePolicy")]
        assert [pod.index for pod in world.pods.stopping("once")] == [2, 3]
        assert world.status["terminating"] == 2
        assert world.start() == []
        world.end(2, 143)
        world.end(3)
        assert world.conditions == failed("PodFailurePolicy")
        assert world.status["completedIndexes"] == "0,3"
        assert world.status["failedIndexes"] == ""
        said = world.status["conditions"][-1]["message"]
        assert said.startswith("Container main for pod data/once-1-")
        assert said.endswith(" failed with exit code 78 matching FailJob rule at index 2")

    def test_condition_fails_the_job(self) -> None:
        """A rule may end the Job by a condition too."""
        rule = {**EVICTED, "action": "FailJob"}
        world = World(indexed(1, podFailurePolicy={"rules": [rule]}))
        world.start()
        world.pods.evict("once")
        said = world.status["conditions"][-1]["message"]
        assert said.endswith(" has condition DisruptionTarget matching FailJob rule at index 0")

    def test_not_in(self) -> None:
        """A rule may name the codes that it is not for, and the container that it is for."""
        rules = [on_exit("FailIndex", 75, operator="NotIn")]
        world = World(indexed(2, podFailurePolicy={"rules": rules}))
        world.start()
        world.end(0, 75)
        world.end(1, 1)
        assert world.status["failedIndexes"] == "1"

    def test_too_many(self) -> None:
        """More failed indexes than allowed end the Job."""
        world = World(indexed(9, maxFailedIndexes=1))
        world.start()
        world.end(0, 65)
        assert world.conditions == []
        world.end(1, 65)
        assert world.conditions == [("FailureTarget", "MaxFailedIndexesExceeded")]
        for index in range(2, 9):
            world.end(index, 143)
        assert world.conditions == failed("MaxFailedIndexesExceeded")

    def test_parallelism(self) -> None:
        """No more pods run than allowed; the lowest indexes come first."""
        world = World(indexed(5, parallelism=2))
        assert world.start() == [0, 1]
        world.end(0)
        assert world.start() == [2]
        world.end(1, 1)
        assert world.start() == [1]

    def test_names(self) -> None:
        """Pods have names of their own, each at most 63 characters, with their index."""
        body = indexed(11)
        body["metadata"]["name"] = "a" * 60
        with FakeKubernetes() as server:
            server.create_plain("data", body)
            names = [pod.name for pod in server.pods.start("a" * 60)]
        assert len(set(names)) == 11
        assert {len(name) for name in names} == {63}
        assert "-10-" in names[10]


class TestPlain:
    """A Job without indexes."""

    def test_complete(self) -> None:
        """One pod that succeeds completes it."""
        world = World(job("once"))
        assert world.start() == [0]
        world.end(0)
        assert world.conditions == COMPLETE
        assert world.status["succeeded"] == 1
        assert "completedIndexes" not in world.status
        assert "failedIndexes" not in world.status

    def test_backoff(self) -> None:
        """It is tried as often as the limit says, and once more."""
        world = World(job("once", backoffLimit=1))
        world.start()
        world.end(0, 1)
        assert world.start() == [1]
        world.end(1, 1)
        assert world.conditions == failed("BackoffLimitExceeded")
        assert world.status["failed"] == 2

    def test_fail_job(self) -> None:
        """A rule ends it at the first try."""
        world = World(job("once", podFailurePolicy={"rules": [EVICTED, on_exit("FailJob", 65)]}))
        world.start()
        world.pods.evict("once", 0)
        assert world.start() == [1]
        world.end(1, 65)
        assert world.conditions == failed("PodFailurePolicy")


class TestTime:
    """What happens without a pod."""

    def test_deadline(self) -> None:
        """A Job that is active for too long is ended with its pods."""
        world = World(indexed(2, activeDeadlineSeconds=60))
        world.start()
        world.end(0)
        world.now += timedelta(seconds=59)
        assert world.conditions == []
        world.now += timedelta(seconds=1)
        assert world.conditions == [("FailureTarget", "DeadlineExceeded")]
        world.end(1, 143)
        assert world.conditions == failed("DeadlineExceeded")

    def test_ttl(self) -> None:
        """A Job is removed some time after its end, and its name is free again."""
        world = World(indexed(1, ttlSecondsAfterFinished=60))
        world.start()
        world.now += timedelta(days=1)
        world.end(0)
        world.now += timedelta(seconds=59)
        assert "once" in world.server.jobs()
        world.now += timedelta(seconds=1)
        assert world.server.jobs() == {}
        assert world.pods.running("once") == []
        with world.server:
            assert Client(world.server).create(indexed(1), JOBS).status_code == 201

    def test_ttl_over_http(self) -> None:
        """Whoever asks after that time finds none."""
        world = World(indexed(1, ttlSecondsAfterFinished=0))
        world.start()
        with world.server:
            client = Client(world.server)
            assert client.http.get(f"{JOBS}/once").status_code == 200
            world.end(0)
            assert client.http.get(f"{JOBS}/once").status_code == 404


class TestSuspended:
    """What a queue does."""

    def test_admitted(self) -> None:
        """A suspended Job starts no pods until it is let go; its time begins then."""
        world = World(indexed(1, suspend=True, activeDeadlineSeconds=60))
        assert world.start() == []
        assert world.conditions == [("Suspended", "JobSuspended")]
        world.now += timedelta(days=1)
        assert "startTime" not in world.status
        world.pods.suspend("once", suspended=False)
        assert world.status["startTime"] == "2025-02-06T00:00:00Z"
        assert world.conditions == []
        assert world.start() == [0]
        world.end(0)
        assert world.conditions == COMPLETE

    def test_taken_back(self) -> None:
        """Pods of a Job that is suspended end, which is not counted, and begin anew."""
        world = World(indexed(2))
        world.start()
        world.pods.suspend("once")
        assert [pod.index for pod in world.pods.stopping("once")] == [0, 1]
        world.end(0, 143)
        world.end(1)
        world.pods.suspend("once", suspended=False)
        assert world.start() == [0]
        assert "failed" not in world.status
        assert world.status["completedIndexes"] == "1"


def test_wrong_test() -> None:
    """A pod that does not run cannot end, nor one of a Job that is not there."""
    world = World(indexed(1))
    with pytest.raises(LookupError, match="expected a running pod of index 0"):
        world.end(0)
    with pytest.raises(ApiError, match="not found"):
        world.pods.start("none")


@pytest.mark.parametrize(
    ("indexes", "text"),
    [(set(), ""), ({3}, "3"), ({0, 1}, "0,1"), ({0, 1, 2}, "0-2"), ({1, 3, 4, 5, 9}, "1,3-5,9")],
)
def test_ranges(indexes: set[int], text: str) -> None:
    """Three or more indexes in a row are a range."""
    assert render_ranges(indexes) == text
