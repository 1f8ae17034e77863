"""Tests of what a rollout decides: strangers, stores, suspension, what has to change."""

import dataclasses
from typing import Any

from lading.k8s.apply import (
    ClusterState,
    RolloutChanges,
    body_to_apply,
    find_shared_stores,
    find_strangers,
    plan_rollout,
)
from lading.k8s.live import read_live
from lading.k8s.rollout import Rollout
from tests.unit.k8s.live_objects import PRODUCTION, STAGED, cron_job, live_body, rollout

ROLLOUT = rollout()
UPDATE, VALIDATE = ROLLOUT.cron_jobs


def planned(
    *bodies: dict[str, Any],
    wanted: Rollout = ROLLOUT,
    applied: dict[str, dict[str, Any]] | None = None,
) -> RolloutChanges:
    """Return what is planned where ``bodies`` stand, and an apply would change ``applied``."""
    standing = {body["metadata"]["name"]: body for body in bodies}
    would = {job.name: standing.get(job.name) or live_body(job) for job in wanted.cron_jobs} | (
        applied or {}
    )
    return plan_rollout([wanted], ClusterState(tuple(read_live(bodies)), would))


class TestPlan:
    """What a namespace still needs."""

    def test_nothing_stands(self) -> None:
        """In an empty namespace all is new."""
        found = planned()
        assert found.new == ("staging-update", "staging-validate")
        assert found.describe() == "2 new"

    def test_all_stands(self) -> None:
        """Where an apply would change nothing, nothing is needed."""
        found = planned(live_body(UPDATE), live_body(VALIDATE))
        assert found.is_empty
        assert found.describe() == "2 as they were"

    def test_spec_changed(self) -> None:
        """What an apply would change is changed, and nothing else."""
        would = live_body(UPDATE, schedule="0 7 * * *")
        found = planned(live_body(UPDATE), live_body(VALIDATE), applied={"staging-update": would})
        assert (found.changed, found.kept) == (("staging-update",), ("staging-validate",))

    def test_labels_changed(self) -> None:
        """Another commit in the annotations alone is a change, too."""
        would = live_body(UPDATE, annotations={"lading/commit": "c" * 40})
        found = planned(live_body(UPDATE), live_body(VALIDATE), applied={"staging-update": would})
        assert found.changed == ("staging-update",)

    def test_kubectls_own_note_is_none(self) -> None:
        """The note that client-side apply leaves is no difference."""
        note = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
        found = planned(
            live_body(UPDATE, annotations=note),
            live_body(VALIDATE),
            applied={"staging-update": live_body(UPDATE)},
        )
        assert found.is_empty

    def test_leftovers(self) -> None:
        """A CronJob of the same release that is no longer wanted goes; whether it runs is kept."""
        old = cron_job(STAGED, "archive")
        other = cron_job(dataclasses.replace(STAGED, version="0.2.0"), name="staging-older")
        found = planned(
            live_body(UPDATE),
            live_body(VALIDATE),
            live_body(old, active=["staging-archive-1"]),
            live_body(other),
            live_body(cron_job(PRODUCTION)),
        )
        assert found.leftovers == {"staging-archive": True}
        assert found.describe() == "1 deleted, 2 as they were"

    def test_cleanup_given_up(self) -> None:
        """What a cleanup had suspended is resumed, where its release is wanted again."""
        held = live_body(UPDATE, managers={"lading-cleanup": ["spec.suspend"]}, suspend=True)
        noted = live_body(VALIDATE, annotations={"lading/cleanup": "{}"})
        found = planned(held, noted)
        assert found.resumed == ("staging-update", "staging-validate")
        assert not found.is_empty

    def test_cleanup_resumed_once(self) -> None:
        """What was resumed is not resumed again."""
        held = live_body(UPDATE, managers={"lading-cleanup": ["spec.suspend"]}, suspend=False)
        assert planned(held, live_body(VALIDATE)).is_empty

    def test_an_operators_word_is_told(self) -> None:
        """A suspension by somebody else is kept and told, and so is a resumption."""
        held = live_body(UPDATE, managers={"kubectl-patch": ["spec.suspend"]}, suspend=True)
        asleep = cron_job(STAGED, "validate", suspend=True)
        woken = live_body(asleep, managers={"k9s": ["spec.suspend"]}, suspend=False)
        wanted = dataclasses.replace(ROLLOUT, cron_jobs=(UPDATE, asleep))
        assert planned(held, woken, wanted=wanted).notes == (
            "staging-update is suspended by 'kubectl-patch', kept so",
            "staging-validate was resumed by 'k9s', kept so",
        )


