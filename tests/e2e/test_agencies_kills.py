"""kill -9 at random moments of the pipeline of examples/agencies; then the same command again.

All fifty agencies with their 5,000 objects, in processes here and in pods whose stores are S3, are
killed at 30 moments, one command of some ten minutes on two cores; it prints what was killed when::

    pytest -m slow -n 0 -s tests/e2e/test_agencies_kills.py

``LADING_KILLS=60`` asks for another number of kills, ``LADING_SEED=2`` for other moments,
``LADING_AGENCIES=8`` for fewer agencies. A handful of kills is in ``test_agencies.py``.
"""

import os
import random
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.agencies import Result, World, deliver, make_cluster, make_world
from tests.e2e.agencies_kills import Saboteur, spread
from tests.e2e.clouds import CREDENTIALS, CloudServers

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.slow,
]
KILLS = int(os.environ.get("LADING_KILLS", "30"))
SEED = int(os.environ.get("LADING_SEED", "1"))
AGENCIES = int(os.environ.get("LADING_AGENCIES", "50"))
OBJECTS, PER_SHARD = 100, 5
VICTIMS = {
    "processes": ("coordinator", "shard", "machine"),
    "pods": ("coordinator", "pod", "pod", "machine"),
}
Way = Iterator[Saboteur]


@contextmanager
def in_processes(folder: Path, servers: CloudServers) -> Way:
    """Plans in processes here; folders stand for buckets."""
    del servers
    with make_world(folder, deliver(AGENCIES, OBJECTS), per_shard=PER_SHARD) as world:
        yield Saboteur(world, deque())


@contextmanager
def in_pods(folder: Path, servers: CloudServers) -> Way:
    """Plans as Indexed Jobs, from bucket to bucket."""
    endpoint, bucket = servers.urls["s3"], folder.name.replace("_", "-")
    for name in ("lake", "landing"):
        servers.call("s3", "create_bucket", f"{bucket}-{name}")
    delivery = deliver(AGENCIES, OBJECTS)
    with ExitStack() as stack:
        world = stack.enter_context(
            make_world(folder, delivery, endpoint=endpoint, bucket=bucket, per_shard=PER_SHARD)
        )
        _, kubelet = stack.enter_context(make_cluster(world, limit_s=3000))
        yield Saboteur(world, deque(), kubelet)


WAYS = {"processes": in_processes, "pods": in_pods}


def check(world: World, result: Result) -> None:
    """Prove a result against the truth, and the trail that tells of it."""
    assert result.letters == world.expected_letters()
    assert result.records == world.expected_records()
    assert set(result.writes.values()) == {1}
    for job in ("get_s3_files", "ingest_api"):
        assert world.letters(job) == []
    assert world.audit().faults == ()
    with world.flipped_bit(SEED) as key:
        done = world.lading("audit", "verify")
    assert done.returncode == 1
    assert key in done.stderr


@pytest.mark.timeout(3600)
def test_killed_at_random_moments(
    tmp_path: Path, cloud_servers: CloudServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is killed, the same commands end where an uncut run ends, once."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    rng = random.Random(SEED)
    found: list[Result] = []
    for way, begin in WAYS.items():
        lengths: Mapping[str, float] = {}
        for count in (0, KILLS // len(WAYS)):
            folder = tmp_path / f"rivers-{way}-{count}"
            folder.mkdir()
            with begin(folder, cloud_servers) as saboteur:
                saboteur.rng = rng
                saboteur.kills = spread(count, lengths, VICTIMS[way], rng)
                for step in saboteur.world.steps:
                    saboteur.run(step)
                found.append(saboteur.world.result())
                tell(way, saboteur)
                check(saboteur.world, found[-1])
            lengths = dict(saboteur.steps_s)
            assert len(saboteur.killed) >= count - 1  # the last moment may come too late
    assert all(each.silver == found[0].silver for each in found)


def tell(way: str, saboteur: Saboteur) -> None:
    """Print what was killed when."""
    calls = saboteur.world.api.calls
    again = sum(each.replayed for each in calls)
    victims = dict(Counter(each.victim for each in saboteur.killed))
    print(  # noqa: T201  figures
        f"\n{way}: {saboteur.worked_s:.0f} s, {saboteur.runs} commands, {len(calls)} requests of"
        f" which {again} were repeats; killed: {victims or 'nothing'}"
    )
    for each in saboteur.killed:
        print(f"  {each.at_s:6.1f} s  {each.job:<13} {each.victim}")  # noqa: T201
