"""Tests of how a live release is told: against its receipt and its branch."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lading.k8s.live import read_live
from lading.k8s.receipts import (
    RolloutReceipt,
    load_rollout_receipt,
    receipt_of,
    render_rollout_receipt,
)
from lading.k8s.status import ReleaseStatus, describe_releases, to_json
from tests.unit.k8s.live_objects import PRODUCTION, STAGED, cron_job, live_body, rollout

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ROLLOUT = rollout()
UPDATE, VALIDATE = ROLLOUT.cron_jobs


def receipt(*bodies: dict[str, Any]) -> RolloutReceipt:
    """Return the receipt that was written when ``bodies`` stood."""
    live = {each.name: each for each in read_live(bodies)}
    return receipt_of(ROLLOUT, live, proved_at=NOW)


WHOLE = receipt(live_body(UPDATE), live_body(VALIDATE))


def status(
    *bodies: dict[str, Any],
    kept: RolloutReceipt | None = WHOLE,
    branches: dict[str, str | None] | None = None,
) -> ReleaseStatus:
    """Return how the one release stands."""
    receipts = [kept] if kept else []
    (found,) = describe_releases("test/data", read_live(bodies), receipts, branches or {}, NOW)
    return found


def test_as_rolled_out() -> None:
    """A release that stands as it was rolled out has no faults and no notes."""
    found = status(live_body(UPDATE), live_body(VALIDATE))
    assert (found.faults, found.notes) == ((), ())
    assert [each.next_fire for each in found.cron_jobs] == ["2026-11-22T06:00:00Z"] * 2
    assert [each.last_run for each in found.cron_jobs] == ["", ""]


def test_missing() -> None:
    """A CronJob that the receipt names and the cluster lacks is a fault."""
    assert status(live_body(UPDATE)).faults == ("staging-validate: missing",)


def test_all_gone() -> None:
    """A release of which nothing is left is told by its receipt."""
    found = status()
    assert (found.dataset, found.cron_jobs) == ("noaa-gfs-analysis", ())
    assert len(found.faults) == 2


def test_drift_by_another_manager() -> None:
    """A field that somebody else set is a fault with who and when; told without a receipt too."""
    edited = live_body(UPDATE, managers={"kubectl-edit": ["spec.schedule"]}, schedule="0 1 * * *")
    for kept in (WHOLE, None):
        assert status(edited, live_body(VALIDATE), kept=kept).faults == (
            "staging-update: .spec.schedule set by 'kubectl-edit' at 2026-11-21T10:00:00Z",
        )


def test_drift_that_nobody_owns() -> None:
    """A field that was removed leaves no owner: the receipt's digest tells it."""
    body = live_body(UPDATE)
    body["spec"] = {**body["spec"], "jobTemplate": {}}
    assert status(body, live_body(VALIDATE)).faults == (
        "staging-update: its spec is not the one that was read back after the rollout",
    )


def test_suspended() -> None:
    """A suspension is no drift; it is told with its manager, and nothing fires."""
    body = live_body(UPDATE, managers={"kubectl-patch": ["spec.suspend"]}, suspend=True)
    found = status(body, live_body(VALIDATE))
    assert found.faults == ()
    assert (found.cron_jobs[0].suspended_by, found.cron_jobs[0].next_fire) == ("kubectl-patch", "")


def test_rolled_out_by_another_machine() -> None:
    """Another spec digest than the receipt's is a newer rollout, and no fault."""
    newer = live_body(UPDATE, annotations={"lading/spec-sha256": "6" * 64}, schedule="0 1 * * *")
    found = status(newer, live_body(VALIDATE))
    assert found.faults == ()
    assert found.notes == ("staging-update: rolled out anew since this machine's receipt",)


def test_without_receipt() -> None:
    """Without a receipt it is said what cannot be told."""
    found = status(live_body(UPDATE), live_body(VALIDATE), kept=None)
    assert found.notes == ("no receipt on this machine: what was removed by hand cannot be told",)


def test_cleanup_begun() -> None:
    """A cleanup that was cut is told."""
    body = live_body(UPDATE, annotations={"lading/cleanup": "{}"})
    assert "a cleanup of it was begun and has not ended" in status(body, live_body(VALIDATE)).notes


def test_two_images() -> None:
    """Roles of one release with two images are a fault."""
    other = cron_job(
        dataclasses.replace(STAGED, image="registry.example/weather:other"), "validate"
    )
    (fault,) = status(live_body(UPDATE), live_body(other)).faults
    assert fault.startswith("expected one image for all roles, found registry.example/weather:aaa")


def test_branches() -> None:
    """The branch is at the deployed commit, has moved on, is gone, or was not asked."""
    name, bodies = STAGED.branch, (live_body(UPDATE), live_body(VALIDATE))
    told = {
        commit: status(*bodies, branches={name: commit}).branch
        for commit in (STAGED.commit, "c" * 40, None)
    }
    assert told == {
        STAGED.commit: f"{name} at aaaaaaa, as deployed",
        "c" * 40: f"{name} at ccccccc, deployed aaaaaaa",
        None: f"{name} is gone, deployed aaaaaaa",
    }
    assert status(*bodies).branch == "deployed aaaaaaa"


def test_order() -> None:
    """Production stands first, then staging by dataset and version."""
    bodies = [live_body(UPDATE), live_body(cron_job(PRODUCTION))]
    found = describe_releases("test/data", read_live(bodies), [], {}, NOW)
    assert [each.environment for each in found] == ["production", "staging"]


def test_json() -> None:
    """The plain data survives JSON, and holds what the table shows."""
    (row,) = json.loads(json.dumps(to_json([status(live_body(UPDATE), live_body(VALIDATE))])))
    assert row["dataset"] == "noaa-gfs-analysis"
    assert row["cron_jobs"][0]["next_fire"] == "2026-11-22T06:00:00Z"


def test_receipt_is_read_back(tmp_path: Path) -> None:
    """A receipt is the same once it was written and loaded; a broken one is none."""
    path = tmp_path / "receipt.json"
    path.write_bytes(render_rollout_receipt(WHOLE))
    assert load_rollout_receipt(path) == WHOLE
    assert WHOLE.cron_jobs["staging-update"].next_fires[0] == "2026-11-22T06:00:00+00:00"
    path.write_text("{}")
    assert load_rollout_receipt(path) is None
    assert load_rollout_receipt(tmp_path / "none") is None
