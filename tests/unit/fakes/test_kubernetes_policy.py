"""What the fake refuses of a Job's podFailurePolicy, in the words of the API."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.unit.fakes.kubernetes_client import JOBS, Client, job, said

RULE = "spec.podFailurePolicy.rules[0]"
EVICTED = {"type": "DisruptionTarget", "status": "True"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """Serve a cluster in which nothing is kept."""
    with FakeKubernetes() as server:
        yield Client(server)


def rule(action: str = "Ignore", **more: Any) -> dict[str, Any]:
    """Return the spec of a Job with one rule."""
    return {"podFailurePolicy": {"rules": [{"action": action, **more}]}}


def on_exit(*values: int, **more: Any) -> dict[str, Any]:
    """Return the spec of a Job with one rule for exit codes."""
    return rule("FailJob", onExitCodes={"operator": "In", "values": list(values), **more})


ACTIONS = '"Count", "FailIndex", "FailJob", "Ignore"'
FAULTS: list[tuple[dict[str, Any], str]] = [
    (on_exit(65, 78), ""),
    (on_exit(65, containerName="main"), ""),
    (rule(onPodConditions=[EVICTED]), ""),
    (rule(onPodConditions=[{"type": "DisruptionTarget"}]), ""),
    (
        rule(),
        f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    (
        rule(onPodConditions=[EVICTED], onExitCodes={"operator": "In", "values": [1]}),
        (
            f"{RULE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not"
            " supported"
        ),
    ),
    (
        rule("Retry", onPodConditions=[EVICTED]),
        f'{RULE}.action: Unsupported value: "Retry": supported values: {ACTIONS}',
    ),
    (
        rule("FailIndex", onPodConditions=[EVICTED]),
        (f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'),
    ),
    (
        on_exit(65, operator="Is"),
        (f'{RULE}.onExitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"'),
    ),
    (on_exit(), f"{RULE}.onExitCodes.values: Invalid value: []: at least one value is required"),
    (on_exit(78, 65), f"{RULE}.onExitCodes.values: Invalid value: [78, 65]: must be ordered"),
    (on_exit(65, 65), f"{RULE}.onExitCodes.values[1]: Duplicate value: 65"),
    (
        on_exit(0),
        f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
    ),
    (
        on_exit(65, containerName="other"),
        (
            f'{RULE}.onExitCodes.containerName: Invalid value: "other": must be one of the'
            " container or initContainer names in the pod template"
        ),
    ),
    (
        on_exit(*range(1, 257)),
        f"{RULE}.onExitCodes.values: Too many: 256: must have at most 255 items",
    ),
    (
        rule(onPodConditions=[{**EVICTED, "status": "Yes"}]),
        (
            f'{RULE}.onPodConditions[0].status: Unsupported value: "Yes": supported values:'
            ' "False", "True", "Unknown"'
        ),
    ),
    (
        {**rule(onPodConditions=[EVICTED]), "podReplacementPolicy": "TerminatingOrFailed"},
        (
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported'
            ' values: "Failed"'
        ),
    ),
]


@pytest.mark.parametrize(("spec", "fault"), FAULTS)
def test_policy(shared: Client, spec: dict[str, Any], fault: str) -> None:
    """A rule has an action, and either exit codes or conditions, each well formed."""
    asked = shared.create(job("once", **spec), JOBS, dryRun="All")
    assert (said(asked) if asked.status_code == 422 else "") == fault


def test_restart_policy(shared: Client) -> None:
    """A policy for failed pods needs pods that are not restarted in place."""
    body = job("once", **rule(onPodConditions=[EVICTED]))
    body["spec"]["template"]["spec"] |= {"restartPolicy": "OnFailure"}
    refused = shared.create(body, JOBS, dryRun="All")
    assert said(refused) == (
        'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported'
        " when podFailurePolicy is specified"
    )


def test_defaults(shared: Client) -> None:
    """What is not said is filled in: the status of a condition, and when a pod is replaced."""
    spec = rule(onPodConditions=[{"type": "DisruptionTarget"}])
    made = shared.create(job("once", **spec), JOBS, dryRun="All").json()["spec"]
    assert made["podFailurePolicy"]["rules"][0]["onPodConditions"] == [EVICTED]
    assert made["podReplacementPolicy"] == "Failed"
    plain = shared.create(job("once"), JOBS, dryRun="All").json()["spec"]
    assert plain["podReplacementPolicy"] == "TerminatingOrFailed"
