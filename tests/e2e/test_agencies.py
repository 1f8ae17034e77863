"""Fifty agencies' files, here four: landing to bronze, bronze to silver, silver to an application.

Plain runs whose stores are buckets of S3; plans over processes here, which are killed; plans over
pods of a cluster, of which one is killed. The same must come out each time.
"""

import io
import json
import re
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from pyarrow import parquet

from tests.e2e.agencies import TOKEN, Result, World, deliver, make_cluster, make_world
from tests.e2e.agencies_kills import Kill, Killed, Saboteur, at, when_there
from tests.e2e.clouds import CREDENTIALS, CloudServers
from tests.fakes.kubelet import FakeKubelet
from tests.fakes.kubernetes import FakeKubernetes

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.xdist_group("agencies"),
    pytest.mark.slow,  # jobs, their kills and the fake cluster have tests of their own
]
AGENCIES, OBJECTS = 4, 12
WAYS = ("plain", "processes", "pods")
ONE = 1
"""The place of the agency that has news."""


@dataclass(frozen=True)
class Ran:
    """A world in which all three jobs ran, and what stood at the end."""

    world: World
    result: Result
    killed: list[Killed]
    cluster: tuple[FakeKubernetes, FakeKubelet] | None = None


@pytest.fixture(scope="module")
def ways(
    tmp_path_factory: pytest.TempPathFactory, cloud_servers: CloudServers
) -> Iterator[dict[str, Ran]]:
    """All three ways, which run side by side."""
    for name in ("lake", "landing"):
        cloud_servers.call("s3", "create_bucket", f"rivers-{name}")
    buckets = {"endpoint": cloud_servers.urls["s3"], "bucket": "rivers"}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)

        def begin(name: str, **more: Any) -> World:
            folder, delivery = tmp_path_factory.mktemp(name), deliver(AGENCIES, OBJECTS)
            return stack.enter_context(make_world(folder, delivery, **more))

        plain, processes = begin("plain", **buckets), begin("processes", per_shard=2)
        pods = begin("pods", per_shard=2, has_absolute_paths=True)
        cluster = stack.enter_context(make_cluster(pods))
        with ThreadPoolExecutor() as threads:
            found = {
                "plain": threads.submit(run_plainly, plain),
                "processes": threads.submit(run_in_processes, processes),
                "pods": threads.submit(run_in_pods, pods, cluster),
            }
        yield {name: each.result() for name, each in found.items()}


def run_plainly(world: World) -> Ran:
    """Run an agency after the other, from bucket to bucket."""
    world.run_one_by_one()
    return Ran(world, world.result(), [])


def run_in_processes(world: World) -> Ran:
    """Run plans here; all is killed while an answer of the application is under way."""
    saboteur = Saboteur(world, deque([Kill(at("ingest_api", 0), "machine")]))
    for step in world.steps:
        saboteur.run(step)
    return Ran(world, world.result(), saboteur.killed)


def run_in_pods(world: World, cluster: tuple[FakeKubernetes, FakeKubelet]) -> Ran:
    """Run plans as Indexed Jobs, of which a pod is killed."""
    copy, transform, send = world.steps
    world.run_in_pods(copy)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(world.run_in_pods, transform)
        killed = kill_pod(world, cluster[1])
        ending.result()
    world.run_in_pods(send)
    return Ran(world, world.result(), [killed], cluster)


def kill_pod(world: World, kubelet: FakeKubelet) -> Killed:
    """Kill a pod that is still at work when the first file of silver is there."""
    saboteur = Saboteur(world, deque())
    kubelet.wait_for(lambda: when_there("/silver/")(saboteur), timeout_s=60)
    run = next(each for each in kubelet.runs if each.exit_code is None)
    kubelet.kill(run.job, run.pod.index)
    return Killed(0.0, "transform", "pod")


@pytest.fixture
def plain(ways: dict[str, Ran]) -> Ran:
    """Plain runs, from bucket to bucket."""
    return ways["plain"]


@pytest.fixture
def processes(ways: dict[str, Ran]) -> Ran:
    """Plans in processes here."""
    return ways["processes"]


@pytest.fixture
def pods(ways: dict[str, Ran]) -> Ran:
    """Plans in pods."""
    return ways["pods"]


@pytest.fixture
def ran(request: pytest.FixtureRequest, ways: dict[str, Ran]) -> Ran:
    """The world of a way."""
    return ways[request.param]


def test_silver_is_the_same_bytes(plain: Ran, processes: Ran, pods: Ran) -> None:
    """Whichever way it was made, killed or not, silver has the same bytes under the same keys."""
    assert len(plain.result.silver) == 2 * AGENCIES
    assert processes.result.silver == plain.result.silver
    assert pods.result.silver == plain.result.silver
    killed = [(each.job, each.victim) for each in processes.killed + pods.killed]
    assert killed == [("ingest_api", "machine"), ("transform", "pod")]


