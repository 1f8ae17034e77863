"""Many readers and publishers at one server: no error, no job lost, none published twice."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import REPOSITORY
from tests.e2e.served import ENVIRONMENTS, history_of, make_maps, serving
from tests.e2e.test_serve_kills import changes_of

PROJECTS = ("maps", "charts", "relief", "names")
LIMITS = "reads_per_minute = 10_000_000\nwrites_per_minute = 100_000\n"


def make_projects(folder: Path, versions: int) -> dict[str, Path]:
    """Make four projects, served from the first, without limits of rates."""
    served = (".", *(f"../{name}" for name in PROJECTS[1:]))
    folders = {
        name: make_maps(
            folder / name,
            name=name,
            projects=served if name == PROJECTS[0] else (".",),
            versions=versions,
        )
        for name in PROJECTS
    }
    config = folders[PROJECTS[0]] / "lading.toml"
    config.write_text(config.read_text() + LIMITS)
    return folders


def plan_orders(publishers: int, each: int) -> list[list[tuple[str, str, str]]]:
    """Give every publisher versions that nobody else asks for, in one project and environment."""
    return [
        [
            (
                PROJECTS[number % len(PROJECTS)],
                str(number * each + turn + 1),
                ENVIRONMENTS[number // len(PROJECTS) % 2],
            )
            for turn in range(each)
        ]
        for number in range(publishers)
    ]


def run_load(folder: Path, *, readers: int, publishers: int, seconds: float) -> dict[str, Any]:
    """Let clients at a server; check all that must hold; return what they saw."""
    each = 10 if seconds > 10 else 3
    folders = make_projects(folder, publishers * each)
    with serving(folders[PROJECTS[0]], "--workers", "2") as server:
        wanted = {
            "port": int(server.url.rpartition(":")[2]),
            "token": server.token,
            "readers": readers,
            "publishers": plan_orders(publishers, each),
            "seconds": seconds,
        }
        client = subprocess.run(
            [sys.executable, "-m", "tests.e2e.load_client"],
            cwd=REPOSITORY,
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            timeout=seconds + 200,
            check=False,
        )
        assert client.returncode == 0, client.stderr
        seen: dict[str, Any] = json.loads(client.stdout)
        assert server.end() == 0
        assert server.lines[1:] == []
    require_all_well(folders, seen)
    return seen


def require_all_well(folders: dict[str, Path], seen: dict[str, Any]) -> None:
    """Require that nothing failed, that no job was lost, and that none was published twice."""
    assert seen["faults"] == []
    assert {each.split()[1] for each in seen["statuses"]} == {"200", "202"}
    assert seen["repeated"] == len(seen["jobs"])
    assert {ended for *_, ended in seen["jobs"].values()} == {"completed"}
    changes = changes_of(folders[PROJECTS[0]])
    assert set(changes) == set(seen["jobs"])
    assert all(each == ["queued", "running", "completed"] for each in changes.values())
    asked = Counter(
        (project, environment, version)
        for project, version, environment, _ in seen["jobs"].values()
    )
    stood = Counter(
        (name, environment, version)
        for name, folder in folders.items()
        for environment, versions in history_of(folder).items()
        for version in versions
    )
    assert stood == asked
    assert set(asked.values()) == {1}


def tell(seen: dict[str, Any]) -> None:
    """Print what was measured."""
    lines = [f"{seen['answers'] / seen['read_s']:.0f} requests/s, {len(seen['jobs'])} jobs"]
    for kind, times in sorted(seen["latencies_ms"].items()):
        times.sort()
        p50, p95, p99 = (times[int(len(times) * part)] for part in (0.5, 0.95, 0.99))
        lines.append(f"{kind:8} {len(times):6} p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms")
    sys.stdout.write("\n".join(["", *lines, ""]))


def test_a_little_load(tmp_path: Path) -> None:
    """Twenty readers and four publishers for some seconds: all is well."""
    tell(run_load(tmp_path, readers=20, publishers=4, seconds=2))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_minute_of_load(tmp_path: Path) -> None:
    """200 readers and 20 publishers for a minute: no 5xx, no job lost, none published twice."""
    seen = run_load(tmp_path, readers=200, publishers=20, seconds=60)
    tell(seen)
    assert len(seen["jobs"]) >= 20
