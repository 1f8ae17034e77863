"""What an order of a Job may not say, told before any cluster is asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.config.secret_names import is_secret_name
from lading.errors import MisconfiguredError
from lading.k8s.job_rules import find_order_faults
from lading.k8s.jobs import build_job
from lading.services.redaction import secrets_of
from tests.unit.k8s.job_world import IMAGE, order

HINT = "put it into a Secret and name that in jobs.kubernetes.secrets"
ENDS = r"[A-Za-z_]{0,6}(TOKEN|KEY|PAT|AUTH|PASSWORD|DSN|_PATH|_FILE)?"
NAMES = st.from_regex(ENDS, fullmatch=True)
SHA512 = f"r.example.org/a@sha512:{'ab' * 64}"

FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"image": "r.example.org/a:v1"},
        "image: expected one pinned as repository@sha256:..., got 'r.example.org/a:v1'",
    ),
    (
        {"image": SHA512},
        f"image: expected one pinned as repository@sha256:..., got {SHA512!r}",
    ),
    (
        {"image": "r.example.org/a"},
        (
            "image: expected repository:commit or repository@sha256:..., in small letters, got"
            " 'r.example.org/a'"
        ),
    ),
    ({"job": ""}, "job: expected the name of a job, got ''"),
    ({"job": "--help"}, "job: expected the name of a job, got '--help'"),
    ({"namespace": ""}, "namespace: expected at most 63 small letters, digits and '-', got ''"),
    (
        {"secrets": ("Api",)},
        "secrets: expected at most 63 small letters, digits and '-', got 'Api'",
    ),
    (
        {"queue": "a_b"},
        "queue: expected at most 63 small letters, digits and '-', got 'a_b'",
    ),
    (
        {"service_account": "a.b"},
        "service_account: expected at most 63 small letters, digits and '-', got 'a.b'",
    ),
    ({"completions": 0}, "completions: expected a number from 1 to 2147483647, got 0"),
    ({"parallelism": 0}, "parallelism: expected a number from 1 to 100000, got 0"),
    (
        {"completions": 100_001, "parallelism": 10_001},
        "parallelism: expected a number from 1 to 10000, got 10001",
    ),
    ({"retries": -1}, "retries: expected a number from 0 to 2147483647, got -1"),
    ({"deadline_s": 0}, f"deadline_s: expected a number from 1 to {2**63 - 1}, got 0"),
    ({"ttl_s": -1}, "ttl_s: expected a number from 0 to 2147483647, got -1"),
    ({"cpu": "two"}, "cpu: expected an amount as '500m' or '2Gi', got 'two'"),
    ({"cpu": "0"}, "cpu: expected an amount as '500m' or '2Gi', got '0'"),
    ({"memory": ""}, "memory: expected an amount as '500m' or '2Gi', got ''"),
    ({"memory": "512m"}, "memory: expected bytes as '512Mi', got '512m', which is less than one"),
    ({"arguments": ("a\0b",)}, "arguments: expected a text without NUL, got one"),
    ({"arguments": ("a\udcff",)}, "arguments: expected a text in UTF-8, got 'a\\udcff'"),
    (
        {"arguments": ("https://u:hush@example.org/x",)},
        f"arguments: expected a URL without user and password, got one with them; {HINT}",
    ),
    (
        {"env": {"SOURCE": "https://hush@example.org"}},
        f"env.SOURCE: expected a URL without user and password, got one with them; {HINT}",
    ),
    ({"env": {"A-B": "1"}}, "env: expected the name of a variable such as 'AWS_REGION', got 'A-B'"),
    (
        {"env": {"LADING_IMAGE": "x"}},
        "env.LADING_IMAGE: expected a variable that is not set for each pod, got one",
    ),
    (
        {"env": {"JOB_COMPLETION_INDEX": "1"}},
        "env.JOB_COMPLETION_INDEX: expected a variable that is not set for each pod, got one",
    ),
    (
        {"env": {"API_TOKEN": "hush"}},
        f"env.API_TOKEN: expected no secret in a manifest, got one; {HINT}",
    ),
    ({"labels": {"lading/x": "a"}}, "labels: expected none of lading's own, got 'lading/x'"),
    ({"labels": {"a b": "a"}}, "labels: expected a name such as 'example.org/team', got 'a b'"),
    (
        {"labels": {"team": "a/b"}},
        "labels.team: expected at most 63 letters, digits, '.', '-' and '_', got 'a/b'",
    ),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS)
def test_faults(changes: dict[str, Any], fault: str) -> None:
    """Each thing that cannot be is told in one line, with its place."""
    found = find_order_faults(order(**changes))
    job = changes.get("job", "get_s3_files")
    assert found == [f"k8s_job {job}: {fault}"]
    assert "hush" not in found[0]


def test_all_at_once() -> None:
    """All faults are told together, and nothing is built."""
    with pytest.raises(MisconfiguredError) as caught:
        build_job(order(image="x:1", cpu="x", retries=-1, env={"MY_SECRET": "hush"}))
    assert len(str(caught.value).splitlines()) == 4
    assert "hush" not in str(caught.value)


def test_sound() -> None:
    """An order at the edge of what Kubernetes takes has no faults."""
    edge = order(
        completions=100_000,
        parallelism=100_000,
        retries=0,
        ttl_s=0,
        secrets=("api",),
        queue="default",
        service_account="jobs",
        env={"AWS_REGION": "eu-west-1", "TOKEN_FILE": "/run/token"},
        labels={"example.org/team": "data"},
        image=f"localhost:5000/a:v1@sha256:{'0' * 64}",
    )
    assert find_order_faults(edge) == []
    assert find_order_faults(order(image=IMAGE)) == []


@given(name=NAMES)
def test_what_is_hidden_elsewhere_is_refused_here(name: str) -> None:
    """A variable whose value would be taken out of every log may not stand in a manifest."""
    if secrets_of({name: "canary-91c4e7d2"}):
        assert is_secret_name(name)