@pytest.mark.parametrize("ran", WAYS, indirect=True)
def test_dirt_is_found_once(ran: Ran) -> None:
    """Each dirty row and file is one dead letter, and nothing else is."""
    assert ran.result.letters == ran.world.expected_letters()
    for job in ("get_s3_files", "ingest_api"):
        assert ran.world.letters(job) == []


@pytest.mark.parametrize("ran", WAYS, indirect=True)
def test_the_application_has_each_reading_once(ran: Ran) -> None:
    """It holds every good reading at its last revision, each written once, and no other."""
    assert ran.result.records == ran.world.expected_records()
    assert set(ran.result.writes.values()) == {1}
    was_lost = any(each.job == "ingest_api" for each in ran.killed)
    assert any(each.replayed for each in ran.world.api.calls) == was_lost


@pytest.mark.parametrize("ran", WAYS, indirect=True)
def test_the_trail_is_whole(ran: Ran) -> None:
    """Every event of every shard is there, those of killed runs too."""
    assert ran.world.audit().faults == ()


def test_a_flipped_bit_is_found(processes: Ran) -> None:
    """One bit of one event, and the command says which, and ends with 1."""
    world = processes.world
    with world.flipped_bit(seed=1) as key:
        done = world.lading("audit", "verify")
    assert done.returncode == 1
    assert key in done.stderr


def test_nothing_secret_is_told(pods: Ran) -> None:
    """The token came from the Secret alone: no Job, log or object of the lake holds it."""
    assert pods.cluster is not None
    server, kubelet = pods.cluster
    lake = pods.world.store(pods.world.lake)
    texts = [json.dumps(server.jobs("rivers")), *(each.output for each in kubelet.runs)]
    texts += [lake.get(key).decode(errors="replace") for key in pods.world.objects()]
    assert len(kubelet.runs) == 1 + 3 * AGENCIES // 2  # and the one that was killed
    assert not [each for each in texts if TOKEN in each]


def test_a_second_run_does_nothing(processes: Ran) -> None:
    """Where nothing is new, nothing is written but that somebody asked; and it is said."""
    world = processes.world
    before, calls = world.objects(data_only=True), len(world.api.calls)
    for step in world.steps:
        assert f"0 of {AGENCIES} items are to be done" in world.scatter(step)
    assert world.objects(data_only=True) == before
    assert len(world.api.calls) == calls
    assert world.result() == processes.result


def test_the_next_day_costs_what_is_new(plain: Ran) -> None:
    """One more object of one agency: only its work is done, and only new readings are sent.

    For the others nothing at all is written, and it is said that they were done before.
    """
    world, agency = plain.world, plain.world.delivery.agencies[ONE]
    news = deliver(AGENCIES, OBJECTS + 1, only=agency)
    assert news.put(world.store(world.landing)) == 1
    before, calls = world.objects(), len(world.api.calls)
    said = world.run_one_by_one()
    assert said.count("done before, by run") == (AGENCIES - 1) * len(world.steps)

    after = world.objects()
    changed = {key for key, version in after.items() if before.get(key) != version}
    changed |= before.keys() - after.keys()
    bronze = {key for key in changed if key.startswith("bronze/")}
    silver = {key for key in changed if key.startswith("silver/")}
    runs = {key for key in changed if "/runs/" in key}
    assert bronze == {f"bronze/{agency.name}/2025-01-13.jsonl"}
    assert {key.split("/")[1] for key in silver} == {agency.name}
    assert {key for key in changed if not key.startswith(".lading/")} == bronze | silver
    assert len(runs) == len(world.steps)
    sent = Counter(name for call in world.api.calls[calls:] for name in call.ids)
    assert sent == Counter(set(world.api.records) - set(plain.result.records))
    assert {name.partition("-")[0] for name in sent} == {agency.name}
    assert set(world.api.writes.values()) == {1}


def test_mended_files_are_done_again(processes: Ran) -> None:
    """When the agencies have mended their files, a retry empties the letters."""
    world = processes.world
    clean = deliver(AGENCIES, OBJECTS, is_clean=True)
    assert clean.put(world.store(world.landing)) == processes.result.letters.total()
    world.run_one_by_one("get_s3_files")
    retried = world.lading("dlq", "retry", "transform")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert len(re.findall(r"retry \d of 4: 5 items: ended with 0", retried.stderr)) == AGENCIES
    assert world.letters() == []
    readings = {name for each in clean.tell_truth().values() for name in each.readings}
    assert set(ids_of(world.result().silver)) == readings
    assert world.audit().faults == ()


def ids_of(silver: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the ids of all readings of silver."""
    for key, data in silver.items():
        if key.endswith(".parquet"):
            yield from parquet.read_table(io.BytesIO(data), columns=["id"])["id"].to_pylist()