class TestSuspend:
    """Whose word ``suspend`` is."""

    def test_ours(self) -> None:
        """Where nobody else set it, the manifest says it."""
        job = cron_job(STAGED, suspend=False)
        (standing,) = read_live([live_body(job, suspend=False)])
        assert body_to_apply(job, None)["spec"]["suspend"] is False
        assert body_to_apply(job, standing)["spec"]["suspend"] is False

    def test_an_operators(self) -> None:
        """Where somebody else set it, it is left out, whatever the manifest says."""
        job = cron_job(STAGED, suspend=False)
        standing = read_live(
            [live_body(job, managers={"kubectl-patch": ["spec.suspend"]}, suspend=True)]
        )[0]
        assert "suspend" not in body_to_apply(job, standing)["spec"]
        assert job.body["spec"]["suspend"] is False  # what was given is left as it was


class TestStrangers:
    """Names that somebody else bears."""

    def test_not_ours(self) -> None:
        """A CronJob without identity is refused, and allowed where it is to be taken over."""
        body = live_body(UPDATE)
        body["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
        live = read_live([body])
        assert list(find_strangers([ROLLOUT], live, take=False)) == [
            (
                "CronJob staging-update: expected none or one of Lading's, found one made by"
                " 'Helm'; delete it, or take it over with take=1"
            )
        ]
        assert list(find_strangers([ROLLOUT], live, take=True)) == []

    def test_another_release_is_never_taken(self) -> None:
        """A CronJob of another release of ours is refused even then."""
        other = dataclasses.replace(STAGED, version="0.2.0")
        live = read_live([live_body(cron_job(other, name=UPDATE.name))])
        expected = (
            "CronJob staging-update: expected none or one of staging noaa-gfs-analysis 0.3.0,"
            " found one of staging noaa-gfs-analysis 0.2.0; clean that up first"
        )
        assert list(find_strangers([ROLLOUT], live, take=True)) == [expected]

    def test_our_own(self) -> None:
        """The same release may be rolled out again."""
        assert list(find_strangers([ROLLOUT], read_live([live_body(UPDATE)]), take=False)) == []


class TestStores:
    """Stores that a live release of ours writes already."""

    def test_production_meets_staging(self) -> None:
        """Production is refused while a staged version writes its store; the cleanup is named."""
        staged = read_live([live_body(UPDATE)])
        promoted = dataclasses.replace(PRODUCTION, version="0.3.0", stores=STAGED.stores)
        (fault,) = find_shared_stores([rollout(promoted)], staged)
        assert "s3://weather/noaa-gfs-analysis/v0.3.0.zarr" in fault
        assert "`doit k8s_cleanup dataset=noaa-gfs-analysis version=0.3.0 yes=1`" in fault

    def test_staging_meets_production(self) -> None:
        """A staged version is refused where live production writes its store."""
        live = read_live(
            [live_body(cron_job(dataclasses.replace(PRODUCTION, stores=STAGED.stores)))]
        )
        assert len(list(find_shared_stores([ROLLOUT], live))) == 1

    def test_stores_of_their_own(self) -> None:
        """Versions with stores of their own stand side by side, and a release beside itself."""
        live = read_live([live_body(UPDATE), live_body(cron_job(PRODUCTION))])
        assert list(find_shared_stores([ROLLOUT], live)) == []

    def test_the_next_version_of_production(self) -> None:
        """Production may go on writing a store that its last version wrote."""
        live = read_live([live_body(cron_job(PRODUCTION))])
        promoted = dataclasses.replace(PRODUCTION, version="0.3.0")
        assert list(find_shared_stores([rollout(promoted)], live)) == []
