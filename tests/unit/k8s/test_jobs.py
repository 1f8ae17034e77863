"""Jobs as they are built: what stands in them, what never does, and that the API takes them."""

import json
from typing import Any

import pytest

from lading.k8s.identity import MANAGED_BY, SPEC
from lading.k8s.job_order import JobOrder
from lading.k8s.jobs import build_job, digest_arguments, digest_job_spec
from lading.k8s.json_data import canonical_json
from tests.fakes.kubernetes import FakeKubernetes
from tests.unit.k8s.job_world import IMAGE, order

PLAN = "5a" * 32


def shards(**changes: Any) -> JobOrder:
    """Return the order of a plan of 40 shards, changed."""
    given = {"arguments": (), "options": (f"--plan={PLAN}",), "plan": PLAN, "completions": 40}
    return order(**{**given, "parallelism": 8, **changes})


def pod_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a Job's pods."""
    pod: dict[str, Any] = body["spec"]["template"]["spec"]
    return pod


def container_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the only container of a Job's pods."""
    (container,) = pod_of(body)["containers"]
    found: dict[str, Any] = container
    return found


def variables_of(body: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a Job's pods."""
    return {each["name"]: each["value"] for each in container_of(body)["env"]}


@pytest.mark.parametrize(
    "made",
    [
        order(),
        shards(),
        shards(completions=100_000, parallelism=100_000),
        shards(completions=100_001, parallelism=10_000),
        shards(completions=1, retries=0, job="X" * 200, read_only_root=False),
        order(queue="default", secrets=("api",), service_account="jobs", labels={"team": "data"}),
        order(arguments=("$HOME $(HOME) $$", "--", "ünï\n"), env={"A": "$(B)"}),
    ],
)
def test_the_api_takes_it(made: JobOrder) -> None:
    """What is built is taken by the API as it is, without a field that it does not know."""
    with FakeKubernetes() as server:
        stood = server.create_plain("data", build_job(made))
    assert stood["metadata"]["name"] == made.name
    assert stood["spec"]["podReplacementPolicy"] == "Failed"


def test_plain() -> None:
    """A plain Job is one pod, tried again a number of times, ended and removed in time."""
    spec = build_job(order(retries=2))["spec"]
    spec.pop("template")
    assert spec == {
        "activeDeadlineSeconds": 3600,
        "backoffLimit": 2,
        "completionMode": "NonIndexed",
        "completions": 1,
        "parallelism": 1,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                on_exit("FailJob", 65),
                on_exit("FailJob", 78),
            ]
        },
        "ttlSecondsAfterFinished": 600,
    }


def on_exit(action: str, code: int) -> dict[str, Any]:
    """Return the rule of an exit code."""
    codes = {"containerName": "job", "operator": "In", "values": [code]}
    return {"action": action, "onExitCodes": codes}


def test_indexed() -> None:
    """A plan is an Indexed Job: each index is tried by itself, and bad data fails only its own."""
    spec = build_job(shards(parallelism=100))["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"]) == (40, 40, 3)
    assert "backoffLimit" not in spec
    assert "maxFailedIndexes" not in spec
    ignore, *rules = spec["podFailurePolicy"]["rules"]
    assert ignore["action"] == "Ignore"
    assert rules == [on_exit("FailIndex", 65), on_exit("FailJob", 78)]
    assert build_job(shards(completions=100_001))["spec"]["maxFailedIndexes"] == 10_000


def test_command_line() -> None:
    """Arguments come after the entry point of the image, which stays."""
    container = container_of(build_job(order(options=("--log=json",))))
    wanted = ["--log=json", "get_s3_files", "--", "--agency-id", "a1"]
    assert container["args"] == wanted
    assert "command" not in container
    assert container_of(build_job(shards()))["args"] == [f"--plan={PLAN}", "get_s3_files"]


def test_nothing_is_expanded() -> None:
    """What looks like a variable of Kubernetes is doubled, so that the job gets it as it is."""
    body = build_job(order(arguments=("$(HOME)", "$$", "US$"), env={"A": "$(B)"}))
    assert container_of(body)["args"][-3:] == ["$$(HOME)", "$$$$", "US$$"]
    assert variables_of(body)["A"] == "$$(B)"


