"""``k8s_job:<name>``: what is refused, and what is asked for; see tests/e2e for the whole."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lading.errors import CommandError, Interrupted, MisconfiguredError, UsageError
from lading.jobs.attempt import Outcome
from lading.jobs.cluster import ClusterRun, ClusterShards
from lading.jobs.pods import Pods
from lading.jobs.scatter import Scatter
from lading.jobs.settings import settings_of
from lading.storage import Progress
from lading.tasks import cluster_jobs
from lading.tasks.cluster_jobs import require
from tests.fakes.registry import FakeRegistry
from tests.unit.jobs.job_world import typed_job
from tests.unit.k8s.job_world import StoreCluster
from tests.unit.tasks.job_sessions import session_of

IMAGE = f"registry.example/jobs@sha256:{'ab' * 32}"
KUBERNETES = '[jobs.kubernetes]\ncontext = "test"\nnamespace = "data"\n'


def session(folder: Path, more: str = KUBERNETES, store: str = "", **given: str) -> Any:
    """Return the session of a command line."""
    return session_of(folder, "jobs", store=store or str(folder / "state"), more=more, **given)


class TestRequire:
    """What is refused before anything begins."""

    @pytest.mark.parametrize(
        ("more", "given", "message"),
        [
            ("", {"image": IMAGE}, "lading.toml: jobs.kubernetes: expected where jobs run, got no"),
            (KUBERNETES, {}, "image: expected image=... or jobs.kubernetes.image, got nothing"),
            (KUBERNETES, {"image": IMAGE, "workers": "2"}, "workers: expected only beside over"),
            (KUBERNETES, {"image": IMAGE, "args": "'"}, "args: arguments: expected words"),
        ],
    )
    def test_refused(self, tmp_path: Path, more: str, given: dict[str, str], message: str) -> None:
        """What is missing is one line that names it."""
        with pytest.raises(UsageError) as caught:
            require(session(tmp_path, more, **given))
        assert str(caught.value).startswith(message)

    def test_a_store_in_the_pod(self, tmp_path: Path) -> None:
        """What a pod remembers in its own folder ends with it."""
        with pytest.raises(UsageError, match="expected a place that pods reach, such as s3://b"):
            require(session(tmp_path, store="./state", image=IMAGE))

    def test_taken(self, tmp_path: Path) -> None:
        """A key may stand alone: it makes another run of the same work."""
        require(session(tmp_path, image=IMAGE, key="again"))
        require(session(tmp_path, f'{KUBERNETES}image = "{IMAGE}"\n', store="s3://lake"))


class TestImage:
    """Pods run one image, whatever its tag means later."""

    def test_digest(self, tmp_path: Path) -> None:
        """One with its digest is taken as it is; nobody is asked."""
        found = session(tmp_path, image=IMAGE)
        assert cluster_jobs._pinned(found, cluster_jobs._kubernetes(found)) == IMAGE

    def test_tag(self, tmp_path: Path) -> None:
        """A tag is resolved to the digest that it has now."""
        with FakeRegistry() as registry:
            digest = registry.push("team/jobs", "v1", "one")
            found = session(tmp_path, f'{KUBERNETES}image = "{registry.host}/team/jobs:v1"\n')
            pinned = cluster_jobs._pinned(found, cluster_jobs._kubernetes(found))
            assert pinned == f"{registry.host}/team/jobs:v1@{digest}"


class TestWork:
    """From variables to what is done."""

    def make(self, tmp_path: Path, **given: str) -> Any:
        """Return the work that variables ask for."""
        found = session(tmp_path, image=IMAGE, **given)
        kubernetes = cluster_jobs._kubernetes(found)
        job = typed_job()
        pods = Pods(
            cluster=StoreCluster(),
            kubernetes=kubernetes,
            job=job,
            image=IMAGE,
            sleep=lambda _: None,
        )
        settings = settings_of(found.config, found.base / found.config_name)
        return cluster_jobs._make(found, job, settings, pods)()

    def test_single(self, tmp_path: Path) -> None:
        """Arguments alone are one run; it waits for another of the same."""
        work = self.make(tmp_path, args="--name 'a b'", key="k")
        assert isinstance(work.call, ClusterRun)
        assert (work.call.argv, work.call.key) == (("--name", "a b"), "k")
        assert (work.joins, work.wait_s) == (True, 43_200)

    def test_over(self, tmp_path: Path) -> None:
        """A file of items is a plan; it is looked for beside the configuration."""
        (tmp_path / "items").write_text("ann\nbob\nzoe\n")
        work = self.make(
            tmp_path, args="--name={item}", over="items", per_shard="2", workers="7", key="k"
        )
        assert isinstance(work.call, Scatter)
        assert (work.call.plan.shards, work.call.plan.key) == (2, "k")
        assert isinstance(work.call.runner, ClusterShards)
        assert work.call.runner.pods.kubernetes.parallelism == 7
        assert (work.joins, work.wait_s) == (True, 43_200)

    def test_retry_of_nothing(self, tmp_path: Path) -> None:
        """A plan that is not there is told when it is looked for."""
        with pytest.raises(MisconfiguredError, match="plan abcd: expected one in"):
            self.make(tmp_path, retry="abcd")


def test_judged() -> None:
    """What ended well is a summary, whatever else a fault."""
    good = Outcome(exit_code=0, run_id="x", message="3 done", was_done=True)
    outcome = cluster_jobs._judge("hello", good)
    assert (outcome.summary, outcome.changed) == ("3 done", False)
    bad = Outcome(exit_code=65, run_id="x", message="ended with exit code 65: 1 failed")
    with pytest.raises(CommandError, match=r"job hello: expected exit code 0, got 65 \(bad data,"):
        cluster_jobs._judge("hello", bad)


def test_sleeping_is_a_place_to_stop() -> None:
    """Whoever waits for a cluster hears within moments that the run is to end."""

    class Stopping(Progress):
        """Asks to stop at the third look."""

        looks = 0

        def relative_update(self, inc: int = 1) -> None:
            """Count, and stop."""
            del inc
            self.looks += 1
            if self.looks == 3:
                raise Interrupted(15)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        cluster_jobs._sleep(Stopping(), 60)
    assert time.monotonic() - began < 10
    cluster_jobs._sleep(Stopping(), 0)


def test_lines_go_where_the_bars_are() -> None:
    """What a run logs is printed line by line; half a line waits for its end."""
    out = io.StringIO()
    lines = cluster_jobs._Lines(Console(file=out, width=40, markup=False, highlight=False))
    lines.write("one [b]\ntw")
    assert out.getvalue() == "one [b]\n"
    lines.write(f"o\n{'x' * 100}\n")
    assert out.getvalue() == f"one [b]\ntwo\n{'x' * 100}\n"
