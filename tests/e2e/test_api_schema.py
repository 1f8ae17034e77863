"""The API is as it describes itself, whatever is sent to it: schemathesis against all of it."""

import itertools
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lading.ledger import record
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Progress, ReceiptRow, ReleaseRow, RunStart, Step, Target
from lading.web.streams import Pace
from tests.unit.web.serving import NOW, add_job, make_client

OPERATIONS = {
    "POST /projects/{slug}/versions/{version}/publish": {202, 404, 409, 422},
    "GET /jobs": {200},
    "GET /jobs/{job_id}": {200, 404},
    "GET /jobs/{job_id}/logs": {200, 404},
    "POST /jobs/{job_id}/cancel": {200, 202, 404, 409},
    "POST /jobs/{job_id}/retry": {202, 404, 409},
    "GET /jobs/{job_id}/events": {200, 404},
    "GET /projects": {200},
    "GET /projects/{slug}": {200, 404},
    "GET /projects/{slug}/versions": {200, 404},
    "GET /projects/{slug}/releases": {200, 404},
    "GET /healthz": {200},
    "GET /problems/{code}": {200, 404},
    "GET /runs.json": {200},
    "GET /runs/{job_id}.json": {200, 404},
}
"""Every operation, and the answers that must come up where some names are those of what is."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
STATES = ("completed", "failed", "cancelled", "running", "queued")
MANY = 10**9  # no limit of requests: here their forms count
BRISK = Pace(poll_s=0.002, heartbeat_s=0.005, lifetime_s=0.01)


@dataclass
class World:
    """An application over a ledger that holds a job of each state."""

    schema: BaseSchema
    """Its description, and the way to it."""
    token: str
    """An admin's."""
    names: dict[str, list[str]]
    """Names of what there is, by the parameter of a path that they stand for."""

    def operation(self, label: str) -> APIOperation[Any, Any, Any, Any]:
        """Return an operation."""
        found = {each.label: each for each in self.operations()}
        return found[label]

    def operations(self) -> list[APIOperation[Any, Any, Any, Any]]:
        """Return all that are described."""
        found = self.schema.get_all_operations()
        return [each.ok() for each in found if isinstance(each, Ok)]

    def check(
        self,
        label: str,
        mode: GenerationMode,
        examples: int,
        given_names: Mapping[str, Any] = MappingProxyType({}),
    ) -> set[int]:
        """Send examples of a mode to an operation, check each answer; return their statuses.

        Args:
            label: the operation.
            mode: whether they are as described, or are not.
            examples: how many.
            given_names: what of them is not made up.
        """
        checks = [*CHECKS, *([negative_data_rejection] if mode.is_negative else [])]
        headers = {"Authorization": f"Bearer {self.token}"}
        seen: set[int] = set()

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.operation(label).as_strategy(generation_mode=mode, **given_names))
        def ask(case: Case[Any]) -> None:
            seen.add(int(case.call_and_validate(headers=headers, checks=checks).status_code))

        ask()
        return seen

    def check_what_is(self, label: str, examples: int) -> set[int]:
        """Send examples about all that there is, and about what is made up."""
        names = re.findall(r"{(\w+)}", label)
        seen = self.check(label, GenerationMode.POSITIVE, examples)
        for each in itertools.product(*(self.names[name] for name in names)):
            given_names: dict[str, Any] = {"path_parameters": dict(zip(names, each, strict=True))}
            if label.endswith("/publish"):
                for environment in ("staging", "stagign"):
                    given_names["body"] = {"target_environment": environment}
                    seen |= self.check(label, GenerationMode.POSITIVE, 3, given_names)
            else:
                seen |= self.check(label, GenerationMode.POSITIVE, 3, given_names)
        return seen


def fill(ledger: Ledger) -> list[str]:
    """Add a job of each state, with all that can belong to one; return their names."""
    result: dict[str, Any] = {
        "release_url": "https://example.org/maps/release.json",
        "asset_count": 2,
        "published_at": "2026-11-21T20:31:00.000Z",
    }
    found = []
    for state in STATES:
        run_id = add_job(ledger, state, result=result if state == "completed" else {}).run_id
        found.append(run_id)
        start = RunStart(run_id=run_id, kind="publish", project="maps", started_at=NOW)
        record.begin_run(ledger, start)
        going = Progress(percent=40, done_bytes=4, size_bytes=10, rate_bytes_s=2, left_s=3)
        step = Step(task="upload:here-staging", state="running", started_at=NOW, progress=going)
        record.write_step(ledger, run_id, 1, 0, step, NOW)
        target = Target(task=step.task, kind="upload", verified_at=NOW, planned_files=2)
        record.write_targets(ledger, run_id, [target])
        receipt = ReceiptRow(
            task=step.task,
            place="here",
            manifest_sha256="a" * 64,
            proved_at=NOW,
            objects=2,
            size_bytes=10,
            facts={"generation": "7"},
        )
        record.write_receipts(ledger, run_id, [receipt])
        record.write_logs(ledger, run_id, [(NOW, level, step.task, "line") for level in (10, 40)])
    record.write_manifest(ledger, found[0], "a" * 64, [])
    release = ReleaseRow(
        project="maps",
        channel="staging",
        tag="7",
        environment="staging",
        manifest_sha256="a" * 64,
        published_at=NOW,
        run_id=found[0],
    )
    record.write_release(ledger, release)
    return found


def make_world(ledger: Ledger, folder: Path) -> World:
    """Make an application over a ledger that is filled."""
    client = make_client(ledger, folder, pace=BRISK, reads_per_minute=MANY, writes_per_minute=MANY)
    return World(
        schema=schemathesis.openapi.from_asgi("/openapi.json", client.app),
        token=client.token,
        names={
            "slug": ["maps"],
            "version": ["7", "6", "8", "9"],
            "job_id": fill(ledger),
            "code": ["invalid", "not-ready"],
        },
    )


@pytest.fixture(scope="module")
def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give an application over a ledger in a file."""
    folder = tmp_path_factory.mktemp("schema")
    shutil.copyfile(sqlite_template, folder / "ledger.db")
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
    yield make_world(ledger, folder)
    ledger.close()


def test_every_operation_is_asked(world: World) -> None:
    """What is described and what is asked below are the same."""
    assert {each.label for each in world.operations()} == set(OPERATIONS)


@pytest.mark.xdist_group("api_schema")
@pytest.mark.parametrize("label", OPERATIONS)
def test_what_is_sent_as_described_is_answered_as_described(world: World, label: str) -> None:
    """Good requests get answers of the statuses, types and forms that are described."""
    assert OPERATIONS[label] <= world.check_what_is(label, 10)


@pytest.mark.xdist_group("api_schema")
@pytest.mark.parametrize("label", [each for each in OPERATIONS if each != "GET /healthz"])
def test_what_is_not_as_described_is_refused_as_described(world: World, label: str) -> None:
    """Bad requests are refused, as problems, and never make the server fail."""
    world.check(label, GenerationMode.NEGATIVE, 10)


@pytest.mark.slow
def test_thousands_of_requests_are_answered_as_described(ledger: Ledger, tmp_path: Path) -> None:
    """The same at length, on each kind of ledger."""
    world = make_world(ledger, tmp_path)
    for label, statuses in OPERATIONS.items():
        assert statuses <= world.check_what_is(label, 100)
        if label != "GET /healthz":
            world.check(label, GenerationMode.NEGATIVE, 100)