def test_variables() -> None:
    """A pod knows its image, its plan and the number of shards; its home is where it may write."""
    assert variables_of(build_job(shards(env={"AWS_REGION": "eu-west-1"}))) == {
        "AWS_REGION": "eu-west-1",
        "HOME": "/tmp",
        "LADING_IMAGE": IMAGE,
        "LADING_JOB_COUNT": "40",
        "LADING_PLAN": PLAN,
        "TMPDIR": "/tmp",
    }
    assert variables_of(build_job(order(env={"HOME": "/data"})))["HOME"] == "/data"
    loose = build_job(order(read_only_root=False))
    assert variables_of(loose) == {"LADING_IMAGE": IMAGE}
    assert container_of(loose)["securityContext"]["readOnlyRootFilesystem"] is False


def test_resources() -> None:
    """Pods ask for CPU and memory, and get no more memory than that."""
    resources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert container_of(build_job(order()))["resources"] == resources


def test_security() -> None:
    """Pods are nobody, gain nothing, and write below /tmp only."""
    body = build_job(order())
    pod, container = pod_of(body), container_of(body)
    assert pod["restartPolicy"] == "Never"
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["securityContext"] == wanted
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert container["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp"}]
    assert pod["volumes"] == [{"name": "scratch", "emptyDir": {}}]


def test_credentials() -> None:
    """Credentials come from a service account and from Secrets, by name."""
    body = build_job(order(service_account="jobs", secrets=("api", "more")))
    assert pod_of(body)["serviceAccountName"] == "jobs"
    assert "automountServiceAccountToken" not in pod_of(body)
    named = [{"secretRef": {"name": "api"}}, {"secretRef": {"name": "more"}}]
    assert container_of(body)["envFrom"] == named
    assert "envFrom" not in container_of(build_job(order()))


def test_marks() -> None:
    """Job and pods say whose they are and what they run; the Job, the digest of its spec."""
    made = shards(queue="default", labels={"team": "data"}, job="Fetch/all", arguments=("a",))
    body = build_job(made)
    meta, pods = body["metadata"], body["spec"]["template"]["metadata"]
    labels = {
        MANAGED_BY: "lading",
        "lading/job": "Fetch-all",
        "lading/key": made.work.key[:16],
        "team": "data",
    }
    assert pods["labels"] == labels
    assert meta["labels"] == {**labels, "kueue.x-k8s.io/queue-name": "default"}
    assert meta["annotations"].pop(SPEC) == digest_of(body)
    wanted = {
        "lading/arguments-sha256": digest_arguments(("a",)),
        "lading/image": IMAGE,
        "lading/job": "Fetch/all",
        "lading/plan": PLAN,
    }
    assert meta["annotations"] == pods["annotations"] == wanted
    assert "lading/plan" not in build_job(order())["metadata"]["annotations"]


def digest_of(body: dict[str, Any]) -> str:
    """Return the digest of a built Job's spec, as anybody can compute it."""
    template = {k: v for k, v in body["spec"]["template"].items() if k != "metadata"}
    return digest_job_spec({**body["spec"], "template": template})


def test_equal_bytes() -> None:
    """Equal orders are equal bytes, whatever the order in which their parts were given."""
    one = order(env={"A": "1", "B": "2"}, labels={"x": "1", "y": "2"})
    other = order(env={"B": "2", "A": "1"}, labels={"y": "2", "x": "1"})
    assert canonical_json(build_job(one)) == canonical_json(build_job(other))
    text = json.dumps(build_job(one))
    assert text == json.dumps(json.loads(text), sort_keys=True)


@pytest.mark.parametrize(
    ("change", "same_name"),
    [
        ({"deadline_s": 1}, True),
        ({"env": {"A": "1"}}, True),
        ({"arguments": ("--agency-id", "a2")}, False),
        ({"image": IMAGE.replace("ab", "cd")}, False),
        ({"identity": "1f" * 16}, False),
        ({"plan": PLAN}, False),
    ],
)
def test_what_makes_it_another(change: dict[str, Any], *, same_name: bool) -> None:
    """Other work is another Job; the same work with other settings has another digest only."""
    one, other = build_job(order()), build_job(order(**change))
    assert (one["metadata"]["name"] == other["metadata"]["name"]) == same_name
    specs = [each["metadata"]["annotations"][SPEC] for each in (one, other)]
    assert (specs[0] == specs[1]) == ("identity" in change)


def test_tag_beside_the_digest() -> None:
    """The name follows the digest of the image alone: a tag beside it changes nothing."""
    tagged = order(image=IMAGE.replace("@", ":v1@"))
    assert tagged.name == order().name
